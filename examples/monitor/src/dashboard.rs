//! The dashboard: a panel for each question, as SVG.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::client::{OUTAGE, RUN};
use crate::prometheus::{Failure, Prometheus};

const WIDTH: u32 = 860;
const TITLE_HEIGHT: u32 = 74;
const PANEL_HEIGHT: u32 = 168;
/// The room for the names of lines on the right of each panel.
const NAMES_WIDTH: u32 = 150;
const NAME_HEIGHT: i32 = 17;
const FONT: &str = "sans-serif"; // the reader's own

/// The length of the windows of rates, as in the queries.
const WINDOW: Duration = Duration::from_secs(1);

/// A panel: its question, the unit of its values, and the queries behind its lines.
struct Panel {
    question: &'static str,
    unit: &'static str,
    queries: &'static [Query],
}

struct Query {
    /// The name of the line; if it is empty, the label `reason`.
    name: &'static str,
    promql: &'static str,
    factor: f64,
}

const PANELS: [Panel; 4] = [
    Panel {
        question: "How often do we retry?",
        unit: "per second",
        queries: &[
            Query {
                name: "operations",
                promql: "sum(rate(retry_operations_total[1s]))",
                factor: 1.0,
            },
            Query { name: "retries", promql: "sum(rate(retry_retries_total[1s]))", factor: 1.0 },
        ],
    },
    Panel {
        question: "What do we give up on?",
        unit: "% of operations",
        queries: &[Query {
            name: "",
            promql: "sum by (reason) (rate(retry_operations_total{outcome=\"gave_up\"}[1s])) \
                     / ignoring (reason) group_left sum (rate(retry_operations_total[1s]))",
            factor: 100.0,
        }],
    },
    Panel {
        question: "How long do callers wait?",
        unit: "milliseconds",
        queries: &[
            Query {
                name: "99 of 100",
                promql: "histogram_quantile(0.99, \
                         sum by (le) (rate(retry_waited_seconds_bucket[1s])))",
                factor: 1e3,
            },
            Query {
                name: "mean",
                promql: "sum(rate(retry_waited_seconds_sum[1s])) \
                         / sum(rate(retry_waited_seconds_count[1s]))",
                factor: 1e3,
            },
        ],
    },
    Panel {
        question: "How full is the budget?",
        unit: "retries",
        queries: &[Query { name: "available", promql: "retry_budget_available", factor: 1.0 }],
    },
];

/// One line of a panel, over the seconds of the run.
#[derive(Clone, Debug)]
pub struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The lines of all panels.
#[derive(Clone, Debug)]
pub struct Dashboard(Vec<Vec<Line>>);

impl Dashboard {
    /// Asks for the lines of a run that began at this time.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not answer.
    pub fn of(prometheus: &Prometheus, start: SystemTime) -> Result<Self, Failure> {
        let origin = start.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let panels = PANELS.iter().map(|panel| {
            let mut lines = Vec::new();
            for query in panel.queries {
                for series in prometheus.query_range(
                    query.promql,
                    start + WINDOW,
                    RUN.saturating_sub(WINDOW),
                )? {
                    let points = series.points.iter().filter(|(_, value)| value.is_finite());
                    let points = points.map(|(at, value)| (at - origin, value * query.factor));
                    let name =
                        if query.name.is_empty() { series.label("reason") } else { query.name };
                    let line = Line { name: name.replace('_', " "), points: points.collect() };
                    if line.points.iter().any(|(_, value)| *value > 0.0) {
                        lines.push(line);
                    }
                }
            }
            Ok(lines)
        });
        panels.collect::<Result<_, Failure>>().map(Self)
    }

    /// Returns the values of a line, which its panel's number and its name identify.
    fn values(&self, panel: usize, name: &str) -> impl Iterator<Item = (f64, f64)> {
        let lines = self.0[panel].iter().filter(move |line| line.name == name);
        lines.flat_map(|line| line.points.iter().copied())
    }

    /// Returns the finding: when the budget is spent, and the share of operations that then get no retry.
    #[must_use]
    pub fn finding(&self) -> String {
        let outage = OUTAGE.start.as_secs_f64()..OUTAGE.end.as_secs_f64();
        let spent =
            self.values(3, "available").find(|(at, left)| outage.contains(at) && *left < 1.0);
        let Some((spent, _)) = spent else {
            return "The budget outlasts the outage".to_owned();
        };
        // Uses rates whose whole window is in the outage.
        let begin = outage.start + WINDOW.as_secs_f64();
        let sum = |name| {
            let line = self.values(0, name).filter(|(at, _)| *at >= begin && *at < outage.end);
            line.map(|(_, rate)| rate).sum::<f64>()
        };
        format!(
            "The budget is spent within {:.1} s of the outage; then {:.0} % of the operations get no retry",
            spent - outage.start,
            100.0 * (1.0 - sum("retries") / sum("operations")),
        )
    }

