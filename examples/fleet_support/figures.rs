//! The figures of the documentation, drawn from the runs. Each number in a title is a result.

#![expect(clippy::cast_precision_loss, reason = "the numbers of a figure are small")]

use crate::chart::{
    Axis, Bars, Chart, Group, Key, LINE_HEIGHT, Label, Mark, Panel, Shade, Stroke, grouped,
};
use crate::contention::Outcome;
use crate::crowd;
use crate::runs::{self, Runs};
use crate::service::{Load, Second, USUAL};

/// The number of drawn seconds of each run. The requests of later seconds are still in flight when the run
/// ends.
const DRAWN: usize = 100;

const COUNTS: [(&str, f64, fn(&Second) -> u32); 3] = [
    ("successful requests / s", 190.0, |second| second.goodput),
    ("calls / s", 110.0, |second| second.calls),
    ("requests at the service", 110.0, |second| second.in_flight),
];

const NOTE: &str =
    "Faint: single runs with full jitter. Strong: medians. Budget: one in each of 100 processes.";

fn time() -> Axis {
    Axis::stepped("seconds", DRAWN as f64, 20.0)
}

fn spike() -> Shade {
    Shade { span: Load::SPIKE, name: "load × 2" }
}

fn line(key: Key, points: Vec<(f64, f64)>) -> Mark {
    Mark { key, stroke: Stroke::Line, points }
}

/// Returns a range of numbers as text: "11", or "10 to 12" if the numbers differ.
fn span(numbers: impl Iterator<Item = usize> + Clone) -> String {
    match (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0)) {
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    }
}

/// Draws the share of working runs over time: without a budget under any policy, and with a budget in
/// any number of processes.
pub(crate) fn recovery(
    without: &[&Runs],
    with: &[&Runs],
    policies: &str,
    processes: &str,
) -> String {
    let total = with[0].0.len();
    let recovered = |runs: &[&Runs]| span(runs.iter().map(|runs| runs.recovered()));
    let label = |key, name: &str, runs: &[&Runs]| Label {
        key,
        lines: vec![format!("{name}:"), format!("{} of {total} runs", recovered(runs))],
        y: runs[0].working(DRAWN).last().map_or(0.0, |(_, share)| *share),
        x: None,
    };
    let lines = |key, runs: &[&Runs]| {
        runs.iter().map(|runs| line(key, runs.working(DRAWN))).collect::<Vec<_>>()
    };
    let never = span(without.iter().map(|runs| total - runs.recovered()));
    let percent = [0, 50, 100].map(|percent| (f64::from(percent), format!("{percent} %")));
    Chart {
        title: format!("Without a budget, {never} of {total} runs never recover"),
        note: format!("Grey: {policies}. Blue: a budget in each of {processes} processes."),
        x: time(),
        shade: Some(spike()),
        label_width: 154.0,
        panels: vec![Panel {
            y: Axis {
                name: "share of runs in which at least 90 % of the requests succeed",
                end: 105.0,
                ticks: percent.into(),
            },
            height: 220.0,
            marks: [lines(Key::Without, without), lines(Key::Budget, with)]
                .into_iter()
                .flatten()
                .collect(),
            labels: vec![
                label(Key::Budget, "with a budget", with),
                label(Key::Without, "without a budget", without),
            ],
        }],
    }
    .svg()
}

/// Successes, calls and requests at the service over time: each run, and the medians of recovering runs
/// and of other runs.
pub(crate) struct Overload {
    /// The runs without a budget that recover, and the runs that do not.
    without: [Runs; 2],
    with: Runs,
}

impl Overload {
    pub(crate) fn new(without: Runs, with: Runs) -> Self {
        Self { without: without.by_outcome(), with }
    }

    pub(crate) fn spike(&self) -> String {
        let calls = self.without[1].typical(DRAWN - 20..DRAWN, |second| second.calls);
        let title = match calls {
            Some(calls) => {
                let [recovered, failed] = self.without.each_ref().map(|runs| runs.0.len());
                let total = recovered + failed;
                format!(
                    "In {failed} of {total} runs without a budget, {USUAL} requests / s become {calls} calls / s"
                )
            }
            None => "Without a budget, all runs recover".into(),
        };
        let mut panels = self.panels(&[]);
        let [recovered, failed] = self.without.each_ref().map(|runs| runs.0.len());
        // Below each other, beside the lines of the two.
        let value_of_a_line = LINE_HEIGHT / panels[0].height * panels[0].y.end;
        let with = vec!["with a budget:".to_owned(), format!("{} runs", self.with.0.len())];
        for (key, lines, y) in [
            (Key::Budget, with, USUAL + 0.5 * value_of_a_line),
            (Key::Without, vec![format!("{recovered} runs without")], USUAL - value_of_a_line),
        ] {
            panels[0].labels.push(Label { key, lines, y, x: None });
        }
        for (panel, (.., count)) in panels.iter_mut().zip(COUNTS) {
            let Some(&(_, y)) = self.without[1].median(DRAWN, count).last() else { continue };
            let lines = vec![format!("{failed} runs without")];
            panel.labels.push(Label { key: Key::Without, lines, y, x: None });
        }
        let note = NOTE.into();
        Chart { title, note, x: time(), shade: Some(spike()), label_width: 160.0, panels }.svg()
    }

