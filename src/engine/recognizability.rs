//! The quality network: estimates how much of a person's identity an aligned face still shows, and whether something
//! covers it.
//!
//! It was trained on degraded faces to predict the cosine between the embeddings of the degraded and of the original
//! photo. Encoders map faces that they cannot recognize to a few common directions, so that strangers match each other
//! there; such a face must not become a reference.

use serde::Deserialize;

use super::error::EngineError;
use super::manifest::{About, Golden, SquareInput, parse};
use super::model::{ModelError, ModelSource};
use super::square_network::SquareNetwork;
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
pub(super) struct QualityNetwork(
    /// The expected cosine, -1..=1, and the probability that the face is covered, 0..=1.
    SquareNetwork<2>,
);

impl QualityNetwork {
    /// Loads the network and runs it on the test pattern.
    pub(super) fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let Manifest { model, input, golden } = parse(source)?;
        let square = input.pixels().map_err(|reason| source.error(reason))?;
        Ok(Self(SquareNetwork::load(source, &model, square, &golden)?))
    }

    /// Assesses a face of a photo; `aligned` is the same face, aligned for an encoder, and read if its side is right.
    pub(super) fn assess(
        &self,
        photo: &Photo,
        face: &Face,
        aligned: &AlignedFace,
    ) -> Result<Recognizability, EngineError> {
        let Self(network) = self;
        let side = network.side;
        let fits = aligned.pixels().dimensions() == (side, side);
        let another = (!fits).then(|| face::align(photo, face, side, side));
        let pixels = another.as_ref().unwrap_or(aligned).pixels();
        let [agreement, covered] = network.run(pixels).map_err(EngineError::run)?;
        Ok(Recognizability::new(agreement, covered))
    }
}
