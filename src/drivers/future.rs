//! The async driver.

use core::borrow::Borrow;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use pin_project_lite::pin_project;

use crate::budget::RetryBudget;
use crate::decision::{Decision, Wait};
use crate::error::RetryError;
use crate::event::{Observer, RetryEvent};
use crate::hooks::{
    AsyncHooks, Budgeted, ByError, ByOutcome, ChainBudget, Classify, ComputeDelay, Hooks, NotSet,
    Notify, Observe, Observed, Shape,
};
use crate::operation::{AsyncOperation, Attempt, Attempts, Operation};
use crate::policy::RetryPolicy;
use crate::report::Call;
use crate::sealed::Internal;
use crate::sleep::{AsyncSleep, DefaultSleeper, Kept, Wake};
#[cfg(any(
    feature = "tokio",
    all(feature = "web", target_arch = "wasm32", target_os = "unknown")
))]
use crate::sleep::{Timer, timer};
use crate::span::Span;
use crate::timeout::{AttemptTimedOut, Timed, TimedAttempt};
use crate::transient::{IsTransient, Verdict};

/// Adds `.retry_with(policy).await` to `async fn` items and to closures that return a future. Needs
/// the feature `async`, and `tokio` for the default sleeper, or `web` in a browser.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// use retry_ext::{AsyncRetryExt, RetryPolicy};
///
/// static POLICY: RetryPolicy = RetryPolicy::new().with_initial_delay(Duration::from_millis(1));
///
/// async fn fetch(url: &str) -> Result<String, Error> {
///     if url.is_empty() { Err(ErrorKind::InvalidInput.into()) } else { Ok(format!("page of {url}")) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), retry_ext::RetryError<Error>> {
/// let url = String::from("here");
/// let page = (|| fetch(&url))
///     .on_retry(|retry| eprintln!("{retry}"))
///     .retry_with(&POLICY)
///     .await?;
/// assert_eq!(page, "page of here");
/// # Ok(()) }
/// ```
///
/// The future is lazy: nothing runs before it is polled. Dropping it, in an attempt or in a wait,
/// stops at once and leaves nothing behind. It is `Send` if the operation, its error and the hooks
/// are, even if the closure borrows from the task that awaits it:
///
/// ```
/// use retry_ext::{AsyncRetryExt, RetryPolicy};
///
/// struct Client;
///
/// impl Client {
///     async fn get(&self, url: &str) -> Result<usize, std::io::Error> {
///         Ok(url.len())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let task = tokio::spawn(async {
///     let (client, url) = (Client, String::from("here"));
///     (|| client.get(&url)).retry_with(RetryPolicy::new()).await
/// });
/// assert_eq!(task.await.unwrap().unwrap(), 4);
/// # }
/// ```
///
/// A closure cannot lend its owned or mutably borrowed captures to the futures it returns. The compiler reports
/// that a captured variable escapes, or that an async closure does not implement `FnMut`.
/// Clone owned captures: `move || { let client = client.clone(); async move { .. } }`. If the futures need
/// `&mut` state, use a retry loop, [`RetryContext`](crate::RetryContext), and its `step_async`:
///
/// ```compile_fail
/// use retry_ext::{AsyncRetryExt, RetryPolicy};
///
/// struct Client { calls: u32 }
///
/// impl Client {
///     async fn get(&mut self) -> Result<u32, std::io::Error> {
///         self.calls += 1;
///         Ok(self.calls)
///     }
/// }
///
/// async fn get(client: &mut Client) -> Result<u32, retry_ext::RetryError<std::io::Error>> {
///     (|| client.get()).retry_with(RetryPolicy::new()).await
/// }
/// ```
///
/// A non-`Send` capture makes the future non-`Send`, so `tokio::spawn` rejects it:
///
/// ```compile_fail,E0277
/// use std::rc::Rc;
/// use retry_ext::{AsyncRetryExt, RetryPolicy};
///
/// let shared = Rc::new(7);
/// let future = (move || {
///     let shared = Rc::clone(&shared);
///     async move { Ok::<_, std::io::Error>(*shared) }
/// })
/// .retry_with(RetryPolicy::new());
/// tokio::spawn(future);
/// ```
///
/// Pass the policy by reference, for example to a `static`, if many tasks wait: a policy passed by value is a part of the
/// future.
pub trait AsyncRetryExt<Fut, T, E>: Operation<Outcome = Fut>
where
    Fut: Future<Output = Result<T, E>>,
{
    /// Classifies errors at the call; see [`RetryExt::retry_if`](crate::RetryExt::retry_if).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let result = (async || "x".parse::<u8>()).retry_if(|_error| false).retry_with(RetryPolicy::new()).await;
    /// assert_eq!(result.unwrap_err().attempts(), 1);
    /// # }
    /// ```
    #[inline]
    fn retry_if<Q>(self, predicate: Q) -> AsyncRetry<Self, Fut, T, E, Hooks<ByError<Q>>>
    where
        Self: Sized,
        Q: FnMut(&E) -> bool,
    {
        AsyncRetry::new(self).retry_if(predicate)
    }

    /// Judges the whole outcome of each attempt; see [`RetryExt::classify`](crate::RetryExt::classify).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::cell::Cell;
    /// use retry_ext::{AsyncRetryExt, RetryPolicy, Verdict};
    ///
    /// let statuses = Cell::new(&[503, 503, 503, 200][..]);
    /// let fetch = async || {
    ///     let [status, rest @ ..] = statuses.get() else { return Err(std::io::ErrorKind::UnexpectedEof) };
    ///     statuses.set(rest);
    ///     Ok(*status)
    /// };
    /// let status = fetch
    ///     .classify(|outcome| match outcome {
    ///         Ok(503) => Verdict::Transient,
    ///         Ok(_) => Verdict::Success,
    ///         Err(error) => Verdict::of(error),
    ///     })
    ///     .retry_with(RetryPolicy::new())
    ///     .await;
    /// assert_eq!(status, Ok(503)); // the last response, after three attempts
    /// # }
    /// ```
    #[inline]
    fn classify<J>(self, judge: J) -> AsyncRetry<Self, Fut, T, E, Hooks<ByOutcome<J>>>
    where
        Self: Sized,
        J: FnMut(&Result<T, E>) -> Verdict,
    {
        AsyncRetry::new(self).classify(judge)
    }

    /// Calls a hook before each wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let mut retries = 0;
    /// let fetch = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    /// let result = fetch.on_retry(|_retry| retries += 1).retry_with(RetryPolicy::new()).await;
    /// assert!(result.is_err());
    /// assert_eq!(retries, 2);
    /// # }
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> AsyncRetry<Self, Fut, T, E, Hooks<(), N>>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        AsyncRetry::new(self).on_retry(hook)
    }

    /// Replaces tokio's timer: use another runtime's timer, skip waiting in tests, or wait for another
    /// event too. The sleeper's future returns `()`, a [`ControlFlow`](std::ops::ControlFlow) or a
    /// [`SleepOutcome`](crate::SleepOutcome). A cancelled wait ends the retry with
    /// [`StopReason::Cancelled`](crate::StopReason::Cancelled) and the last error.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let fetch = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    /// let policy = RetryPolicy::new().with_initial_delay(Duration::from_millis(1));
    /// let result = smol::block_on(fetch.sleep_with(smol::Timer::after).retry_with(policy));
    /// assert_eq!(result.unwrap_err().attempts(), 3);
    /// ```
    #[inline]
    fn sleep_with<S, W>(self, sleeper: S) -> AsyncRetry<Self, Fut, T, E, Hooks<(), (), S>>
    where
        Self: Sized,
        S: FnMut(Duration) -> W,
        W: Future<Output: Wake>,
    {
        AsyncRetry::new(self).sleep_with(sleeper)
    }

    /// Reports every retry, success and failure to an observer; see
    /// [`RetryExt::observe`](crate::RetryExt::observe).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use retry_ext::{AsyncRetryExt, RetryPolicy, RetryStats};
    ///
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// let read = async || Ok::<_, std::io::Error>(7);
    /// assert!(read.observe(&STATS).retry_with(RetryPolicy::new()).await.is_ok());
    /// assert_eq!(STATS.snapshot().succeeded_at_first, 1);
    /// # }
    /// ```
    #[inline]
    fn observe<O>(self, observer: O) -> AsyncRetry<Self, Fut, T, E, Hooks<(), (), (), Observed<O>>>
    where
        Self: Sized,
        O: Observer,
    {
        AsyncRetry::new(self).observe(observer)
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`](crate::RetryExt::delay_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let start = tokio::time::Instant::now();
    /// let fetch = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    /// let delay = |retry, _error: &Error| Duration::from_millis(5) * retry;
    /// assert!(fetch.delay_with(delay).retry_with(RetryPolicy::new()).await.is_err());
    /// assert_eq!(start.elapsed().as_millis(), 5 + 10);
    /// # }
    /// ```
    #[inline]
    fn delay_with<D>(self, delay: D) -> AsyncRetry<Self, Fut, T, E, Hooks<(), (), (), (), D>>
    where
        Self: Sized,
        D: FnMut(u32, &E) -> Duration,
    {
        AsyncRetry::new(self).delay_with(delay)
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`](crate::RetryExt::budget). An `Arc` makes a
    /// future that can be spawned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::sync::Arc;
    /// use retry_ext::{AsyncRetryExt, RetryBudget, RetryPolicy};
    ///
    /// let budget = Arc::new(RetryBudget::new().with_ratio(1.0));
    /// let fetch = async || Ok::<_, std::io::Error>("page");
    /// let task = tokio::spawn(fetch.budget(Arc::clone(&budget)).retry_with(RetryPolicy::new()));
    /// assert!(task.await.unwrap().is_ok());
    /// assert_eq!(budget.available(), 2 + 1);
    /// # }
    /// ```
    #[inline]
    fn budget<B>(
        self,
        budget: B,
    ) -> AsyncRetry<Self, Fut, T, E, Hooks<(), (), (), (), (), Budgeted<B>>>
    where
        Self: Sized,
        B: AsRef<RetryBudget>,
    {
        AsyncRetry::new(self).budget(budget)
    }

    /// Ends an attempt after `limit`, on tokio's timer, or at the policy's
    /// [deadline](RetryPolicy::with_max_elapsed) if that is sooner. The attempt's future is dropped, and its error is
    /// made from [`AttemptTimedOut`]. Needs the feature `tokio`, or `web` in a browser.
    ///
    /// With a deadline, all of the retry ends at the deadline, even if an attempt hangs. A second `timeout_each`
    /// adds a limit: the shorter one ends the attempt.
    ///
    /// # Panics
    ///
    /// The future panics outside of a tokio runtime with its timer enabled, even with [`sleep_with`](Self::sleep_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::Error;
    /// use std::time::Duration;
    /// use retry_ext::{AsyncRetryExt, RetryPolicy, StopReason};
    ///
    /// let start = tokio::time::Instant::now();
    /// let error = (async || std::future::pending::<Result<(), Error>>().await) // hangs
    ///     .timeout_each(Duration::from_secs(4))
    ///     .retry_with(RetryPolicy::within(Duration::from_secs(7)))
    ///     .await
    ///     .unwrap_err();
    /// assert_eq!((error.attempts(), error.reason()), (2, StopReason::DeadlineExceeded));
    /// assert_eq!(start.elapsed().as_secs(), 4 + 1 + 2); // an attempt, a wait, and the rest of the second attempt
    /// # }
    /// ```
    #[cfg(any(
        feature = "tokio",
        all(feature = "web", target_arch = "wasm32", target_os = "unknown")
    ))]
    #[inline]
    fn timeout_each(
        self,
        limit: Duration,
    ) -> AsyncRetry<Timed<Self, DefaultTimer, E>, TimedAttempt<Fut, Timer, E>, T, E>
    where
        Self: Sized,
        E: From<AttemptTimedOut>,
    {
        AsyncRetry::new(self).timeout_each(limit)
    }

    /// Ends an attempt after `limit`, or at the deadline if that is sooner, on any timer: a function from a duration to a
    /// future. See `timeout_each`, which uses tokio's timer.
    ///
    /// The timer is not the sleeper of [`sleep_with`](Self::sleep_with): a sleeper that does not sleep, as in tests, would
    /// end each attempt at once.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let hangs = async || std::future::pending::<Result<(), Error>>().await;
    /// let result = smol::block_on(
    ///     hangs
    ///         .timeout_each_with(Duration::from_millis(2), smol::Timer::after)
    ///         .sleep_with(smol::Timer::after)
    ///         .retry_with(RetryPolicy::new().with_max_attempts(1)),
    /// );
    /// assert_eq!(result.unwrap_err().error().kind(), ErrorKind::TimedOut);
    /// ```
    #[inline]
    fn timeout_each_with<X, W>(
        self,
        limit: Duration,
        timer: X,
    ) -> AsyncRetry<Timed<Self, X, E>, TimedAttempt<Fut, W, E>, T, E>
    where
        Self: Sized,
        E: From<AttemptTimedOut>,
        X: FnMut(Duration) -> W,
        W: Future,
    {
        AsyncRetry::new(self).timeout_each_with(limit, timer)
    }

    /// Returns a future that calls the closure and awaits its future. While it fails with a transient error and the
    /// policy allows a retry, it waits and calls the closure again. It sleeps on tokio's timer, which needs the
    /// feature `tokio`, or on the browser's, which needs `web`. Both round up to the next millisecond. A zero delay yields
    /// to the scheduler once instead of setting a timer.
    ///
    /// # Errors
    ///
    /// The future returns the last error, in a [`RetryError`] with the reason for which there was no further
    /// attempt.
    ///
    /// # Panics
    ///
    /// The future panics if it waits outside of a tokio runtime with its timer enabled, or if it
    /// is polled after its end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let start = tokio::time::Instant::now(); // the clock is paused: this example takes no time
    /// let fetch = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    /// assert!(fetch.retry_with(RetryPolicy::new()).await.is_err());
    /// assert_eq!(start.elapsed().as_secs(), 1 + 2);
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> RetryFuture<Self, P, Hooks<(), (), P::Sleeper>>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy> + DefaultSleeper,
    {
        let sleeper = P::sleeper(Internal);
        AsyncRetry::new(self).with(|hooks| hooks.with_sleeper(sleeper)).retry_with(policy)
    }
}

