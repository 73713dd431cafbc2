//! `retry`: an iterator over delays, made for each retry.

use std::time::Duration;

use retry::delay::{Exponential, jitter};
use retry::{OperationResult, retry};

use crate::work::{
    ATTEMPTS, CAP, FIRST_MILLIS, blocking, delays, fail_twice, is_transient, no_sleep, succeed,
};
use crate::{Contender, Entry};

pub(super) static RETRY: Contender = Contender {
    name: "retry",
    first_success: Entry::new(|load| {
        blocking(load, FIRST_MILLIS, |&millis, state| retry(waits(millis), || succeed(state)))
    }),
    two_failures: Entry::new(|load| {
        blocking(load, FIRST_MILLIS, |&millis, state| {
            retry(waits(millis), || match fail_twice(state) {
                Ok(value) => OperationResult::Ok(value),
                Err(error) if is_transient(&error) => OperationResult::Retry(error),
                Err(error) => OperationResult::Err(error),
            })
        })
    })
    .without_hook("the crate has no hook"),
    next_delay: Entry::new(|load| delays(load, FIRST_MILLIS, |&millis| capped(millis))),
    jittered_delay: Entry::new(|load| {
        delays(load, FIRST_MILLIS, |&millis| capped(millis).map(jitter))
    }),
    async_first_success: Entry::lacking(BLOCKING),
    async_two_failures: Entry::lacking(BLOCKING),
};

const BLOCKING: &str = "the crate is for blocking operations";

/// Returns the capped delays. The crate has no cap: its documentation caps delays in this way.
fn capped(millis: u64) -> impl Iterator<Item = Duration> {
    Exponential::from_millis(millis).map(|delay| delay.min(CAP))
}

/// Draws the delays and returns zeros instead, because the crate always sleeps.
fn waits(millis: u64) -> impl Iterator<Item = Duration> {
    let drawn = capped(millis).map(jitter).take(ATTEMPTS as usize - 1);
    drawn.map(|delay| {
        no_sleep(delay);
        Duration::ZERO
    })
}
