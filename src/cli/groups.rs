//! The table of groups for `likeness evaluate`: a CSV file with the people of the folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use csv::{ReaderBuilder, StringRecord, Trim};

use crate::report::Grouping;

/// The column that names the person, as the folder of photos does.
const PERSON: &str = "person";

/// Supported delimiters.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Maximum number of groups of a grouping. A column with more names something else than groups.
const MOST_GROUPS: usize = 100;

/// Maximum number of people named in a warning.
const NAMED: usize = 5;

/// The contents of a table.
#[derive(Debug)]
struct GroupTable {
    groupings: Vec<Grouping>,
    /// People of the table without a photo in the folder.
    unknown: Vec<String>,
    /// People of the folder who are not in the table.
    missing: Vec<String>,
    /// Columns without a name or a value.
    empty: Vec<String>,
}

/// Reads the groupings of `people` from a CSV file, and prints a warning for people who are only in
/// the table or only in the folder, and for empty columns.
///
/// # Errors
/// If the file cannot be read, is not UTF-8, has no column `person`, no grouping, a duplicate column
/// or person, an invalid row, or names none of the people.
pub(super) fn groupings(file: &Path, people: &[String]) -> anyhow::Result<Vec<Grouping>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let table = parsed(&bytes, people).with_context(|| file.display().to_string())?;
    let warn = |people: &[String], text: &str| {
        if !people.is_empty() {
            let more = if people.len() > NAMED { ", ..." } else { "" };
            let named = people.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
            eprintln!("{}: {} {text}: {}{more}", file.display(), people.len(), named.join(", "));
        }
    };
    warn(&table.unknown, "people without photos in the folder");
    warn(&table.missing, "people of the folder are missing and belong to no group");
    warn(&table.empty, "empty columns are ignored");
    Ok(table.groupings)
}

fn parsed(bytes: &[u8], people: &[String]) -> anyhow::Result<GroupTable> {
    let text = str::from_utf8(bytes).context("the file is not UTF-8; save it as CSV in UTF-8")?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let person_at = person_column(&header)?;
    let mut rows: BTreeMap<String, StringRecord> = BTreeMap::new();
    for record in reader.records() {
        let record = record?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let person = person(&record, &header, person_at).with_context(|| format!("line {line}"))?;
        if rows.contains_key(&person) {
            bail!("line {line}: duplicate person {person}");
        }
        rows.insert(person, record);
    }
    let numbers: HashMap<&str, usize> =
        people.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
    let (known, unknown): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(person, _)| numbers.contains_key(person.as_str()));
    if known.is_empty() {
        bail!("the table names none of the people of the folder");
    }
    let known: HashMap<usize, StringRecord> =
        known.into_iter().map(|(person, row)| (numbers[person.as_str()], row)).collect();
    let (mut groupings, mut empty) = (Vec::new(), Vec::new());
    for (column, name) in header.iter().enumerate().filter(|(column, _)| *column != person_at) {
        match grouping(name, column, people.len(), &known)? {
            Some(grouping) => groupings.push(grouping),
            None => empty.push(format!("column {} {name}", column + 1).trim_end().to_owned()),
        }
    }
    if groupings.is_empty() {
        bail!("the table has no grouping: a column beside {PERSON} with a name and values");
    }
    let missing = people.iter().enumerate().filter(|(number, _)| !known.contains_key(number));
    Ok(GroupTable {
        groupings,
        unknown: unknown.into_iter().map(|(person, _)| person).collect(),
        missing: missing.map(|(_, person)| person.clone()).collect(),
        empty,
    })
}

/// Returns the delimiter that is the most frequent in the header.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    // The first of equally frequent ones.
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// Returns the index of the column `person`.
fn person_column(header: &StringRecord) -> anyhow::Result<usize> {
    let mut seen = BTreeSet::new();
    if let Some(name) = header.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
        bail!("the table has two columns named {name}");
    }
    let is_person = |name: &str| name.eq_ignore_ascii_case(PERSON);
    header.iter().position(is_person).with_context(|| {
        let names: Vec<_> = header.iter().collect();
        format!("the table has no column {PERSON}; it has {}", names.join(" | "))
    })
}

