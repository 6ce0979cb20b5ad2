//! A calibration from an organization's own photos, which replaces the manifest's.

use std::path::Path;

use serde::Deserialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use super::model::ModelError;
use crate::comparison::{Calibration, ErrorRate, ErrorRates, ErrorRatesError};
use crate::embedding::ModelId;

/// The text of a `calibration.toml` or `pad-calibration.toml`, not yet parsed.
#[derive(Clone, Debug)]
pub struct CalibrationSource {
    origin: String,
    text: String,
}

/// The calibration and error rates of one encoder: the contents of `calibration.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalibration {
    /// The encoder that it was measured with; it is valid for no other.
    pub model: ModelId,
    /// The map from the encoder's similarity to log-odds.
    pub calibration: Calibration,
    /// The thresholds that the photos support.
    pub error_rates: ErrorRates,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: String,
    comparison: Line,
    error_rate: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    scale: f64,
    offset: f64,
}

/// `[[error_rate]]`, in manifests and in calibrations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    fmr: f64,
    score: f64,
    interval: Option<[f64; 2]>,
    pairs: Option<u64>,
    population: Option<Box<str>>,
    fnmr: Option<f64>,
}

/// Checks the rows of a table of error rates.
pub(super) fn error_rates(rows: Vec<Row>) -> Result<ErrorRates, ErrorRatesError> {
    let row = |Row { fmr, score, interval, pairs, population, fnmr }| ErrorRate {
        fmr,
        score,
        interval,
        pairs,
        population,
        fnmr,
    };
    ErrorRates::new(rows.into_iter().map(row).collect())
}

impl CalibrationSource {
    /// Creates a source from text in memory; errors name it `origin`.
    pub fn new(origin: String, text: String) -> Self {
        Self { origin, text }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ModelError`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let origin = format!("the calibration {}", path.display());
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self { origin, text }),
            Err(error) => Err(ModelError::new(origin, format!("it cannot be read: {error}"))),
        }
    }

    /// The file's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// An error of this file.
    pub(super) fn error(&self, reason: String) -> ModelError {
        ModelError::new(self.origin.clone(), reason)
    }

    /// Parses the calibration; fails if it is not for `model`.
    pub(super) fn of(&self, model: ModelId) -> Result<Recalibration, ModelError> {
        let error = |reason: String| self.error(reason);
        let File { model: digest, comparison, error_rate } =
            toml::from_str(&self.text).map_err(|e| error(format!("invalid contents: {e}")))?;
        if digest.to_ascii_lowercase() != model.to_string() {
            return Err(error(format!(
                "it was made with the encoder {digest}, and this one is {model}; make it anew with \
                 likeness evaluate"
            )));
        }
        let calibration =
            Calibration::new(comparison.scale, comparison.offset).ok_or_else(|| {
                error(
                    "the comparison's scale must be above 0, and both it and the offset finite"
                        .to_owned(),
                )
            })?;
        let error_rates = error_rates(error_rate).map_err(|e| error(e.to_string()))?;
        Ok(Recalibration { model, calibration, error_rates })
    }
}

impl Recalibration {
    /// Returns the text of the file, with a comment at the top.
    pub fn to_toml(&self, comment: &str) -> String {
        let mut text = String::new();
        for line in comment.lines() {
            text += format!("# {line}").trim_end();
            text += "\n";
        }
        let mut document = DocumentMut::new();
        document["model"] = value(self.model.to_string());
        let mut line = Table::new();
        line["scale"] = value(self.calibration.scale());
        line["offset"] = value(self.calibration.offset());
        document["comparison"] = Item::Table(line);
        document["error_rate"] = Item::ArrayOfTables(error_rate_tables(&self.error_rates));
        text + &document.to_string()
    }
}

/// Returns the `[[error_rate]]` tables that [`Row`] reads.
pub(crate) fn error_rate_tables(rates: &ErrorRates) -> ArrayOfTables {
    let mut rows = ArrayOfTables::new();
    for ErrorRate { fmr, score, interval, pairs, population, fnmr } in rates.rows() {
        let mut row = Table::new();
        row["fmr"] = value(*fmr);
        row["score"] = value(*score);
        if let Some(interval) = interval {
            row["interval"] = value(interval.iter().copied().collect::<Array>());
        }
        if let Some(pairs) = pairs {
            row["pairs"] = value(*pairs as i64);
        }
        if let Some(population) = population {
            row["population"] = value(&**population);
        }
        if let Some(fnmr) = fnmr {
            row["fnmr"] = value(*fnmr);
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelId {
        ModelId::from_digest([0xAB; 32])
    }

    fn recalibration() -> Recalibration {
        let row = |fmr, score, interval, pairs: Option<u64>| {
            let population = pairs.map(|_| "visitors".into());
            let fnmr = pairs.map(|_| 0.125);
            ErrorRate { fmr, score, interval, pairs, population, fnmr }
        };
        let rows = vec![
            row(0.01, 1.25, None, None),
            row(1e-3, 3.5, Some([3.25, 4.0]), Some(57)),
            row(1e-7, 9.0, Some([8.0, 9.0]), Some(10)),
        ];
        Recalibration {
            model: model(),
            calibration: Calibration::new(24.25, -5.5).unwrap(),
            error_rates: ErrorRates::new(rows).unwrap(),
        }
    }

    fn read(text: &str) -> Result<Recalibration, String> {
        let source = CalibrationSource { origin: "test.toml".to_owned(), text: text.to_owned() };
        source.of(model()).map_err(|e| e.to_string())
    }

    #[test]
    fn calibration_file_round_trips() {
        let text = recalibration().to_toml("12 people\n\nof whom [no] \"harm\" comes");
        assert!(text.starts_with("# 12 people\n#\n# of whom [no] \"harm\" comes\nmodel = \"abab"));
        assert_eq!(read(&text), Ok(recalibration()));
    }

    #[test]
    fn invalid_calibration_is_refused() {
        let good = recalibration().to_toml("");
        for (word, other, reason) in [
            ("abab", "cdab", "made with the encoder cdab"),
            ("scale = 24.25", "scale = -1.0", "scale must be above 0"),
            ("offset = -5.5", "offset = nan", "scale must be above 0"),
            ("fmr = 0.01", "fmr = 1e-5", "decrease from row to row"),
            ("score = 3.5", "score = 4.5", "interval"),
            ("pairs = 57", "pairs = 0", "pairs"),
            ("fnmr = 0.125", "fnmr = 1.125", "fnmr"),
            ("pairs = 57", "people = 57", "unknown field"),
            ("[comparison]", "[calibration]", "invalid contents"),
        ] {
            assert!(good.contains(word), "{word}");
            let error = read(&good.replacen(word, other, 1)).unwrap_err();
            assert!(error.contains("test.toml") && error.contains(reason), "{word}: {error}");
        }
    }
}
