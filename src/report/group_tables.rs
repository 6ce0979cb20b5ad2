//! The groups on the page.

use maud::{Markup, html};

use super::content::Report;
use super::group_summary::at_threshold;
use super::groups::{MeasuredGroup, MeasuredGrouping, PhotoCounts, times};
use super::name::Name;
use super::numbers::{between, count, share};
use super::pictures;
use crate::evaluation::{GroupRate, LEAST_PAIRS, LEAST_PEOPLE, Rate};

const COLUMNS: [&str; 10] =
    ["people", "photos", "FTE", "FTA", "FMR", "CI", "ratio", "FNMR", "CI", "ratio"];

pub(super) fn groups(report: &Report) -> Markup {
    html! {
        @if !report.groupings.is_empty() {
            h2 id="groups" { "Groups of people" }
            p { "Error rates " (at_threshold(report)) "." }
            figure {
                (pictures::groups(report))
                figcaption {
                    span class="swatch impostor" {} "FMR \u{2002}"
                    span class="swatch genuine" {} "FNMR; bars are 95 % confidence intervals, dashed lines the rates of all people. "
                    "A bar without a dot ends at the upper bound of a group without errors. "
                    "Groups of fewer than " (LEAST_PEOPLE) " people with errors have no bar."
                }
            }
            @for grouping in &report.groupings { (table(report, grouping)) }
            p class="note" {
                "FMR counts impostor comparisons between two people of the group (ISO/IEC 19795-10). "
                "People of one group are usually more similar to each other than to others, so its FMR is usually above that of all people: compare groups with each other. "
                "FTE: share of photos that would be refused as references, including those without an embedding. FTA: share of photos that gave no embedding. "
                "Ratio: to the rate of all people, with its CI from the same resamples. For the highest rate to count, a group needs at least "
                (LEAST_PEOPLE) " people and errors from " (LEAST_PAIRS) " pairs of people (FMR) or people (FNMR)."
            }
        }
    }
}

fn table(report: &Report, grouping: &MeasuredGrouping) -> Markup {
    let all = report.findings.for_groups();
    html! {
        div class="scroll" {
            table {
                caption { @for verdict in grouping.verdicts() { (Name(&verdict)) " " } }
                thead {
                    tr {
                        th { (Name(&grouping.name)) }
                        @for title in COLUMNS { th class="n" { (title) } }
                    }
                }
                tbody {
                    @for group in &grouping.groups { (row(group)) }
                    tr {
                        td { "all people" }
                        (counts(PhotoCounts::of(report.photos.attempts.iter())))
                        (of_all(all.map(|all| all.fmr)))
                        (of_all(all.map(|all| all.fnmr)))
                    }
                }
            }
        }
    }
}

fn row(group: &MeasuredGroup) -> Markup {
    let rates = group.rates.as_ref();
    html! {
        tr {
            td class="name" { (Name(&group.name)) }
            (counts(group.counts))
            (measured(rates.map(|rates| &rates.fmr)))
            (measured(rates.map(|rates| &rates.fnmr)))
        }
    }
}

fn counts(counts: PhotoCounts) -> Markup {
    html! {
        td class="n" { (count(counts.people as u64)) }
        td class="n" { (count(counts.photos as u64)) }
        td class="n" { (share(counts.fte())) }
        td class="n" { (share(counts.fta())) }
    }
}

fn measured(rate: Option<&GroupRate>) -> Markup {
    html! {
        @match rate {
            None => { td class="n" { "-" } td class="n" { "not measured" } td class="n" { "-" } }
            Some(group) => {
                td class="n" { (share(group.rate.value)) }
                td class="n" {
                    @match group.interval() {
                        Some(interval) => (between(interval)),
                        None => "too few people",
                    }
                }
                td class="n" {
                    (group.ratio.map_or("-".to_owned(), times))
                    @if let Some([low, high]) = group.ratio_interval() {
                        " (" (times(low)) " to " (times(high)) ")"
                    }
                }
            }
        }
    }
}

fn of_all(rate: Option<Rate>) -> Markup {
    html! {
        @match rate {
            None => { td class="n" { "-" } td class="n" { "-" } td {} }
            Some(rate) => {
                td class="n" { (share(rate.value)) }
                td class="n" { (between(rate.interval)) }
                td {}
            }
        }
    }
}
