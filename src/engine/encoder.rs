//! The encoder: an aligned face becomes an embedding.

use std::time::Duration;

use anyhow::bail;
use image::RgbImage;
use image::imageops::flip_horizontal;
use tract_onnx::prelude::*;

use super::calibration::{CalibrationSource, Recalibration};
use super::error::EngineError;
use super::manifest::{EncoderManifest, Golden, Views};
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, median_time, tensor};
use super::pixels::{PixelFormat, test_pattern};
use super::quantization::Precision;
use super::range_meter::RangeMeter;
use super::reference_check::ReferenceCheck;
use crate::comparison::{Comparator, ErrorRates};
use crate::embedding::Embedding;
use crate::employee::ModelName;
use crate::face::{AlignedFace, SyntheticYaw};

/// Angles of the synthetic yaw views of a reference, to either side, in degrees.
const YAW_DEGREES: [f64; 3] = [20.0, 40.0, 60.0];

const NO_RANGES: &str = "its manifest has no [quantization], so it does not run in 8 bits: `likeness model check FILE \
    --calibrate DIR` measures the ranges, and --precision float needs none";

/// The role of a sample in a comparison (ISO/IEC 2382-37).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Stored and compared with probes. It is encoded in more views than a probe, once for each enrollment.
    Reference,
    /// Compared with references.
    Probe,
}

/// An encoder that has shown that it gives what its manifest says.
#[derive(Debug)]
pub struct Encoder {
    plan: Plan,
    pixels: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    length: usize,
    views: Views,
    yaws: Vec<SyntheticYaw>,
    model: ModelName,
    precision: Precision,
    /// Whether it gives the same numbers on every processor.
    is_exact: bool,
    meter: Option<RangeMeter>,
    comparator: Comparator,
    reference_gap: f64,
    reference_check: Option<ReferenceCheck>,
    error_rates: Option<ErrorRates>,
    profile_error_rates: Option<ErrorRates>,
}

