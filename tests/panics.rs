//! Rule 15: state first, then reports. Every classifier, hook, observer, sleeper and logger may
//! panic, at every place. Afterwards, the budget, the counters and the context are as if there had
//! been no panic.

mod common;

use std::cell::Cell;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use common::secs;
use log::{Level, LevelFilter, Log, Metadata, Record};
use retry_ext::{
    AsyncRetryExt, IsTransient, Observation, Observer, RetryBudget, RetryExt, RetryIteratorExt,
    RetryPolicy, RetryStats, StopReason,
};

/// The part that panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Classifier,
    Hook,
    Sleeper,
    OnRetry,
    OnSuccess,
    OnGiveUp,
    LogOfRetry,
    LogOfGiveUp,
    LogOfRecovery,
}

use Who::{
    Classifier, Hook, LogOfGiveUp, LogOfRecovery, LogOfRetry, OnGiveUp, OnRetry, OnSuccess, Sleeper,
};

thread_local! {
    static ARMED: Cell<Option<Who>> = const { Cell::new(None) };
}

/// Panics once, if this part is armed.
fn turn(who: Who) {
    if ARMED.get() == Some(who) {
        ARMED.set(None);
        std::panic::resume_unwind(Box::new(who));
    }
}

struct Panicking(RetryStats);

impl Observer for Panicking {
    fn on_retry(&self, observation: &Observation, delay: Duration) {
        self.0.on_retry(observation, delay);
        turn(OnRetry);
    }

    fn on_success(&self, observation: &Observation) {
        self.0.on_success(observation);
        turn(OnSuccess);
    }

    fn on_give_up(&self, observation: &Observation, reason: StopReason) {
        self.0.on_give_up(observation, reason);
        turn(OnGiveUp);
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        turn(match record.level() {
            Level::Debug => LogOfRecovery,
            _ if text.contains("gave up") => LogOfGiveUp,
            _ => LogOfRetry,
        });
    }

    fn flush(&self) {}
}

fn set_logger() {
    static LOGGER: Logger = Logger;
    // Only the first test of this process sets it.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Trace);
}

/// A transient error, whose classification may panic.
#[derive(Debug)]
struct Failure;

impl IsTransient for Failure {
    fn is_transient(&self) -> bool {
        turn(Classifier);
        true
    }
}

/// The state after a panic: the retries charged to the budget, and the counters.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    charged: u32,
    retries: u64,
    succeeded: u64,
    gave_up: u64,
}

const BUDGET: u32 = 10;

fn policy() -> (RetryPolicy, &'static RetryBudget) {
    let budget = RetryBudget::new().with_min_retries(BUDGET).with_ratio(0.0);
    let budget: &'static RetryBudget = Box::leak(Box::new(budget));
    (RetryPolicy::new().with_budget(budget), budget)
}

fn left(budget: &RetryBudget, stats: &RetryStats) -> Left {
    let seen = stats.snapshot();
    Left {
        charged: BUDGET - budget.available(),
        retries: seen.retries,
        succeeded: seen.succeeded_at_first + seen.succeeded_after_retry,
        gave_up: seen.reasons().map(|(_, number)| number).sum(),
    }
}

type Form = fn(RetryPolicy, &Panicking, &mut dyn FnMut() -> Result<(), Failure>);

fn by_closure(
    policy: RetryPolicy,
    observer: &Panicking,
    call: &mut dyn FnMut() -> Result<(), Failure>,
) {
    let _ = call
        .on_retry(|_| turn(Hook))
        .observe(observer)
        .sleep_with(|_| turn(Sleeper))
        .retry_with(policy);
}

fn by_iterator(
    policy: RetryPolicy,
    observer: &Panicking,
    call: &mut dyn FnMut() -> Result<(), Failure>,
) {
    let source = std::iter::from_fn(|| Some(call()));
    let _ = source
        .on_retry(|_| turn(Hook))
        .observe(observer)
        .sleep_with(|_| turn(Sleeper))
        .retry_with(policy)
        .next();
}

