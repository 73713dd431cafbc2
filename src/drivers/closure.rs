//! Blocking closures, and the loop that all blocking drivers share.

use core::borrow::Borrow;
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use core::time::Duration;

use crate::budget::RetryBudget;
use crate::clock::Tick;
use crate::decision::{Decision, Judge, Wait};
use crate::error::{RetryError, Stop, StopReason};
use crate::event::{Observer, RetryEvent};
use crate::hooks::{
    Budgeted, ByError, ByOutcome, ChainBudget, Classify, ComputeDelay, Hooks, NotSet, Notify,
    Observe, Observed, Shape,
};
use crate::nanos::TotalWait;
use crate::operation::{Attempt, Attempts, Operation};
use crate::policy::RetryPolicy;
use crate::report::{Call, Report};
use crate::sealed::Internal;
#[cfg(not(feature = "std"))]
use crate::sleep::BlockingSleeper;
use crate::sleep::{Ended, Sleep, Wake};
use crate::span::{Span, SpanHandle};
use crate::transient::{IsTransient, Verdict};

/// Adds `.retry_with(policy)` to closures, functions and `&mut` closures that return a `Result`.
///
/// ```
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// fn motd() -> std::io::Result<String> {
///     std::fs::read_to_string("/etc/motd")
/// }
///
/// println!("{}", motd.retry_with(RetryPolicy::new()).unwrap_or_default());
/// ```
///
/// Optional settings come first, in any order. `retry_with` comes last and runs the operation:
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// const POLICY: RetryPolicy = RetryPolicy::new().with_initial_delay(Duration::from_millis(1));
///
/// let mut failures = 2;
/// let mut fetch = || match failures {
///     0 => Ok("page"),
///     _ => { failures -= 1; Err(Error::from(ErrorKind::AddrInUse)) }
/// };
/// let page = (|| fetch())
///     .retry_if(|error| error.kind() == ErrorKind::AddrInUse)
///     .on_retry(|retry| eprintln!("{retry}"))
///     .retry_with(POLICY)?;
/// assert_eq!(page, "page");
/// # Ok::<(), retry_ext::RetryError<Error>>(())
/// ```
///
/// The trait is implemented for every `FnMut() -> Result<T, E>`, and for [`attempts`](crate::attempts) around a
/// closure that takes the attempt. It cannot be implemented for anything else. If another crate also has a
/// `RetryExt`, import this trait without its name, from the [`prelude`](crate::prelude).
pub trait RetryExt<T, E>: Operation<Outcome = Result<T, E>> {
    /// Retries the errors for which `predicate` returns `true`. It replaces the error's own
    /// [`IsTransient`], including its [`retry_after`](IsTransient::retry_after) hint; the error type need not
    /// implement the trait. A second `retry_if` replaces the first.
    ///
    /// ```
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// let mut texts = ["", "x", "7"].into_iter();
    /// let number = (|| texts.next().unwrap_or_default().parse::<u8>())
    ///     .retry_if(|_error| true)
    ///     .sleep_with(|_delay| ())
    ///     .retry_with(RetryPolicy::new());
    /// assert_eq!(number, Ok(7));
    /// ```
    #[inline]
    fn retry_if<Q>(self, predicate: Q) -> Retry<Self, T, E, Hooks<ByError<Q>>>
    where
        Self: Sized,
        Q: FnMut(&E) -> bool,
    {
        Retry::new(self).retry_if(predicate)
    }

    /// Judges the whole outcome of each attempt, `Ok` values included. It replaces [`IsTransient`] and
    /// [`retry_if`](Self::retry_if); see [`Verdict`] for the meaning of each verdict. Call it before
    /// [`on_retry`](Self::on_retry) and [`delay_with`](Self::delay_with), whose closures then receive the whole
    /// outcome.
    ///
    /// If the retry gives up on an `Ok` value, that last value is returned as `Ok`. An HTTP client gets the last
    /// response, with any status. A value has no [`next_delay`](RetryError::next_delay), so a loop that starts
    /// over after a refused value must choose its own pause.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use retry_ext::{RetryExt, RetryPolicy, Verdict};
    ///
    /// let mut numbers = ["0", "0", "7"].into_iter();
    /// let number = (|| numbers.next().unwrap_or_default().parse())
    ///     .classify(|outcome: &Result<u8, ParseIntError>| match outcome {
    ///         Ok(0) => Verdict::Transient, // not there yet
    ///         Ok(_) => Verdict::Success,
    ///         Err(_) => Verdict::Permanent,
    ///     })
    ///     .sleep_with(|_delay| ())
    ///     .retry_with(RetryPolicy::new());
    /// assert_eq!(number, Ok(7));
    /// ```
    #[inline]
    fn classify<J>(self, judge: J) -> Retry<Self, T, E, Hooks<ByOutcome<J>>>
    where
        Self: Sized,
        J: FnMut(&Result<T, E>) -> Verdict,
    {
        Retry::new(self).classify(judge)
    }

