//! The plots of the report, as SVG; the page's style sheet sets their colors.

use maud::{Markup, html};

use super::content::Report;
use super::name::Name;
use super::numbers::{add, target};
use crate::comparison::Score;
use crate::evaluation::{CurvePoint, GroupRate, GroupRates, Operation, probit};

const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 58.0;

/// One axis: its range, ticks and label.
struct Axis {
    low: f64,
    high: f64,
    /// The value of each tick, with one or two lines of text.
    ticks: Vec<(f64, [String; 2])>,
    label: &'static str,
}

/// A plot under construction.
struct Plot {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    title: &'static str,
    description: &'static str,
    marks: Vec<Markup>,
}

impl Plot {
    /// Draws ticks and labels; `title` and `description` are for screen readers.
    fn new(
        [width, height]: [f64; 2],
        x: Axis,
        y: Axis,
        title: &'static str,
        description: &'static str,
    ) -> Self {
        let mut plot = Self { width, height, x, y, title, description, marks: Vec::new() };
        let (bottom, right) = (height - BOTTOM, width - RIGHT);
        for (value, [text, below]) in std::mem::take(&mut plot.x.ticks) {
            let x = plot.across(value);
            plot.marks.push(html! {
                path class="grid" d={ "M" (px(x)) " " (TOP) "V" (bottom) } {}
                text x=(px(x)) y=(px(bottom + 16.0)) class="tick middle" { (text) }
                text x=(px(x)) y=(px(bottom + 30.0)) class="tick faint middle" { (below) }
            });
        }
        for (value, [text, _]) in std::mem::take(&mut plot.y.ticks) {
            let y = plot.up(value);
            plot.marks.push(html! {
                path class="grid" d={ "M" (LEFT) " " (px(y)) "H" (right) } {}
                text x=(px(LEFT - 8.0)) y=(px(y + 4.0)) class="tick end" { (text) }
            });
        }
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        let turned = format!("translate(14 {middle_y:.1}) rotate(-90)");
        plot.marks.push(html! {
            text x=(px(middle_x)) y=(px(height - 8.0)) class="label middle" { (plot.x.label) }
            text transform=(turned) class="label middle" { (plot.y.label) }
        });
        plot
    }

    fn across(&self, value: f64) -> f64 {
        let share = (value - self.x.low) / (self.x.high - self.x.low);
        LEFT + share.clamp(0.0, 1.0) * (self.width - LEFT - RIGHT)
    }

    fn up(&self, value: f64) -> f64 {
        let share = (value - self.y.low) / (self.y.high - self.y.low);
        self.height - BOTTOM - share.clamp(0.0, 1.0) * (self.height - TOP - BOTTOM)
    }

    /// Draws a line through points; with `closed`, the area that it encloses.
    fn line(&mut self, class: &str, points: impl IntoIterator<Item = [f64; 2]>, closed: bool) {
        let mut path = String::new();
        for [x, y] in points {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            add(&mut path, format_args!("{verb}{:.1} {:.1}", self.across(x), self.up(y)));
        }
        if !path.is_empty() {
            path += if closed { "Z" } else { "" };
            self.marks.push(html! { path class=(class) d=(path) {} });
        }
    }

    /// Draws a point with its name on the right or, near the right end, on the left.
    fn point(&mut self, class: &str, [x, y]: [f64; 2], name: &str) {
        let (x, y) = (self.across(x), self.up(y));
        let (side, text_x) =
            if x > 0.7 * self.width { ("end", x - 10.0) } else { ("start", x + 10.0) };
        self.marks.push(html! {
            circle class=(class) cx=(px(x)) cy=(px(y)) r="5" {}
            text x=(px(text_x)) y=(px(y - 8.0)) class={ "name " (side) } { (name) }
        });
    }

    fn finished(self) -> Markup {
        html! {
            svg viewBox=(format!("0 0 {} {}", self.width, self.height)) role="img" {
                title { (self.title) }
                desc { (self.description) }
                @for mark in &self.marks { (mark) }
            }
        }
    }
}

