//! What comparisons of labelled photos say about a model: error rates with intervals, thresholds,
//! calibration.
//!
//! [`Scores`] holds the comparisons: genuine ones (two photos of one person) and impostor ones (of
//! two people). Two comparisons that share a person are not independent, so nothing here counts
//! comparisons where it says how sure it is: intervals come from drawing the *people* anew
//! ([`Scores::intervals`]), and a threshold's false match rate counts only where ten different
//! pairs of people stand behind its errors ([`ErrorRateRow::counts`]). [`Binned`] judges and fits
//! calibrations.
//!
//! Pure arithmetic: no photo, no file, no model is known here, and the same numbers give the same
//! answer every time.

mod binned;
mod bootstrap;
mod findings;
mod fit;
#[cfg(test)]
mod fixture;
mod probit;
mod random;
mod rates;
mod scores;
mod threads;
mod weighted;

pub use self::binned::{Bin, Binned, ReliabilityBin};
pub use self::bootstrap::Intervals;
pub use self::findings::{CalibrationQuality, CurvePoint, Findings, ReliabilityPoint};
pub use self::fit::Logistic;
pub use self::probit::probit;
pub use self::rates::{ErrorRateRow, LEAST_PAIRS, Operation, Rate, Recommendation};
pub use self::scores::{Compared, Ranked, Scores, TooFew};
pub use self::weighted::{Statistic, Weighted};