    /// Calls `hook` once per retry, before the wait, with the exact delay. The hook is not called for the last
    /// failure or for a permanent error, because no retry follows them. If a wait is cancelled, the hook has
    /// already been called. A second `on_retry` replaces the first.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// let mut retries = Vec::new();
    /// let result = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .on_retry(|retry| retries.push((retry.attempt, retry.delay.as_secs())))
    ///     .sleep_with(|_delay| ())
    ///     .retry_with(RetryPolicy::new());
    /// assert!(result.is_err());
    /// assert_eq!(retries, [(1, 1), (2, 2)]);
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> Retry<Self, T, E, Hooks<(), N>>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        Retry::new(self).on_retry(hook)
    }

    /// Replaces [`std::thread::sleep`]: skip waiting in tests, use another clock, or wait on a channel that can
    /// end the wait. The sleeper returns `()`, a [`ControlFlow`](std::ops::ControlFlow) or a
    /// [`SleepOutcome`](crate::SleepOutcome). A second `sleep_with` replaces the first.
    ///
    /// With a sleeper that returns `()`, a failed outcome is dropped before the wait, as without `sleep_with`.
    /// With a sleeper that can cancel, the failed outcome is kept until the wait ends.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::ops::ControlFlow;
    /// use std::sync::mpsc::{RecvTimeoutError, channel};
    /// use retry_ext::{RetryExt, RetryPolicy, StopReason};
    ///
    /// let (shut_down, shutdown) = channel::<()>();
    /// shut_down.send(()).unwrap(); // from a signal handler, say, during the wait
    ///
    /// let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .sleep_with(|delay| match shutdown.recv_timeout(delay) {
    ///         Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
    ///         Ok(()) | Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
    ///     })
    ///     .retry_with(RetryPolicy::new())
    ///     .unwrap_err();
    /// assert_eq!(error.reason(), StopReason::Cancelled);
    /// ```
    #[inline]
    fn sleep_with<S, W>(self, sleeper: S) -> Retry<Self, T, E, Hooks<(), (), S>>
    where
        Self: Sized,
        S: FnMut(Duration) -> W,
        W: Wake,
    {
        Retry::new(self).sleep_with(sleeper)
    }

    /// Reports every retry, success and failure to `observer`, for metrics. Usually a reference to a
    /// `static`. A second `observe` replaces the first.
    ///
    /// ```
    /// use retry_ext::{RetryExt, RetryPolicy, RetryStats};
    ///
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// let manifest = (|| std::fs::read("Cargo.toml")).observe(&STATS).retry_with(RetryPolicy::new());
    /// assert!(manifest.is_ok());
    /// assert_eq!(STATS.snapshot().succeeded_at_first, 1);
    /// ```
    #[inline]
    fn observe<O>(self, observer: O) -> Retry<Self, T, E, Hooks<(), (), (), Observed<O>>>
    where
        Self: Sized,
        O: Observer,
    {
        Retry::new(self).observe(observer)
    }

    /// Computes the nominal delay before each retry in place of the backoff. `delay` receives the number of the
    /// retry, from 1, and the error.
    ///
    /// The cap (60 s unless set), jitter, a hint, the deadline and the budget still apply, and may refuse the
    /// retry after the call. With [`Jitter::Decorrelated`](crate::Jitter::Decorrelated), the computed delay takes
    /// the place of the initial delay. A second `delay_with` replaces the first. If a computed delay of zero is
    /// refused, [`next_delay`](RetryError::next_delay) is one of the policy's backoff.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// // The longer the queue, the longer the delay.
    /// let mut queue = vec!["a", "b", "c"];
    /// let mut waits = Vec::new();
    /// let result = (|| Err::<(), _>(Error::from(ErrorKind::WouldBlock)))
    ///     .delay_with(|retry, _error| {
    ///         queue.pop();
    ///         Duration::from_millis(100) * (retry + queue.len() as u32)
    ///     })
    ///     .sleep_with(|delay| waits.push(delay.as_millis()))
    ///     .retry_with(RetryPolicy::new());
    /// assert!(result.is_err());
    /// assert_eq!(waits, [300, 300]);
    /// ```
    #[inline]
    fn delay_with<D>(self, delay: D) -> Retry<Self, T, E, Hooks<(), (), (), (), D>>
    where
        Self: Sized,
        D: FnMut(u32, &E) -> Duration,
    {
        Retry::new(self).delay_with(delay)
    }

    /// Shares a budget that is known only at run time: by reference, in an `Arc`, or by reference to an `Arc`. It
    /// replaces the policy's [budget](RetryPolicy::with_budget). A second `budget` replaces the first.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryBudget, RetryExt, RetryPolicy, StopReason};
    ///
    /// // One budget per host.
    /// let mut budgets: HashMap<&str, RetryBudget> = HashMap::new();
    /// let budget = budgets.entry("a.example").or_insert_with(RetryBudget::new);
    ///
    /// let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .budget(&*budget)
    ///     .sleep_with(|_delay| ())
    ///     .retry_with(RetryPolicy::new().with_max_attempts(9))
    ///     .unwrap_err();
    /// assert_eq!((error.attempts(), error.reason()), (3, StopReason::BudgetExhausted));
    /// ```
    #[inline]
    fn budget<B>(self, budget: B) -> Retry<Self, T, E, Hooks<(), (), (), (), (), Budgeted<B>>>
    where
        Self: Sized,
        B: AsRef<RetryBudget>,
    {
        Retry::new(self).budget(budget)
    }

    /// Calls the closure, and calls it again while it fails with a transient error and the policy allows a retry.
    /// Each retry follows a wait. The failed outcome is dropped before the next call. The policy is a `Copy`
    /// value; a reference or an `Arc` works too.
    ///
    /// # Errors
    ///
    /// Returns the last error, in a [`RetryError`] with the reason for which there was no further attempt.
    ///
    /// # Panics
    ///
    /// Passes on panics of the closure, the predicate, the hook, the sleeper, the observer and the logger. In a browser,
    /// which cannot block, it panics if it would sleep: await an async retry there.
    ///
    /// ```
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// let manifest = (|| std::fs::read_to_string("Cargo.toml")).retry_with(RetryPolicy::new())?;
    /// assert!(manifest.contains("[package]"));
    /// # Ok::<(), retry_ext::RetryError<std::io::Error>>(())
    /// ```
    ///
    /// The compiler rejects an error type that does not implement [`IsTransient`]:
    ///
    /// ```compile_fail,E0277
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let _ = (|| "7".parse::<u8>()).retry_with(RetryPolicy::new());
    /// ```
    #[cfg(feature = "std")]
    #[inline]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> Result<T, RetryError<E>>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy>,
    {
        Retry::new(self).retry_with(policy)
    }

    /// Calls the closure and retries it. Without the feature `std`, call [`sleep_with`](Self::sleep_with) first.
    ///
    /// # Errors
    ///
    /// Returns the last error, in a [`RetryError`] with the reason for which there was no further attempt.
    #[cfg(not(feature = "std"))]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> Result<T, RetryError<E>>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy> + BlockingSleeper,
    {
        let sleeper = P::sleeper(Internal);
        Retry::new(self).with(|hooks| hooks.with_sleeper(sleeper)).retry_with(policy)
    }
}

