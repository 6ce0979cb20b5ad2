//! Confidence intervals by resampling the people (bootstrap).
//!
//! The bootstrap of Efron 1979 in its subset form for biometrics (Bolle, Ratha and Pankanti 2004;
//! Poh and Bengio 2007): as many people as there are are drawn with replacement, and every
//! comparison comes along with its people. A genuine comparison of somebody drawn m times counts m
//! times, an impostor comparison of people drawn m and n times m n times, so photos of one person
//! never count as independent. Where each pair of people is an accident of its own, Owen 2007 ("The
//! pigeonhole bootstrap") shows that such intervals are too wide rather than too narrow.

use super::random::SplitMix;
use super::scores::Scores;
use super::threads::map_on_all_cores;
use super::weighted::{Statistic, Weighted};

/// Number of resamples.
const RESAMPLES: usize = 500;

/// Seed of the resamples; arbitrary, but fixed.
const SEED: u64 = 0x6C69_6B65_6E65_7373;

/// Share of resamples on each side of a 95 % interval.
const TAIL: f64 = 0.025;

/// The 95 % confidence intervals of statistics.
#[derive(Debug)]
pub struct Intervals(Vec<(Statistic, Option<[f64; 2]>)>);

impl Intervals {
    /// Returns the interval of a requested statistic; `None` if too few resamples have a value.
    pub fn of(&self, statistic: Statistic) -> Option<[f64; 2]> {
        self.0.iter().find(|(asked, _)| *asked == statistic)?.1
    }
}

impl Scores {
    /// Returns the 95 % intervals of statistics: the middle 95 % of their values in 500 resamples.
    pub fn intervals(&self, statistics: &[Statistic]) -> Intervals {
        let drawn = self.resampled(|weighted, _| {
            statistics.iter().map(|&s| weighted.value(s)).collect::<Vec<_>>()
        });
        let interval = |(at, &statistic): (usize, &Statistic)| {
            let values = drawn.iter().filter_map(|values| values[at]).collect();
            (statistic, middle(values))
        };
        Intervals(statistics.iter().enumerate().map(interval).collect())
    }

    /// Calls `each` for each resample, with the weights of the people; returns the results in order.
    pub(super) fn resampled<T: Send>(
        &self,
        each: impl Fn(&Weighted<'_>, Vec<u64>) -> T + Sync,
    ) -> Vec<T> {
        let start = || Weighted::evenly(self);
        map_on_all_cores(RESAMPLES, start, |weighted, number| {
            let weights = draw(weighted, self.photos().len(), number as u64);
            each(weighted, weights)
        })
    }
}

/// Resamples the people until there are a genuine and an impostor comparison; returns the weights.
fn draw(weighted: &mut Weighted<'_>, people: usize, number: u64) -> Vec<u64> {
    let mut random = SplitMix::new(SEED, number);
    loop {
        let mut weights = vec![0; people];
        for _ in 0..people {
            weights[random.below(people)] += 1;
        }
        if weighted.weigh(&weights) {
            return weights;
        }
    }
}

/// Returns the middle 95 % of the values; `None` if fewer than half of the resamples have one.
pub(super) fn middle(mut values: Vec<f64>) -> Option<[f64; 2]> {
    if values.len() < RESAMPLES / 2 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Some([quantile(TAIL), quantile(1.0 - TAIL)])
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Population, fmr, fnmr};
    use super::*;

    #[test]
    fn confidence_intervals_have_nominal_coverage() {
        const TRIES: u64 = 60;
        // People whose photos differ by a trait of their own, so that comparisons that share
        // somebody depend on each other: counted as independent, they would be far too sure.
        let population = Population { people: 30, photos: 2, own: 0.7 };
        let asked = [Statistic::Fmr(2.0), Statistic::Fnmr(2.0)];
        let truth = [fmr(2.0), fnmr(2.0)];
        let mut held = [0; 2];
        for seed in 0..TRIES {
            let scores = population.scores(seed);
            let intervals = scores.intervals(&asked);
            for (at, statistic) in asked.into_iter().enumerate() {
                let [low, high] = intervals.of(statistic).unwrap();
                held[at] += u64::from((low..=high).contains(&truth[at]));
            }
        }
        // 95 % of 60 is 57; chance alone leaves 51 or fewer in one of two hundred tries.
        assert!(held.iter().all(|&held| held >= 51), "{held:?} of {TRIES}");
    }

    #[test]
    fn intervals_are_deterministic() {
        let scores = Population { people: 10, photos: 2, own: 0.3 }.scores(1);
        let asked = [Statistic::ScoreAtFmr(0.1)];
        let once = scores.intervals(&asked).of(asked[0]).unwrap();
        assert_eq!(Some(once), scores.intervals(&asked).of(asked[0]));
        assert!(once[0] < once[1]);
        assert_eq!(scores.intervals(&asked).of(Statistic::Fmr(0.0)), None);
    }
}
