//! Blocking closures, and the loop that all blocking drivers share.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use crate::clock::Tick;
use crate::decision::Decision;
use crate::error::{RetryError, Stop, StopReason};
use crate::event::{Observer, RetryEvent};
use crate::hooks::{ByError, Classify, Hooks, Notify, Observe, Observed};
use crate::nanos::TotalWait;
use crate::policy::RetryPolicy;
use crate::report::{Call, Report};
use crate::sealed::Internal;
use crate::sleep::{Ended, Sleep, Wake};
use crate::transient::IsTransient;

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
/// Optional settings come first, in any order; `retry_with` comes last and runs the operation:
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
/// The trait is implemented for every `FnMut() -> Result<T, E>` and cannot be implemented for anything else.
/// If another crate has a `RetryExt` too, import this one without its name, from the
/// [`prelude`](crate::prelude).
pub trait RetryExt<T, E>: FnMut() -> Result<T, E> {
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

    /// Calls `hook` once per retry, before the wait, with the exact delay. The hook is not called for the
    /// last failure or for a permanent error, because no retry follows them. The hook has already been called when a wait is
    /// cancelled. A second `on_retry` replaces the first.
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

    /// Replaces [`std::thread::sleep`]: skip waiting in tests, use another clock, or wait on a channel that
    /// can end the wait. The sleeper returns `()`, a [`ControlFlow`](std::ops::ControlFlow) or a
    /// [`SleepOutcome`](crate::SleepOutcome). A second `sleep_with` replaces the first.
    ///
    /// With a sleeper that returns `()`, a failed outcome is dropped before the wait, as without `sleep_with`.
    /// A sleeper that can cancel keeps it until the wait ends.
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

    /// Calls the closure. While it fails with a transient error and the policy allows a retry, waits and
    /// calls it again. The failed outcome is dropped before the next call. The policy is a `Copy` value; a
    /// reference or an `Arc` works too.
    ///
    /// # Errors
    ///
    /// Returns the last error, in a [`RetryError`] with the reason for which there was no further attempt.
    ///
    /// # Panics
    ///
    /// Passes on panics of the closure, the predicate, the hook, the sleeper, the observer and the logger.
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
}

impl<F, T, E> RetryExt<T, E> for F where F: FnMut() -> Result<T, E> {}

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

