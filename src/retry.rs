//! The blocking driver.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::thread;
use std::time::Duration;

use crate::clock::Moment;
use crate::context::{Classify, Progress, Waited};
use crate::error::{RetryError, StopReason};
use crate::event::{Log, Notify, Observer, Report, RetryEvent, SleepOutcome};
use crate::policy::RetryPolicy;
use crate::transient::IsTransient;

/// The verb: `.retry_with(policy)` on everything that can be called again, closures, fn items and
/// `&mut` closures.
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
/// What refines it stands before it, in any order; the verb is last and does the work:
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
/// It is implemented for all `FnMut() -> Result<T, E>` and cannot be implemented for anything else.
/// Bring it into scope by name, or without a name by [`prelude`](crate::prelude) where another crate
/// has a `RetryExt` too.
pub trait RetryExt<T, E>: FnMut() -> Result<T, E> {
    /// Classifies errors at the call: those for which `predicate` says `true` are retried. The
    /// error's own [`IsTransient`] is then not asked, neither whether it is transient nor for its
    /// [`retry_after`](IsTransient::retry_after); it need not even implement it. A second
    /// `retry_if` replaces the first.
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
    fn retry_if<P>(self, predicate: P) -> Retry<Self, T, E, P>
    where
        Self: Sized,
        P: FnMut(&E) -> bool,
    {
        Retry::new(self).retry_if(predicate)
    }

    /// Hears of each retry before its wait: once per retry, with the exact delay, and never of the
    /// last failure or a permanent one, after which there is no retry (unless the sleeper then cancels
    /// the wait). A second `on_retry` replaces the first.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// let mut heard = Vec::new();
    /// let result = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .on_retry(|retry| heard.push((retry.attempt, retry.delay.as_secs())))
    ///     .sleep_with(|_delay| ())
    ///     .retry_with(RetryPolicy::new());
    /// assert!(result.is_err());
    /// assert_eq!(heard, [(1, 1), (2, 2)]);
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> Retry<Self, T, E, (), N>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        Retry::new(self).on_retry(hook)
    }

    /// Waits in your own way instead of with [`std::thread::sleep`]: not at all in a test, on a
    /// clock of your own, or on a channel that can end the wait. The sleeper returns `()`, or a
    /// [`ControlFlow`](std::ops::ControlFlow), or a [`SleepOutcome`]; one that only panics says
    /// `-> ()`. A second `sleep_with` replaces the first.
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
    fn sleep_with<S, O>(self, sleeper: S) -> Retry<Self, T, E, (), (), S>
    where
        Self: Sized,
        S: FnMut(Duration) -> O,
        O: Into<SleepOutcome>,
    {
        Retry::new(self).sleep_with(sleeper)
    }

    /// Lets an observer hear of each retry, success and giving up: the ground for metrics. By reference,
    /// mostly to a `static`. A second `observe` replaces the first.
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
    fn observe<O>(self, observer: O) -> Retry<Self, T, E, (), (), (), O>
    where
        Self: Sized,
        O: Observer,
    {
        Retry::new(self).observe(observer)
    }

    /// Calls the closure now; while it fails with a transient error and the policy allows it, waits
    /// and calls it again. The policy is a small `Copy` value: give it by value. A reference or an
    /// `Arc` will do.
    ///
    /// # Errors
    ///
    /// The last error, in a [`RetryError`] that says why there was no further attempt.
    ///
    /// # Panics
    ///
    /// Not by itself: a panic of the closure, the predicate, the hook, the sleeper or the observer
    /// passes through.
    ///
    /// ```
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// let manifest = (|| std::fs::read_to_string("Cargo.toml")).retry_with(RetryPolicy::new())?;
    /// assert!(manifest.contains("[package]"));
    /// # Ok::<(), retry_ext::RetryError<std::io::Error>>(())
    /// ```
    ///
    /// An error type that does not say which of its errors are transient is refused by the compiler:
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

/// An operation with what refines its retry; made by the methods of [`RetryExt`], and run by
/// [`retry_with`](Self::retry_with), which is always last.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// let retry = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut))).sleep_with(|_| ());
/// assert_eq!(retry.retry_with(RetryPolicy::new()).unwrap_err().attempts(), 3);
/// ```
///
/// Leaving the verb out is a mistake that the compiler reports:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use retry_ext::RetryExt;
///
/// (|| std::fs::read("file")).on_retry(|retry| eprintln!("{retry}"));
/// ```
#[must_use = "nothing is called before `.retry_with(policy)`"]
pub struct Retry<F, T, E, C = (), N = (), S = (), O = ()> {
    pub(crate) operation: F,
    pub(crate) hooks: Hooks<C, N, S, O>,
    result: PhantomData<fn() -> Result<T, E>>,
}

