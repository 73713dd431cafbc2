//! The asynchronous driver.

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::context::{Classify, Progress};
use crate::error::{RetryError, StopReason};
use crate::event::{Log, Notify, Observer, Report, RetryEvent, SleepOutcome};
use crate::policy::RetryPolicy;
use crate::retry::Hooks;
use crate::transient::IsTransient;

/// The verb, awaited: `.retry_with(policy).await` on everything that makes futures, `async fn` items
/// and closures that return a future. Needs the feature `async`, and `tokio` for the default sleeper.
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
/// stops at once and leaves nothing behind. It is `Send` where the operation, its error and the hooks
/// are, also when the closure borrows from the task that awaits it:
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
/// A closure cannot lend what it owns or borrows mutably to the futures that it makes. The compiler says
/// that a captured variable would escape, or, of an async closure, that it does not implement `FnMut`.
/// What is owned can be cloned: `move || { let client = client.clone(); async move { .. } }`. A block that
/// wants `&mut` state takes the loop form of [`RetryContext`](crate::RetryContext),
/// with its `wait_after_async`:
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
/// What is not `Send` makes the future so, and `tokio::spawn` refuses it:
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
/// The policy of a task that waits is best given by reference, such as that of a `static`: by value it
/// is a part of the future.
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
    fn retry_if<P>(self, predicate: P) -> AsyncRetry<Self, Fut, T, E, P>
    where
        Self: Sized,
        P: FnMut(&E) -> bool,
    {
        AsyncRetry::new(self).retry_if(predicate)
    }

    /// Hears of each retry before its wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{AsyncRetryExt, RetryPolicy};
    ///
    /// let mut heard = 0;
    /// let fetch = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    /// let result = fetch.on_retry(|_retry| heard += 1).retry_with(RetryPolicy::new()).await;
    /// assert!(result.is_err());
    /// assert_eq!(heard, 2);
    /// # }
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> AsyncRetry<Self, Fut, T, E, (), N>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        AsyncRetry::new(self).on_retry(hook)
    }

    /// Waits in your own way: on the timer of any runtime, not at all in a test, or until something
    /// else happens. The sleeper's future yields `()`, a [`ControlFlow`](std::ops::ControlFlow) or a
    /// [`SleepOutcome`]; one that breaks ends the retry with
    /// [`StopReason::Cancelled`] and the last error.
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
    fn sleep_with<S, W>(self, sleeper: S) -> AsyncRetry<Self, Fut, T, E, (), (), S>
    where
        Self: Sized,
        S: FnMut(Duration) -> W,
        W: Future,
        W::Output: Into<SleepOutcome>,
    {
        AsyncRetry::new(self).sleep_with(sleeper)
    }

    /// Lets an observer hear of each retry, success and giving up; see
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
    fn observe<O>(self, observer: O) -> AsyncRetry<Self, Fut, T, E, (), (), (), O>
    where
        Self: Sized,
        O: Observer,
    {
        AsyncRetry::new(self).observe(observer)
    }

    /// Makes the future that calls the closure, awaits, and does both again while it fails with a
    /// transient error and the policy allows it. It sleeps on tokio's timer: the feature `tokio`. That
    /// timer rounds up to the next millisecond; a delay of zero is no timer, but a turn of others.
    ///
    /// # Errors
    ///
    /// The future yields the last error, in a [`RetryError`] that says why there was no further
    /// attempt.
    ///
    /// # Panics
    ///
    /// The future panics where it waits outside of a tokio runtime with its timer enabled, and when it
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
    fn retry_with<P>(self, policy: P) -> RetryFuture<Self, Fut, T, E, P, (), (), P::Sleeper, ()>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy> + DefaultSleeper,
    {
        let AsyncRetry { operation, hooks, makes, yields } = AsyncRetry::new(self);
        let hooks = hooks.sleeper(P::sleeper());
        AsyncRetry { operation, hooks, makes, yields }.retry_with(policy)
    }
}

impl<F, Fut, T, E> AsyncRetryExt<Fut, T, E> for F
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
}

