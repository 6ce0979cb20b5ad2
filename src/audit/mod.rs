//! The audit trail: who did and decided what, and when, in a chain that shows what is done to it later.
//!
//! No event names an employee. Each reference has a random [`AuditId`], which goes from the store with
//! it: from then on only the receipt tells whose events those were.
//!
//! Each event's code authenticates the event and the code before it, so that under the audit key none can be
//! changed, taken out or moved without all later codes being wrong. A tail that was cut off shows only
//! against a [`Head`] that is kept elsewhere.

mod chain;

use std::fmt;

use jiff::Timestamp;

pub use self::chain::{AuditKey, Broken, Code, Entry, Head, InvalidHead, ReceiptId, Verification};
use crate::access::KeyName;
use crate::employee::AuditId;

/// Who acts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Actor {
    /// Whoever presented this access key.
    Key(KeyName),
    /// Whoever sits at this machine, as long as there are no keys.
    Local,
    /// Whoever ran a subcommand.
    Operator,
    /// The service itself, by the rule on how long an enrolment lasts.
    Retention,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key {}", name.as_str()),
            Self::Local => f.write_str("local"),
            Self::Operator => f.write_str("operator"),
            Self::Retention => f.write_str("retention"),
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// A reference is stored, or refused because it looks like somebody else's.
    Enroll,
    /// A photo is compared with one reference.
    Verify,
    /// A photo is compared with all references.
    Identify,
    /// Two photos are compared.
    Compare,
    /// A reference is erased.
    Erase,
    /// An enrollment is to end at another time, or not by itself.
    ChangeExpiry,
    /// All that is held on somebody is written out.
    Export,
    /// An access key is made.
    AddKey,
    /// An access key is taken back.
    RevokeKey,
    /// The master key is replaced.
    RotateMaster,
    /// Everything is copied into another store.
    Migrate,
    /// Archives are written.
    Backup,
    /// Archives are read.
    Restore,
    /// A rule brings the end of enrolments forward.
    LimitEnrolments,
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
            Self::LimitEnrolments => "limit_enrolments",
        }
    }
}

/// How it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// The photo shows the person.
    Match,
    /// The photo does not show the person, or shows nobody who is enrolled.
    NonMatch,
    /// The photo would be recognised as the subject, who is somebody else.
    LooksLikeAnother,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Match => "match",
            Self::NonMatch => "non_match",
            Self::LooksLikeAnother => "looks_like_another",
        }
    }
}

/// What it is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A reference.
    Reference(AuditId),
    /// An access key.
    Key(KeyName),
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// What it is about, if anything.
    pub subject: Option<Subject>,
}

impl Event {
    /// The words that are written of it.
    pub(crate) fn words(&self) -> Words {
        let subject = match &self.subject {
            Some(Subject::Reference(id)) => Some(id.to_string()),
            Some(Subject::Key(name)) => Some(format!("key {}", name.as_str())),
            None => None,
        };
        Words {
            at: self.at.as_millisecond(),
            actor: self.actor.to_string(),
            action: self.action.as_str().to_owned(),
            outcome: self.outcome.as_str().to_owned(),
            subject,
        }
    }
}

/// An event as it is written and read: words, for what is in the files may be anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Words {
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    /// An [`Actor`], in words.
    pub actor: String,
    /// An [`Action`].
    pub action: String,
    /// An [`Outcome`].
    pub outcome: String,
    /// A [`Subject`]: an audit id, or a key's name.
    pub subject: Option<String>,
}

impl Words {
    /// Whether a reference was erased.
    pub(crate) fn is_erasure(&self) -> bool {
        self.action == Action::Erase.as_str()
    }
}
