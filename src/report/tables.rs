//! The tables of the page.

use maud::{Markup, html};

use super::content::{NamedPair, Report};
use super::name::Name;
use super::numbers::{between, count, number_of, scores_between, share, target};
use super::summary::failure_to_enroll;
use crate::comparison::Score;
use crate::evaluation::{CalibrationQuality, ErrorRateRow, LEAST_PAIRS};

/// Maximum number of photos or files listed in one table.
const NAMED: usize = 500;

pub(super) fn rows(report: &Report) -> Markup {
    let chosen = report.findings.recommended.map(|recommended| recommended.row.fmr);
    html! {
        h2 { "Thresholds" }
        div class="scroll" {
            table {
                caption {
                    "The lowest score whose FMR is at most that of the row. The photos support a row if its false matches come from at least "
                    (LEAST_PAIRS)
                    " pairs of people: with fewer, a single pair of look-alikes changes the rate noticeably. CI: 95 % confidence interval."
                }
                thead {
                    tr {
                        th { "FMR" }
                        @for title in
                            ["score", "CI", "false matches", "pairs of people", "FNMR", "CI"]
                        {
                            th class="n" { (title) }
                        }
                    }
                }
                tbody { @for row in &report.findings.rows { (threshold(row, chosen)) } }
            }
        }
    }
}

/// Renders one row of the thresholds; the recommended one is highlighted.
fn threshold(row: &ErrorRateRow, chosen: Option<f64>) -> Markup {
    let class = if row.counts() {
        (Some(row.fmr) == chosen).then_some("chosen")
    } else {
        Some("uncounted")
    };
    html! {
        tr class=[class] {
            td { (target(row.fmr)) }
            td class="n" { (format!("{:.3}", row.score)) }
            td class="n" { (scores_between(row.interval)) }
            td class="n" { (count(row.errors)) }
            td class="n" { (count(row.pairs)) @if !row.counts() { ": too few" } }
            td class="n" { (share(row.fnmr.value)) }
            td class="n" { (between(row.fnmr.interval)) }
        }
    }
}

pub(super) fn calibration(report: &Report) -> Markup {
    let findings = &report.findings;
    html! {
        div class="scroll" {
            table {
                caption {
                    "Calibration error: the mean difference between the similarity and the share of genuine comparisons. "
                    "Cllr: the cost of the log-likelihood ratios in bits; 0 is perfect, 1 is no better than chance. "
                    "Minimum Cllr: the cost after the best possible calibration."
                }
                thead {
                    tr {
                        th { "calibration" }
                        @for title in ["calibration error", "Cllr", "minimum Cllr"] {
                            th class="n" { (title) }
                        }
                    }
                }
                tbody {
                    (quality("current", &findings.calibration))
                    @if let Some((_, Some(fitted))) = &findings.fitted {
                        (quality("fitted to one half of the people, measured on the other", fitted))
                    }
                }
            }
        }
    }
}

fn quality(name: &str, quality: &CalibrationQuality) -> Markup {
    html! {
        tr {
            td { (name) }
            @for value in [quality.error, quality.cllr, quality.min_cllr] {
                td class="n" { (format!("{value:.4}")) }
            }
        }
    }
}

pub(super) fn pairs(report: &Report) -> Markup {
    html! {
        h2 { "Highest impostor scores" }
        (pair_table(
            "Check these first: one person under two names, a photo in the wrong folder, or look-alikes. Each pair of people is listed once, with its most similar photos.",
            "false matches",
            &report.lookalikes,
        ))
        h2 { "Lowest genuine scores" }
        (pair_table(
            "A photo in the wrong folder, or one of insufficient quality. Each person is listed once, with their least similar photos.",
            "false non-matches",
            &report.strangers,
        ))
    }
}

fn pair_table(text: &str, errors: &str, pairs: &[NamedPair]) -> Markup {
    html! {
        div class="scroll" {
            table {
                caption { (text) }
                thead {
                    tr {
                        th class="n" { "score" }
                        th class="n" { "similarity" }
                        th { "photo" }
                        th { "photo" }
                        th class="n" { (errors) }
                    }
                }
                tbody {
                    @for pair in pairs {
                        tr {
                            td class="n" { (format!("{:.2}", pair.score)) }
                            td class="n" { (format!("{:.4}", Score::new(pair.score).similarity())) }
                            @for photo in &pair.photos { td class="name" { (Name(photo)) } }
                            td class="n" { (count(pair.errors)) " of " (count(pair.comparisons)) }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn failures(report: &Report) -> Markup {
    let (failed, skipped) = (&report.photos.failures, &report.photos.skipped);
    html! {
        h2 id="failures" { "Photos that gave no embedding (failure to acquire, FTA)" }
        @if failed.photos.is_empty() {
            p { "None." }
        } @else {
            (counts_by_reason(report, failed.counts.iter().map(|(kind, n)| (*kind, *n))))
            div class="scroll" {
                table {
                    thead { tr { th { "photo" } th { "reason" } } }
                    tbody {
                        @for (photo, reason) in failed.photos.iter().take(NAMED) {
                            tr { td class="name" { (Name(photo)) } td { (Name(reason)) } }
                        }
                    }
                }
            }
            (more(failed.photos.len()))
        }
        @if report.photos.refused() > 0 {
            h2 { "Photos that would be refused as references (failure to enroll, FTE)" }
            p {
                (number_of(report.photos.refused() as u64, "photo", "photos")) " of "
                (count(report.photos.found() as u64)) " ("
                (share(report.photos.refused() as f64 / report.photos.found() as f64))
                "). A photo can have several reasons."
            }
            (counts_by_reason(report, failure_to_enroll(report)))
        }
        @if !skipped.is_empty() {
            h2 { "Skipped files" }
            p { "These files have no photo extension and were not read." }
            ul { @for path in skipped.iter().take(NAMED) { li { code { (Name(path)) } } } }
            (more(skipped.len()))
        }
    }
}

fn counts_by_reason(
    report: &Report,
    counts: impl IntoIterator<Item = (&'static str, usize)>,
) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "reason" }
                    th class="n" { "photos" }
                    th class="n" { "share of all photos" }
                }
            }
            tbody {
                @for (kind, n) in counts {
                    tr {
                        td { (kind) }
                        td class="n" { (count(n as u64)) }
                        td class="n" { (share(n as f64 / report.photos.found() as f64)) }
                    }
                }
            }
        }
    }
}

fn more(all: usize) -> Markup {
    let more = all.saturating_sub(NAMED);
    html! { @if more > 0 { p class="note" { "and " (count(more as u64)) " more" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_the_limit_are_counted() {
        assert_eq!(more(NAMED).into_string(), "");
        assert!(more(NAMED + 1234).into_string().contains("and 1,234 more"));
    }
}
