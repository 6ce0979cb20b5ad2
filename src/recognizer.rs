//! The use cases, free of HTTP: enroll, verify, identify, compare, list, forget.
//!
//! Each reads as the flow does. The store is written first and the gallery follows, both behind
//! one lock and in a task of its own: a client that leaves in between cannot part them.

mod outcome;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Mutex;

pub use self::outcome::{Comparison, Enrollment, EnrollmentWishes, Identification, Verification};
use crate::comparison::{Decision, ErrorRatesError, Threshold};
use crate::embedding::Embedding;
use crate::employee::{EmployeeId, ModelName, Receipt, Reference};
use crate::engine::{Engine, EngineError, ExtractError, Extraction};
use crate::face::NoProminentFace;
use crate::gallery::{Gallery, Pair};
use crate::photo::PhotoError;
use crate::seal::{DoesNotOpen, Sealer};
use crate::store::{Enrolled, Store, StoreError};

/// The error rates to decide at.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// False match rate of a verification.
    pub verify_fmr: f64,
    /// False positive identification rate of an identification.
    pub identify_fpir: f64,
}

/// Why a use case came to no answer. A non-match is an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The employee has a reference, and replacing it was not asked for.
    #[error("this employee is already enrolled; set replace to enrol them anew")]
    AlreadyEnrolled,
    /// Too much is under way.
    #[error("the service is busy; try again shortly")]
    Busy,
    /// The models failed.
    #[error(transparent)]
    Engine(EngineError),
    /// The photo does not say whose face is meant.
    #[error(transparent)]
    Face(NoProminentFace),
    /// The photo would be recognised as somebody else who is enrolled.
    #[error(
        "this photo looks like {other}, who is enrolled already; if they are two people, set confirm_lookalike"
    )]
    LooksLikeAnother {
        /// Who it looks like.
        other: String,
    },
    /// Nobody of this name.
    #[error("no employee of this id is enrolled")]
    NotEnrolled,
    /// The employee's reference was made by another encoder.
    #[error(
        "this employee was enrolled with the model {stored}; enrol them anew with the one that runs now"
    )]
    OtherModel {
        /// The name of the encoder that made the reference.
        stored: Arc<str>,
    },
    /// The bytes are no usable photo.
    #[error(transparent)]
    Photo(PhotoError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of ours panicked.
    #[error("a write was interrupted: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<ExtractError> for Error {
    fn from(error: ExtractError) -> Self {
        match error {
            ExtractError::Busy => Self::Busy,
            ExtractError::Engine(error) => Self::Engine(error),
            ExtractError::Face(error) => Self::Face(error),
            ExtractError::Photo(error) => Self::Photo(error),
        }
    }
}

/// Why the service cannot start on this store.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The policy asks for more than the encoder's data support.
    #[error(transparent)]
    Policy(#[from] ErrorRatesError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template does not open: most likely it is the wrong key.
    #[error("the template of employee {employee}: {source}")]
    Template {
        /// Whose it is.
        employee: String,
        /// What is wrong.
        source: DoesNotOpen,
    },
}

/// Everything that answers a use case; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recognizer {
    engine: Engine,
    gallery: Arc<Gallery>,
    store: Store,
    sealer: Sealer,
    verification: Threshold,
    identify_fpir: f64,
    /// Held from before a commit until the gallery has followed.
    writing: Arc<Mutex<()>>,
}

impl Recognizer {
    /// Opens every template of the running model into the gallery.
    ///
    /// # Errors
    /// [`StartError`]; a template that does not open stops the start, for it is not to be lost
    /// sight of.
    pub async fn start(
        engine: Engine,
        store: Store,
        sealer: Sealer,
        policy: Policy,
    ) -> Result<Self, StartError> {
        let verification = engine.error_rates().for_verification(policy.verify_fmr)?;
        let gallery = Gallery::new(engine.embedding_length());
        let model = engine.model().id;
        let (templates, others) = store.templates(model).await?;
        for (employee, template) in templates {
            let opened = sealer.open(&employee, model, &template);
            let reference = opened.map_err(|source| StartError::Template {
                employee: employee.as_str().to_owned(),
                source,
            })?;
            gallery.insert(employee, &reference);
        }
        if others > 0 {
            tracing::warn!(
                others,
                "{others} employees were enrolled with another model and must be enrolled anew"
            );
        }
        Ok(Self {
            engine,
            gallery: Arc::new(gallery),
            store,
            sealer,
            verification,
            identify_fpir: policy.identify_fpir,
            writing: Arc::default(),
        })
    }

    /// The encoder that runs.
    pub fn model(&self) -> &ModelName {
        self.engine.model()
    }

    /// How many people can be recognised.
    pub fn gallery_size(&self) -> usize {
        self.gallery.len()
    }

