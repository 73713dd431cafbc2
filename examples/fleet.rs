//! `cargo run --release --example fleet` (minutes; `-- --quick` takes seconds)
//!
//! Simulates clients that retry with this crate against a service that slows down under load, with and
//! without a budget. Delays, decisions and budgets are the crate's own. Prints tables and draws the
//! figures of `docs/fleet`. Fails if a claim of the last table does not hold.
//!
//! Options: `--quick` for fewer runs in the tables without a figure, `--check` to fail if a figure of
//! `docs/fleet` differs from the one that was drawn, `--seeds N` for N runs of each kind. The tolerances of the claims suit 30.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use retry_ext::{Backoff, Jitter, RetryBudget, RetryPolicy};

#[path = "fleet_support/chart.rs"]
mod chart;
#[path = "fleet_support/clock.rs"]
mod clock;
#[path = "fleet_support/closed_loop.rs"]
mod closed_loop;
#[path = "fleet_support/contention.rs"]
mod contention;
#[path = "fleet_support/crowd.rs"]
mod crowd;
#[path = "fleet_support/events.rs"]
mod events;
#[path = "fleet_support/figures.rs"]
mod figures;
#[path = "fleet_support/runs.rs"]
mod runs;
#[path = "fleet_support/service.rs"]
mod service;

use closed_loop::StartOver;
use contention::Outcome;
use figures::Overload;
use runs::Runs;
use service::{Load, Scenario, Service, USUAL};

/// The folder of the figures that are drawn.
const FOLDER: &str = "target/fleet";
/// The folder of the figures that the documentation shows.
const DOCUMENTED: &str = "docs/fleet";
/// The runs of each kind in the documented figures.
const SEEDS: u32 = 30;
/// The processes that share the requests, each with its own budget.
const PROCESSES: [usize; 3] = [1, 20, 100];
const NO_RETRY: &str = "no retry";
const FULL_JITTER: &str = "full jitter";
/// The numbers of callers, doubled in each step: from callers that hardly think to callers that think
/// for minutes.
const CALLERS: [u32; 8] = [75, 150, 300, 600, 1200, 2400, 4800, 9600];
const JITTERS: [(&str, Jitter); 4] = [
    ("no jitter", Jitter::None),
    ("full jitter", Jitter::Full),
    ("equal jitter", Jitter::Equal),
    ("decorrelated", Jitter::Decorrelated),
];

/// The defaults: three attempts, 1 s, ×2, at most 60 s.
const POLICY: RetryPolicy = RetryPolicy::new().with_logging(false);

const LOOPS: [(&str, bool, StartOver); 3] = [
    ("no budget, starts over at once", false, StartOver::AtOnce),
    ("budget, starts over at once: a spin", true, StartOver::AtOnce),
    ("budget, pauses for next_delay", true, StartOver::AfterNextDelay),
];

const LEGEND: &str = "\
recovered: runs that have ten consecutive seconds, after the end of the spike or the outage or the top of
           the ramp at 25 s, in which 90 % of the arriving requests succeed. median: time from then to the
           first of the ten. goodput: successes. These runs take 120 s.
";

struct Strategy {
    name: &'static str,
    policy: RetryPolicy,
    /// The number of processes with a budget each. Without budgets, their number makes no difference.
    processes: Option<usize>,
}

fn strategies() -> Vec<Strategy> {
    let full = POLICY.with_jitter(Jitter::Full);
    let constant = |delay| POLICY.with_backoff(Backoff::constant(delay));
    let without = [
        (NO_RETRY, POLICY.with_max_attempts(1)),
        ("immediate", constant(Duration::ZERO)),
        ("fixed", constant(Duration::from_secs(1))),
        ("exponential, no jitter", POLICY),
        (FULL_JITTER, full),
    ];
    let without =
        without.into_iter().map(|(name, policy)| Strategy { name, policy, processes: None });
    let with = PROCESSES.into_iter().map(|processes| Strategy {
        name: "full jitter, budget",
        policy: full,
        processes: Some(processes),
    });
    without.chain(with).collect()
}

struct Options {
    /// Runs of each kind that a figure shows.
    seeds: u32,
    /// Runs of each kind in the other tables, which take longer.
    table_seeds: u32,
    check: bool,
}

/// Returns the numbers of contending clients.
fn contenders() -> impl Iterator<Item = u32> {
    (10..=100).step_by(10)
}