impl<F, T, E> RetryExt<T, E> for F where F: FnMut() -> Result<T, E> {}

// A separate implementation, so that the compiler's messages about closures name `FnMut`.
impl<F, T, E> RetryExt<T, E> for Attempts<F> where F: FnMut(Attempt) -> Result<T, E> {}

/// An operation with the settings of its retry; made by the methods of [`RetryExt`] and run by
/// [`retry_with`](Self::retry_with), which comes last.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// let retry = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut))).sleep_with(|_| ());
/// assert_eq!(retry.retry_with(RetryPolicy::new()).unwrap_err().attempts(), 3);
/// ```
///
/// The compiler warns if `retry_with` is missing:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use retry_ext::RetryExt;
///
/// (|| std::fs::read("file")).on_retry(|retry| eprintln!("{retry}"));
/// ```
#[must_use = "this does nothing until you call `.retry_with(policy)`"]
pub struct Retry<F, T, E, H = Hooks> {
    pub(super) operation: F,
    pub(super) hooks: H,
    result: PhantomData<fn() -> Result<T, E>>,
}

impl<F, T, E> Retry<F, T, E> {
    #[inline]
    pub(super) fn new(operation: F) -> Self {
        Self { operation, hooks: Hooks::NONE, result: PhantomData }
    }
}

