//! The report of `likeness evaluate`: a summary, an HTML page, and a calibration file.
//!
//! [`Report`] evaluates labeled comparisons and renders the result. It contains names of people and
//! files, but no photo and no embedding.

mod content;
mod group_summary;
mod group_tables;
mod groups;
mod name;
mod numbers;
mod page;
mod pictures;
mod recalibration;
mod summary;
mod tables;

pub use self::content::{Conditions, Failures, Photos, Report};
pub use self::groups::{Attempt, Grouping};
