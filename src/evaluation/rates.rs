//! Error rates with their intervals, and the thresholds that the data support.

use super::bootstrap::Intervals;
use super::scores::{Ranked, Scores};
use super::weighted::{Statistic, Weighted};

/// Number of pairs of people that the false matches of a threshold must come from before its FMR
/// counts: with fewer, a single look-alike or mislabeled photo changes it by a tenth or more.
pub const LEAST_PAIRS: u64 = 10;

/// An error rate with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The share of comparisons that are errors, 0..=1.
    pub value: f64,
    /// The 95 % bootstrap interval. If no error was observed, the upper bound is three divided by the
    /// number of pairs of people (FMR) or people (FNMR): the rule of three (Jovanovic and Levy 1997).
    pub interval: [f64; 2],
    /// Comparisons that are errors.
    pub errors: u64,
    /// Comparisons.
    pub comparisons: u64,
    /// Number of pairs of people (FMR) or of people (FNMR) that the errors come from.
    pub behind: u64,
}

/// Both error rates at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operation {
    /// The threshold.
    pub score: f64,
    /// Impostor comparisons that reach it.
    pub fmr: Rate,
    /// Genuine comparisons that do not.
    pub fnmr: Rate,
}

/// A threshold for a false match rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRateRow {
    /// The rate that it is for.
    pub fmr: f64,
    /// The lowest score whose FMR is at most that.
    pub score: f64,
    /// The 95 % bootstrap interval of the score.
    pub interval: [f64; 2],
    /// Impostor comparisons that reach it.
    pub errors: u64,
    /// Number of pairs of people that they come from.
    pub pairs: u64,
    /// Genuine comparisons that do not reach it.
    pub fnmr: Rate,
}

impl ErrorRateRow {
    /// Returns whether the false matches come from at least ten pairs of people.
    pub fn counts(&self) -> bool {
        self.pairs >= LEAST_PAIRS
    }
}

/// A threshold recommended for a false match rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// The rate that was asked for.
    pub target: f64,
    /// The row of that rate; where the data do not support it, the strictest row that counts.
    pub row: ErrorRateRow,
    /// If the data do not support the target, the approximate number of people that would, with as many
    /// photos each: false matches grow with the square of the number of people.
    pub people_needed: Option<u64>,
}

/// Returns the FMRs of the rows: from 0.1 down in steps of 1, 2, 5, and the target.
pub(super) fn candidates(target: f64) -> Vec<f64> {
    let decades = (1..=8).map(|power| 10.0_f64.powi(power));
    // By division, which gives the number that 2e-6 is written as.
    let mut rates: Vec<f64> =
        decades.flat_map(|of| [1.0, 2.0, 5.0].map(|part| 1.0 / (part * of))).collect();
    rates.retain(|rate| (rate / target - 1.0).abs() > 1e-9);
    rates.push(target);
    rates.sort_unstable_by(|a, b| b.total_cmp(a));
    rates
}

/// Returns the row for an FMR; `None` if its score is among dropped comparisons.
pub(super) fn row(
    scores: &Scores,
    evenly: &Weighted<'_>,
    intervals: &Intervals,
    fmr: f64,
) -> Option<ErrorRateRow> {
    let score = evenly.value(Statistic::ScoreAtFmr(fmr))?;
    let errors = errors(&scores.impostor, score, true);
    let [low, high] = intervals.of(Statistic::ScoreAtFmr(fmr)).unwrap_or([score, score]);
    Some(ErrorRateRow {
        fmr,
        score,
        interval: [low.min(score), high.max(score)],
        errors: errors as u64,
        pairs: scores.impostor.behind(errors),
        fnmr: fnmr(scores, evenly, intervals, score)?,
    })
}

/// Returns both error rates at a threshold; `None` if it is among dropped comparisons.
pub(super) fn operation(
    scores: &Scores,
    evenly: &Weighted<'_>,
    intervals: &Intervals,
    score: f64,
) -> Option<Operation> {
    let value = evenly.value(Statistic::Fmr(score))?;
    let errors = errors(&scores.impostor, score, true);
    let people = scores.people() as u64;
    let fmr = Rate {
        value,
        interval: interval(intervals, Statistic::Fmr(score), value, people * (people - 1) / 2),
        errors: errors as u64,
        comparisons: scores.impostor.total,
        behind: scores.impostor.behind(errors),
    };
    Some(Operation { score, fmr, fnmr: fnmr(scores, evenly, intervals, score)? })
}

