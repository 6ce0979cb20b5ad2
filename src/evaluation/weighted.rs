//! Error rates with weighted people, for resamples and halves.

use super::scores::{Ranked, Scores};

/// A statistic of weighted scores. Rates are shares, 0..=1; scores are log-odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The share of impostor comparisons at or above a score.
    Fmr(f64),
    /// The share of genuine comparisons below a score.
    Fnmr(f64),
    /// The FNMR at the score whose FMR is at most this.
    FnmrAtFmr(f64),
    /// The share of genuine comparisons among those from the first score up to the second, which is
    /// excluded, at even odds.
    GenuineShare(f64, f64),
    /// The lowest score whose FMR is at most this.
    ScoreAtFmr(f64),
}

/// Scores with a weight for each person. The weight of an impostor comparison is the product of both
/// people's weights, that of a genuine comparison is its person's.
#[derive(Debug)]
pub struct Weighted<'a> {
    scores: &'a Scores,
    /// Cumulative weights of the impostor and genuine comparisons, worst first.
    impostor: Vec<u64>,
    genuine: Vec<u64>,
    impostors: u64,
    genuines: u64,
}

impl<'a> Weighted<'a> {
    /// Applies weights, indexed by person; `None` if no genuine or no impostor comparison remains.
    pub fn new(scores: &'a Scores, weights: &[u64]) -> Option<Self> {
        let mut weighted =
            Self { scores, impostor: Vec::new(), genuine: Vec::new(), impostors: 0, genuines: 0 };
        weighted.weigh(weights).then_some(weighted)
    }

    /// Returns the scores with weight 1 for each person.
    pub(super) fn evenly(scores: &'a Scores) -> Self {
        let weighted = Self::new(scores, &vec![1; scores.photos().len()]);
        weighted.expect("Scores::collect refuses to be without genuine or impostor comparisons")
    }

    /// Returns the scores of the people with even (0) or odd (1) index; `None` if they are too few.
    pub fn half(scores: &'a Scores, half: usize) -> Option<Self> {
        let weights: Vec<u64> =
            (0..scores.photos().len()).map(|person| u64::from(person % 2 == half)).collect();
        Self::new(scores, &weights)
    }

    /// Replaces the weights in place; returns `false` if a kind of comparison has none left.
    pub(super) fn weigh(&mut self, weights: &[u64]) -> bool {
        let photos = || weights.iter().zip(self.scores.photos());
        let (mut sum, mut squares, mut genuines) = (0, 0, 0);
        for (weight, photos) in photos() {
            sum += weight * photos;
            squares += (weight * photos).pow(2);
            genuines += weight * (photos * photos.saturating_sub(1) / 2);
        }
        self.impostors = (sum * sum - squares) / 2;
        self.genuines = genuines;
        let accumulate = |sums: &mut Vec<u64>, people: &[[u32; 2]], of: fn(u64, u64) -> u64| {
            sums.clear();
            let mut sum = 0;
            sums.extend(people.iter().map(|&[a, b]| {
                sum += of(weights[a as usize], weights[b as usize]);
                sum
            }));
        };
        accumulate(&mut self.impostor, &self.scores.impostor.people, |a, b| a * b);
        accumulate(&mut self.genuine, &self.scores.genuine.people, |a, _| a);
        self.impostors > 0 && self.genuines > 0
    }

    /// Returns the value of a statistic; `None` if it depends on dropped comparisons, or is the share
    /// of an empty set.
    pub fn value(&self, statistic: Statistic) -> Option<f64> {
        match statistic {
            Statistic::Fmr(score) => self.fmr(score),
            Statistic::Fnmr(score) => self.fnmr(score),
            Statistic::FnmrAtFmr(fmr) => self.fnmr(self.score_at_fmr(fmr)?),
            Statistic::GenuineShare(from, to) => {
                let genuine = self.fnmr(to)? - self.fnmr(from)?;
                let impostor = self.fmr(from)? - self.fmr(to)?;
                let share = genuine / (genuine + impostor);
                share.is_finite().then_some(share)
            }
            Statistic::ScoreAtFmr(fmr) => self.score_at_fmr(fmr),
        }
    }

    fn fmr(&self, score: f64) -> Option<f64> {
        let ranked = &self.scores.impostor;
        if score == f64::NEG_INFINITY {
            return Some(1.0);
        }
        let errors = ranked.worst.partition_point(|c| f64::from(c.score) >= score);
        share(&self.impostor, errors, self.impostors, ranked)
    }

    fn fnmr(&self, score: f64) -> Option<f64> {
        let ranked = &self.scores.genuine;
        if score == f64::INFINITY {
            return Some(1.0);
        }
        let errors = ranked.worst.partition_point(|c| f64::from(c.score) < score);
        share(&self.genuine, errors, self.genuines, ranked)
    }

