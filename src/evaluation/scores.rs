//! The comparisons of labeled photos, as far as error rates and their intervals need them.
//!
//! N photos have N (N - 1) / 2 comparisons, too many to keep for a large N. All are counted in bins of
//! a thousandth's width ([`Scores::binned`]); the worst of each kind, which cause errors, are kept
//! with their people ([`Ranked`]). Since comparing is cheap, it is done twice: first to count, then to
//! keep the worst.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::binned::{Bin, Binned};
use super::threads::on_all_cores;

/// Maximum number of comparisons kept of each kind, about 100 MB: of the impostor comparisons of 500
/// people with 10 photos each, the most similar third.
const KEPT: u64 = 4_000_000;

/// A comparison of two photos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Its score, in log-odds.
    pub score: f32,
    /// The numbers of the photos, the smaller first.
    pub photos: [u32; 2],
}

/// Comparisons of one kind, worst first: impostors from the highest score, genuine ones from the
/// lowest.
#[derive(Debug)]
pub struct Ranked {
    pub(super) worst: Vec<Compared>,
    /// The people in each.
    pub(super) people: Vec<[u32; 2]>,
    /// Number of distinct pairs of people (or people, if genuine) in the first 1, 2, 3, ...
    behind: Vec<u32>,
    pub(super) total: u64,
}

/// The labeled comparisons of a set of photos.
#[derive(Debug)]
pub struct Scores {
    /// Photos of each person.
    photos: Vec<u64>,
    pub(super) impostor: Ranked,
    pub(super) genuine: Ranked,
    counts: Vec<(f64, Counts)>,
}

/// The reason why photos cannot be evaluated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TooFew {
    /// No pair of photos shows two people.
    #[error("photos of at least two people are required")]
    OnePerson,
    /// No pair of photos shows one person.
    #[error("at least one person must have two photos")]
    NobodyTwice,
}

/// Counts of a score, by the halves of the people (even and odd indexes).
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    genuine: [u64; 2],
    /// Both people in the even half, both in the odd half, one in each.
    impostor: [u64; 3],
}

impl Scores {
    /// Compares all pairs of photos on all cores. `person_of` is each photo's person, numbered from 0;
    /// `compare` returns the log-odds of two photos, the smaller index first.
    ///
    /// # Errors
    /// [`TooFew`] if there are no genuine or no impostor comparisons.
    pub fn collect(
        person_of: &[u32],
        compare: impl Fn(usize, usize) -> f64 + Sync,
    ) -> Result<Self, TooFew> {
        Self::collect_keeping(KEPT, person_of, compare)
    }

    pub(super) fn collect_keeping(
        most: u64,
        person_of: &[u32],
        compare: impl Fn(usize, usize) -> f64 + Sync,
    ) -> Result<Self, TooFew> {
        let people = person_of.iter().max().map_or(0, |&last| last as usize + 1);
        let mut photos = vec![0_u64; people];
        for &person in person_of {
            photos[person as usize] += 1;
        }
        if photos.iter().filter(|&&n| n > 0).count() < 2 {
            return Err(TooFew::OnePerson);
        }
        if photos.iter().all(|&n| n < 2) {
            return Err(TooFew::NobodyTwice);
        }
        let compare = |a, b| compare(a, b) as f32;
        let counted = count(person_of, &compare);
        let [impostor, genuine] = keep(most, &counted, person_of, &compare);
        let counts = counted.into_iter().map(|(key, counts)| (middle(key), counts)).collect();
        Ok(Self { photos, impostor, genuine, counts })
    }

    /// Returns the number of people.
    pub fn people(&self) -> usize {
        self.photos.iter().filter(|&&n| n > 0).count()
    }

    /// Returns the number of photos of each person.
    pub fn photos(&self) -> &[u64] {
        &self.photos
    }

    /// Returns the comparisons of two photos of one person.
    pub fn genuine(&self) -> &Ranked {
        &self.genuine
    }

    /// Returns the comparisons of photos of two people.
    pub fn impostor(&self) -> &Ranked {
        &self.impostor
    }

    /// Returns the binned scores; with `half`, only of the people with even (0) or odd (1) index.
    pub fn binned(&self, half: Option<usize>) -> Binned {
        let bins = self.counts.iter().map(|(score, counts)| {
            let (genuine, impostor) = match half {
                Some(half) => (counts.genuine[half], counts.impostor[half]),
                None => (counts.genuine.iter().sum(), counts.impostor.iter().sum()),
            };
            Bin { score: *score, genuine: genuine as f64, impostor: impostor as f64 }
        });
        Binned::new(bins.filter(|bin| bin.genuine + bin.impostor > 0.0).collect())
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.genuine.iter_mut().zip(other.genuine).for_each(|(sum, n)| *sum += n);
        self.impostor.iter_mut().zip(other.impostor).for_each(|(sum, n)| *sum += n);
    }
}

