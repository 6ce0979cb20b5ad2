//! The manifest of a network for presentation attack detection.

use image::RgbImage;
use serde::Deserialize;

use super::crop::{Border, Crop, Shape};
use super::manifest::{About, Golden, SquareInput, parse};
use super::model::{ModelError, ModelSource};
use super::pad_calibration::{Row, thresholds};
use super::pixels::PixelFormat;
use super::quantization::Ranges;
use crate::presentation::Thresholds;

/// The largest number of crops of a network.
const MOST_CROPS: usize = 4;

/// A network for presentation attack detection, as its manifest describes it.
pub(super) struct PadManifest {
    pub(super) about: About,
    pub(super) input: PadInput,
    pub(super) output: LiveOutput,
    pub(super) thresholds: Option<Thresholds>,
    /// The ranges of the maps, by which the network runs in 8 bits.
    pub(super) ranges: Option<Ranges>,
    pub(super) golden: Option<Golden>,
}

/// Square crops of a photo, concatenated along the channels.
#[derive(Debug)]
pub(super) struct PadInput {
    pixels: PixelFormat,
    /// The side of each crop, in pixels.
    pub(super) side: u32,
    pub(super) crops: Vec<Crop>,
}

/// `[output]`: where the live score is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiveOutput {
    form: OutputForm,
    /// The index of the value of bona fide presentations.
    live: usize,
}

impl PadManifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ModelError`] saying what is wrong with it.
    pub(super) fn of(source: &ModelSource) -> Result<Self, ModelError> {
        let File { model, input, crop, output, threshold, quantization, golden } = parse(source)?;
        let input = PadInput::new(input, &crop).map_err(|reason| source.error(reason))?;
        let thresholds = if threshold.is_empty() { None } else { Some(thresholds(threshold)) };
        let thresholds = thresholds.transpose().map_err(|reason| source.error(reason))?;
        Ok(Self { about: model, input, output, thresholds, ranges: quantization, golden })
    }
}

impl PadInput {
    fn new(square: SquareInput, crop: &CropFile) -> Result<Self, String> {
        let (side, pixels) = square.pixels()?;
        let crops = crop.crops()?;
        if crops.len() > 1 && !pixels.is_planar() {
            return Err("several crops require layout = \"nchw\"".to_owned());
        }
        Ok(Self { pixels, side, crops })
    }

    /// Returns the shape of the network's input.
    pub(super) fn shape(&self) -> [usize; 4] {
        let mut shape = self.pixels.shape(self.side, self.side);
        if self.pixels.is_planar() {
            shape[1] *= self.crops.len();
        }
        shape
    }

    /// Returns the network's input for one square of [`side`](Self::side) for each crop.
    pub(super) fn values(&self, squares: impl Iterator<Item = RgbImage>) -> Vec<f32> {
        squares.flat_map(|square| self.pixels.values(&square)).collect()
    }
}

impl LiveOutput {
    /// Returns the log-odds of a bona fide presentation: of the class `live` against the others.
    pub(super) fn log_odds(self, values: &[f32]) -> Result<f64, String> {
        let Self { form, live } = self;
        let Some(value) = values.get(live).copied().map(f64::from) else {
            return Err(format!("the output has {} values, and live = {live}", values.len()));
        };
        let others = values.iter().enumerate().filter(|(class, _)| *class != live);
        let others = others.map(|(_, &value)| f64::from(value));
        Ok(match (form, values.len()) {
            (OutputForm::Logits, 1) => value,
            (OutputForm::Logits, _) => {
                let highest = others.clone().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = others.map(|other| (other - highest).exp()).sum();
                value - (highest + sum.ln())
            }
            (OutputForm::Probabilities, 1) => value.ln() - (1.0 - value).ln(),
            (OutputForm::Probabilities, _) => value.ln() - others.sum::<f64>().ln(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: About,
    input: SquareInput,
    crop: CropFile,
    output: LiveOutput,
    #[serde(default)]
    threshold: Vec<Row>,
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
    /// Whether crops are resized over the area of each pixel; if not, as by OpenCV's `INTER_LINEAR`.
    #[serde(default = "yes")]
    antialiased: bool,
}

fn yes() -> bool {
    true
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

impl CropFile {
    fn crops(&self) -> Result<Vec<Crop>, String> {
        let Self { sizes, shape, border, antialiased } = self;
        if !(1..=MOST_CROPS).contains(&sizes.len()) {
            return Err(format!("[crop] sizes must be 1 to {MOST_CROPS} numbers"));
        }
        let crop = |&size: &f64| {
            Crop::new(size, *shape, *border).map(|crop| crop.antialiased(*antialiased))
        };
        let crops = sizes.iter().map(crop).collect::<Option<_>>();
        crops.ok_or_else(|| "[crop] sizes must be from 0.5 to 8".to_owned())
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
        let of = |form, values: &[f32], live| LiveOutput { form, live }.log_odds(values).unwrap();
        let expected = (p / (1.0 - p)).ln();
        assert!((of(OutputForm::Logits, &logits, 1) - expected).abs() < 1e-9);
        let probabilities = logits.map(|logit| (f64::from(logit).exp() / sum) as f32);
        assert!((of(OutputForm::Probabilities, &probabilities, 1) - expected).abs() < 1e-5);
        assert!((of(OutputForm::Logits, &[-3.5], 0) + 3.5).abs() < 1e-9);
        assert!((of(OutputForm::Probabilities, &[0.25], 0) - (1.0_f64 / 3.0).ln()).abs() < 1e-9);
        assert!(LiveOutput { form: OutputForm::Logits, live: 3 }.log_odds(&logits).is_err());
    }
}
