//! A handwritten loop optimised for few instructions. It counts whole nanoseconds, makes its random
//! generator at the first failure, and keeps the code after a failure out of line.

use std::iter::from_fn;
use std::time::Duration;

use fastrand::Rng;

use crate::work::{
    ATTEMPTS, CAP, FIRST_MILLIS, Fault, blocking, delays, fail_twice, hook, is_transient, no_sleep,
    succeed,
};
use crate::{Contender, Entry};

pub(super) static HAND_INTEGERS: Contender = Contender {
    name: "by hand, in integers",
    first_success: Entry::new(|load| {
        blocking(load, POLICY, |policy, state| {
            retry(policy, || succeed(state), |_| true, |_, _| (), no_sleep)
        })
    }),
    two_failures: Entry::new(|load| {
        blocking(load, POLICY, |policy, state| {
            retry(policy, || fail_twice(state), is_transient, hook, no_sleep)
        })
    }),
    next_delay: Entry::new(|load| {
        delays(load, POLICY, |policy| exponential(policy).map(Duration::from_nanos))
    }),
    jittered_delay: Entry::new(|load| {
        delays(load, POLICY, |policy| {
            let mut rng = Rng::new();
            exponential(policy).map(move |nanos| Duration::from_nanos(rng.u64(0..=nanos)))
        })
    }),
    async_first_success: Entry::lacking(BLOCKING),
    async_two_failures: Entry::lacking(BLOCKING),
};

const BLOCKING: &str = "the future would be a handwritten state machine with `unsafe`";

struct Policy {
    attempts: u32,
    first_delay: u64,
    cap: u64,
}

const POLICY: Policy = Policy {
    attempts: ATTEMPTS,
    first_delay: FIRST_MILLIS * 1_000_000,
    cap: CAP.as_secs() * 1_000_000_000,
};

fn exponential(policy: &Policy) -> impl Iterator<Item = u64> + use<> {
    let cap = policy.cap;
    let mut next = policy.first_delay;
    from_fn(move || {
        let delay = next;
        next = (delay << 1).min(cap);
        Some(delay)
    })
}

fn retry<T>(
    policy: &Policy,
    mut operation: impl FnMut() -> Result<T, Fault>,
    retry_if: impl Fn(&Fault) -> bool,
    on_retry: impl Fn(&Fault, Duration),
    sleep: impl Fn(Duration),
) -> Result<T, Fault> {
    match operation() {
        Ok(value) => Ok(value),
        Err(error) => after_failure(policy, error, operation, retry_if, on_retry, sleep),
    }
}

#[cold]
#[inline(never)]
fn after_failure<T>(
    policy: &Policy,
    mut error: Fault,
    mut operation: impl FnMut() -> Result<T, Fault>,
    retry_if: impl Fn(&Fault) -> bool,
    on_retry: impl Fn(&Fault, Duration),
    sleep: impl Fn(Duration),
) -> Result<T, Fault> {
    let mut rng = Rng::new();
    let mut nanos = policy.first_delay;
    for _ in 1..policy.attempts {
        if !retry_if(&error) {
            break;
        }
        let delay = Duration::from_nanos(rng.u64(0..=nanos));
        on_retry(&error, delay);
        sleep(delay);
        nanos = (nanos << 1).min(policy.cap);
        match operation() {
            Ok(value) => return Ok(value),
            Err(next) => error = next,
        }
    }
    Err(error)
}
