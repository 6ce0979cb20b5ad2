//! Error rates of groups of people at one threshold, beside those of all people (ISO/IEC 19795-10).
//!
//! The impostor comparisons of a group are between two of its members: an impostor of the same group
//! is usually the more similar one. Both rates of a group are compared with those of all people in
//! the same resamples of the people, so that the ratio of a group that is everybody is exactly 1.

use std::collections::BTreeSet;

use super::bootstrap::middle;
use super::rates::{LEAST_PAIRS, Operation, Rate, operation_at};
use super::scores::{Scores, TooFew};
use super::threads::map_on_all_cores;
use super::weighted::{Statistic, Weighted};

/// Number of people from which the bootstrap interval of a group is stated: resamples of fewer people
/// are too much alike. In the tests, 95 % intervals of ten people held in 83 of 100 cases.
pub const LEAST_PEOPLE: u64 = 20;

/// The comparisons among the photos of a group.
#[derive(Debug)]
pub struct Group {
    /// The members' numbers among all people, in the order of the scores' people.
    people: Vec<u32>,
    scores: Scores,
}

/// The error rates of all people at a threshold, and in each resample of the people.
#[derive(Debug)]
pub struct Whole {
    operation: Operation,
    resamples: Vec<Resample>,
}

/// A resample of all people.
#[derive(Debug)]
struct Resample {
    weights: Vec<u64>,
    /// FMR and FNMR.
    rates: [Option<f64>; 2],
}

/// The error rates of a group.
#[derive(Clone, Debug)]
pub struct GroupRates {
    /// Impostor comparisons within the group that reach the threshold.
    pub fmr: GroupRate,
    /// Genuine comparisons that do not.
    pub fnmr: GroupRate,
}

/// An error rate of a group.
#[derive(Clone, Debug)]
pub struct GroupRate {
    /// The rate. Its interval is stated by [`GroupRate::interval`].
    pub rate: Rate,
    /// Number of members who are compared: with a photo (FMR), with two photos (FNMR).
    pub people: u64,
    /// The rate divided by that of all people; `None` if that is 0.
    pub ratio: Option<f64>,
    ratio_interval: Option<[f64; 2]>,
    /// The rate in each resample of all people.
    resampled: Vec<Option<f64>>,
}

/// The group with the highest error rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Highest {
    /// Its index.
    pub group: usize,
    /// How certain that is.
    pub evidence: Evidence,
}

/// How certain it is that a group has the highest error rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// The group has fewer than [`LEAST_PEOPLE`] people.
    FewPeople,
    /// Its errors come from fewer than [`LEAST_PAIRS`] pairs of people (FMR) or people (FNMR).
    FewErrors,
    /// No other group has [`LEAST_PEOPLE`] people.
    OnlyGroup,
    /// The share of the resamples in which the group has the highest rate of those with
    /// [`LEAST_PEOPLE`] people.
    Share(f64),
}

impl Group {
    /// Compares the photos of the members with each other; the arguments are those of
    /// [`Scores::collect`], for the photos of all people.
    ///
    /// # Errors
    /// [`TooFew`] if there are no genuine or no impostor comparisons within the group.
    pub fn collect(
        person_of: &[u32],
        is_member: impl Fn(u32) -> bool,
        compare: impl Fn(usize, usize) -> f64 + Sync,
    ) -> Result<Self, TooFew> {
        let photos: Vec<usize> =
            (0..person_of.len()).filter(|&photo| is_member(person_of[photo])).collect();
        let people: BTreeSet<u32> = photos.iter().map(|&photo| person_of[photo]).collect();
        let people: Vec<u32> = people.into_iter().collect();
        // The number of members with a smaller number.
        let renumbered = |&photo: &usize| people.partition_point(|&p| p < person_of[photo]) as u32;
        let members: Vec<u32> = photos.iter().map(renumbered).collect();
        let scores = Scores::collect(&members, |a, b| compare(photos[a], photos[b]))?;
        Ok(Self { people, scores })
    }

