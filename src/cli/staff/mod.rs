//! Employees to enroll, read from a folder of photos or a staff table.

mod folder;
mod photo;
mod table;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub(super) use self::folder::folder;
pub(super) use self::photo::{check_photo, read_photo};
use self::table::table;
use crate::employee::{EmployeeId, InvalidExpiry, Reference};
use crate::recognizer::Code;

/// An employee to enroll.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joiner {
    pub(super) employee: EmployeeId,
    pub(super) photo: PathBuf,
    pub(super) expires_at: Option<Timestamp>,
}

/// An enrolled employee.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Enrollee {
    pub(super) employee: EmployeeId,
    pub(super) enrolled_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

impl From<Reference> for Enrollee {
    fn from(reference: Reference) -> Self {
        let Reference { employee, enrolled_at, expires_at, .. } = reference;
        Self { employee, enrolled_at, expires_at }
    }
}

/// The outcome of an enrollment, if the service did not fail.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tried {
    Enrolled,
    /// The employee was enrolled before; that enrollment stays.
    Already,
    /// The code and the reason.
    Refused(Code, String),
}

/// A row of a staff table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StaffRow {
    pub(super) employee: EmployeeId,
    pub(super) photo: Option<PathBuf>,
    /// The expiry, if the table has this column: a time, or none.
    pub(super) expires_at: Option<Result<Option<Timestamp>, InvalidExpiry>>,
}

/// An employee who cannot be enrolled, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) employee: String,
    pub(super) photo: PathBuf,
    pub(super) code: Code,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(joiner: &Joiner, code: Code, reason: impl Into<String>) -> Self {
        let (employee, photo) = (joiner.employee.as_str().to_owned(), joiner.photo.clone());
        Self { employee, photo, code, reason: reason.into() }
    }

    /// Returns the refusal of a row with an invalid expiry.
    pub(super) fn of_expiry(row: &StaffRow, invalid: InvalidExpiry) -> Self {
        Self {
            employee: row.employee.as_str().to_owned(),
            photo: row.photo.clone().unwrap_or_default(),
            code: Code::Malformed,
            reason: format!("expires_at {invalid}"),
        }
    }

    /// Formats the refusal as one line of fields between tabs.
    pub(super) fn line(&self) -> String {
        let code = self.code.as_str();
        let photo = self.photo.display().to_string();
        let [employee, photo] =
            [&self.employee, &photo].map(|name| name.replace(char::is_control, "?"));
        format!("{employee}\t{photo}\t{code}\t{}", self.reason)
    }
}

/// Entries of a folder or table: photos to enroll, refusals, skipped files.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) joiners: Vec<Joiner>,
    pub(super) refused: Vec<Refusal>,
    /// Skipped files, with the reason.
    pub(super) passed_over: Vec<(PathBuf, &'static str)>,
}

/// Reads the rows of a staff table, and prints its ignored columns.
///
/// # Errors
/// The errors of [`table()`].
pub(super) fn read_table(file: &Path, now: Timestamp) -> anyhow::Result<Vec<StaffRow>> {
    let table = table(file, now)?;
    if !table.others.is_empty() {
        eprintln!("ignored columns: {}", table.others.join(", "));
    }
    Ok(table.rows)
}

/// Reads the employees to enroll from a staff table.
///
/// # Errors
/// The errors of [`table()`].
pub(super) fn joiners_of_table(file: &Path, now: Timestamp) -> anyhow::Result<Source> {
    let mut source = Source::default();
    for row in read_table(file, now)? {
        match row.expires_at.unwrap_or(Ok(None)) {
            Err(invalid) => source.refused.push(Refusal::of_expiry(&row, invalid)),
            Ok(expires_at) => {
                let (employee, photo) = (row.employee, row.photo.unwrap_or_default());
                source.joiners.push(Joiner { employee, photo, expires_at });
            }
        }
    }
    Ok(source)
}
