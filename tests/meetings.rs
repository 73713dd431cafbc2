//! Verdicts, time limits, computed delays and retry loops in combination with the rules: outages,
//! panics, deadlines.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::{pending, poll_fn, ready};
use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use retry_ext::{
    AsyncRetryExt, AttemptTimedOut, Backoff, IsTransient, Jitter, Observation, Observer,
    RetryBudget, RetryEvent, RetryExt, RetryIteratorExt, RetryPolicy, RetryStats, StopReason,
    Verdict,
};

const MANY: u32 = 10_000;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn down() -> Error {
    ErrorKind::TimedOut.into()
}

fn judge(outcome: &Result<u16, Error>) -> Verdict {
    match outcome {
        Ok(503) => Verdict::Transient,
        Ok(404) => Verdict::Permanent,
        Ok(_) => Verdict::Success,
        Err(error) => Verdict::of(error),
    }
}

#[test]
fn p44_a_loop_that_returned_a_last_value_counts_the_next_operation_afresh() {
    let mut retry = RetryPolicy::new().start().classify(judge).sleep_with(|_| ());
    assert_eq!(retry.step(Ok(404)).unwrap(), Some(404));
    // Another operation begins on the same context. The caller has seen no error.
    assert_eq!(retry.step(Ok(503)).unwrap(), None);
}

#[test]
fn p44_stats_count_every_operation_that_a_loop_gave_up_with_a_value() {
    let stats = RetryStats::new();
    let mut retry = RetryPolicy::new().start().classify(judge).observe(&stats);
    for _ in 0..10 {
        assert_eq!(retry.step(Ok(404)).unwrap(), Some(404));
    }
    assert_eq!(stats.snapshot().gave_up(StopReason::Permanent), 10, "{stats}");
}

#[test]
fn r09_an_outage_does_not_make_a_loop_with_verdicts_spin() {
    let clock = Cell::new(Duration::ZERO);
    let mut retry =
        RetryPolicy::new().start().classify(judge).sleep_with(|d| clock.set(clock.get() + d));
    let mut calls = 0;
    while clock.get() < secs(60) && calls < MANY {
        calls += 1;
        clock.set(clock.get() + Duration::from_millis(1));
        assert!(retry.step(Ok(503)).is_ok());
    }
    assert!(calls <= 60, "{calls} calls; the closure form makes 60");
}

#[test]
fn r04_at_the_cap_decorrelated_draws_differ_after_a_short_computed_delay() {
    let mut second = BTreeSet::new();
    for _ in 0..100 {
        let mut waits = Vec::new();
        let result = (|| Err::<(), _>(down()))
            .delay_with(|retry, _error| if retry == 1 { secs(1) } else { secs(60) })
            .sleep_with(|delay| waits.push(delay))
            .retry_with(RetryPolicy::new().with_jitter(Jitter::Decorrelated));
        assert!(result.is_err());
        second.insert(waits[1]);
    }
    assert!(second.len() > 1, "{second:?}");
}

#[test]
fn r04_decorrelated_draws_differ_if_computed_delays_grow_fast() {
    let mut last = BTreeSet::new();
    for _ in 0..100 {
        let mut waits = Vec::new();
        let result = (|| Err::<(), _>(down()))
            .delay_with(|retry, _error| Duration::from_millis(10_u64.pow(retry)))
            .sleep_with(|delay| waits.push(delay))
            .retry_with(RetryPolicy::new().with_max_attempts(4).with_jitter(Jitter::Decorrelated));
        assert!(result.is_err());
        last.insert(waits[2]);
    }
    assert!(last.len() > 1, "{last:?}");
}

/// Counts the calls of a failing source in a minute, with an empty budget or an ample one.
fn calls_in_a_minute(policy: RetryPolicy, is_budget_empty: bool) -> u32 {
    let min_retries = if is_budget_empty { 0 } else { MANY };
    let budget = RetryBudget::new().with_min_retries(min_retries);
    let clock = Cell::new(Duration::ZERO);
    let calls = Cell::new(0);
    let source = std::iter::from_fn(|| {
        calls.set(calls.get() + 1);
        (clock.get() < secs(60) && calls.get() < MANY).then(|| Err::<(), _>(down()))
    });
    let sleeper = |delay| clock.set(clock.get() + delay);
    let source = source.budget(&budget).sleep_with(sleeper);
    source.retry_with(policy).for_each(drop);
    calls.get()
}

