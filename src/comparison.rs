//! From two embeddings to a decision: score, similarity, threshold.
//!
//! The score is the log-odds that two photos show the same person, at even odds beforehand;
//! everything that ranks or decides uses it. The similarity is its sigmoid and is for people:
//! near 1 a sigmoid has no digits left.

use crate::embedding::{DegenerateEmbedding, Embedding, LARGEST_VALUE};

/// The log-odds that two photos show the same person, at even odds beforehand.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Score(f64);

impl Score {
    /// Creates a score from log-odds.
    pub fn new(log_odds: f64) -> Self {
        Self(log_odds)
    }

    /// Returns the log-odds, a finite number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Returns the sigmoid of the score, 0..=1. It is strictly monotone in the score up to about 36, where a double
    /// has no more digits.
    pub fn similarity(self) -> f64 {
        1.0 / (1.0 + (-self.0).exp())
    }
}

/// The measure by which two embeddings of one model are compared, before calibration.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// The cosine of the angle between them, -1..=1; the embeddings are of unit length.
    Cosine,
    /// The head of Koch et al. 2015: a weighted sum of distances, any finite number; the embeddings
    /// are the network's own values.
    WeightedL1(Head),
}

/// The last layer of a Siamese network after Koch, Zemel and Salakhutdinov 2015, without its
/// sigmoid: `sum_j weights_j |a_j - b_j| + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    weights: Vec<f32>,
    bias: f32,
}

impl Head {
    /// Creates a head for embeddings of as many values as `weights`; `None` unless any two embeddings have a
    /// finite distance: the weights, like an embedding's values, stay within [`LARGEST_VALUE`].
    pub fn new(weights: Vec<f32>, bias: f32) -> Option<Self> {
        let within = |weight: &f32| weight.abs() <= LARGEST_VALUE;
        (within(&bias) && weights.iter().all(within)).then_some(Self { weights, bias })
    }

    fn of(&self, a: &[f32], b: &[f32]) -> f32 {
        let terms = self.weights.iter().zip(a.iter().zip(b));
        terms.map(|(weight, (a, b))| weight * (a - b).abs()).sum::<f32>() + self.bias
    }
}

impl Measure {
    /// Creates the embedding that this measure compares from the output of a network.
    ///
    /// # Errors
    /// [`DegenerateEmbedding`] if the output represents no face.
    pub fn embedding(&self, output: Vec<f32>) -> Result<Embedding, DegenerateEmbedding> {
        match self {
            Self::Cosine => Embedding::normalize(output),
            Self::WeightedL1(_) => Embedding::raw(output),
        }
    }

    /// Returns the weighted mean of the embeddings of one face.
    ///
    /// # Errors
    /// [`DegenerateEmbedding`] if the embeddings cancel each other.
    pub(crate) fn mean(
        &self,
        views: &[(f32, Embedding)],
    ) -> Result<Embedding, DegenerateEmbedding> {
        let total: f32 = views.iter().map(|(weight, _)| weight).sum();
        let length = views.first().map_or(0, |(_, embedding)| embedding.values().len());
        let mut mean = vec![0.0; length];
        for (weight, embedding) in views {
            let terms = mean.iter_mut().zip(embedding.values());
            terms.for_each(|(mean, value)| *mean += weight / total * value);
        }
        self.embedding(mean)
    }

    /// Compares two embeddings; symmetric, and higher for more similar ones.
    pub(crate) fn of(&self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Cosine => dot(a, b),
            Self::WeightedL1(head) => head.of(a, b),
        }
    }
}

/// The map from a measure to log-odds: score = `scale` * measure - `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    scale: f64,
    offset: f64,
}

impl Calibration {
    /// Creates a calibration; `None` unless `scale` is above 0 and every finite measure has a finite score.
    pub fn new(scale: f64, offset: f64) -> Option<Self> {
        let furthest = scale * f64::from(f32::MAX) + offset.abs();
        (scale > 0.0 && furthest.is_finite()).then_some(Self { scale, offset })
    }

    /// Returns the factor of the measure, above 0.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Returns the offset that is subtracted, in log-odds.
    pub fn offset(&self) -> f64 {
        self.offset
    }

