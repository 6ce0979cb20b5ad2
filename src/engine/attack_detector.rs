//! Presentation attack detection: the networks that score how live a face is.

use std::time::Duration;

use image::RgbImage;
use tract_onnx::prelude::*;

use super::calibration::CalibrationSource;
use super::error::EngineError;
use super::manifest::Golden;
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, median_time};
use super::pad_manifest::{LiveOutput, PadInput, PadManifest};
use super::pixels::test_pattern;
use super::quantization::Precision;
use super::range_meter::RangeMeter;
use crate::employee::ModelName;
use crate::face::Face;
use crate::photo::Photo;
use crate::presentation::{LiveScore, Presentation, Row, Thresholds};
use crate::quality::Quality;

const NO_THRESHOLDS: &str = "there are no thresholds for these networks; make them with `likeness evaluate --pad DIR \
    --calibration-out FILE`, and pass the file as --pad-calibration";

/// A network for presentation attack detection.
#[derive(Debug)]
pub struct AttackNetwork {
    plan: Plan,
    input: PadInput,
    output: LiveOutput,
    model: ModelName,
    thresholds: Option<Thresholds>,
    meter: Option<RangeMeter>,
}

/// What a detector of presentation attacks consists of.
#[derive(Clone, Debug)]
pub struct PadOptions {
    /// The networks, at least one; the mean of their scores decides.
    pub networks: Vec<ModelSource>,
    /// Thresholds from an organization's own photos, instead of those in the manifest of a single network.
    pub calibration: Option<CalibrationSource>,
    /// The BPCER to decide at, 0..1. Without one, every face counts as live, for measurements.
    pub bpcer: Option<f64>,
    /// Runs the networks in floats and measures the ranges of their maps.
    pub measures_ranges: bool,
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
        let load =
            if options.measures_ranges { AttackNetwork::measuring } else { AttackNetwork::load };
        let networks: Vec<_> = options.networks.iter().map(load).collect::<Result<_, _>>()?;
        let error = |reason: String| match options.networks.as_slice() {
            [source] => source.error(reason),
            _ => ModelError::new("the models of --pad".to_owned(), reason),
        };
        let thresholds = match (&options.calibration, networks.as_slice()) {
            (Some(calibration), networks) => {
                let models: Vec<_> = networks.iter().map(|network| network.model.id).collect();
                Some(calibration.thresholds_of(&models)?)
            }
            (None, [AttackNetwork { thresholds, .. }]) => thresholds.clone(),
            (None, _) => None,
        };
        let row = |bpcer| {
            let table = thresholds.as_ref().ok_or_else(|| error(NO_THRESHOLDS.to_owned()))?;
            table.at(bpcer).map_err(|e| error(e.to_string()))
        };
        let row = options.bpcer.map(row).transpose()?;
        Ok(Self { networks, thresholds, row })
    }

    /// Returns the names and digests of the networks.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.networks.iter().map(|network| &network.model)
    }

    /// Returns the ranges of the maps of the first network over all faces so far, if it measures them: the lowest and
    /// the highest value by the name of each map.
    pub fn measured_ranges(&self) -> Vec<(String, [f32; 2])> {
        let meter = self.networks.first().and_then(|network| network.meter.as_ref());
        meter.map(RangeMeter::ranges).unwrap_or_default()
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
        let score = score.ok_or_else(|| EngineError::run("a live score is NaN"))?;
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
        network.output.log_odds(&output).map_err(|e| source.error(e))?;
        let checked = match is_exact {
            None => Some(golden.check(&output)),
            Some(is_exact) => golden.check_bytes(&output, is_exact),
        };
        checked.ok_or_else(|| source.error(missing))?.map_err(|e| source.error(e))?;
        Ok(network)
    }

    /// Loads the network in floats, with a meter of the ranges of its maps.
    fn measuring(source: &ModelSource) -> Result<Self, ModelError> {
        let source = source.clone().in_precision(Some(Precision::Float));
        let mut measuring = Self::load(&source)?;
        let (network, _) = Network::read(&source, &PadManifest::of(&source)?.about)?;
        let plan = network.plan_with_maps(&measuring.input.shape());
        let (plan, maps) = plan.map_err(|e| source.error(format!("{e:#}")))?;
        measuring.plan = plan;
        measuring.meter = Some(RangeMeter::new(maps));
        Ok(measuring)
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
        let PadManifest { about, input, output, thresholds, ranges, golden } =
            PadManifest::of(source)?;
        let ranges = ranges.filter(|_| source.precision() != Some(Precision::Float));
        let (network, model) = Network::read(source, &about)?;
        let shape = input.shape();
        if let Some(read) = network.input().filter(|read| !read.takes(&shape)) {
            return Err(
                source.error(format!("the manifest's input is {shape:?}, the network's {read}"))
            );
        }
        let plan = match ranges {
            Some(ranges) => network
                .plan_in_bytes(&shape, &ranges)
                .map(|(plan, is_exact)| (plan, Some(is_exact))),
            None => network.plan(&shape).map(|plan| (plan, None)),
        };
        let (plan, is_exact) = plan.map_err(|e| source.error(format!("{e:#}")))?;
        Ok((Self { plan, input, output, model, thresholds, meter: None }, golden, is_exact))
    }

    /// Returns the log-odds that a face is live.
    fn live_score(&self, photo: &Photo, face: &Face) -> TractResult<f64> {
        let PadInput { side, crops, .. } = &self.input;
        let squares = crops.iter().map(|crop| crop.of(photo, face.bounds(), *side));
        self.output.log_odds(&self.see(squares)?).map_err(TractError::msg)
    }

    fn see_pattern(&self) -> TractResult<Vec<f32>> {
        let pattern = test_pattern(self.input.side, self.input.side);
        self.see(self.input.crops.iter().map(|_| pattern.clone()))
    }

    fn see(&self, squares: impl Iterator<Item = RgbImage>) -> TractResult<Vec<f32>> {
        let input = Tensor::from_shape(&self.input.shape(), &self.input.values(squares))?;
        let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
        if let Some(meter) = &self.meter {
            meter.measure(&outputs[outputs.len() - meter.maps()..])?;
        }
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}
