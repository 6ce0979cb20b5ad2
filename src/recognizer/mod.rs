//! The use cases, free of HTTP: enroll, verify, identify, compare, list, forget.
//!
//! Each reads as the flow does: those that decide are here, those that change who is enrolled in
//! `enrolment`. The event of a decision is written before the answer, unless the
//! database is unavailable (`journal`).

mod code;
mod cohort;
mod enrolment;
mod error;
mod expiry;
mod feed;
mod journal;
mod operation;
mod outcome;
mod searcher;
mod wiper;

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

pub use self::code::Code;
pub use self::cohort::LoadError;
use self::cohort::{Cohort, Cohorts};
pub use self::error::Error;
pub use self::feed::FollowError;
use self::feed::{Feed, InStep};
pub use self::journal::Backlog;
use self::journal::Journal;
pub use self::outcome::{
    Assessment, Call, Candidate, Comparison, Enrollment, EnrollmentWishes, Identification,
    Verification,
};
pub use self::searcher::SearchEnded;
use self::wiper::Wiper;
use crate::access::Grant;
use crate::audit::{Action, Outcome};
use crate::comparison::{Decision, ErrorRatesError, Threshold};
use crate::embedding::Embedding;
use crate::employee::{AuditId, EmployeeId, ModelName, Reference};
use crate::engine::{Encoder, Engine, ExtractError, Extraction, Permit, Role};
use crate::gallery::{Compared, Pair};
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
    cohorts: Arc<Cohorts>,
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
        let cohort = |encoder: &Arc<Encoder>| Cohort::new(encoder.clone(), policy);
        let present = cohort(engine.encoder())?;
        let former = engine.former_encoder().map(cohort).transpose()?;
        let cohorts = Arc::new(Cohorts { present, former });
        let read = if store.has_feed() { Some(store.last_change().await?) } else { None };
        for cohort in cohorts.all() {
            cohort.load(&store, &sealer, read.is_some()).await?;
        }
        let feed = match read {
            Some(read) => {
                Some(Feed::start(store.clone(), sealer.clone(), cohorts.clone(), read).await?)
            }
            None => None,
        };
        for (model, enrolled) in store.models().await? {
            if cohorts.all().all(|cohort| cohort.model().id != model.id) {
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
            cohorts,
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
        self.cohorts.present.model()
    }

    /// The former encoder that runs beside it, and how many people still depend on it.
    pub fn former(&self) -> Option<(&ModelName, usize)> {
        self.cohorts.former.as_ref().map(|cohort| (cohort.model(), cohort.gallery.len()))
    }

    /// How many people can be recognised.
    pub fn gallery_size(&self) -> usize {
        self.cohorts.people()
    }

    /// What identification is decided at now: its target is the FPIR bound that holds.
    pub fn identification(&self) -> Threshold {
        self.cohorts.present.identification(self.cohorts.people())
    }

    /// Proof that the galleries are what the store holds, or held less than a second ago.
    fn in_step(&self) -> Result<InStep, Error> {
        self.feed.as_ref().map_or(Ok(InStep::ALWAYS), Feed::in_step)
    }

    /// Every valid access key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn grants(&self) -> Result<Vec<Grant>, Error> {
        Ok(self.store.grants().await?)
    }

    /// Whether an access key was ever added, revoked ones included.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ever_granted(&self) -> Result<bool, Error> {
        Ok(self.store.ever_granted().await?)
    }

    /// Looks whether a photo could be a reference; nothing is compared.
    ///
    /// # Errors
    /// What [`Engine::extract`] says.
    pub async fn check(&self, photo: Bytes) -> Result<Assessment, Error> {
        let Extraction { face, quality, timings, .. } =
            self.extract(&self.engine.permit()?, photo, &[]).await?;
        Ok(Assessment { face, reasons: quality.reasons(), timings })
    }

    /// Compares a photo with one employee's reference.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], [`Error::OtherModel`], [`Error::OutOfStep`]; what [`Engine::extract`] says.
    pub async fn verify(
        &self,
        employee: &EmployeeId,
        photo: Bytes,
        call: &Call,
    ) -> Result<Verification, Error> {
        self.in_step()?;
        let Some(cohort) = self.cohorts.of(employee) else {
            return Err(self.why_absent(employee).await?);
        };
        let permit = self.engine.permit()?;
        let Extraction { face, quality, embeddings, mut timings } =
            self.extract(&permit, photo, &[(cohort, Role::Probe)]).await?;
        let in_step = self.in_step()?;
        // Whoever was erased meanwhile is missing.
        let compared = cohort.compare(employee, last(&embeddings), call.at);
        let Some(Compared { score, audit_id }) = compared else {
            return Err(self.why_absent(employee).await?);
        };
        let threshold = cohort.verification;
        let model = cohort.model().clone();
        let decision = threshold.decide(score);
        let written = self.record(call, Action::Verify, decision.into(), Some(audit_id));
        timings.wait("store", written).await?;
        in_step.holds()?;
        let reasons = quality.reasons();
        Ok(Verification { decision, score, threshold, model, face, reasons, timings })
    }

    /// Searches everyone for whoever a photo shows; `top` candidates at most.
    ///
    /// # Errors
    /// [`Error::OutOfStep`]; what [`Engine::extract`] says.
    pub async fn identify(
        &self,
        photo: Bytes,
        top: usize,
        call: &Call,
    ) -> Result<Identification, Error> {
        self.in_step()?;
        let probes: Vec<_> = self.cohorts.all().map(|cohort| (cohort, Role::Probe)).collect();
        let permit = self.engine.permit()?;
        let Extraction { face, quality, embeddings, mut timings } =
            self.extract(&permit, photo, &probes).await?;
        let in_step = self.in_step()?;
        let gallery_size = self.cohorts.people();
        let mut candidates = Vec::new();
        for (cohort, probe) in self.cohorts.all().zip(&embeddings) {
            let threshold = cohort.identification(gallery_size);
            let nearest = timings.wait("search", cohort.search(probe, top, call.at)).await?;
            let found = nearest.into_iter().map(|near| Candidate {
                employee: near.employee,
                audit_id: near.audit_id,
                score: near.score,
                threshold,
                model: cohort.model().clone(),
            });
            outcome::merge(&mut candidates, found.collect());
        }
        candidates.sort_by(|a, b| b.margin().total_cmp(&a.margin()));
        candidates.truncate(top);
        let threshold = self.cohorts.present.identification(gallery_size);
        let reasons = quality.reasons();
        let mut answer =
            Identification { candidates, threshold, gallery_size, face, reasons, timings };
        let matched = answer.matched().map(|candidate| candidate.audit_id);
        let outcome = if matched.is_some() { Outcome::Match } else { Outcome::NonMatch };
        let written = self.record(call, Action::Identify, outcome, matched);
        answer.timings.wait("store", written).await?;
        in_step.holds()?;
        Ok(answer)
    }

    /// Compares two photos as if the first were enrolled; nothing is stored.
    ///
    /// # Errors
    /// What [`Engine::extract`] says of either photo.
    pub async fn compare(
        &self,
        photo_a: Bytes,
        photo_b: Bytes,
        call: &Call,
    ) -> Result<Comparison, Error> {
        let present = &self.cohorts.present;
        let permit = self.engine.permit()?;
        let a = self.extract(&permit, photo_a, &[(present, Role::Reference)]).await?;
        let mut b = self.extract(&permit, photo_b, &[(present, Role::Probe)]).await?;
        let score = present.encoder.comparator().compare(last(&a.embeddings), last(&b.embeddings));
        let threshold = present.verification;
        let decision = threshold.decide(score);
        let written = self.record(call, Action::Compare, decision.into(), None);
        b.timings.wait("store", written).await?;
        Ok(Comparison {
            decision,
            score,
            threshold,
            faces: [a.face, b.face],
            timings: [a.timings, b.timings],
        })
    }

    /// The references of at most `limit` employees whose identifiers sort behind `after`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(
        &self,
        after: Option<&EmployeeId>,
        limit: u32,
    ) -> Result<Vec<Reference>, Error> {
        Ok(self.store.list(after, limit).await?)
    }

    /// The reference of one employee.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`].
    pub async fn find(&self, employee: &EmployeeId) -> Result<Reference, Error> {
        self.store.find(employee).await?.ok_or(Error::NotEnrolled)
    }

    /// The `top` closest pairs among those who are enrolled with the present encoder, closest
    /// first, and the identification threshold.
    pub fn lookalikes(&self, top: usize) -> (Vec<Pair>, Threshold) {
        (self.cohorts.present.closest_pairs(top), self.identification())
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

    /// Lets the cohorts' encoders look at a photo.
    async fn extract(
        &self,
        permit: &Permit,
        photo: Bytes,
        asked: &[(&Cohort, Role)],
    ) -> Result<Extraction, ExtractError> {
        let asked = asked.iter().map(|(cohort, role)| (cohort.encoder.clone(), *role)).collect();
        self.engine.extract(permit, photo, asked).await
    }

    /// Why an employee is in no cohort: unknown, or enrolled with a model that does not run.
    async fn why_absent(&self, employee: &EmployeeId) -> Result<Error, Error> {
        let runs = |model: &ModelName| self.cohorts.all().any(|c| c.model().id == model.id);
        Ok(match self.store.find(employee).await? {
            Some(reference) if !runs(&reference.model) => {
                Error::OtherModel { stored: reference.model.name }
            }
            // Present after all: enrolled or erased in between. The caller's photo came too early.
            Some(_) | None => Error::NotEnrolled,
        })
    }
}

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Match => Self::Match,
            Decision::NonMatch => Self::NonMatch,
        }
    }
}

/// What the last encoder that was asked made of the photo: the present one's, where all were asked.
fn last(embeddings: &[Embedding]) -> &Embedding {
    embeddings.last().expect("an extraction has an embedding of every encoder that was asked")
}