    /// Returns this calibration followed by another of its scores, `scale` * score - `offset`; `None` as
    /// in [`new`](Self::new).
    pub fn then(&self, scale: f64, offset: f64) -> Option<Self> {
        Self::new(scale * self.scale, scale * self.offset + offset)
    }

    /// Returns the score for a value of the measure.
    pub fn score(&self, measured: f32) -> Score {
        Score(self.scale * f64::from(measured) - self.offset)
    }
}

/// The comparison of a model's embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparator {
    /// The measure.
    pub measure: Measure,
    /// The calibration of the measure.
    pub calibration: Calibration,
}

impl Comparator {
    /// Compares two embeddings of the same model; symmetric.
    pub fn compare(&self, a: &Embedding, b: &Embedding) -> Score {
        self.calibration.score(self.measure.of(a.values(), b.values()))
    }
}

/// Returns the inner product of two vectors of one length, summed in lanes so that the compiler can use
/// the processor's widest registers.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0_f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_lanes.zip(b_lanes) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// A row of a model's measured error rates.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRate {
    /// False match rate: the share of impostor comparisons that reach `score`.
    pub fmr: f64,
    /// The score.
    pub score: f64,
    /// The 95 % confidence interval of the score, if known.
    pub interval: Option<[f64; 2]>,
    /// The number of different pairs of people among the false matches, if known.
    pub pairs: Option<u64>,
    /// The population with the highest score at this rate, if the row was measured on several.
    pub population: Option<Box<str>>,
    /// False non-match rate at the score, 0 to 1, if known.
    pub fnmr: Option<f64>,
}

impl ErrorRate {
    /// Creates a row of which nothing else is known.
    pub fn new(fmr: f64, score: f64) -> Self {
        Self { fmr, score, interval: None, pairs: None, population: None, fnmr: None }
    }
}

/// A model's measured error rates, from lenient to strict; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRates(Vec<ErrorRate>);

/// An invalid table of error rates, or a target that is stricter than the table supports.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ErrorRatesError {
    /// Rates must fall and scores must rise from row to row, all within their ranges.
    #[error(
        "error rates must be between 0 and 1 and decrease from row to row as the scores increase"
    )]
    Disordered,
    /// An interval must contain the score, the number of pairs must be at least 1, and an FNMR must be from 0 to 1.
    #[error(
        "the interval of an error rate must contain its score, its pairs must be at least 1, and its fnmr must be from 0 to 1"
    )]
    Doubtful,
    /// No row is as strict as the target.
    #[error(
        "a false match rate of {target} is stricter than the error rates of this model support; the strictest is {strictest}"
    )]
    TooStrict {
        /// The target rate.
        target: f64,
        /// The strictest rate of the table.
        strictest: f64,
    },
}

impl ErrorRates {
    /// Creates a table from its rows.
    ///
    /// # Errors
    /// [`ErrorRatesError::Disordered`] if it is empty or not in order from lenient to strict,
    /// [`ErrorRatesError::Doubtful`] if a row is inconsistent.
    pub fn new(rows: Vec<ErrorRate>) -> Result<Self, ErrorRatesError> {
        let ranged = rows.iter().all(|r| r.fmr > 0.0 && r.fmr < 1.0 && r.score.is_finite());
        let ordered = rows.is_sorted_by(|a, b| a.fmr > b.fmr && a.score < b.score);
        if rows.is_empty() || !ranged || !ordered {
            return Err(ErrorRatesError::Disordered);
        }
        let holds = |r: &ErrorRate| r.interval.is_none_or(|[a, b]| (a..=b).contains(&r.score));
        let is_share = |r: &ErrorRate| r.fnmr.is_none_or(|fnmr| (0.0..=1.0).contains(&fnmr));
        if !rows.iter().all(|row| holds(row) && row.pairs != Some(0) && is_share(row)) {
            return Err(ErrorRatesError::Doubtful);
        }
        Ok(Self(rows))
    }

    /// Returns the rows, from lenient to strict.
    pub fn rows(&self) -> &[ErrorRate] {
        &self.0
    }

    /// Returns the threshold for verification at a false match rate of at most `fmr`.
    ///
    /// # Errors
    /// [`ErrorRatesError::TooStrict`] if no row is as strict.
    pub fn for_verification(&self, fmr: f64) -> Result<Threshold, ErrorRatesError> {
        let row = self.row(fmr)?;
        Ok(Threshold { score: Score(row.score), target: row.fmr, basis: Basis::Table })
    }

