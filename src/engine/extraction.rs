//! The pipeline of one photo: decode, detect, align, assess, encode.

use std::sync::Arc;

use super::detector::Detector;
use super::encoder::{Encoder, Role};
use super::error::ExtractError;
use super::recognizability::QualityNetwork;
use crate::embedding::Embedding;
use crate::face::{self, Face};
use crate::photo::EncodedPhoto;
use crate::quality::{self, Quality};
use crate::timings::Timings;

/// The result of extraction from one photo.
#[derive(Debug)]
pub struct Extraction {
    /// The prominent face.
    pub face: Face,
    /// The quality of the face, aligned for the present encoder.
    pub quality: Quality,
    /// One embedding for each requested encoder, in the order of the request.
    pub embeddings: Vec<Embedding>,
    /// The stages and their times.
    pub timings: Timings,
}

/// Runs the pipeline on one photo. The quality is assessed at the size that the encoder `present` reads.
///
/// # Errors
/// [`ExtractError`], but never [`ExtractError::Busy`].
pub(super) fn extract(
    photo: EncodedPhoto,
    detector: &Detector,
    network: &QualityNetwork,
    present: &Encoder,
    encoders: &[(Arc<Encoder>, Role)],
    mut timings: Timings,
) -> Result<Extraction, ExtractError> {
    let photo = timings.time("decode", || photo.decode())?;
    let faces = timings.time("detect", || detector.detect(&photo))?;
    let face = face::prominent(faces, &photo)?;
    let (width, height) = (present.width, present.height);
    let aligned = timings.time("align", || face::align(&photo, &face, width, height));
    let quality = timings.time("assess", || {
        network.assess(&photo, &face).map(|seen| quality::assess(&face, &aligned, seen))
    })?;
    let mut embeddings = Vec::with_capacity(encoders.len());
    for (encoder, role) in encoders {
        let reads_another_size = (encoder.width, encoder.height) != (width, height);
        let another = reads_another_size.then(|| {
            timings.time("align", || face::align(&photo, &face, encoder.width, encoder.height))
        });
        let aligned = another.as_ref().unwrap_or(&aligned);
        embeddings.push(timings.time("encode", || encoder.encode(aligned, *role))?);
    }
    Ok(Extraction { face, quality, embeddings, timings })
}
