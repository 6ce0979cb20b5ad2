//! The engine turns photos into embeddings: it owns the models, the order of the steps and the
//! bounds on how much of it happens at once.
//!
//! All work on pixels is synchronous and runs here and nowhere else, on at most as many threads as
//! there are workers. Everything else waits in a bounded queue or is refused at once. It knows
//! nothing of employees, stores or HTTP.

mod calibration;
mod detector;
mod encoder;
mod inspection;
mod landmarks;
mod manifest;
mod model;
mod network;
mod operators;
mod pixels;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::calibration::error_rate_tables;
pub use self::calibration::{CalibrationSource, Recalibration};
use self::detector::Detector;
pub use self::encoder::Encoder;
pub use self::inspection::{Inspection, NotOnnx, Port};
pub(crate) use self::model::EXPORT_THE_ENCODER;
pub use self::model::{ModelError, ModelSource};
use crate::embedding::Embedding;
use crate::face::{self, Face, NoProminentFace};
use crate::photo::{EncodedPhoto, PhotoError, PhotoLimits};
use crate::quality::{self, Quality};
use crate::timings::Timings;

/// The unit in which decoded bytes are counted; a semaphore counts in 32 bits.
const KILOBYTE: u64 = 1000;

/// What an engine is made of, and its bounds.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The encoder to load.
    pub encoder: ModelSource,
    /// The encoder that it takes the place of, for those who are not yet enrolled anew.
    pub former_encoder: Option<ModelSource>,
    /// The detector to load.
    pub detector: ModelSource,
    /// The network that looks closer at what the detector finds; without one the detector is believed.
    pub landmarks: Option<ModelSource>,
    /// What the encoder's scores mean, in place of what its manifest says.
    pub calibration: Option<CalibrationSource>,
    /// Photos worked on at once.
    pub workers: usize,
    /// Photos beside those, waiting for a worker or to be answered.
    pub queue: usize,
    /// What a photo may be, and all photos together.
    pub limits: PhotoLimits,
}

/// Why no embedding came of a photo.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// Too much is under way; later it will work.
    #[error("the service is at capacity; retry later")]
    Busy,
    /// The models failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The photo does not say whose face is meant.
    #[error(transparent)]
    Face(#[from] NoProminentFace),
    /// The bytes are no usable photo.
    #[error(transparent)]
    Photo(#[from] PhotoError),
}

/// A fault of a model while it ran.
#[derive(Debug, thiserror::Error)]
#[error("inference failed: {0}")]
pub struct EngineError(String);

impl EngineError {
    #[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
    fn panicked(error: tokio::task::JoinError) -> Self {
        Self(format!("the work panicked: {error}"))
    }

    fn run(error: impl std::fmt::Display) -> Self {
        Self(format!("{error:#}"))
    }
}

/// What an embedding is for: the two sides of a comparison (ISO/IEC 2382-37).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// To be kept, and compared with probes. It is seen in more views than a probe, once for each enrolment.
    Reference,
    /// To be compared with references.
    Probe,
}

/// An encoder to ask, and what for.
pub type Asked = (Arc<Encoder>, Role);

/// What was found in a photo.
#[derive(Debug)]
pub struct Extraction {
    /// The prominent face.
    pub face: Face,
    /// How it was photographed, as the present encoder sees it.
    pub quality: Quality,
    /// What each encoder that was asked makes of it, in the order of asking.
    pub embeddings: Vec<Embedding>,
    /// Where the time went.
    pub timings: Timings,
}

/// The loaded models and their bounds; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    detector: Arc<Detector>,
    encoder: Arc<Encoder>,
    former_encoder: Option<Arc<Encoder>>,
    limits: PhotoLimits,
    admitted: Arc<Semaphore>,
    /// Photos at once, waiting ones included.
    places: usize,
    at_once: usize,
    workers: Arc<Semaphore>,
    decoded_kilobytes: Arc<Semaphore>,
    /// All of them: a photo that needs more waits until it is alone.
    most_kilobytes: u32,
}