/// An asynchronous operation with what refines its retry; made by the methods of [`AsyncRetryExt`].
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
#[must_use = "nothing is called before `.retry_with(policy)`"]
pub struct AsyncRetry<F, Fut, T, E, C = (), N = (), S = (), O = ()> {
    operation: F,
    hooks: Hooks<C, N, S, O>,
    makes: PhantomData<fn() -> Fut>,
    yields: PhantomData<fn() -> Result<T, E>>,
}

impl<F, Fut, T, E> AsyncRetry<F, Fut, T, E> {
    #[inline]
    fn new(operation: F) -> Self {
        Self { operation, hooks: Hooks::NONE, makes: PhantomData, yields: PhantomData }
    }
}

impl<F, Fut, T, E, C, N, S, O> AsyncRetry<F, Fut, T, E, C, N, S, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    #[inline]
    fn refine<D, M, W, B>(
        self,
        refine: impl FnOnce(Hooks<C, N, S, O>) -> Hooks<D, M, W, B>,
    ) -> AsyncRetry<F, Fut, T, E, D, M, W, B> {
        let hooks = refine(self.hooks);
        AsyncRetry { operation: self.operation, hooks, makes: PhantomData, yields: PhantomData }
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
    pub fn retry_if<P>(self, predicate: P) -> AsyncRetry<F, Fut, T, E, P, N, S, O>
    where
        P: FnMut(&E) -> bool,
    {
        self.refine(|hooks| hooks.classify(predicate))
    }

    /// Hears of each retry before its wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
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
    pub fn on_retry<M>(self, hook: M) -> AsyncRetry<F, Fut, T, E, C, M, S, O>
    where
        M: FnMut(&RetryEvent<'_, E>),
    {
        self.refine(|hooks| hooks.notify(hook))
    }

    /// Waits in your own way; see [`AsyncRetryExt::sleep_with`].
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
    pub fn sleep_with<S2, W>(self, sleeper: S2) -> AsyncRetry<F, Fut, T, E, C, N, S2, O>
    where
        S2: FnMut(Duration) -> W,
        W: Future,
        W::Output: Into<SleepOutcome>,
    {
        self.refine(|hooks| hooks.sleeper(sleeper))
    }

    /// Lets an observer hear of each retry, success and giving up; see
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
    pub fn observe<B: Observer>(self, observer: B) -> AsyncRetry<F, Fut, T, E, C, N, S, B> {
        self.refine(|hooks| hooks.observer(observer))
    }

    /// Makes the future that does the work; see `AsyncRetryExt::retry_with`. With a sleeper that was
    /// set it needs the feature `async` alone, and runs on any runtime, or on none.
    ///
    /// # Errors
    ///
    /// The future yields the last error, in a [`RetryError`] that says why there was no further
    /// attempt.
    ///
    /// # Panics
    ///
    /// The future panics when it is polled after its end.
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
    pub fn retry_with<P>(self, policy: P) -> RetryFuture<F, Fut, T, E, P, C, N, S, O>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: AsyncSleep,
        O: Observer,
        P: Borrow<RetryPolicy>,
    {
        RetryFuture {
            state: State::Start,
            operation: self.operation,
            hooks: self.hooks,
            policy,
            caller: Location::caller(),
            progress: Progress::new(None),
            result: PhantomData,
        }
    }
}

impl<F, Fut, T, E, C, N, S, O> fmt::Debug for AsyncRetry<F, Fut, T, E, C, N, S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncRetry").finish_non_exhaustive()
    }
}

