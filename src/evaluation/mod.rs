//! Evaluation of a model on labeled comparisons: error rates with confidence intervals, thresholds,
//! calibration.
//!
//! [`Scores`] holds the comparisons: genuine (two photos of one person) and impostor (of two people).
//! Comparisons that share a person are not independent, so confidence is never based on the number of
//! comparisons: intervals come from resampling the *people* ([`Scores::intervals`]), and the FMR of a
//! threshold counts only if its false matches come from ten pairs of people
//! ([`ErrorRateRow::counts`]). [`Binned`] measures and fits calibrations, [`Group`] holds the
//! comparisons within a group of people.
//!
//! The module is pure arithmetic, without photos, files or models, and deterministic.

mod binned;
mod bootstrap;
mod det;
mod findings;
mod fit;
#[cfg(test)]
mod fixture;
mod groups;
mod presentations;
mod probit;
mod random;
mod rates;
mod scores;
mod tail;
mod threads;
mod weighted;

pub use self::binned::{Bin, Binned, ReliabilityBin};
pub use self::bootstrap::Intervals;
pub use self::det::DetPoint;
pub use self::findings::{CalibrationQuality, CurvePoint, Findings, ReliabilityPoint};
pub use self::fit::Logistic;
pub use self::groups::{
    Evidence, Group, GroupRate, GroupRates, Highest, LEAST_PEOPLE, Whole, highest,
};
pub use self::presentations::error_rate as presentation_error_rate;
pub use self::probit::probit;
pub use self::rates::{ErrorRateRow, LEAST_PAIRS, Operation, Rate, Recommendation};
pub use self::scores::{Compared, Ranked, Scores, TooFew};
pub use self::tail::{ImpostorScore, Tail};
pub use self::weighted::{Statistic, Weighted};
