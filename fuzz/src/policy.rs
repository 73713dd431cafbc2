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