#[test]
fn r09_a_schedule_that_begins_with_two_zeros_does_not_make_a_refusal_spin() {
    static DELAYS: [Duration; 3] = [Duration::ZERO, Duration::ZERO, secs(5)];

    let policy = RetryPolicy::forever().with_backoff(Backoff::schedule(&DELAYS));
    let without = calls_in_a_minute(policy, false);
    let with = calls_in_a_minute(policy, true);
    assert!(with <= without, "{with} calls with an empty budget, {without} with a full one");
}

#[tokio::test(start_paused = true)]
async fn r06_at_the_deadline_no_attempt_is_started_that_has_no_time() {
    let calls = Cell::new(0);
    let hangs = || {
        calls.set(calls.get() + 1);
        let is_last = calls.get() == MANY; // otherwise the test would never end
        async move { if is_last { Ok(()) } else { pending::<Result<(), Error>>().await } }
    };
    let policy = RetryPolicy::within(secs(3)).with_initial_delay(Duration::ZERO);
    let result = hangs.timeout_each(secs(1)).retry_with(policy).await;
    assert!(result.is_err() && calls.get() == 3, "{} calls", calls.get());
}

struct PanicsOnRetry;

impl Observer for PanicsOnRetry {
    fn on_retry(&self, _: &Observation, _: Duration) {
        panic!("on_retry of the observer");
    }
}

#[test]
fn r15_a_retry_whose_hook_panicked_can_be_cancelled() {
    let mut retry = RetryPolicy::new()
        .start()
        .on_retry(|_: &RetryEvent<'_, Error>| panic!("on_retry"))
        .sleep_with(|_| ());
    assert!(catch_unwind(AssertUnwindSafe(|| retry.step(Err::<(), _>(down())).is_ok())).is_err());
    // One call was made and no time was waited. The same holds if the sleeper panics.
    let stopped = retry.cancelled(down());
    assert_eq!((stopped.attempts(), stopped.waited()), (1, Duration::ZERO));
}

#[test]
fn r15_a_retry_whose_observer_panicked_can_be_cancelled() {
    let mut retry = RetryPolicy::new().start().observe(PanicsOnRetry).sleep_with(|_| ());
    assert!(catch_unwind(AssertUnwindSafe(|| retry.step(Err::<(), _>(down())).is_ok())).is_err());
    let stopped = retry.cancelled(down());
    assert_eq!((stopped.attempts(), stopped.waited()), (1, Duration::ZERO));
}

#[test]
fn r15_a_future_whose_judge_panicked_is_over() {
    let polls = Cell::new(0);
    let read = || {
        poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::Ready(Ok::<_, Error>(7))
        })
    };
    let is_first = Cell::new(true);
    let judge = |_: &_| if is_first.replace(false) { panic!("judge") } else { Verdict::Success };
    let chain = read.classify(judge).sleep_with(|_| ready(()));
    let mut future = pin!(chain.retry_with(RetryPolicy::new()));
    let mut poll = || {
        let poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        catch_unwind(AssertUnwindSafe(poll))
    };
    assert!(poll().is_err());
    assert!(poll().is_err(), "polled again after `Ready`: {} polls", polls.get());
}

#[test]
fn r15_a_future_whose_conversion_of_a_time_out_panicked_is_over() {
    struct Failure;

    impl IsTransient for Failure {
        fn is_transient(&self) -> bool {
            true
        }
    }

    impl From<AttemptTimedOut> for Failure {
        fn from(_: AttemptTimedOut) -> Self {
            panic!("from")
        }
    }

    let polls = Cell::new(0);
    let hangs = || {
        poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<Result<(), Failure>>::Pending
        })
    };
    let chain = hangs.timeout_each_with(secs(1), |_| ready(())).sleep_with(|_| ready(()));
    let mut future = pin!(chain.retry_with(RetryPolicy::new()));
    for _ in 0..2 {
        let poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
    }
    assert_eq!(polls.get(), 1);
}

#[test]
fn r14_an_attempt_that_timed_out_is_dropped_before_it_is_judged() {
    let slot = Mutex::new(());
    let is_free = Cell::new(None);
    let hangs = || {
        let guard = slot.lock().unwrap();
        poll_fn(move |_| {
            let _held = &guard;
            Poll::<Result<(), Error>>::Pending
        })
    };
    let chain = hangs
        .timeout_each_with(secs(1), |_| ready(()))
        .classify(|_| {
            is_free.set(Some(slot.try_lock().is_ok())); // `lock` would never return
            Verdict::Permanent
        })
        .sleep_with(|_| ready(()));
    let mut future = pin!(chain.retry_with(RetryPolicy::new()));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(is_free.get(), Some(true));
}
