//! A staff table: a CSV file, as personnel systems and spreadsheets write it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use csv::{ReaderBuilder, StringRecord, Trim};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};
use jiff::Timestamp;

use super::StaffRow;
use super::photo::located;
use crate::employee::{EmployeeId, InvalidExpiry, parse_expiry};

/// The columns that are read.
const COLUMNS: [&str; 3] = ["employee_id", "photo", "expires_at"];

/// Supported delimiters.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The contents of a table.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    pub(in crate::cli) rows: Vec<StaffRow>,
    /// The names of ignored columns.
    pub(in crate::cli) others: Vec<String>,
}

/// Reads a CSV file with the column `employee_id` and optionally `photo` (a path relative to the table's
/// folder) and `expires_at` (see [`parse_expiry`]). The whole file is read first. Empty rows are
/// skipped; an expiry in the past or too far ahead is reported in its row.
///
/// # Errors
/// If the file cannot be read, has no rows, no column `employee_id`, a duplicate column, or an invalid
/// row, which is named by its line.
pub(in crate::cli) fn table(file: &Path, now: Timestamp) -> anyhow::Result<Table> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let text = decoded(&bytes);
    let table = read(&text, file.parent().unwrap_or(Path::new(".")), now);
    table.with_context(|| file.display().to_string())
}

/// Decodes a file in UTF-8, UTF-16 or else Windows-1252.
fn decoded(bytes: &[u8]) -> String {
    let encoding = match (Encoding::for_bom(bytes), bytes) {
        (Some((encoding, _)), _) => encoding,
        // UTF-16 without a byte order mark: the first character is ASCII.
        (None, [first, 0, ..]) if *first != 0 => UTF_16LE,
        (None, [0, second, ..]) if *second != 0 => UTF_16BE,
        (None, _) => match str::from_utf8(bytes) {
            Ok(text) => return text.to_owned(),
            Err(_) => WINDOWS_1252,
        },
    };
    encoding.decode(bytes).0.into_owned()
}

fn read(text: &str, folder: &Path, now: Timestamp) -> anyhow::Result<Table> {
    let (delimiter, text, skipped) = delimited(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let header = Header::of(reader.headers()?)?;
    let mut rows = Vec::new();
    let mut names = HashSet::new();
    for record in reader.records() {
        let record = record?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line) + skipped;
        if record.iter().any(|field| field.contains(['\n', '\r'])) {
            bail!("line {line}: a field spans several lines; is a quotation mark not closed?");
        }
        let row = header.row(&record, folder, now).with_context(|| format!("line {line}"))?;
        if !names.insert(row.employee.clone()) {
            bail!("line {line}: duplicate employee_id {}", row.employee.as_str());
        }
        rows.push(row);
    }
    if rows.is_empty() {
        bail!("the table is empty");
    }
    Ok(Table { rows, others: header.others })
}

/// Detects the delimiter: that of Excel's `sep=` line, or the most frequent in the header. Also returns
/// the text after that line, and the number of removed lines.
fn delimited(text: &str) -> (u8, &str, u64) {
    if let Some(rest) = text.strip_prefix("sep=")
        && let [delimiter, ..] = *rest.as_bytes()
        && delimiter.is_ascii()
        && let Some((_, rest)) = rest.split_once('\n')
    {
        return (delimiter, rest, 1);
    }
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    // The first of equally frequent ones.
    let delimiter = DELIMITERS.iter().rev().max_by_key(|delimiter| count(delimiter));
    (delimiter.copied().unwrap_or(b','), text, 0)
}

/// The positions of the columns.
struct Header {
    employee: usize,
    photo: Option<usize>,
    expires_at: Option<usize>,
    columns: usize,
    others: Vec<String>,
}

impl Header {
    fn of(header: &StringRecord) -> anyhow::Result<Self> {
        let is = |name: &str, column: &str| name.eq_ignore_ascii_case(column);
        for column in COLUMNS {
            if header.iter().filter(|name| is(name, column)).count() > 1 {
                bail!("the table has two columns named {column}");
            }
        }
        let [employee, photo, expires_at] =
            COLUMNS.map(|column| header.iter().position(|name| is(name, column)));
        let others = header.iter().filter(|name| !COLUMNS.iter().any(|column| is(name, column)));
        let others = others.filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
        let employee = employee.with_context(|| {
            let names: Vec<_> = header.iter().collect();
            format!("the table has no column employee_id; it has {}", names.join(" | "))
        })?;
        Ok(Self { employee, photo, expires_at, columns: header.len(), others })
    }

