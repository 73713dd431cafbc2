//! This crate.

use retry_ext::{AsyncRetryExt, Backoff, IsTransient, Jitter, RetryExt, RetryPolicy};

use crate::work::{
    ATTEMPTS, CAP, FIRST_DELAY, Fault, Operation, awaited, blocking, delays, fail_twice, hook,
    is_transient, no_sleep, succeed,
};
use crate::{Contender, Entry};

/// This crate.
pub static RETRY_EXT: Contender = Contender {
    name: "retry-ext",
    first_success: Entry::new(|load| {
        blocking(load, JITTERED, |policy, state| {
            (|| succeed(state)).sleep_with(no_sleep).retry_with(policy)
        })
    }),
    two_failures: Entry::new(|load| {
        blocking(load, JITTERED, |policy, state| {
            (|| fail_twice(state))
                .retry_if(is_transient)
                .on_retry(|retry| hook(retry.error, retry.delay))
                .sleep_with(no_sleep)
                .retry_with(policy)
        })
    }),
    next_delay: Entry::new(|load| delays(load, BACKOFF, Backoff::iter)),
    jittered_delay: Entry::new(|load| {
        delays(load, BACKOFF.with_jitter(Jitter::Full), Backoff::iter)
    }),
    async_first_success: Entry::new(|load| {
        awaited(load, &POLICY, |policy, state| {
            (move || Operation::<false>::new(state)).retry_with(*policy)
        })
    }),
    async_two_failures: Entry::new(|load| {
        awaited(load, &POLICY, |policy, state| {
            (move || Operation::<true>::new(state))
                .retry_if(is_transient)
                .on_retry(|retry| hook(retry.error, retry.delay))
                .retry_with(*policy)
        })
    }),
};

const BACKOFF: Backoff = Backoff::exponential().with_initial_delay(FIRST_DELAY).with_max_delay(CAP);
static POLICY: RetryPolicy = RetryPolicy::new().with_backoff(BACKOFF).with_max_attempts(ATTEMPTS);
const JITTERED: RetryPolicy = POLICY.with_jitter(Jitter::Full);

impl IsTransient for Fault {
    #[inline]
    fn is_transient(&self) -> bool {
        true
    }
}
