//! Turns photos into embeddings and judges presentations: owns the models, the order of the steps and the bounds on concurrency.
//!
//! All work on pixels is synchronous and runs only here, on at most as many threads as there are workers. Other photos
//! wait in a bounded queue or are refused at once. The engine knows nothing of employees, stores or HTTP.

mod admission;
mod attack_detector;
mod calibration;
mod crop;
mod detector;
mod encoder;
mod error;
mod extraction;
mod inspection;
mod landmarks;
mod manifest;
mod memory;
mod model;
mod network;
mod operators;
mod pad_calibration;
mod pad_manifest;
mod pixels;
mod quantization;
mod range_meter;
mod recognizability;
mod reference_check;
mod square_network;

use std::sync::Arc;

use bytes::Bytes;

use self::admission::Capacity;
pub use self::admission::Permit;
pub use self::attack_detector::{AttackDetector, AttackNetwork, PadOptions};
pub(crate) use self::calibration::error_rate_tables;
pub use self::calibration::{CalibrationSource, Recalibration};
use self::detector::Detector;
pub use self::encoder::{Encoder, Role};
pub use self::error::{EngineError, ExtractError};
use self::extraction::Pipeline;
pub use self::extraction::{EncodedFace, Extraction, GroupExtraction};
pub use self::inspection::{Inspection, NotOnnx, Port};
pub(crate) use self::model::EXPORT_THE_ENCODER;
pub use self::model::{ModelError, ModelSource};
pub use self::pad_calibration::PadCalibration;
pub use self::quantization::Precision;
use self::recognizability::QualityNetwork;
use crate::photo::{EncodedPhoto, PhotoLimits};
use crate::timings::Timings;

/// The models of an engine, and its bounds.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The encoder to load.
    pub encoder: ModelSource,
    /// The former encoder, for employees who are not re-enrolled yet.
    pub former_encoder: Option<ModelSource>,
    /// The detector to load.
    pub detector: ModelSource,
    /// The landmark refiner; without one the detector's landmarks are used.
    pub landmarks: Option<ModelSource>,
    /// The calibration of the encoder's scores, instead of the one in its manifest.
    pub calibration: Option<CalibrationSource>,
    /// Presentation attack detection, if any.
    pub pad: Option<PadOptions>,
    /// Photos processed at once.
    pub workers: usize,
    /// Photos beside those, waiting for a worker or for their response.
    pub queue: usize,
    /// Limits of one photo, and of all photos together.
    pub limits: PhotoLimits,
}

impl EngineOptions {
    /// Returns options for the models that this binary carries, without presentation attack detection.
    pub fn embedded(workers: usize, queue: usize) -> Self {
        Self {
            encoder: ModelSource::embedded_encoder(),
            former_encoder: None,
            detector: ModelSource::embedded_detector(),
            landmarks: Some(ModelSource::embedded_landmarks()),
            calibration: None,
            pad: None,
            workers,
            queue,
            limits: PhotoLimits::default(),
        }
    }
}

/// The loaded models and their bounds; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    detector: Arc<Detector>,
    quality: Arc<QualityNetwork>,
    encoder: Arc<Encoder>,
    former_encoder: Option<Arc<Encoder>>,
    attack_detector: Option<Arc<AttackDetector>>,
    limits: PhotoLimits,
    capacity: Capacity,
}

impl Engine {
    /// Loads the models and checks each by its golden output, which also warms it up.
    ///
    /// # Errors
    /// [`ModelError`] naming the model and what is wrong with it.
    pub fn load(options: &EngineOptions) -> Result<Self, ModelError> {
        memory::bound_arenas(options.workers);
        let mut encoder = Encoder::load(&options.encoder)?;
        if let Some(calibration) = &options.calibration {
            encoder = encoder.recalibrated(calibration)?;
        }
        let former_encoder = options.former_encoder.as_ref().map(Encoder::load).transpose()?;
        if let (Some(former), Some(source)) = (&former_encoder, &options.former_encoder)
            && former.model().id == encoder.model().id
        {
            return Err(source.error("the former encoder is the one that serves already"));
        }
        let attack_detector = options.pad.as_ref().map(AttackDetector::load).transpose()?;
        let EngineOptions { workers, queue, limits, .. } = *options;
        let engine = Self {
            detector: Arc::new(Detector::load(&options.detector, options.landmarks.as_ref())?),
            quality: Arc::new(QualityNetwork::load(&ModelSource::embedded_quality())?),
            encoder: Arc::new(encoder),
            former_encoder: former_encoder.map(Arc::new),
            attack_detector: attack_detector.map(Arc::new),
            limits,
            capacity: Capacity::new(workers, queue, limits.max_shared_bytes),
        };
        memory::release_freed();
        Ok(engine)
    }