/// Returns both error rates at a threshold, with a bootstrap of their own.
pub(super) fn operation_at(scores: &Scores, score: f64) -> Option<Operation> {
    let intervals = scores.intervals(&[Statistic::Fmr(score), Statistic::Fnmr(score)]);
    operation(scores, &Weighted::evenly(scores), &intervals, score)
}

fn fnmr(scores: &Scores, evenly: &Weighted<'_>, intervals: &Intervals, score: f64) -> Option<Rate> {
    let value = evenly.value(Statistic::Fnmr(score))?;
    let errors = errors(&scores.genuine, score, false);
    let people = scores.photos().iter().filter(|&&photos| photos > 1).count() as u64;
    Some(Rate {
        value,
        interval: interval(intervals, Statistic::Fnmr(score), value, people),
        errors: errors as u64,
        comparisons: scores.genuine.total,
        behind: scores.genuine.behind(errors),
    })
}

/// Selects the rows to report: those that count, the first that does not, and the target's.
pub(super) fn telling(rows: Vec<ErrorRateRow>, target: f64) -> Vec<ErrorRateRow> {
    let counting = rows.iter().filter(|row| row.counts()).count();
    let told = rows.into_iter().enumerate();
    let told = told.filter(|(at, row)| *at <= counting || row.fmr.total_cmp(&target).is_eq());
    told.map(|(_, row)| row).collect()
}

/// Returns how many of the kept comparisons reach the score, or do not.
fn errors(ranked: &Ranked, score: f64, reach: bool) -> usize {
    ranked.worst.partition_point(|c| (f64::from(c.score) >= score) == reach)
}

fn interval(intervals: &Intervals, statistic: Statistic, value: f64, units: u64) -> [f64; 2] {
    if value <= 0.0 {
        return [0.0, (3.0 / units as f64).min(1.0)];
    }
    let [low, high] = intervals.of(statistic).unwrap_or([0.0, 1.0]);
    [low.min(value), high.max(value)]
}

/// Recommends the target's row or, if it does not count, the strictest one that does.
pub(super) fn recommend(
    rows: &[ErrorRateRow],
    target: f64,
    people: usize,
) -> Option<Recommendation> {
    let row = *rows.iter().rfind(|row| row.counts() && row.fmr >= target)?;
    let met = row.fmr <= target;
    let needed = people as f64 * (row.fmr / target * LEAST_PAIRS as f64 / row.pairs as f64).sqrt();
    let people_needed = (!met).then_some(needed.ceil() as u64);
    Some(Recommendation { target, row, people_needed })
}

