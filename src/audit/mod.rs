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
#[derive(Clone, Debug, Eq, PartialEq)]
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
        }
    }
}

/// The outcome of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The action was done.
    Done,
    /// The photo shows the person.
    Match,
    /// The photo does not show the person, or shows nobody who is enrolled.
    NonMatch,
    /// A match in a photo with several prominent faces.
    MatchAmong {
        /// The number of prominent faces.
        faces: usize,
    },
    /// A non-match in a photo with several prominent faces.
    NonMatchAmong {
        /// The number of prominent faces.
        faces: usize,
    },
    /// The photo matches the subject, who is another employee.
    LooksLikeAnother,
}

impl Outcome {
    /// Adds the number of prominent faces in the photo to a match or non-match. For one face the outcome stays as it
    /// is, so that its canonical encoding does too.
    #[must_use]
    pub fn among(self, faces: usize) -> Self {
        match self {
            Self::Match if faces > 1 => Self::MatchAmong { faces },
            Self::NonMatch if faces > 1 => Self::NonMatchAmong { faces },
            other => other,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Match => f.write_str("match"),
            Self::NonMatch => f.write_str("non_match"),
            Self::MatchAmong { faces } => write!(f, "match; faces={faces}"),
            Self::NonMatchAmong { faces } => write!(f, "non_match; faces={faces}"),
            Self::LooksLikeAnother => f.write_str("looks_like_another"),
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
    fn outcome_states_the_number_of_faces_only_if_there_are_several() {
        let written = |outcome: Outcome, faces| outcome.among(faces).to_string();
        assert_eq!(written(Outcome::Match, 1), "match");
        assert_eq!(written(Outcome::NonMatch, 1), "non_match");
        assert_eq!(written(Outcome::Match, 2), "match; faces=2");
        assert_eq!(written(Outcome::NonMatch, 12), "non_match; faces=12");
        assert_eq!(written(Outcome::LooksLikeAnother, 2), "looks_like_another");
    }
}
