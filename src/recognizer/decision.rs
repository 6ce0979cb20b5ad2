//! The use cases that decide on photos: check, verify, identify, compare.

use bytes::Bytes;

use super::error::Error;
use super::outcome::{self, Assessment, Call, Candidate, Comparison, Identification, Verification};
use super::{Recognizer, last};
use crate::audit::{Action, Outcome};
use crate::comparison::Decision;
use crate::employee::{EmployeeId, ModelName};
use crate::engine::{Extraction, Role};
use crate::gallery::Compared;

impl Recognizer {
    /// Assesses whether a photo is suitable as a reference. Nothing is compared.
    ///
    /// # Errors
    /// Those of [`Engine::extract`](crate::engine::Engine::extract).
    pub async fn check(&self, photo: Bytes) -> Result<Assessment, Error> {
        let Extraction { face, quality, timings, .. } =
            self.extract(&self.engine.permit()?, photo, &[]).await?;
        let (quality, reasons) = (quality.unified_score(), quality.reasons());
        Ok(Assessment { face, quality, reasons, timings })
    }

    /// Compares a photo with one employee's reference.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], [`Error::OtherModel`], [`Error::OutOfStep`]; those of [`Engine::extract`](crate::engine::Engine::extract).
    pub async fn verify(
        &self,
        employee: &EmployeeId,
        photo: Bytes,
        call: &Call,
    ) -> Result<Verification, Error> {
        self.in_step()?;
        let Some(gallery) = self.galleries.of(employee) else {
            return Err(self.why_absent(employee).await?);
        };
        let permit = self.engine.permit()?;
        let Extraction { face, quality, embeddings, mut timings } =
            self.extract(&permit, photo, &[(gallery, Role::Probe)]).await?;
        let in_step = self.in_step()?;
        // The employee may have been erased meanwhile.
        let compared = gallery.compare(employee, last(&embeddings), call.at);
        let Some(Compared { score, audit_id, recognizable }) = compared else {
            return Err(self.why_absent(employee).await?);
        };
        let threshold = gallery.thresholds.verification();
        let model = gallery.model().clone();
        let decision = if recognizable { threshold.decide(score) } else { Decision::NonMatch };
        let written = self.record(call, Action::Verify, decision.into(), Some(audit_id));
        timings.wait("store", written).await?;
        in_step.holds()?;
        let reasons = quality.reasons();
        let reenroll = !recognizable;
        Ok(Verification { decision, reenroll, score, threshold, model, face, reasons, timings })
    }

    /// Searches all galleries for the employee whom a photo shows; returns at most `top` candidates.
    ///
    /// # Errors
    /// [`Error::OutOfStep`]; those of [`Engine::extract`](crate::engine::Engine::extract).
    pub async fn identify(
        &self,
        photo: Bytes,
        top: usize,
        call: &Call,
    ) -> Result<Identification, Error> {
        self.in_step()?;
        let probes: Vec<_> = self.galleries.all().map(|gallery| (gallery, Role::Probe)).collect();
        let permit = self.engine.permit()?;
        let Extraction { face, quality, embeddings, mut timings } =
            self.extract(&permit, photo, &probes).await?;
        let in_step = self.in_step()?;
        let gallery_size = self.galleries.people();
        let mut candidates = Vec::new();
        for (gallery, probe) in self.galleries.all().zip(&embeddings) {
            let threshold = gallery.thresholds.identification(gallery_size);
            let nearest = timings.wait("search", gallery.search(probe, top, call.at)).await?;
            let found = nearest.into_iter().map(|near| Candidate {
                employee: near.employee,
                audit_id: near.audit_id,
                score: near.score,
                threshold,
                model: gallery.model().clone(),
            });
            outcome::merge(&mut candidates, found.collect());
        }
        candidates.sort_by(|a, b| b.margin().total_cmp(&a.margin()));
        candidates.truncate(top);
        let threshold = self.galleries.present.thresholds.identification(gallery_size);
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
    /// Those of [`Engine::extract`](crate::engine::Engine::extract) for either photo.
    pub async fn compare(
        &self,
        photo_a: Bytes,
        photo_b: Bytes,
        call: &Call,
    ) -> Result<Comparison, Error> {
        let present = &self.galleries.present;
        let permit = self.engine.permit()?;
        let a = self.extract(&permit, photo_a, &[(present, Role::Reference)]).await?;
        let mut b = self.extract(&permit, photo_b, &[(present, Role::Probe)]).await?;
        let score = present.encoder.comparator().compare(last(&a.embeddings), last(&b.embeddings));
        let threshold = present.thresholds.verification();
        let mut decision = threshold.decide(score);
        let reference = last(&a.embeddings);
        if !(a.quality.is_recognizable() && present.encoder.accepts_reference(reference)) {
            decision = Decision::NonMatch;
        }
        let written = self.record(call, Action::Compare, decision.into(), None);
        b.timings.wait("store", written).await?;
        Ok(Comparison {
            decision,
            score,
            threshold,
            faces: [a.face, b.face],
            reasons: [a.quality.reasons(), b.quality.reasons()],
            timings: [a.timings, b.timings],
        })
    }

    /// Returns why an employee is in no gallery: not enrolled, or enrolled with a model that is not loaded.
    async fn why_absent(&self, employee: &EmployeeId) -> Result<Error, Error> {
        let runs =
            |model: &ModelName| self.galleries.all().any(|gallery| gallery.model().id == model.id);
        Ok(match self.store.find(employee).await? {
            Some(reference) if !runs(&reference.model) => {
                Error::OtherModel { stored: reference.model.name }
            }
            // Enrolled or erased since the gallery was read: the photo came too early.
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