impl<F, T, E> Retry<F, T, E> {
    #[inline]
    pub(crate) fn new(operation: F) -> Self {
        Self { operation, hooks: Hooks::NONE, result: PhantomData }
    }
}

impl<F, T, E, C, N, S, O> Retry<F, T, E, C, N, S, O> {
    #[inline]
    fn refine<D, M, W, B>(
        self,
        refine: impl FnOnce(Hooks<C, N, S, O>) -> Hooks<D, M, W, B>,
    ) -> Retry<F, T, E, D, M, W, B> {
        Retry { operation: self.operation, hooks: refine(self.hooks), result: PhantomData }
    }

    /// Classifies errors at the call; see [`RetryExt::retry_if`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).sleep_with(|_| ()).retry_if(|_| true);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn retry_if<P>(self, predicate: P) -> Retry<F, T, E, P, N, S, O>
    where
        P: FnMut(&E) -> bool,
    {
        self.refine(|hooks| hooks.classify(predicate))
    }

    /// Hears of each retry before its wait; see [`RetryExt::on_retry`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).on_retry(|retry| eprintln!("{retry}"));
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn on_retry<M>(self, hook: M) -> Retry<F, T, E, C, M, S, O>
    where
        M: FnMut(&RetryEvent<'_, E>),
    {
        self.refine(|hooks| hooks.notify(hook))
    }

    /// Waits in your own way; see [`RetryExt::sleep_with`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).sleep_with(std::thread::sleep);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// ```
    #[inline]
    pub fn sleep_with<W, R>(self, sleeper: W) -> Retry<F, T, E, C, N, W, O>
    where
        W: FnMut(Duration) -> R,
        R: Into<SleepOutcome>,
    {
        self.refine(|hooks| hooks.sleeper(sleeper))
    }

    /// Lets an observer hear of each retry, success and giving up; see [`RetryExt::observe`].
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy, RetryStats};
    /// let stats = RetryStats::new();
    /// let chain = (|| "7".parse::<u8>()).retry_if(|_| true).observe(&stats);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
    /// assert_eq!(stats.snapshot().succeeded_at_first, 1);
    /// ```
    #[inline]
    pub fn observe<B: Observer>(self, observer: B) -> Retry<F, T, E, C, N, S, B> {
        self.refine(|hooks| hooks.observer(observer))
    }
}

impl<F, T, E, C, N, S, O> Retry<F, T, E, C, N, S, O>
where
    F: FnMut() -> Result<T, E>,
{
    /// Calls the operation now, and again while that makes sense; see [`RetryExt::retry_with`].
    ///
    /// # Errors
    ///
    /// The last error, in a [`RetryError`] that says why there was no further attempt.
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
        O: Observer,
        P: Borrow<RetryPolicy>,
    {
        if policy.borrow().is_metered() {
            return self.metered(&policy, Location::caller());
        }
        match (self.operation)() {
            Ok(value) => {
                let log = Log { policy: policy.borrow(), caller: Location::caller() };
                self.hooks.report(log).succeeded(1, Waited::ZERO);
                Ok(value)
            }
            Err(error) => self.again(error, &policy, Location::caller(), None),
        }
    }

    /// With a deadline or a budget. Out of line, so that without them a first success has nothing to
    /// keep and nothing to feed.
    #[inline(never)]
    fn metered<P>(
        &mut self,
        policy: &P,
        caller: &'static Location<'static>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
        O: Observer,
        P: Borrow<RetryPolicy>,
    {
        let log = Log { policy: policy.borrow(), caller };
        let start = Moment::if_limited(log.policy.max_elapsed());
        match (self.operation)() {
            Ok(value) => {
                Progress::new(start).succeeded(self.hooks.report(log));
                Ok(value)
            }
            Err(error) => self.again(error, policy, caller, start),
        }
    }

    /// All that comes after a first failure. Out of line, so that a first success pays for nothing here,
    /// and with all by reference, so that it need not keep anything in registers.
    #[inline(never)]
    fn again<P>(
        &mut self,
        error: E,
        policy: &P,
        caller: &'static Location<'static>,
        start: Option<Moment>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
        O: Observer,
        P: Borrow<RetryPolicy>,
    {
        let operation = || Ok::<_, Infallible>((self.operation)());
        self.hooks.again(operation, error, start, &Log { policy: policy.borrow(), caller })
    }
}

impl<F, T, E, C, N, S, O> fmt::Debug for Retry<F, T, E, C, N, S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").finish_non_exhaustive()
    }
}