    /// Returns the row for a false match rate of at most `fmr`: the most lenient that is as strict.
    ///
    /// # Errors
    /// [`ErrorRatesError::TooStrict`] if no row is as strict.
    pub fn row(&self, fmr: f64) -> Result<&ErrorRate, ErrorRatesError> {
        let row = self.0.iter().find(|row| row.fmr <= fmr);
        row.ok_or(ErrorRatesError::TooStrict { target: fmr, strictest: self.strictest().fmr })
    }

    /// Returns the threshold for identification at a false positive identification rate of `fpir` among
    /// `gallery_size` people.
    ///
    /// A stranger is compared with everyone, so FPIR is at most `gallery_size` times FMR. If
    /// no row is strict enough for that, the strictest is used, and the threshold's `target` is
    /// the bound that then holds.
    pub fn for_identification(&self, fpir: f64, gallery_size: usize) -> Threshold {
        let people = gallery_size.max(1) as f64;
        let row = self.0.iter().find(|row| row.fmr * people <= fpir);
        let strictest = self.strictest();
        match row {
            Some(row) => Threshold { score: Score(row.score), target: fpir, basis: Basis::Table },
            None => Threshold {
                score: Score(strictest.score),
                target: (strictest.fmr * people).min(1.0),
                basis: Basis::Table,
            },
        }
    }

    /// Returns the strictest row of the table.
    pub(crate) fn strictest(&self) -> &ErrorRate {
        self.0.last().expect("a table has at least one row, since new refuses an empty one")
    }
}

/// A decision threshold and its target error rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The lowest score of a match.
    pub score: Score,
    /// FMR for verification, FPIR for identification.
    pub target: f64,
    /// The impostors that the score was measured on.
    pub basis: Basis,
}

/// The impostors that a threshold was measured on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Basis {
    /// The people enrolled.
    Gallery {
        /// How many were compared with each other.
        people: usize,
    },
    /// The people of the model's table of error rates.
    Table,
}

impl Threshold {
    /// Decides on one comparison.
    pub fn decide(self, score: Score) -> Decision {
        if score >= self.score { Decision::Match } else { Decision::NonMatch }
    }
}