    /// Returns the encoder of all new enrollments.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// Returns the former encoder, if it is loaded.
    pub fn former_encoder(&self) -> Option<&Arc<Encoder>> {
        self.former_encoder.as_ref()
    }

    /// Returns the presentation attack detection, if it is loaded.
    pub fn attack_detector(&self) -> Option<&Arc<AttackDetector>> {
        self.attack_detector.as_ref()
    }

    /// Returns a permit for a photo, if one is free.
    ///
    /// # Errors
    /// [`ExtractError::Busy`].
    pub fn permit(&self) -> Result<Permit, ExtractError> {
        self.capacity.permit()
    }

    /// Returns the number of photos in flight.
    pub fn photos_at_work(&self) -> usize {
        self.capacity.in_flight()
    }

    /// Returns how many photos to send at once so that every worker is busy and none is refused.
    pub fn at_once(&self) -> usize {
        self.capacity.saturating()
    }

    /// Finds the only prominent face of a photo and encodes it with each of the encoders.
    ///
    /// # Errors
    /// [`ExtractError`], but never [`ExtractError::Busy`].
    pub async fn extract(
        &self,
        permit: &Permit,
        bytes: Bytes,
        encoders: Vec<(Arc<Encoder>, Role)>,
    ) -> Result<Extraction, ExtractError> {
        let pipeline = self.pipeline(encoders);
        self.run(permit, bytes, move |photo, timings| pipeline.extract(photo, timings)).await
    }

    /// Finds the prominent faces of a photo and encodes the first of them with each of the encoders. The limit of `most`
    /// faces bounds the work for one photo.
    ///
    /// # Errors
    /// [`ExtractError`], but neither [`ExtractError::Busy`] nor that there are several faces.
    pub async fn extract_group(
        &self,
        permit: &Permit,
        bytes: Bytes,
        encoders: Vec<(Arc<Encoder>, Role)>,
        most: usize,
    ) -> Result<GroupExtraction, ExtractError> {
        let pipeline = self.pipeline(encoders);
        let work = move |photo, timings| pipeline.extract_group(photo, most, timings);
        self.run(permit, bytes, work).await
    }

    fn pipeline(&self, encoders: Vec<(Arc<Encoder>, Role)>) -> Pipeline {
        let (detector, network) = (self.detector.clone(), self.quality.clone());
        let attack_detector = self.attack_detector.clone();
        Pipeline { detector, network, attack_detector, present: self.encoder.clone(), encoders }
    }

    /// Admits a photo, and then runs the work on it on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        permit: &Permit,
        bytes: Bytes,
        work: impl FnOnce(EncodedPhoto, Timings) -> Result<T, ExtractError> + Send + 'static,
    ) -> Result<T, ExtractError> {
        let mut timings = Timings::default();
        let photo = self.inspect(permit.clone(), bytes).await?;
        let admission = self.capacity.admit(permit.clone(), photo.decoded_bytes());
        let admission = timings.wait("queue", admission).await;
        let span = tracing::Span::current();
        #[expect(clippy::disallowed_methods, reason = "bounded by the workers")]
        let work = tokio::task::spawn_blocking(move || {
            let _admission = admission;
            span.in_scope(|| work(photo, timings))
        });
        work.await.map_err(EngineError::panicked)?
    }

    /// Reads a photo's header and applies the limits. This takes milliseconds, too long for a thread of the async
    /// runtime.
    async fn inspect(&self, permit: Permit, bytes: Bytes) -> Result<EncodedPhoto, ExtractError> {
        let limits = self.limits;
        #[expect(clippy::disallowed_methods, reason = "bounded by the permits")]
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            EncodedPhoto::inspect(bytes, &limits)
        });
        Ok(work.await.map_err(EngineError::panicked)??)
    }
}
