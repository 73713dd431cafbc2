//! Plays a script of calls through every driver, each on a separate clock.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::future::{Future, ready};
use std::iter;
use std::pin::{Pin, pin};
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record, kv};
use retry_ext::{
    AsyncRetryExt, Jitter, RetryBudget, RetryError, RetryEvent, RetryExt, RetryIteratorExt,
    RetryPolicy, SleepOutcome, Verdict, attempts,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{self, Instant};

use crate::input::{Input, Outcome, Sleeper, Step};
use crate::journal::{Entry, Failure, Journal};

thread_local! {
    /// The journal of the running script. It is thread-local because the logger is global.
    static JOURNAL: RefCell<Journal> = const { RefCell::new(Vec::new()) };
}

fn note(entry: Entry) {
    JOURNAL.with_borrow_mut(|journal| journal.push(entry));
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        struct Line(String);

        impl<'kvs> kv::VisitSource<'kvs> for Line {
            fn visit_pair(
                &mut self,
                key: kv::Key<'kvs>,
                value: kv::Value<'kvs>,
            ) -> Result<(), kv::Error> {
                Ok(write!(self.0, " {key}={value}")?)
            }
        }

        let mut line = Line(record.args().to_string());
        record.key_values().visit(&mut line).expect("every value can be shown");
        note(Entry::Record(record.level()));
    }

    fn flush(&self) {}
}

pub(crate) type Driver = fn(&Stage<'_>);

pub(crate) const DRIVERS: [(&str, Driver); 7] = [
    ("closure", by_closure),
    ("loop", by_loop),
    ("iterator", by_iterator),
    ("future", by_future),
    ("closure with verdicts", by_verdicts),
    ("step", by_step),
    ("future with attempts", by_attempts),
];

/// Plays one operation after another until the script is over. Only calls and waits move the clock,
/// so the same bytes give the same journal.
pub(crate) fn play(driver: Driver, input: &Input, policy: RetryPolicy) -> Journal {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Logger).expect("there is no other");
        log::set_max_level(LevelFilter::Trace);
    });
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("it needs no system");
    let _clock = runtime.enter();
    let (start, calls) = (Instant::now(), Cell::new(0));
    driver(&Stage { input, policy, runtime: &runtime, start, calls });
    JOURNAL.take()
}

pub(crate) struct Stage<'a> {
    input: &'a Input,
    policy: RetryPolicy,
    runtime: &'a Runtime,
    start: Instant,
    calls: Cell<usize>,
}

/// Parses a duration as messages show it, and returns the seconds.
fn seconds(shown: &str) -> f64 {
    let unit = shown.find(|c: char| c != '.' && !c.is_ascii_digit()).expect("a unit");
    let (number, unit) = shown.split_at(unit);
    let unit = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => panic!("{shown}"),
    };
    number.parse::<f64>().expect("a number") * unit
}

impl Stage<'_> {
    fn is_over(&self) -> bool {
        self.calls.get() >= self.input.script.len()
    }

    fn pass(&self, time: Duration) {
        if !time.is_zero() {
            self.runtime.block_on(time::advance(time));
        }
    }

    /// Makes a call of the operation.
    fn call(&self) -> Result<(), Failure> {
        let call = self.calls.get();
        self.calls.set(call + 1);
        note(Entry::Call { at: self.start.elapsed() });
        let step = self.input.script.get(call).copied().unwrap_or(Step::SUCCESS);
        self.pass(Duration::from_micros(step.takes_micros.into()));
        match step.outcome {
            Outcome::Succeed => Ok(()),
            outcome => Err(Failure { call, outcome }),
        }
    }

    fn hear(&self, retry: &RetryEvent<'_, Failure>) {
        self.hear_of(retry, retry.error);
    }

    fn hear_of<X>(&self, retry: &RetryEvent<'_, X>, failure: &Failure) {
        let RetryEvent { attempt, delay, waited, .. } = *retry;
        assert_eq!(
            (retry.max_attempts, retry.name),
            (self.policy.max_attempts(), self.policy.name())
        );
        let text = retry.to_string();
        let (_, shown) = text.split_once(" failed, retrying in ").expect("the delay of the retry");
        let exact = delay.as_secs_f64();
        assert!((seconds(shown) - exact).abs() <= exact * 0.005, "{text}: {delay:?}");
        assert_eq!(failure.call + 1, self.calls.get());
        note(Entry::Retry { attempt, delay, waited });
    }

    fn sleep(&self, delay: Duration) -> SleepOutcome {
        let outcome = self.input.script[self.calls.get() - 1].sleep.outcome();
        let follows_a_retry =
            JOURNAL.with_borrow(|journal| matches!(journal.last(), Some(Entry::Retry { .. })));
        if !follows_a_retry {
            note(Entry::Pause(delay));
            return outcome;
        }
        note(Entry::Wait(delay));
        // A clock cannot be moved by an unlimited time.
        let asked = delay.min(Duration::from_hours(24));
        match (outcome, self.input.sleeper) {
            (SleepOutcome::Cancelled, _) | (_, Sleeper::Returns) => {}
            (SleepOutcome::Woken, _) => self.pass(asked / 2),
            (SleepOutcome::Elapsed, Sleeper::Sleeps) => self.pass(asked),
            (SleepOutcome::Elapsed, Sleeper::Oversleeps { millis }) => {
                self.pass(asked + Duration::from_millis(millis.into()));
            }
        }
        outcome
    }

    fn end(&self, result: Result<(), RetryError<Failure>>) {
        let available = self.policy.budget().map(RetryBudget::available);
        note(Entry::End { at: self.start.elapsed(), result, available });
    }
}

