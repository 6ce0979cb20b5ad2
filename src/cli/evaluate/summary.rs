//! The summary on the terminal.

use super::outcome::{NamedPair, Outcome};
use super::say;
use super::words::{between, count, number_of, rate, scores_between, share, target};
use crate::evaluation::{CalibrationQuality, LEAST_PAIRS, Operation};

/// Maximum number of pairs and of files listed on the terminal; the report lists more.
const NAMED: usize = 5;

/// Prints the summary.
pub(in crate::cli) fn print(outcome: &Outcome) {
    photos(outcome);
    say("");
    thresholds(outcome);
    say("");
    rows(outcome);
    say("");
    calibration(outcome);
    say("");
    pairs("Highest impostor scores (look-alikes or labeling errors)", &outcome.lookalikes);
    pairs("Lowest genuine scores (labeling errors or insufficient quality)", &outcome.strangers);
}

fn photos(outcome: &Outcome) {
    say(&format!(
        "{} of {}; {} genuine and {} impostor comparisons with {}",
        number_of(outcome.photos_used as u64, "photo", "photos"),
        number_of(outcome.people as u64, "person", "people"),
        count(outcome.genuine),
        count(outcome.impostor),
        outcome.model.name
    ));
    if !outcome.failures.photos.is_empty() {
        say(&format!(
            "{} of {} photos gave no embedding (failure to acquire, FTA {}):",
            count(outcome.failures.photos.len() as u64),
            count(outcome.photos_found as u64),
            share(outcome.failures.photos.len() as f64 / outcome.photos_found as f64)
        ));
    }
    for (reason, n) in &outcome.failures.counts {
        say(&format!("  {n:>6}  {reason}"));
    }
    if !outcome.skipped.is_empty() {
        say(&format!(
            "{} skipped (no photo extension):",
            number_of(outcome.skipped.len() as u64, "file", "files")
        ));
    }
    for path in outcome.skipped.iter().take(NAMED) {
        say(&format!("  {path}"));
    }
    if outcome.skipped.len() > NAMED {
        say(&format!("  and {} more, listed in the report", outcome.skipped.len() - NAMED));
    }
}

fn thresholds(outcome: &Outcome) {
    match &outcome.present {
        Ok(threshold) => {
            say(&format!(
                "Current threshold of the service: score {:.4}, target FMR {}",
                threshold.score.value(),
                target(threshold.target)
            ));
            operation(outcome.findings.present.as_ref());
        }
        Err(reason) => say(&format!("The service has no threshold: {reason}")),
    }
    say("");
    for line in recommendation(outcome) {
        say(&line);
    }
    operation(outcome.findings.at_recommended.as_ref());
    if let Some([fmr, fnmr]) = outcome.findings.held_out {
        say(&format!(
            "  held out (threshold set on half of the people, measured on the other half): FMR {}, FNMR {}",
            share(fmr),
            share(fnmr)
        ));
    }
}

/// The recommended threshold, and whether the photos support the target FMR.
pub(super) fn recommendation(outcome: &Outcome) -> Vec<String> {
    let Some(recommended) = &outcome.findings.recommended else {
        return vec![format!(
            "These photos support no threshold for FMR {} or above: the false matches come from fewer than {LEAST_PAIRS} pairs of people.",
            target(outcome.target)
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

fn operation(operation: Option<&Operation>) {
    let Some(Operation { fmr, fnmr, .. }) = operation else { return };
    say(&format!(
        "  FMR   {}: {} from {}",
        rate(fmr),
        number_of(fmr.errors, "false match", "false matches"),
        number_of(fmr.behind, "pair of people", "pairs of people")
    ));
    say(&format!(
        "  FNMR  {}: {} from {}",
        rate(fnmr),
        number_of(fnmr.errors, "false non-match", "false non-matches"),
        number_of(fnmr.behind, "person", "people")
    ));
}

fn rows(outcome: &Outcome) {
    say("     FMR    score  95 % CI           pairs of people  FNMR");
    for row in &outcome.findings.rows {
        say(&format!(
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
        ));
    }
}

fn calibration(outcome: &Outcome) {
    let quality = |quality: &CalibrationQuality| {
        format!(
            "calibration error {:.3}, Cllr {:.3}, minimum Cllr {:.3}",
            quality.error, quality.cllr, quality.min_cllr
        )
    };
    if let Some(eer) = outcome.findings.equal_error_rate {
        say(&format!("Equal error rate (EER): {}", share(eer)));
    }
    say(&format!("Current calibration: {}", quality(&outcome.findings.calibration)));
    if let Some((_, Some(fitted))) = &outcome.findings.fitted {
        say(&format!(
            "Recalibrated on half of the people, measured on the other half: {}",
            quality(fitted)
        ));
    }
}

fn pairs(title: &str, pairs: &[NamedPair]) {
    say(title);
    for pair in pairs.iter().take(NAMED) {
        say(&format!("  {:>7.2}  {}  {}", pair.score, pair.photos[0], pair.photos[1]));
    }
}