    pub(crate) fn ramp(&self) -> String {
        let total = self.with.0.len();
        let (with, without) = (self.with.recovered(), self.without[0].0.len());
        let title = format!(
            "A ramp of load: {with} of {total} runs recover with a budget, {without} without"
        );
        let load = |second: usize| (second as f64, Load::Ramp.rate(second as f64));
        let load: Vec<_> = (0..=DRAWN).map(load).collect();
        let mut panels = self.panels(&load);
        for (key, name, x, y) in [
            (Key::OfferedLoad, "offered load", 33.0, 76.0),
            (Key::Budget, "with a budget", 64.0, 38.0),
            (Key::Without, "without a budget", 31.0, 10.0),
        ] {
            let lines = vec![name.to_owned()];
            panels[0].labels.push(Label { key, lines, y, x: Some(x) });
        }
        Chart { title, note: NOTE.into(), x: time(), shade: None, label_width: 0.0, panels }.svg()
    }

    fn panels(&self, load: &[(f64, f64)]) -> Vec<Panel> {
        let groups = [
            (Key::Without, &self.without[1]),
            (Key::Without, &self.without[0]),
            (Key::Budget, &self.with),
        ];
        let panel = |(name, height, count): (&'static str, f64, fn(&Second) -> u32)| {
            let single = |stroke| {
                groups.iter().flat_map(move |(key, runs)| {
                    runs.single(DRAWN, count).map(move |points| Mark { key: *key, stroke, points })
                })
            };
            let mut marks: Vec<Mark> = single(Stroke::Run).collect();
            let largest = marks.iter().flat_map(|mark| &mark.points).chain(load);
            let largest = largest.map(|(_, value)| *value).fold(0.0, f64::max);
            if name == COUNTS[0].0 {
                let (key, stroke) = (Key::OfferedLoad, Stroke::Dotted);
                marks.push(Mark { key, stroke, points: load.to_vec() });
            }
            marks.extend(groups.map(|(key, runs)| line(key, runs.median(DRAWN, count))));
            marks.retain(|mark| !mark.points.is_empty());
            Panel { y: Axis::up_to(name, largest), height, marks, labels: Vec::new() }
        };
        COUNTS.map(panel).into()
    }
}

/// Draws the number of recovering runs for each number of callers in a closed loop.
pub(crate) fn callers(recovered: &[(u32, [usize; 2])], total: usize) -> String {
    let points = |index: usize| {
        let place = |(at, (_, recovered)): (usize, &(u32, [usize; 2]))| {
            (at as f64 + 0.5, recovered[index] as f64)
        };
        recovered.iter().enumerate().map(place).collect::<Vec<_>>()
    };
    let mark = |key, index| Mark { key, stroke: Stroke::Dots, points: points(index) };
    let label = |key, name: &str, index: usize| Label {
        key,
        lines: vec![name.to_owned()],
        y: points(index).last().map_or(0.0, |(_, runs)| *runs),
        x: None,
    };
    let number = |(at, (callers, _)): (usize, &(u32, [usize; 2]))| {
        (at as f64 + 0.5, grouped((*callers).into()))
    };
    let safe = recovered.iter().take_while(|(_, [without, _])| *without == total).last();
    let title = match safe {
        Some((callers, _)) => format!(
            "Above {} waiting callers, only with a budget do all runs recover",
            grouped((*callers).into())
        ),
        None => "Callers that wait for their answers need a budget, too".into(),
    };
    Chart {
        title,
        note: format!(
            "Each caller waits for its answer, thinks, and asks again: {USUAL} requests / s in all, \
             doubled for 5 s."
        ),
        x: Axis {
            name: "callers that share the load",
            end: recovered.len() as f64,
            ticks: recovered.iter().enumerate().map(number).collect(),
        },
        shade: None,
        label_width: 154.0,
        panels: vec![Panel {
            y: Axis {
                name: "runs that recover",
                end: total as f64 * 1.05,
                ticks: [0, total / 2, total].map(|runs| (runs as f64, runs.to_string())).into(),
            },
            height: 160.0,
            marks: vec![mark(Key::Without, 0), mark(Key::Budget, 1)],
            labels: vec![
                label(Key::Budget, "with a budget", 1),
                label(Key::Without, "without a budget", 0),
            ],
        }],
    }
    .svg()
}

