//! The one decision about a retry. Its input is a failure, and its output is a wait or a reason to stop.
//!
//! One failed call passes through the crate in these steps:
//!
//! 1. The driver passes the outcome to `Classify::judge`, and a failure to [`Decision::failed`], which calls `decide`.
//! 2. `decide` calls the classifier, compares the attempt with `max_attempts`, and checks the hint.
//! 3. `Backoff::wait`, or `hinted_wait` after a hint, computes the delay; `Range::draw` adds jitter. If the chain
//!    has `delay_with`, `Backoff::computed` puts its delay in place of the curve.
//! 4. `Limits::check` compares the delay with the deadline, then withdraws from the budget. A refusal carries the pause.
//! 5. `failed` records the attempt and the wait, calls `Report::retry`, and returns a [`Wait`].
//! 6. `failed_afresh`, or the loop of the blocking drivers, calls the retry hook.
//! 7. The driver calls the sleeper. An early end goes to [`Decision::woken`] or [`Decision::cancelled`].
//! 8. Without a further attempt, `failed` calls `Report::gave_up`. The driver returns the last outcome, through
//!    `Shape::finish` or [`Decision::give_up`].

use core::time::Duration;

use crate::backoff::BackoffState;
use crate::budget::RetryBudget;
use crate::clock::Tick;
use crate::error::{RetryError, Stop, StopReason};
use crate::event::RetryEvent;
#[cfg(feature = "async")]
use crate::hooks::Shape;
use crate::hooks::{ChainBudget, Classify, ComputeDelay, Hooks, Notify, Observe};
use crate::jitter::Hint;
use crate::nanos::{CoarseNanos, TotalWait, nanos};
use crate::operation::{Attempt, Deadline};
use crate::policy::{Limits, Requested, RetryPolicy};
use crate::report::{Call, Report};
use crate::sealed::Internal;
#[cfg(feature = "async")]
use crate::sleep::Ended;

/// The state of an operation between its first call and its last. It decides and counts; it neither calls the
/// operation nor sleeps. Its 24 bytes are part of every waiting future.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    start: Option<Tick>,
    waited: TotalWait,
    attempt: u32,
    previous: CoarseNanos,
}

/// A granted retry whose wait has not ended. The attempt and the wait are already recorded, so that the state is
/// right if a hook or a sleeper panics. A wait that ends on time needs no further call.
#[derive(Clone, Debug)]
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
    pub(crate) fn event<'a, X>(
        &self,
        policy: &RetryPolicy,
        delay: Duration,
        failure: &'a X,
    ) -> RetryEvent<'a, X> {
        RetryEvent {
            attempt: self.failed_attempt,
            max_attempts: policy.max_attempts(),
            delay,
            waited: self.waited_before.get(),
            error: failure,
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

/// The settings of a chain that take part in the decision.
pub(crate) struct Judge<'a, C, D, B> {
    pub(crate) classifier: &'a mut C,
    pub(crate) delay: &'a mut D,
    pub(crate) budget: &'a B,
}

/// The settings of a chain that replace those of the policy.
#[derive(Clone, Copy)]
struct Own<'a> {
    nominal: Option<Duration>,
    budget: Option<&'a RetryBudget>,
}

impl Own<'_> {
    #[inline]
    const fn is_set(&self) -> bool {
        self.nominal.is_some() || self.budget.is_some()
    }
}

impl<C, N, S, O, D, B: ChainBudget> Hooks<C, N, S, O, D, B> {
    /// Records a success with the budget of the chain, or else with the budget of the policy.
    #[inline]
    fn feed(&self, policy: &RetryPolicy) {
        match self.budget.budget(Internal) {
            Some(budget) => budget.deposit(),
            None if policy.has_limits() => policy.feed(),
            None => {}
        }
    }
}

impl Decision {
    /// Returns the state in the first attempt. A deadline, if there is one, counts from `start`, or from the first
    /// failure if `start` is `None`.
    #[inline]
    pub(crate) const fn new(start: Option<Tick>) -> Self {
        Self { start, waited: TotalWait::ZERO, attempt: 1, previous: CoarseNanos::NONE }
    }

    /// Returns the state in the first attempt, which starts now. Without a deadline, the clock is not read.
    #[inline]
    pub(crate) fn started(policy: &RetryPolicy) -> Self {
        Self::new(policy.start_of_deadline())
    }

    /// Returns the state in the attempt `attempt` of an operation that began elsewhere. The rest of its deadline
    /// counts from now.
    pub(crate) fn resumed(policy: &RetryPolicy, attempt: u32) -> Self {
        Self { attempt, previous: policy.backoff.previous(attempt), ..Self::started(policy) }
    }