impl<F, Fut, T, E> AsyncRetryExt<Fut, T, E> for F
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
}

// A separate implementation, so that the compiler's messages about closures name `FnMut`.
impl<F, Fut, T, E> AsyncRetryExt<Fut, T, E> for Attempts<F>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
}

#[cfg(any(feature = "tokio", all(feature = "web", target_arch = "wasm32", target_os = "unknown")))]
type DefaultTimer = fn(Duration) -> Timer;

/// An async operation with the settings of its retry; made by the methods of [`AsyncRetryExt`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use retry_ext::{AsyncRetryExt, RetryPolicy};
///
/// let chain = (async || "7".parse::<u8>()).retry_if(|_| true);
/// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
/// # }
/// ```
#[must_use = "this does nothing until you call `.retry_with(policy)`"]
pub struct AsyncRetry<F, Fut, T, E, H = Hooks> {
    pub(super) operation: F,
    pub(super) hooks: H,
    makes: PhantomData<fn() -> (Fut, T, E)>,
}

impl<F, Fut, T, E> AsyncRetry<F, Fut, T, E> {
    #[inline]
    pub(super) fn new(operation: F) -> Self {
        Self { operation, hooks: Hooks::NONE, makes: PhantomData }
    }
}

impl<F, Fut, T, E, C, N, S, O, D, B> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, O, D, B>> {
    #[inline]
    pub(super) fn with<H>(
        self,
        set: impl FnOnce(Hooks<C, N, S, O, D, B>) -> H,
    ) -> AsyncRetry<F, Fut, T, E, H> {
        let hooks = set(self.hooks);
        AsyncRetry { operation: self.operation, hooks, makes: PhantomData }
    }

