//! `relentless`: a borrowed policy, and a strategy that computes a delay from the attempt's number.

use std::time::Duration;

use relentless::clock::{SystemClock, TokioClock};
use relentless::stop::{self, StopAfterAttempts};
use relentless::wait::{self, Wait};
use relentless::{AttemptState, Clock, RetryPolicy, RetryState, SyncClock, predicate};

use crate::work::{
    ATTEMPTS, CAP, FIRST_DELAY, Fault, Operation, awaited, blocking, delays, fail_twice, hook,
    is_transient, no_sleep, succeed,
};
use crate::{Contender, Entry};

pub(super) static RELENTLESS: Contender = Contender {
    name: "relentless",
    first_success: Entry::new(|load| {
        blocking(load, policy(exponential().full_jitter()), |policy, state| {
            policy.retry(|_| succeed(state)).clock(Sleepless).call()
        })
    })
    .remarked(CLOCK),
    two_failures: Entry::new(|load| {
        blocking(load, policy(exponential().full_jitter()), |policy, state| {
            policy
                .retry(|_| fail_twice(state))
                .when(predicate::error(is_transient))
                .after_attempt(after_attempt)
                .clock(Sleepless)
                .call()
        })
    })
    .remarked(UNTOLD),
    next_delay: Entry::new(|load| delays(load, leak(exponential()), |strategy| waits(*strategy))),
    jittered_delay: Entry::new(|load| {
        delays(load, leak(exponential().full_jitter()), |strategy| waits(*strategy))
    }),
    async_first_success: Entry::new(|load| {
        awaited(load, leak(policy(exponential())), |policy, state| {
            policy
                .retry_async(move |_| Operation::<false>::new(state))
                .clock(TokioClock::new())
                .call()
        })
    })
    .remarked(CLOCK),
    async_two_failures: Entry::new(|load| {
        awaited(load, leak(policy(exponential())), |policy, state| {
            policy
                .retry_async(move |_| Operation::<true>::new(state))
                .when(predicate::error(is_transient))
                .after_attempt(after_attempt)
                .clock(TokioClock::new())
                .call()
        })
    })
    .remarked(UNTOLD),
};

const CLOCK: &str = "reads the clock before and after each attempt";
const UNTOLD: &str = "reads the clock before and after each attempt; the hook is called after each attempt, without the delay";

fn exponential() -> impl Wait {
    wait::exponential(FIRST_DELAY).cap(CAP)
}

fn policy<W>(wait: W) -> RetryPolicy<StopAfterAttempts, W> {
    RetryPolicy::new().stop(stop::attempts(ATTEMPTS)).wait(wait)
}

/// Makes a value `'static`, because the futures borrow their policy.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Returns the delays of a strategy. The crate has no iterator over delays.
fn waits<W: Wait>(strategy: &'static W) -> impl Iterator<Item = Duration> {
    (1..).map(|attempt| strategy.next_wait(&RetryState::for_attempt(attempt)))
}

fn after_attempt(attempt: &AttemptState<'_, Result<u64, Fault>>) {
    if let Err(error) = attempt.outcome {
        hook(error, attempt.elapsed);
    }
}

/// The crate's default clock, without its waits.
struct Sleepless;

impl Clock for Sleepless {
    fn now(&self) -> Duration {
        SystemClock.now()
    }
}

impl SyncClock for Sleepless {
    fn wait(&self, delay: Duration) {
        no_sleep(delay);
    }
}