impl Ranked {
    fn new(mut worst: Vec<Compared>, person_of: &[u32], total: u64, rising: bool) -> Self {
        // Ties are broken by photo, so that the order does not depend on the threads.
        worst.sort_unstable_by(|a, b| {
            let by_score = a.score.total_cmp(&b.score);
            let by_score = if rising { by_score } else { by_score.reverse() };
            by_score.then(a.photos.cmp(&b.photos))
        });
        let people_in = |compared: &Compared| {
            let [a, b] = compared.photos.map(|photo| person_of[photo as usize]);
            [a.min(b), a.max(b)]
        };
        let people: Vec<_> = worst.iter().map(people_in).collect();
        let mut seen = HashSet::new();
        let behind = people.iter().map(|pair| {
            seen.insert(*pair);
            seen.len() as u32
        });
        let behind = behind.collect();
        Self { worst, people, behind, total }
    }

    /// Returns the number of comparisons, including dropped ones.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns the kept comparisons with their people, worst first.
    pub fn worst(&self) -> impl Iterator<Item = (Compared, [u32; 2])> + '_ {
        self.worst.iter().copied().zip(self.people.iter().copied())
    }

    /// Returns the number of distinct pairs of people (people, if genuine) in the `errors` worst.
    pub fn behind(&self, errors: usize) -> u64 {
        errors.checked_sub(1).map_or(0, |last| u64::from(self.behind[last]))
    }

    /// Returns whether all comparisons are kept.
    pub(super) fn is_whole(&self) -> bool {
        self.worst.len() as u64 == self.total
    }
}

/// Counts all comparisons; returns the occupied bins, lowest score first.
fn count(person_of: &[u32], compare: &(impl Fn(usize, usize) -> f32 + Sync)) -> Vec<(u32, Counts)> {
    // A page holds the bins between two powers of two, and is allocated at its first score.
    let tallies = for_every_pair(
        person_of.len(),
        || vec![Vec::new(); PAGES],
        |pages: &mut Vec<Vec<Counts>>, a, b| {
            let key = key(compare(a, b)) as usize;
            let page = &mut pages[key / PAGE];
            if page.is_empty() {
                page.resize(PAGE, Counts::default());
            }
            let counts = &mut page[key % PAGE];
            let [half_a, half_b] = [a, b].map(|photo| person_of[photo] as usize % 2);
            if person_of[a] == person_of[b] {
                counts.genuine[half_a] += 1;
            } else {
                counts.impostor[if half_a == half_b { half_a } else { 2 }] += 1;
            }
        },
    );
    let mut whole = Vec::new();
    for page in 0..PAGES {
        let tallies: Vec<_> = tallies.iter().filter_map(|pages| pages[page].get(..PAGE)).collect();
        for at in 0..if tallies.is_empty() { 0 } else { PAGE } {
            let mut sum = Counts::default();
            for tally in &tallies {
                sum.add(tally[at]);
            }
            if sum.genuine.iter().chain(&sum.impostor).any(|&n| n > 0) {
                whole.push(((page * PAGE + at) as u32, sum));
            }
        }
    }
    whole
}

/// Returns the worst impostor and genuine comparisons, in whole bins, at most `most` each.
fn keep(
    most: u64,
    counted: &[(u32, Counts)],
    person_of: &[u32],
    compare: &(impl Fn(usize, usize) -> f32 + Sync),
) -> [Ranked; 2] {
    let impostors = |counts: &Counts| counts.impostor.iter().sum::<u64>();
    let genuines = |counts: &Counts| counts.genuine.iter().sum::<u64>();
    let lowest = last_within(most, counted.iter().rev().map(|(key, c)| (*key, impostors(c))));
    let highest = last_within(most, counted.iter().map(|(key, c)| (*key, genuines(c))));
    let kept = for_every_pair(
        person_of.len(),
        <[Vec<Compared>; 2]>::default,
        |[impostor, genuine]: &mut [Vec<Compared>; 2], a, b| {
            let score = compare(a, b);
            let compared = Compared { score, photos: [a as u32, b as u32] };
            if person_of[a] == person_of[b] {
                if highest.is_some_and(|highest| key(score) <= highest) {
                    genuine.push(compared);
                }
            } else if lowest.is_some_and(|lowest| key(score) >= lowest) {
                impostor.push(compared);
            }
        },
    );
    let (impostor, genuine): (Vec<_>, Vec<_>) = kept.into_iter().map(|[i, g]| (i, g)).unzip();
    [
        Ranked::new(
            impostor.concat(),
            person_of,
            counted.iter().map(|(_, c)| impostors(c)).sum(),
            false,
        ),
        Ranked::new(
            genuine.concat(),
            person_of,
            counted.iter().map(|(_, c)| genuines(c)).sum(),
            true,
        ),
    ]
}

/// Returns the last key up to which the counts sum to at most `most`.
fn last_within(most: u64, counts: impl Iterator<Item = (u32, u64)>) -> Option<u32> {
    let mut sum = 0;
    let within = counts.take_while(|(_, n)| {
        sum += n;
        sum <= most
    });
    within.last().map(|(key, _)| key)
}

