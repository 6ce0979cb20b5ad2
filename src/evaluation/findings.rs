//! The statistics of one set of labeled comparisons, with one bootstrap for all intervals.

use super::binned::{Binned, ReliabilityBin};
use super::fit::Logistic;
use super::rates::{self, ErrorRateRow, Operation, Recommendation};
use super::scores::Scores;
use super::weighted::{Statistic, Weighted};

/// The statistics of a set of labeled comparisons.
#[derive(Debug)]
pub struct Findings {
    /// Error rates at the current threshold, if any.
    pub present: Option<Operation>,
    /// The recommended threshold.
    pub recommended: Option<Recommendation>,
    /// Error rates at the recommended threshold.
    pub at_recommended: Option<Operation>,
    /// Held-out FMR and FNMR: the threshold for the recommended rate is set on one half of the people
    /// and measured on the other, mean of both directions; `None` if the halves are too small.
    pub held_out: Option<[f64; 2]>,
    /// Thresholds by FMR, from lenient to strict, including unsupported ones.
    pub rows: Vec<ErrorRateRow>,
    /// FNMR by FMR, from strict to lenient.
    pub curve: Vec<CurvePoint>,
    /// The equal error rate (EER).
    pub equal_error_rate: Option<f64>,
    /// Shares of genuine comparisons by similarity.
    pub reliability: Vec<ReliabilityPoint>,
    /// The quality of the scores as log-odds.
    pub calibration: CalibrationQuality,
    /// The fitted calibration, with its cross-validated quality; `None` if genuine comparisons do not
    /// score higher than impostor ones.
    pub fitted: Option<(Logistic, Option<CalibrationQuality>)>,
}

/// A point of the detection error tradeoff (DET) curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The false match rate.
    pub fmr: f64,
    /// The false non-match rate at the threshold for it.
    pub fnmr: f64,
    /// The 95 % confidence interval.
    pub interval: Option<[f64; 2]>,
    /// Whether the false matches come from at least ten pairs of people.
    pub counts: bool,
}

/// A point of the reliability diagram, at even prior odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityPoint {
    /// Their mean similarity and the share of genuine ones.
    pub bin: ReliabilityBin,
    /// The 95 % confidence interval of the share.
    pub interval: Option<[f64; 2]>,
}

/// The quality of scores as log-odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationQuality {
    /// [`Binned::calibration_error`].
    pub error: f64,
    /// [`Binned::cllr`].
    pub cllr: f64,
    /// [`Binned::min_cllr`].
    pub min_cllr: f64,
}

impl CalibrationQuality {
    /// Judges scores in bins.
    pub fn of(binned: &Binned) -> Self {
        Self { error: binned.calibration_error(), cllr: binned.cllr(), min_cllr: binned.min_cllr() }
    }
}

/// Bin edges of the reliability diagram; nearly all comparisons are below 0.05 or above 0.95.
const SIMILARITIES: [f64; 10] = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95];

/// Points of the DET curve per decade of FMR.
const POINTS: i32 = 12;

impl Findings {
    /// Computes all statistics, for a target FMR and the current threshold.
    pub fn of(scores: &Scores, target: f64, present: Option<f64>) -> Self {
        let evenly = Weighted::evenly(scores);
        let edges = edges();
        let rates_asked: Vec<(f64, f64)> = rates::candidates(target)
            .into_iter()
            .filter_map(|fmr| Some((fmr, evenly.value(Statistic::ScoreAtFmr(fmr))?)))
            .collect();
        let curve_rates = curve_rates(scores.impostor().total());
        let at = |score: f64| [Statistic::Fmr(score), Statistic::Fnmr(score)];
        let mut asked: Vec<Statistic> = present.into_iter().flat_map(at).collect();
        asked.extend(rates_asked.iter().flat_map(|&(fmr, score)| {
            [Statistic::ScoreAtFmr(fmr), Statistic::Fmr(score), Statistic::Fnmr(score)]
        }));
        asked.extend(curve_rates.iter().map(|&fmr| Statistic::FnmrAtFmr(fmr)));
        asked.extend(edges.windows(2).map(|edge| Statistic::GenuineShare(edge[0], edge[1])));
        let intervals = scores.intervals(&asked);

        let operation = |score| rates::operation(scores, &evenly, &intervals, score);
        let rows: Vec<_> = rates_asked
            .iter()
            .filter_map(|&(fmr, _)| rates::row(scores, &evenly, &intervals, fmr))
            .collect();
        let rows = rates::telling(rows, target);
        let recommended = rates::recommend(&rows, target, scores.people());
        let curve = curve_rates.into_iter().filter_map(|fmr| {
            let statistic = Statistic::FnmrAtFmr(fmr);
            let (fnmr, interval) = (evenly.value(statistic)?, intervals.of(statistic));
            let counts = rates::row(scores, &evenly, &intervals, fmr)?.counts();
            Some(CurvePoint { fmr, fnmr, interval, counts })
        });
        let binned = scores.binned(None);
        let reliability = binned.reliability(&edges);
        let reliability = edges.windows(2).zip(reliability).filter_map(|(edge, bin)| {
            let interval = intervals.of(Statistic::GenuineShare(edge[0], edge[1]));
            Some(ReliabilityPoint { bin: bin?, interval })
        });
        let [lowest, highest] = [binned.bins().first(), binned.bins().last()]
            .map(|bin| bin.map_or(0.0, |bin| bin.score));
        Self {
            present: present.and_then(operation),
            at_recommended: recommended.and_then(|r| operation(r.row.score)),
            held_out: recommended.and_then(|r| held_out(scores, r.row.fmr)),
            recommended,
            rows,
            curve: curve.collect(),
            equal_error_rate: rates::equal_error_rate(&evenly, lowest - 1.0, highest + 1.0),
            reliability: reliability.collect(),
            calibration: CalibrationQuality::of(&binned),
            fitted: Logistic::fit(&binned).map(|fitted| (fitted, crossed(scores))),
        }
    }
}