impl Options {
    /// Returns the number of runs in all experiments. With a figure: two shapes of load, callers with and without
    /// a budget, four crowds, and the contention. Without: two outages, two kinds of failure with and without a
    /// budget, and three kinds of worker with three policies.
    fn runs(&self) -> u64 {
        let contention = contenders().count() * JITTERS.len();
        let with_figure = 2 * strategies().len() + 2 * CALLERS.len() + 4 + contention;
        let without_figure = 2 * strategies().len() + 4 + 3 * LOOPS.len();
        with_figure as u64 * u64::from(self.seeds)
            + without_figure as u64 * u64::from(self.table_seeds)
    }
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let (mut seeds, mut quick, mut check) = (SEEDS, false, false);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("quick") => quick = true,
            Long("check") => check = true,
            Long("seeds") => seeds = arguments.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    if seeds == 0 {
        return Err("at least one seed is needed".into());
    }
    if check && seeds != SEEDS {
        return Err("--check needs the default number of seeds".into());
    }
    let table_seeds = if quick { seeds.min(3) } else { seeds };
    Ok(Options { seeds, table_seeds, check })
}

/// Runs the experiments, shows their progress, prints tables, draws figures, and collects claims.
struct Laboratory {
    options: Options,
    /// One budget for each process. A budget must be `'static`, so these are leaked once and serve
    /// all runs.
    budgets: Vec<&'static RetryBudget>,
    bar: ProgressBar,
    claims: Vec<String>,
    /// The number of claims that do not hold.
    refuted: usize,
    /// Documented figures that differ from the drawn ones.
    stale: Vec<String>,
}