impl<F, T, E, C, N, S, O, D, B> Retry<F, T, E, Hooks<C, N, S, O, D, B>> {
    #[inline]
    pub(super) fn with<H>(
        self,
        set: impl FnOnce(Hooks<C, N, S, O, D, B>) -> H,
    ) -> Retry<F, T, E, H> {
        Retry { operation: self.operation, hooks: set(self.hooks), result: PhantomData }
    }

    /// Classifies errors at the call; see [`RetryExt::retry_if`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).sleep_with(|_| ()).retry_if(|_| true);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn retry_if<Q>(self, predicate: Q) -> Retry<F, T, E, Hooks<ByError<Q>, N, S, O, D, B>>
    where
        Q: FnMut(&E) -> bool,
    {
        self.with(|hooks| hooks.with_predicate(predicate))
    }

    /// Calls a hook before each wait; see [`RetryExt::on_retry`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).on_retry(|retry| eprintln!("{retry}"));
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn on_retry<M>(self, hook: M) -> Retry<F, T, E, Hooks<C, M, S, O, D, B>>
    where
        C: Shape<T, E>,
        M: FnMut(&RetryEvent<'_, C::Failure>),
    {
        self.with(|hooks| hooks.with_hook(hook))
    }

    /// Replaces `std::thread::sleep`; see [`RetryExt::sleep_with`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).sleep_with(std::thread::sleep);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn sleep_with<R, W>(self, sleeper: R) -> Retry<F, T, E, Hooks<C, N, R, O, D, B>>
    where
        R: FnMut(Duration) -> W,
        W: Wake,
    {
        self.with(|hooks| hooks.with_sleeper(sleeper))
    }

    /// Reports every retry, success and failure to an observer; see [`RetryExt::observe`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy, RetryStats};
    /// let stats = RetryStats::new();
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).observe(&stats);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// assert_eq!(stats.snapshot().succeeded_at_first, 1);
    /// ```
    #[inline]
    pub fn observe<V>(self, observer: V) -> Retry<F, T, E, Hooks<C, N, S, Observed<V>, D, B>>
    where
        V: Observer,
    {
        self.with(|hooks| hooks.with_observer(observer))
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// # use std::time::Duration;
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).delay_with(|_retry, _error| Duration::ZERO);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn delay_with<L>(self, delay: L) -> Retry<F, T, E, Hooks<C, N, S, O, L, B>>
    where
        C: Shape<T, E>,
        L: FnMut(u32, &C::Failure) -> Duration,
    {
        self.with(|hooks| hooks.with_delay(delay))
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`].
    ///
    /// ```
    /// # use retry_ext::{RetryBudget, RetryExt, RetryPolicy};
    /// let budget = RetryBudget::new();
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).budget(&budget);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn budget<A>(self, budget: A) -> Retry<F, T, E, Hooks<C, N, S, O, D, Budgeted<A>>>
    where
        A: AsRef<RetryBudget>,
    {
        self.with(|hooks| hooks.with_budget(budget))
    }