pin_project! {
    /// A retry that is awaited; made by `.retry_with(policy)` of [`AsyncRetryExt`] and [`AsyncRetry`].
    ///
    /// On tokio's timer and with the policy by reference it takes the larger of the operation's future
    /// and the timer (96 bytes, or 112 with tokio's `rt-multi-thread`), 40 bytes of its own, 48 where
    /// the operation's is the larger, and what the closure and the hooks capture. An operation of many
    /// kilobytes is better boxed, as in every future: `(|| Box::pin(large()))`.
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
    /// Leaving `.await` out is a mistake that the compiler reports:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # use retry_ext::{AsyncRetryExt, RetryPolicy};
    /// # async fn forgets() {
    /// (async || "7".parse::<u8>()).retry_if(|_| true).retry_with(RetryPolicy::new());
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited or polled"]
    pub struct RetryFuture<F, Fut, T, E, P, C, N, S, O>
    where
        S: AsyncSleep,
    {
        #[pin]
        state: State<Fut, S::Wait, S::Kept<E>>,
        operation: F,
        hooks: Hooks<C, N, S, O>,
        policy: P,
        caller: &'static Location<'static>,
        progress: Progress,
        result: PhantomData<fn() -> T>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<Fut, W, K> {
        Start,
        Attempt { #[pin] future: Fut },
        Wait { #[pin] wait: W, kept: K },
        // The wait is over, and others have had their turn.
        Yielded,
        End,
    }
}

impl<F, Fut, T, E, P, C, N, S, O> Future for RetryFuture<F, Fut, T, E, P, C, N, S, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observer,
{
    type Output = Result<T, RetryError<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        match this.state.as_mut().project() {
            StateProjection::Attempt { .. } => {}
            StateProjection::Start => {
                let policy = (*this.policy).borrow();
                if policy.is_metered() {
                    *this.progress = Progress::started(policy);
                }
                self.as_mut().attempt();
            }
            _ => {
                ready!(self.as_mut().go_on(cx))?;
            }
        }
        let mut this = self.as_mut().project();
        let StateProjection::Attempt { future } = this.state.as_mut().project() else {
            unreachable!("an attempt was just begun");
        };
        match ready!(future.poll(cx)) {
            Ok(value) => {
                this.state.set(State::End);
                let log = Log { policy: (*this.policy).borrow(), caller: this.caller };
                this.progress.succeeded(this.hooks.report(log));
                Poll::Ready(Ok(value))
            }
            Err(error) => self.failed(error, cx).map(Err),
        }
    }
}

impl<F, Fut, T, E, P, C, N, S, O> RetryFuture<F, Fut, T, E, P, C, N, S, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observer,
{
    /// Calls the operation.
    #[inline]
    fn attempt(self: Pin<&mut Self>) {
        let mut this = self.project();
        // Nothing of a wait is left when the operation is called, and nothing if that panics.
        this.state.set(State::End);
        let future = (this.operation)();
        this.state.set(State::Attempt { future });
    }

    /// An attempt has failed: makes the wait, or gives the error back. Out of line, as all that a first
    /// success does not need.
    #[cold]
    #[inline(never)]
    fn failed(mut self: Pin<&mut Self>, error: E, cx: &mut Context<'_>) -> Poll<RetryError<E>> {
        let mut this = self.as_mut().project();
        // The attempt's future is done, also where a hook panics now.
        this.state.set(State::End);
        let log = Log { policy: (*this.policy).borrow(), caller: this.caller };
        // A waiting future has no room for a run.
        let mut run = log.policy.backoff.run(this.progress.attempt());
        let Hooks { classify, notify, sleeper, observer } = this.hooks;
        let report = Report { log, observer };
        let nanos = match this.progress.after_failure(&error, classify, &mut run, report) {
            Ok(nanos) => nanos,
            Err(reason) => return Poll::Ready(this.progress.gave_up(error, reason)),
        };
        let delay = log.policy.backoff.duration(nanos);
        notify.retry(&this.progress.event(log.policy, delay, &error));
        let wait = sleeper.sleep(delay);
        let kept = S::keep(this.progress.gave_up(error, StopReason::Cancelled));
        this.progress.next_attempt(nanos);
        let Some(wait) = wait else {
            this.state.set(State::Yielded);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        this.state.set(State::Wait { wait, kept });
        if let Err(stopped) = ready!(self.as_mut().wait(cx)) {
            return Poll::Ready(stopped);
        }
        // A wait that is over before it began: others get their turn all the same.
        self.project().state.set(State::Yielded);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polled between two attempts: begins the next one as soon as the wait is over.
    #[cold]
    #[inline(never)]
    fn go_on(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RetryError<E>>> {
        match *self.as_mut().project().state {
            State::Yielded => {}
            State::End => panic!("a retry was polled after its end"),
            _ => ready!(self.as_mut().wait(cx))?,
        }
        self.attempt();
        Poll::Ready(Ok(()))
    }

    /// Waits, and gives the error back if the wait is cancelled.
    fn wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RetryError<E>>> {
        let mut this = self.project();
        let StateProjection::Wait { wait, kept } = this.state.as_mut().project() else {
            unreachable!("polled only while it waits");
        };
        let output = ready!(wait.poll(cx));
        let Some(stopped) = S::cancelled(output, kept) else { return Poll::Ready(Ok(())) };
        this.state.set(State::End);
        let log = Log { policy: (*this.policy).borrow(), caller: this.caller };
        this.hooks.report(log).stopped(&stopped);
        Poll::Ready(Err(stopped))
    }
}

impl<F, Fut, T, E, P, C, N, S: AsyncSleep, O> fmt::Debug
    for RetryFuture<F, Fut, T, E, P, C, N, S, O>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// How a wait is made: on tokio's timer (`()`, where nothing was set), or by a function given with
/// `sleep_with`.
#[expect(unnameable_types, reason = "sealed: a bound of the chain, implemented here alone")]
#[diagnostic::on_unimplemented(
    message = "nothing was said of how to sleep",
    label = "no sleeper",
    note = "enable the feature `tokio` of `retry-ext` to sleep on tokio's timer",
    note = "or put `.sleep_with(|delay| ..)`, with a future of your runtime's timer, before `.retry_with(policy)`"
)]
pub trait AsyncSleep {
    #[doc(hidden)]
    type Wait: Future;
    /// What a wait keeps for the case that it is cancelled.
    #[doc(hidden)]
    type Kept<E>;
    /// The wait, or `None` for a turn of others and no more.
    #[doc(hidden)]
    fn sleep(&mut self, delay: Duration) -> Option<Self::Wait>;
    #[doc(hidden)]
    fn keep<E>(stopped: RetryError<E>) -> Self::Kept<E>;
    #[doc(hidden)]
    fn cancelled<E>(
        output: <Self::Wait as Future>::Output,
        kept: &mut Self::Kept<E>,
    ) -> Option<RetryError<E>>;
}

/// The sleeper of the bare verb. It hangs on the type of the policy, for which any would do, so that
/// without the feature `tokio` the compiler gives the advice above instead of not finding the method.
#[expect(unnameable_types, reason = "sealed: a bound of the verb, implemented here alone")]
#[diagnostic::on_unimplemented(
    message = "nothing was said of how to sleep",
    label = "no sleeper",
    note = "enable the feature `tokio` of `retry-ext` to sleep on tokio's timer",
    note = "or put `.sleep_with(|delay| ..)`, with a future of your runtime's timer, before `.retry_with(policy)`"
)]
pub trait DefaultSleeper {
    #[doc(hidden)]
    type Sleeper: AsyncSleep;
    #[doc(hidden)]
    fn sleeper() -> Self::Sleeper;
}

#[cfg(feature = "tokio")]
impl<P> DefaultSleeper for P {
    type Sleeper = ();

    #[inline]
    fn sleeper() {}
}

/// Nobody can cancel it, so it keeps nothing.
#[cfg(feature = "tokio")]
impl AsyncSleep for () {
    type Wait = tokio::time::Sleep;
    type Kept<E> = ();

    #[inline]
    fn sleep(&mut self, delay: Duration) -> Option<tokio::time::Sleep> {
        // Tokio rounds up to the next millisecond, also from nothing.
        (!delay.is_zero()).then(|| tokio::time::sleep(delay))
    }

    #[inline]
    fn keep<E>(_stopped: RetryError<E>) {}

    #[inline]
    fn cancelled<E>((): (), (): &mut ()) -> Option<RetryError<E>> {
        None
    }
}

impl<S, W> AsyncSleep for S
where
    S: FnMut(Duration) -> W,
    W: Future,
    W::Output: Into<SleepOutcome>,
{
    type Wait = W;
    type Kept<E> = Option<RetryError<E>>;

    #[inline]
    fn sleep(&mut self, delay: Duration) -> Option<W> {
        Some(self(delay))
    }

    #[inline]
    fn keep<E>(stopped: RetryError<E>) -> Option<RetryError<E>> {
        Some(stopped)
    }

    #[inline]
    fn cancelled<E>(output: W::Output, kept: &mut Option<RetryError<E>>) -> Option<RetryError<E>> {
        match output.into() {
            SleepOutcome::Elapsed => None,
            SleepOutcome::Cancelled => kept.take(),
        }
    }
}

/// Gives others their turn, once.
#[cfg(feature = "tokio")]
pub(crate) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
