//! The groups of a report: their people and photos, failures and error rates.

use std::collections::BTreeSet;

use super::numbers::{number_of, share};
use crate::evaluation::{
    DetPoint, Evidence, Group, GroupRate, GroupRates, LEAST_PAIRS, LEAST_PEOPLE, Operation, Scores,
    Whole, highest,
};

/// Share of the resamples from which a group is said to have the highest error rate.
const CERTAIN: f64 = 0.95;

/// A grouping of people by one attribute, such as sex or site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grouping {
    /// The name of the attribute.
    pub name: String,
    /// The names of the groups.
    pub groups: Vec<String>,
    /// The group of each person of the folder, as an index of `groups`.
    pub group_of: Vec<Option<usize>>,
}

/// What a photo is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// The number of the person among all people of the folder.
    pub person: usize,
    /// Whether it gave an embedding.
    pub is_acquired: bool,
    /// Whether it would be accepted as a reference.
    pub is_enrollable: bool,
}

/// The groups of a grouping.
#[derive(Debug)]
pub(super) struct MeasuredGrouping {
    pub(super) name: String,
    pub(super) groups: Vec<MeasuredGroup>,
}

/// A group of people.
#[derive(Debug)]
pub(super) struct MeasuredGroup {
    pub(super) name: String,
    pub(super) counts: PhotoCounts,
    /// `None` if the group has no genuine or no impostor comparison, or there is no threshold.
    pub(super) rates: Option<GroupRates>,
    pub(super) det: Vec<DetPoint>,
}

/// Counts of the photos of some people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PhotoCounts {
    pub(super) people: usize,
    pub(super) photos: usize,
    /// Photos that would be refused as references.
    pub(super) not_enrolled: usize,
    /// Photos that gave no embedding.
    pub(super) not_acquired: usize,
}

impl PhotoCounts {
    pub(super) fn of<'a>(attempts: impl Iterator<Item = &'a Attempt> + Clone) -> Self {
        let people: BTreeSet<usize> = attempts.clone().map(|attempt| attempt.person).collect();
        Self {
            people: people.len(),
            photos: attempts.clone().count(),
            not_enrolled: attempts.clone().filter(|attempt| !attempt.is_enrollable).count(),
            not_acquired: attempts.filter(|attempt| !attempt.is_acquired).count(),
        }
    }

    /// Returns the failure to enroll rate.
    pub(super) fn fte(&self) -> f64 {
        self.not_enrolled as f64 / self.photos.max(1) as f64
    }

    /// Returns the failure to acquire rate.
    pub(super) fn fta(&self) -> f64 {
        self.not_acquired as f64 / self.photos.max(1) as f64
    }
}

/// Measures the groups at the threshold of `operation`. `person_of` is the person of each photo that
/// gave an embedding, in the order of `attempts`.
pub(super) fn measured(
    groupings: &[Grouping],
    attempts: &[Attempt],
    person_of: &[u32],
    scores: &Scores,
    operation: Option<Operation>,
    compare: &(impl Fn(usize, usize) -> f64 + Sync),
) -> Vec<MeasuredGrouping> {
    if groupings.is_empty() {
        return Vec::new();
    }
    let whole = operation.map(|operation| Whole::new(scores, operation));
    // The numbers of the used photos' people among all people of the folder.
    let mut folder_person = vec![0; scores.photos().len()];
    let used = attempts.iter().filter(|attempt| attempt.is_acquired);
    for (attempt, &person) in used.zip(person_of) {
        folder_person[person as usize] = attempt.person;
    }
    let group = |grouping: &Grouping, number: usize| {
        let is_member = |person: usize| grouping.group_of[person] == Some(number);
        let members = |person: u32| is_member(folder_person[person as usize]);
        let group = Group::collect(person_of, members, compare).ok();
        MeasuredGroup {
            name: grouping.groups[number].clone(),
            counts: PhotoCounts::of(attempts.iter().filter(|a| is_member(a.person))),
            rates: group.as_ref().zip(whole.as_ref()).and_then(|(group, whole)| group.rates(whole)),
            det: group.map_or_else(Vec::new, |group| group.scores().det()),
        }
    };
    let measured = groupings.iter().map(|grouping| MeasuredGrouping {
        name: grouping.name.clone(),
        groups: (0..grouping.groups.len()).map(|number| group(grouping, number)).collect(),
    });
    measured.collect()
}

impl MeasuredGrouping {
    /// Returns two sentences that name the groups with the highest FMR and FNMR.
    pub(super) fn verdicts(&self) -> [String; 2] {
        let fmr =
            self.verdict("FMR", "false match", ["pair of people", "pairs of people"], |r| &r.fmr);
        let fnmr = self.verdict("FNMR", "false non-match", ["person", "people"], |r| &r.fnmr);
        [fmr, fnmr]
    }

