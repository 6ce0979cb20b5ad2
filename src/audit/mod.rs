//! The audit trail: a tamper-evident chain of events, each with its actor, action, outcome and time.
//!
//! No event names an employee. Each reference has a random [`AuditId`], which is erased with it; afterwards only the
//! receipt tells whose events they were.
//!
//! The MAC of an event authenticates the event and the previous MAC, so that without the audit key no event can be
//! changed, removed or moved. Truncation is detected only by comparison with a [`Head`] that is kept elsewhere.

mod chain;

use std::fmt;

use jiff::Timestamp;

pub use self::chain::{AuditKey, Broken, Entry, Head, InvalidHead, Mac, ReceiptId, Verification};
use crate::access::KeyName;
use crate::employee::AuditId;

/// The actor of an event.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Actor {
    /// The caller who presented this API key.
    Key(KeyName),
    /// The caller who presented the local credential.
    Local,
    /// The user who ran a subcommand.
    Operator,
    /// The service itself, when an enrollment expires.
    Retention,
    /// The service itself, as it follows the gallery.
    Service,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key {}", name.as_str()),
            Self::Local => f.write_str("local"),
            Self::Operator => f.write_str("operator"),
            Self::Retention => f.write_str("retention"),
            Self::Service => f.write_str("service"),
        }
    }
}

/// The action of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// A reference is stored, or refused because it matches another employee.
    Enroll,
    /// A photo is compared with one reference.
    Verify,
    /// A photo is compared with all references.
    Identify,
    /// Two photos are compared.
    Compare,
    /// A reference is erased.
    Erase,
    /// The expiry of an enrollment is changed.
    ChangeExpiry,
    /// All data about an employee are exported.
    Export,
    /// An API key is added.
    AddKey,
    /// An API key is revoked.
    RevokeKey,
    /// The master key is replaced.
    RotateMaster,
    /// All data are copied to another store.
    Migrate,
    /// A backup is written.
    Backup,
    /// A backup is restored.
    Restore,
    /// The retention limit brings expiries forward.
    LimitEnrollments,
    /// The thresholds of a gallery are fitted to the people enrolled.
    FitThreshold,
    /// A caller has made several presentation attacks within minutes.
    RepeatedAttacks,
    /// The frames of a presentation session are judged.
    JudgePresentation,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Verify => "verify",
            Self::Identify => "identify",
            Self::Compare => "compare",
            Self::Erase => "erase",
            Self::ChangeExpiry => "change_expiry",
            Self::Export => "export",
            Self::AddKey => "add_key",
            Self::RevokeKey => "revoke_key",
            Self::RotateMaster => "rotate_master",
            Self::Migrate => "migrate_store",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::LimitEnrollments => "limit_enrolments",
            Self::FitThreshold => "fit_threshold",
            Self::RepeatedAttacks => "repeated_attacks",
            Self::JudgePresentation => "judge_presentation",
        }
    }
}

/// The outcome of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The action was done.
    Done,
    /// The photo shows the person, or it does not, or shows nobody who is enrolled.
    Decided {
        /// Whether it is a match.
        is_match: bool,
        /// The number of prominent faces in the photo.
        faces: usize,
        /// Why the presentation of the face that decided does not count as live, if it was judged so.
        not_live: Option<NotLive>,
    },
    /// The photo matches the subject, who is another employee.
    LooksLikeAnother,
    /// The presentation is live (ISO/IEC 30107-3).
    Live,
    /// The presentation is not live.
    NotLive(NotLive),
}

/// A judgment on a presentation that is not live (ISO/IEC 30107-3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotLive {
    /// It is an attack.
    Attack,
    /// The photo does not permit a judgment.
    Uncertain,
}

impl Outcome {
    /// A match by the only face of a photo.
    pub const MATCH: Self = Self::Decided { is_match: true, faces: 1, not_live: None };

    /// A non-match by the only face of a photo.
    pub const NON_MATCH: Self = Self::Decided { is_match: false, faces: 1, not_live: None };
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            // What is ordinary is not written, so that the canonical encoding of earlier events stays.
            Self::Decided { is_match, faces, not_live } => {
                f.write_str(if *is_match { "match" } else { "non_match" })?;
                if *faces > 1 {
                    write!(f, "; faces={faces}")?;
                }
                match not_live {
                    Some(NotLive::Attack) => f.write_str("; presentation=attack"),
                    Some(NotLive::Uncertain) => f.write_str("; presentation=uncertain"),
                    None => Ok(()),
                }
            }
            Self::LooksLikeAnother => f.write_str("looks_like_another"),
            Self::Live => f.write_str("live"),
            Self::NotLive(NotLive::Attack) => f.write_str("attack"),
            Self::NotLive(NotLive::Uncertain) => f.write_str("uncertain"),
        }
    }
}

/// The subject of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A reference.
    Reference(AuditId),
    /// An API key.
    Key(KeyName),
}

/// An event of the audit trail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Time of the event.
    pub at: Timestamp,
    /// The actor.
    pub actor: Actor,
    /// The action.
    pub action: Action,
    /// The outcome.
    pub outcome: Outcome,
    /// The subject, if any.
    pub subject: Option<Subject>,
}

impl Event {
    /// Returns the canonical encoding of the event.
    pub(crate) fn canonical(&self) -> CanonicalEvent {
        let subject = match &self.subject {
            Some(Subject::Reference(id)) => Some(id.to_string()),
            Some(Subject::Key(name)) => Some(format!("key {}", name.as_str())),
            None => None,
        };
        CanonicalEvent {
            at: self.at.as_millisecond(),
            actor: self.actor.to_string(),
            action: self.action.as_str().to_owned(),
            outcome: self.outcome.to_string(),
            subject,
        }
    }
}

/// An event as it is stored and authenticated: text, since a file may contain anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanonicalEvent {
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    /// An [`Actor`].
    pub actor: String,
    /// An [`Action`].
    pub action: String,
    /// An [`Outcome`].
    pub outcome: String,
    /// A [`Subject`]: an audit id, or a key's name.
    pub subject: Option<String>,
}

impl CanonicalEvent {
    /// Returns whether the event is an erasure.
    pub(crate) fn is_erasure(&self) -> bool {
        self.action == Action::Erase.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_states_only_what_is_not_ordinary() {
        let written =
            |is_match, faces, not_live| Outcome::Decided { is_match, faces, not_live }.to_string();
        assert_eq!(Outcome::MATCH.to_string(), "match");
        assert_eq!(Outcome::NON_MATCH.to_string(), "non_match");
        assert_eq!(written(true, 2, None), "match; faces=2");
        assert_eq!(written(false, 12, None), "non_match; faces=12");
        assert_eq!(written(false, 1, Some(NotLive::Attack)), "non_match; presentation=attack");
        let uncertain = written(true, 3, Some(NotLive::Uncertain));
        assert_eq!(uncertain, "match; faces=3; presentation=uncertain");
        let judged = [
            Outcome::Live,
            Outcome::NotLive(NotLive::Attack),
            Outcome::NotLive(NotLive::Uncertain),
        ];
        assert_eq!(judged.map(|outcome| outcome.to_string()), ["live", "attack", "uncertain"]);
    }
}
