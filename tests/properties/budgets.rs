//! Budgets that many operations share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use retry_ext::{RetryBudget, RetryPolicy, SleepOutcome, StopReason};

use crate::cases::{cases, purses, rules};
use crate::common::drivers::awaited::DRIVERS;
use crate::common::drivers::{Endless, Trace, World, by_closure};
use crate::common::model::{Model, Purse};
use crate::common::{Fail, ScriptError, Succeed, secs};
use crate::{Stage, for_all};

/// Returns a budget whose window does not end in a test. A test leaks its budgets; a program has a
/// `static`.
pub(crate) fn budget(purse: &Purse) -> &'static RetryBudget {
    let budget = RetryBudget::new()
        .with_ratio(f64::from(purse.ratio) / 1e6)
        .with_min_retries(purse.min_retries)
        .with_window(secs(3_600));
    Box::leak(Box::new(budget))
}

fn gauge(left: u64) -> u32 {
    u32::try_from(left).unwrap_or(u32::MAX)
}

#[test]
fn r09_a_budget_grants_what_is_left_and_no_more_whoever_asks() {
    let operations = vec((0..6_u32, cases(rules()), select(&DRIVERS[..])), 1..8);
    for_all((purses(), operations), |(mut purse, operations)| {
        let budget = budget(&purse);
        for (successes, mut case, (name, driver)) in operations {
            for _ in 0..successes {
                let policy = RetryPolicy::new().with_budget(budget);
                prop_assert_eq!(by_closure(policy, &mut Endless::new(&[Succeed])).end, Ok(()));
                purse.successes += 1;
            }
            // No time passes, so nothing expires.
            case.scenario.sleeps = false;
            case.scenario.steps.iter_mut().for_each(|(_, took)| *took = Duration::ZERO);
            let mut stage = Stage { budget: Some(budget), ..Stage::new(&case.scenario) };
            let seen = stage.run(driver, case.rules.policy().with_budget(budget));
            let before = purse.left();
            let expected = Model::new(&case.rules, &case.scenario).predict(
                &stage.clock_of_one(),
                &seen,
                Some(&mut purse),
            );
            prop_assert_eq!(&seen, &expected, "seen, and expected of the {}", name);
            // Each wait was charged once, before it began.
            let left = (1..).zip(&seen.waits).map(|(charged, _)| gauge(before - charged));
            prop_assert!(left.eq(stage.left.iter().copied()), "{:?} from {}", stage.left, before);
            prop_assert_eq!(budget.available(), gauge(purse.left()));
        }
        Ok(())
    });
}

/// Counters of the threads that share one budget, each with its own driver.
struct Crowd {
    purse: Purse,
    threads: u64,
    /// The successes that may have been deposited (`begun`), and those that surely were (`done`).
    begun: AtomicU64,
    done: AtomicU64,
    /// The retries that were surely granted.
    granted: AtomicU64,
}

/// An operation that fails `failures` times and then succeeds.
struct Member<'a> {
    crowd: &'a Crowd,
    failures: u32,
    /// The number of sure deposits at the start of the last call.
    done: u64,
}

impl World for Member<'_> {
    fn call(&mut self) -> Option<Result<(), ScriptError>> {
        self.done = self.crowd.done.load(Ordering::SeqCst);
        let step = if self.failures > 0 {
            self.failures -= 1;
            Fail(self.failures)
        } else {
            self.crowd.begun.fetch_add(1, Ordering::SeqCst);
            Succeed
        };
        Some(step.play())
    }

    fn wait(&mut self, _delay: Duration) -> SleepOutcome {
        let granted = self.crowd.granted.fetch_add(1, Ordering::SeqCst) + 1;
        let begun = self.crowd.begun.load(Ordering::SeqCst);
        assert!(granted <= self.crowd.purse.granted_by(begun), "overdrawn");
        SleepOutcome::Elapsed
    }
}

impl Crowd {
    fn was_treated_well(&self, seen: &Trace, done: u64) {
        if seen.end.is_ok() {
            self.done.fetch_add(1, Ordering::SeqCst);
            return;
        }
        assert_eq!(seen.reason(), Some(StopReason::BudgetExhausted));
        // Each of the other threads may have been granted a retry that it has not counted yet.
        let spent = self.granted.load(Ordering::SeqCst) + self.threads - 1;
        assert!(spent >= self.purse.granted_by(done), "refused, though something was left");
    }
}

#[test]
fn r09_threads_never_overdraw_a_budget_together_and_are_refused_only_where_it_is_spent() {
    let operations = vec((select(&DRIVERS[..]), 0..4_u32), 1..40);
    for_all((purses(), vec(operations, 2..=4)), |(purse, threads)| {
        let budget = budget(&purse);
        let policy = RetryPolicy::new().with_max_attempts(9).with_budget(budget);
        let [begun, done, granted] = Default::default();
        let crowd = Crowd { purse, threads: threads.len() as u64, begun, done, granted };
        thread::scope(|scope| {
            for operations in threads {
                scope.spawn(|| {
                    for ((_, driver), failures) in operations {
                        let mut member = Member { crowd: &crowd, failures, done: 0 };
                        let seen = driver(policy, &mut member);
                        crowd.was_treated_well(&seen, member.done);
                    }
                });
            }
        });
        let Crowd { mut purse, done, granted, .. } = crowd;
        (purse.successes, purse.spent) = (done.into_inner(), granted.into_inner());
        prop_assert_eq!(budget.available(), gauge(purse.left()));
        Ok(())
    });
}
