//! A setter whose result is dropped.

#![deny(unused_must_use)]

use retry_ext::{Backoff, Jitter, RetryBudget, RetryPolicy};

fn main() {
    let policy = RetryPolicy::new();
    policy.with_jitter(Jitter::Full);
    let backoff = Backoff::exponential();
    backoff.with_jitter(Jitter::Full);
    let budget = RetryBudget::new();
    budget.with_ratio(0.1);
    policy.start();
}
