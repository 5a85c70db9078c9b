//! A writer of SVG, and the charts of reports.
//!
//! Colours are classes of the page's style sheet, so that a picture is light or dark as the page is.

use std::fmt::{self, Display, Write};

use super::{Number, Plain};

/// A picture of a size in pixels, with a label for screen readers.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64, label: impl Display) -> Self {
        Svg {
            width,
            height,
            label: label.to_string(),
            body: String::new(),
        }
    }

    pub(crate) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let (width, height) = (width.max(0.0), height.max(0.0));
        // Writing to a string does not fail.
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
        );
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = write!(
            self.body,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(crate) fn path(&mut self, d: &str, class: &str) {
        let _ = write!(self.body, "<path d=\"{d}\" class=\"{class}\"/>");
    }

    pub(crate) fn polyline(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let mut d = String::new();
        for (x, y) in points {
            let step = if d.is_empty() { 'M' } else { 'L' };
            let _ = write!(d, "{step}{x:.1} {y:.1}");
        }
        self.path(&d, class);
    }

    pub(crate) fn dot(&mut self, x: f64, y: f64, class: &str) {
        let _ = write!(
            self.body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" class=\"{class}\"/>"
        );
    }

    /// Adds text at `x`, which is its `start`, `middle` or `end` by the anchor.
    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: &str, text: impl Display) {
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            Plain(text)
        );
    }
}

impl Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<svg viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            self.width,
            self.height,
            self.width,
            self.height,
            Plain(&self.label),
            self.body
        )
    }
}

/// The range of the finite values; a range around the value if there is only one.
pub(crate) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return None;
    }
    // A range without width is widened; a range that overflows is not drawn.
    let around = (low.abs() * 0.05).max(1e-12);
    let (low, high) = match low == high {
        true => (low - around, high + around),
        false => (low, high),
    };
    (high - low).is_finite().then_some((low, high))
}

/// A few round numbers within a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|by| by * power);
    let step = step
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    let ticks = (0..8).map(|at| (first + f64::from(at)) * step);
    let ticks = ticks.filter(|tick| *tick <= high + step * 1e-9);
    // 0.30000000000000004 is 0.3.
    ticks.map(|tick| (tick / step).round() * step).collect()
}

/// A tick as short as it can be.
struct Tick(f64);

impl Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Number(self.0).to_string();
        match text.contains('.') && !text.contains('e') {
            true => f.write_str(text.trim_end_matches('0').trim_end_matches('.')),
            false => f.write_str(&text),
        }
    }
}

const LEFT: f64 = 52.0;
const TOP: f64 = 8.0;
const RIGHT: f64 = 332.0;
const BOTTOM: f64 = 196.0;

/// A chart with two axes.
pub(crate) struct Chart {
    svg: Svg,
    x: (f64, f64),
    y: (f64, f64),
}

impl Chart {
    /// The axes, with their names, over these ranges.
    pub(crate) fn new(
        label: &str,
        (x_name, x): (&str, (f64, f64)),
        (y_name, y): (&str, (f64, f64)),
    ) -> Self {
        let label = format!("{label}: {y_name} by {x_name}");
        let mut chart = Chart {
            svg: Svg::new(340.0, 236.0, label),
            x,
            y,
        };
        for tick in ticks(y) {
            let (_, at) = chart.at(x.0, tick);
            chart.svg.line((LEFT, at), (RIGHT, at), "grid");
            chart.svg.text(LEFT - 6.0, at + 4.0, "end", Tick(tick));
        }
        for tick in ticks(x) {
            let (at, _) = chart.at(tick, y.0);
            chart.svg.line((at, BOTTOM), (at, BOTTOM + 4.0), "axis");
            chart.svg.text(at, BOTTOM + 16.0, "middle", Tick(tick));
        }
        chart
            .svg
            .polyline([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], "axis");
        chart
            .svg
            .text((LEFT + RIGHT) / 2.0, BOTTOM + 34.0, "middle", x_name);
        chart
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let share =
            |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low)).clamp(0.0, 1.0);
        (
            LEFT + share(x, self.x) * (RIGHT - LEFT),
            BOTTOM - share(y, self.y) * (BOTTOM - TOP),
        )
    }

    /// Adds a line through points, in the colour of a class.
    pub(crate) fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let finite = points
            .into_iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<(f64, f64)> = finite.map(|(x, y)| self.at(x, y)).collect();
        match points.as_slice() {
            [] => {}
            [(x, y)] => self.svg.dot(*x, *y, &class.replace('l', "f")),
            _ => self.svg.polyline(points, class),
        }
    }

    /// Adds a point with its interval.
    pub(crate) fn point(&mut self, x: f64, y: f64, interval: Option<(f64, f64)>) {
        if !(x.is_finite() && y.is_finite()) {
            return;
        }
        if let Some((low, high)) = interval {
            let (from, to) = (self.at(x, low), self.at(x, high));
            self.svg.line(from, to, "l0");
        }
        let (x, y) = self.at(x, y);
        self.svg.dot(x, y, "f0");
    }
}

impl Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.svg.fmt(f)
    }
}

