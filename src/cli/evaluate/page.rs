//! The report: one HTML page that needs nothing from anywhere and holds no script.
//!
//! Names of people and files come from the disk, so everything passes through [`escape`].

use super::outcome::{NamedPair, Outcome};
use super::pictures;
use super::recalibration::day;
use super::summary::recommendation;
use super::words::{add, between, count, number_of, scores_between, share, target};
use crate::comparison::Score;
use crate::evaluation::{CalibrationQuality, ErrorRateRow, LEAST_PAIRS, Operation, Rate};

/// Photos and files that are named in one table, at most.
const NAMED: usize = 500;

/// The whole page.
pub(super) fn html(outcome: &Outcome) -> String {
    let model = escape(&outcome.model.name);
    let style = include_str!("page.css");
    [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n".to_owned(),
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n".to_owned(),
        format!("<title>{model}, evaluated {}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n", day(outcome)),
        format!("<h1>What your photos say about {model}</h1>\n"),
        lead(outcome),
        cards(outcome),
        figures(outcome),
        rows(outcome),
        calibration(outcome),
        pairs(outcome),
        failures(outcome),
        format!("</main>\n{}</body>\n</html>\n", footer(outcome)),
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

fn lead(outcome: &Outcome) -> String {
    let failed = outcome.failures.photos.len() as u64;
    let refused = match failed {
        0 => "every photo could be used".to_owned(),
        _ => format!(
            "<a href=\"#failures\">{} could not be used</a>",
            number_of(failed, "photo", "photos")
        ),
    };
    format!(
        "<p class=\"lead\">{} of {}, each compared with every other: {} genuine and {} impostor comparisons; {refused}. Made on {}.</p>\n",
        number_of(outcome.photos_used as u64, "photo", "photos"),
        number_of(outcome.people as u64, "person", "people"),
        count(outcome.genuine),
        count(outcome.impostor),
        day(outcome),
    )
}

fn cards(outcome: &Outcome) -> String {
    let mut html = String::new();
    if outcome.findings.recommended.is_none_or(|r| r.people_needed.is_some()) {
        let lines = recommendation(outcome);
        add(
            &mut html,
            format_args!("<p class=\"warning\"><strong>{}</strong></p>\n", escape(&lines[0])),
        );
    }
    html += "<div class=\"cards\">\n";
    let at = |score: f64, rate: f64| {
        let similarity = Score::new(score).similarity();
        format!("score {score:.4} (similarity {similarity:.4}), meant for FMR {}", target(rate))
    };
    match (&outcome.present, &outcome.findings.present) {
        (Ok(threshold), Some(operation)) => {
            let sub = at(operation.score, threshold.target);
            html += &card("now", "At the threshold that the service uses now", &sub, operation);
        }
        (Err(reason), _) => {
            add(
                &mut html,
                format_args!(
                    "<section class=\"card now\"><h2>The service has no threshold now</h2><p class=\"sub\">{}</p></section>\n",
                    escape(reason)
                ),
            );
        }
        (Ok(_), None) => {}
    }
    if let (Some(recommended), Some(operation)) =
        (&outcome.findings.recommended, &outcome.findings.at_recommended)
    {
        let title = match recommended.people_needed {
            None => "At the threshold recommended for your target",
            Some(_) => "At the strictest threshold that the photos support",
        };
        html += &card("recommended", title, &at(operation.score, recommended.row.fmr), operation);
    }
    html += "</div>\n";
    if let Some([fmr, fnmr]) = outcome.findings.held_out {
        add(
            &mut html,
            format_args!(
                "<p class=\"note\">A threshold chosen on half of the people and judged on the other half, both ways round: FMR {}, FNMR {}.</p>\n",
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
        0 => format!("no error seen; at most {}", share(rate.interval[1])),
        _ => format!("95 %: {}", between(rate.interval)),
    };
    let one_in = if fmr.value > 0.0 && fmr.value < 0.01 {
        format!("1 in {}; ", count(two_digits(1.0 / fmr.value)))
    } else {
        String::new()
    };
    format!(
        "<section class=\"card {class}\"><h2>{title}</h2><p class=\"sub\">{sub}</p><dl>\
         <dt>False matches (FMR)</dt><dd class=\"value\">{}</dd><dd class=\"detail\">{}{}<br>{} among {}</dd>\
         <dt>Missed matches (FNMR)</dt><dd class=\"value\">{}</dd><dd class=\"detail\">{}<br>{} of {}</dd>\
         </dl></section>\n",
        share(fmr.value),
        one_in,
        interval(fmr),
        number_of(fmr.errors, "false match", "false matches"),
        number_of(fmr.behind, "pair of people", "pairs of people"),
        share(fnmr.value),
        interval(fnmr),
        number_of(fnmr.errors, "missed match", "missed matches"),
        number_of(fnmr.behind, "person", "people"),
    )
}

/// Two significant digits.
fn two_digits(value: f64) -> u64 {
    format!("{value:.1e}").parse().map_or(0, |rounded: f64| rounded as u64)
}

fn figures(outcome: &Outcome) -> String {
    let dashes = match pictures::counted_from(outcome) {
        Some(rate) => format!(
            "Left of about FMR {rate} it is dotted: fewer than {LEAST_PAIRS} different pairs of people stand behind those false matches."
        ),
        None => format!(
            "All of it is dotted: nowhere do {LEAST_PAIRS} different pairs of people stand behind the false matches."
        ),
    };
    let equal = match outcome.findings.equal_error_rate {
        Some(rate) => format!(" Both rates are the same at {}.", share(rate)),
        None => String::new(),
    };
    format!(
        "<h2>What strictness costs</h2>\n<figure>{}<figcaption>Each threshold trades strangers who match against colleagues who are missed; lower is better. \
         The axes are normal deviates, the band holds the truth with 95 %. {dashes}{equal}</figcaption></figure>\n\
         <h2>Where the scores lie</h2>\n<figure>{}<figcaption><span class=\"swatch genuine\"></span>two photos of one person \
         &ensp;<span class=\"swatch impostor\"></span>photos of two people. Each kind adds up to the same area. Below each score stands its similarity.</figcaption></figure>\n",
        pictures::tradeoff(outcome),
        pictures::histogram(outcome),
    )
}

fn rows(outcome: &Outcome) -> String {
    let chosen = outcome.findings.recommended.map(|recommended| recommended.row.fmr);
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
    let rows: String = outcome.findings.rows.iter().map(row).collect();
    format!(
        "<h2>Thresholds</h2>\n<div class=\"scroll\"><table><caption>The lowest score whose FMR is at most that of the row. A row counts where at least {LEAST_PAIRS} different pairs of people stand behind its false matches: \
         with fewer, one pair of look-alikes more or less moves it. Intervals are 95 %.</caption>\n\
         <thead><tr><th>FMR</th><th class=\"n\">score</th><th class=\"n\">interval</th><th class=\"n\">false matches</th><th class=\"n\">pairs of people</th><th class=\"n\">FNMR</th><th class=\"n\">interval</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn calibration(outcome: &Outcome) -> String {
    let line = |name: &str, quality: &CalibrationQuality| {
        format!(
            "<tr><td>{name}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td></tr>\n",
            quality.error, quality.cllr, quality.min_cllr
        )
    };
    let mut lines = line("as the service gives them now", &outcome.findings.calibration);
    if let Some((_, Some(fitted))) = &outcome.findings.fitted {
        lines += &line("calibrated on half of the people, judged on the other half", fitted);
    }
    format!(
        "<h2>Whether a similarity means what it says</h2>\n<figure class=\"square\">{}<figcaption>Of the comparisons of one similarity, the share that shows the same person, were both kinds equally likely. \
         On the dashed diagonal 0.9 is right nine times in ten; bars are 95 %.</figcaption></figure>\n\
         <div class=\"scroll\"><table><caption>Calibration error: how far similarity and truth lie apart on average. Cllr: what the scores cost as log-odds, in bits; 0 is perfect, 1 says nothing; “at best” is what no calibration can repair.</caption>\n\
         <thead><tr><th>similarities</th><th class=\"n\">calibration error</th><th class=\"n\">Cllr</th><th class=\"n\">at best</th></tr></thead>\n<tbody>{lines}</tbody></table></div>\n",
        pictures::reliability(outcome),
    )
}

fn pairs(outcome: &Outcome) -> String {
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
        "Different people who look most alike",
        "Look here first: one person under two names, a photo in the wrong folder, or true doubles. Each pair of people stands once, with their most similar photos.",
        "of theirs match",
        &outcome.lookalikes,
    ) + &table(
        "Photos of one person that look least alike",
        "A photo in the wrong folder, or a poor one. Each person stands once, with their least similar photos.",
        "of theirs are missed",
        &outcome.strangers,
    )
}

fn failures(outcome: &Outcome) -> String {
    let failed = &outcome.failures;
    let mut html = String::from("<h2 id=\"failures\">Photos that could not be used</h2>\n");
    if failed.photos.is_empty() {
        html += "<p>None.</p>\n";
    } else {
        let counts = failed.counts.iter().map(|(kind, n)| {
            let of_all = share(*n as f64 / outcome.photos_found as f64);
            format!(
                "<tr><td>{kind}</td><td class=\"n\">{}</td><td class=\"n\">{of_all}</td></tr>\n",
                count(*n as u64)
            )
        });
        add(
            &mut html,
            format_args!(
                "<table><thead><tr><th>reason</th><th class=\"n\">photos</th><th class=\"n\">of all</th></tr></thead>\n<tbody>\n{}</tbody></table>\n",
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
    if !outcome.skipped.is_empty() {
        html += "<h2>Files that were skipped</h2>\n<p>Not photos by their names: they are not looked at.</p>\n<ul>\n";
        for path in outcome.skipped.iter().take(NAMED) {
            add(&mut html, format_args!("<li><code>{}</code></li>\n", escape(path)));
        }
        html += "</ul>\n";
        html += &more(outcome.skipped.len());
    }
    html
}

fn more(all: usize) -> String {
    match all.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("<p class=\"note\">and {} more</p>\n", count(more as u64)),
    }
}

fn footer(outcome: &Outcome) -> String {
    format!(
        "<footer><p>Encoder {}, SHA-256 <code>{}</code>; likeness {}, {}.</p>\
         <p>Genuine: two photos of one person. Impostor: photos of two people. Intervals come from drawing the people anew 500 times (bootstrap); an impostor comparison comes along with both its people. \
         Where no error was seen, the bound is three in as many as there are different pairs of people, or people (rule of three). Rates hold for photos and people like these, and for no others. \
         This page holds names of people and files: treat it as personal data. It holds no photo and no embedding.</p></footer>\n",
        escape(&outcome.model.name),
        outcome.model.id,
        env!("CARGO_PKG_VERSION"),
        day(outcome),
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
