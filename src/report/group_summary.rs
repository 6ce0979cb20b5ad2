//! The groups in the summary on the terminal.

use super::content::Report;
use super::groups::{PhotoCounts, times};
use super::numbers::{add_line, between, count, share};
use crate::evaluation::{GroupRate, Rate};

pub(super) fn groups(text: &mut String, report: &Report) {
    if report.groupings.is_empty() {
        return;
    }
    add_line(text, format_args!("Groups {}", at_threshold(report)));
    for grouping in &report.groupings {
        header(text, &grouping.name);
        for group in &grouping.groups {
            let rates = group.rates.as_ref();
            let [fmr, fnmr] =
                [rates.map(|rates| &rates.fmr), rates.map(|rates| &rates.fnmr)].map(measured);
            row(text, &group.name, group.counts, [fmr, fnmr]);
        }
        let all = report.findings.for_groups();
        let rate = |rate: Option<Rate>| [rate.map_or("-".to_owned(), of_all), String::new()];
        let rates = [rate(all.map(|all| all.fmr)), rate(all.map(|all| all.fnmr))];
        row(text, "all people", PhotoCounts::of(report.photos.attempts.iter()), rates);
        for verdict in grouping.verdicts() {
            add_line(text, format_args!("  {verdict}"));
        }
        add_line(text, format_args!(""));
    }
}

/// Describes the threshold and the comparisons of the groups.
pub(super) fn at_threshold(report: &Report) -> String {
    let threshold = match report.findings.for_groups() {
        None => "without a threshold".to_owned(),
        Some(operation) => {
            let which = if report.findings.present.is_some() { "current" } else { "recommended" };
            format!("at the {which} threshold, score {:.4}", operation.score)
        }
    };
    format!("{threshold} (impostor comparisons within the group; ratio to all people)")
}

fn header(text: &mut String, name: &str) {
    add_line(
        text,
        format_args!(
            "  {name:<16} people  photos      FTE      FTA  {:<27} {:>5}  {:<27} {:>5}",
            "FMR (95 % CI)", "ratio", "FNMR (95 % CI)", "ratio"
        ),
    );
}

fn row(text: &mut String, name: &str, counts: PhotoCounts, [fmr, fnmr]: [[String; 2]; 2]) {
    let line = format!(
        "  {name:<16} {:>6}  {:>6}  {:>7}  {:>7}  {:<27} {:>5}  {:<27} {:>5}",
        count(counts.people as u64),
        count(counts.photos as u64),
        share(counts.fte()),
        share(counts.fta()),
        fmr[0],
        fmr[1],
        fnmr[0],
        fnmr[1]
    );
    add_line(text, format_args!("{}", line.trim_end()));
}

/// Formats an error rate and its ratio to that of all people.
fn measured(rate: Option<&GroupRate>) -> [String; 2] {
    let Some(group) = rate else { return ["-".to_owned(), "-".to_owned()] };
    let interval = group.interval().map_or("too few people".to_owned(), between);
    let ratio = group.ratio.map_or("-".to_owned(), times);
    [format!("{} ({interval})", share(group.rate.value)), ratio]
}

fn of_all(rate: Rate) -> String {
    format!("{} ({})", share(rate.value), between(rate.interval))
}
