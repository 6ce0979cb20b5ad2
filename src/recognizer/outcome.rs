//! The inputs and results of the use cases.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;

use crate::audit::{Action, Actor, Event, Outcome, Subject};
use crate::comparison::{Decision, Score, Threshold};
use crate::employee::{AuditId, EmployeeId, ModelName, Reference};
use crate::face::Face;
use crate::presentation::Presentation;
use crate::quality::Reason;
use crate::seal::SessionToken;
use crate::timings::Timings;

/// The caller and the time of a use case.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller, for the audit trail.
    pub actor: Actor,
    /// The time.
    pub at: Timestamp,
}

impl Call {
    pub(super) fn event(
        &self,
        action: Action,
        outcome: Outcome,
        subject: Option<AuditId>,
    ) -> Event {
        let subject = subject.map(Subject::Reference);
        Event { at: self.at, actor: self.actor.clone(), action, outcome, subject }
    }
}

/// What is compared: a photo, or the frame that waits in a presentation session.
#[derive(Debug)]
pub enum Probe {
    /// A photo, as sent.
    Photo(Bytes),
    /// The best straight frame of a live session.
    Session(SessionToken),
}

/// Options of an enrollment.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnrollmentOptions {
    /// Replace an existing enrollment.
    pub replace: bool,
    /// Enroll although the photo matches another enrolled employee.
    pub confirm_lookalike: bool,
    /// Time at which the enrollment expires, if ever.
    pub expires_at: Option<Timestamp>,
    /// Dry run: the reference is kept in memory only.
    pub rehearsal: bool,
}

/// The result of an enrollment.
#[derive(Debug)]
pub struct Enrollment {
    /// The stored reference.
    pub reference: Reference,
    /// Whether it replaced a former one.
    pub replaced: bool,
    /// The face that was used.
    pub face: Face,
    /// The unified quality score of the photo, 0..=100.
    pub quality: u8,
    /// Whether the face is live, if presentations are judged; it decides nothing.
    pub presentation: Option<Presentation>,
    /// The stages and their times.
    pub timings: Timings,
}

/// The result of a check of a photo.
#[derive(Debug)]
pub struct Assessment {
    /// The face that was used.
    pub face: Face,
    /// The unified quality score of the photo, 0..=100.
    pub quality: u8,
    /// Quality defects that an enrollment would be refused for.
    pub reasons: BTreeSet<Reason>,
    /// Whether the face is live, if presentations are judged.
    pub presentation: Option<Presentation>,
    /// The stages and their times.
    pub timings: Timings,
}

/// The result of a verification.
#[derive(Debug)]
pub struct Verification {
    /// Match or non-match.
    pub decision: Decision,
    /// Whether the employee has to be re-enrolled: the reference shows no recognizable face and matches nobody.
    pub reenroll: bool,
    /// The comparison score.
    pub score: Score,
    /// The decision threshold.
    pub threshold: Threshold,
    /// The encoder that the employee is enrolled with.
    pub model: ModelName,
    /// The face that decides: the one with the best score, of those that may match if there are any.
    pub face: Face,
    /// Quality defects of this face.
    pub reasons: BTreeSet<Reason>,
    /// Whether this face is live, if presentations are judged.
    pub presentation: Option<Presentation>,
    /// Whether a match is withheld because this face is not live.
    pub withheld: bool,
    /// All faces that were compared, in descending order of prominence.
    pub faces: Vec<ScoredFace>,
    /// The stages and their times.
    pub timings: Timings,
}

/// A face that was compared with the claimed employee's reference.
#[derive(Debug)]
pub struct ScoredFace {
    /// The face.
    pub face: Face,
    /// Its comparison score.
    pub score: Score,
}

/// Options of an identification.
#[derive(Clone, Copy, Debug)]
pub struct IdentificationOptions {
    /// Maximum number of candidates for each face.
    pub top: usize,
    /// Identify all prominent faces instead of the most prominent one.
    pub all_faces: bool,
}

