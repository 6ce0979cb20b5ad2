//! The summary on the terminal.

use super::content::{NamedPair, Report};
use super::group_summary;
use super::numbers::{add_line, between, count, number_of, rate, scores_between, share, target};
use crate::evaluation::{CalibrationQuality, LEAST_PAIRS, Operation};

/// Maximum number of pairs and of files listed on the terminal; the report lists more.
const NAMED: usize = 5;

impl Report {
    /// Returns the summary, for the terminal.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        photos(&mut text, self);
        add_line(&mut text, format_args!(""));
        thresholds(&mut text, self);
        add_line(&mut text, format_args!(""));
        rows(&mut text, self);
        add_line(&mut text, format_args!(""));
        calibration(&mut text, self);
        add_line(&mut text, format_args!(""));
        group_summary::groups(&mut text, self);
        pairs(
            &mut text,
            "Highest impostor scores (look-alikes or labeling errors)",
            &self.lookalikes,
        );
        pairs(
            &mut text,
            "Lowest genuine scores (labeling errors or insufficient quality)",
            &self.strangers,
        );
        text
    }
}

fn photos(text: &mut String, report: &Report) {
    add_line(
        text,
        format_args!(
            "{} of {}; {} genuine and {} impostor comparisons with {}",
            number_of(report.photos.names.len() as u64, "photo", "photos"),
            number_of(report.people as u64, "person", "people"),
            count(report.genuine),
            count(report.impostor),
            report.conditions.model.name
        ),
    );
    if !report.photos.failures.photos.is_empty() {
        add_line(
            text,
            format_args!(
                "{} of {} photos gave no embedding (failure to acquire, FTA {}):",
                count(report.photos.failures.photos.len() as u64),
                count(report.photos.found() as u64),
                share(report.photos.failures.photos.len() as f64 / report.photos.found() as f64)
            ),
        );
    }
    for (reason, n) in &report.photos.failures.counts {
        add_line(text, format_args!("  {n:>6}  {reason}"));
    }
    if report.photos.refused() > 0 {
        add_line(
            text,
            format_args!(
                "{} of {} photos would be refused as references (failure to enroll, FTE {}):",
                count(report.photos.refused() as u64),
                count(report.photos.found() as u64),
                share(report.photos.refused() as f64 / report.photos.found() as f64)
            ),
        );
    }
    for (reason, n) in failure_to_enroll(report) {
        add_line(text, format_args!("  {n:>6}  {reason}"));
    }
    if !report.photos.skipped.is_empty() {
        add_line(
            text,
            format_args!(
                "{} skipped (no photo extension):",
                number_of(report.photos.skipped.len() as u64, "file", "files")
            ),
        );
    }
    for path in report.photos.skipped.iter().take(NAMED) {
        add_line(text, format_args!("  {path}"));
    }
    if report.photos.skipped.len() > NAMED {
        add_line(
            text,
            format_args!(
                "  and {} more, listed in the report",
                report.photos.skipped.len() - NAMED
            ),
        );
    }
}

/// Returns the reasons why photos would be refused as references, with their numbers of photos.
pub(super) fn failure_to_enroll(report: &Report) -> Vec<(&'static str, usize)> {
    let failed = report.photos.failures.photos.len();
    let failed = (failed > 0).then_some(("no embedding", failed));
    failed.into_iter().chain(report.photos.defects.iter().map(|(code, n)| (*code, *n))).collect()
}

fn thresholds(text: &mut String, report: &Report) {
    match &report.conditions.present {
        Ok(threshold) => {
            add_line(
                text,
                format_args!(
                    "Current threshold of the service: score {:.4}, target FMR {}",
                    threshold.score.value(),
                    target(threshold.target)
                ),
            );
            operation(text, report.findings.present.as_ref());
        }
        Err(reason) => add_line(text, format_args!("The service has no threshold: {reason}")),
    }
    add_line(text, format_args!(""));
    for line in recommendation(report) {
        add_line(text, format_args!("{line}"));
    }
    operation(text, report.findings.at_recommended.as_ref());
    if let Some([fmr, fnmr]) = report.findings.held_out {
        add_line(
            text,
            format_args!(
                "  held out (threshold set on half of the people, measured on the other half): FMR {}, FNMR {}",
                share(fmr),
                share(fnmr)
            ),
        );
    }
}

/// The recommended threshold, and whether the photos support the target FMR.
pub(super) fn recommendation(report: &Report) -> Vec<String> {
    let Some(recommended) = &report.findings.recommended else {
        return vec![format!(
            "These photos support no threshold for FMR {} or above: the false matches come from fewer than {LEAST_PAIRS} pairs of people.",
            target(report.conditions.target)
        )];
    };
    let row = recommended.row;
    let supported = format!(
        "Recommended threshold for FMR {}: score {:.4} (95 % CI {})",
        target(row.fmr),
        row.score,
        scores_between(row.interval)
    );
    let Some(needed) = recommended.people_needed else { return vec![supported] };
    vec![
        format!(
            "These photos do not support FMR {}: its false matches come from fewer than {LEAST_PAIRS} pairs of people. \
             About {} people with as many photos each would support it.",
            target(recommended.target),
            count(needed)
        ),
        supported.replace("Recommended threshold for", "Strictest supported threshold,"),
    ]
}

fn operation(text: &mut String, operation: Option<&Operation>) {
    let Some(Operation { fmr, fnmr, .. }) = operation else { return };
    add_line(
        text,
        format_args!(
            "  FMR   {}: {} from {}",
            rate(fmr),
            number_of(fmr.errors, "false match", "false matches"),
            number_of(fmr.behind, "pair of people", "pairs of people")
        ),
    );
    add_line(
        text,
        format_args!(
            "  FNMR  {}: {} from {}",
            rate(fnmr),
            number_of(fnmr.errors, "false non-match", "false non-matches"),
            number_of(fnmr.behind, "person", "people")
        ),
    );
}

fn rows(text: &mut String, report: &Report) {
    add_line(text, format_args!("     FMR    score  95 % CI           pairs of people  FNMR"));
    for row in &report.findings.rows {
        add_line(
            text,
            format_args!(
                "{:>8}  {:>7.3}  {:<16}  {:>15}  {}{}",
                target(row.fmr),
                row.score,
                scores_between(row.interval),
                count(row.pairs),
                share(row.fnmr.value),
                if row.counts() {
                    format!(" ({})", between(row.fnmr.interval))
                } else {
                    "  not supported".to_owned()
                }
            ),
        );
    }
}

fn calibration(text: &mut String, report: &Report) {
    let quality = |quality: &CalibrationQuality| {
        format!(
            "calibration error {:.3}, Cllr {:.3}, minimum Cllr {:.3}",
            quality.error, quality.cllr, quality.min_cllr
        )
    };
    if let Some(eer) = report.findings.equal_error_rate {
        add_line(text, format_args!("Equal error rate (EER): {}", share(eer)));
    }
    add_line(text, format_args!("Current calibration: {}", quality(&report.findings.calibration)));
    if let Some((_, Some(fitted))) = &report.findings.fitted {
        add_line(
            text,
            format_args!(
                "Recalibrated on half of the people, measured on the other half: {}",
                quality(fitted)
            ),
        );
    }
}

fn pairs(text: &mut String, title: &str, pairs: &[NamedPair]) {
    add_line(text, format_args!("{title}"));
    for pair in pairs.iter().take(NAMED) {
        add_line(
            text,
            format_args!("  {:>7.2}  {}  {}", pair.score, pair.photos[0], pair.photos[1]),
        );
    }
}