/// Checks a row and returns its person.
fn person(
    record: &StringRecord,
    header: &StringRecord,
    person_at: usize,
) -> anyhow::Result<String> {
    if record.iter().any(|field| field.contains(char::is_control)) {
        bail!(
            "a field spans several lines or has a control character; is a quotation mark not closed?"
        );
    }
    if record.iter().skip(header.len()).any(|field| !field.is_empty()) {
        bail!("the row has more fields than the header");
    }
    match record.get(person_at) {
        None | Some("") => bail!("the row has no {PERSON}"),
        Some(person) => Ok(person.to_owned()),
    }
}

/// Returns the grouping of a column; `None` if it has no name or no values.
fn grouping(
    name: &str,
    column: usize,
    people: usize,
    rows: &HashMap<usize, StringRecord>,
) -> anyhow::Result<Option<Grouping>> {
    let value = |row: &StringRecord| {
        row.get(column).filter(|value| !value.is_empty()).map(ToOwned::to_owned)
    };
    let groups: BTreeSet<String> = rows.values().filter_map(value).collect();
    let groups: Vec<String> = groups.into_iter().collect();
    if name.is_empty() || groups.is_empty() {
        return Ok(None);
    }
    if groups.len() > MOST_GROUPS {
        bail!(
            "column {name} has {} different values; a grouping has at most {MOST_GROUPS}",
            groups.len()
        );
    }
    let group_of = (0..people).map(|person| groups.binary_search(&value(rows.get(&person)?)?).ok());
    let group_of = group_of.collect();
    Ok(Some(Grouping { name: name.to_owned(), groups, group_of }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<GroupTable, String> {
        let people = ["ada", "bob", "cem"].map(ToOwned::to_owned);
        parsed(text.as_bytes(), &people).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn groupings_are_read_in_any_order_of_columns() {
        let ada_and_bob = Grouping {
            name: "sex".to_owned(),
            groups: vec!["F".to_owned(), "M".to_owned()],
            group_of: vec![Some(0), Some(1), None],
        };
        for text in [
            "person,sex\nada,F\nbob,M\ncem,\n",
            "sex,Person\n\n M , bob \nF,ada\n",
            "\u{FEFF}person;sex;;site\r\nbob;M;;\r\nada;F;;\r\n",
            "person\tsex\nada\t\"F\"\nbob\tM\n,,\neve\tX\n",
        ] {
            let table = table(text).unwrap();
            assert_eq!(table.groupings, std::slice::from_ref(&ada_and_bob), "{text:?}");
        }
    }

    #[test]
    fn people_in_only_one_place_and_empty_columns_are_listed() {
        let table = table("person,sex,,site\neve,F,x,\nada,F,y,\nzoe,M,,\n").unwrap();
        assert_eq!(table.unknown, ["eve", "zoe"]);
        assert_eq!(table.missing, ["bob", "cem"]);
        assert_eq!(table.empty, ["column 3", "column 4 site"]);
        assert_eq!(table.groupings.len(), 1);
        assert_eq!(table.groupings[0].groups, ["F"]);
    }

    #[test]
    fn invalid_table_is_refused() {
        let people: Vec<String> = (0..101).map(|n| format!("p{n}")).collect();
        let rows: Vec<String> = people.iter().map(|person| format!("{person},{person}")).collect();
        let many = format!("person,badge\n{}\n", rows.join("\n"));
        let refused = parsed(many.as_bytes(), &people).unwrap_err();
        assert!(refused.to_string().contains("badge has 101 different values"), "{refused}");
        let refused = parsed(b"person,sex\nm\xFCller,F\n", &people).unwrap_err();
        assert!(refused.to_string().contains("not UTF-8"), "{refused}");
        for (text, told) in [
            ("", "no column person"),
            ("name,sex\nada,F\n", "no column person; it has name | sex"),
            ("person\nada\n", "no grouping"),
            ("person,sex\nada,\n", "no grouping"),
            ("person,sex,sex\nada,F,F\n", "two columns named sex"),
            ("person,sex\nada,F\nbob,M\nada,F\n", "line 4: duplicate person ada"),
            ("person,sex\n,F\n", "line 2: the row has no person"),
            ("person,sex\nada,F,x\n", "line 2: the row has more fields than the header"),
            ("person,sex\nada,\"F\nbob,M\n", "line 2: a field spans several lines"),
            ("person,sex\n", "names none of the people"),
            ("person,sex\neve,F\n", "names none of the people"),
        ] {
            let refused = table(text).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
