//! A calibration fitted to labeled scores by logistic regression.

use super::binned::Binned;

/// A linear calibration: log-odds = `scale` * score - `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logistic {
    /// Above 0.
    pub scale: f64,
    /// In log-odds.
    pub offset: f64,
}

/// Maximum number of Newton steps; 8 to 12 are usual.
const MOST_STEPS: usize = 100;

impl Logistic {
    /// Returns the calibrated score.
    pub fn score(self, score: f64) -> f64 {
        self.scale * score - self.offset
    }

    /// Fits the line that makes the labels likeliest, both kinds of comparison weighing the same
    /// (even odds): logistic regression, as Brümmer and du Preez 2006 calibrate.
    ///
    /// Of n genuine comparisons (n + 1) / (n + 2) are taken to be genuine, of n impostor ones
    /// 1 / (n + 2) (Platt 1999, "Probabilistic outputs for support vector machines"): scores that
    /// never overlap have a finite answer too, and no similarity claims more than the comparisons
    /// can show. `None` where genuine comparisons do not score higher than impostor ones.
    pub fn fit(binned: &Binned) -> Option<Self> {
        let count = |of: fn(&super::Bin) -> f64| binned.bins().iter().map(of).sum::<f64>();
        let genuine_label = 1.0 - 1.0 / (count(|bin| bin.genuine) + 2.0);
        let impostor_label = 1.0 / (count(|bin| bin.impostor) + 2.0);
        // Standardized scores keep the curvature well conditioned, whatever the model's scale.
        let mean: f64 = binned.even().map(|(s, g, i)| (g + i) * s).sum();
        let variance: f64 = binned.even().map(|(s, g, i)| (g + i) * (s - mean).powi(2)).sum();
        let deviation = variance.sqrt();
        let points: Vec<[f64; 3]> = binned
            .even()
            .map(|(s, g, i)| {
                [(s - mean) / deviation, g + i, g * genuine_label + i * impostor_label]
            })
            .collect();
        let [slope, level] = newton(&points)?;
        let scale = slope / deviation;
        let fitted = Self { scale, offset: scale * mean - level };
        (scale.is_finite() && scale > 0.0 && fitted.offset.is_finite()).then_some(fitted)
    }
}

/// Minimizes the sum over `[x, weight, label]` of weight ln(1 + exp(z)) - label z, z = slope x + level.
fn newton(points: &[[f64; 3]]) -> Option<[f64; 2]> {
    let loss = |[slope, level]: [f64; 2]| -> f64 {
        let one = |&[x, weight, label]: &[f64; 3]| {
            let z = slope * x + level;
            weight * (z.max(0.0) + (-z.abs()).exp().ln_1p()) - label * z
        };
        points.iter().map(one).sum()
    };
    let mut at = [0.0, 0.0];
    let mut least = loss(at);
    for _ in 0..MOST_STEPS {
        let (mut gradient, mut curvature) = ([0.0; 2], [0.0; 3]);
        for &[x, weight, label] in points {
            let p = 1.0 / (1.0 + (-(at[0] * x + at[1])).exp());
            let (slope, bend) = (weight * p - label, weight * p * (1.0 - p));
            gradient = [gradient[0] + slope * x, gradient[1] + slope];
            curvature = [curvature[0] + bend * x * x, curvature[1] + bend * x, curvature[2] + bend];
        }
        let [xx, x, one] = curvature;
        let determinant = xx * one - x * x;
        let step = [
            (one * gradient[0] - x * gradient[1]) / determinant,
            (xx * gradient[1] - x * gradient[0]) / determinant,
        ];
        // Halved until it helps: far from the solution a full step may overshoot.
        let tries = (0..40).map(|halvings| 0.5_f64.powi(halvings));
        let tries = tries.map(|share| [at[0] - share * step[0], at[1] - share * step[1]]);
        let Some(next) = tries.into_iter().find(|&next| loss(next) < least) else {
            return at[0].is_finite().then_some(at);
        };
        (at, least) = (next, loss(next));
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::calibrated;
    use super::super::{Bin, Binned};
    use super::*;

    #[test]
    fn fit_recovers_scale_and_offset() {
        // (score + offset) / scale undoes the calibration; the fit must find it again.
        for (scale, offset) in [(24.0, 5.7), (1.0, 0.0), (0.003, -4.0)] {
            let raw = calibrated().rescored(|score| (score + offset) / scale);
            let fitted = Logistic::fit(&raw).unwrap();
            assert!((fitted.scale / scale - 1.0).abs() < 5e-3, "{fitted:?}");
            assert!((fitted.offset - offset).abs() < 5e-3 * (1.0 + offset.abs()), "{fitted:?}");
            assert!(raw.rescored(|score| fitted.score(score)).calibration_error() < 3e-3);
        }
    }

    #[test]
    fn separable_scores_are_bounded_by_their_number() {
        let binned = |n: f64| {
            Binned::new(vec![
                Bin { score: -5.0, genuine: 0.0, impostor: n },
                Bin { score: 5.0, genuine: n, impostor: 0.0 },
            ])
        };
        for n in [8.0, 998.0] {
            let score = Logistic::fit(&binned(n)).unwrap().score(5.0);
            assert!((score - (n + 1.0_f64).ln()).abs() < 1e-6, "{n}: {score}");
        }
    }

    #[test]
    fn reversed_scores_have_no_calibration() {
        let right = calibrated();
        let reversed = right.bins().iter().map(|bin| Bin { score: -bin.score, ..*bin });
        assert_eq!(Logistic::fit(&Binned::new(reversed.collect())), None);
        let constant = Binned::new(vec![Bin { score: 1.0, genuine: 3.0, impostor: 3.0 }]);
        assert_eq!(Logistic::fit(&constant), None);
    }
}
