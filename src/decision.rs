//! The one decision: a failure goes in; a wait or a reason to stop comes out.
//!
//! One failed call takes this way through the crate:
//!
//! 1. The driver passes the error to [`Decision::failed`], which calls `decide`.
//! 2. `decide` calls the classifier, compares the attempt with `max_attempts`, and checks the hint.
//! 3. `Backoff::wait`, or `hinted_wait` after a hint, computes the delay; `Range::draw` adds jitter.
//! 4. `Limits::check` compares the delay with the deadline, then withdraws from the budget.
//! 5. `failed` books the attempt and the wait, calls `Report::retry`, and returns a [`Wait`].
//! 6. The driver calls the retry hook and the sleeper. An early end goes to [`Decision::woken`] or
//!    [`Decision::cancelled`].

use std::any::type_name;
use std::time::Duration;

use crate::backoff::BackoffState;
use crate::clock::Tick;
use crate::error::{RetryError, Stop, StopReason};
use crate::event::RetryEvent;
use crate::hooks::{Classify, Observe};
use crate::jitter::Hint;
use crate::nanos::{CoarseNanos, TotalWait, nanos};
use crate::policy::{Limits, RetryPolicy};
use crate::report::Report;
use crate::sealed::Internal;

/// The state of an operation between its first call and its last. It decides and counts; it neither
/// calls the operation nor sleeps. Its 24 bytes are a part of every waiting future.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    start: Option<Tick>,
    waited: TotalWait,
    attempt: u32,
    previous: CoarseNanos,
}

/// A granted retry whose wait has not ended. The attempt and the wait are booked already, so that the state is right
/// if a hook or a sleeper panics. A wait that comes to its end needs no further call.
#[derive(Debug)]
#[must_use = "give it back to the decision if the wait ends early"]
pub(crate) struct Wait {
    nanos: u64,
    waited_before: TotalWait,
    failed_attempt: u32,
}

impl Wait {
    #[inline]
    pub(crate) const fn delay(&self, policy: &RetryPolicy) -> Duration {
        policy.duration(self.nanos)
    }

    #[inline]
    pub(crate) fn event<'a, E>(
        &self,
        policy: &RetryPolicy,
        delay: Duration,
        error: &'a E,
    ) -> RetryEvent<'a, E> {
        RetryEvent {
            attempt: self.failed_attempt,
            max_attempts: policy.max_attempts(),
            delay,
            waited: self.waited_before.get(),
            error,
            name: policy.name(),
        }
    }
}

/// A delay, and the state that it changed.
struct Granted {
    nanos: u64,
    state: BackoffState,
    previous: CoarseNanos,
    start: Option<Tick>,
}

impl Decision {
    /// In the first attempt. If there is a deadline, it counts from `start`, or from the first failure if
    /// `start` is `None`.
    #[inline]
    pub(crate) const fn new(start: Option<Tick>) -> Self {
        Self { start, waited: TotalWait::ZERO, attempt: 1, previous: CoarseNanos::NONE }
    }

    /// In the first attempt, which starts now. Without a deadline the clock is not read.
    #[inline]
    pub(crate) fn started(policy: &RetryPolicy) -> Self {
        Self::new(policy.start_of_deadline())
    }

