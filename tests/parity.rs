//! One script of outcomes through every driver: the same calls, waits, events and end.

mod common;

use std::sync::Mutex;
use std::time::Duration;

use common::drivers::awaited::{DRIVERS, STREAMS};
use common::drivers::{Endless, Stop, by_closure, by_values};
use common::{Break, Busy, Fail, ScriptError, Step, Succeed, ms, secs};
use retry_ext::SleepOutcome::{self, Cancelled, Elapsed, Woken};
use retry_ext::{Backoff, Jitter, RetryBudget, RetryPolicy, StopReason};

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
        vec![Busy(secs(30)), Busy(secs(90)), Busy(secs(91))],
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
        policies.push(seeded.with_jitter(jitter).with_max_retry_after(secs(90)));
    }
    policies
}

const ENDS_OF_WAITS: [&[SleepOutcome]; 4] =
    [&[Elapsed], &[Woken], &[Elapsed, Woken, Elapsed], &[Elapsed, Woken, Cancelled]];

#[test]
fn every_script_under_every_policy_looks_the_same_through_every_driver() {
    let mut compared = 0;
    for policy in policies() {
        for (script, ends) in
            scripts().iter().flat_map(|script| ENDS_OF_WAITS.map(|ends| (script, ends)))
        {
            let world = || Endless::new(script).with_ends(ends);
            let (reference, driver) = DRIVERS[0];
            let expected = driver(policy, &mut world());
            for (name, driver) in DRIVERS[1..].iter().chain(&STREAMS) {
                let seen = driver(policy, &mut world());
                assert_eq!(
                    seen, expected,
                    "{name} and {reference} under {policy:?} of {script:?}, {ends:?}"
                );
                compared += 1;
            }
        }
    }
    let worlds = scripts().len() * ENDS_OF_WAITS.len();
    assert_eq!(compared, policies().len() * worlds * (DRIVERS.len() - 1 + STREAMS.len()));
}

#[test]
fn values_that_are_failures_look_the_same_and_are_returned() {
    for policy in policies() {
        for (script, ends) in
            scripts().iter().flat_map(|script| ENDS_OF_WAITS.map(|ends| (script, ends)))
        {
            let mut expected = by_closure(policy, &mut Endless::new(script).with_ends(ends));
            if let Err(stop) = &mut expected.end {
                stop.next_delay = None; // an observer does not see it
            }
            let seen = by_values(policy, &mut Endless::new(script).with_ends(ends));
            assert_eq!(seen, expected, "under {policy:?} of {script:?}, {ends:?}");
        }
    }
}

#[test]
fn r09_a_budget_of_the_chain_is_one_of_the_policy() {
    let script = [Fail(1), Fail(2), Succeed];
    for (name, driver) in DRIVERS {
        let budget: &'static RetryBudget = Box::leak(Box::default());
        let with_budget = RetryPolicy::new().with_max_attempts(9).with_budget(budget);
        let ends: Vec<_> = (0..3)
            .map(|_| driver(with_budget, &mut Endless::new(&script)))
            .map(|seen| (seen.waits, seen.end))
            .collect();
        assert_eq!(ends[0].1, Ok(()), "{name}");
        let reasons = ends.iter().map(|(_, end)| end.as_ref().map_err(|stop| stop.reason));
        let refused = Err(StopReason::BudgetExhausted);
        assert_eq!(reasons.collect::<Vec<_>>(), [Ok(&()), refused, refused], "{name}");
    }
}

#[test]
fn the_reference_itself_does_what_the_rules_say() {
    // Without this test, parity could be the agreement of drivers that do nothing.
    let script = [Fail(1), Busy(secs(5)), Fail(2)];
    for (name, driver) in DRIVERS {
        let seen = driver(RetryPolicy::new(), &mut Endless::new(&script));
        assert_eq!((seen.calls, &seen.waits), (3, &vec![secs(1), secs(5)]), "{name}");
        assert_eq!(seen.heard.len(), 2, "{name}");
        let stop = Stop {
            error: ScriptError::Transient(2),
            attempts: 3,
            waited: secs(6),
            reason: StopReason::AttemptsExhausted,
            next_delay: None,
        };
        assert_eq!(seen.end, Err(stop), "{name}");
    }
}

#[test]
fn r06_every_driver_goes_on_after_a_woken_wait_and_does_not_add_it() {
    // One of three waits of 2 s has passed. All three would not fit if the woken waits counted.
    let policy = RetryPolicy::from(Backoff::constant(secs(2))).with_max_elapsed(secs(4));
    let policy = policy.with_max_attempts(4);
    for (name, driver) in DRIVERS {
        let mut world = Endless::new(&[Fail(1)]).with_ends(&[Woken, Elapsed, Woken]);
        let seen = driver(policy, &mut world);
        assert_eq!((seen.calls, &seen.waits), (4, &vec![secs(2); 3]), "{name}");
        let waited: Vec<_> = seen.heard.iter().map(|heard| heard.waited).collect();
        assert_eq!(waited, [0, 0, 2].map(secs), "{name}");
        let stop = seen.end.expect_err("it fails");
        assert_eq!((stop.waited, stop.reason), (secs(2), StopReason::AttemptsExhausted), "{name}");
    }
}

#[test]
fn every_driver_asks_a_custom_backoff_once_for_each_retry() {
    static ASKED: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    fn delay(retry: u32) -> Duration {
        ASKED.lock().expect("the lock is not poisoned").push(retry);
        Duration::from_nanos(u64::from(retry))
    }
    let policy = RetryPolicy::from(Backoff::custom(delay)).with_max_attempts(4);
    for (jitter, expected) in [
        (Jitter::None, [1, 2, 3]),
        (Jitter::Full, [1, 2, 3]),
        (Jitter::Equal, [1, 2, 3]),
        // Decorrelated jitter follows its own draws, and asks for the initial delay alone.
        (Jitter::Decorrelated, [1, 1, 1]),
    ] {
        for (name, driver) in DRIVERS {
            assert_eq!(driver(policy.with_jitter(jitter), &mut Endless::new(&[Fail(1)])).calls, 4);
            let asked = std::mem::take(&mut *ASKED.lock().expect("the lock is not poisoned"));
            assert_eq!(asked, expected, "{name}, {jitter:?}");
        }
    }
}
