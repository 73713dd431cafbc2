//! The one decision: a failure goes in, "wait this long" or "stop, because" comes out.

use std::time::{Duration, Instant};

use crate::backoff::{Curve, Walk};
use crate::error::{RetryError, StopReason};
use crate::event::{Log, RetryEvent};
use crate::policy::RetryPolicy;
use crate::transient::IsTransient;

/// Who says whether an error is transient: the error itself (`()`, where nothing was set), or a
/// predicate given with `retry_if`. The compiler's advice is that of [`IsTransient`], which would
/// not reach the user through the implementation for `()`.
#[diagnostic::on_unimplemented(
    message = "`{E}` does not say which of its errors are transient",
    label = "the error type `{E}` does not implement `IsTransient`",
    note = "for an error type of your own: `impl retry_ext::IsTransient for {E} {{ fn is_transient(&self) -> bool {{ .. }} }}`",
    note = "for somebody else's: put `.retry_if(|error| ..)` before `.retry_with(policy)`"
)]
#[expect(unnameable_types, reason = "sealed: a bound of the chain, implemented here alone")]
pub trait Classify<E> {
    #[doc(hidden)]
    fn is_transient(&mut self, error: &E) -> bool;
    #[doc(hidden)]
    fn retry_after(&self, error: &E) -> Option<Duration>;
}

impl<E: IsTransient> Classify<E> for () {
    #[inline]
    fn is_transient(&mut self, error: &E) -> bool {
        error.is_transient()
    }

    #[inline]
    fn retry_after(&self, error: &E) -> Option<Duration> {
        error.retry_after()
    }
}

impl<E, P: FnMut(&E) -> bool> Classify<E> for P {
    #[inline]
    fn is_transient(&mut self, error: &E) -> bool {
        self(error)
    }

    #[inline]
    fn retry_after(&self, _error: &E) -> Option<Duration> {
        None
    }
}

/// Where an operation stands between its first call and its last. It decides and keeps count; it
/// neither calls the operation nor sleeps.
#[derive(Debug)]
pub(crate) struct Progress {
    walk: Option<Walk>,
    start: Option<Instant>,
    waited: Duration,
    attempt: u32,
}

impl Progress {
    /// In the first attempt. Where there is a deadline, `start` is when that attempt started; without
    /// one the clock is not read.
    #[inline]
    pub(crate) const fn new(start: Option<Instant>) -> Self {
        Self { walk: None, start, waited: Duration::ZERO, attempt: 1 }
    }

    /// What to do now that this attempt has failed. Granted, the delay is to be waited and
    /// [`next_attempt`](Self::next_attempt) to be told.
    #[inline]
    pub(crate) fn after_failure<E>(
        &mut self,
        error: &E,
        classify: &mut impl Classify<E>,
        log: Log<'_>,
    ) -> Result<Duration, StopReason> {
        let decision = self.decide(error, classify, log.policy);
        match decision {
            Ok(delay) => log.retry(self.attempt, delay),
            Err(StopReason::Permanent) => {}
            Err(reason) => log.gave_up(self.attempt, self.waited, reason),
        }
        decision
    }

    /// The order of the tests is the order of the reasons.
    #[inline]
    fn decide<E>(
        &mut self,
        error: &E,
        classify: &mut impl Classify<E>,
        policy: &RetryPolicy,
    ) -> Result<Duration, StopReason> {
        if !classify.is_transient(error) {
            return Err(StopReason::Permanent);
        }
        if self.attempt >= policy.max_attempts() {
            return Err(StopReason::AttemptsExhausted);
        }
        let hint = classify.retry_after(error).unwrap_or(Duration::ZERO);
        if hint > policy.max_delay() {
            return Err(StopReason::RetryAfterTooLong);
        }
        let delay = self.delay(policy, hint);
        if self.would_miss_deadline(policy, delay) {
            return Err(StopReason::DeadlineExceeded);
        }
        Ok(delay)
    }

    #[inline]
    fn delay(&mut self, policy: &RetryPolicy, floor: Duration) -> Duration {
        let backoff = &policy.backoff;
        let curve = Curve::of(backoff);
        // Not before it is needed: with jitter it takes a seed.
        let walk = self.walk.get_or_insert_with(|| Walk::new(backoff, &curve));
        walk.next(backoff, &curve, self.attempt, floor)
    }

    /// The waits asked for count where the clock shows less, so that the rule holds, and can be
    /// tested, with a sleeper that does not sleep.
    #[inline]
    fn would_miss_deadline(&self, policy: &RetryPolicy, delay: Duration) -> bool {
        let Some(max_elapsed) = policy.max_elapsed() else {
            return false;
        };
        let clock = self.start.map_or(Duration::ZERO, |start| start.elapsed());
        clock.max(self.waited).saturating_add(delay) > max_elapsed
    }

    #[inline]
    pub(crate) fn event<'a, E>(
        &self,
        policy: &RetryPolicy,
        delay: Duration,
        error: &'a E,
    ) -> RetryEvent<'a, E> {
        RetryEvent {
            attempt: self.attempt,
            max_attempts: policy.max_attempts(),
            delay,
            waited: self.waited,
            error,
            name: policy.name(),
        }
    }

    /// The delay was waited: the next attempt starts now.
    #[inline]
    pub(crate) fn next_attempt(&mut self, waited: Duration) {
        self.waited = self.waited.saturating_add(waited);
        self.attempt += 1;
    }

    /// The wait was cut short: there is no next attempt.
    pub(crate) fn cancelled<E>(&self, error: E, log: Log<'_>) -> RetryError<E> {
        log.gave_up(self.attempt, self.waited, StopReason::Cancelled);
        self.gave_up(error, StopReason::Cancelled)
    }

    /// An attempt after the first succeeded.
    #[inline]
    pub(crate) fn recovered(&self, log: Log<'_>) {
        log.recovered(self.attempt, self.waited);
    }

    #[inline]
    pub(crate) fn gave_up<E>(&self, error: E, reason: StopReason) -> RetryError<E> {
        RetryError::new(error, self.attempt, self.waited, reason)
    }
}
