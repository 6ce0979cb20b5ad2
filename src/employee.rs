//! The people: who they are to us, and what is said of their enrolment. No biometric data here.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::embedding::ModelId;

/// The identifier of an employee: 1 to 64 characters of `[A-Za-z0-9._@-]`, case kept; not dots alone, for a browser
/// takes `/employees/..` for another address.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EmployeeId(Arc<str>);

/// An identifier that is empty, too long or holds another character.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an employee_id is 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-', not dots alone"
)]
pub struct InvalidEmployeeId;

impl EmployeeId {
    /// Reads an identifier.
    ///
    /// # Errors
    /// [`InvalidEmployeeId`] where it breaks the rule.
    pub fn parse(text: &str) -> Result<Self, InvalidEmployeeId> {
        if is_identifier(text) { Ok(Self(text.into())) } else { Err(InvalidEmployeeId) }
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is 1 to 64 characters of `[A-Za-z0-9._@-]`, not dots alone.
pub(crate) fn is_identifier(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._@-".contains(&c);
    text.len() <= 64 && text.bytes().all(allowed) && text.bytes().any(|c| c != b'.')
}

/// The encoder that a reference was made with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModelName {
    /// The name in the model's manifest, for people.
    pub name: Arc<str>,
    /// The digest, which decides.
    pub id: ModelId,
}

/// What a reference is called in the audit trail: random, so that it tells nothing of whose it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditId([u8; 16]);

impl AuditId {
    /// An id as it was drawn or stored.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is told of an enrolled employee; never the embedding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    /// Whose it is.
    pub employee: EmployeeId,
    /// What it is called in the audit trail.
    pub audit_id: AuditId,
    /// When the photo was enrolled.
    pub enrolled_at: Timestamp,
    /// When it ends by itself, if ever.
    pub expires_at: Option<Timestamp>,
    /// The encoder that it was made with.
    pub model: ModelName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_keep_their_case_and_their_rule() {
        for good in ["e-17", "..a", "Ada.Lovelace@example.org", "_", "0", &"x".repeat(64)] {
            assert_eq!(EmployeeId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "....", " ", "a b", "é", "a/b", "a\n", "a\0", &"x".repeat(65)] {
            assert_eq!(EmployeeId::parse(bad), Err(InvalidEmployeeId), "{bad:?}");
        }
    }
}
