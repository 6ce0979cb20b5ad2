//! The use cases, free of HTTP: enroll, verify, identify, compare, list, forget.
//!
//! Each reads as the flow does. The store is written first and the gallery follows, both behind
//! one lock and in a task of its own: a client that leaves in between cannot part them.

mod cohort;
mod error;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Mutex;

use self::cohort::Cohort;
pub use self::error::{Error, StartError};
pub use self::outcome::{
    Candidate, Comparison, Enrollment, EnrollmentWishes, Identification, Verification,
};
use crate::access::Grant;
use crate::comparison::Threshold;
use crate::embedding::Embedding;
use crate::employee::{EmployeeId, ModelName, Receipt, Reference};
use crate::engine::{Engine, ExtractError, Extraction};
use crate::gallery::Pair;
use crate::seal::Sealer;
use crate::store::{Enrolled, Erased, Store, StoreError};

/// How long after a failed try erased pages are to be overwritten again.
const WIPE_AGAIN: Duration = Duration::from_secs(1);

/// The error rates to decide at.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// False match rate of a verification.
    pub verify_fmr: f64,
    /// False positive identification rate of an identification.
    pub identify_fpir: f64,
}

/// Everything that answers a use case; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recognizer {
    engine: Engine,
    cohorts: Arc<Cohorts>,
    store: Store,
    sealer: Sealer,
    /// Held from before a commit until the gallery has followed.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Cohorts {
    /// Whoever is enrolled comes here.
    present: Cohort,
    /// Those who wait to be enrolled anew.
    former: Option<Cohort>,
}

impl Cohorts {
    /// The former first: whoever is enrolled anew enters the present one before they leave it, so
    /// a search in this order misses nobody.
    fn all(&self) -> impl Iterator<Item = &Cohort> {
        self.former.iter().chain([&self.present])
    }

    fn of(&self, employee: &EmployeeId) -> Option<&Cohort> {
        self.all().find(|cohort| cohort.gallery.contains(employee))
    }

