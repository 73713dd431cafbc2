//! Every driver follows a model of the rules, for any policy and any script.
//!
//! `PROPTEST_CASES` sets the number of cases for each property.

mod budgets;
mod cases;
mod census;
#[path = "../common/mod.rs"]
mod common;
mod delays;
mod runs;

use std::sync::Once;
use std::time::Duration;

use common::drivers::World;
use common::drivers::awaited::paused;
use common::model::Scenario;
use common::{ScriptError, poll_to_end, secs};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use retry_ext::{RetryBudget, RetryPolicy, SleepOutcome};
use tokio::time::Instant;

/// Checks a law in many cases, and panics with the simplest counterexample.
fn for_all<S: Strategy>(strategy: S, law: impl Fn(S::Value) -> TestCaseResult) {
    write_every_record();
    let mut runner = TestRunner::new(Config { source_file: Some(file!()), ..Config::default() });
    if let Err(failure) = runner.run(&strategy, law) {
        panic!("{failure}\n{runner}");
    }
}

/// Sets a logger that formats every record: any policy must be fit for the log.
fn write_every_record() {
    struct Nowhere;
    impl log::Log for Nowhere {
        fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            assert!(!record.args().to_string().is_empty());
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Nowhere).expect("the only logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// A scenario on tokio's paused clock, with a record of the times and of the budget's rest.
struct Stage<'a> {
    scenario: &'a Scenario,
    budget: Option<&'static RetryBudget>,
    calls: Vec<Call>,
    sleeps: usize,
    left: Vec<u32>,
    /// The number of calls after the end of the script.
    asked: u32,
}

struct Call {
    begun: Instant,
    ended: Instant,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, budget: None, calls: Vec::new(), sleeps: 0, left: Vec::new(), asked: 0 }
    }

    /// Returns the time at the end of each call from `first` on, measured from `since`.
    fn clock(&self, first: usize, since: impl Fn(&Call) -> Instant) -> Vec<Duration> {
        let calls = &self.calls[first..];
        calls.iter().map(|call| call.ended - since(&calls[0])).collect()
    }

    fn clock_of_one(&self) -> Vec<Duration> {
        self.clock(0, |first| first.begun)
    }

    /// Drives the scenario on a separate clock.
    fn run<T>(&mut self, drive: fn(RetryPolicy, &mut dyn World) -> T, policy: RetryPolicy) -> T {
        paused(async { drive(policy, self) })
    }
}

impl World for Stage<'_> {
    fn call(&mut self) -> Option<Result<(), ScriptError>> {
        let Some(step) = self.scenario.step(self.calls.len()) else {
            self.asked += 1;
            return None;
        };
        let begun = Instant::now();
        if let Some((_, took)) = self.scenario.steps.get(self.calls.len()) {
            let_pass(*took);
        }
        self.calls.push(Call { begun, ended: Instant::now() });
        Some(step.play())
    }

    fn wait(&mut self, delay: Duration) -> SleepOutcome {
        self.left.extend(self.budget.map(RetryBudget::available));
        self.sleeps += 1;
        let outcome = self.scenario.sleep(self.sleeps - 1);
        match outcome {
            _ if !self.scenario.sleeps => {}
            SleepOutcome::Elapsed => let_pass(delay),
            SleepOutcome::Woken => let_pass(delay / 2),
            SleepOutcome::Cancelled => {}
        }
        outcome
    }
}

const YEAR: Duration = secs(365 * 24 * 3_600);

/// Advances the clock by at most 20 years, so that every run stays in the range of the clock.
fn let_pass(time: Duration) {
    if !time.is_zero() {
        poll_to_end(tokio::time::advance(time.min(20 * YEAR)));
    }
}
