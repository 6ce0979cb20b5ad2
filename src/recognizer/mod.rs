//! The use cases, without HTTP, and the composition of the parts that they need.
//!
//! `decision` decides on photos, `presentation_session` on frames of a person who was asked to turn the head,
//! `enrollment` and `expiry` change who is enrolled, `query` reads, and `operation` is for operators. The event of a decision is written before its response, unless the database is unavailable (`journal`).

mod attacks;
mod code;
mod decision;
mod enrollment;
mod error;
mod expiry;
mod feed;
mod fitting;
mod journal;
mod model_gallery;
mod operation;
mod outcome;
mod presentation_session;
mod query;
mod searcher;
mod thresholds;
mod waiting_probe;
mod wiper;

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use self::attacks::Attacks;
pub use self::code::Code;
pub use self::decision::MOST_FACES;
pub use self::error::Error;
pub use self::expiry::bounded_expiry;
pub use self::feed::FollowError;
use self::feed::{Feed, InStep};
pub use self::journal::Backlog;
use self::journal::Journal;
pub use self::model_gallery::LoadError;
use self::model_gallery::{ModelGalleries, ModelGallery};
pub use self::outcome::{
    Assessment, Call, Candidate, Comparison, Enrollment, EnrollmentOptions, Identification,
    IdentificationOptions, IdentifiedFace, Probe, ScoredFace, Verification,
};
pub use self::presentation_session::{JudgedSession, PresentationSession, TimedPhoto};
pub use self::searcher::SearchEnded;
pub use self::thresholds::GalleryThresholds;
use self::wiper::Wiper;
use crate::audit::{Action, Outcome};
use crate::comparison::{ErrorRatesError, Threshold};
use crate::embedding::Embedding;
use crate::employee::{AuditId, ModelName};
use crate::engine::{Encoder, Engine, ExtractError, Extraction, GroupExtraction, Permit, Role};
use crate::presentation::{LiveScore, Presentation};
use crate::seal::Sealer;
pub use crate::store::{Extent, Receipt};
use crate::store::{Store, StoreError};

/// What is done about presentation attacks (ISO/IEC 30107-3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PresentationMode {
    /// Presentations are not judged.
    Off,
    /// Answers, metrics and the audit trail say whether a face is live; no decision depends on it.
    Report,
    /// Only a live face can match.
    Require,
}

impl PresentationMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Off, Self::Report, Self::Require];

    /// Returns the word of flags and API for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Require => "require",
        }
    }
}

/// The targets of decisions, and the retention limit.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// False match rate of a verification.
    pub verify_fmr: f64,
    /// False positive identification rate of an identification.
    pub identify_fpir: f64,
    /// Maximum duration of an enrollment.
    pub longest_enrollment: Option<SignedDuration>,
    /// Whether the people enrolled decide on the thresholds.
    pub gallery_thresholds: GalleryThresholds,
    /// What is done about presentation attacks.
    pub presentation: PresentationMode,
    /// Whether presentation sessions are on.
    pub presentation_sessions: bool,
}

/// Why the service cannot start on this store.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The change feed cannot be followed.
    #[error(transparent)]
    Feed(#[from] FollowError),
    /// A template cannot be opened.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The error rates of the encoder do not support the policy.
    #[error(transparent)]
    Policy(#[from] ErrorRatesError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The search thread cannot be started.
    #[error("the search thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The encoder has no error rates.
    #[error(
        "the manifest of the encoder {model} has no error rates; measure them on your own photos with `likeness model check FILE --calibrate DIR`"
    )]
    Unmeasured {
        /// The encoder's name.
        model: Arc<str>,
    },
}

/// The service without HTTP; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recognizer {
    engine: Engine,
    galleries: Arc<ModelGalleries>,
    store: Store,
    sealer: Sealer,
    journal: Journal,
    wiper: Wiper,
    /// Present if others write to the store.
    feed: Option<Feed>,
    longest_enrollment: Option<SignedDuration>,
    presentation: PresentationMode,
    attacks: Arc<Attacks>,
    presentation_sessions: bool,
    /// Held from before a commit until the gallery has followed.
    writing: Arc<Mutex<()>>,
}