/// Formats a coordinate.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// The ticks of a normal deviate axis.
const MARKS: [(f64, &str); 13] = [
    (1e-7, "1e-7"),
    (1e-6, "1e-6"),
    (1e-5, "1e-5"),
    (1e-4, "1e-4"),
    (1e-3, "0.1 %"),
    (1e-2, "1 %"),
    (0.05, "5 %"),
    (0.1, "10 %"),
    (0.2, "20 %"),
    (0.4, "40 %"),
    (0.6, "60 %"),
    (0.8, "80 %"),
    (0.95, "95 %"),
];

/// Returns a normal deviate axis between two rates (Martin et al. 1997, "The DET curve in
/// assessment of detection task performance").
fn deviates(low: f64, high: f64, label: &'static str) -> Axis {
    let marks = MARKS.iter().filter(|(rate, _)| (low..=high).contains(rate));
    let ticks = marks.map(|&(rate, text)| (probit(rate), [text.to_owned(), String::new()]));
    Axis { low: probit(low), high: probit(high), ticks: ticks.collect(), label }
}

/// Draws the detection error tradeoff (DET) curve with its confidence band and both thresholds.
pub(super) fn tradeoff(report: &Report) -> Markup {
    let findings = &report.findings;
    let curve = &findings.curve;
    let first = curve.first().map_or(1e-3, |point| point.fmr);
    let (lowest, highest) = (1.0 / report.genuine as f64, 1.0 - 1.0 / report.genuine as f64);
    let least = curve.last().map_or(1e-3, |point| point.fnmr).min(5e-3).max(lowest) / 1.2;
    let most = curve.first().map_or(0.5, |point| point.fnmr).clamp(0.1, 0.98);
    let x = deviates(first.min(9e-4), 0.5, "false match rate (FMR)");
    let y = deviates(least, most, "false non-match rate (FNMR)");
    let mut plot = Plot::new(
        [720.0, 440.0],
        x,
        y,
        "Detection error tradeoff",
        "The false non-match rate falls as the false match rate rises; lower is better.",
    );
    let height = |fnmr: f64| probit(fnmr.clamp(lowest / 2.0, highest));
    let counting = |point: &&CurvePoint| point.counts && point.interval.is_some();
    let side = |end: usize| {
        let points = curve.iter().filter(counting);
        points.map(move |p| [probit(p.fmr), height(p.interval.unwrap_or_default()[end])])
    };
    let upper: Vec<_> = side(1).collect();
    plot.line("band", side(0).chain(upper.into_iter().rev()), true);
    let at = |point: &CurvePoint| [probit(point.fmr), height(point.fnmr)];
    let split = curve.iter().position(|point| point.counts).unwrap_or(curve.len());
    plot.line("curve unsure", curve.iter().take(split + 1).map(at), false);
    plot.line("curve", curve.iter().skip(split).map(at), false);
    let mut mark = |class: &str, operation: Option<&Operation>, name: &str| {
        if let Some(Operation { fmr, fnmr, .. }) = operation.filter(|o| o.fmr.errors > 0) {
            plot.point(class, [probit(fmr.value), height(fnmr.value)], name);
        }
    };
    let (now, recommended) = (findings.present.as_ref(), findings.at_recommended.as_ref());
    if is_one_point(now, recommended) {
        mark("now", now, "current and recommended");
    } else {
        mark("now", now, "current");
        mark("recommended", recommended, "recommended");
    }
    plot.finished()
}

/// Whether the two thresholds would be drawn at the same point.
fn is_one_point(a: Option<&Operation>, b: Option<&Operation>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a.score - b.score).abs() < 0.05)
}

const COLUMNS: usize = 96;