    /// Draws all panels into a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub fn draw(&self, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let count = u32::try_from(self.0.len())?;
        let size = (WIDTH, TITLE_HEIGHT + count * PANEL_HEIGHT + 30);
        let root = SVGBackend::new(file, size).into_drawing_area();
        // Sets a white background, because a page may be dark.
        root.fill(&WHITE)?;
        let (title, panels) = root.split_vertically(TITLE_HEIGHT);
        title.draw(&Text::new(
            self.finding(),
            (16, 14),
            (FONT, 20).into_font().style(FontStyle::Bold),
        ))?;
        let note = format!(
            "Rates are those of the last {} s. Grey: the server closes every connection.",
            WINDOW.as_secs()
        );
        title.draw(&Text::new(note, (16, 44), (FONT, 15).into_font().color(&GREY)))?;
        for (index, (panel, lines)) in PANELS.iter().zip(&self.0).enumerate() {
            let is_last = index + 1 == PANELS.len();
            let top = u32::try_from(index)? * PANEL_HEIGHT;
            let height = if is_last { PANEL_HEIGHT + 30 } else { PANEL_HEIGHT };
            let area = panels.clone().shrink((0, top), (WIDTH, height));
            draw_panel(&area, panel, lines, is_last)?;
        }
        root.present()?;
        drop((title, panels, root));
        // Markdown ends a picture within a page at the first empty line.
        let picture = fs::read_to_string(file)?;
        let lines = picture.lines().filter(|line| !line.is_empty());
        fs::write(file, lines.flat_map(|line| [line, "\n"]).collect::<String>())?;
        Ok(())
    }
}

const GREY: RGBColor = RGBColor(90, 90, 90);

/// Colours that remain distinct with colour blindness (after Okabe and Ito). A name has one colour in all panels.
fn colour(name: &str) -> RGBColor {
    match name {
        "retries" => RGBColor(0, 80, 160),
        "budget exhausted" => RGBColor(213, 94, 0),
        "attempts exhausted" => RGBColor(160, 110, 0),
        "permanent" => RGBColor(40, 130, 190),
        "available" => RGBColor(0, 130, 95),
        "99 of 100" => RGBColor(160, 60, 120),
        _ => GREY,
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panel(
    area: &Area<'_>,
    panel: &Panel,
    lines: &[Line],
    is_last: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let top = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(0.0, f64::max);
    let top = top * 1.12;
    let heading = (FONT, 16).into_font().style(FontStyle::Bold);
    area.draw(&Text::new(panel.question, (16, 8), heading))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(32)
        .margin_right(NAMES_WIDTH)
        .margin_left(8)
        .x_label_area_size(if is_last { 44 } else { 14 })
        .y_label_area_size(58)
        .build_cartesian_2d(WINDOW.as_secs_f64()..RUN.as_secs_f64(), 0.0..top)?;
    let outage = [(OUTAGE.start.as_secs_f64(), 0.0), (OUTAGE.end.as_secs_f64(), top)];
    chart.draw_series([Rectangle::new(outage, RGBColor(225, 225, 225).filled())])?;
    let whole = |number: &f64| format!("{number:.0}");
    let in_seconds = |number: &f64| if is_last { format!("{number:.0}") } else { String::new() };
    let mut mesh = chart.configure_mesh();
    mesh.label_style((FONT, 14)).axis_desc_style((FONT, 14)).y_desc(panel.unit);
    mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.08)).x_labels(8).y_labels(4);
    mesh.x_label_formatter(&in_seconds).y_label_formatter(&whole);
    if is_last {
        mesh.x_desc("seconds");
    }
    mesh.draw()?;
    let mut names = Vec::new();
    for line in lines {
        let colour = colour(&line.name);
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
        if let Some(place) = name_place(line, top) {
            names.push((chart.backend_coord(&place), line.name.as_str(), colour));
        }
    }
    draw_names(area, names)
}

/// Returns the point whose right side has the line's name: the line's end, or the end of a high peak.
fn name_place(line: &Line, top: f64) -> Option<(f64, f64)> {
    let end = line.points.last()?;
    let peak = line.points.iter().map(|(_, y)| *y).fold(0.0, f64::max);
    let place = if peak > top / 2.0 && end.1 < top / 5.0 {
        line.points.iter().rev().find(|(_, y)| *y >= 0.95 * peak)?
    } else {
        end
    };
    Some(*place)
}

/// Writes names at the ends of their lines, one below another if the lines end close to each other.
fn draw_names(
    area: &Area<'_>,
    mut names: Vec<((i32, i32), &str, RGBColor)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (left, top) = area.get_base_pixel();
    names.sort_by_key(|((_, y), ..)| -y);
    let mut lowest = i32::MAX;
    for ((x, y), name, colour) in names {
        let y = y.min(lowest);
        lowest = y - NAME_HEIGHT;
        let at = (x - left + 8, y - top - 8);
        area.draw(&Text::new(name, at, (FONT, 15).into_font().color(&colour)))?;
    }
    Ok(())
}
