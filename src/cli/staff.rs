//! Who is to be enrolled, read from a folder of photos or a table.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::evaluate::folder::{entries, is_photo, name};
use crate::employee::EmployeeId;

/// The columns of a table.
const COLUMNS: [&str; 3] = ["employee_id", "photo", "expires_at"];

/// Somebody who is to be enrolled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joiner {
    pub(super) employee: EmployeeId,
    pub(super) photo: PathBuf,
    pub(super) expires_at: Option<Timestamp>,
}

/// A row of a table of staff.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) employee: EmployeeId,
    pub(super) photo: Option<PathBuf>,
    pub(super) expires_at: Option<Timestamp>,
}

/// The photos of a folder, each named by its employee: `e-17.jpg`.
///
/// # Errors
/// Where the folder cannot be read, holds no photo, or a photo's name is no employee's or is there twice.
pub(super) fn folder(dir: &Path) -> anyhow::Result<Vec<Joiner>> {
    let mut joiners = Vec::new();
    let mut names = HashSet::new();
    for photo in entries(dir)?.into_iter().filter(|path| is_photo(path)) {
        let stem = photo.file_stem().unwrap_or_default().to_string_lossy();
        let employee = EmployeeId::parse(&stem).with_context(|| name(&photo))?;
        if !names.insert(employee.clone()) {
            bail!("{}: there is another photo of {}", name(&photo), employee.as_str());
        }
        joiners.push(Joiner { employee, photo, expires_at: None });
    }
    if joiners.is_empty() {
        bail!("{}: there are no photos (EMPLOYEE.jpg, jpeg, png, webp)", dir.display());
    }
    Ok(joiners)
}

/// The rows of a CSV file with the columns `employee_id` and, where wanted, `photo` (a path from the table's
/// folder) and `expires_at` (RFC 3339). All of it is read before anything is done.
///
/// # Errors
/// Where the file cannot be read, has no row, another column, or a row that is not right, by its line.
pub(super) fn table(file: &Path) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .with_context(|| format!("reading {}", file.display()))?;
    let headers = reader.headers()?.clone();
    if let Some(other) = headers.iter().find(|header| !COLUMNS.contains(header)) {
        bail!("{}: the column {other:?} is none of {}", file.display(), COLUMNS.join(", "));
    }
    let [employee, photo, expires_at] =
        COLUMNS.map(|column| headers.iter().position(|header| header == column));
    let employee = employee.context("the table has no column employee_id")?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut rows = Vec::new();
    let mut names = HashSet::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).filter(|text| !text.is_empty())
        };
        let wrong = || format!("line {line} of {}", file.display());
        let employee = EmployeeId::parse(field(Some(employee)).unwrap_or_default());
        let employee = employee.with_context(wrong)?;
        if !names.insert(employee.clone()) {
            bail!("{}: {} is there twice", wrong(), employee.as_str());
        }
        let expires_at = field(expires_at).map(str::parse).transpose().with_context(wrong)?;
        let photo = field(photo).map(|path| folder.join(path));
        rows.push(Row { employee, photo, expires_at });
    }
    if rows.is_empty() {
        bail!("{}: the table is empty", file.display());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Row>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("staff.csv");
        std::fs::write(&file, text).unwrap();
        let rows = table(&file).map_err(|e| format!("{e:#}"))?;
        // As if the table lay here.
        let strip = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().to_owned();
        Ok(rows.into_iter().map(|row| Row { photo: row.photo.map(strip), ..row }).collect())
    }

    #[test]
    fn a_table_is_read_whatever_the_order_of_its_columns() {
        let rows =
            read("photo, employee_id,expires_at\n a/1.jpg ,e-1,2030-01-01T00:00:00Z\n,e-2,\n");
        let rows = rows.unwrap();
        assert_eq!(rows[0].employee.as_str(), "e-1");
        assert_eq!(rows[0].photo.as_deref(), Some(Path::new("a/1.jpg")));
        assert_eq!(rows[0].expires_at, Some("2030-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!((&rows[1].photo, rows[1].expires_at), (&None, None));
        assert_eq!(read("employee_id\ne-1\n").unwrap().len(), 1);
    }

    #[test]
    fn a_table_that_is_not_right_is_refused_whole() {
        for (text, told) in [
            ("", "no column employee_id"),
            ("employee_id\n", "the table is empty"),
            ("employee_id,foto\ne-1,a.jpg\n", "the column \"foto\" is none of"),
            ("photo\na.jpg\n", "no column employee_id"),
            ("employee_id\ne-1\nnot valid\n", "line 3"),
            ("employee_id\ne-1\ne-1\n", "e-1 is there twice"),
            ("employee_id,expires_at\ne-1,tomorrow\n", "line 2"),
            ("employee_id,photo\ne-1\n", "found record with 1 fields"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
