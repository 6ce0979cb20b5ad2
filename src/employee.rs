//! Employees: identifiers, expiry, and the metadata of a reference. Contains no biometric data.

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::embedding::ModelId;

/// The identifier of an employee: 1 to 64 characters of `[A-Za-z0-9._@-]`, case kept; not dots alone, for a browser
/// takes `/employees/..` for another address.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EmployeeId(Arc<str>);

/// The identifier is empty, too long or contains an invalid character.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an employee_id must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-', and not only dots"
)]
pub struct InvalidEmployeeId;

impl EmployeeId {
    /// Parses an identifier.
    ///
    /// # Errors
    /// [`InvalidEmployeeId`].
    pub fn parse(text: &str) -> Result<Self, InvalidEmployeeId> {
        if is_identifier(text) { Ok(Self(text.into())) } else { Err(InvalidEmployeeId) }
    }

    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a text is 1 to 64 characters of `[A-Za-z0-9._@-]`, not dots alone.
pub(crate) fn is_identifier(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._@-".contains(&c);
    text.len() <= 64 && text.bytes().all(allowed) && text.bytes().any(|c| c != b'.')
}

/// Maximum time until expiry; some programs write "never" as a later date.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 36_525);

/// The text is not a valid expiry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidExpiry {
    /// Neither a time nor a date.
    #[error(
        "must be an RFC 3339 timestamp such as 2030-12-31T18:00:00Z, or a date such as 2030-12-31, which includes that day in UTC"
    )]
    NotATime,
    /// Now, or before.
    #[error("must be in the future")]
    Past,
    /// More than 100 years ahead.
    #[error("must be at most 100 years ahead; omit it for no expiry")]
    TooFar,
}

/// Parses an expiry: RFC 3339, or a date, which means the end of that day in UTC.
///
/// # Errors
/// [`InvalidExpiry`] for another text, and for a time that is not within the next 100 years.
pub fn parse_expiry(text: &str, now: Timestamp) -> Result<Timestamp, InvalidExpiry> {
    let time = text.parse().ok().or_else(|| end_of_day(text)).ok_or_else(|| {
        // Some programs write "never" as the last day that there is, whose end is none.
        let day = text.get(..10).and_then(|day| day.parse::<Date>().ok());
        if day.is_some_and(|day| day.year() == Date::MAX.year()) {
            InvalidExpiry::TooFar
        } else {
            InvalidExpiry::NotATime
        }
    })?;
    if time <= now {
        Err(InvalidExpiry::Past)
    } else if time.duration_since(now) > LONGEST {
        Err(InvalidExpiry::TooFar)
    } else {
        Ok(time)
    }
}

/// Returns the end of a day written as 2030-12-31.
fn end_of_day(text: &str) -> Option<Timestamp> {
    // A time of day without an offset would be read as a date too.
    if text.len() != "2030-12-31".len() {
        return None;
    }
    let day: Date = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.at(0, 0, 0, 0)).ok()
}

/// The encoder that created a reference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModelName {
    /// The human-readable name in the model's manifest.
    pub name: Arc<str>,
    /// The digest, which identifies the model.
    pub id: ModelId,
}

/// The random pseudonym of a reference in the audit trail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditId([u8; 16]);

impl AuditId {
    /// Creates an id from random or stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The metadata of an enrolled employee's reference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    /// The employee.
    pub employee: EmployeeId,
    /// Its pseudonym in the audit trail.
    pub audit_id: AuditId,
    /// Time of the enrollment.
    pub enrolled_at: Timestamp,
    /// Time at which it expires, if ever.
    pub expires_at: Option<Timestamp>,
    /// The encoder that created it.
    pub model: ModelName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrollment_ends_within_the_next_hundred_years() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        for (text, end) in [
            ("2030-12-31T18:00:00Z", "2030-12-31T18:00:00Z"),
            ("2030-12-31T18:00:00+02:00", "2030-12-31T16:00:00Z"),
            ("2030-12-31", "2031-01-01T00:00:00Z"),
            ("2026-01-02", "2026-01-03T00:00:00Z"),
            ("2125-12-31", "2126-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse_expiry(text, now), Ok(end.parse().unwrap()), "{text}");
        }
        for (text, reason) in [
            ("2026-01-02T03:04:05Z", InvalidExpiry::Past),
            ("2026-01-01", InvalidExpiry::Past),
            ("0001-01-01", InvalidExpiry::Past),
            ("2126-12-31", InvalidExpiry::TooFar),
            ("9999-12-30T00:00:00Z", InvalidExpiry::TooFar),
            ("9999-12-31T23:59:59Z", InvalidExpiry::TooFar),
            ("9999-12-31", InvalidExpiry::TooFar),
            ("2030-12-31T18:00:00", InvalidExpiry::NotATime),
            ("2030-12-31 18:00", InvalidExpiry::NotATime),
            ("31.12.2030", InvalidExpiry::NotATime),
            ("12/31/2030", InvalidExpiry::NotATime),
            ("2030-02-30", InvalidExpiry::NotATime),
            ("tomorrow", InvalidExpiry::NotATime),
            ("", InvalidExpiry::NotATime),
        ] {
            assert_eq!(parse_expiry(text, now), Err(reason), "{text}");
        }
    }

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
