//! The dashboard: a panel for each question, as SVG.

use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use crate::chart::{self, Axis, Chart, Key, LINE_HEIGHT, Label, Mark, Shade, Stroke};
use crate::client::{OUTAGE, RUN};
use crate::prometheus::{Failure, Prometheus};

const PANEL_HEIGHT: f64 = 120.0;

/// The length of the windows of rates, as in the queries.
const WINDOW: Duration = Duration::from_secs(1);

/// A panel: its question with the unit of its values, and the queries behind its lines.
struct Panel {
    question: &'static str,
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
        question: "How often do we retry? Operations and retries / s",
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
        question: "What do we give up on? % of operations",
        queries: &[Query {
            name: "",
            promql: "sum by (reason) (rate(retry_operations_total{outcome=\"gave_up\"}[1s])) \
                     / ignoring (reason) group_left sum (rate(retry_operations_total[1s]))",
            factor: 100.0,
        }],
    },
    Panel {
        question: "How long do callers wait? Milliseconds",
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
        question: "How full is the budget? Retries that are left",
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
            "The budget is spent within {:.1} s; then {:.0} % of the operations get no retry",
            spent - outage.start,
            100.0 * (1.0 - sum("retries") / sum("operations")),
        )
    }

    /// Draws all panels into a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub fn draw(&self, file: &Path) -> io::Result<()> {
        let chart = Chart {
            title: self.finding(),
            note: format!(
                "In the outage, the server closes every connection. Rates are those of the last {} s.",
                WINDOW.as_secs()
            ),
            x: Axis::stepped("seconds", RUN.as_secs_f64(), 1.0),
            shade: Some(Shade {
                span: OUTAGE.start.as_secs_f64()..OUTAGE.end.as_secs_f64(),
                name: "outage",
            }),
            label_width: 180.0,
            panels: PANELS.iter().zip(&self.0).map(|(panel, lines)| draw(panel, lines)).collect(),
        };
        fs::write(file, chart.svg())
    }
}

/// The meaning of a line. A name has one colour in all panels.
fn key(name: &str) -> Key {
    match name {
        "operations" => Key::OfferedLoad,
        "retries" | "attempts exhausted" => Key::Retries,
        "budget exhausted" | "available" => Key::Budget,
        "99 of 100" => Key::Waits,
        _ => Key::Without,
    }
}

fn draw(panel: &Panel, lines: &[Line]) -> chart::Panel {
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let y = Axis::up_to(panel.question, values.fold(0.0, f64::max));
    let mark = |line: &Line| Mark {
        key: key(&line.name),
        stroke: Stroke::Line,
        points: line.points.clone(),
    };
    let marks = lines.iter().map(mark).collect();
    let labels = labels(lines, y.end);
    chart::Panel { y, height: PANEL_HEIGHT, marks, labels }
}

/// Writes names at the ends of their lines, one above another if the lines end close to each other. A line that has a
/// high peak and ends low has its name at the end of the peak.
fn labels(lines: &[Line], top: f64) -> Vec<Label> {
    let mut labels = Vec::new();
    for Line { name, points } in lines {
        let Some(&(_, end)) = points.last() else { continue };
        let peak = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let (x, y) = if peak > top / 2.0 && end < top / 5.0 {
            let last = points.iter().rev().find(|(_, value)| *value >= 0.95 * peak);
            last.map_or((None, end), |(at, value)| (Some(at + 0.15), *value))
        } else {
            (None, end)
        };
        labels.push(Label { key: key(name), lines: vec![name.clone()], y, x });
    }
    labels.sort_by(|one, other| one.y.total_cmp(&other.y));
    let mut lowest = f64::MIN;
    for label in labels.iter_mut().filter(|label| label.x.is_none()) {
        label.y = label.y.max(lowest);
        lowest = label.y + LINE_HEIGHT / PANEL_HEIGHT * top;
    }
    labels
}