    /// Judges the whole outcome of each attempt; see [`RetryExt::classify`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy, Verdict};
    /// let chain = (|| "7".parse::<u8>()).sleep_with(|_| ()).classify(|_| Verdict::Success);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn classify<J>(self, judge: J) -> Retry<F, T, E, Hooks<ByOutcome<J>, N, S, O, D, B>>
    where
        F: Operation<Outcome = Result<T, E>>,
        J: FnMut(&Result<T, E>) -> Verdict,
        N: NotSet,
        D: NotSet,
    {
        self.with(|hooks| hooks.with_judge(judge))
    }
}

impl<F, T, E, C, N, S, O, D, B> Retry<F, T, E, Hooks<C, N, S, O, D, B>>
where
    F: Operation<Outcome = Result<T, E>>,
{
    /// Calls the operation, and retries while the policy allows it; see [`RetryExt::retry_with`].
    ///
    /// # Errors
    ///
    /// Returns the last error, in a [`RetryError`] with the reason for which there was no further attempt.
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| false);
    /// assert_eq!(chain.retry_with(&RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    #[track_caller]
    pub fn retry_with<P>(mut self, policy: P) -> Result<T, RetryError<E>>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: Sleep,
        O: Observe,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        if B::IS_SET || policy.borrow().has_limits() || Span::may_be_wanted() {
            return self.with_limits_or_span(&policy, Location::caller());
        }
        let outcome = self.operation.call(|| Attempt::new(1, None), Internal);
        let (failure, judgement) = match outcome {
            Ok(value) => match self.hooks.classifier.value(value, Internal) {
                Ok(value) => {
                    let call = Call::new(policy.borrow(), Location::caller());
                    self.hooks.report(call).succeeded(1, TotalWait::ZERO);
                    return Ok(value);
                }
                Err(failed) => failed,
            },
            Err(error) => {
                let failure = C::fail(error, Internal);
                let judgement = self.hooks.classifier.failure(&failure, Internal);
                (failure, judgement)
            }
        };
        let (caller, span) = (Location::caller(), SpanHandle::NONE);
        self.after_first_failure(failure, judgement, &policy, caller, span, None)
    }

    /// Runs the operation if there is a deadline or a budget, or if a subscriber may want a span. The code is out of
    /// line, so that a first success without them keeps and deposits nothing.
    #[inline(never)]
    fn with_limits_or_span<P>(
        &mut self,
        policy: &P,
        caller: &'static Location<'static>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: Sleep,
        O: Observe,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        let call = Call::new(policy.borrow(), caller);
        let span = call.open_span();
        let _entered = span.enter();
        let call = Call { span: span.handle(), ..call };
        let decision = Decision::started(call.policy);
        let outcome = self.operation.call(|| decision.running(call.policy), Internal);
        let (failure, judgement) = match self.hooks.classifier.judge(outcome, Internal) {
            Ok(value) => {
                decision.succeeded(&self.hooks, call);
                return Ok(value);
            }
            Err(failed) => failed,
        };
        self.after_first_failure(failure, judgement, policy, caller, call.span, decision.start())
    }

    /// Retries after the first failure. The code is out of line and takes the chain by reference. A first success
    /// therefore pays nothing for it and keeps nothing in registers.
    #[inline(never)]
    fn after_first_failure<P>(
        &mut self,
        failure: C::Failure,
        judgement: C::Judgement,
        policy: &P,
        caller: &'static Location<'static>,
        span: SpanHandle<'_>,
        start: Option<Tick>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: Sleep,
        O: Observe,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        let call = Call { policy: policy.borrow(), caller, span };
        self.hooks.run_retries(Again(&mut self.operation), failure, judgement, start, &call)
    }
}

impl<F, T, E, H> fmt::Debug for Retry<F, T, E, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").finish_non_exhaustive()
    }
}

/// A source of attempts, which owns a failed attempt until the next.
pub(super) trait AttemptSource<T, E, X> {
    /// The part of a failure that is held until the next attempt has been made.
    type KeptUntilNext;
    /// The part that is held during the wait, if the sleeper can cancel it.
    type KeptForSleeper;

    fn split(failure: X) -> (Self::KeptUntilNext, Self::KeptForSleeper);
    fn rejoin(held: Self::KeptUntilNext, lent: Self::KeptForSleeper) -> X;

