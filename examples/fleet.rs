//! `cargo run --release --example fleet` (minutes; `-- --quick` takes seconds)
//!
//! What retries do to a service that slows down under load, and what a budget changes: a simulation
//! with this crate's own delays, decisions and budgets. Prints tables and draws plots. Fails if a
//! claim of the last table does not hold.
//!
//! Options: `--quick` for fewer runs, `--seeds N` for N runs of each kind.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use retry_ext::{Backoff, Jitter, RetryBudget, RetryPolicy};

#[path = "fleet_support/closed_loop.rs"]
mod closed_loop;
#[path = "fleet_support/contention.rs"]
mod contention;
#[path = "fleet_support/crowd.rs"]
mod crowd;
#[path = "fleet_support/events.rs"]
mod events;
#[path = "fleet_support/plots.rs"]
mod plots;
#[path = "fleet_support/runs.rs"]
mod runs;
#[path = "fleet_support/service.rs"]
mod service;

use closed_loop::StartOver;
use contention::Outcome;
use plots::{Lines, Picture};
use runs::Runs;
use service::{Load, Scenario, Service};

/// Where the plots go.
const FOLDER: &str = "target/fleet";
const JITTERS: [(&str, Jitter); 4] = [
    ("no jitter", Jitter::None),
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("decorrelated", Jitter::Decorrelated),
];

/// Three attempts, 1 s, ×2, at most 60 s: the defaults.
const POLICY: RetryPolicy = RetryPolicy::new().with_logging(false);

const LOOPS: [(&str, bool, StartOver); 3] = [
    ("no budget, starts over at once", false, StartOver::AtOnce),
    ("budget, starts over at once: a spin", true, StartOver::AtOnce),
    ("budget, pauses for next_delay", true, StartOver::AfterNextDelay),
];

const LEGEND: &str = "\
recovered: of the runs, those with ten consecutive seconds in which 90 % of the requests that arrive
           succeed, after the disturbance, which ends (ramp: turns) at 25 s; the median is of the
           time from then to the first of the ten; goodput is successes; these runs take 120 s
";

struct Strategy {
    name: &'static str,
    policy: RetryPolicy,
    /// How many processes share the requests, each with a budget of its own; without a budget it
    /// makes no difference how many there are.
    processes: Option<usize>,
}

fn strategies() -> Vec<Strategy> {
    let full = POLICY.with_jitter(Jitter::Full);
    let constant = |delay| POLICY.with_backoff(Backoff::constant(delay));
    let without = [
        ("no retry", POLICY.with_max_attempts(1)),
        ("immediate", constant(Duration::ZERO)),
        ("fixed", constant(Duration::from_secs(1))),
        ("exponential, no jitter", POLICY),
        ("full jitter", full),
    ];
    let without =
        without.into_iter().map(|(name, policy)| Strategy { name, policy, processes: None });
    let with = [1, 20, 100].into_iter().map(|processes| Strategy {
        name: "full jitter, budget",
        policy: full,
        processes: Some(processes),
    });
    without.chain(with).collect()
}

struct Options {
    seeds: u32,
    quick: bool,
}

impl Options {
    /// How many clients contend.
    fn contenders(&self) -> impl Iterator<Item = u32> + use<> {
        (10..=100).step_by(if self.quick { 30 } else { 10 })
    }

