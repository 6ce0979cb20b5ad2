//! Numbers formatted for reading.

use std::fmt::{Arguments, Write};

use crate::evaluation::Rate;

/// Appends formatted text.
pub(super) fn add(text: &mut String, part: Arguments<'_>) {
    text.write_fmt(part).expect("writing to a String does not fail");
}

/// Appends a formatted line.
pub(super) fn add_line(text: &mut String, line: Arguments<'_>) {
    add(text, line);
    text.push('\n');
}

/// Formats a count, with commas between thousands.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let grouped = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    grouped.collect::<Vec<_>>().join(",")
}

/// Formats a share as a percentage, below 0.1 % as a power of ten.
pub(super) fn share(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        small if small < 1e-3 => format!("{small:.1e}"),
        whole if whole >= 0.9995 => format!("{:.0} %", 100.0 * whole),
        large => format!("{:.*} %", if large < 0.01 { 2 } else { 1 }, 100.0 * large),
    }
}

/// Formats a target rate: 1e-4, 0.05.
pub(super) fn target(rate: f64) -> String {
    if rate < 0.01 { format!("{rate:e}") } else { format!("{rate}") }
}

/// Formats an interval of shares.
pub(super) fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", share(low), share(high))
}

/// Formats an interval of scores.
pub(super) fn scores_between([low, high]: [f64; 2]) -> String {
    format!("{low:.2} to {high:.2}")
}

/// Formats a rate with its confidence interval, or its upper bound if no error was observed.
pub(super) fn rate(rate: &Rate) -> String {
    let up_to = if rate.errors == 0 { "no errors observed; upper bound " } else { "" };
    let interval = if rate.errors == 0 { share(rate.interval[1]) } else { between(rate.interval) };
    format!("{} ({up_to}{interval})", share(rate.value))
}

/// Formats a count with its noun, singular for 1.
pub(super) fn number_of(n: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted() {
        let counts = [0, 999, 1000, 12_428_000].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "12,428,000"]);
        let shares = [0.0, 9.23e-5, 0.004_56, 0.0456, 0.286, 1.0].map(share);
        assert_eq!(shares, ["0", "9.2e-5", "0.46 %", "4.6 %", "28.6 %", "100 %"]);
        assert_eq!([1e-4, 5e-3, 0.05].map(target), ["1e-4", "5e-3", "0.05"]);
        assert_eq!(number_of(1, "pair", "pairs"), "1 pair");
    }

    #[test]
    fn rate_without_errors_is_formatted_as_upper_bound() {
        let without =
            Rate { value: 0.0, interval: [0.0, 0.01], errors: 0, comparisons: 9, behind: 0 };
        assert_eq!(rate(&without), "0 (no errors observed; upper bound 1.0 %)");
        let with = Rate { value: 0.1, interval: [0.05, 0.2], errors: 1, ..without };
        assert_eq!(rate(&with), "10.0 % (5.0 % to 20.0 %)");
    }
}
