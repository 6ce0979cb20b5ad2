//! What the use cases are asked with and answer with.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::audit::{Action, Actor, Event, Outcome, Subject};
use crate::comparison::{Decision, Score, Threshold};
use crate::employee::{AuditId, EmployeeId, ModelName, Reference};
use crate::face::Face;
use crate::quality::Reason;
use crate::timings::Timings;

/// Who asks, and when.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who, for the audit trail.
    pub actor: Actor,
    /// When.
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

/// What an enrolment found and did.
#[derive(Debug)]
pub struct Enrollment {
    /// What is stored now.
    pub reference: Reference,
    /// Whether it took the place of a former one.
    pub replaced: bool,
    /// The face that was used.
    pub face: Face,
    /// Where the time went.
    pub timings: Timings,
}

/// The answer to "could this photo be a reference?".
#[derive(Debug)]
pub struct Assessment {
    /// The face that was used.
    pub face: Face,
    /// What an enrolment would be refused for.
    pub reasons: BTreeSet<Reason>,
    /// Where the time went.
    pub timings: Timings,
}

/// The answer to "is this employee in the photo?".
#[derive(Debug)]
pub struct Verification {
    /// Match or non-match.
    pub decision: Decision,
    /// How well photo and reference compare.
    pub score: Score,
    /// What was decided at.
    pub threshold: Threshold,
    /// The encoder that the employee is enrolled with.
    pub model: ModelName,
    /// The face that was used.
    pub face: Face,
    /// What the photo would be refused for as a reference.
    pub reasons: BTreeSet<Reason>,
    /// Where the time went.
    pub timings: Timings,
}

/// Somebody whom a probe may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Who.
    pub employee: EmployeeId,
    /// What their reference is called in the audit trail.
    pub audit_id: AuditId,
    /// How well probe and reference compare.
    pub score: Score,
    /// What is decided at, with the encoder that the candidate is enrolled with.
    pub threshold: Threshold,
    /// That encoder.
    pub model: ModelName,
}

impl Candidate {
    /// By how much the threshold is exceeded: what ranks candidates of different encoders.
    pub(super) fn margin(&self) -> f64 {
        self.score.value() - self.threshold.score.value()
    }
}

/// Adds the candidates of the next encoder. An employee who was enrolled anew between the two searches is among both:
/// the later reference is theirs.
pub(super) fn merge(candidates: &mut Vec<Candidate>, found: Vec<Candidate>) {
    candidates.retain(|former| found.iter().all(|later| later.employee != former.employee));
    candidates.extend(found);
}

/// The answer to "who is in the photo?".
#[derive(Debug)]
pub struct Identification {
    /// The best candidates, best first, whether or not they reach the threshold.
    pub candidates: Vec<Candidate>,
    /// What is decided at with the present encoder, for a gallery of this size.
    pub threshold: Threshold,
    /// How many people were searched.
    pub gallery_size: usize,
    /// The face that was used.
    pub face: Face,
    /// What the photo would be refused for as a reference.
    pub reasons: BTreeSet<Reason>,
    /// Where the time went.
    pub timings: Timings,
}

impl Identification {
    /// The best candidate, where they reach the threshold.
    pub fn matched(&self) -> Option<&Candidate> {
        let best = self.candidates.first()?;
        (best.threshold.decide(best.score) == Decision::Match).then_some(best)
    }
}

/// The answer to "do two photos show the same person?".
#[derive(Debug)]
pub struct Comparison {
    /// Match or non-match.
    pub decision: Decision,
    /// How well they compare.
    pub score: Score,
    /// What was decided at.
    pub threshold: Threshold,
    /// The faces that were used, in the order of the photos.
    pub faces: [Face; 2],
    /// Where the time went: the first photo's stages, then the second one's.
    pub timings: [Timings; 2],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::ModelId;

    fn candidate(employee: &str, model: u8) -> Candidate {
        let score = Score::new(f64::from(model));
        Candidate {
            employee: EmployeeId::parse(employee).unwrap(),
            audit_id: AuditId::from_bytes([model; 16]),
            score,
            threshold: Threshold { score, target: 0.01 },
            model: ModelName { name: "test".into(), id: ModelId::from_digest([model; 32]) },
        }
    }

    #[test]
    fn an_employee_who_moves_between_encoders_is_one_candidate() {
        let mut candidates = vec![candidate("ada", 1), candidate("bob", 1)];
        merge(&mut candidates, vec![candidate("cyd", 2), candidate("ada", 2)]);
        assert_eq!(candidates, [candidate("bob", 1), candidate("cyd", 2), candidate("ada", 2)]);
    }
}
