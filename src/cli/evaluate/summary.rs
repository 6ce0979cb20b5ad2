//! What the terminal shows.

use super::outcome::{NamedPair, Outcome};
use super::say;
use super::words::{between, count, number_of, rate, scores_between, share, target};
use crate::evaluation::{CalibrationQuality, LEAST_PAIRS, Operation};

/// Pairs and files that the terminal names, at most; the report has more.
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
    pairs("Most similar photos of different people (doubles? mislabelled?)", &outcome.lookalikes);
    pairs("Least similar photos of one person (mislabelled?)", &outcome.strangers);
}

fn photos(outcome: &Outcome) {
    say(&format!(
        "{} of {}; {} genuine and {} impostor comparisons by {}",
        number_of(outcome.photos_used as u64, "photo", "photos"),
        number_of(outcome.people as u64, "person", "people"),
        count(outcome.genuine),
        count(outcome.impostor),
        outcome.model.name
    ));
    if !outcome.failures.photos.is_empty() {
        say(&format!(
            "{} of {} photos could not be used ({}):",
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
            "{} skipped, no photos by their names:",
            number_of(outcome.skipped.len() as u64, "file", "files")
        ));
    }
    for path in outcome.skipped.iter().take(NAMED) {
        say(&format!("  {path}"));
    }
    if outcome.skipped.len() > NAMED {
        say(&format!("  and {} more, in the report", outcome.skipped.len() - NAMED));
    }
}

fn thresholds(outcome: &Outcome) {
    match &outcome.present {
        Ok(threshold) => {
            say(&format!(
                "At the threshold that the service uses now (score {:.4}, for FMR {}) your photos show",
                threshold.score.value(),
                target(threshold.target)
            ));
            operation(outcome.findings.present.as_ref());
        }
        Err(reason) => say(&format!("The service has no threshold now: {reason}")),
    }
    say("");
    for line in recommendation(outcome) {
        say(&line);
    }
    operation(outcome.findings.at_recommended.as_ref());
    if let Some([fmr, fnmr]) = outcome.findings.held_out {
        say(&format!(
            "  chosen on half of the people and judged on the other half: FMR {}, FNMR {}",
            share(fmr),
            share(fnmr)
        ));
    }
}

/// What threshold the photos recommend, and what they cannot tell.
pub(super) fn recommendation(outcome: &Outcome) -> Vec<String> {
    let Some(recommended) = &outcome.findings.recommended else {
        return vec![format!(
            "These photos support no threshold for FMR {} nor for any other: fewer than {LEAST_PAIRS} different pairs of people stand behind the false matches.",
            target(outcome.target)
        )];
    };
    let row = recommended.row;
    let supported = format!(
        "Recommended for FMR {}: score {:.4} ({} with 95 %)",
        target(row.fmr),
        row.score,
        scores_between(row.interval)
    );
    let Some(needed) = recommended.people_needed else { return vec![supported] };
    vec![
        format!(
            "FMR {} is stricter than these photos support: fewer than {LEAST_PAIRS} different pairs of people stand behind its false matches. \
             It would take about {} people with as many photos each.",
            target(recommended.target),
            count(needed)
        ),
        supported.replace("Recommended for", "The strictest that they support is"),
    ]
}

fn operation(operation: Option<&Operation>) {
    let Some(Operation { fmr, fnmr, .. }) = operation else { return };
    say(&format!(
        "  FMR   {}: {} among {}",
        rate(fmr),
        number_of(fmr.errors, "false match", "false matches"),
        number_of(fmr.behind, "pair of people", "pairs of people")
    ));
    say(&format!(
        "  FNMR  {}: {} of {}",
        rate(fnmr),
        number_of(fnmr.errors, "missed match", "missed matches"),
        number_of(fnmr.behind, "person", "people")
    ));
}

fn rows(outcome: &Outcome) {
    say("     FMR    score  95 %              pairs of people  FNMR");
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
                "  does not count".to_owned()
            }
        ));
    }
}

fn calibration(outcome: &Outcome) {
    let quality = |quality: &CalibrationQuality| {
        format!(
            "calibration error {:.3}, Cllr {:.3}, at best {:.3}",
            quality.error, quality.cllr, quality.min_cllr
        )
    };
    if let Some(eer) = outcome.findings.equal_error_rate {
        say(&format!("Equal error rate {}", share(eer)));
    }
    say(&format!("Similarities now: {}", quality(&outcome.findings.calibration)));
    if let Some((_, Some(fitted))) = &outcome.findings.fitted {
        say(&format!(
            "Calibrated on half of the people, judged on the other half: {}",
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