fn by_future(
    policy: RetryPolicy,
    observer: &Panicking,
    call: &mut dyn FnMut() -> Result<(), Failure>,
) {
    let mut future = pin!(
        (|| ready(call()))
            .on_retry(|_| turn(Hook))
            .observe(observer)
            .sleep_with(|_| {
                turn(Sleeper);
                ready(())
            })
            .retry_with(policy)
    );
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {}
}

const FORMS: [(&str, Form); 3] =
    [("closure", by_closure), ("iterator", by_iterator), ("future", by_future)];

#[test]
fn p38_whoever_panics_in_whatever_form_nothing_is_booked_twice_or_lost() {
    set_logger();
    let left_by =
        |charged, retries, succeeded, gave_up| Left { charged, retries, succeeded, gave_up };
    // Each row has the failures before a success, the part that panics, and the state afterwards.
    let table = [
        (9, Classifier, left_by(0, 0, 0, 0)),
        (9, OnRetry, left_by(1, 1, 0, 0)),
        (9, LogOfRetry, left_by(1, 1, 0, 0)),
        (9, Hook, left_by(1, 1, 0, 0)),
        (9, Sleeper, left_by(1, 1, 0, 0)),
        (9, OnGiveUp, left_by(2, 2, 0, 1)),
        (9, LogOfGiveUp, left_by(2, 2, 0, 1)),
        (0, OnSuccess, left_by(0, 0, 1, 0)),
        (1, OnSuccess, left_by(1, 1, 1, 0)),
        (1, LogOfRecovery, left_by(1, 1, 1, 0)),
    ];
    for (name, form) in FORMS {
        for (failures, who, expected) in &table {
            let (policy, budget) = policy();
            let observer = Panicking(RetryStats::new());
            let mut calls = 0;
            let mut call = || {
                calls += 1;
                if calls <= *failures { Err(Failure) } else { Ok(()) }
            };
            ARMED.set(Some(*who));
            let run = AssertUnwindSafe(|| form(policy, &observer, &mut call));
            let payload = catch_unwind(run).expect_err("a panic");
            assert_eq!(payload.downcast_ref(), Some(who), "{name}");
            assert_eq!(left(budget, &observer.0), *expected, "{who:?} in {name}");
            // The thread reports again.
            let before = observer.0.snapshot().succeeded_at_first;
            assert!((|| Ok::<(), Failure>(())).observe(&observer).retry_with(policy).is_ok());
            assert_eq!(observer.0.snapshot().succeeded_at_first, before + 1, "{who:?} in {name}");
        }
    }
}