impl Encoder {
    /// Loads the network and lets it encode the test pattern, which also warms it up.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit.
    pub fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let (encoder, golden) = Self::unproven(source)?;
        let output = encoder.see_pattern().map_err(|e| source.error(format!("{e:#}")))?;
        let checked = golden.and_then(|golden| match encoder.precision {
            Precision::Float => Some(golden.check(&output)),
            Precision::Bytes => golden.check_bytes(&output, encoder.is_exact),
        });
        let missing = match encoder.precision {
            Precision::Float => {
                "its manifest has no [golden] output; `likeness model check` writes it"
            }
            Precision::Bytes => {
                "its manifest has no golden output in 8 bits ([golden] bytes); `likeness model check` writes it"
            }
        };
        checked.ok_or_else(|| source.error(missing))?.map_err(|e| source.error(e))?;
        Ok(encoder)
    }

    /// Loads the network in floats, with a meter of the ranges of its maps.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit.
    pub fn measuring(source: &ModelSource) -> Result<Self, ModelError> {
        let source = source.clone().in_precision(Some(Precision::Float));
        let (network, _) = Network::read(&source, &EncoderManifest::of(&source)?.about)?;
        let mut encoder = Self::load(&source)?;
        let shape = encoder.pixels.shape(encoder.width, encoder.height);
        let plan = network.plan_with_maps(&shape);
        let (plan, maps) = plan.map_err(|e| source.error(format!("{e:#}")))?;
        encoder.plan = plan;
        encoder.meter = Some(RangeMeter::new(maps));
        Ok(encoder)
    }

    /// Returns the ranges of the maps of all faces that this encoder has seen since [`Encoder::measuring`]: the lowest
    /// and the highest value by the name of each map.
    pub fn measured_ranges(&self) -> Vec<(String, [f32; 2])> {
        self.meter.as_ref().map(RangeMeter::ranges).unwrap_or_default()
    }

    /// What the network gives for the test pattern, whatever its manifest says of that.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit.
    pub fn golden_output(source: &ModelSource) -> Result<Vec<f32>, ModelError> {
        let (encoder, _) = Self::unproven(source)?;
        encoder.see_pattern().map_err(|e| source.error(format!("{e:#}")))
    }

    /// The encoder that the manifest describes, and what would prove it.
    fn unproven(source: &ModelSource) -> Result<(Self, Option<Golden>), ModelError> {
        let EncoderManifest {
            about,
            pixels,
            width,
            height,
            length,
            views,
            comparator,
            reference_gap,
            reference_check,
            error_rates,
            profile_error_rates,
            ranges,
            golden,
        } = EncoderManifest::of(source)?;
        let ranges = match source.precision() {
            Some(Precision::Float) => None,
            Some(Precision::Bytes) if ranges.is_none() => return Err(source.error(NO_RANGES)),
            Some(Precision::Bytes) | None => ranges,
        };
        let (network, model) = Network::read(source, &about)?;
        let shape = pixels.shape(width, height);
        if let Some(input) = network.input().filter(|input| !input.takes(&shape)) {
            return Err(
                source.error(format!("the manifest's input is {shape:?}, the network's {input}"))
            );
        }
        let (plan, model, precision) = match ranges {
            Some(ranges) => {
                let name = format!("{} (8-bit)", model.name).into();
                let model = ModelName { name, id: ranges.identity(model.id) };
                (network.plan_in_bytes(&shape, &ranges), model, Precision::Bytes)
            }
            None => (network.plan(&shape).map(|plan| (plan, false)), model, Precision::Float),
        };
        let (plan, is_exact) = plan.map_err(|e| source.error(format!("{e:#}")))?;
        let yaws = YAW_DEGREES.into_iter().filter(|_| views.turned_references > 0.0);
        let encoder = Self {
            plan,
            pixels,
            width,
            height,
            length,
            views,
            yaws: yaws.map(|degrees| SyntheticYaw::new(degrees, width, height)).collect(),
            model,
            precision,
            is_exact,
            meter: None,
            comparator,
            reference_gap,
            reference_check,
            error_rates,
            profile_error_rates,
        };
        Ok((encoder, golden))
    }

    /// Its name and identity.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// Returns the arithmetic that it runs in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Values of one embedding.
    pub fn embedding_length(&self) -> usize {
        self.length
    }

    /// How its embeddings are compared.
    pub fn comparator(&self) -> &Comparator {
        &self.comparator
    }

    /// Returns how much more alike, in score, references of different people are to each other than to probes.
    pub fn reference_gap(&self) -> f64 {
        self.comparator.calibration.scale() * self.reference_gap
    }

    /// Whether a reference shows a face that this encoder can recognize, as far as its embedding tells. Strangers would
    /// match the others.
    pub fn accepts_reference(&self, reference: &Embedding) -> bool {
        self.reference_check.as_ref().is_none_or(|check| check.accepts(reference))
    }

    /// Returns the measured error rates, if the manifest has any.
    pub fn error_rates(&self) -> Option<&ErrorRates> {
        self.error_rates.as_ref()
    }

    /// Returns the error rates for probes in profile. No decision uses them; they state the cost of a turned head.
    pub fn profile_error_rates(&self) -> Option<&ErrorRates> {
        self.profile_error_rates.as_ref()
    }

    /// Returns the time of one face on one thread: the median of `rounds` runs.
    ///
    /// # Errors
    /// [`EngineError`] where the network fails.
    pub fn time_a_face(&self, rounds: usize) -> Result<Duration, EngineError> {
        median_time(rounds, || self.see_pattern().map(drop)).map_err(EngineError::run)
    }

    /// Replaces the manifest's calibration, if `source` is one of this encoder.
    pub(super) fn recalibrated(mut self, source: &CalibrationSource) -> Result<Self, ModelError> {
        let Recalibration { calibration, error_rates, .. } = source.of(self.model.id)?;
        self.comparator.calibration = calibration;
        self.error_rates = Some(error_rates);
        self.profile_error_rates = None;
        Ok(self)
    }

    /// Encodes a face as the mean of its views, which cancels much of what belongs to the photo and not to the person. A
    /// reference has a mirrored view, and synthetic yaw views if the manifest says so; a probe has one view by default.
    pub(super) fn encode(&self, face: &AlignedFace, role: Role) -> Result<Embedding, EngineError> {
        let face = face.pixels();
        let seen = self.embedding(face)?;
        if role == Role::Probe && !self.views.mirrored_probes {
            return Ok(seen);
        }
        let mirrored = flip_horizontal(face);
        let mut views = vec![(1.0, seen), (1.0, self.embedding(&mirrored)?)];
        if role == Role::Reference {
            for yaw in &self.yaws {
                for face in [face, &mirrored] {
                    views.push((self.views.turned_references, self.embedding(&yaw.of(face))?));
                }
            }
        }
        self.comparator.measure.mean(&views).map_err(EngineError::run)
    }

    /// What the comparator compares, of one view of a face.
    fn embedding(&self, pixels: &RgbImage) -> Result<Embedding, EngineError> {
        let values = self.see(pixels).map_err(EngineError::run)?;
        self.comparator.measure.embedding(values).map_err(EngineError::run)
    }

    fn see_pattern(&self) -> TractResult<Vec<f32>> {
        self.see(&test_pattern(self.width, self.height))
    }

    fn see(&self, pixels: &RgbImage) -> TractResult<Vec<f32>> {
        let input = tensor(&self.pixels, pixels)?;
        let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
        let (own, maps) =
            outputs.split_at(outputs.len() - self.meter.as_ref().map_or(0, RangeMeter::maps));
        let [output] = own else {
            bail!("the network has {} outputs, not one vector", own.len());
        };
        if let Some(meter) = &self.meter {
            meter.measure(maps)?;
        }
        let values: Vec<f32> = output.to_plain_array_view::<f32>()?.iter().copied().collect();
        if values.len() != self.length {
            bail!("the network outputs {} values, the manifest says {}", values.len(), self.length);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::comparison::Measure;

    const DEFAULT: (&[u8], &str) =
        (include_bytes!("../../models/encoder.onnx"), include_str!("../../models/encoder.toml"));

    /// A Siamese network after Koch et al. 2015, exported by Keras; its head stands in the manifest.
    const KOCH: (&[u8], &str) = (
        include_bytes!("../../tests/data/koch/encoder.onnx"),
        include_str!("../../tests/data/koch/encoder.toml"),
    );

    /// Loads an encoder with a word of its manifest changed.
    fn load_with(
        (onnx, manifest): (&[u8], &str),
        word: &str,
        other: &str,
    ) -> Result<Encoder, ModelError> {
        assert!(manifest.contains(word), "{word}");
        let manifest = manifest.replacen(word, other, 1);
        Encoder::load(&ModelSource::new("test".to_owned(), onnx.to_vec(), manifest))
    }

    #[test]
    fn a_manifest_that_shows_the_network_something_else_is_refused() {
        assert!(load_with(DEFAULT, "likeness-encoder", "another name").is_ok());
        for (word, other, reason) in [
            ("\"rgb\"", "\"bgr\"", "golden"),
            ("scale = 0.0078125", "scale = 0.0039", "golden"),
            ("[128.0, 128.0, 128.0]", "[0.0, 0.0, 0.0]", "golden"),
            ("mirrored_probes", "mirrored", "unknown field"),
            ("length = 128", "length = 64", "128 values"),
            ("[golden]", "[gilded]", "its manifest"),
            ("kind = \"cosine\"", "kind = \"weighted_l1\"", "weights"),
        ] {
            let error = load_with(DEFAULT, word, other).unwrap_err().to_string();
            assert!(error.contains(reason), "{word}: {error}");
        }
    }

    #[test]
    fn a_siamese_head_that_does_not_fit_its_encoder_is_refused() {
        assert!(load_with(KOCH, "koch", "koch").is_ok());
        for (word, other, reason) in [
            ("weights = [", "weights = [1.0,", "97 weights for 96 values"),
            ("bias = ", "bias = inf # ", "finite"),
            ("bias = ", "# bias = ", "missing field `bias`"),
            ("kind = \"weighted_l1\"", "kind = \"koch\"", "unknown variant"),
            ("colour = \"grey\"", "colour = \"rgb\"", "has 3 channels, not 1"),
            (
                "layout = \"nhwc\"",
                "layout = \"nchw\"",
                "is [1, 1, 56, 56], the network's face: float any x 56",
            ),
            ("width = 56", "width = 64", "is [1, 56, 64, 1], the network's face: float any x 56"),
            ("mean = [127.5]", "mean = [0.0]", "golden"),
            ("sha256 = \"", "sha256 = \"00", "its manifest says 00"),
        ] {
            let error = load_with(KOCH, word, other).unwrap_err().to_string();
            assert!(error.contains(reason), "{word}: {error}");
        }
    }

    #[test]
    fn a_whole_siamese_network_is_told_what_to_export() {
        let whole = include_bytes!("../../tests/data/koch/siamese.onnx");
        let digest = crate::engine::Inspection::of(whole).unwrap().digest;
        let own = crate::engine::Inspection::of(KOCH.0).unwrap().digest;
        let manifest = KOCH.1.replace(&own.to_string(), &digest.to_string());
        let source = ModelSource::new("test".to_owned(), whole.to_vec(), manifest);
        let error = Encoder::load(&source).unwrap_err().to_string();
        for part in ["2 inputs", "export", "weighted_l1", "weights, bias"] {
            assert!(error.contains(part), "{error}");
        }
    }

    /// Embeddings of the test pattern and of its mirror image.
    fn pattern_and_mirror_image(encoder: &Encoder, role: Role) -> [Embedding; 2] {
        let face = test_pattern(112, 112);
        [face.clone(), flip_horizontal(&face)]
            .map(|pixels| encoder.encode(&AlignedFace::from_pixels(pixels), role).unwrap())
    }

    fn cosine(a: &Embedding, b: &Embedding) -> f32 {
        Measure::Cosine.of(a.values(), b.values())
    }

    #[test]
    fn a_face_and_its_mirror_image_are_one() {
        let encoder = load_with(DEFAULT, "likeness", "likeness").unwrap();
        let [reference, mirrored] = pattern_and_mirror_image(&encoder, Role::Reference);
        assert!(cosine(&reference, &mirrored) > 0.99999);
        let [probe, mirrored] = pattern_and_mirror_image(&encoder, Role::Probe);
        assert!(cosine(&probe, &mirrored) > 0.99999);
        let likeness = cosine(&reference, &probe);
        assert!((0.5..0.999).contains(&likeness), "{likeness}: turned views are part of it");
    }

    #[test]
    fn without_views_only_references_are_mirrored() {
        let encoder =
            load_with(DEFAULT, "[views]\nmirrored_probes = true\nturned_references = 0.15", "");
        let encoder = encoder.unwrap();
        let [probe, mirrored] = pattern_and_mirror_image(&encoder, Role::Probe);
        let apart = cosine(&probe, &mirrored);
        assert!(apart < 0.99);
        // Half way between two of unit length the angle is half as wide.
        let half = f32::midpoint(1.0, apart).sqrt();
        let [reference, _] = pattern_and_mirror_image(&encoder, Role::Reference);
        assert!((cosine(&reference, &probe) - half).abs() < 1e-4);
    }

    #[derive(Deserialize)]
    struct Pair {
        a: usize,
        b: usize,
        similarity: f64,
    }

    /// Faces of generated people, 56 x 56.
    fn generated_faces() -> impl Iterator<Item = AlignedFace> {
        let faces = include_bytes!("../../tests/data/koch/faces.u8").chunks_exact(56 * 56);
        faces.map(|grey| {
            let rgb = grey.iter().flat_map(|&level| [level; 3]).collect();
            AlignedFace::from_pixels(RgbImage::from_raw(56, 56, rgb).unwrap())
        })
    }

    fn koch(manifest: String) -> ModelSource {
        ModelSource::new("test".to_owned(), KOCH.0.to_vec(), manifest)
    }

    /// Returns Koch's manifest with the ranges of its maps and the golden output in 8 bits.
    fn koch_in_bytes() -> String {
        let source = koch(KOCH.1.to_owned());
        let encoder = Encoder::measuring(&source).unwrap();
        for face in generated_faces() {
            encoder.encode(&face, Role::Probe).unwrap();
        }
        let mut manifest: toml::Table = KOCH.1.parse().unwrap();
        let ranges = encoder.measured_ranges().into_iter();
        let ranges = ranges.map(|(name, range)| (name, toml::Value::from(range.to_vec())));
        manifest.insert("quantization".to_owned(), toml::Value::Table(ranges.collect()));
        let golden = Encoder::golden_output(&koch(manifest.to_string())).unwrap();
        manifest["golden"].as_table_mut().unwrap().insert("bytes".to_owned(), golden.into());
        manifest.to_string()
    }

    #[test]
    fn manifest_with_ranges_runs_in_bytes_as_another_model() {
        let source = koch(koch_in_bytes());
        let bytes = Encoder::load(&source).unwrap();
        let floats = Encoder::load(&source.in_precision(Some(Precision::Float))).unwrap();
        assert_eq!([bytes.precision(), floats.precision()], [Precision::Bytes, Precision::Float]);
        let file = load_with(KOCH, "koch", "koch").unwrap();
        assert_eq!(floats.model(), file.model());
        assert_ne!(bytes.model().id, file.model().id);
        assert_eq!(&*bytes.model().name, format!("{} (8-bit)", file.model().name));
        for face in generated_faces() {
            let [a, b] =
                [&floats, &bytes].map(|encoder| encoder.encode(&face, Role::Probe).unwrap());
            let product = |a: &Embedding, b: &Embedding| cosine(a, b);
            let cosine = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
            assert!(cosine > 0.99 && a != b, "{cosine}");
        }
    }

    #[test]
    fn bytes_without_valid_ranges_are_refused() {
        let in_bytes = |manifest: &str| {
            let source = koch(manifest.to_owned()).in_precision(Some(Precision::Bytes));
            Encoder::load(&source).unwrap_err().to_string()
        };
        let error = in_bytes(KOCH.1);
        assert!(error.contains("no [quantization]") && error.contains("--calibrate"), "{error}");
        let manifest: toml::Table = koch_in_bytes().parse().unwrap();
        let (name, _) = manifest["quantization"].as_table().unwrap().iter().next().unwrap();
        let with = |name: &str, range: [f64; 2]| {
            let mut manifest = manifest.clone();
            let ranges = manifest["quantization"].as_table_mut().unwrap();
            ranges.insert(name.to_owned(), toml::Value::from(range.to_vec()));
            in_bytes(&manifest.to_string())
        };
        for (name, range, reason) in [
            (name.as_str(), [f64::NAN, 1.0], "must be finite"),
            (name, [0.0, f64::INFINITY], "must be finite"),
            (name, [1.0, -1.0], "the first lower"),
            ("nothing", [0.0, 1.0], "nothing, which is no map of this network"),
            (name, [-900.0, 900.0], "golden output"),
        ] {
            let error = with(name, range);
            assert!(error.contains(reason), "{name} {range:?}: {error}");
        }
        let mut manifest = manifest.clone();
        manifest["golden"].as_table_mut().unwrap().remove("bytes");
        assert!(in_bytes(&manifest.to_string()).contains("no golden output in 8 bits"));
    }

    /// Faces of generated people, 56 x 56 and grey, and what Keras's own Siamese model says of each pair.
    #[test]
    fn a_siamese_network_exported_by_keras_answers_as_keras_does() {
        let encoder = load_with(KOCH, "koch", "koch").unwrap();
        let faces = generated_faces();
        let embeddings: Vec<_> =
            faces.map(|face| encoder.encode(&face, Role::Probe).unwrap()).collect();
        let pairs: Vec<Pair> =
            serde_json::from_str(include_str!("../../tests/data/koch/pairs.json")).unwrap();
        assert_eq!(pairs.len(), 21);
        for Pair { a, b, similarity } in pairs {
            let score = encoder.comparator().compare(&embeddings[a], &embeddings[b]);
            let off = (score.similarity() - similarity).abs();
            assert!(off < 1e-4, "{a} {b}: {} where Keras says {similarity}", score.similarity());
        }
    }
}
