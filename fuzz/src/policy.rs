//! Invariants of every policy and every course of events.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use retry_ext::RetryBudget;

use crate::drivers::{DRIVERS, play};
use crate::input::{BudgetSettings, Input};
use crate::journal::Journal;
use crate::{Tried, rules};

/// Checks a policy with a script. The bytes are an [`Input`].
pub fn policy(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let tried = Tried(input);
    holds(&tried.0);
}

impl BudgetSettings {
    const MOST: u32 = 10_000_000;

    fn limits(&self) -> rules::Budget {
        rules::Budget {
            millionths: self.millionths % (Self::MOST + 1),
            min_retries: self.min_retries.into(),
            window: Duration::from(self.window).max(Duration::from_millis(10)),
        }
    }
}

impl rules::Budget {
    fn make(&self) -> RetryBudget {
        RetryBudget::new()
            .with_ratio(f64::from(self.millionths) / 1e6)
            .with_min_retries(self.min_retries)
            .with_window(self.window)
    }
}

fn holds(input: &Input) {
    let policy = input.policy.policy();
    let budget = input.budget.as_ref().map(BudgetSettings::limits);
    rules::nominal_delays(&policy.backoff(), input.policy.custom(), input.retry);

    let mut first = None;
    for (name, driver) in DRIVERS {
        let journal = match &budget {
            Some(budget) => {
                lent(budget.make(), |lent| play(driver, input, policy.with_budget(lent)))
            }
            None => play(driver, input, policy),
        };
        let pauses = name == "iterator";
        let journal = rules::journal(&policy, budget.as_ref(), &input.script, pauses, &journal);
        let first = first.get_or_insert_with(|| journal.clone());
        assert!(
            *first == journal || !rules::is_repeatable(&policy, budget.as_ref(), first),
            "by {name}: {journal:#?}\nbut first: {first:#?}"
        );
    }
}

/// Lends a budget as if it were a `static`.
fn lent(budget: RetryBudget, borrower: impl FnOnce(&'static RetryBudget) -> Journal) -> Journal {
    let budget = Box::into_raw(Box::new(budget));
    // SAFETY: the budget lives until it is dropped below, and no journal contains it.
    let journal = borrower(unsafe { &*budget });
    // SAFETY: the pointer comes from a box, and the budget is no longer borrowed.
    drop(unsafe { Box::from_raw(budget) });
    journal
}

/// Inputs that random bytes reach too rarely.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Delay, Outcome, Settings, SleepEnd, Sleeper, Spread, Step, Strategy};

    /// Linear delays from zero, with five attempts.
    fn from_zero(jitter: Spread, max_retry_after: Option<Delay>) -> Settings {
        Settings {
            backoff: Strategy::Linear,
            initial_delay: Some(Delay::Zero),
            factor: None,
            increment: None,
            max_delay: None,
            max_retry_after,
            jitter,
            seed: Some(7),
            max_attempts: Some(5),
            max_elapsed: None,
            named: false,
            logging: false,
        }
    }

    fn step(outcome: Outcome) -> Step {
        Step { outcome, takes_micros: 0, sleep: SleepEnd::ELAPSED }
    }

    #[test]
    fn a_refused_wait_of_zero_is_a_pause_at_any_attempt() {
        for jitter in [Spread::None, Spread::Full, Spread::Equal, Spread::Decorrelated] {
            for min_retries in 0..4 {
                let window = Delay::Seconds(10);
                holds(&Input {
                    policy: from_zero(jitter, None),
                    budget: Some(BudgetSettings { millionths: 0, min_retries, window }),
                    sleeper: Sleeper::Returns,
                    retry: 1,
                    script: vec![step(Outcome::Fail); 4],
                });
            }
        }
    }

    #[test]
    fn a_limit_of_hints_of_zero_leaves_a_pause() {
        holds(&Input {
            policy: from_zero(Spread::None, Some(Delay::Zero)),
            budget: None,
            sleeper: Sleeper::Returns,
            retry: 1,
            script: [Outcome::Busy(Delay::Seconds(5)), Outcome::Fail, Outcome::Succeed]
                .map(step)
                .into(),
        });
    }
}
