//! Model files: an ONNX network and the manifest beside it, read, checked and loaded into tract.
//!
//! Nothing in the code knows a model's name. What a network wants to see and what its output
//! means stands in its manifest; a manifest that does not fit its network fails the start.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use super::inspection::{Port, network_inputs};
use super::prelu;
use crate::embedding::ModelId;
use crate::employee::ModelName;

/// A network ready to run at one input size.
pub(super) type Plan = Arc<TypedRunnableModel>;

/// What to do with a network that compares two photos by itself.
pub(super) const EXPORT_THE_ENCODER: &str = "A whole Siamese network compares two photos; here its encoder is wanted alone, \
    one photo in and one vector out (in Keras, model.get_layer(...).export(FILE, format=\"onnx\") of the layer that both photos share; \
    in PyTorch, torch.onnx.export of that module). Its last layer goes into the manifest: [comparison] kind = \"weighted_l1\", weights, bias";

/// Why a model cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct ModelError {
    name: String,
    reason: String,
}

impl ModelError {
    pub(super) fn new(name: String, reason: String) -> Self {
        Self { name, reason }
    }
}

/// The bytes of a network and the text of its manifest.
#[derive(Clone, Debug)]
pub struct ModelSource {
    origin: String,
    onnx: Cow<'static, [u8]>,
    manifest: Cow<'static, str>,
}

impl ModelSource {
    /// The encoder that this binary carries.
    pub fn embedded_encoder() -> Self {
        Self {
            origin: "encoder (embedded)".to_owned(),
            onnx: include_bytes!("../../models/encoder.onnx").into(),
            manifest: include_str!("../../models/encoder.toml").into(),
        }
    }

    /// The detector that this binary carries.
    pub fn embedded_detector() -> Self {
        Self {
            origin: "detector (embedded)".to_owned(),
            onnx: include_bytes!("../../models/detector.onnx").into(),
            manifest: include_str!("../../models/detector.toml").into(),
        }
    }

    /// A network and a manifest that are already in memory; `origin` is what errors call it.
    pub fn new(origin: String, onnx: Vec<u8>, manifest: String) -> Self {
        Self { origin, onnx: onnx.into(), manifest: manifest.into() }
    }

    /// Reads `NAME.onnx` and `NAME.toml` beside it.
    ///
    /// # Errors
    /// [`ModelError`] naming the file that cannot be read.
    pub fn read(onnx: &Path) -> Result<Self, ModelError> {
        let origin = onnx.display().to_string();
        let manifest: PathBuf = onnx.with_extension("toml");
        let failed = |path: &Path, error: std::io::Error| ModelError {
            name: format!("the model {origin}"),
            reason: format!("{} cannot be read: {error}", path.display()),
        };
        Ok(Self {
            onnx: std::fs::read(onnx).map_err(|e| failed(onnx, e))?.into(),
            manifest: std::fs::read_to_string(&manifest).map_err(|e| failed(&manifest, e))?.into(),
            origin,
        })
    }

    /// An error of this model.
    pub(super) fn error(&self, reason: impl std::fmt::Display) -> ModelError {
        ModelError { name: format!("the model {}", self.origin), reason: reason.to_string() }
    }

    /// Reads the manifest into the given shape.
    pub(super) fn manifest<M: for<'de> Deserialize<'de>>(&self) -> Result<M, ModelError> {
        toml::from_str(&self.manifest).map_err(|e| self.error(format!("its manifest: {e}")))
    }

    /// Parses the network, after checking that it is the one its manifest describes.
    pub(super) fn network(&self, about: &About) -> Result<(Network, ModelName), ModelError> {
        let digest = ModelId::from_digest(Sha256::digest(&self.onnx).into());
        if digest.to_string() != about.sha256.to_ascii_lowercase() {
            return Err(self.error(format!(
                "its file has the SHA-256 {digest}, its manifest says {}",
                about.sha256
            )));
        }
        let proto = onnx().proto_model_for_read(&mut self.onnx.as_ref());
        let mut proto = proto.map_err(|e| self.error(format!("it is not an ONNX file: {e:#}")))?;
        prelu::split(&mut proto);
        let inputs = network_inputs(&proto).count();
        if inputs != 1 {
            return Err(self.error(format!("it has {inputs} inputs. {EXPORT_THE_ENCODER}")));
        }
        Ok((Network { proto }, ModelName { name: about.name.as_str().into(), id: digest }))
    }
}

