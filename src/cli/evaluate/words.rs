//! Numbers as people like to read them.

use std::fmt::{Arguments, Write};

use crate::evaluation::Rate;

/// Appends formatted text.
pub(super) fn add(text: &mut String, part: Arguments<'_>) {
    text.write_fmt(part).expect("a String takes whatever is written");
}

/// With a comma between thousands.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let grouped = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    grouped.collect::<Vec<_>>().join(",")
}

/// A share: in per cent down to a tenth of one, below that as a power of ten.
pub(super) fn share(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        small if small < 1e-3 => format!("{small:.1e}"),
        whole if whole >= 0.9995 => format!("{:.0} %", 100.0 * whole),
        large => format!("{:.*} %", if large < 0.01 { 2 } else { 1 }, 100.0 * large),
    }
}

/// A false match rate that was chosen: 1e-4, 0.05.
pub(super) fn target(rate: f64) -> String {
    if rate < 0.01 { format!("{rate:e}") } else { format!("{rate}") }
}

/// An interval of shares.
pub(super) fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", share(low), share(high))
}

/// An interval of scores.
pub(super) fn scores_between([low, high]: [f64; 2]) -> String {
    format!("{low:.2} to {high:.2}")
}

/// A rate and how sure it is.
pub(super) fn rate(rate: &Rate) -> String {
    let up_to = if rate.errors == 0 { "no errors observed; upper bound " } else { "" };
    let interval = if rate.errors == 0 { share(rate.interval[1]) } else { between(rate.interval) };
    format!("{} ({up_to}{interval})", share(rate.value))
}

/// `one` for 1, `several` else, with the number before it.
pub(super) fn number_of(n: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let counts = [0, 999, 1000, 12_428_000].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "12,428,000"]);
        let shares = [0.0, 9.23e-5, 0.004_56, 0.0456, 0.286, 1.0].map(share);
        assert_eq!(shares, ["0", "9.2e-5", "0.46 %", "4.6 %", "28.6 %", "100 %"]);
        assert_eq!([1e-4, 5e-3, 0.05].map(target), ["1e-4", "5e-3", "0.05"]);
        assert_eq!(number_of(1, "pair", "pairs"), "1 pair");
    }

    #[test]
    fn a_rate_without_an_error_is_only_a_bound() {
        let without =
            Rate { value: 0.0, interval: [0.0, 0.01], errors: 0, comparisons: 9, behind: 0 };
        assert_eq!(rate(&without), "0 (no errors observed; upper bound 1.0 %)");
        let with = Rate { value: 0.1, interval: [0.05, 0.2], errors: 1, ..without };
        assert_eq!(rate(&with), "10.0 % (5.0 % to 20.0 %)");
    }
}
