//! The report as one self-contained HTML page without scripts.
//!
//! Names of people and files come from the disk, so everything passes through [`escape`].

use super::content::{NamedPair, Report};
use super::numbers::{add, between, count, number_of, scores_between, share, target};
use super::pictures;
use super::recalibration::day;
use super::summary::recommendation;
use crate::comparison::Score;
use crate::evaluation::{CalibrationQuality, ErrorRateRow, LEAST_PAIRS, Operation, Rate};

/// Maximum number of photos or files listed in one table.
const NAMED: usize = 500;

impl Report {
    /// Returns the report as an HTML page.
    pub fn html(&self) -> String {
        html(self)
    }
}

fn html(report: &Report) -> String {
    let model = escape(&report.conditions.model.name);
    let style = include_str!("page.css");
    [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n".to_owned(),
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n".to_owned(),
        format!("<title>{model}, evaluation of {}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n", day(report)),
        format!("<h1>Evaluation of {model}</h1>\n"),
        lead(report),
        cards(report),
        figures(report),
        rows(report),
        calibration(report),
        pairs(report),
        failures(report),
        format!("</main>\n{}</body>\n</html>\n", footer(report)),
    ]
    .concat()
}

/// Text that may hold anything, as HTML text or attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A name must not end the line that it stands on, nor turn it round.
            c if c.is_control()
                || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') =>
            {
                escaped.push('\u{FFFD}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn lead(report: &Report) -> String {
    let failed = report.photos.failures.photos.len() as u64;
    let refused = match failed {
        0 => "every photo gave an embedding".to_owned(),
        _ => format!(
            "<a href=\"#failures\">{} gave no embedding</a>",
            number_of(failed, "photo", "photos")
        ),
    };
    format!(
        "<p class=\"lead\">{} of {}, each compared with all others: {} genuine and {} impostor comparisons; {refused}. Created on {}.</p>\n",
        number_of(report.photos.names.len() as u64, "photo", "photos"),
        number_of(report.people as u64, "person", "people"),
        count(report.genuine),
        count(report.impostor),
        day(report),
    )
}

fn cards(report: &Report) -> String {
    let mut html = String::new();
    if report.findings.recommended.is_none_or(|r| r.people_needed.is_some()) {
        let lines = recommendation(report);
        add(
            &mut html,
            format_args!("<p class=\"warning\"><strong>{}</strong></p>\n", escape(&lines[0])),
        );
    }
    html += "<div class=\"cards\">\n";
    let at = |score: f64, rate: f64| {
        let similarity = Score::new(score).similarity();
        format!("score {score:.4} (similarity {similarity:.4}), target FMR {}", target(rate))
    };
    match (&report.conditions.present, &report.findings.present) {
        (Ok(threshold), Some(operation)) => {
            let sub = at(operation.score, threshold.target);
            html += &card("now", "Current threshold of the service", &sub, operation);
        }
        (Err(reason), _) => {
            add(
                &mut html,
                format_args!(
                    "<section class=\"card now\"><h2>The service has no threshold</h2><p class=\"sub\">{}</p></section>\n",
                    escape(reason)
                ),
            );
        }
        (Ok(_), None) => {}
    }
    if let (Some(recommended), Some(operation)) =
        (&report.findings.recommended, &report.findings.at_recommended)
    {
        let title = match recommended.people_needed {
            None => "Recommended threshold for the target FMR",
            Some(_) => "Strictest threshold that the photos support",
        };
        html += &card("recommended", title, &at(operation.score, recommended.row.fmr), operation);
    }
    html += "</div>\n";
    if let Some([fmr, fnmr]) = report.findings.held_out {
        add(
            &mut html,
            format_args!(
                "<p class=\"note\">Held out: threshold set on one half of the people and measured on the other, mean of both directions: FMR {}, FNMR {}.</p>\n",
                share(fmr),
                share(fnmr)
            ),
        );
    }
    html
}

fn card(class: &str, title: &str, sub: &str, operation: &Operation) -> String {
    let Operation { fmr, fnmr, .. } = operation;
    let interval = |rate: &Rate| match rate.errors {
        0 => format!("no errors observed; upper bound {}", share(rate.interval[1])),
        _ => format!("95 % CI {}", between(rate.interval)),
    };
    let one_in = if fmr.value > 0.0 && fmr.value < 0.01 {
        format!("1 in {}; ", count(two_digits(1.0 / fmr.value)))
    } else {
        String::new()
    };
    format!(
        "<section class=\"card {class}\"><h2>{title}</h2><p class=\"sub\">{sub}</p><dl>\
         <dt>False match rate (FMR)</dt><dd class=\"value\">{}</dd><dd class=\"detail\">{}{}<br>{} from {}</dd>\
         <dt>False non-match rate (FNMR)</dt><dd class=\"value\">{}</dd><dd class=\"detail\">{}<br>{} from {}</dd>\
         </dl></section>\n",
        share(fmr.value),
        one_in,
        interval(fmr),
        number_of(fmr.errors, "false match", "false matches"),
        number_of(fmr.behind, "pair of people", "pairs of people"),
        share(fnmr.value),
        interval(fnmr),
        number_of(fnmr.errors, "false non-match", "false non-matches"),
        number_of(fnmr.behind, "person", "people"),
    )
}

/// Two significant digits.
fn two_digits(value: f64) -> u64 {
    format!("{value:.1e}").parse().map_or(0, |rounded: f64| rounded as u64)
}

fn figures(report: &Report) -> String {
    let dashes = match pictures::counted_from(report) {
        Some(rate) => format!(
            "The curve is dotted below about FMR {rate}, where the false matches come from fewer than {LEAST_PAIRS} pairs of people."
        ),
        None => format!(
            "The whole curve is dotted: the false matches come from fewer than {LEAST_PAIRS} pairs of people everywhere."
        ),
    };
    let equal = match report.findings.equal_error_rate {
        Some(rate) => format!(" The equal error rate (EER) is {}.", share(rate)),
        None => String::new(),
    };
    format!(
        "<h2>Detection error tradeoff (DET)</h2>\n<figure>{}<figcaption>A higher threshold lowers the FMR and raises the FNMR; a lower curve is better. \
         The axes are normal deviates, the band is the 95 % confidence interval. {dashes}{equal}</figcaption></figure>\n\
         <h2>Score distributions</h2>\n<figure>{}<figcaption><span class=\"swatch genuine\"></span>genuine: two photos of one person \
         &ensp;<span class=\"swatch impostor\"></span>impostor: photos of two people. Both distributions have the same area. The similarity is below each score.</figcaption></figure>\n",
        pictures::tradeoff(report),
        pictures::histogram(report),
    )
}

fn rows(report: &Report) -> String {
    let chosen = report.findings.recommended.map(|recommended| recommended.row.fmr);
    let row = |row: &ErrorRateRow| {
        let class = match row.counts() {
            false => " class=\"uncounted\"",
            true if Some(row.fmr) == chosen => " class=\"chosen\"",
            true => "",
        };
        let verdict = if row.counts() { "" } else { ": too few" };
        format!(
            "<tr{class}><td>{}</td><td class=\"n\">{:.3}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}{verdict}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
            target(row.fmr),
            row.score,
            scores_between(row.interval),
            count(row.errors),
            count(row.pairs),
            share(row.fnmr.value),
            between(row.fnmr.interval),
        )
    };
    let rows: String = report.findings.rows.iter().map(row).collect();
    format!(
        "<h2>Thresholds</h2>\n<div class=\"scroll\"><table><caption>The lowest score whose FMR is at most that of the row. The photos support a row if its false matches come from at least {LEAST_PAIRS} pairs of people: \
         with fewer, a single pair of look-alikes changes the rate noticeably. CI: 95 % confidence interval.</caption>\n\
         <thead><tr><th>FMR</th><th class=\"n\">score</th><th class=\"n\">CI</th><th class=\"n\">false matches</th><th class=\"n\">pairs of people</th><th class=\"n\">FNMR</th><th class=\"n\">CI</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn calibration(report: &Report) -> String {
    let line = |name: &str, quality: &CalibrationQuality| {
        format!(
            "<tr><td>{name}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td></tr>\n",
            quality.error, quality.cllr, quality.min_cllr
        )
    };
    let mut lines = line("current", &report.findings.calibration);
    if let Some((_, Some(fitted))) = &report.findings.fitted {
        lines += &line("fitted to one half of the people, measured on the other", fitted);
    }
    format!(
        "<h2>Calibration</h2>\n<figure class=\"square\">{}<figcaption>Share of genuine comparisons by similarity, at even prior odds. \
         On the dashed diagonal, nine of ten comparisons with similarity 0.9 are genuine. Bars are 95 % confidence intervals.</figcaption></figure>\n\
         <div class=\"scroll\"><table><caption>Calibration error: the mean difference between the similarity and the share of genuine comparisons. Cllr: the cost of the log-likelihood ratios in bits; 0 is perfect, 1 is no better than chance. Minimum Cllr: the cost after the best possible calibration.</caption>\n\
         <thead><tr><th>calibration</th><th class=\"n\">calibration error</th><th class=\"n\">Cllr</th><th class=\"n\">minimum Cllr</th></tr></thead>\n<tbody>{lines}</tbody></table></div>\n",
        pictures::reliability(report),
    )
}

fn pairs(report: &Report) -> String {
    let table = |title: &str, text: &str, wrong: &str, pairs: &[NamedPair]| {
        let row = |pair: &NamedPair| {
            format!(
                "<tr><td class=\"n\">{:.2}</td><td class=\"n\">{:.4}</td><td class=\"name\">{}</td><td class=\"name\">{}</td><td class=\"n\">{} of {}</td></tr>\n",
                pair.score,
                Score::new(pair.score).similarity(),
                escape(&pair.photos[0]),
                escape(&pair.photos[1]),
                count(pair.errors),
                count(pair.comparisons)
            )
        };
        let rows: String = pairs.iter().map(row).collect();
        format!(
            "<h2>{title}</h2>\n<div class=\"scroll\"><table><caption>{text}</caption>\n<thead><tr><th class=\"n\">score</th><th class=\"n\">similarity</th><th>photo</th><th>photo</th><th class=\"n\">{wrong}</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
        )
    };
    table(
        "Highest impostor scores",
        "Check these first: one person under two names, a photo in the wrong folder, or look-alikes. Each pair of people is listed once, with its most similar photos.",
        "false matches",
        &report.lookalikes,
    ) + &table(
        "Lowest genuine scores",
        "A photo in the wrong folder, or one of insufficient quality. Each person is listed once, with their least similar photos.",
        "false non-matches",
        &report.strangers,
    )
}

fn failures(report: &Report) -> String {
    let failed = &report.photos.failures;
    let mut html = String::from(
        "<h2 id=\"failures\">Photos that gave no embedding (failure to acquire, FTA)</h2>\n",
    );
    if failed.photos.is_empty() {
        html += "<p>None.</p>\n";
    } else {
        let counts = failed.counts.iter().map(|(kind, n)| {
            let of_all = share(*n as f64 / report.photos.found() as f64);
            format!(
                "<tr><td>{kind}</td><td class=\"n\">{}</td><td class=\"n\">{of_all}</td></tr>\n",
                count(*n as u64)
            )
        });
        add(
            &mut html,
            format_args!(
                "<table><thead><tr><th>reason</th><th class=\"n\">photos</th><th class=\"n\">share of all photos</th></tr></thead>\n<tbody>\n{}</tbody></table>\n",
                counts.collect::<String>()
            ),
        );
        let rows = failed.photos.iter().take(NAMED).map(|(photo, reason)| {
            format!(
                "<tr><td class=\"name\">{}</td><td>{}</td></tr>\n",
                escape(photo),
                escape(reason)
            )
        });
        add(
            &mut html,
            format_args!(
                "<div class=\"scroll\"><table><thead><tr><th>photo</th><th>reason</th></tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
                rows.collect::<String>()
            ),
        );
        html += &more(failed.photos.len());
    }
    if !report.photos.skipped.is_empty() {
        html += "<h2>Skipped files</h2>\n<p>These files have no photo extension and were not read.</p>\n<ul>\n";
        for path in report.photos.skipped.iter().take(NAMED) {
            add(&mut html, format_args!("<li><code>{}</code></li>\n", escape(path)));
        }
        html += "</ul>\n";
        html += &more(report.photos.skipped.len());
    }
    html
}

fn more(all: usize) -> String {
    match all.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("<p class=\"note\">and {} more</p>\n", count(more as u64)),
    }
}

fn footer(report: &Report) -> String {
    format!(
        "<footer><p>Encoder {}, SHA-256 <code>{}</code>; likeness {}, {}.</p>\
         <p>Genuine: two photos of one person. Impostor: photos of two people. Confidence intervals come from 500 bootstrap resamples of the people, each with all comparisons of the people drawn. \
         If no error was observed, the upper bound is 3/n, where n is the number of pairs of people (FMR) or of people (FNMR): the rule of three. Error rates hold only for photos and people like these. \
         This page contains names of people and files: treat it as personal data. It contains no photos and no embeddings.</p></footer>\n",
        escape(&report.conditions.model.name),
        report.conditions.model.id,
        env!("CARGO_PKG_VERSION"),
        day(report),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_whatever_it_holds() {
        let hostile = "<script>alert('1')</script>&\"\n\u{202E}gpj";
        let escaped = escape(hostile);
        assert_eq!(
            escaped,
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\u{FFFD}\u{FFFD}gpj"
        );
    }

    #[test]
    fn more_than_a_table_holds_is_counted() {
        assert_eq!(more(NAMED), "");
        assert!(more(NAMED + 1234).contains("and 1,234 more"));
    }
}