/// Calls `each` for all pairs of indexes below `n`, the smaller first, on all cores; each thread has
/// an accumulator of its own.
fn for_every_pair<T: Send>(
    n: usize,
    start: impl Fn() -> T + Sync,
    each: impl Fn(&mut T, usize, usize) + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let gather = || {
        let mut gathered = start();
        loop {
            let a = next.fetch_add(1, Ordering::Relaxed);
            if a >= n {
                return gathered;
            }
            for b in a + 1..n {
                each(&mut gathered, a, b);
            }
        }
    };
    on_all_cores(gather)
}

/// Bits of a score that its bin ignores. The sign, the exponent and 10 bits of the fraction remain, so
/// that a bin's relative width is a thousandth.
const IGNORED: u32 = 13;

/// Bins between two powers of two.
const PAGE: usize = 1 << (f32::MANTISSA_DIGITS - 1 - IGNORED);

const PAGES: usize = (1 << (32 - IGNORED)) / PAGE;

/// Returns the key of a score's bin; monotonic.
fn key(score: f32) -> u32 {
    let bits = score.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    ordered >> IGNORED
}

/// Returns the score in the middle of a bin.
fn middle(key: u32) -> f64 {
    score(key << IGNORED | 1 << (IGNORED - 1))
}

/// Returns the lower and the upper edge of the bin of a score. A comparison on an edge is in the bin
/// above it.
pub(super) fn bin_edges(of: f64) -> [f64; 2] {
    let key = key(of as f32);
    [key, key + 1].map(|key| score(key << IGNORED))
}

/// Returns the score of ordered bits, the inverse of the order of [`key`].
fn score(ordered: u32) -> f64 {
    let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
    f64::from(f32::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_preserve_order_and_value() {
        let scores = [-30.0, -2.0, -0.5, -1e-3, 0.0, 1e-3, 0.25, 1.0, 17.5];
        assert!(scores.is_sorted_by(|&a, &b| key(a) < key(b)));
        for score in scores {
            let off = (middle(key(score)) - f64::from(score)).abs();
            assert!(off <= f64::from(score).abs() / 1000.0 + 1e-30, "{score}: {off}");
            let [low, high] = bin_edges(f64::from(score));
            assert!(low <= f64::from(score) && f64::from(score) < high, "{score}: {low} {high}");
            assert_eq!([low, middle(key(score))].map(|of| key(of as f32)), [key(score); 2]);
            assert_eq!(key(high as f32), key(score) + 1);
        }
    }

    /// Photos 0..6 of the people 0, 0, 1, 1, 2, 2; every score is told by its photos.
    fn six(most: u64) -> Scores {
        let compare = |a: usize, b: usize| (10 * a + b) as f64;
        Scores::collect_keeping(most, &[0, 0, 1, 1, 2, 2], compare).unwrap()
    }

    #[test]
    fn comparisons_are_classified_and_ranked_worst_first() {
        let scores = six(100);
        assert_eq!((scores.people(), scores.photos()), (3, [2, 2, 2].as_slice()));
        assert_eq!((scores.genuine().total(), scores.impostor().total()), (3, 12));
        let genuine: Vec<_> = scores.genuine().worst().map(|(c, _)| c.score).collect();
        assert_eq!(genuine, [1.0, 23.0, 45.0]);
        let (worst, people) = scores.impostor().worst().next().unwrap();
        assert_eq!((worst.score, worst.photos, people), (35.0, [3, 5], [1, 2]));
        // The four comparisons of people 1 and 2 lead; then come those of 0 and 2, of 0 and 1.
        let behind: Vec<_> = (0..=12).map(|errors| scores.impostor().behind(errors)).collect();
        assert_eq!(behind, [0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn dropped_comparisons_are_counted() {
        let scores = six(5);
        assert_eq!((scores.impostor().total(), scores.impostor().worst().count()), (12, 5));
        assert!(!scores.impostor().is_whole() && scores.genuine().is_whole());
        let sums = |half| {
            let binned = scores.binned(half);
            let sum = |of: fn(&Bin) -> f64| binned.bins().iter().map(of).sum::<f64>();
            (sum(|bin| bin.genuine), sum(|bin| bin.impostor))
        };
        assert_eq!(sums(None), (3.0, 12.0));
        // People 0 and 2 are the even half, person 1 alone the odd one.
        assert_eq!(sums(Some(0)), (2.0, 4.0));
        assert_eq!(sums(Some(1)), (1.0, 0.0));
    }

    #[test]
    fn too_few_people_or_photos_are_refused() {
        let collect = |people: &[u32]| Scores::collect(people, |_, _| 0.0).err();
        assert_eq!(collect(&[]), Some(TooFew::OnePerson));
        assert_eq!(collect(&[0, 0, 0]), Some(TooFew::OnePerson));
        assert_eq!(collect(&[0, 1, 2]), Some(TooFew::NobodyTwice));
        assert_eq!(collect(&[0, 1, 1]), None);
    }
}
