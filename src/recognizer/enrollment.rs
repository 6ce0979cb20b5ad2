//! The use cases that enroll and erase.
//!
//! The store is written first and the gallery follows, under one lock and in a task of its own, so that a client that
//! disconnects cannot separate them.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::timeout;

use super::searcher::SearchEnded;
use super::{
    Call, Enrollment, EnrollmentOptions, Error, ModelGalleries, Receipt, Recognizer, last,
};
use crate::audit::{Action, Actor, Outcome, ReceiptId};
use crate::embedding::Embedding;
use crate::employee::{AuditId, EmployeeId, Reference};
use crate::engine::{Extraction, Role};
use crate::gallery::{self, Neighbour};
use crate::quality::Reason;
use crate::random::random;
use crate::store::{Enrolled, Extent, StoreError, Written};

/// Time limit of a write to PostgreSQL, waiting for other writers included.
const LONGEST_WRITE: Duration = Duration::from_secs(10);

/// The result of storing a reference.
enum Stored {
    New,
    Replaced,
    /// The existing enrollment was kept.
    Kept,
    LooksLike(Neighbour),
}

impl Recognizer {
    /// Enrolls an employee from one photo.
    ///
    /// # Errors
    /// [`Error::AlreadyEnrolled`] unless `replace`; [`Error::PoorPhoto`];
    /// [`Error::OutOfStep`]; [`Error::LooksLikeAnother`] unless `confirm_lookalike`; those of
    /// [`Engine::extract`](crate::engine::Engine::extract) and of the store.
    pub async fn enroll(
        &self,
        employee: EmployeeId,
        photo: Bytes,
        options: EnrollmentOptions,
        call: &Call,
    ) -> Result<Enrollment, Error> {
        self.in_step()?;
        // An expired employee is no longer enrolled, even if their reference is not erased yet.
        self.erase_expired(call.at).await?;
        // Saves the inference; the commit decides.
        if !options.replace && self.galleries.of(&employee).is_some() {
            return Err(Error::AlreadyEnrolled);
        }
        let ModelGalleries { former, present } = &*self.galleries;
        let former = former.iter().map(|former| (former, Role::Probe));
        let asked: Vec<_> = former.chain([(present, Role::Reference)]).collect();
        let permit = self.engine.permit()?;
        let Extraction { face, quality, presentation, embeddings, mut timings } =
            self.extract(&permit, photo, &asked).await?;
        let mut reasons = quality.reasons();
        if reasons.is_empty() && !present.encoder.accepts_reference(last(&embeddings)) {
            reasons.insert(Reason::Unusual);
        }
        if !reasons.is_empty() {
            return Err(Error::PoorPhoto { reasons, quality: quality.unified_score() });
        }
        let model = self.model().clone();
        let latest = self.longest_enrollment.and_then(|time| call.at.checked_add(time).ok());
        let expires_at = options.expires_at.into_iter().chain(latest).min();
        let audit_id = AuditId::from_bytes(*random());
        let reference = Reference { employee, audit_id, enrolled_at: call.at, expires_at, model };
        let stored = self.clone().store_reference(
            reference.clone(),
            embeddings,
            options,
            call.actor.clone(),
        );
        let replaced = match timings.wait("store", stored).await? {
            Stored::New => false,
            Stored::Replaced => true,
            Stored::Kept => return Err(Error::AlreadyEnrolled),
            Stored::LooksLike(other) => {
                let outcome = Outcome::LooksLikeAnother;
                self.record(call, Action::Enroll, outcome, Some(other.audit_id)).await?;
                return Err(Error::LooksLikeAnother { other: other.employee.as_str().to_owned() });
            }
        };
        let quality = quality.unified_score();
        Ok(Enrollment { reference, replaced, face, quality, presentation, timings })
    }

    /// Erases an employee.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`].
    pub async fn erase(&self, employee: EmployeeId, call: &Call) -> Result<Receipt, Error> {
        let (this, call) = (self.clone(), call.clone());
        let erased = tokio::spawn(async move {
            let _writing = this.writing.lock().await;
            let receipt = this.patiently(this.store.erase(&employee, &call.actor, call.at)).await?;
            match &this.feed {
                Some(feed) => feed.follow().await,
                None => {
                    for gallery in this.galleries.all() {
                        gallery.remove(&employee).await?;
                    }
                }
            }
            if receipt.as_ref().is_some_and(|receipt| receipt.extent == Extent::Underway) {
                this.wiper.wake();
            }
            Ok::<_, Error>(receipt)
        });
        erased.await??.ok_or(Error::NotEnrolled)
    }