    /// Returns the comparisons.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Returns the error rates; `None` if the threshold is among dropped comparisons.
    pub fn rates(&self, whole: &Whole) -> Option<GroupRates> {
        let score = whole.operation.score;
        let operation = operation_at(&self.scores, score)?;
        let start = || Weighted::evenly(&self.scores);
        let resampled = map_on_all_cores(whole.resamples.len(), start, |weighted, number| {
            let all = &whole.resamples[number].weights;
            let weights: Vec<u64> = self.people.iter().map(|&p| all[p as usize]).collect();
            if weighted.weigh(&weights) { both(weighted, score) } else { [None; 2] }
        });
        let compared = |least: u64| {
            self.scores.photos().iter().filter(|&&photos| photos >= least).count() as u64
        };
        let rate = |rate: Rate, kind: usize, people: u64| {
            let resampled = resampled.iter().map(|rates| rates[kind]).collect();
            GroupRate::new(rate, people, resampled, whole, kind)
        };
        Some(GroupRates {
            fmr: rate(operation.fmr, 0, compared(1)),
            fnmr: rate(operation.fnmr, 1, compared(2)),
        })
    }
}

impl Whole {
    /// Resamples all people at the threshold of `operation`.
    pub fn new(scores: &Scores, operation: Operation) -> Self {
        let resamples = scores.resampled(|weighted, weights| {
            let rates = both(weighted, operation.score);
            Resample { weights, rates }
        });
        Self { operation, resamples }
    }

    fn rate(&self, kind: usize) -> f64 {
        [self.operation.fmr.value, self.operation.fnmr.value][kind]
    }
}

impl GroupRate {
    fn new(
        rate: Rate,
        people: u64,
        resampled: Vec<Option<f64>>,
        whole: &Whole,
        kind: usize,
    ) -> Self {
        let all = whole.rate(kind);
        let ratio = (all > 0.0).then(|| rate.value / all);
        let ratios = resampled.iter().zip(&whole.resamples).filter_map(|(group, resample)| {
            let all = resample.rates[kind].filter(|&all| all > 0.0)?;
            Some((*group)? / all)
        });
        let ratio_interval = match ratio {
            None => None,
            // No resample has an error either; the bound is that of the rate.
            Some(_) if rate.errors == 0 => Some([0.0, rate.interval[1] / all]),
            Some(ratio) => middle(ratios.collect()).map(|[a, b]| [a.min(ratio), b.max(ratio)]),
        };
        Self { rate, people, ratio, ratio_interval, resampled }
    }

    /// Returns the 95 % interval of the rate; `None` if there were errors among too few people for a
    /// bootstrap.
    pub fn interval(&self) -> Option<[f64; 2]> {
        (self.rate.errors == 0 || self.has_people()).then_some(self.rate.interval)
    }

    /// Returns the 95 % interval of the ratio, under the condition of [`GroupRate::interval`].
    pub fn ratio_interval(&self) -> Option<[f64; 2]> {
        self.interval().and(self.ratio_interval)
    }

    /// Returns whether the errors come from enough people for the group to be named.
    pub fn counts(&self) -> bool {
        self.has_people() && self.rate.behind >= LEAST_PAIRS
    }

    fn has_people(&self) -> bool {
        self.people >= LEAST_PEOPLE
    }
}

/// Returns the group with the highest error rate: of those that count if there is one. `None` if no
/// group has an error.
pub fn highest(groups: &[Option<&GroupRate>]) -> Option<Highest> {
    let of = |is_eligible: fn(&GroupRate) -> bool| {
        let rates = groups.iter().enumerate().filter_map(|(at, group)| Some((at, (*group)?)));
        rates
            .filter(|(_, group)| group.rate.errors > 0 && is_eligible(group))
            .max_by(|(_, a), (_, b)| a.rate.value.total_cmp(&b.rate.value))
    };
    let (at, group) = of(GroupRate::counts).or_else(|| of(|_| true))?;
    let evidence = if !group.has_people() {
        Evidence::FewPeople
    } else if !group.counts() {
        Evidence::FewErrors
    } else {
        evidence(groups, at, group)
    };
    Some(Highest { group: at, evidence })
}

fn evidence(groups: &[Option<&GroupRate>], at: usize, group: &GroupRate) -> Evidence {
    let others = groups.iter().enumerate().filter(|(other, _)| *other != at);
    let others: Vec<&GroupRate> =
        others.filter_map(|(_, other)| other.filter(|other| other.has_people())).collect();
    if others.is_empty() {
        return Evidence::OnlyGroup;
    }
    let values = group.resampled.iter().enumerate().filter_map(|(n, value)| Some((n, (*value)?)));
    let values: Vec<_> = values.collect();
    let leads = |(n, value): &&(usize, f64)| {
        others.iter().all(|other| other.resampled[*n].is_none_or(|other| other < *value))
    };
    Evidence::Share(values.iter().filter(leads).count() as f64 / values.len().max(1) as f64)
}

