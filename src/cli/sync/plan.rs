//! The plan of a synchronization with a staff table.

use std::collections::HashMap;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cli::staff::{Enrollee, Joiner, Refusal, StaffRow, check_photo};
use crate::employee::EmployeeId;

/// The changes that a table requires.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) join: Vec<Joiner>,
    pub(super) leave: Vec<EmployeeId>,
    /// Employees whose expiry changes, with the new expiry.
    pub(super) expiries: Vec<(Enrollee, Option<Timestamp>)>,
    /// The same, where the expiry can't be changed.
    pub(super) kept_expiries: Vec<(Enrollee, Option<Timestamp>)>,
    /// Photos of enrolled employees that are newer than the enrollment.
    pub(super) newer_photos: Vec<Joiner>,
    /// Those of them that differ from the enrolled photo.
    pub(super) changed_photos: Vec<Joiner>,
    /// Whether they can't be compared.
    pub(super) photos_unknown: bool,
    /// Employees who are neither enrolled nor have a photo.
    pub(super) without_photo: Vec<EmployeeId>,
    /// Rows that are refused.
    pub(super) refused: Vec<Refusal>,
}

/// Compares a table with the enrollments. `expiry_of` returns the expiry that an enrollment would get.
pub(super) fn plan(
    rows: Vec<StaffRow>,
    enrolled: &[Enrollee],
    expiry_of: impl Fn(&Enrollee, Option<Timestamp>) -> Option<Timestamp>,
) -> Plan {
    let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.employee.clone(), row)).collect();
    let mut plan = Plan::default();
    for reference in enrolled {
        match rows.remove(&reference.employee) {
            None => plan.leave.push(reference.employee.clone()),
            Some(row) => plan.keep(&row, reference, &expiry_of),
        }
    }
    let mut others: Vec<_> = rows.into_values().collect();
    others.sort_by(|a, b| a.employee.cmp(&b.employee));
    for row in others {
        plan.add(row);
    }
    plan
}

impl Plan {
    /// Plans for an employee who stays enrolled.
    fn keep(
        &mut self,
        row: &StaffRow,
        reference: &Enrollee,
        expiry_of: impl Fn(&Enrollee, Option<Timestamp>) -> Option<Timestamp>,
    ) {
        match row.expires_at {
            None => {}
            Some(Err(invalid)) => self.refused.push(Refusal::of_expiry(row, invalid)),
            Some(Ok(asked)) => {
                let expires_at = expiry_of(reference, asked);
                // The store's resolution is a millisecond.
                let kept = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
                if kept(expires_at) != kept(reference.expires_at) {
                    self.expiries.push((reference.clone(), expires_at));
                }
            }
        }
        if let Some(photo) = &row.photo
            && is_newer(photo, reference.enrolled_at)
        {
            let (employee, photo) = (row.employee.clone(), photo.clone());
            self.newer_photos.push(Joiner { employee, photo, expires_at: None });
        }
    }

    /// Plans for an employee who is not enrolled.
    fn add(&mut self, row: StaffRow) {
        let expires_at = match row.expires_at.unwrap_or(Ok(None)) {
            Ok(expires_at) => expires_at,
            Err(invalid) => return self.refused.push(Refusal::of_expiry(&row, invalid)),
        };
        let Some(photo) = row.photo else { return self.without_photo.push(row.employee) };
        let joiner = Joiner { employee: row.employee, photo, expires_at };
        match check_photo(&joiner.photo) {
            Ok(()) => self.join.push(joiner),
            Err((code, reason)) => self.refused.push(Refusal::new(&joiner, code, reason)),
        }
    }

    /// Limits the plan to the calls of the HTTP API, which neither changes an expiry nor says whether
    /// a reference was created from a photo.
    pub(super) fn limit_to_http(&mut self) {
        self.kept_expiries = std::mem::take(&mut self.expiries);
        self.photos_unknown = true;
    }

    /// Returns whether there is nothing to do.
    pub(super) fn changes_nothing(&self) -> bool {
        self.join.is_empty() && self.leave.is_empty() && self.expiries.is_empty()
    }

    /// Prints each change and each refused row, and their numbers.
    #[expect(clippy::print_stdout, reason = "the answer of the command")]
    pub(super) fn show(&self) {
        for joiner in &self.join {
            println!("enroll\t{}\t{}", joiner.employee.as_str(), joiner.photo.display());
        }
        for employee in &self.leave {
            println!("erase\t{}", employee.as_str());
        }
        let time = |time: Option<Timestamp>| time.map_or("never".to_owned(), |at| at.to_string());
        let changed = self.expiries.iter().map(|change| ("expires", change));
        let kept = self.kept_expiries.iter().map(|change| ("expires, not changed", change));
        for (word, (enrolled, expires_at)) in changed.chain(kept) {
            let (from, to) = (time(enrolled.expires_at), time(*expires_at));
            println!("{word}\t{}\t{from} -> {to}", enrolled.employee.as_str());
        }
        for Joiner { employee, photo, .. } in &self.changed_photos {
            println!("photo changed\t{}\t{}", employee.as_str(), photo.display());
        }
        for employee in &self.without_photo {
            println!("no photo\t{}", employee.as_str());
        }
        for refusal in &self.refused {
            println!("{}", refusal.line());
        }
        eprintln!("{}", self.summary());
    }

