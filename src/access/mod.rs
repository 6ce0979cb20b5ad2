//! API keys and their roles.
//!
//! A key is 256 random bits, so that its unsalted digest can be stored: guessing is hopeless.

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

/// Prefix of each key, by which secret scanners recognize a leaked one.
const PREFIX: &str = "likeness_";

/// The role of an API key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Verifies and identifies; the answers contain matches only.
    Terminal,
    /// Also enrolls, compares, lists and erases.
    Enroller,
    /// Has all rights.
    Admin,
    /// Only reads the metrics.
    Metrics,
}

/// A right that a call requires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// To verify and identify.
    Recognize,
    /// To enroll, compare, look up and erase.
    Enroll,
    /// To read the metrics.
    Measure,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Terminal, Self::Enroller, Self::Admin, Self::Metrics];

    /// Returns the role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Enroller => "enroller",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }

    /// Returns the role with this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Returns whether the role has a right.
    pub fn may(self, right: Right) -> bool {
        match self {
            Self::Admin => true,
            Self::Enroller => right != Right::Measure,
            Self::Terminal => right == Right::Recognize,
            Self::Metrics => right == Right::Measure,
        }
    }
}

/// The name of an API key: 1 to 64 characters of `[A-Za-z0-9._@-]`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyName(Arc<str>);

/// The error for a name that is empty, too long, or contains another character.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key name must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-'")]
pub struct InvalidKeyName;

impl KeyName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidKeyName`] if the text is not one.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyName> {
        if is_identifier(text) { Ok(Self(text.into())) } else { Err(InvalidKeyName) }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The SHA-256 digest of an API key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Computes the digest of a presented key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Restores a stored digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyDigest")
    }
}

/// Generates a new key, which is shown once.
///
/// # Panics
/// If the system's random number generator fails.
pub fn generate() -> Zeroizing<String> {
    let secret = random::<32>();
    let mut key = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
    key.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut key);
    key
}

/// A valid API key, without its secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiKey {
    /// The key's name.
    pub name: KeyName,
    /// The key's role.
    pub role: Role,
    /// The digest of the secret.
    pub digest: KeyDigest,
    /// The time of creation.
    pub created_at: Timestamp,
}

/// Returns the API key that was presented. All digests are compared, each in constant time, so that
/// the duration reveals nothing about a guess.
pub fn admitted<'a>(api_keys: &'a [ApiKey], presented: &str) -> Option<&'a ApiKey> {
    let presented = KeyDigest::of(presented);
    let matches = |api_key: &&ApiKey| bool::from(api_key.digest.0.ct_eq(&presented.0));
    api_keys.iter().filter(matches).fold(None, |found, api_key| found.or(Some(api_key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_key(name: &str, role: Role, key: &str) -> ApiKey {
        let name = KeyName::parse(name).unwrap();
        ApiKey { name, role, digest: KeyDigest::of(key), created_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_key_opens_its_own_grant_and_no_other() {
        let (door, desk) = (generate(), generate());
        assert_ne!(door, desk);
        assert_eq!(door.len(), PREFIX.len() + 43);
        let api_keys =
            [api_key("door", Role::Terminal, &door), api_key("desk", Role::Enroller, &desk)];
        assert_eq!(admitted(&api_keys, &desk).unwrap().name.as_str(), "desk");
        assert_eq!(admitted(&api_keys, &door).unwrap().role, Role::Terminal);
        for wrong in ["", "likeness_", &desk[1..], &desk.to_uppercase()] {
            assert!(admitted(&api_keys, wrong).is_none(), "{wrong}");
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