    fn people(&self) -> usize {
        self.all().map(|cohort| cohort.gallery.len()).sum()
    }
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
    ) -> Result<Self, StartError> {
        let keys = store.data_keys().await?;
        let load = |encoder| Cohort::load(encoder, &store, &sealer, &keys, policy);
        let present = load(engine.encoder().clone()).await?;
        let former = match engine.former_encoder() {
            Some(encoder) => Some(load(encoder.clone()).await?),
            None => None,
        };
        let cohorts = Arc::new(Cohorts { present, former });
        for (model, enrolled) in store.models().await? {
            if cohorts.all().all(|cohort| cohort.model().id != model.id) {
                tracing::warn!(
                    enrolled,
                    "{enrolled} employees were enrolled with {} ({}), which does not run: they are not recognised (see `likeness model switch`)",
                    model.name,
                    model.id
                );
            }
        }
        Ok(Self { engine, cohorts, store, sealer, writing: Arc::default() })
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

    /// Whether the store still answers.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    /// Every access key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn grants(&self) -> Result<Vec<Grant>, Error> {
        Ok(self.store.grants().await?)
    }

    /// Enrols an employee by a photo.
    ///
    /// # Errors
    /// [`Error::AlreadyEnrolled`] unless `replace`; [`Error::PoorPhoto`];
    /// [`Error::LooksLikeAnother`] unless `confirm_lookalike`; what [`Engine::extract`] says; the
    /// store's.
    pub async fn enroll(
        &self,
        employee: EmployeeId,
        photo: Bytes,
        wishes: EnrollmentWishes,
        now: Timestamp,
    ) -> Result<Enrollment, Error> {
        let EnrollmentWishes { replace, confirm_lookalike, expires_at } = wishes;
        // Whoever has ended is no longer enrolled, even where their reference is not erased yet.
        self.erase_expired(now).await?;
        // Spares the inference; what decides is the commit.
        if !replace && self.cohorts.of(&employee).is_some() {
            return Err(Error::AlreadyEnrolled);
        }
        let cohorts: Vec<_> = self.cohorts.all().collect();
        let Extraction { face, quality, embeddings, timings } =
            self.extract(photo, &cohorts).await?;
        let reasons = quality.reasons();
        if !reasons.is_empty() {
            return Err(Error::PoorPhoto(reasons));
        }
        if !confirm_lookalike && let Some(other) = self.lookalike(&employee, &embeddings, now) {
            return Err(Error::LooksLikeAnother { other: other.as_str().to_owned() });
        }
        let embedding = last(embeddings);
        let model = self.model().clone();
        let reference = Reference { employee, enrolled_at: now, expires_at, model };
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
    pub async fn verify(
        &self,
        employee: &EmployeeId,
        photo: Bytes,
        now: Timestamp,
    ) -> Result<Verification, Error> {
        let Some(cohort) = self.cohorts.of(employee) else {
            return Err(self.why_absent(employee).await?);
        };
        let Extraction { face, quality, embeddings, timings } =
            self.extract(photo, &[cohort]).await?;
        // Whoever was erased meanwhile is missing.
        let Some(score) = cohort.compare(employee, &last(embeddings), now) else {
            return Err(self.why_absent(employee).await?);
        };
        let threshold = cohort.verification;
        let model = cohort.model().clone();
        let decision = threshold.decide(score);
        let reasons = quality.reasons();
        Ok(Verification { decision, score, threshold, model, face, reasons, timings })
    }

    /// Searches everyone for whoever a photo shows; `top` candidates at most.
    ///
    /// # Errors
    /// What [`Engine::extract`] says.
    pub async fn identify(
        &self,
        photo: Bytes,
        top: usize,
        now: Timestamp,
    ) -> Result<Identification, Error> {
        let cohorts: Vec<_> = self.cohorts.all().collect();
        let Extraction { face, quality, embeddings, timings } =
            self.extract(photo, &cohorts).await?;
        let gallery_size = self.cohorts.people();
        let mut candidates = Vec::new();
        for (cohort, probe) in cohorts.into_iter().zip(&embeddings) {
            let threshold = cohort.identification(gallery_size);
            candidates.extend(cohort.search(probe, top, now).into_iter().map(|near| Candidate {
                employee: near.employee,
                score: near.score,
                threshold,
                model: cohort.model().clone(),
            }));
        }
        candidates.sort_by(|a, b| b.margin().total_cmp(&a.margin()));
        candidates.truncate(top);
        let threshold = self.cohorts.present.identification(gallery_size);
        let reasons = quality.reasons();
        Ok(Identification { candidates, threshold, gallery_size, face, reasons, timings })
    }

    /// Compares two photos; nothing is stored.
    ///
    /// # Errors
    /// What [`Engine::extract`] says of either photo.
    pub async fn compare(&self, photo_a: Bytes, photo_b: Bytes) -> Result<Comparison, Error> {
        let present = &self.cohorts.present;
        let a = self.extract(photo_a, &[present]).await?;
        let b = self.extract(photo_b, &[present]).await?;
        let score = present.encoder.comparator().compare(&last(a.embeddings), &last(b.embeddings));
        let threshold = present.verification;
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

    /// The `top` closest pairs among those who are enrolled with the present encoder, closest
    /// first, and the identification threshold.
    pub fn lookalikes(&self, top: usize) -> (Vec<Pair>, Threshold) {
        (self.cohorts.present.closest_pairs(top), self.identification())
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
            this.cohorts.all().for_each(|cohort| cohort.gallery.remove(&leaver));
            if erased == Erased::NotYetWholly {
                tokio::spawn(this.clone().wipe_leftovers());
            }
            Ok::<_, StoreError>(erased)
        });
        match erased.await?? {
            Erased::Nobody => Err(Error::NotEnrolled),
            erased => Ok(Receipt { employee, erased_at: now, wholly: erased == Erased::Wholly }),
        }
    }

    /// Erases everyone whose enrolment has ended.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn erase_expired(&self, now: Timestamp) -> Result<usize, Error> {
        let ended = self.store.expired(now).await?;
        for employee in &ended {
            match self.forget(employee.clone(), now).await {
                // Erased by somebody else in between.
                Ok(_) | Err(Error::NotEnrolled) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended.len())
    }

    /// Tries until nothing of the erased is left in any file.
    async fn wipe_leftovers(self) {
        loop {
            tokio::time::sleep(WIPE_AGAIN).await;
            let _writing = self.writing.lock().await;
            if self.store.wipe_leftovers().await {
                return;
            }
        }
    }

    /// Lets the cohorts' encoders look at a photo.
    async fn extract(&self, photo: Bytes, cohorts: &[&Cohort]) -> Result<Extraction, ExtractError> {
        let encoders = cohorts.iter().map(|cohort| cohort.encoder.clone()).collect();
        self.engine.extract(photo, encoders).await
    }

    /// Whoever else a photo of this employee would be identified as; `embeddings` are of all cohorts.
    fn lookalike(
        &self,
        employee: &EmployeeId,
        embeddings: &[Embedding],
        now: Timestamp,
    ) -> Option<EmployeeId> {
        let people = self.cohorts.people();
        let mut probes = self.cohorts.all().zip(embeddings);
        probes.find_map(|(cohort, probe)| cohort.lookalike(employee, probe, people, now))
    }

    /// Commits a reference and lets the gallery follow.
    async fn store_reference(
        self,
        reference: Reference,
        embedding: Embedding,
        replace: bool,
    ) -> Result<Enrolled, Error> {
        let task = tokio::spawn(async move {
            let (employee, model) = (&reference.employee, reference.model.id);
            let (key, template) = self.sealer.seal(employee, model, &embedding);
            let _writing = self.writing.lock().await;
            let enrolled = self.store.enroll(&reference, &key, &template, replace).await?;
            if enrolled != Enrolled::Kept {
                let (employee, end) = (reference.employee.clone(), reference.expires_at);
                self.cohorts.present.gallery.insert(employee, &embedding, end);
                if let Some(former) = &self.cohorts.former {
                    former.gallery.remove(&reference.employee);
                }
            }
            Ok::<_, StoreError>(enrolled)
        });
        Ok(task.await??)
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

/// What the last encoder that was asked made of the photo: the present one's, where all were asked.
fn last(mut embeddings: Vec<Embedding>) -> Embedding {
    embeddings.pop().expect("an extraction has an embedding of every encoder that was asked")
}
