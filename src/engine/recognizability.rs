//! The quality network: estimates how much of a person's identity an aligned face still shows, and whether something
//! covers it.
//!
//! It was trained on degraded faces to predict the cosine between the embeddings of the degraded and of the original
//! photo. Encoders map faces that they cannot recognize to a few common directions, so that strangers match each other
//! there; such a face must not become a reference.

use anyhow::ensure;
use serde::Deserialize;
use tract_onnx::prelude::*;

use super::error::EngineError;
use super::manifest::{About, Golden, SquareInput, parse};
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, tensor};
use super::pixels::{PixelFormat, test_pattern};
use crate::face::{self, AlignedFace, Face};
use crate::photo::Photo;
use crate::quality::Recognizability;

/// The manifest of a quality network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    model: About,
    input: SquareInput,
    golden: Golden,
}

/// A quality network that reproduced the golden output of its manifest.
#[derive(Debug)]
pub(super) struct QualityNetwork {
    plan: Plan,
    pixels: PixelFormat,
    side: u32,
}

impl QualityNetwork {
    /// Loads the network and runs it on the test pattern.
    pub(super) fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let Manifest { model, input, golden } = parse(source)?;
        let (side, pixels) = input.pixels().map_err(|reason| source.error(reason))?;
        let (network, _) = Network::read(source, &model)?;
        let failed = |error: TractError| source.error(format!("{error:#}"));
        let plan = network.plan(&pixels.shape(side, side)).map_err(failed)?;
        let network = Self { plan, pixels, side };
        let output = network.run(&test_pattern(side, side)).map_err(failed)?;
        golden.check(&output).map_err(|e| source.error(e))?;
        Ok(network)
    }

    /// Assesses a face of a photo; `aligned` is the same face, aligned for an encoder, and read if its side is right.
    pub(super) fn assess(
        &self,
        photo: &Photo,
        face: &Face,
        aligned: &AlignedFace,
    ) -> Result<Recognizability, EngineError> {
        let fits = aligned.pixels().dimensions() == (self.side, self.side);
        let another = (!fits).then(|| face::align(photo, face, self.side, self.side));
        let pixels = another.as_ref().unwrap_or(aligned).pixels();
        let [agreement, covered] = self.run(pixels).map_err(EngineError::run)?;
        Ok(Recognizability::new(agreement, covered))
    }

    /// Returns the expected cosine, -1..=1, and the probability that the face is covered, 0..=1.
    fn run(&self, square: &image::RgbImage) -> TractResult<[f32; 2]> {
        let outputs = self.plan.run(tvec!(tensor(&self.pixels, square)?.into_tvalue()))?;
        let view = outputs[0].to_plain_array_view::<f32>()?;
        ensure!(view.len() == 2, "the output has {} values, not 2", view.len());
        let mut values = view.iter().copied();
        Ok(std::array::from_fn(|_| values.next().unwrap_or(f32::NAN)))
    }
}
