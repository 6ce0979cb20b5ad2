//! The points of the detection error tradeoff (DET) curve (ISO/IEC 19795-1).

use super::scores::{Scores, bin_edges};

/// Points are left out while neither rate changes by more than this share of itself.
const STEP: f64 = 0.02;

/// Both error rates at a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetPoint {
    /// The threshold.
    pub score: f64,
    /// The share of impostor comparisons at or above it.
    pub fmr: f64,
    /// The share of genuine comparisons below it.
    pub fnmr: f64,
}

impl Scores {
    /// Returns the points of the DET curve, from FNMR 0 to FMR 0. All comparisons are counted; the
    /// thresholds are the edges of bins, a thousandth apart.
    pub fn det(&self) -> Vec<DetPoint> {
        let (genuine, impostor) = (self.genuine().total() as f64, self.impostor().total() as f64);
        let binned = self.binned(None);
        let (mut points, mut below, mut reached) = (Vec::new(), 0.0, impostor);
        for bin in binned.bins() {
            let [score, _] = bin_edges(bin.score);
            points.push(DetPoint { score, fmr: reached / impostor, fnmr: below / genuine });
            below += bin.genuine;
            reached -= bin.impostor;
        }
        let last = binned.bins().last().map(|bin| DetPoint {
            score: bin_edges(bin.score)[1],
            fmr: 0.0,
            fnmr: 1.0,
        });
        points
            .dedup_by(|point, kept| is_near(point.fmr, kept.fmr) && is_near(point.fnmr, kept.fnmr));
        points.into_iter().chain(last).collect()
    }
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= STEP * a.max(b)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Population;
    use super::super::{Statistic, Weighted};

    #[test]
    fn det_points_are_exact_and_monotonic() {
        for seed in 0..5 {
            let scores = Population { people: 12, photos: 3, own: 0.3 }.scores(seed);
            let evenly = Weighted::evenly(&scores);
            let points = scores.det();
            for point in &points {
                let [fmr, fnmr] = [Statistic::Fmr(point.score), Statistic::Fnmr(point.score)]
                    .map(|statistic| evenly.value(statistic).unwrap());
                assert!((fmr - point.fmr).abs() < 1e-12, "{point:?} {fmr}");
                assert!((fnmr - point.fnmr).abs() < 1e-12, "{point:?} {fnmr}");
            }
            assert!(
                points.is_sorted_by(|a, b| {
                    a.score < b.score && a.fmr >= b.fmr && a.fnmr <= b.fnmr
                })
            );
            let (first, last) = (points[0], points[points.len() - 1]);
            assert_eq!((first.fmr, first.fnmr), (1.0, 0.0));
            assert_eq!((last.fmr, last.fnmr), (0.0, 1.0));
        }
    }

    #[test]
    fn det_has_a_bounded_number_of_points() {
        let scores = Population { people: 60, photos: 4, own: 0.1 }.scores(1);
        let points = scores.det().len();
        assert!((100..1200).contains(&points), "{points}");
    }
}
