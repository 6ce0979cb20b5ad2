//! The use cases that decide on photos: check, verify, identify, compare.

use std::iter;

use bytes::Bytes;
use jiff::Timestamp;

use super::error::Error;
use super::outcome::{
    self, Assessment, Call, Candidate, Comparison, Identification, IdentificationOptions,
    IdentifiedFace, Probe, ScoredFace, Verification,
};
use super::{PresentationMode, Recognizer, last};
use crate::audit::{Action, Event, NotLive, Outcome};
use crate::comparison::Decision;
use crate::employee::{EmployeeId, ModelName};
use crate::engine::{EncodedFace, Extraction, GroupExtraction, Role};
use crate::gallery::Compared;
use crate::presentation::{self, Presentation};
use crate::timings::Timings;

/// Maximum number of faces of one photo that are encoded and compared.
pub const MOST_FACES: usize = 8;

/// What the searches for the faces of one photo have in common.
#[derive(Clone, Copy)]
struct Search {
    /// Number of comparisons that the decision threshold accounts for.
    comparisons: usize,
    /// Maximum number of candidates.
    top: usize,
    now: Timestamp,
}

impl Recognizer {
    /// Assesses whether a photo is suitable as a reference. Nothing is compared.
    ///
    /// # Errors
    /// Those of [`Engine::extract`](crate::engine::Engine::extract).
    pub async fn check(&self, photo: Bytes) -> Result<Assessment, Error> {
        let Extraction { face, quality, presentation, timings, .. } =
            self.extract(&self.engine.permit()?, photo, &[]).await?;
        let (quality, reasons) = (quality.unified_score(), quality.reasons());
        Ok(Assessment { face, quality, reasons, presentation, timings })
    }

    /// Compares each prominent face of a photo with one employee's reference. The best score decides, at a threshold that
    /// is stricter the more faces are compared. A face from which a match is withheld decides only if no other matches.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], [`Error::OtherModel`], [`Error::OutOfStep`], [`Error::TooManyAttacks`],
    /// [`Error::NoPresentationSession`]; those of
    /// [`Engine::extract_group`](crate::engine::Engine::extract_group).
    pub async fn verify(
        &self,
        employee: &EmployeeId,
        probe: Probe,
        call: &Call,
    ) -> Result<Verification, Error> {
        self.in_step()?;
        let Some(gallery) = self.galleries.of(employee) else {
            return Err(self.why_absent(employee).await?);
        };
        if let Some(wait) = self.attacks.wait(employee, call.at)
            && self.presentation == PresentationMode::Require
        {
            return Err(Error::TooManyAttacks { wait });
        }
        let permit = self.engine.permit()?;
        let asked = [(gallery, Role::Probe)];
        let GroupExtraction { first, others, prominent, mut timings } =
            self.extract_probe(&permit, probe, &asked, MOST_FACES, (Some(employee), call)).await?;
        let in_step = self.in_step()?;
        // The employee may have been erased meanwhile.
        let compare = |face: EncodedFace| {
            let compared = gallery.compare(employee, last(&face.embeddings), call.at)?;
            Some((face, compared))
        };
        let compared: Vec<_> = iter::once(first).chain(others).map_while(compare).collect();
        let scored = |(encoded, compared): &(EncodedFace, Compared)| ScoredFace {
            face: encoded.face.clone(),
            score: compared.score,
        };
        let faces: Vec<_> = compared.iter().map(scored).collect();
        let threshold = gallery.thresholds.verification_among(faces.len());
        let matches = |(encoded, compared): &(EncodedFace, Compared)| {
            compared.recognizable
                && threshold.decide(compared.score) == Decision::Match
                && !self.withholds(encoded.presentation.as_ref())
        };
        let rank = |pair: &(EncodedFace, Compared)| (matches(pair), pair.1.score);
        // Of equal ones the more prominent face.
        let best = compared.into_iter().reduce(|a, b| if rank(&b) > rank(&a) { b } else { a });
        let Some(best) = best else {
            return Err(self.why_absent(employee).await?);
        };
        let decision = if matches(&best) { Decision::Match } else { Decision::NonMatch };
        let (EncodedFace { face, quality, presentation, .. }, compared) = best;
        let model = gallery.model().clone();
        let Compared { score, audit_id, recognizable } = compared;
        let outcome = outcome_of(decision, prominent, presentation.as_ref());
        let event = call.event(Action::Verify, outcome, Some(audit_id));
        let repeated = self.count_attack(Some(employee), presentation.as_ref(), call);
        let written = self.journal.record(iter::once(event).chain(repeated));
        timings.wait("store", written).await.map_err(|_| Error::AuditFull)?;
        in_step.holds()?;
        let (reasons, withheld) = (quality.reasons(), self.withholds(presentation.as_ref()));
        Ok(Verification {
            decision,
            reenroll: !recognizable,
            score,
            threshold,
            model,
            face,
            reasons,
            presentation,
            withheld,
            faces,
            timings,
        })
    }

