//! The report's pictures, as SVG whose colours the page's style sheet sets.

use super::content::Report;
use super::numbers::{add, target};
use crate::comparison::Score;
use crate::evaluation::{CurvePoint, Operation, probit};

const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 58.0;

/// One axis: what its ends stand for, and what is written along it.
struct Axis {
    low: f64,
    high: f64,
    /// Where, and one or two lines of text.
    ticks: Vec<(f64, [String; 2])>,
    label: &'static str,
}

/// A picture that grows.
struct Plot {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    svg: String,
}

impl Plot {
    /// Frame, ticks and labels; `title` is what the picture shows, `description` what one sees.
    fn new([width, height]: [f64; 2], x: Axis, y: Axis, title: &str, description: &str) -> Self {
        let mut plot = Self { width, height, x, y, svg: String::new() };
        plot.add(format_args!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{title}</title><desc>{description}</desc>"
        ));
        let (bottom, right) = (height - BOTTOM, width - RIGHT);
        for (value, [text, below]) in std::mem::take(&mut plot.x.ticks) {
            let x = plot.across(value);
            plot.add(format_args!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick middle\">{text}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick faint middle\">{below}</text>",
                bottom + 16.0,
                bottom + 30.0
            ));
        }
        for (value, [text, _]) in std::mem::take(&mut plot.y.ticks) {
            let y = plot.up(value);
            plot.add(format_args!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" class=\"tick end\">{text}</text>",
                LEFT - 8.0,
                y + 4.0
            ));
        }
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        let (x_label, y_label) = (plot.x.label, plot.y.label);
        plot.add(format_args!(
            "<text x=\"{middle_x:.1}\" y=\"{:.1}\" class=\"label middle\">{x_label}</text>\
             <text transform=\"translate(14 {middle_y:.1}) rotate(-90)\" class=\"label middle\">{y_label}</text>",
            height - 8.0
        ));
        plot
    }

    fn add(&mut self, part: std::fmt::Arguments<'_>) {
        add(&mut self.svg, part);
    }

    fn across(&self, value: f64) -> f64 {
        let share = (value - self.x.low) / (self.x.high - self.x.low);
        LEFT + share.clamp(0.0, 1.0) * (self.width - LEFT - RIGHT)
    }

    fn up(&self, value: f64) -> f64 {
        let share = (value - self.y.low) / (self.y.high - self.y.low);
        self.height - BOTTOM - share.clamp(0.0, 1.0) * (self.height - TOP - BOTTOM)
    }

    /// A line through points; with `closed`, the area that it encloses.
    fn line(&mut self, class: &str, points: impl IntoIterator<Item = [f64; 2]>, closed: bool) {
        let mut path = String::new();
        for [x, y] in points {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            add(&mut path, format_args!("{verb}{:.1} {:.1}", self.across(x), self.up(y)));
        }
        let end = if closed { "Z" } else { "" };
        if !path.is_empty() {
            self.add(format_args!("<path class=\"{class}\" d=\"{path}{end}\"/>"));
        }
    }

    /// A point and its name, to the right of it or, near the right end, to the left.
    fn point(&mut self, class: &str, [x, y]: [f64; 2], name: &str) {
        let (x, y) = (self.across(x), self.up(y));
        let (side, text_x) =
            if x > 0.7 * self.width { ("end", x - 10.0) } else { ("start", x + 10.0) };
        self.add(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\
             <text x=\"{text_x:.1}\" y=\"{:.1}\" class=\"name {side}\">{name}</text>",
            y - 8.0
        ));
    }

    fn finished(mut self) -> String {
        self.svg += "</svg>";
        self.svg
    }
}

/// The rates that an axis of normal deviates is marked at.
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

/// An axis of normal deviates from one rate to another (Martin et al. 1997, "The DET curve in
/// assessment of detection task performance").
fn deviates(low: f64, high: f64, label: &'static str) -> Axis {
    let marks = MARKS.iter().filter(|(rate, _)| (low..=high).contains(rate));
    let ticks = marks.map(|&(rate, text)| (probit(rate), [text.to_owned(), String::new()]));
    Axis { low: probit(low), high: probit(high), ticks: ticks.collect(), label }
}

/// The detection error tradeoff with its band, and the two thresholds on it.
pub(super) fn tradeoff(report: &Report) -> String {
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

/// Whether both thresholds would be drawn on top of each other.
fn is_one_point(a: Option<&Operation>, b: Option<&Operation>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a.score - b.score).abs() < 0.05)
}

const COLUMNS: usize = 96;

/// How often each score came, genuine and impostor, with the thresholds.
pub(super) fn histogram(report: &Report) -> String {
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
    for (class, name, score) in
        [("now", "current", now), ("recommended", "recommended", recommended)]
    {
        if let Some(score) = score {
            let (x, bottom) = (plot.across(score), plot.up(0.0));
            let (side, text_x, y) = match class {
                "now" => ("end", x - 4.0, TOP - 8.0),
                _ => ("start", x + 4.0, TOP - 8.0),
            };
            plot.add(format_args!(
                "<path class=\"threshold {class}\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>\
                 <text x=\"{text_x:.1}\" y=\"{y:.1}\" class=\"name {side}\">{name}</text>",
                TOP - 16.0
            ));
        }
    }
    plot.finished()
}

/// Whole scores, about eight, with their similarities below.
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

/// How often comparisons of a similarity are genuine, against the similarity itself.
pub(super) fn reliability(report: &Report) -> String {
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
            plot.add(format_args!("<path class=\"whisker\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>"));
        }
        let y = plot.up(point.bin.share);
        plot.add(format_args!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"));
    }
    plot.finished()
}

/// The rate beside which the curve ends in dashes.
pub(super) fn counted_from(report: &Report) -> Option<String> {
    let first = report.findings.curve.iter().find(|point| point.counts)?;
    Some(target(format!("{:.0e}", first.fmr).parse().unwrap_or(first.fmr)))
}