    /// Decides after the running attempt has failed, books the retry, and then reports it. A driver that
    /// keeps state about a stop sets it in `stopped`, which is called before the report.
    #[expect(
        clippy::inline_always,
        reason = "one decision in all drivers: a call would cost as much again"
    )]
    #[inline(always)]
    pub(crate) fn failed<E>(
        &mut self,
        error: &E,
        classifier: &mut impl Classify<E>,
        state: &mut BackoffState,
        report: Report<'_, impl Observe>,
        stopped: impl FnOnce(Stop),
    ) -> Result<Wait, Stop> {
        match self.decide(error, classifier, state, report.call.policy) {
            Ok(nanos) => {
                let (failed_attempt, waited_before) = (self.attempt, self.waited);
                self.attempt = failed_attempt + 1;
                self.waited = waited_before.plus(nanos);
                report.retry(type_name::<E>(), failed_attempt, waited_before, nanos);
                Ok(Wait { nanos, waited_before, failed_attempt })
            }
            Err(stop) => {
                stopped(stop);
                report.gave_up(type_name::<E>(), self.attempt, self.waited, stop.reason);
                Err(stop)
            }
        }
    }

    /// Returns the wait in nanoseconds. Checks the reasons in the order of [`StopReason`]; the deadline and the budget are
    /// checked in [`Limits`].
    #[expect(
        clippy::inline_always,
        reason = "one decision in all drivers: a call would cost as much again"
    )]
    #[inline(always)]
    fn decide<E>(
        &mut self,
        error: &E,
        classifier: &mut impl Classify<E>,
        state: &mut BackoffState,
        policy: &RetryPolicy,
    ) -> Result<u64, Stop> {
        if !classifier.is_transient(error, Internal) {
            return Err(Stop::because(StopReason::Permanent));
        }
        let mut limits = None;
        if self.attempt >= policy.plain_attempts() {
            if self.attempt >= policy.max_attempts() {
                return Err(Stop::because(StopReason::AttemptsExhausted));
            }
            limits = policy.limits();
        }
        let hint = classifier.retry_after(error, Internal);
        let granted = match (hint, limits) {
            (None, None) => {
                return Ok(policy.backoff.wait(self.attempt, state, &mut self.previous));
            }
            (None, Some(limits)) => self.decide_with_limits(*state, policy, limits)?,
            (Some(hint), limits) => self.decide_with_hint(*state, policy, hint, limits)?,
        };
        (*state, self.previous, self.start) = (granted.state, granted.previous, granted.start);
        Ok(granted.nanos)
    }

    /// Decides if there is a deadline or a budget. By value, so that an in-line caller keeps its state in registers.
    #[cold]
    #[inline(never)]
    fn decide_with_limits(
        self,
        mut state: BackoffState,
        policy: &RetryPolicy,
        limits: &Limits,
    ) -> Result<Granted, Stop> {
        let mut previous = self.previous;
        let nanos = policy.backoff.wait(self.attempt, &mut state, &mut previous);
        let start = self.check(policy, limits, nanos)?;
        Ok(Granted { nanos, state, previous, start })
    }

    /// Decides if there is a hint. Kept separate, so that programs whose errors have no hints do not contain this code.
    #[cold]
    #[inline(never)]
    fn decide_with_hint(
        self,
        mut state: BackoffState,
        policy: &RetryPolicy,
        hint: Duration,
        limits: Option<&Limits>,
    ) -> Result<Granted, Stop> {
        if hint > policy.max_retry_after() {
            return Err(Stop::instead_of(hint, StopReason::RetryAfterTooLong));
        }
        let hint = Hint { floor: nanos(hint), ceiling: policy.hint_ceiling() };
        let mut previous = self.previous;
        let nanos = policy.backoff.hinted_wait(self.attempt, &mut state, &mut previous, hint);
        let start = match limits {
            Some(limits) => self.check(policy, limits, nanos)?,
            None => self.start,
        };
        Ok(Granted { nanos, state, previous, start })
    }

    fn check(
        &self,
        policy: &RetryPolicy,
        limits: &Limits,
        nanos: u64,
    ) -> Result<Option<Tick>, Stop> {
        let delay = policy.duration(nanos);
        (limits.check)(policy, self.start, self.waited, delay).map_err(|reason| {
            // A curve may begin at zero, for a fast first retry. A caller that starts over must pause all the same.
            let is_zero = nanos == 0 && policy.backoff.delay(self.attempt).is_zero();
            let pause = if is_zero { policy.backoff.delay(self.attempt + 1) } else { delay };
            Stop::instead_of(pause, reason)
        })
    }

    /// Takes back a wait that ended early. The attempt follows, and the wait does not count.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a wait ends once")]
    pub(crate) const fn woken(&mut self, wait: Wait) {
        self.waited = wait.waited_before;
    }

    /// Takes back a wait that was cut short for good, and reports that. Neither the wait nor its attempt
    /// counts.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a wait ends once")]
    pub(crate) fn cancelled<E>(
        &mut self,
        wait: Wait,
        error: E,
        report: Report<'_, impl Observe>,
        stopped: impl FnOnce(Stop),
    ) -> RetryError<E> {
        self.attempt = wait.failed_attempt;
        self.waited = wait.waited_before;
        self.stop(
            error,
            Stop::instead_of(wait.delay(report.call.policy), StopReason::Cancelled),
            report,
            stopped,
        )
    }

    /// Stops for a reason outside of the decision, and reports that.
    #[inline]
    pub(crate) fn stop<E>(
        &self,
        error: E,
        stop: Stop,
        report: Report<'_, impl Observe>,
        stopped: impl FnOnce(Stop),
    ) -> RetryError<E> {
        stopped(stop);
        report.gave_up(type_name::<E>(), self.attempt, self.waited, stop.reason);
        self.give_up(error, stop)
    }

    /// Makes the error of a stop that has been reported.
    #[inline]
    pub(crate) const fn give_up<E>(&self, error: E, stop: Stop) -> RetryError<E> {
        RetryError::new(error, self.attempt, self.waited, stop)
    }

    /// Books the success of the running attempt, and then reports it.
    #[inline]
    pub(crate) fn succeeded(&self, report: Report<'_, impl Observe>) {
        Self::feed(report.call.policy);
        report.succeeded(self.attempt, self.waited);
    }

    /// Books and reports the success of a retry.
    #[inline]
    pub(crate) fn recovered(&self, report: Report<'_, impl Observe>) {
        Self::feed(report.call.policy);
        report.recovered(self.attempt, self.waited);
    }

    #[inline]
    fn feed(policy: &RetryPolicy) {
        if policy.has_limits() {
            policy.feed();
        }
    }

    /// Returns the start of the first attempt, if there is a deadline.
    #[inline]
    pub(crate) const fn start(&self) -> Option<Tick> {
        self.start
    }

    /// Returns the number of the running attempt, from 1.
    #[inline]
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the sum of the waits so far.
    #[inline]
    pub(crate) const fn total_wait(&self) -> Duration {
        self.waited.get()
    }
}
