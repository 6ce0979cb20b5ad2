//! The pipeline of one photo: decode, detect, align, assess, judge the presentation, encode.

use std::sync::Arc;

use super::attack_detector::AttackDetector;
use super::detector::Detector;
use super::encoder::{Encoder, Role};
use super::error::ExtractError;
use super::recognizability::QualityNetwork;
use crate::embedding::Embedding;
use crate::face::{self, Face, ProminentFaces};
use crate::photo::{EncodedPhoto, Photo};
use crate::presentation::Presentation;
use crate::quality::{self, Quality};
use crate::timings::Timings;

/// The result of extraction from a photo with one prominent face.
#[derive(Debug)]
pub struct Extraction {
    /// The prominent face.
    pub face: Face,
    /// The quality of the face, aligned for the present encoder.
    pub quality: Quality,
    /// Whether the face is live, if the engine has an attack detector.
    pub presentation: Option<Presentation>,
    /// One embedding for each requested encoder, in the order of the request.
    pub embeddings: Vec<Embedding>,
    /// The stages and their times.
    pub timings: Timings,
}

/// An encoded face of a photo.
#[derive(Debug)]
pub struct EncodedFace {
    /// The face.
    pub face: Face,
    /// Its quality, aligned for the present encoder.
    pub quality: Quality,
    /// Whether it is live, if the engine has an attack detector.
    pub presentation: Option<Presentation>,
    /// One embedding for each requested encoder, in the order of the request.
    pub embeddings: Vec<Embedding>,
}

/// The result of extraction from a photo with any number of prominent faces.
#[derive(Debug)]
pub struct GroupExtraction {
    /// The most prominent face.
    pub first: EncodedFace,
    /// The next ones, in descending order of prominence, up to the requested number.
    pub others: Vec<EncodedFace>,
    /// The number of prominent faces, including those that were not encoded.
    pub prominent: usize,
    /// The stages and their times.
    pub timings: Timings,
}

/// The models that a photo is run through.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) detector: Arc<Detector>,
    pub(super) network: Arc<QualityNetwork>,
    pub(super) attack_detector: Option<Arc<AttackDetector>>,
    /// The encoder whose input size the quality is assessed at.
    pub(super) present: Arc<Encoder>,
    pub(super) encoders: Vec<(Arc<Encoder>, Role)>,
}

impl Pipeline {
    /// Encodes the only prominent face of a photo.
    ///
    /// # Errors
    /// [`ExtractError`], but never [`ExtractError::Busy`].
    pub(super) fn extract(
        &self,
        photo: EncodedPhoto,
        mut timings: Timings,
    ) -> Result<Extraction, ExtractError> {
        let (photo, faces) = self.detect(photo, &mut timings)?;
        let encoded = self.encode(&photo, faces.sole()?, &mut timings)?;
        let EncodedFace { face, quality, presentation, embeddings } = encoded;
        Ok(Extraction { face, quality, presentation, embeddings, timings })
    }

    /// Encodes the most prominent faces of a photo, at most `most` of them and at least one.
    ///
    /// # Errors
    /// [`ExtractError`], but neither [`ExtractError::Busy`] nor that there are several faces.
    pub(super) fn extract_group(
        &self,
        photo: EncodedPhoto,
        most: usize,
        mut timings: Timings,
    ) -> Result<GroupExtraction, ExtractError> {
        let (photo, faces) = self.detect(photo, &mut timings)?;
        let prominent = faces.count();
        let (first, others) = faces.into_ranked();
        let first = self.encode(&photo, first, &mut timings)?;
        let others = others.into_iter().take(most.saturating_sub(1));
        let others =
            others.map(|face| self.encode(&photo, face, &mut timings)).collect::<Result<_, _>>()?;
        Ok(GroupExtraction { first, others, prominent, timings })
    }

    fn detect(
        &self,
        photo: EncodedPhoto,
        timings: &mut Timings,
    ) -> Result<(Photo, ProminentFaces), ExtractError> {
        let photo = timings.time("decode", || photo.decode())?;
        let faces = timings.time("detect", || self.detector.detect(&photo))?;
        let prominent = face::prominent(faces, &photo)?;
        Ok((photo, prominent))
    }

    fn encode(
        &self,
        photo: &Photo,
        face: Face,
        timings: &mut Timings,
    ) -> Result<EncodedFace, ExtractError> {
        let (width, height) = (self.present.width, self.present.height);
        let aligned = timings.time("align", || face::align(photo, &face, width, height));
        let quality = timings.time("assess", || {
            let seen = self.network.assess(photo, &face, &aligned);
            seen.map(|seen| quality::assess(&face, &aligned, seen))
        })?;
        let presentation = match &self.attack_detector {
            Some(detector) => {
                Some(timings.time("presentation", || detector.judge(photo, &face, &quality))?)
            }
            None => None,
        };
        let mut embeddings = Vec::with_capacity(self.encoders.len());
        for (encoder, role) in &self.encoders {
            let reads_another_size = (encoder.width, encoder.height) != (width, height);
            let another = reads_another_size.then(|| {
                timings.time("align", || face::align(photo, &face, encoder.width, encoder.height))
            });
            let aligned = another.as_ref().unwrap_or(&aligned);
            embeddings.push(timings.time("encode", || encoder.encode(aligned, *role))?);
        }
        Ok(EncodedFace { face, quality, presentation, embeddings })
    }
}
