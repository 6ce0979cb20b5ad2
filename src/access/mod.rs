//! Who may call, and what: everyone who calls has a key of their own, with a role.
//!
//! A key is 256 random bits, so a plain digest of it can be kept without helping anybody to guess it.

mod local;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use self::local::LocalCredential;
use crate::employee::is_identifier;
use crate::random::random;

/// Set before the random part, so that a key that leaked is recognised as one.
const PREFIX: &str = "likeness_";

/// What the holder of a key is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Verifies and identifies at a door; sees nobody below the threshold.
    Terminal,
    /// Enrols, compares, lists and erases too.
    Enroller,
    /// Everything.
    Admin,
    /// Reads the metrics, and nothing else.
    Metrics,
}

/// What a call needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// To verify and identify.
    Recognize,
    /// To enrol, compare, look up and erase.
    Enroll,
    /// To read the metrics.
    Measure,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Terminal, Self::Enroller, Self::Admin, Self::Metrics];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Enroller => "enroller",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether its holder has a right.
    pub fn may(self, right: Right) -> bool {
        match self {
            Self::Admin => true,
            Self::Enroller => right != Right::Measure,
            Self::Terminal => right == Right::Recognize,
            Self::Metrics => right == Right::Measure,
        }
    }
}

/// What a key is called: 1 to 64 characters of `[A-Za-z0-9._@-]`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyName(Arc<str>);

/// A name that is empty, too long or holds another character.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key name must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-'")]
pub struct InvalidKeyName;

impl KeyName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidKeyName`] where it breaks the rule.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyName> {
        if is_identifier(text) { Ok(Self(text.into())) } else { Err(InvalidKeyName) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is kept of a key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key as its holder presents it.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// A digest as it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyDigest")
    }
}

/// A new key, to be shown to its holder once.
///
/// # Panics
/// Where the system has no random numbers to give.
pub fn generate() -> Zeroizing<String> {
    let secret = random::<32>();
    let mut key = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
    key.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut key);
    key
}

/// A key that was given out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// What it is called.
    pub name: KeyName,
    /// What its holder may do.
    pub role: Role,
    /// What is kept of it.
    pub digest: KeyDigest,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The grant of a presented key. Every digest is compared, each in constant time, so that the time
/// tells nothing of how near a guess came.
pub fn admitted<'a>(grants: &'a [Grant], presented: &str) -> Option<&'a Grant> {
    let presented = KeyDigest::of(presented);
    let matches = |grant: &&Grant| bool::from(grant.digest.0.ct_eq(&presented.0));
    grants.iter().filter(matches).fold(None, |found, grant| found.or(Some(grant)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, role: Role, key: &str) -> Grant {
        let name = KeyName::parse(name).unwrap();
        Grant { name, role, digest: KeyDigest::of(key), created_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_key_opens_its_own_grant_and_no_other() {
        let (door, desk) = (generate(), generate());
        assert_ne!(door, desk);
        assert_eq!(door.len(), PREFIX.len() + 43);
        let grants = [grant("door", Role::Terminal, &door), grant("desk", Role::Enroller, &desk)];
        assert_eq!(admitted(&grants, &desk).unwrap().name.as_str(), "desk");
        assert_eq!(admitted(&grants, &door).unwrap().role, Role::Terminal);
        for wrong in ["", "likeness_", &desk[1..], &desk.to_uppercase()] {
            assert!(admitted(&grants, wrong).is_none(), "{wrong}");
        }
        assert!(admitted(&[], &desk).is_none());
    }

    #[test]
    fn each_role_may_what_its_holder_is_there_for() {
        let rights = |role: Role| {
            [Right::Recognize, Right::Enroll, Right::Measure].map(|right| role.may(right))
        };
        assert_eq!(rights(Role::Terminal), [true, false, false]);
        assert_eq!(rights(Role::Enroller), [true, true, false]);
        assert_eq!(rights(Role::Admin), [true, true, true]);
        assert_eq!(rights(Role::Metrics), [false, false, true]);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