/// Returns FMR and FNMR.
fn both(weighted: &Weighted<'_>, score: f64) -> [Option<f64>; 2] {
    [Statistic::Fmr(score), Statistic::Fnmr(score)].map(|statistic| weighted.value(statistic))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Findings;
    use super::super::fixture::{Population, fmr, fnmr};
    use super::*;

    const POPULATION: Population = Population { people: 44, photos: 3, own: 0.3 };

    fn whole(seed: u64, score: f64) -> (Scores, Whole) {
        let scores = POPULATION.scores(seed);
        let operation = operation_at(&scores, score).unwrap();
        let whole = Whole::new(&scores, operation);
        (scores, whole)
    }

    fn group(seed: u64, is_member: impl Fn(u32) -> bool) -> Result<Group, TooFew> {
        let (person_of, compare) = POPULATION.compared(seed);
        Group::collect(&person_of, is_member, compare)
    }

    #[test]
    fn group_of_everybody_has_the_rates_of_the_whole() {
        let (scores, whole) = whole(1, 1.0);
        let present = Findings::of(&scores, 1e-2, Some(1.0)).present.unwrap();
        let rates = group(1, |_| true).unwrap().rates(&whole).unwrap();
        for (group, all) in [(&rates.fmr, present.fmr), (&rates.fnmr, present.fnmr)] {
            assert!(all.errors > 0);
            assert_eq!((group.rate, group.interval()), (all, Some(all.interval)));
            assert_eq!((group.ratio, group.ratio_interval()), (Some(1.0), Some([1.0, 1.0])));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn groups_partition_the_comparisons_within_them(
            group_of in proptest::collection::vec(0..3_u32, 44),
            seed in 0..100_u64,
        ) {
            let (scores, whole) = whole(seed, 0.5);
            let (mut genuine, mut impostor, mut errors, mut people) = (0, 0, [0; 2], 0);
            for number in 0..3 {
                let members = group_of.iter().filter(|&&group| group == number).count() as u64;
                let is_member = |person: u32| group_of[person as usize] == number;
                people += members;
                genuine += 3 * members;
                let Ok(group) = group(seed, is_member) else {
                    prop_assert!(members < 2);
                    continue;
                };
                let rates = group.rates(&whole).unwrap();
                prop_assert_eq!((rates.fmr.people, rates.fnmr.people), (members, members));
                prop_assert_eq!(rates.fmr.rate.comparisons, 9 * members * (members - 1) / 2);
                prop_assert_eq!(rates.fnmr.rate.comparisons, 3 * members);
                impostor += rates.fmr.rate.comparisons;
                errors[0] += rates.fmr.rate.errors;
                errors[1] += rates.fnmr.rate.errors;
                let [low, high] = rates.fmr.rate.interval;
                prop_assert!((low..=high).contains(&rates.fmr.rate.value));
            }
            prop_assert_eq!((genuine, people), (scores.genuine().total(), 44));
            prop_assert!(impostor <= scores.impostor().total());
            prop_assert!(errors[0] <= whole.operation.fmr.errors);
            prop_assert!(errors[1] <= whole.operation.fnmr.errors);
        }
    }

    /// Two photos of each of 40 people: the odd people are not told apart at the threshold 0 from
    /// each other, and their photos do not match.
    fn halves() -> (Whole, [Group; 2]) {
        let person_of: Vec<u32> = (0..80).map(|photo| photo / 2).collect();
        let compare = |a: usize, b: usize| match [a / 2 % 2, b / 2 % 2] {
            [1, 1] if a / 2 == b / 2 => -1.0,
            [1, 1] => 1.0,
            _ if a / 2 == b / 2 => 1.0,
            _ => -1.0,
        };
        let scores = Scores::collect(&person_of, compare).unwrap();
        let whole = Whole::new(&scores, operation_at(&scores, 0.0).unwrap());
        let half = |half| Group::collect(&person_of, |p| p % 2 == half, compare).unwrap();
        (whole, [half(0), half(1)])
    }

    #[test]
    fn known_rates_ratios_and_worst_group() {
        let (whole, [even, odd]) = halves();
        let [even, odd] = [even, odd].map(|group| group.rates(&whole).unwrap());
        // 20 x 19 / 2 pairs of people of 40 x 39 / 2 match, and half of the people do not.
        assert_eq!((odd.fmr.rate.value, odd.fmr.ratio), (1.0, Some(780.0 / 190.0)));
        assert_eq!((odd.fnmr.rate.value, odd.fnmr.ratio), (1.0, Some(2.0)));
        let [low, high] = odd.fnmr.ratio_interval().unwrap();
        assert!(low > 1.2 && low < 2.0 && high > 2.0, "{low} {high}");
        // No errors: the rule of three, 3 / 20 of a whole of 1 / 2.
        assert_eq!((even.fnmr.rate.errors, even.fnmr.ratio), (0, Some(0.0)));
        assert_eq!(even.fnmr.ratio_interval(), Some([0.0, 0.3]));
        let worst = highest(&[Some(&even.fnmr), None, Some(&odd.fnmr)]);
        assert_eq!(worst, Some(Highest { group: 2, evidence: Evidence::Share(1.0) }));
        let alone = highest(&[Some(&odd.fmr), None]);
        assert_eq!(alone, Some(Highest { group: 0, evidence: Evidence::OnlyGroup }));
        assert_eq!(highest(&[Some(&even.fmr), Some(&even.fmr)]), None);
    }

    #[test]
    fn group_with_little_evidence_is_not_named_as_the_worst() {
        let rate = |people: u64, behind: u64, value: f64| GroupRate {
            rate: Rate { value, interval: [0.0, 1.0], errors: behind, comparisons: 9, behind },
            people,
            ratio: Some(value),
            ratio_interval: Some([0.0, 2.0]),
            resampled: vec![Some(value); 4],
        };
        let (few, rare, many) = (rate(9, 30, 0.9), rate(50, 9, 0.8), rate(50, 10, 0.1));
        assert_eq!((few.interval(), few.ratio_interval()), (None, None));
        assert_eq!(rare.interval(), Some([0.0, 1.0]));
        let worst = |groups: &[&GroupRate]| {
            let groups: Vec<_> = groups.iter().map(|group| Some(*group)).collect();
            highest(&groups).unwrap()
        };
        let share = Evidence::Share(0.0);
        assert_eq!(worst(&[&few, &rare, &many]), Highest { group: 2, evidence: share });
        assert_eq!(worst(&[&few, &many]), Highest { group: 1, evidence: Evidence::OnlyGroup });
        assert_eq!(worst(&[&rare, &few]), Highest { group: 1, evidence: Evidence::FewPeople });
        assert_eq!(worst(&[&rare]), Highest { group: 0, evidence: Evidence::FewErrors });
    }

    #[test]
    fn equal_groups_are_not_told_apart() {
        let (_, whole) = whole(2, 0.0);
        let halves = [0, 1].map(|half| group(2, |p| p % 2 == half).unwrap().rates(&whole).unwrap());
        let fnmrs = [Some(&halves[0].fnmr), Some(&halves[1].fnmr)];
        match highest(&fnmrs) {
            Some(Highest { evidence: Evidence::Share(share), .. }) => {
                assert!((0.3..0.95).contains(&share), "{share}");
            }
            Some(Highest { evidence: Evidence::FewErrors, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(group(2, |p| p == 3).err(), Some(TooFew::OnePerson));
    }

    #[test]
    fn intervals_of_the_smallest_group_hold() {
        const TRIES: u64 = 100;
        let people = LEAST_PEOPLE as u32;
        let population = Population { people, photos: 3, own: 0.3 };
        let mut held = [0; 2];
        for seed in 0..TRIES {
            let operation = operation_at(&population.scores(seed), 1.0).unwrap();
            for (at, (rate, truth)) in
                [(operation.fmr, fmr(1.0)), (operation.fnmr, fnmr(1.0))].into_iter().enumerate()
            {
                let [low, high] = rate.interval;
                held[at] += u64::from((low..=high).contains(&truth));
            }
        }
        // 95 of 100 but for chance and the few people.
        assert!(held.iter().all(|&held| held >= 87), "{held:?} of {TRIES}");
    }
}
