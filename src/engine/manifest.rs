//! What stands in the manifest beside a network, parsed into what holds together.
//!
//! Numbers that would switch a check off or make a comparison meaningless (NaN, infinity, a threshold out
//! of its range) are refused here, so that nothing behind has to look again.

use serde::Deserialize;

use super::calibration::{Row, error_rates};
use super::model::{ModelError, ModelSource};
use super::pixels::{Color, Layout, PixelFormat, Scale};
use super::quantization::Ranges;
use super::reference_check::ReferenceCheck;
use crate::comparison::{Calibration, Comparator, ErrorRates, Head, Measure};

/// An encoder, as its manifest describes it.
pub(super) struct EncoderManifest {
    pub(super) about: About,
    pub(super) pixels: PixelFormat,
    /// Of the input, in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Values of one embedding.
    pub(super) length: usize,
    pub(super) views: Views,
    pub(super) comparator: Comparator,
    /// How much more alike, by the measure, the references of different people are to each other than to probes: the
    /// difference of the scores at an FMR of 1e-3. References are means of more views than probes.
    pub(super) reference_gap: f64,
    pub(super) reference_check: Option<ReferenceCheck>,
    pub(super) error_rates: Option<ErrorRates>,
    pub(super) profile_error_rates: Option<ErrorRates>,
    /// The ranges of the maps, by which the network can run in 8 bits.
    pub(super) ranges: Option<Ranges>,
    pub(super) golden: Option<Golden>,
}

impl EncoderManifest {
    /// Reads an encoder's manifest.
    ///
    /// # Errors
    /// [`ModelError`] saying what is wrong with it.
    pub(super) fn of(source: &ModelSource) -> Result<Self, ModelError> {
        let EncoderFile {
            model,
            input,
            output,
            views,
            comparison,
            reference_check,
            error_rate,
            profile_error_rate,
            quantization,
            golden,
        } = parse(source)?;
        let EncoderInput { width, height, channels, layout, colour, mean, scale } = input;
        if !(16..=1024).contains(&width) || !(16..=1024).contains(&height) {
            return Err(source.error("the input's sides must be 16 to 1024 pixels"));
        }
        if !(1..=65_536).contains(&output.length) {
            return Err(source.error("the output's length must be 1 to 65536 values"));
        }
        if !(0.0..=1.0).contains(&views.turned_references) {
            return Err(source.error("turned_references must lie in 0..=1"));
        }
        let pixels = PixelFormat::new(channels, colour, layout, mean, scale);
        let reference_check = reference_check.map(|check| check.checked(output.length)).transpose();
        let reference_gap = comparison.reference_gap();
        if !(0.0..=1.0).contains(&reference_gap) {
            return Err(source.error("reference_gap must be from 0 to 1"));
        }
        let comparator = comparison.comparator(output.length).map_err(|e| source.error(e))?;
        let table = |rows: Vec<Row>| {
            let table = if rows.is_empty() { None } else { Some(error_rates(rows)) };
            table.transpose().map_err(|e| source.error(e))
        };
        Ok(Self {
            about: model,
            pixels: pixels.map_err(|reason| source.error(reason))?,
            width,
            height,
            length: output.length,
            views,
            comparator,
            reference_gap,
            reference_check: reference_check.map_err(|reason| source.error(reason))?,
            error_rates: table(error_rate)?,
            profile_error_rates: table(profile_error_rate)?,
            ranges: quantization,
            golden,
        })
    }
}

/// A detector, as its manifest describes it.
pub(super) struct DetectorManifest {
    pub(super) about: About,
    pub(super) pixels: PixelFormat,
    /// The longer side of each look, in pixels, rising.
    pub(super) sizes: Vec<u32>,
    /// The least confidence of a face, 0..=1.
    pub(super) score: f32,
    /// Faces that overlap more are one, 0..=1.
    pub(super) nms_iou: f64,
    pub(super) golden: Golden,
}

impl DetectorManifest {
    /// Reads a detector's manifest.
    ///
    /// # Errors
    /// [`ModelError`] saying what is wrong with it.
    pub(super) fn of(source: &ModelSource) -> Result<Self, ModelError> {
        let DetectorFile { model, input, output, golden } = parse(source)?;
        let DetectorInput { sizes, channels, layout, colour, mean, scale } = input;
        let pixels = PixelFormat::new(channels, colour, layout, mean, scale);
        let fits = |side: &u32| side.is_multiple_of(32) && (64..=1280).contains(side);
        if sizes.is_empty() || !sizes.iter().all(fits) || !sizes.is_sorted_by(|a, b| a < b) {
            return Err(source.error("sizes must be rising multiples of 32 from 64 to 1280"));
        }
        let DetectorOutput { score, nms_iou, .. } = output;
        if !(0.0..=1.0).contains(&score) || !(0.0..=1.0).contains(&nms_iou) {
            return Err(source.error("score and nms_iou must lie in 0..=1"));
        }
        Ok(Self {
            about: model,
            pixels: pixels.map_err(|reason| source.error(reason))?,
            sizes,
            score,
            nms_iou,
            golden,
        })
    }
}

