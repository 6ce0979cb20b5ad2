//! Generated scores whose truth is known, for the tests.
//!
//! Genuine scores of the normal distribution N(m, 2 m) and impostor scores of N(-m, 2 m) are
//! calibrated: their log-likelihood ratio is the score itself.

use super::random::SplitMix;
use super::{Bin, Binned, Scores};

const MEAN: f64 = 3.0;

fn deviation() -> f64 {
    (2.0 * MEAN).sqrt()
}

/// The true FMR at a score.
pub(super) fn fmr(score: f64) -> f64 {
    1.0 - below((score + MEAN) / deviation())
}

/// The true FNMR at a score.
pub(super) fn fnmr(score: f64) -> f64 {
    below((score - MEAN) / deviation())
}

/// The standard normal distribution function, by Simpson's rule from -9.
fn below(x: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let step = (x + 9.0) / 2000.0;
    let term = |k: u32| {
        let weight = if k == 0 || k == 2000 {
            1.0
        } else if k % 2 == 1 {
            4.0
        } else {
            2.0
        };
        weight * density(-9.0 + f64::from(k) * step)
    };
    (0..=2000).map(term).sum::<f64>() * step / 3.0
}

/// The distribution itself, in fine bins: what endlessly many comparisons would show.
pub(super) fn calibrated() -> Binned {
    let bin = |k: i32| {
        let score = f64::from(k) / 50.0;
        let density = |mean: f64| 1e6 * (-(score - mean).powi(2) / (4.0 * MEAN)).exp();
        Bin { score, genuine: density(MEAN), impostor: density(-MEAN) }
    };
    Binned::new((-1000..=1000).map(bin).collect())
}

/// People whose scores depend on each other.
pub(super) struct Population {
    pub(super) people: u32,
    /// Of each person.
    pub(super) photos: u32,
    /// The share of a score's variance that lies in the people compared, not in their photos.
    pub(super) own: f64,
}

impl Population {
    pub(super) fn scores(&self, seed: u64) -> Scores {
        let (person_of, compare) = self.compared(seed);
        Scores::collect(&person_of, compare).unwrap()
    }

    /// Returns the person of each photo, and the function that compares two photos.
    pub(super) fn compared(
        &self,
        seed: u64,
    ) -> (Vec<u32>, impl Fn(usize, usize) -> f64 + Sync + use<>) {
        let (mut random, own) = (SplitMix::new(seed, u64::MAX), self.own);
        let traits: Vec<[f64; 2]> =
            (0..self.people).map(|_| [random.normal(), random.normal()]).collect();
        let person_of: Vec<u32> = (0..self.people * self.photos).map(|n| n / self.photos).collect();
        let people = person_of.clone();
        let compare = move |a: usize, b: usize| {
            let [p, q] = [a, b].map(|photo| traits[people[photo] as usize]);
            let of_photos = SplitMix::new(seed, (a * people.len() + b) as u64).normal();
            let same = people[a] == people[b];
            let of_people = if same { p[0] } else { (p[1] + q[1]) / 2.0_f64.sqrt() };
            let deviate = own.sqrt() * of_people + (1.0 - own).sqrt() * of_photos;
            deviation() * deviate + if same { MEAN } else { -MEAN }
        };
        (person_of, compare)
    }
}