/// A parsed network, not yet bound to an input size.
pub(super) struct Network {
    proto: ModelProto,
}

impl Network {
    /// The names of the outputs, in the order in which a plan returns them.
    pub(super) fn outputs(&self) -> Vec<&str> {
        let graph = self.proto.graph.as_ref();
        graph.map(|g| g.output.iter().map(|o| o.name.as_str()).collect()).unwrap_or_default()
    }

    /// The input, as the file describes it.
    pub(super) fn input(&self) -> Option<Port> {
        network_inputs(&self.proto).next().map(Port::from)
    }

    /// Optimises the network for one input shape.
    pub(super) fn plan(&self, shape: &[usize]) -> TractResult<Plan> {
        onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&self.proto)?
            .with_input_fact(0, f32::fact(shape).into())?
            .into_optimized()?
            .into_runnable()
    }
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

/// `[golden]`: the network's output for the [`test_pattern`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    pub(super) output: Vec<f32>,
}

/// A network that does not see what its manifest says.
#[derive(Debug, thiserror::Error)]
#[error(
    "its output for the test pattern is not the manifest's golden one; check the input's size, \
     layout, colour order, mean and scale"
)]
pub(super) struct GoldenMismatch;

impl Golden {
    /// Compares an output with the golden one, to 1e-4 of its largest value: processors sum
    /// in different orders, while a wrong colour order, scale or layout is far off.
    pub(super) fn check(&self, output: &[f32]) -> Result<(), GoldenMismatch> {
        let largest = self.output.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let agrees = self.output.len() == output.len()
            && self.output.iter().zip(output).all(|(a, b)| (a - b).abs() <= 1e-4 * largest);
        if agrees { Ok(()) } else { Err(GoldenMismatch) }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Colour {
    Bgr,
    Grey,
    Rgb,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layout {
    Nchw,
    Nhwc,
}

/// How pixels become a network's input: (pixel - mean) * scale, channel by channel.
#[derive(Clone, Debug)]
pub(super) struct PixelFormat {
    colour: Colour,
    layout: Layout,
    mean: Vec<f32>,
    scale: Vec<f32>,
}

/// One factor for all channels, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scale {
    All(f32),
    Each(Vec<f32>),
}

impl PixelFormat {
    /// A format whose parts fit each other, or what does not fit.
    pub(super) fn new(
        channels: usize,
        colour: Colour,
        layout: Layout,
        mean: Vec<f32>,
        scale: Scale,
    ) -> Result<Self, String> {
        let expected = if colour == Colour::Grey { 1 } else { 3 };
        if channels != expected {
            return Err(format!("colour = {colour:?} has {expected} channels, not {channels}"));
        }
        if mean.len() != channels || !mean.iter().all(|m| m.is_finite()) {
            return Err(format!("mean must be {channels} finite numbers, one a channel"));
        }
        let scale = match scale {
            Scale::All(scale) => vec![scale; channels],
            Scale::Each(scales) => scales,
        };
        if scale.len() != channels || !scale.iter().all(|s| s.is_finite() && *s != 0.0) {
            return Err(format!(
                "scale must be finite and not 0, one number or {channels}, one a channel"
            ));
        }
        Ok(Self { colour, layout, mean, scale })
    }

    /// The input shape for an image of this size.
    pub(super) fn shape(&self, width: u32, height: u32) -> [usize; 4] {
        let (width, height, channels) = (width as usize, height as usize, self.mean.len());
        match self.layout {
            Layout::Nchw => [1, channels, height, width],
            Layout::Nhwc => [1, height, width, channels],
        }
    }

    /// The network's input for an image.
    pub(super) fn tensor(&self, image: &RgbImage) -> TractResult<Tensor> {
        let shape = self.shape(image.width(), image.height());
        let channels = self.mean.len();
        let area = image.len() / 3;
        let mut values = vec![0.0_f32; area * channels];
        for (i, pixel) in image.pixels().enumerate() {
            let [r, g, b] = pixel.0;
            let ordered = match self.colour {
                Colour::Rgb => [r, g, b],
                Colour::Bgr => [b, g, r],
                Colour::Grey => [luma(pixel.0), 0, 0],
            };
            let normal = self.mean.iter().zip(&self.scale);
            for (c, (&value, (mean, scale))) in ordered.iter().zip(normal).enumerate() {
                let at = match self.layout {
                    Layout::Nchw => c * area + i,
                    Layout::Nhwc => i * channels + c,
                };
                values[at] = (f32::from(value) - mean) * scale;
            }
        }
        Tensor::from_shape(&shape, &values)
    }
}

/// ITU-R BT.601 luma in whole numbers.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// The picture whose output stands in each manifest: three crossing triangle waves, a different
/// one in each channel, so that no other colour order, scale or layout gives the same output.
pub(super) fn test_pattern(width: u32, height: u32) -> RgbImage {
    let wave = |x: u32, y: u32, [kx, ky, start]: [u32; 3]| {
        ((kx * x + ky * y + start) % 510).abs_diff(255) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([[5, 2, 0], [3, 7, 80], [1, 5, 200]].map(|k| wave(x, y, k)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(format: &PixelFormat) -> Vec<f32> {
        let image = RgbImage::from_raw(2, 1, vec![10, 20, 30, 40, 50, 60]).unwrap();
        let tensor = format.tensor(&image).unwrap();
        tensor.to_plain_array_view::<f32>().unwrap().iter().copied().collect()
    }

    #[test]
    fn pixels_are_laid_out_as_the_manifest_says() {
        let format = |colour, layout, mean: &[f32], scale| {
            PixelFormat::new(mean.len(), colour, layout, mean.to_vec(), Scale::All(scale)).unwrap()
        };
        let rgb = format(Colour::Rgb, Layout::Nchw, &[0.0; 3], 1.0);
        assert_eq!(values(&rgb), [10.0, 40.0, 20.0, 50.0, 30.0, 60.0]);
        let bgr = format(Colour::Bgr, Layout::Nhwc, &[10.0, 0.0, 0.0], 0.5);
        assert_eq!(values(&bgr), [10.0, 10.0, 5.0, 25.0, 25.0, 20.0]);
        let grey = format(Colour::Grey, Layout::Nchw, &[0.0], 1.0);
        assert_eq!(values(&grey), [18.0, 48.0]);
        let each = Scale::Each(vec![1.0, 2.0, 0.5]);
        let each = PixelFormat::new(3, Colour::Rgb, Layout::Nhwc, vec![0.0; 3], each).unwrap();
        assert_eq!(values(&each), [10.0, 40.0, 15.0, 40.0, 100.0, 30.0]);
    }

    #[test]
    fn a_format_that_contradicts_itself_is_refused() {
        let new = |channels, mean: &[f32], scale| {
            PixelFormat::new(channels, Colour::Rgb, Layout::Nchw, mean.to_vec(), Scale::All(scale))
        };
        assert!(new(1, &[0.0], 1.0).is_err());
        assert!(new(3, &[0.0], 1.0).is_err());
        assert!(new(3, &[0.0; 3], 0.0).is_err());
        assert!(new(3, &[f32::NAN, 0.0, 0.0], 1.0).is_err());
        let two = Scale::Each(vec![1.0; 2]);
        assert!(PixelFormat::new(3, Colour::Rgb, Layout::Nchw, vec![0.0; 3], two).is_err());
    }

    #[test]
    fn a_network_that_is_not_the_manifests_own_is_refused() {
        let source = ModelSource {
            origin: "test".to_owned(),
            onnx: b"not a network".as_slice().into(),
            manifest: "".into(),
        };
        let about = |sha256: String| About {
            name: "test".to_owned(),
            sha256,
            licence: String::new(),
            provenance: String::new(),
        };
        let refused = |sha256| source.network(&about(sha256)).err().unwrap().to_string();
        assert!(refused("00".repeat(32)).contains("its manifest says 0000"));
        let own = ModelId::from_digest(Sha256::digest(b"not a network").into()).to_string();
        assert!(refused(own).contains("not an ONNX file"));
    }
}
