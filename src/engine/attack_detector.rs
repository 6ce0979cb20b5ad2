//! Presentation attack detection: the networks that score how live a face is, and their manifests.

use std::time::Duration;

use anyhow::ensure;
use image::RgbImage;
use serde::Deserialize;
use tract_onnx::prelude::*;

use super::crop::{Border, Crop, Shape};
use super::error::EngineError;
use super::manifest::{About, Golden, SquareInput, parse};
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, median_time};
use super::pad_calibration::{self, PadCalibrationSource, thresholds};
use super::pixels::{PixelFormat, test_pattern};
use super::quantization::Ranges;
use crate::employee::ModelName;
use crate::face::Face;
use crate::photo::Photo;
use crate::presentation::{LiveScore, Presentation, Row, Thresholds};
use crate::quality::Quality;

/// The largest number of crops of a network.
const MOST_CROPS: usize = 4;

/// The manifest of a network for presentation attack detection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    model: About,
    input: SquareInput,
    crop: CropFile,
    output: OutputFile,
    #[serde(default)]
    threshold: Vec<pad_calibration::Row>,
    quantization: Option<Ranges>,
    golden: Option<Golden>,
}

/// `[crop]`: the parts of the photo that the network reads, concatenated along the channels.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CropFile {
    /// The size of each crop, as a multiple of the box of the face.
    sizes: Vec<f64>,
    shape: Shape,
    border: Border,
}

/// `[output]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputFile {
    form: OutputForm,
    /// The index of the value of bona fide presentations.
    live: usize,
}

/// What the values of a network are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OutputForm {
    /// Logits of classes, for a softmax; a single one is for a sigmoid.
    Logits,
    /// Probabilities of classes; a single one is that of a bona fide presentation.
    Probabilities,
}

/// A network for presentation attack detection.
#[derive(Debug)]
pub struct AttackNetwork {
    plan: Plan,
    pixels: PixelFormat,
    side: u32,
    crops: Vec<Crop>,
    form: OutputForm,
    live: usize,
    model: ModelName,
    thresholds: Option<Thresholds>,
}

/// What a detector of presentation attacks consists of.
#[derive(Clone, Debug)]
pub struct PadOptions {
    /// The networks, at least one; the mean of their scores decides.
    pub networks: Vec<ModelSource>,
    /// Thresholds from an organization's own photos, instead of those in the manifest of a single network.
    pub calibration: Option<PadCalibrationSource>,
    /// The BPCER to decide at, 0..1. Without one, every face counts as live, for measurements.
    pub bpcer: Option<f64>,
}

/// The networks that decide together whether a face is live, with their threshold.
#[derive(Debug)]
pub struct AttackDetector {
    networks: Vec<AttackNetwork>,
    thresholds: Option<Thresholds>,
    /// The row of the table that decides.
    row: Option<Row>,
}

impl AttackDetector {
    /// Loads the networks and runs each on the test pattern.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit, also if there are no thresholds for these networks.
    pub(super) fn load(options: &PadOptions) -> Result<Self, ModelError> {
        let networks: Vec<_> =
            options.networks.iter().map(AttackNetwork::load).collect::<Result<_, _>>()?;
        let error = |reason: String| match options.networks.as_slice() {
            [source] => source.error(reason),
            _ => ModelError::new("the models of --pad".to_owned(), reason),
        };
        let thresholds = match (&options.calibration, networks.as_slice()) {
            (Some(calibration), networks) => {
                let models: Vec<_> = networks.iter().map(|network| network.model.id).collect();
                Some(calibration.of(&models)?)
            }
            (None, [AttackNetwork { thresholds, .. }]) => thresholds.clone(),
            (None, _) => None,
        };
        let row = |bpcer| {
            match &thresholds {
            Some(table) => table.at(bpcer).map_err(|e| error(e.to_string())),
            None => Err(error(
                "there are no thresholds for these networks; make them with `likeness evaluate --pad DIR \
                 --calibration-out FILE`, and pass the file as --pad-calibration"
                    .to_owned(),
            )),
        }
        };
        let row = options.bpcer.map(row).transpose()?;
        Ok(Self { networks, thresholds, row })
    }

