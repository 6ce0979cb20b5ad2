//! The calibration fitted to the photos, composed with the calibration of the scores.

use std::path::Path;

use super::content::Report;
use super::numbers::count;
use crate::comparison::{Calibration, ErrorRate, ErrorRates};
use crate::engine::Recalibration;
use crate::evaluation::ErrorRateRow;

impl Report {
    /// Returns the calibration and the supported thresholds; `None` if the photos support none.
    pub fn recalibration(&self) -> Option<Recalibration> {
        let old = &self.conditions.calibration;
        let fitted = self.findings.fitted.as_ref();
        let (scale, offset) = fitted.map_or((1.0, 0.0), |(line, _)| (line.scale, line.offset));
        let exact = old.then(scale, offset)?;
        let calibration = Calibration::new(digits(exact.scale()), digits(exact.offset()))?;
        // Converted through the uncalibrated measure, so that rounding moves no threshold.
        let score = |old_score: f64| {
            let measured = (old_score + old.offset()) / old.scale();
            calibration.scale() * measured - calibration.offset()
        };
        let mut rows: Vec<ErrorRate> = Vec::new();
        let counting = self.findings.rows.iter().filter(|row| row.counts());
        for row in counting.rev().map(|row| error_rate(row, score)) {
            // Of rates with the same score, only the strictest is kept.
            if rows.last().is_none_or(|stricter| row.score < stricter.score) {
                rows.push(row);
            }
        }
        rows.reverse();
        let error_rates = ErrorRates::new(rows).ok()?;
        Some(Recalibration { model: self.conditions.model.id, calibration, error_rates })
    }

    /// Returns the comment at the top of a calibration file.
    pub fn recalibration_comment(&self) -> String {
        format!(
            "Calibration of the encoder {} on {} photos of {} people.\nWritten by likeness evaluate on {}.",
            self.conditions.model.name,
            count(self.photos.names.len() as u64),
            count(self.people as u64),
            day(self),
        )
    }

    /// Returns the command that serves with the calibration at `path`.
    pub fn serve_command(&self, path: &Path) -> String {
        // The default FMR may be stricter than the photos support; the service would not start.
        let rate = self.findings.recommended.map(|r| format!(" --verify-fmr {:?}", r.row.fmr));
        format!("likeness --calibration {}{}", path.display(), rate.unwrap_or_default())
    }
}

/// Rounds a row to four decimals: the score up, the interval outwards.
fn error_rate(row: &ErrorRateRow, score: impl Fn(f64) -> f64) -> ErrorRate {
    let up = |value: f64| (value * 1e4).ceil() / 1e4;
    let down = |value: f64| (value * 1e4).floor() / 1e4;
    let [low, high] = row.interval.map(&score);
    ErrorRate {
        interval: Some([down(low), up(high)]),
        pairs: Some(row.pairs),
        ..ErrorRate::new(row.fmr, up(score(row.score)))
    }
}

/// Rounds to six significant digits.
fn digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Returns the date of the evaluation.
pub(super) fn day(report: &Report) -> String {
    report.conditions.now.to_string().chars().take(10).collect()
}
