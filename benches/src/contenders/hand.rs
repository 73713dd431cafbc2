//! An ordinary handwritten loop.

use std::iter::successors;
use std::time::Duration;

use crate::work::{
    ATTEMPTS, CAP, FIRST_DELAY, Fault, Operation, awaited, blocking, delays, fail_twice, hook,
    is_transient, no_sleep, succeed,
};
use crate::{Contender, Entry};

pub(super) static HAND: Contender = Contender {
    name: "by hand",
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
    next_delay: Entry::new(|load| delays(load, POLICY, exponential)),
    jittered_delay: Entry::new(|load| {
        delays(load, POLICY, |policy| exponential(policy).map(jitter))
    }),
    async_first_success: Entry::new(|load| {
        awaited(load, &POLICY, |policy, state| {
            retry_async(policy, move || Operation::<false>::new(state), |_| true, |_, _| ())
        })
    }),
    async_two_failures: Entry::new(|load| {
        awaited(load, &POLICY, |policy, state| {
            retry_async(policy, move || Operation::<true>::new(state), is_transient, hook)
        })
    }),
};

struct Policy {
    attempts: u32,
    first_delay: Duration,
    cap: Duration,
}

const POLICY: Policy = Policy { attempts: ATTEMPTS, first_delay: FIRST_DELAY, cap: CAP };

fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(fastrand::f64())
}

fn exponential(policy: &Policy) -> impl Iterator<Item = Duration> + use<> {
    let cap = policy.cap;
    successors(Some(policy.first_delay), move |delay| Some(delay.saturating_mul(2).min(cap)))
}

fn retry<T>(
    policy: &Policy,
    mut operation: impl FnMut() -> Result<T, Fault>,
    retry_if: impl Fn(&Fault) -> bool,
    on_retry: impl Fn(&Fault, Duration),
    sleep: impl Fn(Duration),
) -> Result<T, Fault> {
    let mut delay = policy.first_delay;
    let mut attempt = 1;
    loop {
        match operation() {
            Ok(value) => return Ok(value),
            Err(error) => {
                if attempt == policy.attempts || !retry_if(&error) {
                    return Err(error);
                }
                let wait = jitter(delay);
                on_retry(&error, wait);
                sleep(wait);
            }
        }
        attempt += 1;
        delay = delay.saturating_mul(2).min(policy.cap);
    }
}

async fn retry_async<T, Fut>(
    policy: &Policy,
    mut operation: impl FnMut() -> Fut,
    retry_if: impl Fn(&Fault) -> bool,
    on_retry: impl Fn(&Fault, Duration),
) -> Result<T, Fault>
where
    Fut: Future<Output = Result<T, Fault>>,
{
    let mut delay = policy.first_delay;
    let mut attempt = 1;
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                if attempt == policy.attempts || !retry_if(&error) {
                    return Err(error);
                }
                on_retry(&error, delay);
                tokio::time::sleep(delay).await;
            }
        }
        attempt += 1;
        delay = delay.saturating_mul(2).min(policy.cap);
    }
}