impl<F, T, E, C, N, S, O> Retry<F, T, E, Hooks<C, N, S, O>> {
    #[inline]
    fn with<H>(self, set: impl FnOnce(Hooks<C, N, S, O>) -> H) -> Retry<F, T, E, H> {
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
    pub fn retry_if<Q>(self, predicate: Q) -> Retry<F, T, E, Hooks<ByError<Q>, N, S, O>>
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
    pub fn on_retry<M>(self, hook: M) -> Retry<F, T, E, Hooks<C, M, S, O>>
    where
        M: FnMut(&RetryEvent<'_, E>),
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
    pub fn sleep_with<R, W>(self, sleeper: R) -> Retry<F, T, E, Hooks<C, N, R, O>>
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
    pub fn observe<B>(self, observer: B) -> Retry<F, T, E, Hooks<C, N, S, Observed<B>>>
    where
        B: Observer,
    {
        self.with(|hooks| hooks.with_observer(observer))
    }
}

impl<F, T, E, C, N, S, O> Retry<F, T, E, Hooks<C, N, S, O>>
where
    F: FnMut() -> Result<T, E>,
{
    /// Calls the operation, and again while the policy allows it; see [`RetryExt::retry_with`].
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
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
        O: Observe,
        P: Borrow<RetryPolicy>,
    {
        if policy.borrow().has_limits() {
            return self.with_limits(&policy, Location::caller());
        }
        match (self.operation)() {
            Ok(value) => {
                let call = Call { policy: policy.borrow(), caller: Location::caller() };
                self.hooks.report(call).succeeded(1, TotalWait::ZERO);
                Ok(value)
            }
            Err(error) => self.after_first_failure(error, &policy, Location::caller(), None),
        }
    }

    /// Runs the operation if there is a deadline or a budget. Out of line, so that a first success without them keeps nothing and
    /// feeds nothing.
    #[inline(never)]
    fn with_limits<P>(
        &mut self,
        policy: &P,
        caller: &'static Location<'static>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
        O: Observe,
        P: Borrow<RetryPolicy>,
    {
        let call = Call { policy: policy.borrow(), caller };
        let decision = Decision::started(call.policy);
        match (self.operation)() {
            Ok(value) => {
                decision.succeeded(self.hooks.report(call));
                Ok(value)
            }
            Err(error) => self.after_first_failure(error, policy, caller, decision.start()),
        }
    }

    /// Retries after the first failure. Out of line and by reference, so that a first success pays for
    /// nothing here and keeps nothing in registers.
    #[inline(never)]
    fn after_first_failure<P>(
        &mut self,
        error: E,
        policy: &P,
        caller: &'static Location<'static>,
        start: Option<Tick>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
        O: Observe,
        P: Borrow<RetryPolicy>,
    {
        let call = Call { policy: policy.borrow(), caller };
        self.hooks.run_retries(Closure(&mut self.operation), error, start, &call)
    }
}

impl<F, T, E, H> fmt::Debug for Retry<F, T, E, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").finish_non_exhaustive()
    }
}

/// A source of attempts, and the owner of a failed one until the next.
pub(super) trait Attempts<T, E> {
    /// The part of a failure that is held until the next attempt has been made.
    type KeptUntilNext;
    /// The part that is held during the wait, if the sleeper can cancel it.
    type KeptForSleeper;

    fn split(error: E) -> (Self::KeptUntilNext, Self::KeptForSleeper);
    fn rejoin(held: Self::KeptUntilNext, lent: Self::KeptForSleeper) -> E;

    /// Makes the next attempt. If there is none, returns the failure.
    fn next(&mut self, held: Self::KeptUntilNext) -> Result<Result<T, E>, E>;

    /// Notes a stop before it is reported.
    #[inline]
    fn stopped(&mut self, _stop: Stop) {}
}

/// A closure can always be called again, so nothing of a failure is held for it. A failure may own the lock or the
/// connection that the next call needs.
struct Closure<'a, F>(&'a mut F);

impl<F, T, E> Attempts<T, E> for Closure<'_, F>
where
    F: FnMut() -> Result<T, E>,
{
    type KeptUntilNext = ();
    type KeptForSleeper = E;

    #[inline]
    fn split(error: E) -> ((), E) {
        ((), error)
    }

    #[inline]
    fn rejoin((): (), error: E) -> E {
        error
    }

    #[inline]
    fn next(&mut self, (): ()) -> Result<Result<T, E>, E> {
        Ok((self.0)())
    }
}

impl<C, N, S, O: Observe> Hooks<C, N, S, O> {
    /// Retries after a first failure, for all blocking drivers.
    #[inline]
    pub(super) fn run_retries<T, E, A>(
        &mut self,
        mut attempts: A,
        mut error: E,
        start: Option<Tick>,
        call: &Call<'_>,
    ) -> Result<T, RetryError<E>>
    where
        A: Attempts<T, E>,
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
    {
        let report = Report { call: *call, observer: &self.observer };
        let policy = call.policy;
        let mut decision = Decision::new(start);
        let mut state = policy.backoff.state(1);
        loop {
            let stopped = |stop| attempts.stopped(stop);
            let decided =
                decision.failed(&error, &mut self.classifier, &mut state, report, stopped);
            let wait = match decided {
                Ok(wait) => wait,
                Err(stop) => return Err(decision.give_up(error, stop)),
            };
            let delay = wait.delay(policy);
            self.hook.retry(&wait.event(policy, delay, &error), Internal);
            let (held, lent) = A::split(error);
            let kept = S::Answer::keep((wait, lent), Internal);
            match self.sleeper.sleep(delay, Internal).end(kept, Internal) {
                Ended::Elapsed => {}
                Ended::Woken((wait, _dropped)) => decision.woken(wait),
                Ended::Cancelled((wait, lent)) => {
                    let error = A::rejoin(held, lent);
                    let stopped = |stop| attempts.stopped(stop);
                    return Err(decision.cancelled(wait, error, report, stopped));
                }
            }
            error = match attempts.next(held) {
                Ok(Ok(value)) => {
                    decision.recovered(report);
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(error) => {
                    let stop = Stop::because(StopReason::SourceEnded);
                    return Err(decision.stop(error, stop, report, |_| {}));
                }
            };
        }
    }
}
