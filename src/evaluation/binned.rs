//! Binned labeled scores and their calibration.
//!
//! Genuine and impostor comparisons have equal total weight here: a score is the log-odds at even
//! prior odds.

/// Comparisons of about one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// The score, in log-odds.
    pub score: f64,
    /// How many genuine comparisons have it.
    pub genuine: f64,
    /// How many impostor comparisons have it.
    pub impostor: f64,
}

/// Bins with rising scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Binned(Vec<Bin>);

/// The comparisons whose similarities lie within some bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// Their mean similarity, at even odds.
    pub similarity: f64,
    /// The share of genuine ones among them, at even odds.
    pub share: f64,
}

/// Bins of the expected calibration error.
const ECE_BINS: f64 = 10.0;

impl Binned {
    /// Sorts the bins by score and puts those of one score together.
    pub fn new(mut bins: Vec<Bin>) -> Self {
        bins.sort_by(|a, b| a.score.total_cmp(&b.score));
        bins.dedup_by(|bin, kept| {
            let tied = bin.score <= kept.score;
            if tied {
                kept.genuine += bin.genuine;
                kept.impostor += bin.impostor;
            }
            tied
        });
        Self(bins)
    }

    /// The bins, lowest score first.
    pub fn bins(&self) -> &[Bin] {
        &self.0
    }

    /// The bins of both.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self::new([self.0, other.0].concat())
    }

    /// The same comparisons with other scores; `score` must rise with its argument.
    #[must_use]
    pub fn rescored(&self, score: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|bin| Bin { score: score(bin.score), ..*bin }).collect())
    }

    /// Each bin's score with its genuine and impostor weights, which sum to 1/2 each.
    pub(super) fn even(&self) -> impl DoubleEndedIterator<Item = (f64, f64, f64)> + '_ {
        let genuine: f64 = self.0.iter().map(|bin| bin.genuine).sum();
        let impostor: f64 = self.0.iter().map(|bin| bin.impostor).sum();
        self.0
            .iter()
            .map(move |b| (b.score, b.genuine / (2.0 * genuine), b.impostor / (2.0 * impostor)))
    }

    /// The cost of the log-likelihood ratio (Brümmer and du Preez 2006, "Application-independent
    /// evaluation of speaker detection"): the mean over genuine comparisons of
    /// log2(1 + exp(-score)), plus the mean over impostor ones of log2(1 + exp(score)), halved. 0
    /// for scores that are right and sure, 1 for scores that say nothing (all 0), more for
    /// scores that mislead.
    pub fn cllr(&self) -> f64 {
        let cost = |(score, genuine, impostor): (f64, f64, f64)| {
            cost(genuine, -score) + cost(impostor, score)
        };
        self.even().map(cost).sum::<f64>() / std::f64::consts::LN_2
    }

    /// The least [`cllr`](Self::cllr) that any rising change of the scores can reach, which is what
    /// is left when calibration is perfect: by the pool-adjacent-violators algorithm (Ayer et al.
    /// 1955), as in Brümmer and du Preez 2006. Flattered where comparisons are few.
    pub fn min_cllr(&self) -> f64 {
        let mut pools: Vec<[f64; 2]> = Vec::new();
        for (_, genuine, impostor) in self.even() {
            let mut pool = [genuine, impostor];
            while let Some(&[g, i]) = pools.last()
                && g * (pool[0] + pool[1]) >= pool[0] * (g + i)
            {
                pools.pop();
                pool = [pool[0] + g, pool[1] + i];
            }
            pools.push(pool);
        }
        let entropy = |[g, i]: [f64; 2]| {
            let bits = |part: f64| if part > 0.0 { -part * (part / (g + i)).log2() } else { 0.0 };
            bits(g) + bits(i)
        };
        pools.into_iter().map(entropy).sum()
    }

    /// The expected calibration error (Naeini et al. 2015): ten bins of equal weight at even odds,
    /// in each the distance between the mean similarity and the share of genuine comparisons; the
    /// mean over the bins, 0..=1.
    pub fn calibration_error(&self) -> f64 {
        let (mut error, mut excess, mut weight, mut closed) = (0.0, 0.0_f64, 0.0, 1.0);
        for (score, genuine, impostor) in self.even() {
            excess += (genuine + impostor) * sigmoid(score) - genuine;
            weight += genuine + impostor;
            if weight >= closed / ECE_BINS - 1e-9 {
                error += excess.abs();
                excess = 0.0;
                while weight >= closed / ECE_BINS - 1e-9 {
                    closed += 1.0;
                }
            }
        }
        error + excess.abs()
    }

    /// The comparisons between each two neighbours of some rising scores; `None` where there are
    /// none.
    pub fn reliability(&self, edges: &[f64]) -> Vec<Option<ReliabilityBin>> {
        let between = |edges: &[f64]| {
            let (mut similarity, mut genuine, mut weight) = (0.0, 0.0, 0.0);
            for (score, g, i) in self.even().filter(|b| (edges[0]..edges[1]).contains(&b.0)) {
                similarity += (g + i) * sigmoid(score);
                genuine += g;
                weight += g + i;
            }
            (weight > 0.0).then(|| ReliabilityBin {
                similarity: similarity / weight,
                share: genuine / weight,
            })
        };
        edges.windows(2).map(between).collect()
    }
}