    /// Classifies errors at the call; see [`RetryExt::retry_if`](crate::RetryExt::retry_if).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// let chain = (async || "7".parse::<u8>()).sleep_with(tokio::time::sleep).retry_if(|_| true);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    pub fn retry_if<Q>(
        self,
        predicate: Q,
    ) -> AsyncRetry<F, Fut, T, E, Hooks<ByError<Q>, N, S, O, D, B>>
    where
        Q: FnMut(&E) -> bool,
    {
        self.with(|hooks| hooks.with_predicate(predicate))
    }

    /// Calls a hook before each wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// let chain = (async || "7".parse::<u8>()).retry_if(|_| true).on_retry(|retry| eprintln!("{retry}"));
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    pub fn on_retry<M>(self, hook: M) -> AsyncRetry<F, Fut, T, E, Hooks<C, M, S, O, D, B>>
    where
        C: Shape<T, E>,
        M: FnMut(&RetryEvent<'_, C::Failure>),
    {
        self.with(|hooks| hooks.with_hook(hook))
    }

    /// Replaces tokio's timer; see [`AsyncRetryExt::sleep_with`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// let chain = (async || "7".parse::<u8>()).retry_if(|_| true).sleep_with(tokio::time::sleep);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    pub fn sleep_with<R, W>(self, sleeper: R) -> AsyncRetry<F, Fut, T, E, Hooks<C, N, R, O, D, B>>
    where
        R: FnMut(Duration) -> W,
        W: Future<Output: Wake>,
    {
        self.with(|hooks| hooks.with_sleeper(sleeper))
    }

    /// Reports every retry, success and failure to an observer; see
    /// [`RetryExt::observe`](crate::RetryExt::observe).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy, RetryStats};
    /// let stats = RetryStats::new();
    /// let chain = (async || "7".parse::<u8>()).retry_if(|_| true).observe(&stats);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// assert_eq!(stats.snapshot().succeeded_at_first, 1);
    /// # }
    /// ```
    #[inline]
    pub fn observe<V>(
        self,
        observer: V,
    ) -> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, Observed<V>, D, B>>
    where
        V: Observer,
    {
        self.with(|hooks| hooks.with_observer(observer))
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`](crate::RetryExt::delay_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// # use std::time::Duration;
    /// let chain = (async || "7".parse::<u8>()).retry_if(|_| true).delay_with(|_retry, _error| Duration::ZERO);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    pub fn delay_with<L>(self, delay: L) -> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, O, L, B>>
    where
        C: Shape<T, E>,
        L: FnMut(u32, &C::Failure) -> Duration,
    {
        self.with(|hooks| hooks.with_delay(delay))
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`](crate::RetryExt::budget).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryBudget, RetryPolicy};
    /// let budget = RetryBudget::new();
    /// let chain = (async || "7".parse::<u8>()).retry_if(|_| true).budget(&budget);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    pub fn budget<A>(self, budget: A) -> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, O, D, Budgeted<A>>>
    where
        A: AsRef<RetryBudget>,
    {
        self.with(|hooks| hooks.with_budget(budget))
    }
}