/// Draws clients that get one `Retry-After` together: exactly at the hint, and spread.
pub(crate) fn retry_after(exact: &[crowd::Run], spread: &[crowd::Run]) -> String {
    let median = |runs: &[crowd::Run], at: usize, count: fn(&crowd::Second) -> u32| {
        let counts = runs.iter().map(|run| count(&run[at]));
        f64::from(runs::median(counts.collect()).unwrap_or(0))
    };
    let steps = |runs: &[crowd::Run], count: fn(&crowd::Second) -> u32| {
        let step = |at: usize| {
            let value = median(runs, at, count);
            [(at as f64, value), (at as f64 + 1.0, value)]
        };
        (0..crowd::SECONDS).flat_map(step).collect()
    };
    let last = crowd::SECONDS - 1;
    let served: fn(&crowd::Second) -> u32 = |second| second.served;
    let calls: fn(&crowd::Second) -> u32 = |second| second.calls;
    let [exact_served, spread_served] = [exact, spread].map(|runs| median(runs, last, served));
    let clients = crowd::CLIENTS as f64;
    let panel = |name, height, count| Panel {
        y: Axis::stepped(name, clients * 1.05, 500.0),
        height,
        marks: vec![
            line(Key::Without, steps(exact, count)),
            line(Key::Spread, steps(spread, count)),
        ],
        labels: Vec::new(),
    };
    let quarter = crowd::RETRY_AFTER.as_secs_f64() / 4.0;
    let mut panels = vec![panel("clients served", 190.0, served), panel("calls / s", 110.0, calls)];
    let label = |key, name: &str, served: f64| Label {
        key,
        lines: vec![format!("{name}:"), format!("{} served", grouped(served))],
        y: served,
        x: None,
    };
    panels[0].labels = vec![
        label(Key::Spread, &format!("spread over {quarter} s"), spread_served),
        label(Key::Without, "exactly at the hint", exact_served),
    ];
    for (key, runs, (x, y)) in
        [(Key::Without, exact, (32.0, 820.0)), (Key::Spread, spread, (40.0, 200.0))]
    {
        let lines = vec![format!("up to {}", grouped(crowd::fullest_second(runs).into()))];
        panels[1].labels.push(Label { key, lines, y, x: Some(x) });
    }
    Chart {
        title: format!(
            "Without a spread, {} of {} clients give up; with it, {}",
            grouped(clients - exact_served),
            grouped(clients),
            match clients - spread_served {
                0.0 => "none".into(),
                number => grouped(number),
            },
        ),
        note: format!(
            "The service has a token bucket of {0}, refilled at {0} / s; others get “Retry-After: {1}”. 3 attempts.",
            crowd::LIMIT,
            crowd::RETRY_AFTER.as_secs(),
        ),
        x: Axis::stepped("seconds after the first answer", crowd::SECONDS as f64, 20.0),
        shade: None,
        label_width: 164.0,
        panels,
    }
    .svg()
}

/// Draws the calls and the time until each of this many clients has written the same row.
pub(crate) fn contention(clients: u32, runs: u32, outcomes: &[(&'static str, Outcome)]) -> String {
    let (_, without) = outcomes[0];
    let full =
        outcomes.iter().find(|(name, _)| *name == "full jitter").map_or(without, |(_, full)| *full);
    let key = |name: &str| if name == "no jitter" { Key::Without } else { Key::Spread };
    Bars {
        title: format!(
            "With full jitter, {clients} clients are done in {:.0} s instead of {:.0} s",
            full.seconds, without.seconds
        ),
        note: format!(
            "{clients} clients write one row with optimistic locking; delays up to 2 s; means of {runs} runs."
        ),
        rows: outcomes.iter().map(|(name, _)| (*name, key(name))).collect(),
        groups: vec![
            Group {
                name: "total calls until every client has written",
                bars: outcomes.iter().map(|(_, it)| (it.calls, grouped(it.calls))).collect(),
            },
            Group {
                name: "seconds until then",
                bars: outcomes.iter().map(|(_, it)| (it.seconds, format!("{:.1} s", it.seconds))).collect(),
            },
        ],
    }
    .svg()
}