/// Draws the distributions of genuine and impostor scores, with both thresholds.
pub(super) fn histogram(report: &Report) -> Markup {
    let bins = report.binned.bins();
    let ends = [bins.first(), bins.last()].map(|bin| bin.map_or(0.0, |bin| bin.score));
    let [low, high] = [ends[0].floor(), ends[1].ceil().max(ends[0].floor() + 1.0)];
    let step = (high - low) / COLUMNS as f64;
    let mut columns = [[0.0_f64; 2]; COLUMNS];
    for bin in bins {
        let column = &mut columns[(((bin.score - low) / step) as usize).min(COLUMNS - 1)];
        column[0] += bin.genuine / report.genuine as f64;
        column[1] += bin.impostor / report.impostor as f64;
    }
    let tallest = columns.iter().flatten().fold(0.0_f64, |most, &share| most.max(share));
    let x = Axis {
        low,
        high,
        ticks: score_ticks(low, high),
        label: "score, with the similarity below",
    };
    let y = Axis { low: 0.0, high: tallest, ticks: Vec::new(), label: "share of comparisons" };
    let mut plot = Plot::new(
        [720.0, 360.0],
        x,
        y,
        "Score distributions",
        "Impostor scores are on the left, genuine scores on the right; errors occur where they overlap.",
    );
    for (kind, class) in [(1, "impostor"), (0, "genuine")] {
        let steps = columns.iter().enumerate().flat_map(|(at, column)| {
            let x = low + at as f64 * step;
            [[x, column[kind]], [x + step, column[kind]]]
        });
        let outline = [[low, 0.0]].into_iter().chain(steps).chain([[high, 0.0]]);
        plot.line(class, outline, true);
    }
    let now = report.findings.present.map(|o| o.score);
    let recommended = report.findings.at_recommended.map(|o| o.score);
    // Labels point away from each other: that of the higher threshold to the right.
    for (class, name, score) in
        [("now", "current", now), ("recommended", "recommended", recommended)]
    {
        if let Some(score) = score {
            let (x, bottom) = (plot.across(score), plot.up(0.0));
            let y = TOP - 8.0;
            let is_right = (class == "now") == (now > recommended);
            let (side, text_x) = if is_right { ("start", x + 4.0) } else { ("end", x - 4.0) };
            plot.marks.push(html! {
                path class={ "threshold " (class) } d={ "M" (px(x)) " " (px(TOP - 16.0)) "V" (px(bottom)) } {}
                text x=(px(text_x)) y=(px(y)) class={ "name " (side) } { (name) }
            });
        }
    }
    plot.finished()
}

/// Returns about eight round scores as ticks, with their similarities as second line.
fn score_ticks(low: f64, high: f64) -> Vec<(f64, [String; 2])> {
    let step = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
    let step = step.into_iter().find(|step| (high - low) / step <= 10.0).unwrap_or(50.0);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    let tick = |k: i64| {
        let score = k as f64 * step;
        let similarity = Score::new(score).similarity();
        let text = if (0.001..=0.999).contains(&similarity) {
            format!("{similarity:.*}", if (0.01..=0.99).contains(&similarity) { 2 } else { 3 })
        } else if similarity < 0.5 {
            "0".to_owned()
        } else {
            "1".to_owned()
        };
        (score, [format!("{score}"), text])
    };
    (first..=last).map(tick).collect()
}

/// Draws the reliability diagram: the share of genuine comparisons by similarity.
pub(super) fn reliability(report: &Report) -> Markup {
    let tick = |k: u32| {
        let value = f64::from(k) / 5.0;
        (value, [format!("{value:.1}"), String::new()])
    };
    let axis = |label| Axis { low: 0.0, high: 1.0, ticks: (0..=5).map(tick).collect(), label };
    let mut plot = Plot::new(
        [480.0, 440.0],
        axis("similarity"),
        axis("share of genuine comparisons"),
        "Reliability diagram",
        "On the diagonal, nine of ten comparisons with similarity 0.9 are genuine.",
    );
    plot.line("diagonal", [[0.0, 0.0], [1.0, 1.0]], false);
    let points = &report.findings.reliability;
    plot.line("curve", points.iter().map(|p| [p.bin.similarity, p.bin.share]), false);
    for point in points {
        let x = plot.across(point.bin.similarity);
        if let Some([low, high]) = point.interval {
            let (low, high) = (plot.up(low), plot.up(high));
            let path = format!("M{x:.1} {low:.1}V{high:.1}");
            plot.marks.push(html! { path class="whisker" d=(path) {} });
        }
        let y = plot.up(point.bin.share);
        plot.marks.push(html! { circle class="dot" cx=(px(x)) cy=(px(y)) r="4" {} });
    }
    plot.finished()
}