impl<F, Fut, T, E, C, N, S, O, D, B> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, O, D, B>>
where
    F: Operation<Outcome = Fut>,
    Fut: Future<Output = Result<T, E>>,
{
    /// Judges the whole outcome of each attempt; see [`RetryExt::classify`](crate::RetryExt::classify).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy, Verdict};
    /// let chain = (async || "7".parse::<u8>()).sleep_with(tokio::time::sleep).classify(|_| Verdict::Success);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    pub fn classify<J>(
        self,
        judge: J,
    ) -> AsyncRetry<F, Fut, T, E, Hooks<ByOutcome<J>, N, S, O, D, B>>
    where
        J: FnMut(&Result<T, E>) -> Verdict,
        N: NotSet,
        D: NotSet,
    {
        self.with(|hooks| hooks.with_judge(judge))
    }

    /// Ends an attempt after `limit`; see [`AsyncRetryExt::timeout_each`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// # use std::time::Duration;
    /// let chain = (async || Ok::<_, std::io::Error>(7)).retry_if(|_| true).timeout_each(Duration::from_secs(1));
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await.unwrap(), 7);
    /// # }
    /// ```
    #[cfg(any(
        feature = "tokio",
        all(feature = "web", target_arch = "wasm32", target_os = "unknown")
    ))]
    #[inline]
    #[expect(
        clippy::type_complexity,
        reason = "the operation and its future change, and nothing else"
    )]
    pub fn timeout_each(
        self,
        limit: Duration,
    ) -> AsyncRetry<
        Timed<F, DefaultTimer, E>,
        TimedAttempt<Fut, Timer, E>,
        T,
        E,
        Hooks<C, N, S, O, D, B>,
    >
    where
        E: From<AttemptTimedOut>,
    {
        self.timeout_each_with(limit, timer as DefaultTimer)
    }

    /// Ends an attempt after `limit`, on any timer; see [`AsyncRetryExt::timeout_each_with`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// # use std::time::Duration;
    /// let chain = (async || Ok::<_, std::io::Error>(7))
    ///     .retry_if(|_| true)
    ///     .timeout_each_with(Duration::from_secs(1), tokio::time::sleep);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await.unwrap(), 7);
    /// # }
    /// ```
    #[inline]
    pub fn timeout_each_with<X, W>(
        self,
        limit: Duration,
        timer: X,
    ) -> AsyncRetry<Timed<F, X, E>, TimedAttempt<Fut, W, E>, T, E, Hooks<C, N, S, O, D, B>>
    where
        E: From<AttemptTimedOut>,
        X: FnMut(Duration) -> W,
        W: Future,
    {
        let operation = Timed::new(self.operation, limit, timer);
        AsyncRetry { operation, hooks: self.hooks, makes: PhantomData }
    }

    /// Returns a future that runs the operation and its retries; see [`AsyncRetryExt::retry_with`]. With a sleeper of your own, it
    /// needs only the feature `async` and runs on any runtime, or on none.
    ///
    /// # Errors
    ///
    /// The future returns the last error, in a [`RetryError`] with the reason for which there was no further
    /// attempt.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after its end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// let chain = (async || "7".parse::<u8>()).retry_if(|_| false);
    /// assert_eq!(chain.retry_with(RetryPolicy::new()).await, Ok(7));
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    pub fn retry_with<P>(self, policy: P) -> RetryFuture<F, P, Hooks<C, N, S, O, D, B>>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: AsyncSleep,
        O: Observe,
        D: ComputeDelay<C::Failure>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        RetryFuture {
            state: State::Start,
            operation: self.operation,
            hooks: self.hooks,
            policy,
            caller: Location::caller(),
            decision: Decision::new(None),
            span: Span::NONE,
        }
    }
}