impl Laboratory {
    fn new(options: Options) -> Self {
        let budgets = (0..100).map(|_| &*Box::leak(Box::new(RetryBudget::new()))).collect();
        let bar = ProgressBar::new(options.runs()); // hidden if there is no terminal
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self { options, budgets, bar, claims: Vec::new(), refuted: 0, stale: Vec::new() }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    fn claim(&mut self, what: &str, claimed: &str, measured: &str, holds: bool) {
        self.refuted += usize::from(!holds);
        let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
        self.claims.push(format!("{what:48}{claimed:>16}{measured:>16}  {verdict}"));
    }

    fn draw(&mut self, name: &str, svg: &str) -> Result<(), Box<dyn Error>> {
        let file = Path::new(name).with_extension("svg");
        std::fs::write(Path::new(FOLDER).join(&file), svg)?;
        let documented = Path::new(DOCUMENTED).join(&file);
        if std::fs::read_to_string(&documented).is_ok_and(|documented| documented == svg) {
            return Ok(());
        }
        self.stale.push(documented.display().to_string());
        Ok(())
    }

    /// Makes one run for each of this many seeds.
    async fn runs(
        &self,
        scenario: Scenario,
        policy: RetryPolicy,
        processes: Option<usize>,
        seeds: u32,
    ) -> Runs {
        let budgets = &self.budgets[..processes.unwrap_or(0)];
        let mut runs = Vec::new();
        for seed in 0..seeds {
            runs.push(service::run(scenario, policy, budgets, seed).await);
            self.bar.inc(1);
        }
        Runs(runs)
    }

    /// Runs all strategies against a service that slows down under load, with a disturbance.
    async fn overload(
        &mut self,
        name: &str,
        load: Load,
        service: Service,
        seeds: u32,
    ) -> Vec<(Strategy, Runs)> {
        self.say(&format!(
            "{name:24}{:>9}{:>11}{:>13}{:>15}{:>11}{:>9}",
            "processes", "recovered", "median", "calls/request", "goodput", "success"
        ));
        let scenario = Scenario { load, service, seconds: 120 };
        let mut results = Vec::new();
        for strategy in strategies() {
            self.bar.set_message(format!("{name}, {}", strategy.name));
            let runs = self.runs(scenario, strategy.policy, strategy.processes, seeds).await;
            self.report_recovery(name, &strategy, &runs);
            results.push((strategy, runs));
        }
        self.say("");
        results
    }

    async fn spike(&mut self) -> Result<(), Box<dyn Error>> {
        let results =
            self.overload("spike", Load::Spike, Service::Overloadable, self.options.seeds).await;
        let runs = |with_budget: bool| -> Vec<&Runs> {
            let retries = results.iter().filter(|(strategy, _)| strategy.name != NO_RETRY);
            let alike = retries.filter(|(strategy, _)| strategy.processes.is_some() == with_budget);
            alike.map(|(_, runs)| runs).collect()
        };
        let [first, second, last] = PROCESSES;
        let processes = format!("{first}, {second} or {last}");
        let without = results.iter().map(|(strategy, _)| strategy);
        let without = without.filter(|it| it.name != NO_RETRY && it.processes.is_none());
        let policies: Vec<_> = without.map(|it| it.name.trim_end_matches(", no jitter")).collect();
        let policies = policies.join(", ");
        self.draw(
            "recovery",
            &figures::recovery(&runs(false), &runs(true), &policies, &processes),
        )?;
        self.draw("spike", &of_full_jitter(results).spike())
    }

    async fn ramp(&mut self) -> Result<(), Box<dyn Error>> {
        let results =
            self.overload("ramp", Load::Ramp, Service::Overloadable, self.options.seeds).await;
        self.draw("ramp", &of_full_jitter(results).ramp())
    }

    /// Simulates the usual load, and a service that succeeds with no call for ten seconds.
    async fn outages(&mut self) {
        let (load, seeds) = (Load::Steady(USUAL), self.options.table_seeds);
        self.overload("outage, refuses", load, Service::Refuses, seeds).await;
        self.overload("outage, silent", load, Service::Silent, seeds).await;
    }

    /// Simulates a fixed number of callers, each of which waits until its request has ended.
    async fn callers(&mut self) -> Result<(), Box<dyn Error>> {
        self.say(&format!(
            "{:24}{:>11}{:>16}{:>16}",
            "callers, full jitter", "thinking", "without budget", "100 processes"
        ));
        let full = POLICY.with_jitter(Jitter::Full);
        let mut results = Vec::new();
        for callers in CALLERS {
            self.bar.set_message(format!("{callers} callers"));
            let load = Load::Callers(callers);
            let scenario = Scenario { load, service: Service::Overloadable, seconds: 120 };
            let mut recovered = [0; 2];
            for (recovered, processes) in recovered.iter_mut().zip([None, Some(100)]) {
                let runs = self.runs(scenario, full, processes, self.options.seeds).await;
                *recovered = runs.recovered();
            }
            let thinking = format!("{:.1} s", Load::thinking_time(callers).as_secs_f64());
            let [without, with] = recovered.map(|runs| format!("{runs} of {}", self.options.seeds));
            self.say(&format!("{callers:24}{thinking:>11}{without:>16}{with:>16}"));
            results.push((callers, recovered));
        }
        self.say("");
        let total = self.options.seeds as usize;
        for (index, who, claimed) in [
            (0, "up to 300 callers, no budget", &results[..3]),
            (1, "up to 9600 callers, budget", &results[..]),
        ] {
            let least = claimed.iter().map(|(_, recovered)| recovered[index]).min().unwrap_or(0);
            let measured = format!("{least} of {total}");
            self.claim(who, "all recover", &measured, least == total);
        }
        self.draw("callers", &figures::callers(&results, self.options.seeds as usize))
    }

    fn report_recovery(&mut self, load: &str, strategy: &Strategy, runs: &Runs) {
        let times = runs.seconds_to_recover();
        let recovered = format!("{} of {}", times.iter().flatten().count(), times.len());
        let all = times.iter().all(Option::is_some);
        let median =
            runs::median_time(times).map_or("never".into(), |seconds| format!("{seconds} s"));
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

    /// Simulates a hundred processes with ten requests a second each, with futile and with useful
    /// retries.
    async fn hundred_processes(&mut self) {
        const DOWN_FROM: u32 = 30;
        // The steady part of the outage: earlier successes have expired, and earlier retries have
        // ended. It is long, because all processes spend their minimum in each window at once.
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
            let seeds = self.options.table_seeds;
            let outage = self.runs(down, full, processes, seeds).await;
            measured[0].push(outage.calls_per_arrival(&(30..40)));
            measured[1].push(outage.calls_per_arrival(&STEADY));
            let failures = self.runs(flaky, full, processes, seeds).await;
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

    /// Simulates workers that start over when a retry gave up or was refused, in a full outage.
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
                for seed in 0..self.options.table_seeds {
                    sum += f64::from(closed_loop::calls(policy, budget, start_over, seed).await);
                    self.bar.inc(1);
                }
                means.push(sum / f64::from(self.options.table_seeds));
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

    /// Simulates clients that all get the same `Retry-After`.
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

    /// Simulates the same clients, and a service that refuses all calls above its limit. Without
    /// jitter, a client waits exactly the hint.
    fn crowd_at_a_limit(&mut self) -> Result<(), Box<dyn Error>> {
        let title = format!("{} clients, limit of {}/s", crowd::CLIENTS, crowd::LIMIT);
        self.say(&format!("{title:32}{:>16}{:>14}{:>14}", "fullest second", "calls", "gave up"));
        let (mut crowds, mut measured) = (Vec::new(), Vec::new());
        for (name, jitter) in [("exactly at the hint", Jitter::None), ("spread", Jitter::Full)] {
            let policy = POLICY.with_jitter(jitter);
            let runs: Vec<_> =
                (0..self.options.seeds).map(|seed| crowd::meets_a_limit(policy, seed)).collect();
            self.bar.inc(self.options.seeds.into());
            let median = |count: fn(&crowd::Run) -> u32| {
                runs::median(runs.iter().map(count).collect()).unwrap_or(0)
            };
            let fullest = crowd::fullest_second(&runs);
            let calls = median(|run| run.iter().map(|second| second.calls).sum());
            let served = median(|run| run[crowd::SECONDS - 1].served);
            let gave_up = crowd::CLIENTS - served as usize;
            self.say(&format!("{name:32}{fullest:>16}{calls:>14}{gave_up:>14}"));
            measured.push((fullest, gave_up));
            crowds.push(runs);
        }
        self.say("");
        let [(exact, _), (spread, gave_up)] = measured[..] else { unreachable!("two crowds") };
        let claimed = format!("<= {exact} / 5");
        self.claim(
            "crowd, spread: fullest second",
            &claimed,
            &spread.to_string(),
            spread * 5 <= exact,
        );
        self.claim("the same: gave up", "0", &gave_up.to_string(), gave_up == 0);
        self.draw("retry_after", &figures::retry_after(&crowds[0], &crowds[1]))
    }

    /// Simulates many clients that write one row.
    fn contention(&mut self) -> Result<(), Box<dyn Error>> {
        let names = JITTERS.map(|(name, _)| format!("{name:>21}")).concat();
        self.say(&format!("contention{names}"));
        let mut svg = String::new();
        for clients in contenders() {
            self.bar.set_message(format!("contention, {clients} clients"));
            let outcomes = JITTERS.map(|(_, jitter)| {
                self.bar.inc(self.options.seeds.into());
                contention::mean(clients, jitter, self.options.seeds)
            });
            let figures = outcomes
                .map(|Outcome { calls, seconds }| format!("{calls:>7.0} calls{seconds:>6.1} s"));
            self.say(&format!("{clients:10}{}", figures.concat()));
            if clients == 100 {
                let rows =
                    JITTERS.iter().zip(outcomes).map(|((name, _), outcome)| (*name, outcome));
                let rows: Vec<_> = rows.collect();
                svg = figures::contention(clients, self.options.seeds, &rows);
                self.claim_as_published("no jitter", outcomes[0], 1850.0, 63.0);
                self.claim_as_published("full jitter", outcomes[1], 800.0, 5.0);
            }
        }
        self.say("");
        self.draw("contention", &svg)
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

/// Returns the runs with full jitter: without a budget, and with a budget in each of the most
/// processes.
fn of_full_jitter(results: Vec<(Strategy, Runs)>) -> Overload {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for (strategy, runs) in results {
        match strategy.processes {
            None if strategy.name == FULL_JITTER => without = runs.0,
            processes if processes == PROCESSES.last().copied() => with = runs.0,
            _ => {}
        }
    }
    Overload::new(Runs(without), Runs(with))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    clock::start();
    let started = std::time::Instant::now();
    let mut laboratory = Laboratory::new(options()?);
    std::fs::create_dir_all(FOLDER)?;
    laboratory.say(LEGEND);
    laboratory.spike().await?;
    laboratory.ramp().await?;
    laboratory.outages().await;
    laboratory.callers().await?;
    laboratory.hundred_processes().await;
    laboratory.closed_loop().await;
    laboratory.crowd();
    laboratory.crowd_at_a_limit()?;
    laboratory.contention()?;
    laboratory.bar.finish_and_clear();
    println!("{:48}{:>16}{:>16}", "claims", "claimed", "measured");
    for claim in &laboratory.claims {
        println!("{claim}");
    }
    println!("\nfigures in {FOLDER}, after {:.0?}", started.elapsed());
    if laboratory.refuted > 0 {
        return Err(format!("claims that do not hold: {}", laboratory.refuted).into());
    }
    if laboratory.options.check && !laboratory.stale.is_empty() {
        let stale = laboratory.stale.join(", ");
        return Err(format!("stale: {stale}; copy the files from {FOLDER}").into());
    }
    Ok(())
}
