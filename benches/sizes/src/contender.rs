//! Retries interrupted and refused operations: three attempts with full jitter, 10 ms doubled
//! and at most 60 s. Each contender is used as its README shows.

#![allow(dead_code, unused_imports, unused_macros, reason = "one program, one contender")]

use std::io::{Error, ErrorKind};
use std::time::Duration;

const ATTEMPTS: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_millis(10);
const CAP: Duration = Duration::from_mins(1);

/// Returns whether the error is transient. Every program contains this function, so its size is in
/// no figure.
#[inline(never)]
pub fn is_transient(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused)
}

#[cfg(not(any(
    feature = "by-hand",
    feature = "retry-ext",
    feature = "backon",
    feature = "retry",
    feature = "tokio-retry",
    feature = "relentless"
)))]
mod selected {
    macro_rules! retry {
        ($operation:expr) => {
            ($operation)()
        };
    }
    macro_rules! retry_async {
        ($operation:expr) => {
            ($operation)().await
        };
    }
    pub(crate) use {retry, retry_async};
}

#[cfg(feature = "by-hand")]
#[path = "by_hand.rs"]
mod selected;

#[cfg(feature = "retry-ext")]
mod selected {
    use retry_ext::{Jitter, RetryPolicy};

    pub const POLICY: RetryPolicy = RetryPolicy::new()
        .with_max_attempts(super::ATTEMPTS)
        .with_initial_delay(super::FIRST_DELAY)
        .with_max_delay(super::CAP)
        .with_jitter(Jitter::Full);

    macro_rules! retry {
        ($operation:expr) => {{
            use retry_ext::RetryExt;
            use $crate::contender::{POLICY, is_transient};
            ($operation).retry_if(|error| is_transient(error)).retry_with(POLICY)
        }};
    }
    macro_rules! retry_async {
        ($operation:expr) => {{
            use retry_ext::AsyncRetryExt;
            use $crate::contender::{POLICY, is_transient};
            ($operation).retry_if(|error| is_transient(error)).retry_with(POLICY).await
        }};
    }
    pub(crate) use {retry, retry_async};
}

#[cfg(feature = "backon")]
mod selected {
    use backon::ExponentialBuilder;

    pub const BUILDER: ExponentialBuilder = ExponentialBuilder::new()
        .with_min_delay(super::FIRST_DELAY)
        .with_max_delay(super::CAP)
        .with_max_times(super::ATTEMPTS as usize - 1)
        .with_jitter();

    macro_rules! retry {
        ($operation:expr) => {{
            use backon::BlockingRetryable;
            use $crate::contender::{BUILDER, is_transient};
            ($operation).retry(BUILDER).when(|error| is_transient(error)).call()
        }};
    }
    macro_rules! retry_async {
        ($operation:expr) => {{
            use backon::Retryable;
            use $crate::contender::{BUILDER, is_transient};
            ($operation).retry(BUILDER).when(|error| is_transient(error)).await
        }};
    }
    pub(crate) use {retry, retry_async};
}

#[cfg(feature = "retry")]
mod selected {
    use std::time::Duration;

    use retry::delay::{Exponential, jitter};

    pub fn delays() -> impl Iterator<Item = Duration> {
        let capped = Exponential::from_millis(10).map(|delay| delay.min(super::CAP));
        capped.map(jitter).take(super::ATTEMPTS as usize - 1)
    }

    macro_rules! retry {
        ($operation:expr) => {{
            use retry::OperationResult;
            use $crate::contender::{delays, is_transient};
            retry::retry(delays(), || match ($operation)() {
                Ok(value) => OperationResult::Ok(value),
                Err(error) if is_transient(&error) => OperationResult::Retry(error),
                Err(error) => OperationResult::Err(error),
            })
        }};
    }
    pub(crate) use retry;
}

#[cfg(feature = "tokio-retry")]
mod selected {
    use std::time::Duration;

    use tokio_retry::strategy::{ExponentialBackoff, jitter};

    pub fn delays() -> impl Iterator<Item = Duration> {
        let backoff = ExponentialBackoff::from_millis(2).factor(5).max_delay(super::CAP);
        backoff.map(jitter).take(super::ATTEMPTS as usize - 1)
    }

    macro_rules! retry_async {
        ($operation:expr) => {{
            use $crate::contender::{delays, is_transient};
            tokio_retry::RetryIf::start(delays(), $operation, |error: &_| is_transient(error)).await
        }};
    }
    pub(crate) use retry_async;
}

#[cfg(feature = "relentless")]
mod selected {
    use relentless::RetryPolicy;
    use relentless::stop::{self, StopAfterAttempts};
    use relentless::wait::{self, Wait};

    pub fn policy() -> RetryPolicy<StopAfterAttempts, impl Wait> {
        let wait = wait::exponential(super::FIRST_DELAY).cap(super::CAP).full_jitter();
        RetryPolicy::new().stop(stop::attempts(super::ATTEMPTS)).wait(wait)
    }

    macro_rules! retry {
        ($operation:expr) => {{
            use relentless::predicate;
            use $crate::contender::{is_transient, policy};
            let when = predicate::error(|error: &_| is_transient(error));
            policy().retry(|_| ($operation)()).when(when).call()
        }};
    }
    macro_rules! retry_async {
        ($operation:expr) => {{
            use relentless::clock::TokioClock;
            use relentless::predicate;
            use $crate::contender::{is_transient, policy};
            let when = predicate::error(|error: &_| is_transient(error));
            let policy = policy();
            policy.retry_async(|_| ($operation)()).when(when).clock(TokioClock::new()).call().await
        }};
    }
    pub(crate) use {retry, retry_async};
}

pub(crate) use selected::*;
