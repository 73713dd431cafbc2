//! The async driver.

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::decision::{Decision, Wait};
use crate::error::RetryError;
use crate::event::{Observer, RetryEvent};
use crate::hooks::{AsyncHooks, ByError, Classify, Hooks, Notify, Observe, Observed};
use crate::policy::RetryPolicy;
use crate::report::{Call, Report};
use crate::sealed::Internal;
use crate::sleep::{AsyncSleep, DefaultSleeper, Ended, Kept, Wake};
use crate::transient::IsTransient;

/// Adds `.retry_with(policy).await` to `async fn` items and to closures that return a future. Needs
/// the feature `async`, and `tokio` for the default sleeper.
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
/// `&mut` state, use a retry loop, [`RetryContext`](crate::RetryContext), and its `wait_after_async`:
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
pub trait AsyncRetryExt<Fut, T, E>: FnMut() -> Fut
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

    /// Returns a future that calls the closure and awaits its future. While it fails with a transient error and the
    /// policy allows a retry, it waits and calls the closure again. It sleeps on tokio's timer, which needs the
    /// feature `tokio` and rounds up to the next millisecond. A zero delay yields to the scheduler once instead of
    /// setting a timer.
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
    fn retry_with<P>(self, policy: P) -> RetryFuture<Self, Fut, T, E, P, Hooks<(), (), P::Sleeper>>
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
    operation: F,
    hooks: H,
    makes: PhantomData<fn() -> (Fut, T, E)>,
}

impl<F, Fut, T, E> AsyncRetry<F, Fut, T, E> {
    #[inline]
    fn new(operation: F) -> Self {
        Self { operation, hooks: Hooks::NONE, makes: PhantomData }
    }
}

impl<F, Fut, T, E, C, N, S, O> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, O>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    #[inline]
    fn with<H>(self, set: impl FnOnce(Hooks<C, N, S, O>) -> H) -> AsyncRetry<F, Fut, T, E, H> {
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
    pub fn retry_if<Q>(self, predicate: Q) -> AsyncRetry<F, Fut, T, E, Hooks<ByError<Q>, N, S, O>>
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
    pub fn on_retry<M>(self, hook: M) -> AsyncRetry<F, Fut, T, E, Hooks<C, M, S, O>>
    where
        M: FnMut(&RetryEvent<'_, E>),
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
    pub fn sleep_with<R, W>(self, sleeper: R) -> AsyncRetry<F, Fut, T, E, Hooks<C, N, R, O>>
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
    pub fn observe<B>(self, observer: B) -> AsyncRetry<F, Fut, T, E, Hooks<C, N, S, Observed<B>>>
    where
        B: Observer,
    {
        self.with(|hooks| hooks.with_observer(observer))
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
    pub fn retry_with<P>(self, policy: P) -> RetryFuture<F, Fut, T, E, P, Hooks<C, N, S, O>>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: AsyncSleep,
        O: Observe,
        P: Borrow<RetryPolicy>,
    {
        RetryFuture {
            state: State::Start,
            operation: self.operation,
            hooks: self.hooks,
            policy,
            caller: Location::caller(),
            decision: Decision::new(None),
            result: PhantomData,
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
    /// future is the larger one), plus the captures of the closure and the hooks. Box an operation of many
    /// kilobytes, as in every future: `(|| Box::pin(large()))`.
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
    pub struct RetryFuture<F, Fut, T, E, P, H>
    where
        H: AsyncHooks,
    {
        #[pin]
        state: State<Fut, <H::Sleeper as AsyncSleep>::Wait, Kept<H::Sleeper, (Wait, E)>>,
        operation: F,
        hooks: H,
        policy: P,
        caller: &'static Location<'static>,
        decision: Decision,
        result: PhantomData<fn() -> T>,
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

impl<F, Fut, T, E, P, C, N, S, O> Future for RetryFuture<F, Fut, T, E, P, Hooks<C, N, S, O>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observe,
{
    type Output = Result<T, RetryError<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        match this.state.as_mut().project() {
            StateProjection::Attempt { .. } => {}
            StateProjection::Start if !(*this.policy).borrow().has_limits() => {
                self.as_mut().start_attempt();
            }
            _ => {
                ready!(self.as_mut().start_or_resume(cx))?;
            }
        }
        let mut this = self.as_mut().project();
        let StateProjection::Attempt { future } = this.state.as_mut().project() else {
            unreachable!("an attempt was just begun");
        };
        match ready!(future.poll(cx)) {
            Ok(value) => {
                this.state.set(State::End);
                let call = Call { policy: (*this.policy).borrow(), caller: this.caller };
                this.decision.succeeded(this.hooks.report(call));
                Poll::Ready(Ok(value))
            }
            Err(error) => self.failed(error, cx).map(Err),
        }
    }
}

impl<F, Fut, T, E, P, C, N, S, O> RetryFuture<F, Fut, T, E, P, Hooks<C, N, S, O>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observe,
{
    /// Calls the operation.
    #[inline]
    fn start_attempt(self: Pin<&mut Self>) {
        let mut this = self.project();
        // Ends this future if the operation panics.
        this.state.set(State::End);
        let future = (this.operation)();
        this.state.set(State::Attempt { future });
    }

    /// Makes the wait after a failed attempt, or gives the error back. Out of line, as everything that a first
    /// success does not need.
    #[cold]
    #[inline(never)]
    fn failed(mut self: Pin<&mut Self>, error: E, cx: &mut Context<'_>) -> Poll<RetryError<E>> {
        let mut this = self.as_mut().project();
        // Drops the attempt's future, and ends this one if a hook panics.
        this.state.set(State::End);
        let call = Call { policy: (*this.policy).borrow(), caller: this.caller };
        // A waiting future has no room for the state.
        let mut state = call.policy.backoff.state(this.decision.attempt());
        let Hooks { classifier, hook, sleeper, observer } = this.hooks;
        let report = Report { call, observer };
        let wait = match this.decision.failed(&error, classifier, &mut state, report, |_| {}) {
            Ok(wait) => wait,
            Err(stop) => return Poll::Ready(this.decision.give_up(error, stop)),
        };
        let delay = wait.delay(call.policy);
        hook.retry(&wait.event(call.policy, delay, &error), Internal);
        let kept = <S::Wait as Future>::Output::keep((wait, error), Internal);
        match sleeper.sleep(delay, Internal) {
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
    ) -> Poll<Result<(), RetryError<E>>> {
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
    fn poll_wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RetryError<E>>> {
        let mut this = self.project();
        let StateProjection::Wait { wait, .. } = this.state.as_mut().project() else {
            unreachable!("polled only while it waits");
        };
        let answer = ready!(wait.poll(cx));
        let StateReplaced::Wait { kept, .. } = this.state.project_replace(State::End) else {
            unreachable!("it has just been polled");
        };
        Poll::Ready(match answer.end(kept, Internal) {
            Ended::Elapsed => Ok(()),
            Ended::Woken((wait, _dropped)) => {
                this.decision.woken(wait);
                Ok(())
            }
            Ended::Cancelled((wait, error)) => {
                let call = Call { policy: (*this.policy).borrow(), caller: this.caller };
                let report = this.hooks.report(call);
                Err(this.decision.cancelled(wait, error, report, |_| {}))
            }
        })
    }
}

impl<F, Fut, T, E, P, H: AsyncHooks> fmt::Debug for RetryFuture<F, Fut, T, E, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("decision", &self.decision).finish_non_exhaustive()
    }
}