    /// Searches all galleries for the most prominent face of a photo or, with
    /// [`all_faces`](IdentificationOptions::all_faces), for each prominent face. Each face has an event of its own.
    ///
    /// # Errors
    /// [`Error::OutOfStep`], [`Error::NoPresentationSession`]; those of [`Engine::extract_group`](crate::engine::Engine::extract_group).
    pub async fn identify(
        &self,
        probe: Probe,
        options: IdentificationOptions,
        call: &Call,
    ) -> Result<Identification, Error> {
        self.in_step()?;
        let probes: Vec<_> = self.galleries.all().map(|gallery| (gallery, Role::Probe)).collect();
        let permit = self.engine.permit()?;
        let most = if options.all_faces { MOST_FACES } else { 1 };
        let GroupExtraction { first, others, prominent, mut timings } =
            self.extract_probe(&permit, probe, &probes, most, (None, call)).await?;
        let in_step = self.in_step()?;
        let gallery_size = self.galleries.people();
        // Each face is compared with each reference, and the FPIR is that of the whole answer.
        let comparisons = gallery_size.max(1) * (1 + others.len());
        let search = Search { comparisons, top: options.top, now: call.at };
        let first = self.identify_face(first, search, &mut timings).await?;
        let mut identified = Vec::with_capacity(others.len());
        for face in others {
            identified.push(self.identify_face(face, search, &mut timings).await?);
        }
        let threshold = self.galleries.present.thresholds.identification(comparisons);
        let others = identified;
        let mut answer =
            Identification { first, others, prominent, threshold, gallery_size, timings };
        let mut events: Vec<_> =
            answer.faces().map(|face| event_of(face, prominent, call)).collect();
        for face in answer.faces() {
            events.extend(self.count_attack(None, face.presentation.as_ref(), call));
        }
        let written = self.journal.record(events);
        answer.timings.wait("store", written).await.map_err(|_| Error::AuditFull)?;
        in_step.holds()?;
        Ok(answer)
    }

    /// Searches all galleries for one face.
    async fn identify_face(
        &self,
        encoded: EncodedFace,
        search: Search,
        timings: &mut Timings,
    ) -> Result<IdentifiedFace, Error> {
        let Search { comparisons, top, now } = search;
        let EncodedFace { face, quality, presentation, embeddings } = encoded;
        let mut candidates = Vec::new();
        for (gallery, probe) in self.galleries.all().zip(&embeddings) {
            let threshold = gallery.thresholds.identification(comparisons);
            let nearest = timings.wait("search", gallery.search(probe, top, now)).await?;
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
        let (reasons, withheld) = (quality.reasons(), self.withholds(presentation.as_ref()));
        Ok(IdentifiedFace { face, reasons, presentation, withheld, candidates })
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
        let outcome = outcome_of(decision, 1, None);
        let written = self.record(call, Action::Compare, outcome, None);
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

    /// Counts a presentation if it is an attack, and returns an event if the caller has now made too many.
    fn count_attack(
        &self,
        employee: Option<&EmployeeId>,
        presentation: Option<&Presentation>,
        call: &Call,
    ) -> Option<Event> {
        presentation.filter(|shown| shown.decision == presentation::Decision::Attack)?;
        self.add_attack(employee, call)
    }

    /// Counts an attack, and returns an event if the caller has now made too many.
    pub(super) fn add_attack(&self, employee: Option<&EmployeeId>, call: &Call) -> Option<Event> {
        let too_many = self.attacks.record(employee, &call.actor, call.at);
        too_many.then(|| call.event(Action::RepeatedAttacks, Outcome::Done, None))
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

/// Returns the event of the identification of one face.
fn event_of(face: &IdentifiedFace, prominent: usize, call: &Call) -> Event {
    let matched = face.matched().map(|candidate| candidate.audit_id);
    let outcome = outcome_of(face.decision(), prominent, face.presentation.as_ref());
    call.event(Action::Identify, outcome, matched)
}

/// Returns the outcome of a decision on a photo.
fn outcome_of(decision: Decision, faces: usize, presentation: Option<&Presentation>) -> Outcome {
    let not_live = presentation.and_then(|presentation| match presentation.decision {
        presentation::Decision::Live => None,
        presentation::Decision::Attack => Some(NotLive::Attack),
        presentation::Decision::Uncertain => Some(NotLive::Uncertain),
    });
    Outcome::Decided { is_match: decision == Decision::Match, faces, not_live }
}