    /// Whether the store still answers.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    /// Enrols an employee by a photo.
    ///
    /// # Errors
    /// [`Error::AlreadyEnrolled`] unless `replace`; [`Error::LooksLikeAnother`] unless
    /// `confirm_lookalike`; what [`Engine::extract`] says; the store's.
    pub async fn enroll(
        &self,
        employee: EmployeeId,
        photo: Bytes,
        wishes: EnrollmentWishes,
        now: Timestamp,
    ) -> Result<Enrollment, Error> {
        let EnrollmentWishes { replace, confirm_lookalike } = wishes;
        // Spares the inference; what decides is the commit.
        if !replace && self.gallery.contains(&employee) {
            return Err(Error::AlreadyEnrolled);
        }
        let Extraction { face, embedding, timings } = self.engine.extract(photo).await?;
        if !confirm_lookalike && let Some(other) = self.lookalike(&employee, &embedding) {
            return Err(Error::LooksLikeAnother { other: other.as_str().to_owned() });
        }
        let model = self.engine.model().clone();
        let reference = Reference { employee, enrolled_at: now, expires_at: None, model };
        match self.clone().store_reference(reference.clone(), embedding, replace).await? {
            Enrolled::Kept => Err(Error::AlreadyEnrolled),
            Enrolled::New => Ok(Enrollment { reference, replaced: false, face, timings }),
            Enrolled::Replaced => Ok(Enrollment { reference, replaced: true, face, timings }),
        }
    }

    /// Compares a photo with one employee's reference.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], [`Error::OtherModel`]; what [`Engine::extract`] says.
    pub async fn verify(&self, employee: &EmployeeId, photo: Bytes) -> Result<Verification, Error> {
        // Spares the inference; whoever is erased meanwhile is missing below.
        if !self.gallery.contains(employee) {
            return Err(self.why_absent(employee).await?);
        }
        let Extraction { face, embedding: probe, timings } = self.engine.extract(photo).await?;
        let Some(score) = self.gallery.compare(employee, &probe, self.engine.comparator()) else {
            return Err(self.why_absent(employee).await?);
        };
        let threshold = self.verification;
        Ok(Verification { decision: threshold.decide(score), score, threshold, face, timings })
    }

    /// Searches the gallery for whoever a photo shows; `top` candidates at most.
    ///
    /// # Errors
    /// What [`Engine::extract`] says.
    pub async fn identify(&self, photo: Bytes, top: usize) -> Result<Identification, Error> {
        let Extraction { face, embedding: probe, timings } = self.engine.extract(photo).await?;
        let (candidates, gallery_size) = self.gallery.search(&probe, top, self.engine.comparator());
        let threshold = self.identification(gallery_size);
        Ok(Identification { candidates, threshold, gallery_size, face, timings })
    }

    /// Compares two photos; nothing is stored.
    ///
    /// # Errors
    /// What [`Engine::extract`] says of either photo.
    pub async fn compare(&self, photo_a: Bytes, photo_b: Bytes) -> Result<Comparison, Error> {
        let a = self.engine.extract(photo_a).await?;
        let b = self.engine.extract(photo_b).await?;
        let score = self.engine.comparator().compare(&a.embedding, &b.embedding);
        let threshold = self.verification;
        Ok(Comparison {
            decision: threshold.decide(score),
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

    /// The `top` closest pairs of the gallery, closest first, and the identification threshold.
    pub fn lookalikes(&self, top: usize) -> (Vec<Pair>, Threshold) {
        let pairs = self.gallery.closest_pairs(top, self.engine.comparator());
        (pairs, self.identification(self.gallery.len()))
    }

    /// Erases an employee.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`].
    pub async fn forget(&self, employee: EmployeeId, now: Timestamp) -> Result<Receipt, Error> {
        let this = self.clone();
        let leaver = employee.clone();
        let erased = tokio::spawn(async move {
            let _writing = this.writing.lock().await;
            let erased = this.store.erase(&leaver).await?;
            this.gallery.remove(&leaver);
            Ok::<_, StoreError>(erased)
        });
        if erased.await?? {
            Ok(Receipt { employee, erased_at: now })
        } else {
            Err(Error::NotEnrolled)
        }
    }

    /// What identification is decided at among this many people.
    fn identification(&self, gallery_size: usize) -> Threshold {
        self.engine.error_rates().for_identification(self.identify_fpir, gallery_size)
    }

    /// Whoever else a photo of this employee would be identified as.
    fn lookalike(&self, employee: &EmployeeId, embedding: &Embedding) -> Option<EmployeeId> {
        // The employee's own former reference may be the nearest, so two are asked for.
        let (candidates, size) = self.gallery.search(embedding, 2, self.engine.comparator());
        let other = candidates.into_iter().find(|candidate| candidate.employee != *employee)?;
        (self.identification(size).decide(other.score) == Decision::Match).then_some(other.employee)
    }

    /// Commits a reference and lets the gallery follow.
    async fn store_reference(
        self,
        reference: Reference,
        embedding: Embedding,
        replace: bool,
    ) -> Result<Enrolled, Error> {
        let task = tokio::spawn(async move {
            let template = self.sealer.seal(&reference.employee, reference.model.id, &embedding);
            let _writing = self.writing.lock().await;
            let enrolled = self.store.enroll(&reference, &template, replace).await?;
            if enrolled != Enrolled::Kept {
                self.gallery.insert(reference.employee, &embedding);
            }
            Ok::<_, StoreError>(enrolled)
        });
        Ok(task.await??)
    }

    /// Why the gallery lacks an employee: unknown, or enrolled with another model.
    async fn why_absent(&self, employee: &EmployeeId) -> Result<Error, Error> {
        Ok(match self.store.find(employee).await? {
            Some(reference) if reference.model.id != self.engine.model().id => {
                Error::OtherModel { stored: reference.model.name }
            }
            // Present after all: enrolled or erased in between. The caller's photo came too early.
            Some(_) | None => Error::NotEnrolled,
        })
    }
}