/// A place among those who are served. Whoever has one gives it back by dropping it once all is answered: what comes
/// behind the work on a photo keeps the cores busy too.
#[derive(Clone, Debug)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What a photo holds while it is worked on. It goes into the work itself: a client that leaves
/// frees nothing before the work has ended.
struct Admission {
    _place: Place,
    _worker: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Engine {
    /// Loads the models, checks each by its golden output, and thereby warms them up.
    ///
    /// # Errors
    /// [`ModelError`] saying which model and what is wrong with it.
    pub fn load(options: &EngineOptions) -> Result<Self, ModelError> {
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
        let kilobytes = options.limits.max_shared_bytes.div_ceil(KILOBYTE) as usize;
        Ok(Self {
            detector: Arc::new(Detector::load(&options.detector, options.landmarks.as_ref())?),
            encoder: Arc::new(encoder),
            former_encoder: former_encoder.map(Arc::new),
            limits: options.limits,
            admitted: Arc::new(Semaphore::new(options.workers + options.queue)),
            places: options.workers + options.queue,
            at_once: options.workers + options.queue.min(1),
            workers: Arc::new(Semaphore::new(options.workers)),
            decoded_kilobytes: Arc::new(Semaphore::new(kilobytes)),
            most_kilobytes: kilobytes as u32,
        })
    }

    /// The encoder that everyone is enrolled with from now on.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// The one before it, as long as it serves beside it.
    pub fn former_encoder(&self) -> Option<&Arc<Encoder>> {
        self.former_encoder.as_ref()
    }

    /// A place, if one is free.
    ///
    /// # Errors
    /// [`ExtractError::Busy`].
    pub fn place(&self) -> Result<Place, ExtractError> {
        let permit = self.admitted.clone().try_acquire_owned().map_err(|_| ExtractError::Busy)?;
        Ok(Place { _permit: Arc::new(permit) })
    }

    /// How many places are taken.
    pub fn photos_at_work(&self) -> usize {
        self.places - self.admitted.available_permits()
    }

    /// How many photos to send at once so that every worker is busy and none is refused: one more than there are
    /// workers, if it may wait, so that nobody waits for a file to be read.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Finds the prominent face of a photo and lets each of the encoders encode it.
    ///
    /// # Errors
    /// What the photo lacks, or that a model failed; never [`ExtractError::Busy`].
    pub async fn extract(
        &self,
        place: &Place,
        bytes: Bytes,
        asked: Vec<Asked>,
    ) -> Result<Extraction, ExtractError> {
        let mut timings = Timings::default();
        let place = place.clone();
        let photo = self.inspect(place.clone(), bytes).await?;
        let admission = timings.wait("queue", self.admit(place, photo.decoded_bytes())).await;
        let (detector, present) = (self.detector.clone(), self.encoder.clone());
        let span = tracing::Span::current();
        #[expect(clippy::disallowed_methods, reason = "bounded by the workers")]
        let work = tokio::task::spawn_blocking(move || {
            let _admission = admission;
            span.in_scope(|| extract(photo, &detector, &present, &asked, timings))
        });
        work.await.map_err(EngineError::panicked)?
    }

    /// Reads a photo's header and applies the limits: milliseconds, but too many for a thread that serves others. There
    /// are as many at once as places.
    async fn inspect(&self, place: Place, bytes: Bytes) -> Result<EncodedPhoto, ExtractError> {
        let limits = self.limits;
        #[expect(clippy::disallowed_methods, reason = "bounded by the places")]
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            EncodedPhoto::inspect(bytes, &limits)
        });
        Ok(work.await.map_err(EngineError::panicked)??)
    }

    async fn admit(&self, place: Place, decoded_bytes: u64) -> Admission {
        const OPEN: &str = "the engine's semaphores are never closed";
        let kilobytes = decoded_bytes.div_ceil(KILOBYTE).min(self.most_kilobytes.into()) as u32;
        let memory = self.decoded_kilobytes.clone().acquire_many_owned(kilobytes).await;
        let worker = self.workers.clone().acquire_owned().await;
        Admission { _place: place, _worker: worker.expect(OPEN), _memory: memory.expect(OPEN) }
    }
}

fn extract(
    photo: EncodedPhoto,
    detector: &Detector,
    present: &Encoder,
    asked: &[Asked],
    mut timings: Timings,
) -> Result<Extraction, ExtractError> {
    let photo = timings.time("decode", || photo.decode())?;
    let faces = timings.time("detect", || detector.detect(&photo))?;
    let face = face::prominent(faces, &photo)?;
    let (width, height) = (present.width, present.height);
    let aligned = timings.time("align", || face::align(&photo, &face, width, height));
    let quality = timings.time("assess", || quality::assess(&face, &aligned));
    let mut embeddings = Vec::with_capacity(asked.len());
    for (encoder, role) in asked {
        let sees_another_size = (encoder.width, encoder.height) != (width, height);
        let another = sees_another_size.then(|| {
            timings.time("align", || face::align(&photo, &face, encoder.width, encoder.height))
        });
        let seen = another.as_ref().unwrap_or(&aligned);
        embeddings.push(timings.time("encode", || encoder.encode(seen, *role))?);
    }
    Ok(Extraction { face, quality, embeddings, timings })
}