    fn summary(&self) -> String {
        let always = [
            (self.join.len(), "to be enrolled"),
            (self.leave.len(), "to be erased"),
            (self.without_photo.len(), "not enrolled and without a photo"),
        ];
        let uncompared = if self.photos_unknown { self.newer_photos.len() } else { 0 };
        let else_told = [
            (self.expiries.len(), "with a new expiry"),
            (self.kept_expiries.len(), "with a new expiry that a service can't set"),
            (uncompared, "with a photo newer than the enrollment, which a service can't compare"),
            (self.changed_photos.len(), "with a photo that differs from the enrolled one"),
            (self.refused.len(), "refused"),
        ];
        let else_told = else_told.into_iter().filter(|(count, _)| *count > 0);
        let told =
            always.into_iter().chain(else_told).map(|(count, what)| format!("{count} {what}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Returns whether a file was modified since; `false` if that is unknown.
fn is_newer(photo: &PathBuf, enrolled_at: Timestamp) -> bool {
    let written = std::fs::metadata(photo).and_then(|about| about.modified()).ok();
    let written = written.and_then(|time| Timestamp::try_from(time).ok());
    written.is_some_and(|written| written > enrolled_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::employee::InvalidExpiry;
    use crate::recognizer::Code;

    const ENROLLED: &str = "2026-01-02T03:04:05Z";

    fn id(name: &str) -> EmployeeId {
        EmployeeId::parse(name).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn reference(name: &str, expires_at: Option<&str>) -> Enrollee {
        Enrollee {
            employee: id(name),
            enrolled_at: time(ENROLLED),
            expires_at: expires_at.map(time),
        }
    }

    fn row(name: &str, photo: Option<&str>) -> StaffRow {
        StaffRow { employee: id(name), photo: photo.map(Into::into), expires_at: None }
    }

    fn planned(rows: Vec<StaffRow>, enrolled: &[Enrollee]) -> Plan {
        let latest = time("2035-01-01T00:00:00Z");
        plan(rows, enrolled, |_, asked| asked.map(|asked| asked.min(latest)))
    }

    #[test]
    fn joiners_and_leavers_are_told_apart() {
        let rows = vec![row("b", None), row("d", None), row("c", Some(file!()))];
        let enrolled = [reference("a", None), reference("b", None)];
        let plan = planned(rows, &enrolled);
        assert_eq!(plan.leave, [id("a")]);
        assert_eq!(plan.without_photo, [id("d")]);
        assert_eq!(
            plan.join,
            [Joiner { employee: id("c"), photo: file!().into(), expires_at: None }]
        );
        assert!(plan.expiries.is_empty() && plan.refused.is_empty());
    }

    #[test]
    fn an_end_is_moved_where_the_table_has_such_a_column() {
        let ends = |text: Option<&str>| Some(Ok(text.map(time)));
        let (early, late) = ("2031-01-31T00:00:00Z", "2032-01-31T00:00:00Z");
        let enrolled: Vec<_> = ["a", "b", "c", "d", "e"]
            .map(|name| reference(name, (name != "b").then_some(early)))
            .into();
        let rows = vec![
            StaffRow { expires_at: ends(Some(late)), ..row("a", None) },
            StaffRow { expires_at: ends(Some(late)), ..row("b", None) },
            StaffRow { expires_at: ends(None), ..row("c", None) },
            StaffRow { expires_at: ends(Some(early)), ..row("d", None) },
            row("e", None),
        ];
        let moved = planned(rows, &enrolled).expiries;
        let moved: Vec<_> = moved.iter().map(|(r, end)| (r.employee.as_str(), *end)).collect();
        assert_eq!(moved, [("a", Some(time(late))), ("b", Some(time(late))), ("c", None)]);
    }

    #[test]
    fn the_longest_enrollment_bounds_the_end() {
        let enrolled = [reference("a", Some("2035-01-01T00:00:00Z"))];
        let beyond = Some(Ok(Some(time("2040-01-01T00:00:00Z"))));
        let rows = vec![StaffRow { expires_at: beyond, ..row("a", None) }];
        assert!(planned(rows, &enrolled).expiries.is_empty());
    }

    #[test]
    fn rows_that_cannot_be_followed_are_refused_and_nobody_is_erased_for_them() {
        let past =
            |name: &str| StaffRow { expires_at: Some(Err(InvalidExpiry::Past)), ..row(name, None) };
        let rows =
            vec![past("a"), past("b"), row("c", Some("/nowhere/c.jpg")), row("d", Some("/"))];
        let plan = planned(rows, &[reference("a", None)]);
        assert!(plan.leave.is_empty() && plan.join.is_empty());
        let refused: Vec<_> = plan.refused.iter().map(|r| (r.employee.as_str(), r.code)).collect();
        let [malformed, unreadable] = [Code::Malformed, Code::UnreadablePhoto];
        assert_eq!(
            refused,
            [("a", malformed), ("b", malformed), ("c", unreadable), ("d", unreadable)]
        );
    }
}
