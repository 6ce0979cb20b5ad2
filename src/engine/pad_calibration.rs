//! Thresholds of presentation attack detection from an organization's own photos: `pad-calibration.toml`.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use super::calibration::CalibrationSource;
use super::model::ModelError;
use crate::embedding::ModelId;
use crate::presentation::{self, LiveScore, Thresholds};

/// The thresholds of some networks together: the contents of `pad-calibration.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct PadCalibration {
    /// The networks, in any order.
    pub models: Vec<ModelId>,
    /// The number of live photos that the thresholds were fitted to.
    pub live_photos: usize,
    /// The thresholds by BPCER.
    pub thresholds: Thresholds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    models: Vec<String>,
    #[expect(dead_code, reason = "for people; nothing depends on it")]
    live_photos: usize,
    threshold: Vec<Row>,
}

/// `[[threshold]]`, in manifests and in calibrations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    bpcer: f64,
    score: f64,
}

/// Checks the rows of a table of thresholds.
pub(super) fn thresholds(rows: Vec<Row>) -> Result<Thresholds, String> {
    let row = |Row { bpcer, score }| {
        LiveScore::new(score).map(|score| presentation::Row { bpcer, score })
    };
    let rows: Option<_> = rows.into_iter().map(row).collect();
    let rows = rows.ok_or("a score of a [[threshold]] is not a number")?;
    Thresholds::new(rows).map_err(|e| e.to_string())
}

impl CalibrationSource {
    /// Parses the thresholds; fails if they are not for exactly these networks.
    pub(super) fn thresholds_of(&self, models: &[ModelId]) -> Result<Thresholds, ModelError> {
        let error = |reason: String| self.error(reason);
        let File { models: named, threshold, .. } =
            toml::from_str(self.text()).map_err(|e| error(format!("invalid contents: {e}")))?;
        let named: BTreeSet<_> = named.iter().map(|name| name.to_ascii_lowercase()).collect();
        let loaded: BTreeSet<_> = models.iter().map(ToString::to_string).collect();
        if named != loaded {
            return Err(error(
                "it was made with other models than those of --pad; make it anew with `likeness evaluate --pad DIR`"
                    .to_owned(),
            ));
        }
        thresholds(threshold).map_err(error)
    }
}

impl PadCalibration {
    /// Returns the text of the file.
    pub fn to_toml(&self) -> String {
        let mut document = DocumentMut::new();
        document["models"] = value(self.models.iter().map(ToString::to_string).collect::<Array>());
        document["live_photos"] = value(self.live_photos as i64);
        let rows = self.thresholds.rows().iter().map(|row| {
            let mut table = Table::new();
            table["bpcer"] = value(row.bpcer);
            table["score"] = value(row.score.value());
            table
        });
        document["threshold"] = Item::ArrayOfTables(rows.collect::<ArrayOfTables>());
        format!(
            "# Thresholds of presentation attack detection by the share of live photos below them (BPCER), for \
             --pad-calibration.\n{document}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration() -> PadCalibration {
        let row = |bpcer, score| presentation::Row { bpcer, score: LiveScore::new(score).unwrap() };
        PadCalibration {
            models: vec![ModelId::from_digest([1; 32]), ModelId::from_digest([2; 32])],
            live_photos: 120,
            thresholds: Thresholds::new(vec![row(0.01, -2.5), row(0.05, 0.125)]).unwrap(),
        }
    }

    #[test]
    fn a_written_calibration_is_read_for_its_models_alone() {
        let written = calibration();
        let source = CalibrationSource::new("test".to_owned(), written.to_toml());
        let [first, second] = [written.models[0], written.models[1]];
        assert_eq!(source.thresholds_of(&[second, first]).unwrap(), written.thresholds);
        for others in [vec![first], vec![first, ModelId::from_digest([3; 32])]] {
            let refused = source.thresholds_of(&others).unwrap_err().to_string();
            assert!(refused.contains("other models"), "{refused}");
        }
    }

    #[test]
    fn thresholds_that_mean_nothing_are_refused() {
        let models = calibration().models;
        for (word, other) in
            [("0.125", "nan"), ("0.05", "0.001"), ("0.01", "nan"), ("bpcer", "rate")]
        {
            let text =
                calibration().to_toml().replacen(word, other, if word == "bpcer" { 1 } else { 9 });
            let source = CalibrationSource::new("test".to_owned(), text);
            assert!(source.thresholds_of(&models).is_err(), "{word}");
        }
    }
}