/// The decision of a comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The score reaches the threshold.
    Match,
    /// The score is below the threshold.
    NonMatch,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates() -> ErrorRates {
        let row = ErrorRate::new;
        ErrorRates::new(vec![row(1e-2, 1.0), row(1e-3, 3.0), row(1e-4, 5.0)]).unwrap()
    }

    #[test]
    fn verification_takes_the_row_at_or_below_its_target() {
        let score = |fmr| rates().for_verification(fmr).map(|t| (t.score.value(), t.target));
        assert_eq!(score(1e-4), Ok((5.0, 1e-4)));
        assert_eq!(score(5e-4), Ok((5.0, 1e-4)));
        assert_eq!(score(0.5), Ok((1.0, 1e-2)));
        assert_eq!(score(1e-5), Err(ErrorRatesError::TooStrict { target: 1e-5, strictest: 1e-4 }));
    }

    #[test]
    fn identification_grows_stricter_with_the_gallery_until_the_data_end() {
        let threshold = |people| {
            let t = rates().for_identification(1e-2, people);
            (t.score.value(), t.target)
        };
        assert_eq!(threshold(0), (1.0, 1e-2));
        assert_eq!(threshold(1), (1.0, 1e-2));
        assert_eq!(threshold(10), (3.0, 1e-2));
        assert_eq!(threshold(100), (5.0, 1e-2));
        assert_eq!(threshold(1000), (5.0, 0.1));
        assert_eq!(threshold(1_000_000), (5.0, 1.0));
    }

    #[test]
    fn a_table_that_does_not_get_stricter_is_refused() {
        let row = ErrorRate::new;
        for rows in [
            vec![],
            vec![row(1e-3, 1.0), row(1e-2, 2.0)],
            vec![row(1e-2, 2.0), row(1e-3, 2.0)],
            vec![row(1e-2, f64::NAN)],
            vec![row(0.0, 1.0)],
        ] {
            assert_eq!(ErrorRates::new(rows), Err(ErrorRatesError::Disordered));
        }
    }

    #[test]
    fn one_calibration_follows_another() {
        let first = Calibration::new(24.0, 5.5).unwrap();
        let both = first.then(0.5, -1.25).unwrap();
        let expected = 0.5 * first.score(0.75).value() + 1.25;
        assert!((both.score(0.75).value() - expected).abs() < 1e-12);
        assert_eq!(first.then(0.0, 1.0), None);
    }

    #[test]
    fn a_row_that_contradicts_itself_is_refused() {
        let row = |interval, pairs| ErrorRate { interval, pairs, ..ErrorRate::new(1e-2, 1.0) };
        let table = |interval, pairs| ErrorRates::new(vec![row(interval, pairs)]);
        assert!(table(Some([0.5, 1.0]), Some(1)).is_ok());
        for (interval, pairs) in
            [(Some([1.5, 2.0]), None), (Some([f64::NAN, 2.0]), None), (None, Some(0))]
        {
            assert_eq!(table(interval, pairs), Err(ErrorRatesError::Doubtful));
        }
    }

    #[test]
    fn a_head_weighs_each_distance() {
        let head = Head::new(vec![-2.0, 0.5, 1.0], 0.25).unwrap();
        let sum = head.of(&[1.0, 2.0, 3.0], &[3.0, 1.0, 3.0]);
        assert!((sum - (-2.0 * 2.0 + 0.5 + 0.25)).abs() < 1e-6);
        assert_eq!(Head::new(vec![f32::NAN], 0.0), None);
        assert_eq!(Head::new(vec![0.0], f32::INFINITY), None);
        assert_eq!(Head::new(vec![1e16], 0.0), None);
    }

    #[test]
    fn every_score_is_a_number() {
        let far = |value: f32| Embedding::raw(vec![value; 4096]).unwrap();
        let head = Head::new(vec![LARGEST_VALUE; 4096], -LARGEST_VALUE).unwrap();
        let calibration = Calibration::new(1e200, 1e300).unwrap();
        let comparator = Comparator { measure: Measure::WeightedL1(head), calibration };
        let score = comparator.compare(&far(LARGEST_VALUE), &far(-LARGEST_VALUE));
        assert!(score.value().is_finite());
        for (scale, offset) in
            [(1e300, 0.0), (f64::NAN, 0.0), (1.0, f64::NAN), (1.0, f64::INFINITY), (-1.0, 0.0)]
        {
            assert_eq!(Calibration::new(scale, offset), None);
        }
    }

    #[test]
    fn a_score_at_the_threshold_is_a_match() {
        let threshold = rates().for_verification(1e-2).unwrap();
        assert_eq!(threshold.decide(Score(1.0)), Decision::Match);
        assert_eq!(threshold.decide(Score(1.0 - 1e-9)), Decision::NonMatch);
    }

    proptest! {
        #[test]
        fn similarity_is_strictly_monotone_in_the_score(a in -30.0_f64..30.0, gap in 1e-2_f64..5.0) {
            prop_assert!(Score(a).similarity() < Score(a + gap).similarity());
            prop_assert!((0.0..=1.0).contains(&Score(a).similarity()));
        }

        #[test]
        fn comparison_is_symmetric(
            a in prop::collection::vec(-1.0_f32..1.0, 70), b in prop::collection::vec(-1.0_f32..1.0, 70),
        ) {
            let (Ok(a), Ok(b)) = (Embedding::normalize(a), Embedding::normalize(b)) else {
                return Ok(());
            };
            let calibration = Calibration::new(8.0, 2.0).unwrap();
            let cosine = Comparator { measure: Measure::Cosine, calibration };
            prop_assert_eq!(cosine.compare(&a, &b), cosine.compare(&b, &a));
            let own = cosine.compare(&a, &a).value();
            prop_assert!((own - 6.0).abs() < 1e-4);
            let head = Head::new(vec![-0.5; 70], 1.0).unwrap();
            let koch = Comparator { measure: Measure::WeightedL1(head), calibration };
            prop_assert_eq!(koch.compare(&a, &b), koch.compare(&b, &a));
            prop_assert!((koch.compare(&a, &a).value() - 6.0).abs() < 1e-9);
        }
    }
}