/// Returns the FMR below which the DET curve is dotted.
pub(super) fn counted_from(report: &Report) -> Option<String> {
    let first = report.findings.curve.iter().find(|point| point.counts)?;
    Some(target(format!("{:.0e}", first.fmr).parse().unwrap_or(first.fmr)))
}

/// Maximum number of groups drawn; the tables list all.
const GROUPS: usize = 40;

/// Height of a group in pixels.
const ROW: f64 = 40.0;

/// Draws FMR and FNMR of each group with their intervals, and the rates of all people as lines.
pub(super) fn groups(report: &Report) -> Markup {
    let groups = report.groupings.iter().flat_map(|grouping| {
        grouping.groups.iter().map(|group| (format!("{}: {}", grouping.name, group.name), group))
    });
    let groups: Vec<_> = groups.take(GROUPS).collect();
    let all = report.findings.for_groups();
    let rates: Vec<_> = groups.iter().filter_map(|(_, group)| group.rates.as_ref()).collect();
    let [low, high] = group_range(&rates, all);
    let rows = groups.len() as f64;
    let mut plot = Plot::new(
        [720.0, TOP + BOTTOM + ROW * rows],
        deviates(low, high, "error rate"),
        Axis { low: 0.0, high: rows, ticks: Vec::new(), label: "" },
        "Error rates by group",
        "The false match rate and the false non-match rate of each group with confidence intervals.",
    );
    let at = |rate: f64| probit(rate.clamp(low, high));
    let of_all = all.map(|all| [("impostor", all.fmr), ("genuine", all.fnmr)]);
    for (class, rate) in of_all.into_iter().flatten().filter(|(_, rate)| rate.value > 0.0) {
        let class = format!("{class} reference");
        plot.line(&class, [[at(rate.value), 0.0], [at(rate.value), rows]], false);
    }
    for (number, (name, group)) in groups.iter().enumerate() {
        let top = rows - number as f64;
        let y = plot.up(top) + 14.0;
        plot.marks.push(html! {
            text x=(px(LEFT + 4.0)) y=(px(y)) class="name" { (Name(name)) }
        });
        if let Some(rates) = &group.rates {
            group_bar(&mut plot, "impostor", &rates.fmr, top - 0.55, at);
            group_bar(&mut plot, "genuine", &rates.fnmr, top - 0.8, at);
        }
    }
    plot.finished()
}

/// Returns the range of the error rates of groups, for an axis.
fn group_range(groups: &[&GroupRates], all: Option<Operation>) -> [f64; 2] {
    let ends = |rate: &GroupRate| rate.interval().unwrap_or([rate.rate.value; 2]);
    let ends = groups.iter().flat_map(|rates| [ends(&rates.fmr), ends(&rates.fnmr)]).flatten();
    let ends = ends.chain(all.into_iter().flat_map(|all| [all.fmr.value, all.fnmr.value]));
    let ends = ends.filter(|&end| end > 0.0);
    let (low, high) =
        ends.fold((0.05_f64, 0.1_f64), |(low, high), end| (low.min(end), high.max(end)));
    [low.max(1e-7) / 1.2, high.min(0.98)]
}

/// Draws the interval of a rate and, if there were errors, the rate.
fn group_bar(plot: &mut Plot, class: &str, rate: &GroupRate, y: f64, at: impl Fn(f64) -> f64) {
    if let Some([from, to]) = rate.interval() {
        plot.line(&format!("{class} bar"), [[at(from), y], [at(to), y]], false);
    }
    if rate.rate.errors > 0 {
        let (x, y) = (plot.across(at(rate.rate.value)), plot.up(y));
        plot.marks.push(html! { circle class=(class) cx=(px(x)) cy=(px(y)) r="4" {} });
    }
}