impl<F, Fut, T, E, H> fmt::Debug for AsyncRetry<F, Fut, T, E, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncRetry").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of an async retry; made by `.retry_with(policy)` of [`AsyncRetryExt`] and [`AsyncRetry`].
    ///
    /// Its size, on tokio's timer and with the policy by reference, is the larger of the operation's future
    /// and the timer (96 bytes, or 112 with tokio's `rt-multi-thread`), plus 40 bytes (48 if the operation's
    /// future is the larger one), plus the captures of the closure and the hooks. The feature `tracing` adds 8 bytes.
    /// Box an operation of many kilobytes, as in every future: `(|| Box::pin(large()))`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let future = (async || "7".parse::<u8>()).retry_if(|_| true).retry_with(RetryPolicy::new());
    /// assert_eq!(future.await, Ok(7)); // and not before
    /// # }
    /// ```
    ///
    /// The compiler warns if `.await` is missing:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// # async fn forgets() {
    /// (async || "7".parse::<u8>()).retry_if(|_| true).retry_with(RetryPolicy::new());
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited or polled"]
    pub struct RetryFuture<F, P, H>
    where
        F: AsyncOperation,
        H: AsyncHooks<F::Value, F::Error>,
    {
        #[pin]
        state: State<F::Outcome, <H::Sleeper as AsyncSleep>::Wait, Kept<H::Sleeper, (Wait, H::Failure)>>,
        operation: F,
        hooks: H,
        policy: P,
        caller: &'static Location<'static>,
        decision: Decision,
        // Closes after the attempt's future is dropped.
        span: Span,
    }
}