fn by_closure(stage: &Stage<'_>) {
    while !stage.is_over() {
        let result = (|| stage.call())
            .on_retry(|retry| stage.hear(retry))
            .sleep_with(|delay| stage.sleep(delay))
            .retry_with(stage.policy);
        stage.end(result);
    }
}

/// Classifies outcomes as the errors classify themselves, and computes the same delays as the
/// backoff.
fn by_verdicts(stage: &Stage<'_>) {
    while !stage.is_over() {
        let result = (|| stage.call())
            .classify(|outcome| outcome.as_ref().map_or_else(Verdict::of, |()| Verdict::Success))
            .delay_with(|retry, _outcome| same_delay(stage.policy, retry))
            .on_retry(|retry| {
                let Err(failure) = retry.error else { unreachable!("a success is not retried") };
                stage.hear_of(retry, failure);
            })
            .sleep_with(|delay| stage.sleep(delay))
            .retry_with(stage.policy);
        stage.end(result);
    }
}

/// Returns the backoff's delay. Decorrelated jitter uses a computed delay as the initial delay.
fn same_delay(policy: RetryPolicy, retry: u32) -> Duration {
    policy.backoff().delay(if policy.jitter() == Jitter::Decorrelated { 1 } else { retry })
}

/// Plays a loop whose context calls the hook, waits and records successes.
fn by_step(stage: &Stage<'_>) {
    while !stage.is_over() {
        let mut retry = stage
            .policy
            .start()
            .on_retry(|retry: &RetryEvent<'_, Failure>| stage.hear(retry))
            .sleep_with(|delay| stage.sleep(delay));
        stage.end(loop {
            match retry.step(stage.call()) {
                Ok(None) => {}
                Ok(Some(())) => break Ok(()),
                Err(stopped) => break Err(stopped),
            }
        });
    }
}

fn by_attempts(stage: &Stage<'_>) {
    while !stage.is_over() {
        let first = stage.calls.get();
        let operation = attempts(|attempt| {
            assert_eq!(attempt.number() as usize, stage.calls.get() - first + 1);
            assert_eq!(attempt.remaining().is_some(), stage.policy.max_elapsed().is_some());
            ready(stage.call())
        });
        let mut future = pin!(
            operation
                .on_retry(|retry| stage.hear(retry))
                .sleep_with(|delay| ready(stage.sleep(delay)))
                .retry_with(stage.policy)
        );
        stage.end(poll_to_end(future.as_mut()));
    }
}

fn poll_to_end<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn by_loop(stage: &Stage<'_>) {
    let mut retry = stage.policy.start();
    while !stage.is_over() {
        let result = loop {
            let (attempt, waited) = (retry.attempt(), retry.waited());
            let Err(failure) = stage.call() else {
                retry.succeeded();
                break Ok(());
            };
            match retry.delay_after(&failure) {
                Ok(delay) => {
                    note(Entry::Retry { attempt, delay, waited });
                    match stage.sleep(delay) {
                        SleepOutcome::Elapsed => {}
                        SleepOutcome::Woken => retry.woken(),
                        SleepOutcome::Cancelled => break Err(retry.cancelled(failure)),
                    }
                }
                Err(reason) => {
                    let stopped = retry.wait_after(failure);
                    assert_eq!(stopped.as_ref().map_err(RetryError::reason), Err(reason));
                    break stopped;
                }
            }
        };
        // A loop may go on after a success, but then its deadline counts from the next failure.
        if result.is_err() || stage.policy.max_elapsed().is_some() {
            retry = stage.policy.start();
        }
        stage.end(result);
    }
}

fn by_iterator(stage: &Stage<'_>) {
    while !stage.is_over() {
        let mut items = iter::repeat_with(|| stage.call())
            .on_retry(|retry| stage.hear(retry))
            .sleep_with(|delay| stage.sleep(delay))
            .retry_with(stage.policy);
        while !stage.is_over() {
            let Some(item) = items.next() else {
                // The source is endless, so a pause was cancelled.
                assert!(items.next().is_none());
                break;
            };
            stage.end(item);
        }
    }
}

fn by_future(stage: &Stage<'_>) {
    while !stage.is_over() {
        let mut future = pin!(
            (|| ready(stage.call()))
                .on_retry(|retry| stage.hear(retry))
                .sleep_with(|delay| ready(stage.sleep(delay)))
                .retry_with(stage.policy)
        );
        stage.end(poll_to_end(future.as_mut()));
    }
}
