//! One script of outcomes, every driver: the same calls, waits, events and end.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Break, Busy, Fail, Heard, ScriptError, Step, Succeed, ms, play, secs};
use retry_ext::{
    AsyncRetryExt, Backoff, Jitter, RetryError, RetryIteratorExt, RetryPolicy, StopReason,
};

/// What could be seen of a retry from outside, in a form that every driver can give.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    calls: u32,
    waits: Vec<Duration>,
    heard: Vec<Heard>,
    end: Result<(), Stop>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stop {
    error: ScriptError,
    attempts: u32,
    waited: Duration,
    reason: StopReason,
}

impl From<RetryError<ScriptError>> for Stop {
    fn from(stopped: RetryError<ScriptError>) -> Self {
        let (attempts, waited, reason) = (stopped.attempts(), stopped.waited(), stopped.reason());
        Self { error: stopped.into_error(), attempts, waited, reason }
    }
}

type Driver = fn(RetryPolicy, &[Step]) -> Seen;

const DRIVERS: [(&str, Driver); 4] =
    [("closure", by_closure), ("loop", by_loop), ("iterator", by_iterator), ("future", by_future)];

fn by_closure(policy: RetryPolicy, script: &[Step]) -> Seen {
    let trace = play(policy, script);
    let end = trace.result.map_err(Stop::from);
    Seen { calls: trace.calls, waits: trace.waits, heard: trace.heard, end }
}

fn by_loop(policy: RetryPolicy, script: &[Step]) -> Seen {
    let mut seen = Seen { calls: 0, waits: Vec::new(), heard: Vec::new(), end: Ok(()) };
    let mut retry = policy.start();
    for step in endless(script) {
        seen.calls += 1;
        assert_eq!(retry.attempt(), seen.calls);
        let Err(error) = step.play() else { break };
        let (attempt, waited) = (retry.attempt(), retry.waited());
        match retry.delay_after(&error) {
            Ok(delay) => {
                let (max_attempts, name) = (policy.max_attempts(), policy.name());
                seen.heard.push(Heard { attempt, max_attempts, delay, waited, error, name });
                seen.waits.push(delay);
            }
            Err(reason) => {
                seen.end = Err(Stop { error, attempts: attempt, waited, reason });
                break;
            }
        }
    }
    seen
}

fn by_iterator(policy: RetryPolicy, script: &[Step]) -> Seen {
    let calls = Cell::new(0);
    let waits = RefCell::new(Vec::new());
    let heard = RefCell::new(Vec::new());
    let end = endless(script)
        .map(|step| {
            calls.set(calls.get() + 1);
            step.play()
        })
        .on_retry(|retry| {
            heard.borrow_mut().push(Heard::from(retry));
        })
        .sleep_with(|delay| waits.borrow_mut().push(delay))
        .retry_with(policy)
        .next()
        .expect("an endless source")
        .map_err(Stop::from);
    Seen { calls: calls.get(), waits: waits.into_inner(), heard: heard.into_inner(), end }
}

fn by_future(policy: RetryPolicy, script: &[Step]) -> Seen {
    let calls = Cell::new(0);
    let waits = RefCell::new(Vec::new());
    let heard = RefCell::new(Vec::new());
    let mut steps = endless(script);
    let mut future = pin!(
        (|| {
            calls.set(calls.get() + 1);
            ready(steps.next().expect("an endless script").play())
        })
        .on_retry(|retry| heard.borrow_mut().push(Heard::from(retry)))
        .sleep_with(|delay| {
            waits.borrow_mut().push(delay);
            ready(())
        })
        .retry_with(policy)
    );
    let end = loop {
        if let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break end.map_err(Stop::from);
        }
    };
    Seen { calls: calls.get(), waits: waits.take(), heard: heard.take(), end }
}

fn endless(script: &[Step]) -> impl Iterator<Item = Step> {
    let last = script.last().copied().expect("a step");
    script.iter().copied().chain(std::iter::repeat(last))
}

fn scripts() -> Vec<Vec<Step>> {
    vec![
        vec![Succeed],
        vec![Fail(1), Succeed],
        vec![Fail(1), Fail(2), Succeed],
        vec![Fail(1), Fail(2), Fail(3), Fail(4)],
        vec![Break],
        vec![Fail(1), Break],
        vec![Busy(ms(10)), Busy(secs(30)), Succeed],
        vec![Busy(secs(60))],
        vec![Fail(1), Busy(secs(61))],
        vec![Busy(Duration::MAX)],
        vec![Fail(1), Busy(ms(1_500)), Fail(2), Busy(secs(20)), Fail(3), Succeed],
    ]
}

fn policies() -> Vec<RetryPolicy> {
    let seeded = RetryPolicy::new().with_max_attempts(8).with_seed(5);
    let mut policies = vec![
        RetryPolicy::new(),
        RetryPolicy::new().with_name("named"),
        RetryPolicy::new().with_max_attempts(1),
        RetryPolicy::new().with_max_attempts(20).with_factor(1.5),
        RetryPolicy::new().with_max_attempts(20).with_max_elapsed(secs(10)),
        RetryPolicy::new().with_max_elapsed(Duration::ZERO),
        RetryPolicy::new().with_max_elapsed(Duration::MAX),
        RetryPolicy::new().with_initial_delay(Duration::MAX).with_max_delay(Duration::MAX),
        RetryPolicy::new().with_initial_delay(Duration::ZERO),
        RetryPolicy::from(Backoff::linear()).with_max_attempts(5).with_max_delay(secs(3)),
        RetryPolicy::from(Backoff::custom(|retry| ms(u64::from(retry)))).with_max_attempts(5),
    ];
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        policies.push(seeded.with_jitter(jitter));
        policies.push(seeded.with_jitter(jitter).with_max_delay(secs(2)));
    }
    policies
}

#[test]
fn every_script_under_every_policy_looks_the_same_through_every_driver() {
    let mut compared = 0;
    for policy in policies() {
        for script in scripts() {
            let (reference, drive) = DRIVERS[0];
            let expected = drive(policy, &script);
            for (name, drive) in &DRIVERS[1..] {
                let seen = drive(policy, &script);
                assert_eq!(seen, expected, "{name} and {reference} under {policy:?} of {script:?}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, policies().len() * scripts().len() * (DRIVERS.len() - 1));
}

#[test]
fn the_reference_itself_does_what_the_rules_say() {
    // So that parity is not the agreement of drivers that do nothing.
    let script = [Fail(1), Busy(secs(5)), Fail(2)];
    for (name, drive) in DRIVERS {
        let seen = drive(RetryPolicy::new(), &script);
        assert_eq!((seen.calls, &seen.waits), (3, &vec![secs(1), secs(5)]), "{name}");
        assert_eq!(seen.heard.len(), 2, "{name}");
        let stop = Stop {
            error: ScriptError::Transient(2),
            attempts: 3,
            waited: secs(6),
            reason: StopReason::AttemptsExhausted,
        };
        assert_eq!(seen.end, Err(stop), "{name}");
    }
}
