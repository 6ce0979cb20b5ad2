//! The report as one self-contained HTML page without scripts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::content::Report;
use super::name::Name;
use super::numbers::{between, count, number_of, share, target};
use super::recalibration::day;
use super::summary::recommendation;
use super::{group_tables, pictures, tables};
use crate::comparison::Score;
use crate::evaluation::{LEAST_PAIRS, Operation, Rate};

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl Report {
    /// Returns the report as an HTML page.
    pub fn html(&self) -> String {
        let model = Name(&self.conditions.model.name);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    title { (model) ", evaluation of " (day(self)) }
                    style { (PreEscaped(include_str!("page.css"))) }
                }
                body {
                    main {
                        h1 { "Evaluation of " (model) }
                        (lead(self))
                        (cards(self))
                        (tradeoff(self))
                        (distributions(self))
                        (tables::rows(self))
                        (group_tables::groups(self))
                        (reliability(self))
                        (tables::calibration(self))
                        (tables::pairs(self))
                        (tables::failures(self))
                    }
                    (footer(self))
                }
            }
        };
        page.into_string()
    }
}

fn lead(report: &Report) -> Markup {
    let failed = report.photos.failures.photos.len() as u64;
    html! {
        p class="lead" {
            (number_of(report.photos.names.len() as u64, "photo", "photos")) " of "
            (number_of(report.people as u64, "person", "people"))
            ", each compared with all others: "
            (count(report.genuine)) " genuine and " (count(report.impostor))
            " impostor comparisons; "
            @if failed == 0 {
                "every photo gave an embedding"
            } @else {
                a href="#failures" { (number_of(failed, "photo", "photos")) " gave no embedding" }
            }
            ". Created on " (day(report)) "."
        }
    }
}

fn cards(report: &Report) -> Markup {
    let findings = &report.findings;
    let unsupported = findings.recommended.is_none_or(|r| r.people_needed.is_some());
    html! {
        @if unsupported {
            p class="warning" { strong { (recommendation(report)[0]) } }
        }
        div class="cards" {
            @match (&report.conditions.present, &findings.present) {
                (Ok(threshold), Some(operation)) => {
                    (card("now", "Current threshold of the service", threshold.target, operation))
                }
                (Err(reason), _) => {
                    section class="card now" {
                        h2 { "The service has no threshold" }
                        p class="sub" { (Name(reason)) }
                    }
                }
                (Ok(_), None) => {}
            }
            @if let (Some(recommended), Some(operation)) =
                (&findings.recommended, &findings.at_recommended)
            {
                @let title = match recommended.people_needed {
                    None => "Recommended threshold for the target FMR",
                    Some(_) => "Strictest threshold that the photos support",
                };
                (card("recommended", title, recommended.row.fmr, operation))
            }
        }
        @if let Some([fmr, fnmr]) = findings.held_out {
            p class="note" {
                "Held out: threshold set on one half of the people and measured on the other, mean of both directions: FMR "
                (share(fmr)) ", FNMR " (share(fnmr)) "."
            }
        }
    }
}

/// Renders both error rates at one threshold.
fn card(class: &str, title: &str, rate: f64, operation: &Operation) -> Markup {
    let Operation { score, fmr, fnmr } = operation;
    let similarity = Score::new(*score).similarity();
    html! {
        section class={ "card " (class) } {
            h2 { (title) }
            p class="sub" {
                "score " (format!("{score:.4} (similarity {similarity:.4})")) ", target FMR " (target(rate))
            }
            dl {
                dt { "False match rate (FMR)" }
                dd class="value" { (share(fmr.value)) }
                dd class="detail" {
                    @if fmr.value > 0.0 && fmr.value < 0.01 {
                        "1 in " (count(two_digits(1.0 / fmr.value))) "; "
                    }
                    (interval(fmr)) br;
                    (number_of(fmr.errors, "false match", "false matches")) " from "
                    (number_of(fmr.behind, "pair of people", "pairs of people"))
                }
                dt { "False non-match rate (FNMR)" }
                dd class="value" { (share(fnmr.value)) }
                dd class="detail" {
                    (interval(fnmr)) br;
                    (number_of(fnmr.errors, "false non-match", "false non-matches")) " from "
                    (number_of(fnmr.behind, "person", "people"))
                }
            }
        }
    }
}

fn interval(rate: &Rate) -> String {
    match rate.errors {
        0 => format!("no errors observed; upper bound {}", share(rate.interval[1])),
        _ => format!("95 % CI {}", between(rate.interval)),
    }
}

/// Rounds to two significant digits.
fn two_digits(value: f64) -> u64 {
    format!("{value:.1e}").parse().map_or(0, |rounded: f64| rounded as u64)
}

fn tradeoff(report: &Report) -> Markup {
    html! {
        h2 { "Detection error tradeoff (DET)" }
        figure {
            (pictures::tradeoff(report))
            figcaption {
                "A higher threshold lowers the FMR and raises the FNMR; a lower curve is better. "
                "The axes are normal deviates, the band is the 95 % confidence interval. "
                @match pictures::counted_from(report) {
                    Some(rate) => {
                        "The curve is dotted below about FMR " (rate)
                        ", where the false matches come from fewer than " (LEAST_PAIRS)
                        " pairs of people."
                    }
                    None => {
                        "The whole curve is dotted: the false matches come from fewer than "
                        (LEAST_PAIRS) " pairs of people everywhere."
                    }
                }
                @if let Some(rate) = report.findings.equal_error_rate {
                    " The equal error rate (EER) is " (share(rate)) "."
                }
            }
        }
    }
}

fn distributions(report: &Report) -> Markup {
    html! {
        h2 { "Score distributions" }
        figure {
            (pictures::histogram(report))
            figcaption {
                span class="swatch genuine" {} "genuine: two photos of one person \u{2002}"
                span class="swatch impostor" {} "impostor: photos of two people. "
                "Both distributions have the same area. The similarity is below each score."
            }
        }
    }
}

fn reliability(report: &Report) -> Markup {
    html! {
        h2 { "Calibration" }
        figure class="square" {
            (pictures::reliability(report))
            figcaption {
                "Share of genuine comparisons by similarity, at even prior odds. "
                "On the dashed diagonal, nine of ten comparisons with similarity 0.9 are genuine. Bars are 95 % confidence intervals."
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    let model = &report.conditions.model;
    html! {
        footer {
            p {
                "Encoder " (Name(&model.name)) ", SHA-256 " code { (model.id.to_string()) }
                "; likeness " (env!("CARGO_PKG_VERSION")) ", " (day(report)) "."
            }
            p {
                "Genuine: two photos of one person. Impostor: photos of two people. "
                "Confidence intervals come from 500 bootstrap resamples of the people, each with all comparisons of the people drawn. "
                "If no error was observed, the upper bound is 3/n, where n is the number of pairs of people (FMR) or of people (FNMR): the rule of three. "
                "Error rates hold only for photos and people like these. "
                "This page contains names of people and files: treat it as personal data. It contains no photos and no embeddings."
            }
        }
    }
}