    fn score_at_fmr(&self, fmr: f64) -> Option<f64> {
        let ranked = &self.scores.impostor;
        // The binary rounding of a rate like 0.1 must not exclude a comparison.
        let allowed = fmr * self.impostors as f64 * (1.0 + 1e-12);
        let accepted = self.impostor.partition_point(|&sum| sum as f64 <= allowed);
        match ranked.worst.get(accepted) {
            Some(refused) => Some(f64::from(refused.score.next_up())),
            None if ranked.is_whole() => ranked.worst.last().map(|c| f64::from(c.score)),
            None => None,
        }
    }
}

/// Returns the share of the `errors` worst comparisons; `None` if further errors may have been dropped.
fn share(sums: &[u64], errors: usize, total: u64, ranked: &Ranked) -> Option<f64> {
    if errors == sums.len() && !ranked.is_whole() {
        return None;
    }
    let sum = errors.checked_sub(1).map_or(0, |last| sums[last]);
    Some(sum as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two photos each of the people 0, 1 and 2. Impostor scores: 0 and 1: 1, 2, 3, 4; 0 and 2: 5 to
    /// 8; 1 and 2: 9 to 12. Genuine scores: 6, 10, 20.
    fn scores(most: u64) -> Scores {
        let impostor = |low: u32, a: usize, b: usize| f64::from(low) + (2 * (a % 2) + b % 2) as f64;
        let compare = |a: usize, b: usize| match (a / 2, b / 2) {
            (0, 0) => 6.0,
            (1, 1) => 10.0,
            (2, 2) => 20.0,
            (0, 1) => impostor(1, a, b),
            (0, 2) => impostor(5, a, b),
            _ => impostor(9, a, b),
        };
        Scores::collect_keeping(most, &[0, 0, 1, 1, 2, 2], compare).unwrap()
    }

    fn near(value: Option<f64>, expected: f64) {
        let value = value.unwrap();
        assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
    }

    #[test]
    fn rates_are_shares_of_comparisons() {
        let scores = scores(100);
        let evenly = Weighted::evenly(&scores);
        near(evenly.value(Statistic::Fmr(9.0)), 4.0 / 12.0);
        near(evenly.value(Statistic::Fmr(9.1)), 3.0 / 12.0);
        near(evenly.value(Statistic::Fmr(13.0)), 0.0);
        near(evenly.value(Statistic::Fnmr(10.0)), 1.0 / 3.0);
        near(evenly.value(Statistic::Fnmr(10.1)), 2.0 / 3.0);
        near(evenly.value(Statistic::ScoreAtFmr(0.25)), 9.0);
        near(evenly.value(Statistic::ScoreAtFmr(0.24)), 10.0);
        near(evenly.value(Statistic::FnmrAtFmr(0.25)), 1.0 / 3.0);
        near(evenly.value(Statistic::ScoreAtFmr(1.0)), 1.0);
        // From 6 up to 12: one genuine comparison of three and six impostor ones of twelve, then
        // the second genuine one.
        near(evenly.value(Statistic::GenuineShare(6.0, 12.0)), (2.0 / 3.0) / (2.0 / 3.0 + 0.5));
        near(evenly.value(Statistic::GenuineShare(f64::NEG_INFINITY, f64::INFINITY)), 0.5);
        assert_eq!(evenly.value(Statistic::GenuineShare(13.0, 14.0)), None);
    }

    #[test]
    fn impostor_weight_is_product_of_both_people() {
        let scores = scores(100);
        let weighted = Weighted::new(&scores, &[1, 0, 3]).unwrap();
        // Left are the four comparisons of 0 and 2, each three times.
        near(weighted.value(Statistic::Fmr(7.0)), 0.5);
        near(weighted.value(Statistic::Fnmr(7.0)), 0.25);
        let weighted = Weighted::new(&scores, &[1, 2, 1]).unwrap();
        near(weighted.value(Statistic::Fmr(9.0)), 8.0 / 20.0);
        assert!(Weighted::new(&scores, &[3, 0, 0]).is_none());
        assert!(Weighted::half(&scores, 0).is_some() && Weighted::half(&scores, 1).is_none());
    }

    #[test]
    fn what_was_not_kept_is_not_guessed() {
        let scores = scores(5);
        let evenly = Weighted::evenly(&scores);
        near(evenly.value(Statistic::Fmr(9.0)), 4.0 / 12.0);
        assert_eq!(evenly.value(Statistic::Fmr(5.0)), None);
        assert_eq!(evenly.value(Statistic::ScoreAtFmr(0.5)), None);
        near(evenly.value(Statistic::Fmr(f64::NEG_INFINITY)), 1.0);
    }
}