    /// Makes the next attempt. If there is none, returns the failure.
    fn next(
        &mut self,
        held: Self::KeptUntilNext,
        attempt: impl FnOnce() -> Attempt,
    ) -> Result<Result<T, E>, X>;

    /// Receives a stop before it is reported.
    #[inline]
    fn stopped(&mut self, _stop: Stop) {}
}

/// An operation can always be called again, so no part of a failure is held for it. A failure may own the lock or
/// the connection that the next call needs.
struct Again<'a, F>(&'a mut F);

impl<F, T, E, X> AttemptSource<T, E, X> for Again<'_, F>
where
    F: Operation<Outcome = Result<T, E>>,
{
    type KeptUntilNext = ();
    type KeptForSleeper = X;

    #[inline]
    fn split(failure: X) -> ((), X) {
        ((), failure)
    }

    #[inline]
    fn rejoin((): (), failure: X) -> X {
        failure
    }

    #[inline]
    fn next(&mut self, (): (), attempt: impl FnOnce() -> Attempt) -> Result<Result<T, E>, X> {
        Ok(self.0.call(attempt, Internal))
    }
}

/// Makes the result of a stop. The code is out of line and takes its arguments by value, so that the loop keeps
/// its state in registers.
#[cold]
#[inline(never)]
fn give_up<T, E, C>(decision: Decision, failure: C::Failure, stop: Stop) -> Result<T, RetryError<E>>
where
    C: Shape<T, E>,
{
    C::finish(decision.give_up(failure, stop), Internal)
}

impl<C, N, S, O, D, B> Hooks<C, N, S, O, D, B> {
    /// Retries after a first failure, for all blocking drivers.
    #[inline]
    pub(super) fn run_retries<T, E, A>(
        &mut self,
        mut attempts: A,
        mut failure: C::Failure,
        mut judgement: C::Judgement,
        start: Option<Tick>,
        call: &Call<'_>,
    ) -> Result<T, RetryError<E>>
    where
        A: AttemptSource<T, E, C::Failure>,
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: Sleep,
        O: Observe,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
    {
        let call = *call;
        let policy = call.policy;
        let mut decision = Decision::new(start);
        let mut state = policy.backoff.state(1);
        loop {
            let Self { classifier, hook, observer, delay, budget, .. } = &mut *self;
            let judge = Judge { classifier, delay, budget };
            let report = Report { call, observer };
            let noted = |decided: Result<&Wait, Stop>| {
                if let Err(stop) = decided {
                    attempts.stopped(stop);
                }
            };
            let decided = decision.failed(&failure, judgement, judge, &mut state, report, noted);
            let wait = match decided {
                Ok(wait) => wait,
                Err(stop) => return give_up::<T, E, C>(decision, failure, stop),
            };
            let delay = wait.delay(policy);
            hook.retry(&wait.event(policy, delay, &failure), Internal);
            let (held, lent) = A::split(failure);
            let kept = S::Answer::keep((wait, lent), Internal);
            match self.sleeper.sleep(delay, Internal).end(kept, Internal) {
                Ended::Elapsed => {}
                Ended::Woken((wait, _dropped)) => decision.woken(wait),
                Ended::Cancelled((wait, lent)) => {
                    let failure = A::rejoin(held, lent);
                    let name = C::type_name(&failure, Internal);
                    let stopped = |stop| attempts.stopped(stop);
                    let report = self.report(call);
                    let stopped = decision.cancelled(wait, failure, name, report, stopped);
                    return C::finish(stopped, Internal);
                }
            }
            failure = match attempts.next(held, || decision.running(policy)) {
                Ok(Ok(value)) => match self.classifier.value(value, Internal) {
                    Ok(value) => {
                        decision.recovered(self, call);
                        return Ok(value);
                    }
                    Err((failure, word)) => {
                        judgement = word;
                        failure
                    }
                },
                Ok(Err(error)) => {
                    let failure = C::fail(error, Internal);
                    judgement = self.classifier.failure(&failure, Internal);
                    failure
                }
                Err(failure) => {
                    let stop = Stop::because(StopReason::SourceEnded);
                    let name = C::type_name(&failure, Internal);
                    let stopped = decision.stop(failure, name, stop, self.report(call), |_| {});
                    return C::finish(stopped, Internal);
                }
            };
        }
    }
}