/// What refines a retry: who classifies, who hears, who sleeps, who observes.
pub(crate) struct Hooks<C, N, S, O> {
    pub(crate) classify: C,
    pub(crate) notify: N,
    pub(crate) sleeper: S,
    pub(crate) observer: O,
}

impl Hooks<(), (), (), ()> {
    pub(crate) const NONE: Self = Self { classify: (), notify: (), sleeper: (), observer: () };
}

impl<C, N, S, O> Hooks<C, N, S, O> {
    #[inline]
    pub(crate) fn classify<D>(self, classify: D) -> Hooks<D, N, S, O> {
        let Self { notify, sleeper, observer, .. } = self;
        Hooks { classify, notify, sleeper, observer }
    }

    #[inline]
    pub(crate) fn notify<M>(self, notify: M) -> Hooks<C, M, S, O> {
        let Self { classify, sleeper, observer, .. } = self;
        Hooks { classify, notify, sleeper, observer }
    }

    #[inline]
    pub(crate) fn sleeper<W>(self, sleeper: W) -> Hooks<C, N, W, O> {
        let Self { classify, notify, observer, .. } = self;
        Hooks { classify, notify, sleeper, observer }
    }

    #[inline]
    pub(crate) fn observer<B>(self, observer: B) -> Hooks<C, N, S, B> {
        let Self { classify, notify, sleeper, .. } = self;
        Hooks { classify, notify, sleeper, observer }
    }
}

impl<C, N, S, O: Observer> Hooks<C, N, S, O> {
    #[inline]
    pub(crate) const fn report<'a>(&'a self, log: Log<'a>) -> Report<'a, O> {
        Report { log, observer: &self.observer }
    }

    /// All that comes after a first failure, for whatever can be called again, and may have an end, such
    /// as `()`, or none (`Infallible`).
    #[inline]
    pub(crate) fn again<T, E, End>(
        &mut self,
        mut operation: impl FnMut() -> Result<Result<T, E>, End>,
        mut error: E,
        start: Option<Moment>,
        log: &Log<'_>,
    ) -> Result<T, RetryError<E>>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
    {
        let report = Report { log: *log, observer: &self.observer };
        let mut progress = Progress::new(start);
        let mut run = log.policy.backoff.run(1);
        loop {
            let wait = match progress.after_failure(&error, &mut self.classify, &mut run, report) {
                Ok(wait) => wait,
                Err(reason) => return Err(progress.gave_up(error, reason)),
            };
            let delay = log.policy.backoff.duration(wait);
            self.notify.retry(&progress.event(log.policy, delay, &error));
            match self.sleeper.sleep(delay) {
                SleepOutcome::Elapsed => progress.next_attempt(wait),
                SleepOutcome::Cancelled => {
                    return Err(progress.stopped(error, StopReason::Cancelled, report));
                }
            }
            error = match operation() {
                Ok(Ok(value)) => {
                    progress.succeeded(report);
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_end) => return Err(progress.stopped(error, StopReason::SourceEnded, report)),
            };
        }
    }
}

/// How a wait is made: by sleeping (`()`, where nothing was set), or by a function given with
/// `sleep_with`.
#[expect(unnameable_types, reason = "sealed: a bound of the chain, implemented here alone")]
pub trait Sleep {
    #[doc(hidden)]
    fn sleep(&mut self, delay: Duration) -> SleepOutcome;
}

impl Sleep for () {
    #[inline]
    fn sleep(&mut self, delay: Duration) -> SleepOutcome {
        thread::sleep(delay);
        SleepOutcome::Elapsed
    }
}

impl<S, O> Sleep for S
where
    S: FnMut(Duration) -> O,
    O: Into<SleepOutcome>,
{
    #[inline]
    fn sleep(&mut self, delay: Duration) -> SleepOutcome {
        self(delay).into()
    }
}