    /// Returns the receipt of an earlier erasure. Erases nothing: the employee may have been re-enrolled since.
    ///
    /// # Errors
    /// [`Error::NoReceipt`].
    pub async fn receipt(&self, employee: &EmployeeId, id: ReceiptId) -> Result<Receipt, Error> {
        self.store.receipt(employee, id).await?.ok_or(Error::NoReceipt)
    }

    /// Erases all employees whose enrollment has expired, and returns their number.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn erase_expired(&self, now: Timestamp) -> Result<usize, Error> {
        let ended = self.store.expired(now).await?;
        let call = Call { actor: Actor::Retention, at: now };
        for employee in &ended {
            match self.erase(employee.clone(), &call).await {
                // Already erased by another call.
                Ok(_) | Err(Error::NotEnrolled) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended.len())
    }

    /// Returns the other employee whom a photo of this employee would match, if any; `embeddings` has one for each gallery.
    async fn lookalike(
        &self,
        employee: &EmployeeId,
        embeddings: &[Embedding],
        now: Timestamp,
    ) -> Result<Option<Neighbour>, SearchEnded> {
        let people = self.galleries.people();
        for (gallery, probe) in self.galleries.all().zip(embeddings) {
            if let Some(other) = gallery.lookalike(employee, probe, people, now).await? {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// Commits a reference and updates the gallery, unless the face matches another employee. The search runs under the
    /// same lock, and again if another replica has changed something meanwhile, so that of two simultaneous enrollments
    /// of one face the second is detected.
    async fn store_reference(
        self,
        reference: Reference,
        embeddings: Vec<Embedding>,
        options: EnrollmentOptions,
        actor: Actor,
    ) -> Result<Stored, Error> {
        let task = tokio::spawn(async move {
            let _writing = self.writing.lock().await;
            let employee = &reference.employee;
            loop {
                let seen = self.seen(options).await?;
                if !options.confirm_lookalike
                    && let Some(other) =
                        self.lookalike(employee, &embeddings, reference.enrolled_at).await?
                {
                    return Ok(Stored::LooksLike(other));
                }
                match self.commit(&reference, &embeddings, options, seen, &actor).await? {
                    Enrolled::Behind => {}
                    Enrolled::Kept => return Ok(Stored::Kept),
                    Enrolled::New => return Ok(Stored::New),
                    Enrolled::Replaced => return Ok(Stored::Replaced),
                }
            }
        });
        task.await?
    }

    /// Returns how far the feed has been read, if look-alikes are searched for.
    async fn seen(&self, options: EnrollmentOptions) -> Result<Option<u64>, Error> {
        self.in_step()?;
        match &self.feed {
            Some(feed) if !options.confirm_lookalike => Ok(Some(feed.read().await)),
            _ => Ok(None),
        }
    }

    async fn commit(
        &self,
        reference: &Reference,
        embeddings: &[Embedding],
        options: EnrollmentOptions,
        seen: Option<u64>,
        actor: &Actor,
    ) -> Result<Enrolled, Error> {
        let embedding = last(embeddings);
        let (employee, model) = (&reference.employee, reference.model.id);
        let (key, template) = self.sealer.seal(employee, model, embedding);
        let enrolled = if options.rehearsal {
            self.rehearse(employee, options.replace)
        } else {
            let written =
                Written { key: &key, template: &template, replace: options.replace, seen };
            self.patiently(self.store.enroll(reference, written, actor)).await?
        };
        match &self.feed {
            Some(feed) if !options.rehearsal => feed.follow().await,
            _ if enrolled == Enrolled::Kept => {}
            _ => {
                let (audit_id, expires_at) = (reference.audit_id, reference.expires_at);
                let present = gallery::Enrolled {
                    employee: employee.clone(),
                    audit_id,
                    expires_at,
                    // Others were refused.
                    recognizable: true,
                    key: key.id,
                };
                self.galleries.present.insert(present, embedding.clone()).await?;
                if let Some(former) = &self.galleries.former {
                    former.remove(employee).await?;
                }
            }
        }
        Ok(enrolled)
    }

    /// Awaits a write, with a time limit if others write too: the feed then reports whether it was committed.
    pub(super) async fn patiently<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Error> {
        if self.feed.is_none() {
            return Ok(write.await?);
        }
        Ok(timeout(LONGEST_WRITE, write).await.map_err(|_| Error::OutOfStep)??)
    }

    /// Returns what the store would answer.
    fn rehearse(&self, employee: &EmployeeId, replace: bool) -> Enrolled {
        match (self.galleries.of(employee), replace) {
            (None, _) => Enrolled::New,
            (Some(_), true) => Enrolled::Replaced,
            (Some(_), false) => Enrolled::Kept,
        }
    }
}
