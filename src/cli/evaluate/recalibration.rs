//! The calibration that the photos ask for, on top of the one that the scores were made with.

use std::path::Path;

use super::outcome::Outcome;
use super::words::count;
use crate::comparison::{Calibration, ErrorRate, ErrorRates};
use crate::engine::Recalibration;
use crate::evaluation::ErrorRateRow;

/// The calibration; `None` where no threshold counts.
pub(in crate::cli) fn of(outcome: &Outcome) -> Option<Recalibration> {
    let old = &outcome.calibration;
    let fitted = outcome.findings.fitted.as_ref();
    let (scale, offset) = fitted.map_or((1.0, 0.0), |(line, _)| (line.scale, line.offset));
    let exact = old.then(scale, offset)?;
    let calibration = Calibration::new(digits(exact.scale()), digits(exact.offset()))?;
    // By way of what is compared, so that the digits that were cut off move no threshold.
    let score = |old_score: f64| {
        let measured = (old_score + old.offset()) / old.scale();
        calibration.scale() * measured - calibration.offset()
    };
    let mut rows: Vec<ErrorRate> = Vec::new();
    let counting = outcome.findings.rows.iter().filter(|row| row.counts());
    for row in counting.rev().map(|row| error_rate(row, score)) {
        // Of rates with one score the strictest says most.
        if rows.last().is_none_or(|stricter| row.score < stricter.score) {
            rows.push(row);
        }
    }
    rows.reverse();
    let error_rates = ErrorRates::new(rows).ok()?;
    Some(Recalibration { model: outcome.model.id, calibration, error_rates })
}

/// A row with four decimals, rounded to the side where no promise is broken.
fn error_rate(row: &ErrorRateRow, score: impl Fn(f64) -> f64) -> ErrorRate {
    let up = |value: f64| (value * 1e4).ceil() / 1e4;
    let down = |value: f64| (value * 1e4).floor() / 1e4;
    let [low, high] = row.interval.map(&score);
    ErrorRate {
        fmr: row.fmr,
        score: up(score(row.score)),
        interval: Some([down(low), up(high)]),
        pairs: Some(row.pairs),
    }
}

/// Six significant digits.
fn digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// What stands above the calibration.
pub(super) fn comment(outcome: &Outcome) -> String {
    format!(
        "Calibration of the encoder {} on {} photos of {} people.\nWritten by likeness evaluate on {}.",
        outcome.model.name,
        count(outcome.photos_used as u64),
        count(outcome.people as u64),
        day(outcome),
    )
}

/// The day of the evaluation.
pub(super) fn day(outcome: &Outcome) -> String {
    outcome.now.to_string().chars().take(10).collect()
}

/// The flags that let the service use it.
pub(super) fn command(outcome: &Outcome, path: &Path) -> String {
    // Without the rate, a default that is stricter than the photos support would stop the start.
    let rate = outcome.findings.recommended.map(|r| format!(" --verify-fmr {:?}", r.row.fmr));
    format!("likeness --calibration {}{}", path.display(), rate.unwrap_or_default())
}
