//! Charts as SVG: panels over one shared axis, or horizontal bars, with a title that states the finding.

#![expect(clippy::cast_precision_loss, reason = "the numbers of a figure are small")]
#![allow(dead_code, reason = "the examples `fleet` and `monitor` each use a part")]

use std::fmt::Write as _;
use std::ops::Range;

const WIDTH: f64 = 800.0;
const LEFT: f64 = 72.0;
const RIGHT_EDGE: f64 = 24.0;
/// The height of the head, which contains the title and the note.
const HEAD: f64 = 84.0;
/// The height of a panel's head, which contains the panel's name.
const PANEL_HEAD: f64 = 32.0;
const PANEL_GAP: f64 = 14.0;
const AXIS_HEIGHT: f64 = 56.0;
pub(crate) const LINE_HEIGHT: f64 = 19.0;

/// The style sheet. Both themes set a background, because the page around the picture may have any background.
const STYLE: &str = "\
.page{fill:#fff;stroke:#d9dee3}
.grid{stroke:#e6e9ed}
.axis{stroke:#8b949e}
.shade{fill:#fbe8c8}
.line{fill:none;stroke-width:2.5;stroke-linejoin:round}
.run{fill:none;stroke-width:1;stroke-opacity:.16;stroke-linejoin:round}
.dotted{fill:none;stroke-width:1.5;stroke-dasharray:1.5 4;stroke-linecap:round}
.without{stroke:#7d8691}
.budget{stroke:#0b62c4}
.spread{stroke:#0a7f53}
.retries{stroke:#bc4c00}
.waits{stroke:#8250df}
.load{stroke:#1f2328}
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:15px;fill:#59636e;stroke:none}
.title{font-size:18px;font-weight:600;fill:#1f2328}
.name,.load-text{fill:#1f2328}
.label{font-weight:600}
.shade-text{fill:#855600}
.without-fill,.without-text{fill:#69727d}
.budget-fill,.budget-text{fill:#0b62c4}
.spread-fill,.spread-text{fill:#0a7f53}
.retries-text{fill:#bc4c00}
.waits-text{fill:#8250df}
@media(prefers-color-scheme:dark){
.page{fill:#0d1117;stroke:#30363d}
.grid{stroke:#242a31}
.axis{stroke:#6e7681}
.shade{fill:#3d2f12}
.run{stroke-opacity:.22}
.without{stroke:#8b949e}
.budget{stroke:#58a6ff}
.spread{stroke:#3fb950}
.retries{stroke:#f0883e}
.waits{stroke:#bc8cff}
.load{stroke:#e6edf3}
text{fill:#9da7b1}
.title,.name,.load-text{fill:#e6edf3}
.shade-text{fill:#e3b341}
.without-fill,.without-text{fill:#9da7b1}
.budget-fill,.budget-text{fill:#58a6ff}
.spread-fill,.spread-text{fill:#3fb950}
.retries-text{fill:#f0883e}
.waits-text{fill:#bc8cff}
}
";

/// The meaning of a colour. A meaning has the same colour in every figure.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// Runs without the figure's protection: a budget, jitter, or a spread.
    Without,
    Budget,
    /// Jitter, and the spread of a `Retry-After`.
    Spread,
    OfferedLoad,
    Retries,
    Waits,
}

impl Key {
    fn class(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::Budget => "budget",
            Self::Spread => "spread",
            Self::OfferedLoad => "load",
            Self::Retries => "retries",
            Self::Waits => "waits",
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Stroke {
    Line,
    /// A faint line for one of many runs.
    Run,
    Dotted,
    /// A line with a dot on each point.
    Dots,
}

pub(crate) struct Mark {
    pub(crate) key: Key,
    pub(crate) stroke: Stroke,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A text beside a line.
pub(crate) struct Label {
    pub(crate) key: Key,
    pub(crate) lines: Vec<String>,
    /// The height of the text's middle, as a value.
    pub(crate) y: f64,
    /// The start of the text, as a value; `None` is right of the panel.
    pub(crate) x: Option<f64>,
}

#[derive(Default)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) end: f64,
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Makes an axis from zero, with a number at each multiple of the step.
    pub(crate) fn stepped(name: &'static str, end: f64, step: f64) -> Self {
        let multiples = (0..).map(|number: u32| f64::from(number) * step);
        let ticks = multiples.take_while(|at| *at <= end).map(|at| (at, grouped(at))).collect();
        Self { name, end, ticks }
    }

    /// Makes an axis from zero to a little above this value, with two to six round numbers.
    pub(crate) fn up_to(name: &'static str, largest: f64) -> Self {
        let end = (largest * 1.05).max(1.0);
        let power = 10_f64.powf((end / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| end / step <= 5.0).unwrap_or(end);
        Self::stepped(name, end, step)
    }
}

#[derive(Default)]
pub(crate) struct Panel {
    pub(crate) y: Axis,
    pub(crate) height: f64,
    pub(crate) marks: Vec<Mark>,
    pub(crate) labels: Vec<Label>,
}

/// A span of time, with its name beside it.
pub(crate) struct Shade {
    pub(crate) span: Range<f64>,
    pub(crate) name: &'static str,
}

/// Panels over one horizontal axis.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) x: Axis,
    pub(crate) shade: Option<Shade>,
    /// The width that labels need on the right.
    pub(crate) label_width: f64,
    pub(crate) panels: Vec<Panel>,
}

/// Groups of bars, side by side; each group has its own scale.
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) rows: Vec<(&'static str, Key)>,
    pub(crate) groups: Vec<Group>,
}

pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// The length and the text of each row.
    pub(crate) bars: Vec<(f64, String)>,
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let panels: f64 = self.panels.iter().map(|panel| PANEL_HEAD + panel.height).sum();
        let gaps = PANEL_GAP * (self.panels.len() - 1) as f64;
        let mut svg = Svg::new(&self.title, &self.note, HEAD + panels + gaps + AXIS_HEIGHT);
        let mut top = HEAD;
        for panel in &self.panels {
            self.draw_panel(&mut svg, panel, top + PANEL_HEAD);
            top += PANEL_HEAD + panel.height + PANEL_GAP;
        }
        let bottom = top - PANEL_GAP;
        for (at, text) in &self.x.ticks {
            svg.text("", "middle", self.x(*at), bottom + 22.0, text);
        }
        svg.text("name", "middle", f64::midpoint(LEFT, self.right()), bottom + 44.0, self.x.name);
        svg.finish()
    }

    fn right(&self) -> f64 {
        WIDTH - RIGHT_EDGE - self.label_width
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + value / self.x.end * (self.right() - LEFT)
    }

    fn draw_panel(&self, svg: &mut Svg, panel: &Panel, top: f64) {
        let bottom = top + panel.height;
        let y = |value: f64| bottom - value / panel.y.end * panel.height;
        if let Some(Shade { span, .. }) = &self.shade {
            svg.rectangle("shade", self.x(span.start), top, self.x(span.end), bottom);
        }
        for (value, text) in &panel.y.ticks {
            if *value > 0.0 {
                svg.line("grid", LEFT, y(*value), self.right());
            }
            svg.text("", "end", LEFT - 8.0, y(*value) + 5.0, text);
        }
        svg.line("axis", LEFT, bottom, self.right());
        svg.text("name", "start", 18.0, top - 14.0, panel.y.name);
        for mark in &panel.marks {
            let points: Vec<_> =
                mark.points.iter().map(|(at, value)| (self.x(*at), y(*value))).collect();
            svg.mark(mark, &points);
        }
        if let (Some(shade), true) = (&self.shade, std::ptr::eq(panel, &raw const self.panels[0])) {
            let (x, y) = (self.x(shade.span.start) - 8.0, bottom - 0.25 * panel.height + 5.0);
            svg.text("shade-text", "end", x, y, shade.name);
        }
        for label in &panel.labels {
            let x = label.x.map_or(self.right() + 10.0, |x| self.x(x));
            let lines = label.lines.len() as f64;
            let first = y(label.y) + 5.0 - (lines - 1.0) / 2.0 * LINE_HEIGHT;
            for (number, line) in label.lines.iter().enumerate() {
                let class = format!("label {}-text", label.key.class());
                svg.text(&class, "start", x, first + number as f64 * LINE_HEIGHT, line);
            }
        }
    }
}

impl Bars {
    const NAMES: f64 = 140.0;
    const PITCH: f64 = 34.0;
    const BAR: f64 = 20.0;
    /// The room for the text at the end of the longest bar.
    const TEXT: f64 = 84.0;

    pub(crate) fn svg(&self) -> String {
        let rows = Self::PITCH * self.rows.len() as f64;
        let mut svg = Svg::new(&self.title, &self.note, HEAD + PANEL_HEAD + rows + 18.0);
        let top = HEAD + PANEL_HEAD;
        let row = |number: usize| top + Self::PITCH * number as f64 + Self::PITCH / 2.0;
        for (number, (name, key)) in self.rows.iter().enumerate() {
            let class = format!("label {}-text", key.class());
            svg.text(&class, "end", Self::NAMES - 10.0, row(number) + 5.0, name);
        }
        let width = (WIDTH - Self::NAMES) / self.groups.len() as f64;
        for (group, number) in self.groups.iter().zip(0_u32..) {
            let left = Self::NAMES + width * f64::from(number);
            svg.text("name", "start", left, top - 14.0, group.name);
            let longest = group.bars.iter().map(|(length, _)| *length).fold(0.0, f64::max);
            for (number, (length, text)) in group.bars.iter().enumerate() {
                let end = left + length / longest * (width - Self::TEXT);
                let (key, y) = (self.rows[number].1, row(number));
                let class = format!("{}-fill", key.class());
                svg.rectangle(&class, left, y - Self::BAR / 2.0, end, y + Self::BAR / 2.0);
                svg.text("name", "start", end + 8.0, y + 5.0, text);
            }
        }
        svg.finish()
    }
}

struct Svg(String);

impl Svg {
    fn new(title: &str, note: &str, height: f64) -> Self {
        let mut svg = Self(String::new());
        svg.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{title}</title>\n<desc>{note}</desc>\n<style>\n{STYLE}</style>"
        ));
        let (width, height) = (WIDTH - 1.0, height - 1.0);
        svg.add(format_args!(
            "<rect class=\"page\" x=\".5\" y=\".5\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>"
        ));
        svg.text("title", "start", 18.0, 38.0, title);
        svg.text("", "start", 18.0, 64.0, note);
        svg
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{element}").expect("a string takes everything");
    }

    fn text(&mut self, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let anchor = match anchor {
            "start" => String::new(),
            anchor => format!(" text-anchor=\"{anchor}\""),
        };
        let (x, y) = (Tenths::of(x), Tenths::of(y));
        self.add(format_args!("<text{class}{anchor} x=\"{x}\" y=\"{y}\">{text}</text>"));
    }

    fn rectangle(&mut self, class: &str, left: f64, top: f64, right: f64, bottom: f64) {
        let [x, y, width, height] = [left, top, right - left, bottom - top].map(Tenths::of);
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        ));
    }

    /// Draws a horizontal line.
    fn line(&mut self, class: &str, left: f64, y: f64, right: f64) {
        let [left, y, right] = [left, y, right].map(Tenths::of);
        self.add(format_args!("<path class=\"{class}\" d=\"M{left} {y}H{right}\"/>"));
    }

    fn mark(&mut self, mark: &Mark, points: &[(f64, f64)]) {
        let stroke = match mark.stroke {
            Stroke::Line | Stroke::Dots => "line",
            Stroke::Run => "run",
            Stroke::Dotted => "dotted",
        };
        let key = mark.key.class();
        let path = relative_path(points);
        self.add(format_args!("<path class=\"{stroke} {key}\" d=\"{path}\"/>"));
        if matches!(mark.stroke, Stroke::Dots) {
            for (x, y) in points {
                let (x, y) = (Tenths::of(*x), Tenths::of(*y));
                self.add(format_args!(
                    "<circle class=\"{key}-fill\" cx=\"{x}\" cy=\"{y}\" r=\"4.5\"/>"
                ));
            }
        }
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// Writes a path in relative steps, which are shorter than absolute places. Rounding errors do not add up.
fn relative_path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut last = (0, 0);
    for (x, y) in points {
        let at = (Tenths::of(*x).0, Tenths::of(*y).0);
        let (dx, dy) = (Tenths(at.0 - last.0), Tenths(at.1 - last.1));
        let command = match path.len() {
            0 => 'M',
            _ => 'l',
        };
        write!(path, "{command}{dx} {dy}").expect("a string takes everything");
        last = at;
    }
    path
}

/// A length of a picture.
#[derive(Clone, Copy)]
struct Tenths(i32);

impl Tenths {
    #[expect(clippy::cast_possible_truncation, reason = "a place in a picture is small")]
    fn of(length: f64) -> Self {
        Self((length * 10.0).round() as i32)
    }
}

impl std::fmt::Display for Tenths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        match (self.0.abs() / 10, self.0.abs() % 10) {
            (whole, 0) => write!(f, "{sign}{whole}"),
            (whole, tenth) => write!(f, "{sign}{whole}.{tenth}"),
        }
    }
}

/// Formats a whole number with commas between thousands.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