    fn verdict(
        &self,
        name: &str,
        error: &str,
        unit: [&str; 2],
        of: fn(&GroupRates) -> &GroupRate,
    ) -> String {
        let rates: Vec<_> = self.groups.iter().map(|group| group.rates.as_ref().map(of)).collect();
        if rates.iter().all(Option::is_none) {
            return format!("{name}: no group has enough people and photos to be measured.");
        }
        let Some(highest) = highest(&rates) else {
            return format!("{name}: no {error} in any group.");
        };
        let Some(rate) = rates[highest.group] else { return String::new() };
        let ratio = rate
            .ratio
            .map_or(String::new(), |ratio| format!(", {} times that of all people", times(ratio)));
        let evidence = match highest.evidence {
            Evidence::FewPeople => {
                format!("too few to say, the group has fewer than {LEAST_PEOPLE} people")
            }
            Evidence::FewErrors => format!(
                "too few to say, its errors come from {} and {LEAST_PAIRS} are required",
                number_of(rate.rate.behind, unit[0], unit[1])
            ),
            Evidence::OnlyGroup => {
                format!("no other group has {LEAST_PEOPLE} people to compare it with")
            }
            Evidence::Share(share) if share >= CERTAIN => {
                format!("it is the highest in {:.0} % of the resamples", 100.0 * share)
            }
            Evidence::Share(share) => {
                format!("uncertain, it is the highest in {:.0} % of the resamples", 100.0 * share)
            }
        };
        let group = &self.groups[highest.group].name;
        format!("Highest {name}: {group}, {}{ratio}; {evidence}.", share(rate.rate.value))
    }
}

/// Formats a ratio.
pub(super) fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Photos of 60 people, two each; the photos of the people in `bad` do not match each other.
    fn grouped(
        bad: impl Fn(usize) -> bool + Sync,
        group_of: Vec<Option<usize>>,
    ) -> MeasuredGrouping {
        let person_of: Vec<u32> = (0..120).map(|photo| photo / 2).collect();
        let attempt = |photo: usize| Attempt {
            person: photo / 2,
            is_acquired: true,
            is_enrollable: !photo.is_multiple_of(4),
        };
        let grouping =
            Grouping { name: "site".to_owned(), groups: vec!["A".into(), "B".into()], group_of };
        let attempts: Vec<_> = (0..120).map(attempt).collect();
        let compare = |a: usize, b: usize| if a / 2 == b / 2 && !bad(a / 2) { 5.0 } else { -5.0 };
        let scores = Scores::collect(&person_of, compare).unwrap();
        let operation = crate::evaluation::Findings::of(&scores, 1e-2, Some(0.0)).for_groups();
        measured(&[grouping], &attempts, &person_of, &scores, operation, &compare).remove(0)
    }

    fn halves() -> Vec<Option<usize>> {
        (0..60).map(|person| Some(person / 30)).collect()
    }

    #[test]
    fn worst_group_is_named_with_its_evidence() {
        let verdicts = |bad: fn(usize) -> bool, group_of| grouped(bad, group_of).verdicts();
        let [fmr, fnmr] = verdicts(|person| person < 12 || person == 40, halves());
        assert_eq!(fmr, "FMR: no false match in any group.");
        assert!(
            fnmr.starts_with("Highest FNMR: A, 40.0 %, 1.8 times that of all people; it is the"),
            "{fnmr}"
        );
        let [_, fnmr] = verdicts(|person| (20..32).contains(&person), halves());
        assert!(fnmr.ends_with("% of the resamples.") && fnmr.contains(": A, 33.3 %"), "{fnmr}");
        let [_, fnmr] = verdicts(|person| person == 3, halves());
        let few = "too few to say, its errors come from 1 person and 10 are required.";
        assert!(fnmr.ends_with(few), "{fnmr}");
        let small = (0..60).map(|person| (person < 5).then_some(0)).collect();
        let [_, fnmr] = verdicts(|person| person == 3, small);
        assert!(fnmr.ends_with("the group has fewer than 20 people."), "{fnmr}");
        let nobody = vec![None; 60];
        let [fmr, _] = verdicts(|_| false, nobody);
        assert_eq!(fmr, "FMR: no group has enough people and photos to be measured.");
    }

    #[test]
    fn photos_of_a_group_are_counted() {
        let group_of = (0..60).map(|person| (person % 3 < 2).then_some(person % 3)).collect();
        let grouping = grouped(|_| false, group_of);
        let counts = grouping.groups[0].counts;
        let expected = PhotoCounts { people: 20, photos: 40, not_enrolled: 10, not_acquired: 0 };
        assert_eq!(counts, expected);
        assert!((counts.fte() - 0.25).abs() < 1e-12 && counts.fta() <= 0.0);
    }
}
