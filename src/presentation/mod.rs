//! Presentation attack detection (ISO/IEC 30107-3): whether a face is live, or a photo, screen or mask that is shown to
//! the camera.
//!
//! The networks give a [`LiveScore`], a threshold is chosen by the share of live people that it rejects, and
//! [`Presentation::judge`] decides. A photo that is too dark, cut off or blurred to be judged is uncertain.
//!
//! [`judge`] decides on several frames of a person who was asked to turn the head.

mod pose;
mod steps;
mod turn;

use std::collections::BTreeSet;

pub use self::steps::{InvalidSteps, Step, Steps, Turn};
pub use self::turn::{
    FRAMES, Frame, Judgment, Liveness, TurnReason, View, best_straight_frame, judge,
};
use crate::quality::{Quality, Reason};

/// The luma, as [`Quality::highlights`], below which a face is too dark to be judged: more than twice as many attacks
/// pass there as on bright faces. `models/notes/pad.md` has the figures.
const DARK: f64 = 75.0;

/// The quality defects with which a presentation cannot be judged.
const UNREADABLE: [Reason; 5] =
    [Reason::TooSmall, Reason::TooBlurred, Reason::TooDark, Reason::TooBright, Reason::CutOff];

/// The natural log-odds that a presentation is live, by the networks; calibrated only by a threshold.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct LiveScore(f64);

impl LiveScore {
    /// The lowest score.
    pub(crate) const LOWEST: Self = Self(f64::MIN);

    /// Wraps log-odds; `None` for NaN. Infinite ones become the largest finite ones.
    pub(crate) fn new(log_odds: f64) -> Option<Self> {
        (!log_odds.is_nan()).then(|| Self(log_odds.clamp(f64::MIN, f64::MAX)))
    }

    /// Returns the log-odds.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// The decision on a presentation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// A bona fide presentation.
    Live,
    /// A presentation attack.
    Attack,
    /// The photo does not permit a decision; it counts as not live.
    Uncertain,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 3] = [Self::Live, Self::Attack, Self::Uncertain];

    /// Returns the word of the API for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Attack => "attack",
            Self::Uncertain => "uncertain",
        }
    }
}

/// A judged presentation of one face.
#[derive(Clone, Debug, PartialEq)]
pub struct Presentation {
    /// Live, attack or uncertain.
    pub decision: Decision,
    /// Why it is uncertain; otherwise empty.
    pub reasons: BTreeSet<Reason>,
    /// The score of the networks.
    pub score: LiveScore,
}

impl Presentation {
    /// Decides by the threshold that live people reach, unless the photo is unreadable.
    pub fn judge(score: LiveScore, threshold: LiveScore, quality: &Quality) -> Self {
        let mut reasons = quality.reasons();
        reasons.retain(|reason| UNREADABLE.contains(reason));
        if quality.highlights < DARK {
            reasons.insert(Reason::TooDark);
        }
        let decision = match () {
            () if !reasons.is_empty() => Decision::Uncertain,
            () if score >= threshold => Decision::Live,
            () => Decision::Attack,
        };
        Self { decision, reasons, score }
    }

    /// Returns whether the face is live.
    pub fn is_live(&self) -> bool {
        self.decision == Decision::Live
    }
}

/// A threshold of live scores, and the share of live presentations below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Bona fide presentation classification error rate (BPCER), 0..1.
    pub bpcer: f64,
    /// The lowest score of a live presentation.
    pub score: LiveScore,
}

/// Thresholds by BPCER, in ascending order: a higher threshold rejects more live people and more attacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds(Vec<Row>);

/// Why there is no threshold for a BPCER.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// The table is empty.
    #[error("there is no [[threshold]]")]
    Empty,
    /// A rate is out of range, or the rows are not in order.
    #[error(
        "each [[threshold]] needs a bpcer between 0 and 1 above that of the row before, and a score not below it"
    )]
    Order,
    /// All rows have a higher BPCER.
    #[error("the lowest BPCER with a threshold is {lowest}, not {target}")]
    Unsupported {
        /// The lowest BPCER of the table.
        lowest: f64,
        /// The requested BPCER.
        target: f64,
    },
}