    /// How many runs all experiments are together: two shapes of load, two kinds of failure with
    /// and without a budget, three kinds of worker with three policies, two crowds, and the
    /// contention.
    fn runs(&self) -> u64 {
        let contention = self.contenders().count() * JITTERS.len();
        let kinds = 2 * strategies().len() + 4 + 3 * LOOPS.len() + 2 + contention;
        kinds as u64 * u64::from(self.seeds)
    }
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let (mut seeds, mut quick) = (None, false);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("quick") => quick = true,
            Long("seeds") => seeds = Some(arguments.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    match seeds.unwrap_or(if quick { 3 } else { 30 }) {
        0 => Err("at least one seed is needed".into()),
        seeds => Ok(Options { seeds, quick }),
    }
}

/// Runs the experiments, shows how far it is, prints what it finds, and keeps what was claimed.
struct Laboratory {
    options: Options,
    /// One for each process. A budget must be `'static`: these are leaked, once, and serve all
    /// runs.
    budgets: Vec<&'static RetryBudget>,
    bar: ProgressBar,
    claims: Vec<String>,
    /// Of the claims, those that do not hold.
    refuted: usize,
}

impl Laboratory {
    fn new(options: Options) -> Self {
        let budgets = (0..100).map(|_| &*Box::leak(Box::new(RetryBudget::new()))).collect();
        let bar = ProgressBar::new(options.runs()); // hidden, where there is no terminal
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self { options, budgets, bar, claims: Vec::new(), refuted: 0 }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    fn claim(&mut self, what: &str, claimed: &str, measured: &str, holds: bool) {
        self.refuted += usize::from(!holds);
        let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
        self.claims.push(format!("{what:48}{claimed:>16}{measured:>16}  {verdict}"));
    }

    /// One run for each seed.
    async fn runs(
        &self,
        scenario: Scenario,
        policy: RetryPolicy,
        processes: Option<usize>,
    ) -> Runs {
        let budgets = &self.budgets[..processes.unwrap_or(0)];
        let mut runs = Vec::new();
        for seed in 0..self.options.seeds {
            runs.push(service::run(scenario, policy, budgets, seed).await);
            self.bar.inc(1);
        }
        Runs(runs)
    }

    /// A service that slows down under load, and for a while more load than it can bear.
    async fn overload(&mut self, name: &str, load: Load) -> Result<(), Box<dyn Error>> {
        self.say(&format!(
            "{name:24}{:>9}{:>11}{:>13}{:>15}{:>11}{:>9}",
            "processes", "recovered", "median", "calls/request", "goodput", "success"
        ));
        let scenario = Scenario { load, service: Service::Overloadable, seconds: 120 };
        let mut plotted = Vec::new();
        for strategy in strategies() {
            self.bar.set_message(format!("{name}, {}", strategy.name));
            let runs = self.runs(scenario, strategy.policy, strategy.processes).await;
            self.report_recovery(name, &strategy, &runs);
            match strategy.processes {
                None => plotted.push(runs.lines(strategy.name)),
                // The hardest of the three.
                Some(100) => plotted.push(runs.lines("budget, 100 processes")),
                Some(_) => {}
            }
        }
        self.say("");
        let panels = ["goodput per second", "calls per second", "requests in flight"];
        let x = format!("seconds; mean of {} runs", self.options.seeds);
        draw(name, &Picture { x: &x, panels: &panels, lines: &plotted })
    }

    fn report_recovery(&mut self, load: &str, strategy: &Strategy, runs: &Runs) {
        let times = runs.seconds_to_recover();
        let recovered = format!("{} of {}", times.iter().flatten().count(), times.len());
        let all = times.iter().all(Option::is_some);
        let median = runs::median(times).map_or("never".into(), |seconds| format!("{seconds} s"));
        let processes = strategy.processes.map_or("any".into(), |number| number.to_string());
        self.say(&format!(
            "{:24}{processes:>9}{recovered:>11}{median:>13}{:>15.2}{:>9.1}/s{:>7.1} %",
            strategy.name,
            runs.calls_per_arrival(&runs.seconds()),
            runs.goodput(),
            runs.success_rate(&runs.seconds()) * 100.0,
        ));
        if strategy.processes.is_some() {
            let what = format!("{load}, budget, processes: {processes}");
            self.claim(&what, "all recover", &recovered, all);
        }
    }

    /// A hundred processes of ten requests a second each: retries that are in vain, and some that
    /// help.
    async fn hundred_processes(&mut self) {
        const DOWN_FROM: u32 = 30;
        // No success from before the outage counts any more, and no retry from before is on its
        // way. Long, because the processes spend what is free in each window at the same time.
        const STEADY: Range<usize> = 60..300;
        let full = POLICY.with_jitter(Jitter::Full);
        let load = Load::Steady(1000.0);
        let down = Scenario { load, service: Service::DownFrom(DOWN_FROM), seconds: 300 };
        let flaky = Scenario { load, service: Service::Flaky(0.1), seconds: 120 };
        self.say(&format!(
            "{:44}{:>16}{:>16}",
            "100 processes of 10 requests/s each", "with budget", "without"
        ));
        let mut measured = [Vec::new(), Vec::new(), Vec::new()];
        for processes in [Some(100), None] {
            self.bar.set_message("a hundred processes");
            let outage = self.runs(down, full, processes).await;
            measured[0].push(outage.calls_per_arrival(&(30..40)));
            measured[1].push(outage.calls_per_arrival(&STEADY));
            let failures = self.runs(flaky, full, processes).await;
            // The last requests are still on their way when the run ends.
            measured[2].push(failures.success_rate(&(0..100)));
        }
        let rows = [
            "full outage, first 10 s: calls/request",
            "full outage, steady: calls/request",
            "10 % independent failures: success",
        ];
        for (what, figures) in rows.iter().zip(&measured) {
            self.say(&format!("{what:44}{:>16.4}{:>16.4}", figures[0], figures[1]));
        }
        self.say("");
        let [_, steady, success] = measured;
        let show = |figure: f64| format!("{figure:.4}");
        self.claim(rows[1], "<= 1.03", &show(steady[0]), steady[0] <= 1.03);
        let what = "the same without a budget";
        self.claim(what, "3.0", &show(steady[1]), is_near(steady[1], 3.0, 0.02));
        self.claim(rows[2], ">= 0.998", &show(success[0]), success[0] >= 0.998);
    }

    /// Workers that start over when a retry gave up or was refused, in a full outage.
    async fn closed_loop(&mut self) {
        let policies = [
            ("3 attempts", POLICY),
            ("full jitter", POLICY.with_jitter(Jitter::Full)),
            ("8 attempts", POLICY.with_max_attempts(8)),
        ];
        let title =
            format!("{} workers, outage of {:?}: calls", closed_loop::WORKERS, closed_loop::OUTAGE);
        let names = policies.map(|(name, _)| format!("{name:>16}")).concat();
        self.say(&format!("{title:44}{names}"));
        let mut measured = Vec::new();
        for (name, with_budget, start_over) in LOOPS {
            self.bar.set_message(format!("workers, {name}"));
            let budget = with_budget.then_some(self.budgets[0]);
            let mut means = Vec::new();
            for (_, policy) in policies {
                let mut sum = 0.0;
                for seed in 0..self.options.seeds {
                    sum += f64::from(closed_loop::calls(policy, budget, start_over, seed).await);
                    self.bar.inc(1);
                }
                means.push(sum / f64::from(self.options.seeds));
            }
            let figures: Vec<_> = means.iter().map(|mean| format!("{mean:>16.0}")).collect();
            self.say(&format!("{name:44}{}", figures.concat()));
            measured.push(means);
        }
        self.say(&format!(
            "each call takes {:?}, a refused connection too: that bounds the spin\n",
            closed_loop::CALL
        ));
        let ([without, spin, pause], show) =
            ([&measured[0], &measured[1], &measured[2]], |figure: f64| format!("{figure:.0}"));
        let claimed = format!(">= 50 x {:.0}", without[0]);
        let spins = spin[0] >= 50.0 * without[0];
        self.claim("workers, budget, start over at once: calls", &claimed, &show(spin[0]), spins);
        let claimed = format!("<= {:.0}", without[0]);
        let what = "workers, budget, pause for next_delay: calls";
        self.claim(what, &claimed, &show(pause[0]), pause[0] <= without[0]);
        let claimed = format!("{:.0} ± 5 %", without[1]);
        let what = "the same with full jitter";
        self.claim(what, &claimed, &show(pause[1]), is_near(pause[1], without[1], 0.05));
    }

    /// Clients that are told the same `Retry-After`.
    fn crowd(&mut self) {
        let backoff = Backoff::exponential()
            .with_initial_delay(Duration::from_millis(10))
            .with_jitter(Jitter::Full);
        let title =
            format!("{} clients, Retry-After: {}", crowd::CLIENTS, crowd::RETRY_AFTER.as_secs());
        self.say(&format!("{title:44}{:>16}{:>21}", "fullest 10 ms", "back after"));
        let mut measured = Vec::new();
        for (name, max_delay) in
            [("full jitter", backoff.max_delay()), ("the cap is the hint", crowd::RETRY_AFTER)]
        {
            let policy = POLICY.with_backoff(backoff.with_max_delay(max_delay));
            let crowds: Vec<_> =
                (0..self.options.seeds).map(|seed| crowd::comes_back(policy, seed)).collect();
            self.bar.inc(self.options.seeds.into());
            let fullest = crowds.iter().map(|crowd| crowd.fullest).max().unwrap_or(0);
            let first = crowds.iter().map(|crowd| crowd.first).min().unwrap_or_default();
            let last = crowds.iter().map(|crowd| crowd.last).max().unwrap_or_default();
            let back = format!("{:.3} to {:.3} s", first.as_secs_f64(), last.as_secs_f64());
            self.say(&format!("{name:44}{fullest:>10} calls{back:>21}"));
            measured.push(fullest);
        }
        self.say("");
        let what = "crowd after one Retry-After: fullest 10 ms";
        self.claim(what, "<= 30", &measured[0].to_string(), measured[0] <= 30);
        let all = measured[1] == crowd::CLIENTS;
        self.claim("the same, the cap is the hint", "all 1000", &measured[1].to_string(), all);
    }

    /// Many clients that write one row.
    fn contention(&mut self) -> Result<(), Box<dyn Error>> {
        let names = JITTERS.map(|(name, _)| format!("{name:>21}")).concat();
        self.say(&format!("contention{names}"));
        let mut plotted = JITTERS.map(|(name, _)| Lines { name, panels: vec![Vec::new(); 2] });
        for clients in self.options.contenders() {
            self.bar.set_message(format!("contention, {clients} clients"));
            let outcomes = JITTERS.map(|(_, jitter)| {
                self.bar.inc(self.options.seeds.into());
                contention::mean(clients, jitter, self.options.seeds)
            });
            for (lines, outcome) in plotted.iter_mut().zip(&outcomes) {
                let x = f64::from(clients);
                lines.panels[0].push((x, outcome.calls));
                lines.panels[1].push((x, outcome.seconds));
            }
            let figures = outcomes
                .map(|Outcome { calls, seconds }| format!("{calls:>7.0} calls{seconds:>6.1} s"));
            self.say(&format!("{clients:10}{}", figures.concat()));
            if clients == 100 {
                self.claim_as_published("no jitter", outcomes[0], 1850.0, 63.0);
                self.claim_as_published("full jitter", outcomes[1], 800.0, 5.0);
            }
        }
        self.say("");
        let panels = ["calls", "seconds to finish"];
        let x = format!("clients; mean of {} runs", self.options.seeds);
        draw("contention", &Picture { x: &x, panels: &panels, lines: &plotted })
    }

    fn claim_as_published(&mut self, name: &str, measured: Outcome, calls: f64, seconds: f64) {
        let what = format!("contention of 100, {name}");
        let near = is_near(measured.calls, calls, 0.1);
        self.claim(
            &format!("{what}: calls"),
            &format!("{calls} ± 10 %"),
            &format!("{:.0}", measured.calls),
            near,
        );
        let near = is_near(measured.seconds, seconds, 0.1);
        self.claim(
            &format!("{what}: seconds"),
            &format!("{seconds} ± 10 %"),
            &format!("{:.1}", measured.seconds),
            near,
        );
    }
}

fn is_near(measured: f64, expected: f64, tolerance: f64) -> bool {
    (measured - expected).abs() <= expected * tolerance
}

fn draw(name: &str, picture: &Picture<'_>) -> Result<(), Box<dyn Error>> {
    picture.draw(&Path::new(FOLDER).join(name).with_extension("svg"))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    // Budgets place their slices by the first look at the clock, in real time: it comes before much
    // has passed, so that they fall alike in each run of this program.
    let _ = RetryBudget::new().available();
    let started = std::time::Instant::now();
    let mut laboratory = Laboratory::new(options()?);
    std::fs::create_dir_all(FOLDER)?;
    laboratory.say(LEGEND);
    laboratory.overload("spike", Load::Spike).await?;
    laboratory.overload("ramp", Load::Ramp).await?;
    laboratory.hundred_processes().await;
    laboratory.closed_loop().await;
    laboratory.crowd();
    laboratory.contention()?;
    laboratory.bar.finish_and_clear();
    println!("{:48}{:>16}{:>16}", "claims", "claimed", "measured");
    for claim in &laboratory.claims {
        println!("{claim}");
    }
    println!("\nplots in {FOLDER}, after {:.0?}", started.elapsed());
    match laboratory.refuted {
        0 => Ok(()),
        refuted => Err(format!("claims that do not hold: {refuted}").into()),
    }
}