/// A candidate of an identification.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The employee.
    pub employee: EmployeeId,
    /// The audit id of their reference.
    pub audit_id: AuditId,
    /// The comparison score.
    pub score: Score,
    /// The threshold of the encoder that the candidate is enrolled with.
    pub threshold: Threshold,
    /// That encoder.
    pub model: ModelName,
}

impl Candidate {
    /// Returns the score's distance from the threshold, which ranks candidates of different encoders.
    pub(super) fn margin(&self) -> f64 {
        self.score.value() - self.threshold.score.value()
    }
}

/// Adds the candidates of the next encoder. An employee who was re-enrolled between the two searches is in both; the
/// later reference counts.
pub(super) fn merge(candidates: &mut Vec<Candidate>, found: Vec<Candidate>) {
    candidates.retain(|former| found.iter().all(|later| later.employee != former.employee));
    candidates.extend(found);
}

/// The result of an identification.
#[derive(Debug)]
pub struct Identification {
    /// The most prominent face.
    pub first: IdentifiedFace,
    /// The next ones, in descending order of prominence, if all faces were requested.
    pub others: Vec<IdentifiedFace>,
    /// Number of prominent faces in the photo, including those that were not identified.
    pub prominent: usize,
    /// The threshold of the present encoder, for a gallery of this size and this number of faces.
    pub threshold: Threshold,
    /// Number of employees searched.
    pub gallery_size: usize,
    /// The stages and their times.
    pub timings: Timings,
}

impl Identification {
    /// Returns the identified faces, the most prominent one first.
    pub fn faces(&self) -> impl Iterator<Item = &IdentifiedFace> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// A face with its candidates.
#[derive(Debug)]
pub struct IdentifiedFace {
    /// The face.
    pub face: Face,
    /// Its quality defects.
    pub reasons: BTreeSet<Reason>,
    /// Whether it is live, if presentations are judged.
    pub presentation: Option<Presentation>,
    /// Whether a match is withheld because it is not live.
    pub withheld: bool,
    /// The best candidates, best first, whether or not they reach the threshold.
    pub candidates: Vec<Candidate>,
}

impl IdentifiedFace {
    /// Returns the decision on the best candidate.
    pub fn decision(&self) -> Decision {
        if self.matched().is_some() { Decision::Match } else { Decision::NonMatch }
    }

    /// Returns the best candidate, if it reaches the threshold and the match is not withheld.
    pub fn matched(&self) -> Option<&Candidate> {
        let best = self.candidates.first().filter(|_| !self.withheld)?;
        (best.threshold.decide(best.score) == Decision::Match).then_some(best)
    }
}

/// The result of a comparison of two photos.
#[derive(Debug)]
pub struct Comparison {
    /// Match or non-match.
    pub decision: Decision,
    /// The comparison score.
    pub score: Score,
    /// The decision threshold.
    pub threshold: Threshold,
    /// The faces that were used, in the order of the photos.
    pub faces: [Face; 2],
    /// Quality defects of the photos. Where the first one could not be a reference that only its owner matches, the
    /// decision is a non-match.
    pub reasons: [BTreeSet<Reason>; 2],
    /// The stages and their times: the first photo's stages, then the second one's.
    pub timings: [Timings; 2],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Basis;
    use crate::embedding::ModelId;

    fn candidate(employee: &str, model: u8) -> Candidate {
        let score = Score::new(f64::from(model));
        Candidate {
            employee: EmployeeId::parse(employee).unwrap(),
            audit_id: AuditId::from_bytes([model; 16]),
            score,
            threshold: Threshold { score, target: 0.01, basis: Basis::Table },
            model: ModelName { name: "test".into(), id: ModelId::from_digest([model; 32]) },
        }
    }

    #[test]
    fn reenrolled_employee_is_one_candidate() {
        let mut candidates = vec![candidate("ada", 1), candidate("bob", 1)];
        merge(&mut candidates, vec![candidate("cyd", 2), candidate("ada", 2)]);
        assert_eq!(candidates, [candidate("bob", 1), candidate("cyd", 2), candidate("ada", 2)]);
    }
}