pin_project! {
    #[project = StateProjection]
    #[project_replace = StateReplaced]
    enum State<Fut, W, K> {
        Start,
        Attempt { #[pin] future: Fut },
        Wait { #[pin] wait: W, kept: K },
        // The wait is over, and other tasks have run.
        Yielded,
        End,
    }
}

impl<F, P, C, N, S, O, D, B> Future for RetryFuture<F, P, Hooks<C, N, S, O, D, B>>
where
    F: AsyncOperation,
    P: Borrow<RetryPolicy>,
    C: Classify<F::Value, F::Error>,
    N: Notify<C::Failure>,
    S: AsyncSleep,
    O: Observe,
    D: ComputeDelay<C::Failure>,
    B: ChainBudget,
{
    type Output = Result<F::Value, RetryError<F::Error>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if Span::may_be_wanted() || self.as_mut().project().span.is_open() {
            return self.poll_in_span(cx);
        }
        self.poll_attempt(cx)
    }
}

impl<F, P, C, N, S, O, D, B> RetryFuture<F, P, Hooks<C, N, S, O, D, B>>
where
    F: AsyncOperation,
    P: Borrow<RetryPolicy>,
    C: Classify<F::Value, F::Error>,
    N: Notify<C::Failure>,
    S: AsyncSleep,
    O: Observe,
    D: ComputeDelay<C::Failure>,
    B: ChainBudget,
{
    /// Polls the attempt, and begins it if that is due.
    #[expect(clippy::inline_always, reason = "a call would keep the future in memory")]
    #[inline(always)]
    fn poll_attempt(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<<Self as Future>::Output> {
        let mut this = self.as_mut().project();
        match this.state.as_mut().project() {
            StateProjection::Attempt { .. } => {}
            StateProjection::Start if !(*this.policy).borrow().has_limits() => {
                self.as_mut().start_attempt();
            }
            _ => {
                if let Err(stopped) = ready!(self.as_mut().start_or_resume(cx)) {
                    return Poll::Ready(C::finish(stopped, Internal));
                }
            }
        }
        let mut this = self.as_mut().project();
        let StateProjection::Attempt { future } = this.state.as_mut().project() else {
            unreachable!("an attempt was just begun");
        };
        let outcome = ready!(future.poll(cx));
        if C::IS_OUTCOME {
            // Drops the attempt's future before its outcome is judged, and ends this one if the judge panics.
            this.state.set(State::End);
        }
        match this.hooks.classifier.judge(outcome, Internal) {
            Ok(value) => {
                this.state.set(State::End);
                let call = Call {
                    policy: (*this.policy).borrow(),
                    caller: this.caller,
                    span: this.span.handle(),
                };
                this.decision.succeeded(this.hooks, call);
                Poll::Ready(Ok(value))
            }
            Err(failed) => self.failed(failed, cx).map(|stopped| C::finish(stopped, Internal)),
        }
    }

    /// Polls within the span. Out of line, so that a future without one needs no guard.
    #[cold]
    #[inline(never)]
    fn poll_in_span(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<<Self as Future>::Output> {
        let this = self.as_mut().project();
        if matches!(*this.state, State::Start) {
            *this.span = Call::new((*this.policy).borrow(), this.caller).open_span();
        }
        let _entered = this.span.enter();
        self.poll_attempt(cx)
    }

    /// Calls the operation.
    #[inline]
    fn start_attempt(self: Pin<&mut Self>) {
        let mut this = self.project();
        // Ends this future if the operation panics.
        this.state.set(State::End);
        let (decision, policy) = (&*this.decision, &*this.policy);
        let future = this.operation.call(|| decision.running(policy.borrow()), Internal);
        this.state.set(State::Attempt { future });
    }

    /// Makes the wait after a failed attempt, or gives the error back. Out of line, as everything that a first
    /// success does not need.
    #[cold]
    #[inline(never)]
    fn failed(
        mut self: Pin<&mut Self>,
        (failure, judgement): (C::Failure, C::Judgement),
        cx: &mut Context<'_>,
    ) -> Poll<RetryError<C::Failure>> {
        let mut this = self.as_mut().project();
        // Drops the attempt's future, and ends this one if a hook panics.
        this.state.set(State::End);
        let call =
            Call { policy: (*this.policy).borrow(), caller: this.caller, span: this.span.handle() };
        let decided = this.decision.failed_afresh(this.hooks, &failure, judgement, call, |_| {});
        let (wait, delay) = match decided {
            Ok(granted) => granted,
            Err(stop) => return Poll::Ready(this.decision.give_up(failure, stop)),
        };
        let kept = <S::Wait as Future>::Output::keep((wait, failure), Internal);
        match this.hooks.sleeper.sleep(delay, Internal) {
            Some(wait) => {
                this.state.set(State::Wait { wait, kept });
                if let Err(stopped) = ready!(self.as_mut().poll_wait(cx)) {
                    return Poll::Ready(stopped);
                }
            }
            None => drop(kept),
        }
        // A wait that is over before it has begun lets other tasks run all the same.
        self.project().state.set(State::Yielded);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Begins the first attempt if there is a deadline or a budget, or the next one as soon as the wait is over.
    /// Panics if the future has ended.
    #[cold]
    #[inline(never)]
    fn start_or_resume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RetryError<C::Failure>>> {
        let this = self.as_mut().project();
        match *this.state {
            State::Start => *this.decision = Decision::started((*this.policy).borrow()),
            State::Yielded => {}
            State::End => panic!("a retry was polled after its end"),
            _ => ready!(self.as_mut().poll_wait(cx))?,
        }
        self.start_attempt();
        Poll::Ready(Ok(()))
    }

    /// Polls the wait, and gives the error back if the wait is cancelled.
    fn poll_wait(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RetryError<C::Failure>>> {
        let mut this = self.project();
        let StateProjection::Wait { wait, .. } = this.state.as_mut().project() else {
            unreachable!("polled only while it waits");
        };
        let answer = ready!(wait.poll(cx));
        let StateReplaced::Wait { kept, .. } = this.state.project_replace(State::End) else {
            unreachable!("it has just been polled");
        };
        let report = this.hooks.report(Call {
            policy: (*this.policy).borrow(),
            caller: this.caller,
            span: this.span.handle(),
        });
        Poll::Ready(this.decision.wait_ended::<_, _, C>(answer.end(kept, Internal), report))
    }
}

impl<F, P, H> fmt::Debug for RetryFuture<F, P, H>
where
    F: AsyncOperation,
    H: AsyncHooks<F::Value, F::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("decision", &self.decision).finish_non_exhaustive()
    }
}
