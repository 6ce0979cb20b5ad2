//! Model files: an ONNX network and the manifest beside it, read and not yet understood.
//!
//! Nothing in the code knows a model's name. What a network wants to see and what its output
//! means stands in its manifest; a manifest that does not fit its network fails the start.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::quantization::Precision;

/// What to do with a network that compares two photos by itself.
pub(crate) const EXPORT_THE_ENCODER: &str = "A Siamese network has two inputs; export only its shared encoder, \
    with one photo as input and one vector as output (Keras: `model.get_layer(...).export(FILE, format=\"onnx\")` of the shared layer; \
    PyTorch: `torch.onnx.export` of that module). Put its last layer into the manifest: `[comparison] kind = \"weighted_l1\"`, weights, bias";

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
    precision: Option<Precision>,
}

impl ModelSource {
    /// The encoder that this binary carries.
    pub fn embedded_encoder() -> Self {
        Self::embedded(
            "encoder (embedded)",
            include_bytes!("../../models/encoder.onnx"),
            include_str!("../../models/encoder.toml"),
        )
    }

    /// The detector that this binary carries.
    pub fn embedded_detector() -> Self {
        Self::embedded(
            "detector (embedded)",
            include_bytes!("../../models/detector.onnx"),
            include_str!("../../models/detector.toml"),
        )
    }

    /// The landmark network that this binary carries.
    pub fn embedded_landmarks() -> Self {
        Self::embedded(
            "landmarks (embedded)",
            include_bytes!("../../models/landmarks.onnx"),
            include_str!("../../models/landmarks.toml"),
        )
    }

    /// The quality network that this binary carries.
    pub fn embedded_quality() -> Self {
        Self::embedded(
            "quality (embedded)",
            include_bytes!("../../models/quality.onnx"),
            include_str!("../../models/quality.toml"),
        )
    }

    /// The network for presentation attack detection that this binary carries.
    pub fn embedded_pad() -> Self {
        Self::embedded(
            "pad (embedded)",
            include_bytes!("../../models/pad.onnx"),
            include_str!("../../models/pad.toml"),
        )
    }

    fn embedded(origin: &str, onnx: &'static [u8], manifest: &'static str) -> Self {
        let (onnx, manifest) = (onnx.into(), manifest.into());
        Self { origin: origin.to_owned(), onnx, manifest, precision: None }
    }

    /// A network and a manifest that are already in memory; `origin` is what errors call it.
    pub fn new(origin: String, onnx: Vec<u8>, manifest: String) -> Self {
        Self { origin, onnx: onnx.into(), manifest: manifest.into(), precision: None }
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
            precision: None,
        })
    }

    /// Sets the precision of an encoder; without one it runs in 8 bits if its manifest has the ranges for it.
    #[must_use]
    pub fn in_precision(self, precision: Option<Precision>) -> Self {
        Self { precision, ..self }
    }

    /// The network's file.
    pub(super) fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    /// The manifest's text.
    pub(super) fn manifest(&self) -> &str {
        &self.manifest
    }

    /// The precision that was asked for.
    pub(super) fn precision(&self) -> Option<Precision> {
        self.precision
    }

    /// An error of this model.
    pub(super) fn error(&self, reason: impl std::fmt::Display) -> ModelError {
        ModelError { name: format!("the model {}", self.origin), reason: reason.to_string() }
    }
}