/// `weight` * ln(1 + exp(x)), also where exp(x) is too large for a number.
fn cost(weight: f64, x: f64) -> f64 {
    weight * (x.max(0.0) + (-x.abs()).exp().ln_1p())
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::calibrated;
    use super::*;

    fn bins(bins: &[(f64, f64, f64)]) -> Binned {
        let bin = |&(score, genuine, impostor): &_| Bin { score, genuine, impostor };
        Binned::new(bins.iter().map(bin).collect())
    }

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    #[test]
    fn cllr_is_0_for_perfect_and_1_for_uninformative_scores() {
        let perfect = bins(&[(-40.0, 0.0, 9.0), (40.0, 3.0, 0.0)]);
        near(perfect.cllr(), 0.0, 1e-12);
        near(perfect.min_cllr(), 0.0, 0.0);
        near(perfect.calibration_error(), 0.0, 1e-12);
        let uninformative = bins(&[(0.0, 5.0, 700.0)]);
        near(uninformative.cllr(), 1.0, 1e-12);
        near(uninformative.min_cllr(), 1.0, 1e-12);
        near(uninformative.calibration_error(), 0.0, 1e-12);
    }

    #[test]
    fn cllr_of_misleading_scores_exceeds_1() {
        let misleading = bins(&[(-3.0, 1.0, 0.0), (3.0, 0.0, 1.0)]);
        near(misleading.cllr(), (1.0 + 3.0_f64.exp()).log2(), 1e-12);
        // No rising change can help: all is pooled into one.
        near(misleading.min_cllr(), 1.0, 1e-12);
        near(bins(&[(-1000.0, 1.0, 0.0), (1000.0, 0.0, 1.0)]).cllr(), 1000.0 / 2.0_f64.ln(), 1e-9);
    }

    #[test]
    fn min_cllr_pools_violators_and_ties() {
        // Shares of genuine 1/4, 3/4, 1/2, 1: the middle two are pooled to 5/8.
        let binned = bins(&[(0.0, 1.0, 3.0), (1.0, 3.0, 1.0), (2.0, 2.0, 2.0), (3.0, 2.0, 0.0)]);
        let entropy = |g: f64, i: f64| {
            (-g * (g / 8.0 / (g / 8.0 + i / 6.0)).log2()) / 16.0
                + (-i * (i / 6.0 / (g / 8.0 + i / 6.0)).log2()) / 12.0
        };
        near(binned.min_cllr(), entropy(1.0, 3.0) + entropy(5.0, 3.0), 1e-12);
        let tied = bins(&[(1.0, 1.0, 0.0), (1.0, 0.0, 1.0)]);
        near(tied.min_cllr(), 1.0, 1e-12);
        let tied = bins(&[(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 1.0)]);
        near(tied.min_cllr(), entropy_of_halves(1.0, 2.0 / 3.0), 1e-12);
    }

    /// The cost of one pool that holds these shares of the genuine and of the impostors.
    fn entropy_of_halves(g: f64, i: f64) -> f64 {
        (-g * (g / (g + i)).log2() - i * (i / (g + i)).log2()) / 2.0
    }

    #[test]
    fn calibration_error_detects_miscalibration() {
        let right = calibrated();
        near(right.calibration_error(), 0.0, 2e-3);
        near(right.cllr() - right.min_cllr(), 0.0, 1e-3);
        for bin in right.reliability(&[-3.0, -1.0, 0.0, 1.0, 3.0]).into_iter().flatten() {
            near(bin.similarity, bin.share, 2e-3);
        }
        let overconfident = right.rescored(|score| 3.0 * score);
        assert!(overconfident.calibration_error() > 0.03);
        assert!(overconfident.cllr() > right.cllr() + 0.05);
        near(overconfident.min_cllr(), right.min_cllr(), 1e-12);
    }

    #[test]
    fn calibration_error_uses_ten_equal_weight_bins() {
        // Ten scores of equal weight that all promise about 1/2, while the shares rise from 0 to 1.
        let bin = |k: i32| (1e-9 * f64::from(k), f64::from(k), f64::from(9 - k));
        let all: Vec<_> = (0..10).map(bin).collect();
        let expected = (0..10).map(|k| (f64::from(k) / 9.0 - 0.5).abs()).sum::<f64>() / 10.0;
        near(bins(&all).calibration_error(), expected, 1e-8);
    }

    #[test]
    fn empty_reliability_bin_is_none() {
        let binned = bins(&[(0.0, 1.0, 1.0), (4.0, 1.0, 0.0)]);
        let found = binned.reliability(&[-1.0, 1.0, 3.0, f64::INFINITY]);
        assert!(found[0].is_some() && found[1].is_none());
        near(found[2].unwrap().share, 1.0, 0.0);
    }
}