    /// Decides after the running attempt has failed, records the retry, and then reports it. A driver that keeps
    /// state about a wait or a stop sets it in `decided`, which is called before the report.
    #[expect(
        clippy::inline_always,
        reason = "one decision in all drivers: a call would cost as much again"
    )]
    #[inline(always)]
    pub(crate) fn failed<T, E, C, D, B>(
        &mut self,
        failure: &C::Failure,
        judgement: C::Judgement,
        judge: Judge<'_, C, D, B>,
        state: &mut BackoffState,
        report: Report<'_, impl Observe>,
        decided: impl FnOnce(Result<&Wait, Stop>),
    ) -> Result<Wait, Stop>
    where
        C: Classify<T, E>,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
    {
        match self.decide(failure, judgement, judge, state, report.call.policy) {
            Ok(nanos) => {
                let (failed_attempt, waited_before) = (self.attempt, self.waited);
                self.attempt = failed_attempt + 1;
                self.waited = waited_before.plus(nanos);
                let wait = Wait { nanos, waited_before, failed_attempt };
                decided(Ok(&wait));
                let failure_type = C::type_name(failure, Internal);
                report.retry(failure_type, failed_attempt, waited_before, nanos);
                Ok(wait)
            }
            Err(stop) => {
                decided(Err(stop));
                let failure_type = C::type_name(failure, Internal);
                report.gave_up(failure_type, self.attempt, self.waited, stop);
                Err(stop)
            }
        }
    }

    /// Decides like [`failed`](Self::failed) and calls the hook, for drivers that recompute the state of the
    /// backoff. A waiting future has no room for that state, and a process may fork between two failures of a
    /// loop.
    #[inline]
    pub(crate) fn failed_afresh<T, E, C, N, S, O, D, B>(
        &mut self,
        hooks: &mut Hooks<C, N, S, O, D, B>,
        failure: &C::Failure,
        judgement: C::Judgement,
        call: Call<'_>,
        decided: impl FnOnce(Result<&Wait, Stop>),
    ) -> Result<(Wait, Duration), Stop>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        O: Observe,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
    {
        let mut state = call.policy.backoff.state(self.attempt);
        let Hooks { classifier, hook, observer, delay, budget, .. } = hooks;
        let judge = Judge { classifier, delay, budget };
        let report = Report { call, observer };
        let wait = self.failed(failure, judgement, judge, &mut state, report, decided)?;
        let delay = wait.delay(call.policy);
        hook.retry(&wait.event(call.policy, delay, failure), Internal);
        Ok((wait, delay))
    }

    /// Returns the wait in nanoseconds. Checks the reasons in the order of [`StopReason`]; the deadline and the budget are
    /// checked in [`Limits`].
    #[expect(
        clippy::inline_always,
        reason = "one decision in all drivers: a call would cost as much again"
    )]
    #[inline(always)]
    fn decide<T, E, C, D, B>(
        &mut self,
        failure: &C::Failure,
        judgement: C::Judgement,
        judge: Judge<'_, C, D, B>,
        state: &mut BackoffState,
        policy: &RetryPolicy,
    ) -> Result<u64, Stop>
    where
        C: Classify<T, E>,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
    {
        let Judge { classifier, delay, budget } = judge;
        if !classifier.is_transient(failure, judgement, Internal) {
            return Err(Stop::because(StopReason::Permanent));
        }
        let mut limits = None;
        if self.attempt >= policy.plain_attempts() {
            if self.attempt >= policy.max_attempts() {
                return Err(Stop::because(StopReason::AttemptsExhausted));
            }
            limits = policy.limits();
        }
        let hint = classifier.retry_after(failure, judgement, Internal);
        let own = Own {
            nominal: delay.compute(self.attempt, failure, Internal),
            budget: budget.budget(Internal),
        };
        let granted = match (hint, limits) {
            (hint, limits) if own.is_set() => {
                self.decide_with_own(*state, policy, hint, own, limits)?
            }
            (None, None) => {
                return Ok(policy.backoff.wait(self.attempt, state, &mut self.previous));
            }
            (None, Some(limits)) => self.decide_with_limits(*state, policy, limits)?,
            (Some(hint), limits) => self.decide_with_hint(*state, policy, hint, limits)?,
        };
        (*state, self.previous, self.start) = (granted.state, granted.previous, granted.start);
        Ok(granted.nanos)
    }

    /// Decides if there is a deadline or a budget. Arguments are by value, so that an in-line caller keeps its
    /// state in registers.
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
        let start = (limits.check)(policy, &self.requested(policy, nanos))?;
        Ok(Granted { nanos, state, previous, start })
    }

    /// Decides if there is a hint. The code is separate, so that programs whose errors have no hints do not
    /// contain it.
    #[cold]
    #[inline(never)]
    fn decide_with_hint(
        self,
        mut state: BackoffState,
        policy: &RetryPolicy,
        hint: Duration,
        limits: Option<&Limits>,
    ) -> Result<Granted, Stop> {
        let hint = Self::bounded(hint, policy)?;
        let mut previous = self.previous;
        let nanos = policy.backoff.hinted_wait(self.attempt, &mut state, &mut previous, hint);
        let start = match limits {
            Some(limits) => (limits.check)(policy, &self.requested(policy, nanos))?,
            None => self.start,
        };
        Ok(Granted { nanos, state, previous, start })
    }

    /// Decides if the chain has computed a delay or has its own budget. The code is separate for the same reason.
    #[cold]
    #[inline(never)]
    fn decide_with_own(
        self,
        mut state: BackoffState,
        policy: &RetryPolicy,
        hint: Option<Duration>,
        own: Own<'_>,
        limits: Option<&Limits>,
    ) -> Result<Granted, Stop> {
        let hint = hint.map(|hint| Self::bounded(hint, policy)).transpose()?;
        let mut previous = self.previous;
        let (mut backoff, attempt) = (policy.backoff, self.attempt);
        if let Some(nominal) = own.nominal {
            backoff = backoff.computed(nominal, &mut state, &mut previous);
        }
        let nanos = match hint {
            Some(hint) => backoff.hinted_wait(attempt, &mut state, &mut previous, hint),
            None => backoff.wait(attempt, &mut state, &mut previous),
        };
        let wait = self.requested(policy, nanos);
        let start = match (own.budget, limits) {
            (Some(budget), _) => Limits::check_and_charge(policy, budget, &wait)?,
            (None, Some(limits)) => (limits.check)(policy, &wait)?,
            (None, None) => self.start,
        };
        Ok(Granted { nanos, state, previous, start })
    }

    fn bounded(hint: Duration, policy: &RetryPolicy) -> Result<Hint, Stop> {
        if hint > policy.max_retry_after() {
            return Err(Stop::instead_of(hint, StopReason::RetryAfterTooLong));
        }
        Ok(Hint { floor: nanos(hint), ceiling: policy.hint_ceiling() })
    }

    fn requested(&self, policy: &RetryPolicy, nanos: u64) -> Requested {
        let Self { attempt, start, waited, .. } = *self;
        Requested { attempt, start, waited, delay: policy.duration(nanos) }
    }

    /// Takes back a wait that ended early. The attempt follows, and the wait does not count.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a wait ends once")]
    pub(crate) const fn woken(&mut self, wait: Wait) {
        self.waited = wait.waited_before;
    }

    /// Records the end of a wait. If the wait was cancelled, returns the error.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn wait_ended<T, E, C>(
        &mut self,
        ended: Ended<(Wait, C::Failure)>,
        report: Report<'_, impl Observe>,
    ) -> Result<(), RetryError<C::Failure>>
    where
        C: Shape<T, E>,
    {
        match ended {
            Ended::Elapsed => Ok(()),
            Ended::Woken((wait, _dropped)) => {
                self.woken(wait);
                Ok(())
            }
            Ended::Cancelled((wait, failure)) => {
                let failure_type = C::type_name(&failure, Internal);
                Err(self.cancelled(wait, failure, failure_type, report, |_| {}))
            }
        }
    }

    /// Takes back a wait that was cut short for good, and reports the end. Neither the wait nor its attempt
    /// counts.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a wait ends once")]
    pub(crate) fn cancelled<X>(
        &mut self,
        wait: Wait,
        failure: X,
        failure_type: &str,
        report: Report<'_, impl Observe>,
        stopped: impl FnOnce(Stop),
    ) -> RetryError<X> {
        self.attempt = wait.failed_attempt;
        self.waited = wait.waited_before;
        let stop = Stop::instead_of(wait.delay(report.call.policy), StopReason::Cancelled);
        self.stop(failure, failure_type, stop, report, stopped)
    }

    /// Stops for a reason outside the decision, and reports the end.
    #[inline]
    pub(crate) fn stop<X>(
        &self,
        failure: X,
        failure_type: &str,
        stop: Stop,
        report: Report<'_, impl Observe>,
        stopped: impl FnOnce(Stop),
    ) -> RetryError<X> {
        stopped(stop);
        report.gave_up(failure_type, self.attempt, self.waited, stop);
        self.give_up(failure, stop)
    }

    /// Makes the error of a stop that has been reported.
    #[inline]
    pub(crate) const fn give_up<X>(&self, failure: X, stop: Stop) -> RetryError<X> {
        RetryError::new(failure, self.attempt, self.waited, stop)
    }

    /// Records the success of the running attempt, and then reports it.
    #[inline]
    pub(crate) fn succeeded<C, N, S, O, D, B>(
        &self,
        hooks: &Hooks<C, N, S, O, D, B>,
        call: Call<'_>,
    ) where
        O: Observe,
        B: ChainBudget,
    {
        hooks.feed(call.policy);
        hooks.report(call).succeeded(self.attempt, self.waited);
    }

    /// Records and reports the success of a retry.
    #[inline]
    pub(crate) fn recovered<C, N, S, O, D, B>(
        &self,
        hooks: &Hooks<C, N, S, O, D, B>,
        call: Call<'_>,
    ) where
        O: Observe,
        B: ChainBudget,
    {
        hooks.feed(call.policy);
        hooks.report(call).recovered(self.attempt, self.waited);
    }

    /// Describes the running attempt to its operation.
    #[inline]
    pub(crate) fn running(&self, policy: &RetryPolicy) -> Attempt {
        Attempt::new(self.attempt, self.deadline(policy))
    }

    /// Returns the deadline, if there is one.
    #[inline]
    pub(crate) fn deadline(&self, policy: &RetryPolicy) -> Option<Deadline> {
        let (start, waited) = (self.start, self.waited);
        policy.max_elapsed().map(|max_elapsed| Deadline { max_elapsed, start, waited })
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