impl Findings {
    /// Returns the error rates at the threshold at which groups are compared: the current one, or
    /// the recommended one if there is none.
    pub fn for_groups(&self) -> Option<Operation> {
        self.present.or(self.at_recommended)
    }
}

/// Returns the FMRs of the DET curve: from about one false match to 0.5.
fn curve_rates(impostors: u64) -> Vec<f64> {
    let first = (f64::from(POINTS) / impostors as f64).log10();
    let first = (first * f64::from(POINTS)).ceil() as i32 - POINTS;
    let rates = (first..0).map(|k| 10.0_f64.powf(f64::from(k) / f64::from(POINTS)));
    rates.filter(|&rate| rate <= 0.5).chain([0.5]).collect()
}

/// Returns the scores of [`SIMILARITIES`] and the infinities as bin edges.
fn edges() -> Vec<f64> {
    let logits = SIMILARITIES.map(|p| (p / (1.0 - p)).ln());
    [f64::NEG_INFINITY].into_iter().chain(logits).chain([f64::INFINITY]).collect()
}

fn held_out(scores: &Scores, fmr: f64) -> Option<[f64; 2]> {
    let halves = [Weighted::half(scores, 0)?, Weighted::half(scores, 1)?];
    let mut sums = [0.0; 2];
    for (chosen_on, judged_on) in [(&halves[0], &halves[1]), (&halves[1], &halves[0])] {
        let score = chosen_on.value(Statistic::ScoreAtFmr(fmr))?;
        sums[0] += judged_on.value(Statistic::Fmr(score))? / 2.0;
        sums[1] += judged_on.value(Statistic::Fnmr(score))? / 2.0;
    }
    Some(sums)
}

/// Returns the quality of the fit, cross-validated on the two halves of the people.
fn crossed(scores: &Scores) -> Option<CalibrationQuality> {
    let halves = [scores.binned(Some(0)), scores.binned(Some(1))];
    let has_both = |half: &Binned| {
        half.bins().iter().any(|bin| bin.genuine > 0.0)
            && half.bins().iter().any(|bin| bin.impostor > 0.0)
    };
    if !halves.iter().all(has_both) {
        return None;
    }
    let fits = [Logistic::fit(&halves[0])?, Logistic::fit(&halves[1])?];
    let judged = [
        halves[0].rescored(|score| fits[1].score(score)),
        halves[1].rescored(|score| fits[0].score(score)),
    ];
    let [even, odd] = judged;
    Some(CalibrationQuality::of(&even.merged(odd)))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Population, fmr, fnmr};
    use super::*;

    #[test]
    fn findings_have_curve_reliability_and_calibration() {
        let scores = Population { people: 60, photos: 4, own: 0.1 }.scores(5);
        let findings = Findings::of(&scores, 1e-2, None);
        assert!(findings.present.is_none());
        assert!(findings.curve.is_sorted_by(|a, b| a.fmr < b.fmr && a.fnmr >= b.fnmr));
        let point = findings.curve.iter().find(|p| p.fmr >= fmr(0.0)).unwrap();
        let [low, high] = point.interval.unwrap();
        assert!(low <= fnmr(0.0) && fnmr(0.3) <= high && point.counts, "{point:?}");
        assert!(!findings.curve[0].counts, "one comparison is no evidence");
        let within = findings.reliability.iter().filter(|point| {
            let [low, high] = point.interval.unwrap();
            (low..=high).contains(&point.bin.similarity)
        });
        // The scores are calibrated: of eleven intervals of 95 %, two may miss by chance.
        assert!(within.count() >= 9, "{:?}", findings.reliability);
        assert!(findings.calibration.error < 0.03, "{:?}", findings.calibration);
        let (fitted, crossed) = findings.fitted.unwrap();
        assert!((fitted.scale - 1.0).abs() < 0.15 && fitted.offset.abs() < 0.4, "{fitted:?}");
        let crossed = crossed.unwrap();
        assert!(crossed.cllr >= crossed.min_cllr && crossed.error < 0.05, "{crossed:?}");
        let [fmr, fnmr] = findings.held_out.unwrap();
        assert!((0.005..0.02).contains(&fmr) && fnmr > 0.0, "{fmr} {fnmr}");
    }

    #[test]
    fn two_people_suffice_for_findings() {
        let scores = Population { people: 2, photos: 2, own: 0.1 }.scores(1);
        let findings = Findings::of(&scores, 1e-4, Some(0.0));
        assert!(findings.recommended.is_none() && findings.held_out.is_none());
        assert!(findings.present.is_some());
    }
}