impl Thresholds {
    /// Checks a table.
    ///
    /// # Errors
    /// [`ThresholdError::Empty`], [`ThresholdError::Order`].
    pub fn new(rows: Vec<Row>) -> Result<Self, ThresholdError> {
        if rows.is_empty() {
            return Err(ThresholdError::Empty);
        }
        let in_range = rows.iter().all(|row| row.bpcer > 0.0 && row.bpcer < 1.0);
        let ascending = rows.is_sorted_by(|a, b| a.bpcer < b.bpcer && a.score <= b.score);
        if in_range && ascending { Ok(Self(rows)) } else { Err(ThresholdError::Order) }
    }

    /// Fits thresholds to the scores of live presentations: for each rate, at most this share of them is below. Rates
    /// that fewer than one of the presentations would exceed are left out.
    pub fn fit(mut live: Vec<LiveScore>, rates: &[f64]) -> Option<Self> {
        live.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let row = |&bpcer: &f64| {
            let below = (bpcer * live.len() as f64 + 1e-9).floor() as usize;
            let score = *live.get(below).filter(|_| below > 0)?;
            Some(Row { bpcer, score })
        };
        Self::new(rates.iter().filter_map(row).collect()).ok()
    }

    /// Returns the rows.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// Returns the threshold of the highest BPCER that does not exceed `target`.
    ///
    /// # Errors
    /// [`ThresholdError::Unsupported`].
    pub fn at(&self, target: f64) -> Result<Row, ThresholdError> {
        let Self(rows) = self;
        let row = rows.iter().rev().find(|row| row.bpcer <= target).copied();
        row.ok_or(ThresholdError::Unsupported { lowest: rows[0].bpcer, target })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quality::Recognizability;

    fn score(log_odds: f64) -> LiveScore {
        LiveScore::new(log_odds).unwrap()
    }

    fn bright() -> Quality {
        Quality {
            inter_eye_distance: 60.0,
            sharpness: 0.3,
            highlights: 180.0,
            overexposure: 0.0,
            yaw: 0.0,
            cropping: 0.0,
            recognizability: Recognizability::new(0.9, 0.0),
        }
    }

    #[test]
    fn an_unreadable_photo_is_uncertain_whatever_its_score() {
        let judge = |quality: &Quality, log_odds| {
            Presentation::judge(score(log_odds), score(1.0), quality).decision
        };
        assert_eq!(judge(&bright(), 1.0), Decision::Live);
        assert_eq!(judge(&bright(), 0.9), Decision::Attack);
        for quality in [
            Quality { highlights: 40.0, ..bright() },
            Quality { cropping: 0.5, ..bright() },
            Quality { inter_eye_distance: 5.0, ..bright() },
        ] {
            assert_eq!(judge(&quality, 9.0), Decision::Uncertain);
            assert_eq!(judge(&quality, -9.0), Decision::Uncertain);
        }
    }

    #[test]
    fn a_turned_head_can_be_judged() {
        let turned = Quality { yaw: 50.0, ..bright() };
        assert!(Presentation::judge(score(2.0), score(1.0), &turned).is_live());
    }

    #[test]
    fn tables_out_of_order_and_rates_below_the_table_are_refused() {
        let row = |bpcer, log_odds| Row { bpcer, score: score(log_odds) };
        assert_eq!(Thresholds::new(vec![]), Err(ThresholdError::Empty));
        for rows in [
            vec![row(0.05, 1.0), row(0.01, 2.0)],
            vec![row(0.01, 2.0), row(0.05, 1.0)],
            vec![row(0.0, 1.0)],
            vec![row(f64::NAN, 1.0)],
        ] {
            assert_eq!(Thresholds::new(rows), Err(ThresholdError::Order));
        }
        let table = Thresholds::new(vec![row(0.01, -1.0), row(0.05, 2.0)]).unwrap();
        assert_eq!(table.at(0.04).unwrap(), row(0.01, -1.0));
        assert_eq!(table.at(0.05).unwrap(), row(0.05, 2.0));
        assert!(matches!(table.at(0.005), Err(ThresholdError::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn a_fitted_threshold_rejects_at_most_its_share_of_live_people(
            live in prop::collection::vec(-20.0..20.0_f64, 0..200),
        ) {
            let scores: Vec<_> = live.iter().copied().map(score).collect();
            let Some(table) = Thresholds::fit(scores, &[0.01, 0.05, 0.2]) else {
                prop_assert!(live.len() < 5);
                return Ok(());
            };
            for row in table.rows() {
                let below = live.iter().filter(|&&live| live < row.score.value()).count();
                prop_assert!(below as f64 <= row.bpcer * live.len() as f64 + 1e-6);
                prop_assert!(row.bpcer * live.len() as f64 + 1e-6 >= 1.0);
            }
        }
    }
}
