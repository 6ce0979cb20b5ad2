//! The upper tail of the impostor scores among a sample of people, extrapolated to false match rates that the sample
//! is too small to show.
//!
//! In probit coordinates, those of a DET curve (ISO/IEC 19795-1), the upper tail of impostor scores is close to a
//! line. The line is fitted to the scores at false match rates of 0.01 to 0.1, which a few pairs of look-alikes,
//! relatives or people enrolled twice do not move, and read at the rate that is asked for.

use super::probit::probit;

/// A comparison of two different people of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImpostorScore {
    /// The score, any finite number.
    pub score: f32,
    /// The indices of the people.
    pub people: [u32; 2],
}

/// A line through the upper tail of impostor scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// How many people were compared with each other.
    pub people: usize,
    /// The score at probit 0.
    pub level: f64,
    /// Score for each unit of probit, above 0.
    pub slope: f64,
}

/// The least number of people: of 50 the lowest rate of the fit still has twelve of 1,225 pairs above its score.
const LEAST_PEOPLE: usize = 50;

/// The false match rates between which the line is fitted, in steps of one ratio. Enrollment refuses look-alikes, so
/// that the highest scores among the enrolled are thinned out; at 0.01 and above that hardly matters.
const LOWEST: f64 = 0.01;
const HIGHEST: f64 = 0.1;
const POINTS: usize = 25;

/// The share of the comparisons that is kept in order: what the quantiles need, also when people are left out.
const KEPT: f64 = 0.25;

/// Groups of people that are left out in turn to estimate the standard error.
const GROUPS: u32 = 20;

impl Tail {
    /// Fits the line to the comparisons of `people` people, each pair once; the order of `scores` is changed. `None` for
    /// fewer than 50, and where the scores do not differ.
    pub fn fit(people: usize, scores: &mut [ImpostorScore]) -> Option<Self> {
        let all = scores.len();
        let top = top(people, scores)?;
        Self::of(people, top.len(), all, top.iter().map(|one| one.score))
    }

    /// The standard error of [`score_at`](Self::score_at), by leaving out one of twenty groups of people at a time
    /// (delete-a-group jackknife, Kott 2001). Pairs share people, so they are not resampled one by one.
    pub fn standard_error(people: usize, scores: &mut [ImpostorScore], fmr: f64) -> Option<f64> {
        let whole = Self::fit(people, scores)?.score_at(fmr);
        let (all, top) = (scores.len(), top(people, scores)?);
        let mut squares = 0.0;
        for group in 0..GROUPS {
            let stays = |one: &&ImpostorScore| one.people.iter().all(|p| p % GROUPS != group);
            let left = (0..people as u32).filter(|p| p % GROUPS != group).count();
            // Of the comparisons that are not kept in order the same share is taken to go.
            let pairs = all as f64 * (left * (left - 1)) as f64 / (people * (people - 1)) as f64;
            let (count, scores) = (top.iter().filter(stays).count(), top.iter().filter(stays));
            let tail = Self::of(people, count, pairs as usize, scores.map(|one| one.score))?;
            squares += (tail.score_at(fmr) - whole).powi(2);
        }
        let groups = f64::from(GROUPS);
        Some((squares * (groups - 1.0) / groups).sqrt())
    }

    /// The score that impostor comparisons reach at this false match rate, above 0 and below 1.
    pub fn score_at(&self, fmr: f64) -> f64 {
        self.level - self.slope * probit(fmr)
    }

    /// The line through the `count` highest of `all` scores, which are given from the highest downward.
    fn of(
        people: usize,
        count: usize,
        all: usize,
        scores: impl Iterator<Item = f32>,
    ) -> Option<Self> {
        let (mut descending, mut at, mut score) = (scores, 0, f32::NAN);
        let step = (HIGHEST / LOWEST).powf(1.0 / (POINTS - 1) as f64);
        let mut points = [[0.0; 2]; POINTS];
        for (point, i) in points.iter_mut().zip(0..) {
            let fmr = LOWEST * step.powi(i);
            let rank = (fmr * all as f64) as usize;
            if rank >= count {
                return None;
            }
            while at <= rank {
                score = descending.next()?;
                at += 1;
            }
            *point = [-probit(fmr), f64::from(score)];
        }
        let mean = |k: usize| points.iter().map(|point| point[k]).sum::<f64>() / POINTS as f64;
        let (z, s) = (mean(0), mean(1));
        let along: f64 = points.iter().map(|point| (point[0] - z) * (point[1] - s)).sum();
        let slope = along / points.iter().map(|point| (point[0] - z).powi(2)).sum::<f64>();
        let tail = Self { people, level: s - slope * z, slope };
        (tail.slope > 0.0 && tail.level.is_finite()).then_some(tail)
    }
}

