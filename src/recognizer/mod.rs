//! The use cases, without HTTP, and the composition of the parts that they need.
//!
//! `decision` decides on photos, `enrolment` and `expiry` change who is enrolled, `query` reads, and `operation` is for
//! operators. The event of a decision is written before its response, unless the database is unavailable (`journal`).

mod code;
mod decision;
mod enrolment;
mod error;
mod expiry;
mod feed;
mod journal;
mod model_gallery;
mod operation;
mod outcome;
mod query;
mod searcher;
mod wiper;

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

pub use self::code::Code;
pub use self::error::Error;
pub use self::feed::FollowError;
use self::feed::{Feed, InStep};
pub use self::journal::Backlog;
use self::journal::Journal;
pub use self::model_gallery::LoadError;
use self::model_gallery::{ModelGalleries, ModelGallery};
pub use self::outcome::{
    Assessment, Call, Candidate, Comparison, Enrollment, EnrollmentOptions, Identification,
    Verification,
};
pub use self::searcher::SearchEnded;
use self::wiper::Wiper;
use crate::audit::{Action, Outcome};
use crate::comparison::{ErrorRatesError, Threshold};
use crate::embedding::Embedding;
use crate::employee::{AuditId, ModelName};
use crate::engine::{Encoder, Engine, ExtractError, Extraction, Permit, Role};
use crate::seal::Sealer;
pub use crate::store::{Extent, Receipt};
use crate::store::{Store, StoreError};

/// What to decide at, and how long an enrolment holds.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// False match rate of a verification.
    pub verify_fmr: f64,
    /// False positive identification rate of an identification.
    pub identify_fpir: f64,
    /// After which time every enrolment ends at the latest.
    pub longest_enrolment: Option<SignedDuration>,
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
    /// The policy asks for more than the encoder's data support.
    #[error(transparent)]
    Policy(#[from] ErrorRatesError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no thread to search on.
    #[error("the search thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Nobody knows what its scores mean.
    #[error(
        "the manifest of the encoder {model} has no error rates; measure them on your own photos with `likeness model check FILE --calibrate DIR`"
    )]
    Unmeasured {
        /// The encoder's name.
        model: Arc<str>,
    },
}

/// Everything that answers a use case; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recognizer {
    engine: Engine,
    galleries: Arc<ModelGalleries>,
    store: Store,
    sealer: Sealer,
    journal: Journal,
    wiper: Wiper,
    /// Where others write to the store.
    feed: Option<Feed>,
    longest_enrolment: Option<SignedDuration>,
    /// Held from before a commit until the gallery has followed.
    writing: Arc<Mutex<()>>,
}

impl Recognizer {
    /// Opens every template of the encoders that run.
    ///
    /// # Errors
    /// [`StartError`]; a template that does not open stops the start, for it is not to be lost
    /// sight of.
    pub async fn start(
        engine: Engine,
        store: Store,
        sealer: Sealer,
        policy: Policy,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        if let Some(longest) = policy.longest_enrolment {
            store.limit_enrolments(longest, now).await?;
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
        let longest_enrolment = policy.longest_enrolment;
        let writing = Arc::default();
        Ok(Self {
            engine,
            galleries,
            store,
            sealer,
            journal,
            wiper,
            feed,
            longest_enrolment,
            writing,
        })
    }

    /// The encoder that everyone is enrolled with from now on.
    pub fn model(&self) -> &ModelName {
        self.galleries.present.model()
    }

    /// The former encoder that runs beside it, and how many people still depend on it.
    pub fn former(&self) -> Option<(&ModelName, usize)> {
        self.galleries.former.as_ref().map(|gallery| (gallery.model(), gallery.references.len()))
    }

    /// How many people can be recognised.
    pub fn gallery_size(&self) -> usize {
        self.galleries.people()
    }

    /// What identification is decided at now: its target is the FPIR bound that holds.
    pub fn identification(&self) -> Threshold {
        self.galleries.present.identification(self.galleries.people())
    }

    /// Proof that the galleries are what the store holds, or held less than a second ago.
    fn in_step(&self) -> Result<InStep, Error> {
        self.feed.as_ref().map_or(Ok(InStep::ALWAYS), Feed::in_step)
    }

    /// Writes down what was decided, before it is answered.
    async fn record(
        &self,
        call: &Call,
        action: Action,
        outcome: Outcome,
        subject: Option<AuditId>,
    ) -> Result<(), Error> {
        let written = self.journal.record(call.event(action, outcome, subject)).await;
        written.map_err(|_| Error::AuditFull)
    }

    /// Lets the galleries' encoders look at a photo.
    async fn extract(
        &self,
        permit: &Permit,
        photo: Bytes,
        asked: &[(&ModelGallery, Role)],
    ) -> Result<Extraction, ExtractError> {
        let asked = asked.iter().map(|(gallery, role)| (gallery.encoder.clone(), *role)).collect();
        self.engine.extract(permit, photo, asked).await
    }
}

/// What the last encoder that was asked made of the photo: the present one's, where all were asked.
fn last(embeddings: &[Embedding]) -> &Embedding {
    embeddings.last().expect("an extraction has an embedding of every encoder that was asked")
}