    fn row(
        &self,
        record: &StringRecord,
        folder: &Path,
        now: Timestamp,
    ) -> anyhow::Result<StaffRow> {
        if record.iter().skip(self.columns).any(|field| !field.is_empty()) {
            bail!("the row has more fields than the header");
        }
        let field = |column: usize| record.get(column).filter(|text| !text.is_empty());
        let employee = EmployeeId::parse(field(self.employee).unwrap_or_default())?;
        let photo = self.photo.and_then(field).map(|path| located(folder, path));
        let expiry = |column| field(column).map(|text| parse_expiry(text, now)).transpose();
        let expires_at = self.expires_at.map(expiry);
        if let Some(Err(invalid @ InvalidExpiry::NotATime)) = expires_at {
            bail!("expires_at {invalid}");
        }
        Ok(StaffRow { employee, photo, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn parsed(bytes: &[u8]) -> Result<Table, String> {
        let table = read(&decoded(bytes), Path::new("."), NOW.parse().unwrap());
        table.map_err(|e| format!("{e:#}"))
    }

    fn rows(bytes: &[u8]) -> Vec<StaffRow> {
        parsed(bytes).unwrap().rows
    }

    fn utf_16(text: &str, little: bool) -> Vec<u8> {
        let units = text.encode_utf16();
        units
            .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    }

    #[test]
    fn columns_are_read_in_any_order() {
        let rows =
            rows(b"photo, Employee_ID,expires_at\n a/1.jpg ,e-1,2030-01-01T00:00:00Z\n,e-2,\n");
        assert_eq!(rows[0].employee.as_str(), "e-1");
        assert_eq!(rows[0].photo, Some(PathBuf::from("./a/1.jpg")));
        let end = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(rows[0].expires_at, Some(Ok(Some(end))));
        assert_eq!((&rows[1].photo, &rows[1].expires_at), (&None, &Some(Ok(None))));
        let alone = parsed(b"employee_id\ne-1\n").unwrap();
        assert_eq!((alone.rows.len(), &alone.rows[0].expires_at), (1, &None));
    }

    /// The rows in such a field would be missing, and their people erased.
    #[test]
    fn field_spanning_lines_is_refused() {
        for text in [
            "employee_id,photo\ne-1,\"1.jpg\ne-2,2.jpg\ne-3,\"3.jpg\"\ne-4,4.jpg\n",
            "employee_id,photo\ne-1,\"1.jpg\ne-2,\ne-3,",
            "employee_id,name\ne-1,\"Ada\r\nLovelace\"\n",
        ] {
            let refused = parsed(text.as_bytes()).unwrap_err();
            assert!(refused.contains("line 2: a field spans several lines"), "{refused}");
        }
    }

    #[test]
    fn spreadsheet_encodings_and_delimiters_are_read() {
        let plain = "employee_id,photo\ne-1,m\u{fc}ller.jpg\n";
        let expected = rows(plain.as_bytes());
        assert_eq!(expected.len(), 1);
        for (name, bytes) in [
            ("UTF-8 BOM", [b"\xEF\xBB\xBF", plain.as_bytes()].concat()),
            ("UTF-16 LE", [b"\xFF\xFE".as_slice(), &utf_16(plain, true)].concat()),
            ("UTF-16 BE", [b"\xFE\xFF".as_slice(), &utf_16(plain, false)].concat()),
            ("UTF-16 LE without BOM", utf_16(plain, true)),
            ("Windows", b"employee_id,photo\ne-1,m\xFCller.jpg\n".to_vec()),
            ("semicolons", plain.replace(',', ";").into_bytes()),
            ("tabs", plain.replace(',', "\t").into_bytes()),
            ("sep=", format!("sep=;\r\n{}", plain.replace(',', ";")).into_bytes()),
            ("CRLF", plain.replace('\n', "\r\n").into_bytes()),
            ("quotes", plain.replace("e-1", "\"e-1\"").into_bytes()),
            ("empty rows", format!("{plain},\n,\n\n,,\n").into_bytes()),
            ("a row without its last field", format!("{plain}e-2\n").into_bytes()),
        ] {
            let rows = rows(&bytes);
            assert_eq!(rows[0], expected[0], "{name}");
            assert_eq!(rows.len(), if name.starts_with("a row") { 2 } else { 1 }, "{name}");
        }
    }

    #[test]
    fn ignored_columns_are_listed() {
        let table = parsed(b"employee_id;Name;photo;;Department\ne-1;Ada;a.jpg;;IT\n").unwrap();
        assert_eq!(table.others, ["Name", "Department"]);
        assert_eq!(table.rows[0].photo, Some(PathBuf::from("./a.jpg")));
    }

    #[test]
    fn past_and_too_distant_expiry_is_reported_per_row() {
        let table = "employee_id,expires_at\ne-1,2025-12-31\ne-2,9999-12-30\ne-3,2030-12-31\n";
        let ends: Vec<_> = rows(table.as_bytes()).into_iter().map(|row| row.expires_at).collect();
        let end = "2031-01-01T00:00:00Z".parse().unwrap();
        let expected = [Err(InvalidExpiry::Past), Err(InvalidExpiry::TooFar), Ok(Some(end))];
        assert_eq!(ends, expected.map(Some));
    }

    #[test]
    fn invalid_table_is_refused() {
        for (text, told) in [
            ("", "no column employee_id"),
            ("employee_id\n", "the table is empty"),
            ("employee_id,photo\n,\n", "the table is empty"),
            ("photo\na.jpg\n", "no column employee_id; it has photo"),
            ("employee_id,photo,Photo\ne-1,a,b\n", "two columns named photo"),
            ("employee_id\ne-1\nnot valid\n", "line 3"),
            ("employee_id\ne-1\ne-1\n", "line 3: duplicate employee_id e-1"),
            ("employee_id,photo\n,a.jpg\n", "line 2"),
            ("employee_id,expires_at\ne-1,31.12.2030\n", "line 2: expires_at must be"),
            ("employee_id,photo\ne-1,a.jpg,b.jpg\n", "more fields than the header"),
            ("sep=;\nemployee_id;photo\ne 1;a.jpg\n", "line 3"),
        ] {
            let refused = parsed(text.as_bytes()).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
