//! `tokio-retry`: an iterator over delays, cloned for each retry.

use tokio_retry::strategy::{ExponentialBackoff, jitter};
use tokio_retry::{Retry, RetryIf};

use crate::work::{ATTEMPTS, CAP, FIRST_MILLIS, Operation, awaited, delays, is_transient};
use crate::{Contender, Entry};

pub(super) static TOKIO_RETRY: Contender = Contender {
    name: "tokio-retry",
    first_success: Entry::lacking(ASYNC),
    two_failures: Entry::lacking(ASYNC),
    next_delay: Entry::new(|load| delays(load, BACKOFF, Clone::clone)),
    jittered_delay: Entry::new(|load| delays(load, BACKOFF, |backoff| backoff.clone().map(jitter))),
    async_first_success: Entry::new(|load| {
        awaited(load, BACKOFF, |backoff, state| {
            Retry::start(backoff.clone().take(RETRIES), move || Operation::<false>::new(state))
        })
    }),
    async_two_failures: Entry::new(|load| {
        awaited(load, BACKOFF, |backoff, state| {
            RetryIf::start(
                backoff.clone().take(RETRIES),
                move || Operation::<true>::new(state),
                is_transient,
            )
        })
    })
    .without_hook("the crate has no hook"),
};

const ASYNC: &str = "the crate is for futures";
const RETRIES: usize = ATTEMPTS as usize - 1;

/// The delays are powers of the base, times the factor.
const BACKOFF: ExponentialBackoff =
    ExponentialBackoff::from_millis(2).factor(FIRST_MILLIS / 2).max_delay(CAP);
