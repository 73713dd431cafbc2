//! `backon`: a builder that is copied into each retry.

use backon::{BackoffBuilder, BlockingRetryable, ExponentialBuilder, Retryable};

use crate::work::{
    ATTEMPTS, CAP, FIRST_DELAY, Operation, awaited, blocking, delays, fail_twice, hook,
    is_transient, no_sleep, succeed,
};
use crate::{Contender, Entry};

pub(super) static BACKON: Contender = Contender {
    name: "backon",
    first_success: Entry::new(|load| {
        blocking(load, BUILDER.with_jitter(), |builder, state| {
            BlockingRetryable::retry(|| succeed(state), *builder).sleep(no_sleep).call()
        })
    }),
    two_failures: Entry::new(|load| {
        blocking(load, BUILDER.with_jitter(), |builder, state| {
            BlockingRetryable::retry(|| fail_twice(state), *builder)
                .sleep(no_sleep)
                .when(is_transient)
                .notify(hook)
                .call()
        })
    })
    .remarked(ADDED),
    next_delay: Entry::new(|load| {
        delays(load, BUILDER.without_max_times(), |builder| builder.build())
    }),
    jittered_delay: Entry::new(|load| {
        delays(load, BUILDER.with_jitter().without_max_times(), |builder| builder.build())
    })
    .remarked(ADDED),
    async_first_success: Entry::new(|load| {
        awaited(load, BUILDER, |builder, state| {
            Retryable::retry(move || Operation::<false>::new(state), *builder)
        })
    }),
    async_two_failures: Entry::new(|load| {
        awaited(load, BUILDER, |builder, state| {
            Retryable::retry(move || Operation::<true>::new(state), *builder)
                .when(is_transient)
                .notify(hook)
        })
    }),
};

const ADDED: &str = "the jitter is added to the delay";

const BUILDER: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(FIRST_DELAY)
    .with_max_delay(CAP)
    .with_max_times(ATTEMPTS as usize - 1);