impl Recognizer {
    /// Opens every template of the loaded encoders and starts the background tasks.
    ///
    /// # Errors
    /// [`StartError`], also for a single template that cannot be decrypted: it must not go unnoticed.
    pub async fn start(
        engine: Engine,
        store: Store,
        sealer: Sealer,
        policy: Policy,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        if let Some(longest) = policy.longest_enrollment {
            store.limit_enrollments(longest, now).await?;
        }
        let gallery = |encoder: &Arc<Encoder>| ModelGallery::new(encoder.clone(), policy);
        let present = gallery(engine.encoder())?;
        let former = engine.former_encoder().map(gallery).transpose()?;
        let galleries = Arc::new(ModelGalleries { present, former });
        let read = if store.has_feed() { Some(store.last_change().await?) } else { None };
        for gallery in galleries.all() {
            gallery.load(&store, &sealer, read.is_some()).await?;
        }
        let feed = match read {
            Some(read) => {
                Some(Feed::start(store.clone(), sealer.clone(), galleries.clone(), read).await?)
            }
            None => None,
        };
        for (model, enrolled) in store.models().await? {
            if galleries.all().all(|gallery| gallery.model().id != model.id) {
                tracing::warn!(
                    enrolled,
                    "{enrolled} employees cannot be recognized: enrolled with the encoder {} ({}), which is not loaded (see `likeness model switch`)",
                    model.name,
                    model.id
                );
            }
        }
        let (journal, wiper) = (Journal::start(store.clone()), Wiper::start(store.clone()));
        let longest_enrollment = policy.longest_enrollment;
        let (presentation, attacks) = (policy.presentation, Arc::default());
        let presentation_sessions = policy.presentation_sessions;
        let writing = Arc::default();
        Ok(Self {
            engine,
            galleries,
            store,
            sealer,
            journal,
            wiper,
            feed,
            longest_enrollment,
            presentation,
            attacks,
            presentation_sessions,
            writing,
        })
    }

    /// Returns the encoder of new enrollments.
    pub fn model(&self) -> &ModelName {
        self.galleries.present.model()
    }

    /// Returns the former encoder, if loaded, and the number of employees pending re-enrollment.
    pub fn former(&self) -> Option<(&ModelName, usize)> {
        self.galleries.former.as_ref().map(|gallery| (gallery.model(), gallery.references.len()))
    }

    /// Returns what is done about presentation attacks.
    pub fn presentation_mode(&self) -> PresentationMode {
        match (self.presentation, self.engine.attack_detector()) {
            (PresentationMode::Report, None) => PresentationMode::Off,
            (mode, _) => mode,
        }
    }

    /// Returns the networks that judge presentations.
    pub fn pad_models(&self) -> impl Iterator<Item = &ModelName> {
        self.engine.attack_detector().into_iter().flat_map(|detector| detector.models())
    }

    /// Returns the lowest score of a live presentation, if presentations are judged.
    pub fn live_threshold(&self) -> Option<LiveScore> {
        self.engine.attack_detector().and_then(|detector| detector.threshold()).map(|row| row.score)
    }

    /// Returns the number of employees in all galleries.
    pub fn gallery_size(&self) -> usize {
        self.galleries.people()
    }

    /// Returns the present identification threshold; its target is the FPIR bound that holds.
    pub fn identification(&self) -> Threshold {
        self.galleries.present.thresholds.identification(self.galleries.people())
    }

    /// Fits the thresholds to the people enrolled, now and whenever they change, until the recognizer is dropped.
    ///
    /// # Errors
    /// [`StoreError`] where the thresholds in use cannot be read.
    pub async fn fit_thresholds(&self, now: fn() -> Timestamp) -> Result<(), StoreError> {
        fitting::start(&self.galleries, &self.store, now).await
    }

    /// Returns proof that the galleries are current.
    fn in_step(&self) -> Result<InStep, Error> {
        self.feed.as_ref().map_or(Ok(InStep::ALWAYS), Feed::in_step)
    }

    /// Returns whether a match is withheld from a face because it is not known to be live.
    fn withholds(&self, presentation: Option<&Presentation>) -> bool {
        self.presentation == PresentationMode::Require
            && !presentation.is_some_and(Presentation::is_live)
    }

    /// Records a decision in the audit trail.
    async fn record(
        &self,
        call: &Call,
        action: Action,
        outcome: Outcome,
        subject: Option<AuditId>,
    ) -> Result<(), Error> {
        let written = self.journal.record([call.event(action, outcome, subject)]).await;
        written.map_err(|_| Error::AuditFull)
    }

    /// Extracts embeddings from a photo with the galleries' encoders.
    async fn extract(
        &self,
        permit: &Permit,
        photo: Bytes,
        asked: &[(&ModelGallery, Role)],
    ) -> Result<Extraction, ExtractError> {
        let asked = asked.iter().map(|(gallery, role)| (gallery.encoder.clone(), *role)).collect();
        self.engine.extract(permit, photo, asked).await
    }

    /// Extracts embeddings of the `most` most prominent faces of a photo with the galleries' encoders.
    async fn extract_group(
        &self,
        permit: &Permit,
        photo: Bytes,
        asked: &[(&ModelGallery, Role)],
        most: usize,
    ) -> Result<GroupExtraction, ExtractError> {
        let asked = asked.iter().map(|(gallery, role)| (gallery.encoder.clone(), *role)).collect();
        self.engine.extract_group(permit, photo, asked, most).await
    }
}

/// Returns the last embedding of an extraction: the present encoder's, if all were requested.
fn last(embeddings: &[Embedding]) -> &Embedding {
    embeddings.last().expect("an extraction has an embedding of every encoder that was asked")
}