    /// Returns the names and digests of the networks.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.networks.iter().map(|network| &network.model)
    }

    /// Returns the thresholds of these networks, if there are any.
    pub fn thresholds(&self) -> Option<&Thresholds> {
        self.thresholds.as_ref()
    }

    /// Returns the threshold that decides, if one does.
    pub fn threshold(&self) -> Option<Row> {
        self.row
    }

    /// Judges whether a face of a photo is live.
    pub(super) fn judge(
        &self,
        photo: &Photo,
        face: &Face,
        quality: &Quality,
    ) -> Result<Presentation, EngineError> {
        let mut sum = 0.0;
        for network in &self.networks {
            sum += network.live_score(photo, face).map_err(EngineError::run)?;
        }
        let score = LiveScore::new(sum / self.networks.len() as f64);
        let score =
            score.ok_or_else(|| EngineError::run(anyhow::anyhow!("a live score is NaN")))?;
        let threshold = self.row.map_or(LiveScore::LOWEST, |row| row.score);
        Ok(Presentation::judge(score, threshold, quality))
    }
}

impl AttackNetwork {
    /// Loads the network and runs it on the test pattern.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit.
    pub fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let (network, golden, is_exact) = Self::unproven(source)?;
        let missing = "its manifest has no [golden] output; `likeness model check --pad` writes it";
        let golden = golden.ok_or_else(|| source.error(missing))?;
        let output = network.see_pattern().map_err(|e| source.error(format!("{e:#}")))?;
        network.form.log_odds(&output, network.live).map_err(|e| source.error(e))?;
        let checked = match is_exact {
            None => Some(golden.check(&output)),
            Some(is_exact) => golden.check_bytes(&output, is_exact),
        };
        checked.ok_or_else(|| source.error(missing))?.map_err(|e| source.error(e))?;
        Ok(network)
    }

    /// Returns the output for the test pattern, whatever the manifest says of it.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit.
    pub fn golden_output(source: &ModelSource) -> Result<Vec<f32>, ModelError> {
        let (network, ..) = Self::unproven(source)?;
        network.see_pattern().map_err(|e| source.error(format!("{e:#}")))
    }

    /// Returns the thresholds of the manifest, if it has any.
    pub fn thresholds(&self) -> Option<&Thresholds> {
        self.thresholds.as_ref()
    }

    /// Returns the time of the network for one face on one thread, without its crops: the median of `rounds` runs.
    ///
    /// # Errors
    /// [`EngineError`] where the network fails.
    pub fn time_a_face(&self, rounds: usize) -> Result<Duration, EngineError> {
        median_time(rounds, || self.see_pattern().map(drop)).map_err(EngineError::run)
    }

    /// Loads the network that the manifest describes, with what would prove it and, in 8 bits, whether it gives the same
    /// numbers on every processor.
    fn unproven(source: &ModelSource) -> Result<(Self, Option<Golden>, Option<bool>), ModelError> {
        let Manifest { model, input, crop, output, threshold, quantization, golden } =
            parse(source)?;
        let (side, pixels) = input.pixels().map_err(|reason| source.error(reason))?;
        let crops = crop.crops().map_err(|reason| source.error(reason))?;
        if crops.len() > 1 && !pixels.is_planar() {
            return Err(source.error("several crops require layout = \"nchw\""));
        }
        let thresholds = if threshold.is_empty() { None } else { Some(thresholds(threshold)) };
        let thresholds = thresholds.transpose().map_err(|reason| source.error(reason))?;
        let (network, model) = Network::read(source, &model)?;
        let mut shape = pixels.shape(side, side);
        if pixels.is_planar() {
            shape[1] *= crops.len();
        }
        if let Some(input) = network.input().filter(|input| !input.takes(&shape)) {
            return Err(
                source.error(format!("the manifest's input is {shape:?}, the network's {input}"))
            );
        }
        let plan = match quantization {
            Some(ranges) => network
                .plan_in_bytes(&shape, &ranges)
                .map(|(plan, is_exact)| (plan, Some(is_exact))),
            None => network.plan(&shape).map(|plan| (plan, None)),
        };
        let (plan, is_exact) = plan.map_err(|e| source.error(format!("{e:#}")))?;
        let OutputFile { form, live } = output;
        let network = Self { plan, pixels, side, crops, form, live, model, thresholds };
        Ok((network, golden, is_exact))
    }

    /// Returns the log-odds that a face is live.
    fn live_score(&self, photo: &Photo, face: &Face) -> TractResult<f64> {
        let crops = self.crops.iter().map(|crop| crop.of(photo, face.bounds(), self.side));
        self.form.log_odds(&self.see(crops)?, self.live)
    }

    fn see_pattern(&self) -> TractResult<Vec<f32>> {
        let pattern = test_pattern(self.side, self.side);
        self.see(self.crops.iter().map(|_| pattern.clone()))
    }

    fn see(&self, crops: impl Iterator<Item = RgbImage>) -> TractResult<Vec<f32>> {
        let mut shape = self.pixels.shape(self.side, self.side);
        if self.pixels.is_planar() {
            shape[1] *= self.crops.len();
        }
        let values: Vec<f32> = crops.flat_map(|crop| self.pixels.values(&crop)).collect();
        let input = Tensor::from_shape(&shape, &values)?;
        let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

impl CropFile {
    fn crops(&self) -> Result<Vec<Crop>, String> {
        let Self { sizes, shape, border } = self;
        if !(1..=MOST_CROPS).contains(&sizes.len()) {
            return Err(format!("[crop] sizes must be 1 to {MOST_CROPS} numbers"));
        }
        let crop = |&size: &f64| Crop::new(size, *shape, *border);
        let crops = sizes.iter().map(crop).collect::<Option<_>>();
        crops.ok_or_else(|| "[crop] sizes must be from 0.5 to 8".to_owned())
    }
}

impl OutputForm {
    /// Returns the log-odds of the class `live` among the values.
    fn log_odds(self, values: &[f32], live: usize) -> TractResult<f64> {
        ensure!(live < values.len(), "the output has {} values, and live = {live}", values.len());
        let others = || values.iter().enumerate().filter(|(class, _)| *class != live);
        let others = others().map(|(_, &value)| f64::from(value));
        let value = f64::from(values[live]);
        Ok(match (self, values.len()) {
            (Self::Logits, 1) => value,
            (Self::Logits, _) => {
                let highest = others.clone().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = others.map(|other| (other - highest).exp()).sum();
                value - (highest + sum.ln())
            }
            (Self::Probabilities, 1) => value.ln() - (1.0 - value).ln(),
            (Self::Probabilities, _) => value.ln() - others.sum::<f64>().ln(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_are_those_of_softmax_and_sigmoid() {
        let logits = [1.0_f32, 2.0, -0.5];
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let p = 2.0_f64.exp() / sum;
        let of = |form: OutputForm, values: &[f32], live| form.log_odds(values, live).unwrap();
        let expected = (p / (1.0 - p)).ln();
        assert!((of(OutputForm::Logits, &logits, 1) - expected).abs() < 1e-9);
        let probabilities = logits.map(|logit| (f64::from(logit).exp() / sum) as f32);
        assert!((of(OutputForm::Probabilities, &probabilities, 1) - expected).abs() < 1e-5);
        assert!((of(OutputForm::Logits, &[-3.5], 0) + 3.5).abs() < 1e-9);
        assert!((of(OutputForm::Probabilities, &[0.25], 0) - (1.0_f64 / 3.0).ln()).abs() < 1e-9);
        assert!(OutputForm::Logits.log_odds(&logits, 3).is_err());
    }
}