/// A landmark network, as its manifest describes it.
pub(super) struct LandmarksManifest {
    pub(super) about: About,
    pub(super) pixels: PixelFormat,
    /// The side, in pixels, of the square that it looks at: a face aligned by rough landmarks.
    pub(super) side: u32,
    /// How sure it must be that it is a face, 0..=1.
    pub(super) score: f32,
    pub(super) golden: Golden,
}

impl LandmarksManifest {
    /// Reads a landmark network's manifest.
    ///
    /// # Errors
    /// [`ModelError`] saying what is wrong with it.
    pub(super) fn of(source: &ModelSource) -> Result<Self, ModelError> {
        let LandmarksFile { model, input, output, golden } = parse(source)?;
        let (side, pixels) = input.pixels().map_err(|reason| source.error(reason))?;
        if !(0.0..=1.0).contains(&output.score) {
            return Err(source.error("score must lie in 0..=1"));
        }
        Ok(Self { about: model, pixels, side, score: output.score, golden })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncoderFile {
    model: About,
    input: EncoderInput,
    output: EncoderOutput,
    #[serde(default)]
    views: Views,
    comparison: Comparison,
    reference_check: Option<ReferenceCheck>,
    #[serde(default)]
    error_rate: Vec<Row>,
    #[serde(default)]
    profile_error_rate: Vec<Row>,
    quantization: Option<Ranges>,
    golden: Option<Golden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncoderInput {
    width: u32,
    height: u32,
    channels: usize,
    layout: Layout,
    colour: Color,
    mean: Vec<f32>,
    scale: Scale,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncoderOutput {
    length: usize,
}

/// `[views]`: how often an encoder looks at a face. A reference is at least the mean of the face and its mirror image.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Views {
    /// Whether a probe too is the mean of the face and its mirror image.
    pub(super) mirrored_probes: bool,
    /// What each view of a reference's head turned aside weighs where the face as it is weighs 1, 0..=1.
    pub(super) turned_references: f32,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Comparison {
    Cosine {
        scale: f64,
        offset: f64,
        #[serde(default)]
        reference_gap: f64,
    },
    WeightedL1 {
        weights: Vec<f32>,
        bias: f32,
        /// A head is trained to give log-odds, so 1 and 0 unless somebody has calibrated it.
        #[serde(default = "one")]
        scale: f64,
        #[serde(default)]
        offset: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl Comparison {
    fn reference_gap(&self) -> f64 {
        match self {
            Self::Cosine { reference_gap, .. } => *reference_gap,
            Self::WeightedL1 { .. } => 0.0,
        }
    }

    /// The comparator of embeddings of `length` values, or what is wrong.
    fn comparator(self, length: usize) -> Result<Comparator, String> {
        let (measure, scale, offset) = match self {
            Self::Cosine { scale, offset, .. } => (Measure::Cosine, scale, offset),
            Self::WeightedL1 { weights, bias, scale, offset } => {
                if weights.len() != length {
                    return Err(format!(
                        "the head has {} weights for {length} values of an embedding",
                        weights.len()
                    ));
                }
                let head = Head::new(weights, bias);
                let head =
                    head.ok_or("the head's weights and bias must be finite, and within 1e15")?;
                (Measure::WeightedL1(head), scale, offset)
            }
        };
        let calibration = Calibration::new(scale, offset);
        let calibration = calibration
            .ok_or("the comparison's scale must be above 0, and both it and the offset finite")?;
        Ok(Comparator { measure, calibration })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorFile {
    model: About,
    input: DetectorInput,
    output: DetectorOutput,
    golden: Golden,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorInput {
    sizes: Vec<u32>,
    channels: usize,
    layout: Layout,
    colour: Color,
    mean: Vec<f32>,
    scale: Scale,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorOutput {
    #[expect(dead_code, reason = "the only family; another one would be an enum variant")]
    family: Family,
    score: f32,
    nms_iou: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Family {
    Yunet,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LandmarksFile {
    model: About,
    input: SquareInput,
    output: LandmarksOutput,
    golden: Golden,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SquareInput {
    side: u32,
    channels: usize,
    layout: Layout,
    colour: Color,
    mean: Vec<f32>,
    scale: Scale,
}

impl SquareInput {
    /// Returns the side and the format of the pixels, or what is wrong with them.
    pub(super) fn pixels(self) -> Result<(u32, PixelFormat), String> {
        let Self { side, channels, layout, colour, mean, scale } = self;
        if !(16..=1024).contains(&side) {
            return Err("side must be 16 to 1024".to_owned());
        }
        Ok((side, PixelFormat::new(channels, colour, layout, mean, scale)?))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LandmarksOutput {
    score: f32,
}

/// `[model]`: what the network is and where it comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) sha256: String,
    /// For people; nothing depends on it.
    #[expect(dead_code, reason = "required, so that no model comes without it")]
    licence: String,
    #[expect(dead_code, reason = "required, so that no model comes without it")]
    provenance: String,
}

/// `[golden]`: the network's output for the [`test_pattern`](super::pixels::test_pattern).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    pub(super) output: Vec<f32>,
    /// The output in 8 bits.
    #[serde(default)]
    bytes: Option<Vec<f32>>,
}

/// A network that does not see what its manifest says.
#[derive(Debug, thiserror::Error)]
#[error(
    "its output for the test pattern differs from the golden output in the manifest; check the \
     input's size, layout, color order, mean and scale"
)]
pub(super) struct GoldenMismatch;

impl Golden {
    /// Compares an output with the golden one, to 1e-4 of its largest value: processors sum
    /// in different orders, while a wrong colour order, scale or layout is far off.
    pub(super) fn check(&self, output: &[f32]) -> Result<(), GoldenMismatch> {
        agree(&self.output, output, 1e-4)
    }

    /// Compares an output in 8 bits with the golden one, to 1e-6 of its largest value if it is exact,
    /// the same on every processor. Otherwise to 2e-2: a sum in floats that rounds to another byte
    /// changes more than the sum. `None` if there is no golden one.
    pub(super) fn check_bytes(
        &self,
        output: &[f32],
        is_exact: bool,
    ) -> Option<Result<(), GoldenMismatch>> {
        let tolerance = if is_exact { 1e-6 } else { 2e-2 };
        self.bytes.as_deref().map(|golden| agree(golden, output, tolerance))
    }
}

fn agree(golden: &[f32], output: &[f32], tolerance: f32) -> Result<(), GoldenMismatch> {
    let largest = golden.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    // Of an infinite one nothing would be far off.
    let agrees = largest.is_finite()
        && golden.len() == output.len()
        && golden.iter().zip(output).all(|(a, b)| (a - b).abs() <= tolerance * largest);
    if agrees { Ok(()) } else { Err(GoldenMismatch) }
}

pub(super) fn parse<M: for<'de> Deserialize<'de>>(source: &ModelSource) -> Result<M, ModelError> {
    toml::from_str(source.manifest()).map_err(|e| source.error(format!("its manifest: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a manifest of ours, a word of it changed.
    fn refused<M>(
        of: fn(&ModelSource) -> Result<M, ModelError>,
        manifest: &str,
        (word, other): (&str, &str),
    ) -> String {
        assert!(manifest.contains(word), "{word}");
        let changed = manifest.replacen(word, other, 1);
        of(&ModelSource::new("test".to_owned(), Vec::new(), changed)).err().unwrap().to_string()
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let encoder = include_str!("../../models/encoder.toml");
        for (change, reason) in [
            (("length = 128", "length = 0"), "1 to 65536"),
            (("width = 112", "width = 8"), "16 to 1024"),
            (("offset = ", "offset = nan # "), "finite"),
            (("kind = \"cosine\"\nscale = ", "kind = \"cosine\"\nscale = 1e300 # "), "finite"),
            (("fmr = ", "fmr = nan # "), "between 0 and 1"),
            (("mean = [128.0,", "mean = [nan,"), "finite"),
            (("turned_references = ", "turned_references = nan # "), "0..=1"),
        ] {
            let said = refused(EncoderManifest::of, encoder, change);
            assert!(said.contains(reason), "{change:?}: {said}");
        }
        let detector = include_str!("../../models/detector.toml");
        for (change, reason) in [
            (("score = ", "score = nan # "), "0..=1"),
            (("nms_iou = ", "nms_iou = nan # "), "0..=1"),
            (("sizes = [96, 192, 320, 640]", "sizes = [96, 192, 100000]"), "1280"),
            (("sizes = [96, 192, 320, 640]", "sizes = [320, 192]"), "rising"),
            (("sizes = [96, 192, 320, 640]", "sizes = []"), "rising"),
        ] {
            let said = refused(DetectorManifest::of, detector, change);
            assert!(said.contains(reason), "{change:?}: {said}");
        }
        let landmarks = include_str!("../../models/landmarks.toml");
        for (change, reason) in [
            (("score = ", "score = nan # "), "0..=1"),
            (("side = ", "side = 8 # "), "16 to 1024"),
            (("scale = ", "scale = 0 # "), "not 0"),
        ] {
            let said = refused(LandmarksManifest::of, landmarks, change);
            assert!(said.contains(reason), "{change:?}: {said}");
        }
    }

    #[test]
    fn a_golden_output_that_is_no_number_agrees_with_nothing() {
        let agrees = |golden: f32, seen: f32| {
            Golden { output: vec![golden, 1.0], bytes: None }.check(&[seen, 1.0]).is_ok()
        };
        assert!(agrees(0.5, 0.5) && !agrees(0.5, 0.6));
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!agrees(number, 0.5) && !agrees(0.5, number) && !agrees(number, number));
        }
    }
}