/// The highest comparisons in descending order, [`KEPT`] of all.
fn top(people: usize, scores: &mut [ImpostorScore]) -> Option<&[ImpostorScore]> {
    let kept = (KEPT * scores.len() as f64) as usize;
    if people < LEAST_PEOPLE || kept == 0 {
        return None;
    }
    let descending = |a: &ImpostorScore, b: &ImpostorScore| b.score.total_cmp(&a.score);
    scores.select_nth_unstable_by(kept, descending);
    scores[..kept].sort_unstable_by(descending);
    Some(&scores[..kept])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::random::SplitMix;
    use super::*;

    /// All pairs of `people` people, scored by `score`.
    fn pairs(people: u32, mut score: impl FnMut(u32, u32) -> f64) -> Vec<ImpostorScore> {
        let pairs = (0..people).flat_map(|a| (a + 1..people).map(move |b| [a, b]));
        pairs
            .map(|people| ImpostorScore { score: score(people[0], people[1]) as f32, people })
            .collect()
    }

    fn normal(people: u32, seed: u64) -> Vec<ImpostorScore> {
        let mut random = SplitMix::new(seed, 0);
        pairs(people, |_, _| 2.0 * random.normal() - 4.0)
    }

    /// Cosines of random directions in 64 dimensions: pairs depend on each other as those of a gallery do.
    fn directions(people: u32, seed: u64) -> Vec<ImpostorScore> {
        let mut random = SplitMix::new(seed, 0);
        let vectors: Vec<Vec<f64>> = (0..people)
            .map(|_| {
                let vector: Vec<f64> = (0..64).map(|_| random.normal()).collect();
                let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
                vector.iter().map(|v| v / length).collect()
            })
            .collect();
        pairs(people, |a, b| {
            let (a, b) = (&vectors[a as usize], &vectors[b as usize]);
            30.0 * a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()
        })
    }

    #[test]
    fn normal_scores_are_extrapolated_exactly() {
        // The score at an FMR of 1e-4 is -4 + 2 * 3.719; the tolerances are three standard errors.
        for (people, tolerance) in [(50, 1.5), (200, 0.4), (1000, 0.1)] {
            let tail = Tail::fit(people, &mut normal(people as u32, 7)).unwrap();
            assert!((tail.score_at(1e-4) - 3.438).abs() < tolerance, "{people}: {tail:?}");
        }
    }

    #[test]
    fn a_sample_predicts_the_false_match_rate_of_a_large_population() {
        let mut all = directions(1500, 1);
        all.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        let rate = |score: f64| {
            all.partition_point(|one| f64::from(one.score) >= score) as f64 / all.len() as f64
        };
        for seed in 2..10 {
            let tail = Tail::fit(200, &mut directions(200, seed)).unwrap();
            let fmr = rate(tail.score_at(1e-4));
            assert!((0.25e-4..2.5e-4).contains(&fmr), "{fmr}");
        }
    }

    #[test]
    fn people_enrolled_twice_hardly_move_the_line() {
        let shift = |doubles: u32| {
            let mut scores = normal(300, 3);
            for one in &mut scores {
                // Person 2k + 1 is person 2k again.
                if one.people[0] % 2 == 0
                    && one.people[1] == one.people[0] + 1
                    && one.people[0] < 2 * doubles
                {
                    one.score = 20.0;
                }
            }
            Tail::fit(300, &mut scores).unwrap().score_at(1e-4)
        };
        assert!((shift(15) - shift(0)).abs() < 0.15, "{} {}", shift(15), shift(0));
    }

    #[test]
    fn few_people_and_equal_scores_have_no_tail() {
        assert_eq!(Tail::fit(49, &mut normal(49, 1)), None);
        assert_eq!(Tail::fit(0, &mut []), None);
        assert_eq!(Tail::fit(60, &mut pairs(60, |_, _| 1.0)), None);
    }

    #[test]
    fn the_standard_error_covers_the_spread_over_samples() {
        let at = |seed| Tail::fit(200, &mut directions(200, seed)).unwrap().score_at(1e-4);
        let scores: Vec<f64> = (20..60).map(at).collect();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let spread = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / scores.len() as f64;
        let error = Tail::standard_error(200, &mut directions(200, 20), 1e-4).unwrap();
        let ratio = error / spread.sqrt();
        assert!((0.7..2.5).contains(&ratio), "{error} against {}", spread.sqrt());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_tail_follows_scale_and_offset_and_ignores_the_order(
            scale in 0.1_f64..10.0, offset in -20.0_f64..20.0, seed in 0_u64..100, turn in 0_usize..1000,
        ) {
            let scores = directions(60, seed);
            let tail = Tail::fit(60, &mut scores.clone()).unwrap();
            let mut moved: Vec<_> = scores
                .iter()
                .map(|one| ImpostorScore { score: (scale * f64::from(one.score) + offset) as f32, ..*one })
                .collect();
            moved.rotate_left(turn % scores.len());
            let other = Tail::fit(60, &mut moved).unwrap();
            let expected = scale * tail.score_at(1e-4) + offset;
            prop_assert!((other.score_at(1e-4) - expected).abs() < 1e-3 * (1.0 + expected.abs()));
        }

        #[test]
        fn the_score_rises_as_the_rate_falls(seed in 0_u64..100, rate in 1e-6_f64..0.1) {
            let tail = Tail::fit(60, &mut directions(60, seed)).unwrap();
            prop_assert!(tail.score_at(rate) < tail.score_at(rate / 2.0));
        }
    }
}