/// Returns the equal error rate, by bisection between the lowest and the highest score; `None` if it
/// depends on dropped comparisons.
pub(super) fn equal_error_rate(evenly: &Weighted<'_>, lowest: f64, highest: f64) -> Option<f64> {
    let (mut low, mut high) = (lowest, highest);
    for _ in 0..60 {
        let score = low.midpoint(high);
        let (fmr, fnmr) =
            (evenly.value(Statistic::Fmr(score)), evenly.value(Statistic::Fnmr(score)));
        // Dropped impostor comparisons score lower, dropped genuine ones higher.
        if fnmr.is_none() || fmr.is_some_and(|fmr| fmr < fnmr.unwrap_or(1.0)) {
            high = score;
        } else {
            low = score;
        }
    }
    let sides = [low, high].map(|score| {
        Some(evenly.value(Statistic::Fmr(score))?.max(evenly.value(Statistic::Fnmr(score))?))
    });
    match sides {
        [Some(a), Some(b)] => Some(a.min(b)),
        [one, other] => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Population, fmr, fnmr};
    use super::super::{Findings, Scores};
    use super::*;

    fn same(a: f64, b: f64) -> bool {
        (a / b - 1.0).abs() < 1e-12
    }

    #[test]
    fn known_error_rates_are_measured() {
        let scores = Population { people: 60, photos: 4, own: 0.1 }.scores(3);
        let findings = Findings::of(&scores, 1e-2, Some(1.0));
        let present = findings.present.unwrap();
        for (rate, truth) in [(present.fmr, fmr(1.0)), (present.fnmr, fnmr(1.0))] {
            assert!((rate.interval[0]..=rate.interval[1]).contains(&truth), "{rate:?} {truth}");
            assert!((rate.value / truth - 1.0).abs() < 0.3, "{rate:?} is not {truth}");
        }
        assert_eq!((present.fmr.comparisons, present.fnmr.comparisons), (28_320, 360));
        let row = findings.rows.iter().find(|row| same(row.fmr, 1e-2)).unwrap();
        assert!((fmr(row.score) / 1e-2 - 1.0).abs() < 0.3, "{row:?}");
        assert!((row.interval[0]..=row.interval[1]).contains(&row.score));
        let eer = findings.equal_error_rate.unwrap();
        assert!((eer / fmr(0.0) - 1.0).abs() < 0.2, "{eer} is not {}", fmr(0.0));
    }

    /// 30 people with two photos each; all impostor comparisons score 0, but for those of some
    /// pairs of people: `high` of theirs score 9.
    fn lookalikes(pairs: usize, high: usize) -> Scores {
        let person_of: Vec<u32> = (0..60).map(|photo| photo / 2).collect();
        Scores::collect(&person_of, |a, b| {
            let (p, q) = (a / 2, b / 2);
            let alike = q == p + 1 && p < pairs && (2 * (a % 2) + b % 2) < high;
            if p == q || alike { 9.0 } else { 0.0 }
        })
        .unwrap()
    }

    #[test]
    fn row_counts_with_ten_distinct_pairs_of_people() {
        // 1740 impostor comparisons. Nine pairs of people make 36 errors, 2 %; ten make 10, 0.6 %.
        let row = |scores: &Scores, fmr: f64| {
            let findings = Findings::of(scores, fmr, None);
            let row = findings.rows.into_iter().find(|row| same(row.fmr, fmr)).unwrap();
            (row.errors, row.pairs, row.counts())
        };
        assert_eq!(row(&lookalikes(9, 4), 0.025), (36, 9, false));
        assert_eq!(row(&lookalikes(10, 1), 0.025), (10, 10, true));
    }

    #[test]
    fn unsupported_fmr_is_not_recommended() {
        let findings = Findings::of(&lookalikes(10, 4), 1e-4, None);
        let recommended = findings.recommended.unwrap();
        // 40 of 1740 is 2.3 %: 5 % is the strictest row that lets them through.
        assert_eq!((recommended.row.fmr, recommended.row.pairs), (0.05, 10));
        assert_eq!(recommended.people_needed, Some(671));
        assert!(findings.rows.iter().any(|row| same(row.fmr, 1e-4) && !row.counts()));
        let met = Findings::of(&lookalikes(10, 4), 0.03, None).recommended.unwrap();
        assert_eq!((met.row.fmr, met.people_needed), (0.03, None));
        assert!(Findings::of(&lookalikes(0, 0), 1e-4, None).recommended.is_none());
    }

    #[test]
    fn rule_of_three_bounds_rate_without_errors() {
        let findings = Findings::of(&lookalikes(0, 0), 1e-2, Some(5.0));
        let present = findings.present.unwrap();
        assert_eq!((present.fmr.errors, present.fmr.interval), (0, [0.0, 3.0 / 435.0]));
        assert_eq!((present.fnmr.errors, present.fnmr.interval), (0, [0.0, 0.1]));
    }

    #[test]
    fn candidate_rates_contain_the_target_once_in_order() {
        for target in [1e-4, 3e-3, 0.3] {
            let rates = candidates(target);
            assert!(rates.is_sorted_by(|a, b| a > b), "{rates:?}");
            assert_eq!(rates.iter().filter(|&&rate| same(rate, target)).count(), 1);
            assert!([0.02, 1e-3, 2e-6].iter().all(|rate| rates.contains(rate)), "{rates:?}");
        }
    }
}