#[test]
fn p38_a_context_stands_where_its_decision_left_it() {
    set_logger();
    // Each row has the part that panics, the attempt, the time waited, and the next answer to a
    // failure.
    for (who, attempt, waited, next) in [
        (Classifier, 1, secs(0), Ok(secs(1))), // nothing was decided
        (OnRetry, 2, secs(1), Ok(secs(2))),
        (LogOfRetry, 2, secs(1), Ok(secs(2))),
    ] {
        let (policy, budget) = policy();
        let mut retry = policy.start().observe(Panicking(RetryStats::new()));
        ARMED.set(Some(who));
        let run = AssertUnwindSafe(|| retry.delay_after(&Failure));
        assert!(catch_unwind(run).is_err(), "{who:?}");
        assert_eq!((retry.attempt(), retry.waited()), (attempt, waited), "{who:?}");
        assert_eq!(retry.delay_after(&Failure), next, "{who:?}");
        assert_eq!(budget.available(), BUDGET - attempt, "{who:?}");
    }

    for who in [OnGiveUp, LogOfGiveUp] {
        let (policy, budget) = policy();
        let mut retry = policy.with_max_attempts(1).start().observe(Panicking(RetryStats::new()));
        ARMED.set(Some(who));
        assert!(catch_unwind(AssertUnwindSafe(|| retry.delay_after(&Failure))).is_err());
        assert_eq!(retry.delay_after(&Failure), Err(StopReason::AttemptsExhausted), "{who:?}");
        let stopped = retry.wait_after(Failure).expect_err("it has stopped");
        assert_eq!((stopped.attempts(), stopped.reason()), (1, StopReason::AttemptsExhausted));
        assert_eq!(budget.available(), BUDGET);
    }

    for who in [OnGiveUp, LogOfGiveUp] {
        let (policy, _) = policy();
        let mut retry = policy.start().observe(Panicking(RetryStats::new()));
        assert_eq!(retry.delay_after(&Failure), Ok(secs(1)));
        ARMED.set(Some(who));
        assert!(catch_unwind(AssertUnwindSafe(|| retry.cancelled(Failure))).is_err());
        assert_eq!(retry.delay_after(&Failure), Err(StopReason::Cancelled), "{who:?}");
        assert_eq!((retry.attempt(), retry.waited()), (1, secs(0)), "{who:?}");
    }

    for who in [OnSuccess, LogOfRecovery] {
        let (policy, budget) = policy();
        let mut retry = policy.start().observe(Panicking(RetryStats::new()));
        assert_eq!(retry.delay_after(&Failure), Ok(secs(1)));
        ARMED.set(Some(who));
        assert!(catch_unwind(AssertUnwindSafe(|| retry.succeeded())).is_err(), "{who:?}");
        assert_eq!((retry.attempt(), retry.waited()), (1, secs(0)), "{who:?}: counts afresh");
        assert_eq!(retry.delay_after(&Failure), Ok(secs(1)), "{who:?}");
        assert_eq!(budget.available(), BUDGET - 2, "{who:?}");
    }
}

#[test]
fn p38_an_iterator_pauses_after_a_refusal_whose_report_panicked() {
    static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);

    set_logger();
    for who in [OnGiveUp, LogOfGiveUp] {
        let observer = Panicking(RetryStats::new());
        let mut pauses = Vec::new();
        let mut items = std::iter::repeat_with(|| Err::<(), _>(Failure))
            .observe(&observer)
            .sleep_with(|pause| pauses.push(pause))
            .retry_with(RetryPolicy::new().with_budget(&SPENT));
        ARMED.set(Some(who));
        assert!(catch_unwind(AssertUnwindSafe(|| items.next())).is_err());
        let stopped = items.next().expect("an item").expect_err("refused");
        assert_eq!(stopped.reason(), StopReason::BudgetExhausted);
        drop(items);
        assert_eq!(pauses, [secs(1)], "{who:?}");
    }
}

#[test]
fn p38_a_future_that_panicked_is_over() {
    set_logger();
    let (policy, _) = policy();
    let observer = Panicking(RetryStats::new());
    let mut future = pin!(
        (|| ready(Err::<(), _>(Failure)))
            .observe(&observer)
            .sleep_with(|_| ready(()))
            .retry_with(policy)
    );
    let mut context = Context::from_waker(Waker::noop());
    ARMED.set(Some(OnRetry));
    assert!(catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))).is_err());
    let again = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
    let payload = again.expect_err("it is over");
    assert_eq!(payload.downcast_ref(), Some(&"a retry was polled after its end"));
}

#[test]
fn p38_an_iterator_pauses_again_if_its_sleeper_panicked_in_the_pause() {
    static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);

    let mut pauses = 0;
    let mut items = std::iter::repeat_with(|| Err::<(), _>(Failure))
        .sleep_with(|_| {
            pauses += 1;
            turn(Sleeper);
        })
        .retry_with(RetryPolicy::new().with_budget(&SPENT).with_logging(false));
    assert!(items.next().is_some());
    ARMED.set(Some(Sleeper));
    assert!(catch_unwind(AssertUnwindSafe(|| items.next())).is_err());
    assert!(items.next().is_some());
    drop(items);
    assert_eq!(pauses, 2);
}