/// Counts as bars, small enough for a cell.
pub(crate) fn histogram(label: &str, counts: &[f64]) -> Option<Svg> {
    let most = counts.iter().copied().fold(0.0, f64::max);
    if !(most > 0.0 && most.is_finite()) {
        return None;
    }
    let width = 100.0 / counts.len() as f64;
    let mut svg = Svg::new(100.0, 24.0, label);
    for (at, count) in counts.iter().enumerate() {
        let height = 24.0 * count.max(0.0) / most;
        svg.rect(width * at as f64, 24.0 - height, width - 1.0, height, "f0");
    }
    Some(svg)
}

/// A value as a bar, relative to the largest value, small enough for a cell. Negative values have another colour.
pub(crate) fn bar(label: impl Display, value: f64, most: f64) -> Svg {
    let share = (value.abs() / most.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    let mut svg = Svg::new(140.0, 12.0, label);
    svg.rect(
        0.0,
        1.0,
        140.0 * share,
        10.0,
        if value < 0.0 { "f1" } else { "f0" },
    );
    svg
}

/// The content of an [`interval`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) value: f64,
    pub(crate) interval: Option<(f64, f64)>,
    /// The bound that it is compared with.
    pub(crate) bound: Option<f64>,
    /// The range that the margin allows.
    pub(crate) band: Option<(f64, f64)>,
}

/// A value with its interval on a line, with the bound that it is compared with. Pictures below each other share a range.
pub(crate) fn interval(label: impl Display, span: &Span, (low, high): (f64, f64)) -> Svg {
    const WIDTH: f64 = 220.0;
    let pad = (high - low) * 0.06;
    let (low, high) = (low - pad, high + pad);
    let at = |value: f64| ((value - low) / (high - low)).clamp(0.0, 1.0) * WIDTH;
    let mut svg = Svg::new(WIDTH, 34.0, label);
    if let Some((from, to)) = span.band {
        svg.rect(at(from), 2.0, at(to) - at(from), 18.0, "band");
    }
    svg.line((0.0, 20.0), (WIDTH, 20.0), "grid");
    if let Some((from, to)) = span.interval {
        svg.line((at(from), 11.0), (at(to), 11.0), "l0");
        for end in [from, to] {
            svg.line((at(end), 7.0), (at(end), 15.0), "l0");
        }
    }
    if let Some(bound) = span.bound {
        svg.line((at(bound), 1.0), (at(bound), 20.0), "bound");
        let x = at(bound);
        let anchor = match x {
            x if x < 40.0 => "start",
            x if x > WIDTH - 40.0 => "end",
            _ => "middle",
        };
        svg.text(x, 32.0, anchor, Tick(bound));
    }
    if span.value.is_finite() {
        svg.dot(at(span.value), 11.0, "f0");
    }
    svg
}

/// A graph of steps below each other: `(name, output)` of each, and edges from a step to a later one.
pub(crate) fn graph(label: &str, steps: &[(String, String)], edges: &[(usize, usize)]) -> Svg {
    const ROW: f64 = 40.0;
    const X: f64 = 70.0;
    let mut svg = Svg::new(340.0, ROW * steps.len() as f64 + 4.0, label);
    let middle = |at: usize| ROW * at as f64 + 18.0;
    for (from, to) in edges {
        let (a, b) = (middle(*from), middle(*to));
        // Longer edges are wider, so that few edges cross.
        let wide = X - 8.0 - (12.0 * (to.abs_diff(*from)) as f64).min(X - 12.0);
        svg.path(
            &format!("M{X:.1} {a:.1}C{wide:.1} {a:.1} {wide:.1} {b:.1} {X:.1} {b:.1}"),
            "axis",
        );
    }
    for (at, (name, made)) in steps.iter().enumerate() {
        svg.rect(X, middle(at) - 14.0, 266.0, 28.0, "box");
        svg.text(X + 8.0, middle(at) + 4.0, "start", name);
        svg.text(X + 258.0, middle(at) + 4.0, "end", made);
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks((0.0, 2.0)), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(
            ticks((0.0, 0.4)),
            [0.0, 0.1, 0.2, 0.3, 0.4].map(|t: f64| (t / 0.1).round() * 0.1)
        );
        assert_eq!(ticks((-3.0, 13.0)), [0.0, 5.0, 10.0]);
        assert!(ticks((0.0, f64::MAX)).len() <= 8);
        assert_eq!(range([f64::NAN, f64::INFINITY]), None);
        assert_eq!(range([f64::MIN, f64::MAX]), None);
        let (low, high) = range([3.0, f64::NAN, 3.0]).unwrap();
        assert!(low < 3.0 && high > 3.0);
    }

    #[test]
    fn what_is_not_finite_is_not_drawn() {
        let mut chart = Chart::new("c", ("x", (0.0, 1.0)), ("y", (0.0, 1.0)));
        chart.line([(0.0, f64::NAN), (0.5, 0.5)], "l0");
        chart.point(f64::NAN, 1.0, None);
        let span = Span {
            value: f64::NAN,
            ..Span::default()
        };
        let text = format!("{chart}{}", interval("i", &span, (0.0, 1.0)));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(histogram("h", &[0.0, 0.0]).is_none());
    }
}
