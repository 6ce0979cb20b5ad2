//! Flags of presentation attack detection.

use std::path::{Path, PathBuf};

use clap::Args;

use super::rate;
use crate::engine::{CalibrationSource, ModelSource, PadOptions};
use crate::recognizer::PresentationMode;

/// Settings of presentation attack detection.
#[derive(Args, Debug)]
pub struct PadArgs {
    /// Networks for presentation attack detection to use instead of the embedded one: ONNX files with their manifests
    /// (.toml) in the same directory, separated by commas. The mean of their scores decides.
    #[arg(long, env = "LIKENESS_PAD", value_name = "FILE[,FILE]", value_delimiter = ',')]
    #[arg(global = true, help_heading = "Models")]
    pub pad: Vec<PathBuf>,

    /// Thresholds of presentation attack detection: a file written by `likeness evaluate --pad`. [default:
    /// pad-calibration.toml in the data directory if it exists, else those in the manifest]
    #[arg(long, env = "LIKENESS_PAD_CALIBRATION", value_name = "FILE")]
    #[arg(global = true, help_heading = "Models")]
    pub pad_calibration: Option<PathBuf>,

    /// What to do about presentation attacks (a printed photo, a screen): `report` states for each face whether it is
    /// live, `require` also lets only live faces match.
    #[arg(long, env = "LIKENESS_PAD_MODE", default_value = "report", value_name = "MODE")]
    #[arg(value_parser = mode, global = true, help_heading = "Decision")]
    pub pad_mode: PresentationMode,

    /// Share of live presentations that may be rejected as attacks (BPCER). A lower rate lets more attacks pass.
    #[arg(long, env = "LIKENESS_PAD_BPCER", default_value = "0.05", value_parser = rate)]
    #[arg(value_name = "RATE", global = true, help_heading = "Decision")]
    pub pad_bpcer: f64,
}

impl PadArgs {
    /// Returns the options of the attack detector, unless it is off; reads its files.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn options(&self, data_dir: &Path) -> anyhow::Result<Option<PadOptions>> {
        if self.pad_mode == PresentationMode::Off {
            Ok(None)
        } else {
            self.networks(data_dir).map(Some)
        }
    }

    /// Returns the options of the attack detector, whatever its mode; reads its files.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn networks(&self, data_dir: &Path) -> anyhow::Result<PadOptions> {
        let networks = if self.pad.is_empty() {
            vec![ModelSource::embedded_pad()]
        } else {
            self.pad.iter().map(|path| ModelSource::read(path)).collect::<Result<_, _>>()?
        };
        let beside_data = data_dir.join("pad-calibration.toml");
        let calibration = match &self.pad_calibration {
            Some(file) => Some(file),
            None => Some(&beside_data).filter(|file| file.exists()),
        };
        let calibration = calibration.map(|file| CalibrationSource::read(file)).transpose()?;
        let bpcer = Some(self.pad_bpcer);
        Ok(PadOptions { networks, calibration, bpcer, measures_ranges: false })
    }
}

fn mode(word: &str) -> Result<PresentationMode, String> {
    let modes = PresentationMode::ALL;
    let mode = modes.into_iter().find(|mode| mode.as_str() == word);
    mode.ok_or_else(|| format!("expected {}", modes.map(PresentationMode::as_str).join(", ")))
}
