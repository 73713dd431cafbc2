//! The stream drivers.

use core::borrow::Borrow;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::future::AsyncRetry;
use super::iterator::{Items, pause_after};
use crate::budget::RetryBudget;
use crate::clock::Tick;
use crate::decision::{Decision, Wait};
use crate::error::{RetryError, Stop, StopReason};
use crate::event::{Observer, RetryEvent};
use crate::hooks::{
    AsyncHooks, Budgeted, ByError, ChainBudget, Classify, ComputeDelay, Hooks, Notify, Observe,
    Observed,
};
use crate::policy::RetryPolicy;
use crate::report::Call;
use crate::sealed::Internal;
use crate::sleep::{AsyncSleep, DefaultSleeper, Ended, Kept, Wake};
use crate::transient::IsTransient;

/// Adds `.retry_with(policy)` to streams of results that recover by themselves. Needs the feature `stream`, and
/// `tokio` for the default sleeper.
///
/// A failed item is a failed attempt. While its error is transient and the policy allows a retry, the stream waits
/// and takes **the source's next item in its place**. Use it on streams that produce the failed item again, such
/// as a watcher that reconnects when it is polled again. For a stream that ends with its connection, use
/// [`ResubscribeExt`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::io::{Error, ErrorKind};
/// use std::pin::pin;
/// use futures_util::{StreamExt, stream};
/// use retry_ext::{RetryPolicy, RetryStreamExt};
///
/// static POLICY: RetryPolicy = RetryPolicy::new();
///
/// let reset = || Err(Error::from(ErrorKind::ConnectionReset));
/// let watcher = stream::iter([Ok("a"), reset(), reset(), Ok("b")]);
/// let mut items = pin!(watcher.retry_with(&POLICY));
/// while let Some(item) = items.next().await {
///     println!("{}", item.unwrap());
/// }
/// # }
/// ```
///
/// * Each item starts a new count, with all attempts and the first delay. A deadline counts from the first
///   failure, because a stream may be quiet for an hour.
/// * An error that gives up is yielded, and the stream continues with the next item.
/// * If a deadline, a budget or a hint's limit refuses a retry, the stream pauses before its next item, as
///   [iterators](crate::RetryIteratorExt) do.
/// * A transient error after which the source ends is yielded, with [`StopReason::SourceEnded`], and then `None`.
///   For this, the error is kept until the next item. It must not own a lock or a permit that the source needs.
/// * A dropped `next()` loses nothing: the wait and the error are part of the stream.
pub trait RetryStreamExt<T, E>: Stream<Item = Result<T, E>> {
    /// Classifies errors at the call; see [`RetryExt::retry_if`](crate::RetryExt::retry_if).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let source = stream::iter([Err(Error::from(ErrorKind::TimedOut)), Ok("line")]);
    /// let mut lines = pin!(source.retry_if(|error| error.kind() == ErrorKind::TimedOut).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn retry_if<Q>(self, predicate: Q) -> AsyncRetry<Items<Self>, (), T, E, Hooks<ByError<Q>>>
    where
        Self: Sized,
        Q: FnMut(&E) -> bool,
    {
        AsyncRetry::new(Items(self)).retry_if(predicate)
    }

    /// Calls a hook before each wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let source = stream::iter([Err(Error::from(ErrorKind::TimedOut)), Ok("line")]);
    /// let mut lines = pin!(source.on_retry(|retry| eprintln!("{retry}: {}", retry.error)).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> AsyncRetry<Items<Self>, (), T, E, Hooks<(), N>>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        AsyncRetry::new(Items(self)).on_retry(hook)
    }

    /// Replaces tokio's timer; see [`AsyncRetryExt::sleep_with`](crate::AsyncRetryExt::sleep_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let source = stream::iter([Err(Error::from(ErrorKind::TimedOut)), Ok("line")]);
    /// let mut lines = pin!(source.sleep_with(tokio::time::sleep).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn sleep_with<S, W>(self, sleeper: S) -> AsyncRetry<Items<Self>, (), T, E, Hooks<(), (), S>>
    where
        Self: Sized,
        S: FnMut(Duration) -> W,
        W: Future<Output: Wake>,
    {
        AsyncRetry::new(Items(self)).sleep_with(sleeper)
    }

    /// Reports every retry, success and failure to an observer; see
    /// [`RetryExt::observe`](crate::RetryExt::observe).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let source = stream::iter([Err(Error::from(ErrorKind::TimedOut)), Ok("line")]);
    /// let stats = retry_ext::RetryStats::new();
    /// let mut lines = pin!(source.observe(&stats).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn observe<O>(
        self,
        observer: O,
    ) -> AsyncRetry<Items<Self>, (), T, E, Hooks<(), (), (), Observed<O>>>
    where
        Self: Sized,
        O: Observer,
    {
        AsyncRetry::new(Items(self)).observe(observer)
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`](crate::RetryExt::delay_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let source = stream::iter([Err(Error::from(ErrorKind::TimedOut)), Ok("line")]);
    /// let mut lines = pin!(source.delay_with(|retry, _error| std::time::Duration::from_millis(5) * retry).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn delay_with<D>(self, delay: D) -> AsyncRetry<Items<Self>, (), T, E, Hooks<(), (), (), (), D>>
    where
        Self: Sized,
        D: FnMut(u32, &E) -> Duration,
    {
        AsyncRetry::new(Items(self)).delay_with(delay)
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`](crate::RetryExt::budget).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let source = stream::iter([Err(Error::from(ErrorKind::TimedOut)), Ok("line")]);
    /// let budget = retry_ext::RetryBudget::new();
    /// let mut lines = pin!(source.budget(&budget).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn budget<B>(
        self,
        budget: B,
    ) -> AsyncRetry<Items<Self>, (), T, E, Hooks<(), (), (), (), (), Budgeted<B>>>
    where
        Self: Sized,
        B: AsRef<RetryBudget>,
    {
        AsyncRetry::new(Items(self)).budget(budget)
    }

    /// Returns a stream that retries each item. It sleeps on tokio's timer, which needs the feature `tokio`,
    /// or on the browser's, which needs `web`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{RetryPolicy, RetryStreamExt, StopReason};
    ///
    /// let source = stream::iter([Err::<(), _>(Error::from(ErrorKind::TimedOut))]);
    /// let mut items = pin!(source.retry_with(RetryPolicy::new()));
    /// let error = items.next().await.unwrap().unwrap_err();
    /// assert_eq!(error.reason(), StopReason::SourceEnded);
    /// assert!(items.next().await.is_none());
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> RetryStream<Self, T, E, P, Hooks<(), (), P::Sleeper>>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy> + DefaultSleeper,
    {
        let sleeper = P::sleeper(Internal);
        AsyncRetry::new(Items(self)).with(|hooks| hooks.with_sleeper(sleeper)).retry_with(policy)
    }
}

impl<St, T, E> RetryStreamExt<T, E> for St where St: Stream<Item = Result<T, E>> {}

impl<St, T, E, C, N, S, O, D, B> AsyncRetry<Items<St>, (), T, E, Hooks<C, N, S, O, D, B>>
where
    St: Stream<Item = Result<T, E>>,
{
    /// Returns a stream that retries each item; see [`RetryStreamExt::retry_with`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use futures_util::{StreamExt, stream};
    /// # use retry_ext::{RetryPolicy, RetryStreamExt};
    /// let source = stream::iter(["1", "2"]).map(str::parse::<u8>);
    /// let items = source.retry_if(|_| false).retry_with(RetryPolicy::new());
    /// assert_eq!(items.map(Result::unwrap).collect::<Vec<_>>().await, [1, 2]);
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    pub fn retry_with<P>(self, policy: P) -> RetryStream<St, T, E, P, Hooks<C, N, S, O, D, B>>
    where
        C: Classify<T, E, Failure = E>,
        N: Notify<E>,
        S: AsyncSleep,
        O: Observe,
        D: ComputeDelay<E>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        RetryStream {
            source: self.operation.0,
            wait: Waiting::No,
            hooks: self.hooks,
            policy,
            caller: Location::caller(),
            decision: Decision::new(None),
            failure: None,
        }
    }
}

pin_project! {
    /// A stream that retries each item of its source; made by [`RetryStreamExt::retry_with`].
    ///
    /// ```
    /// use futures_util::stream;
    /// use retry_ext::{RetryPolicy, RetryStreamExt};
    ///
    /// let items = stream::iter([Ok::<_, std::io::Error>(1)]).retry_with(RetryPolicy::new());
    /// assert!(format!("{items:?}").starts_with("RetryStream"));
    /// ```
    #[must_use = "streams do nothing unless they are polled"]
    pub struct RetryStream<St, T, E, P, H>
    where
        H: AsyncHooks<T, E>,
    {
        #[pin]
        source: St,
        #[pin]
        wait: Waiting<<H::Sleeper as AsyncSleep>::Wait, Kept<H::Sleeper, Wait>>,
        hooks: H,
        policy: P,
        caller: &'static Location<'static>,
        decision: Decision,
        // The failed item, kept until the next one, because the source may end.
        failure: Option<E>,
    }
}

pin_project! {
    /// A wait, or a pause after a refusal.
    #[project = WaitingProjection]
    #[project_replace = WaitingReplaced]
    enum Waiting<W, K> {
        No,
        // A retry was granted.
        Wait { #[pin] wait: W, kept: K },
        // A retry was refused: the source is polled after a pause.
        Refused { delay: Duration },
        Pause { #[pin] wait: W },
        // The wait is over, and other tasks have run.
        Yielded,
        // The source has ended after a failure, and the next item is its `None`.
        SourceEnded,
        // A pause was cancelled.
        Ended,
    }
}

impl<St, T, E, P, C, N, S, O, D, B> Stream for RetryStream<St, T, E, P, Hooks<C, N, S, O, D, B>>
where
    St: Stream<Item = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<T, E, Failure = E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observe,
    D: ComputeDelay<E>,
    B: ChainBudget,
{
    type Item = Result<T, RetryError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.as_mut().poll_wait(cx)) {
                Next::Poll => {}
                Next::End => return Poll::Ready(None),
                Next::Stopped(stopped) => return Poll::Ready(Some(Err(stopped))),
            }
            let mut this = self.as_mut().project();
            let call = Call::new((*this.policy).borrow(), this.caller);
            let item = ready!(this.source.as_mut().poll_next(cx));
            let Some(outcome) = item else {
                let ended = mem::replace(this.decision, Decision::new(None));
                return Poll::Ready(this.failure.take().map(|failure| {
                    this.wait.set(Waiting::SourceEnded);
                    let name = C::type_name(&failure, Internal);
                    let stop = Stop::because(StopReason::SourceEnded);
                    Err(ended.stop(failure, name, stop, this.hooks.report(call), |_| {}))
                }));
            };
            drop(this.failure.take());
            let (error, judgement) = match this.hooks.classifier.judge(outcome, Internal) {
                Ok(value) => {
                    let ended = mem::replace(this.decision, Decision::new(None));
                    ended.succeeded(this.hooks, call);
                    return Poll::Ready(Some(Ok(value)));
                }
                Err(failed) => failed,
            };
            let noted = |decided: Result<&Wait, Stop>| {
                let pause = decided.err().and_then(|stop| pause_after(stop, call.policy));
                if let Some(delay) = pause {
                    this.wait.set(Waiting::Refused { delay });
                }
            };
            let decided = this.decision.failed_afresh(this.hooks, &error, judgement, call, noted);
            let (wait, delay) = match decided {
                Ok(granted) => granted,
                Err(stop) => {
                    let ended = mem::replace(this.decision, Decision::new(None));
                    return Poll::Ready(Some(Err(ended.give_up(error, stop))));
                }
            };
            *this.failure = Some(error);
            let kept = <S::Wait as Future>::Output::keep(wait, Internal);
            if let Some(wait) = this.hooks.sleeper.sleep(delay, Internal) {
                this.wait.set(Waiting::Wait { wait, kept });
            }
            if let Next::Stopped(stopped) = ready!(self.as_mut().begin_wait(cx)) {
                return Poll::Ready(Some(Err(stopped)));
            }
        }
    }
}

/// The action after a wait.
enum Next<E> {
    Poll,
    End,
    Stopped(RetryError<E>),
}

impl<St, T, E, P, C, N, S, O, D, B> RetryStream<St, T, E, P, Hooks<C, N, S, O, D, B>>
where
    P: Borrow<RetryPolicy>,
    C: Classify<T, E, Failure = E>,
    S: AsyncSleep,
    O: Observe,
{
    /// Polls a wait or a pause that has just begun. If it is over at once, other tasks still run.
    fn begin_wait(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<E>> {
        let next = ready!(self.as_mut().poll_wait(cx));
        if let Next::Poll = next {
            self.project().wait.set(Waiting::Yielded);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(next)
    }

    /// Polls the wait or the pause, if there is one.
    fn poll_wait(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<E>> {
        let mut this = self.as_mut().project();
        let (answer, is_pause) = match this.wait.as_mut().project() {
            WaitingProjection::No => return Poll::Ready(Next::Poll),
            WaitingProjection::Yielded => {
                this.wait.set(Waiting::No);
                return Poll::Ready(Next::Poll);
            }
            WaitingProjection::SourceEnded => {
                this.wait.set(Waiting::No);
                return Poll::Ready(Next::End);
            }
            WaitingProjection::Ended => return Poll::Ready(Next::End),
            WaitingProjection::Refused { delay } => {
                // Changed only afterwards, so that a panic of the sleeper does not lose the pause.
                let wait = this.hooks.sleeper.sleep(*delay, Internal);
                this.wait.set(wait.map_or(Waiting::No, |wait| Waiting::Pause { wait }));
                return self.begin_wait(cx);
            }
            WaitingProjection::Wait { wait, .. } => (ready!(wait.poll(cx)), false),
            WaitingProjection::Pause { wait } => (ready!(wait.poll(cx)), true),
        };
        let replaced = this.wait.as_mut().project_replace(Waiting::No);
        if is_pause {
            let kept = <S::Wait as Future>::Output::keep((), Internal);
            return Poll::Ready(match answer.end(kept, Internal) {
                Ended::Elapsed | Ended::Woken(()) => Next::Poll,
                Ended::Cancelled(()) => {
                    this.wait.set(Waiting::Ended);
                    Next::End
                }
            });
        }
        let WaitingReplaced::Wait { kept, .. } = replaced else {
            unreachable!("it has just been polled");
        };
        Poll::Ready(match answer.end(kept, Internal) {
            Ended::Elapsed => Next::Poll,
            Ended::Woken(wait) => {
                this.decision.woken(wait);
                Next::Poll
            }
            Ended::Cancelled(wait) => {
                let mut ended = mem::replace(this.decision, Decision::new(None));
                let failure = this.failure.take().expect("a failure is waited for");
                let call = Call::new((*this.policy).borrow(), this.caller);
                let (name, report) = (C::type_name(&failure, Internal), this.hooks.report(call));
                Next::Stopped(ended.cancelled(wait, failure, name, report, |_| {}))
            }
        })
    }
}

impl<St, T, E, P, H: AsyncHooks<T, E>> fmt::Debug for RetryStream<St, T, E, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryStream").field("decision", &self.decision).finish_non_exhaustive()
    }
}

/// Adds `.retry_with(policy)` to closures and functions that return a stream of results. After a failure, the
/// closure is called again for a new subscription. Needs the feature `stream`, and `tokio` for the default
/// sleeper.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::io::{Error, ErrorKind};
/// use futures_util::{StreamExt, stream};
/// use retry_ext::{ResubscribeExt, RetryPolicy};
///
/// static POLICY: RetryPolicy = RetryPolicy::new();
///
/// // Each subscription breaks after two messages, and the third subscription ends cleanly.
/// let mut subscriptions = 0;
/// let mut subscribe = |topic: &str| {
///     subscriptions += 1;
///     let end = (subscriptions < 3).then(|| Err(Error::from(ErrorKind::ConnectionReset)));
///     let messages = [format!("{topic} {subscriptions}.1"), format!("{topic} {subscriptions}.2")];
///     stream::iter(messages.map(Ok).into_iter().chain(end))
/// };
/// let items = (|| subscribe("news")).retry_with(&POLICY);
/// let messages: Vec<_> = items.map(Result::unwrap).collect().await;
/// assert_eq!(messages, ["news 1.1", "news 1.2", "news 2.1", "news 2.2", "news 3.1", "news 3.2"]);
/// # }
/// ```
///
/// * A broken subscription is dropped before the wait. The end of a subscription is the end of the stream.
/// * A new count of attempts starts as soon as a subscription is steady: at its first item, or after a minute
///   without one. [`steady_after`](Self::steady_after) sets that time, and then only the time counts. Each steady
///   subscription is one success for the log, a budget and an observer.
/// * An error that gives up is yielded, and then `None`.
/// * For an observer, the break of a steady subscription is the first attempt of a new operation.
/// * A deadline counts from the first failure.
/// * For a future of a stream, such as an `async fn` that connects, pass `|| connect().try_flatten_stream()`. If
///   an end is a failure, chain an error to the stream.
///
/// If the closure's value is both a future and a stream, name the trait: `ResubscribeExt::retry_with(subscribe,
/// policy)`.
pub trait ResubscribeExt<St, T, E>: FnMut() -> St
where
    St: Stream<Item = Result<T, E>>,
{
    /// Classifies errors at the call; see [`RetryExt::retry_if`](crate::RetryExt::retry_if).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let mut failures = 1;
    /// let subscribe = || {
    ///     let fails = std::mem::replace(&mut failures, 0) > 0;
    ///     stream::iter([if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("line") }])
    /// };
    /// let mut lines = pin!(subscribe.retry_if(|error| error.kind() == ErrorKind::TimedOut).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn retry_if<Q>(self, predicate: Q) -> AsyncRetry<Subscribed<Self>, St, T, E, Hooks<ByError<Q>>>
    where
        Self: Sized,
        Q: FnMut(&E) -> bool,
    {
        AsyncRetry::new(Subscribed::new(self)).retry_if(predicate)
    }

    /// Calls a hook before each wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let mut failures = 1;
    /// let subscribe = || {
    ///     let fails = std::mem::replace(&mut failures, 0) > 0;
    ///     stream::iter([if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("line") }])
    /// };
    /// let mut lines = pin!(subscribe.on_retry(|retry| eprintln!("{retry}: {}", retry.error)).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> AsyncRetry<Subscribed<Self>, St, T, E, Hooks<(), N>>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        AsyncRetry::new(Subscribed::new(self)).on_retry(hook)
    }

    /// Replaces tokio's timer; see [`AsyncRetryExt::sleep_with`](crate::AsyncRetryExt::sleep_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let mut failures = 1;
    /// let subscribe = || {
    ///     let fails = std::mem::replace(&mut failures, 0) > 0;
    ///     stream::iter([if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("line") }])
    /// };
    /// let mut lines = pin!(subscribe.sleep_with(tokio::time::sleep).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn sleep_with<S, W>(
        self,
        sleeper: S,
    ) -> AsyncRetry<Subscribed<Self>, St, T, E, Hooks<(), (), S>>
    where
        Self: Sized,
        S: FnMut(Duration) -> W,
        W: Future<Output: Wake>,
    {
        AsyncRetry::new(Subscribed::new(self)).sleep_with(sleeper)
    }

    /// Reports every retry, success and failure to an observer; see
    /// [`RetryExt::observe`](crate::RetryExt::observe).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let mut failures = 1;
    /// let subscribe = || {
    ///     let fails = std::mem::replace(&mut failures, 0) > 0;
    ///     stream::iter([if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("line") }])
    /// };
    /// let stats = retry_ext::RetryStats::new();
    /// let mut lines = pin!(subscribe.observe(&stats).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn observe<O>(
        self,
        observer: O,
    ) -> AsyncRetry<Subscribed<Self>, St, T, E, Hooks<(), (), (), Observed<O>>>
    where
        Self: Sized,
        O: Observer,
    {
        AsyncRetry::new(Subscribed::new(self)).observe(observer)
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`](crate::RetryExt::delay_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let mut failures = 1;
    /// let subscribe = || {
    ///     let fails = std::mem::replace(&mut failures, 0) > 0;
    ///     stream::iter([if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("line") }])
    /// };
    /// let mut lines = pin!(subscribe.delay_with(|retry, _error| std::time::Duration::from_millis(5) * retry).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn delay_with<D>(
        self,
        delay: D,
    ) -> AsyncRetry<Subscribed<Self>, St, T, E, Hooks<(), (), (), (), D>>
    where
        Self: Sized,
        D: FnMut(u32, &E) -> Duration,
    {
        AsyncRetry::new(Subscribed::new(self)).delay_with(delay)
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`](crate::RetryExt::budget).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::pin::pin;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let mut failures = 1;
    /// let subscribe = || {
    ///     let fails = std::mem::replace(&mut failures, 0) > 0;
    ///     stream::iter([if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("line") }])
    /// };
    /// let budget = retry_ext::RetryBudget::new();
    /// let mut lines = pin!(subscribe.budget(&budget).retry_with(RetryPolicy::new()));
    /// assert_eq!(lines.next().await.unwrap().unwrap(), "line");
    /// # }
    /// ```
    #[inline]
    fn budget<B>(
        self,
        budget: B,
    ) -> AsyncRetry<Subscribed<Self>, St, T, E, Hooks<(), (), (), (), (), Budgeted<B>>>
    where
        Self: Sized,
        B: AsRef<RetryBudget>,
    {
        AsyncRetry::new(Subscribed::new(self)).budget(budget)
    }

    /// Sets the time after which a subscription is steady and a new count of attempts starts. Unless it is set, a
    /// subscription is steady at its first item, or after a minute without one.
    ///
    /// Use it for a server that accepts, sends a message, and drops the connection.
    ///
    /// # Panics
    ///
    /// If `time` is zero: each subscription would be steady, and the stream would never give up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// // The server greets and resets the connection. If the greeting counted, the retries would never end.
    /// let subscribe = || stream::iter([Ok("hello"), Err(Error::from(ErrorKind::ConnectionReset))]);
    /// let items = subscribe.steady_after(Duration::from_secs(5)).retry_with(RetryPolicy::new());
    /// let items: Vec<_> = items.collect().await;
    /// assert_eq!(items.len(), 4); // three greetings and the last error
    /// assert_eq!(items.last().unwrap().as_ref().unwrap_err().attempts(), 3);
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    fn steady_after(self, time: Duration) -> AsyncRetry<Subscribed<Self>, St, T, E>
    where
        Self: Sized,
    {
        AsyncRetry::new(Subscribed::new(self)).steady_after(time)
    }

    /// Returns a stream that subscribes, and subscribes again after each failure while the policy allows it. It
    /// sleeps on tokio's timer, which needs the feature `tokio`, or on the browser's timer, which needs `web`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::io::{Error, ErrorKind};
    /// use futures_util::{StreamExt, stream};
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let refused = || stream::iter([Err::<(), _>(Error::from(ErrorKind::ConnectionRefused))]);
    /// let items: Vec<_> = refused.retry_with(RetryPolicy::new()).collect().await;
    /// assert_eq!(items.len(), 1);
    /// assert_eq!(items[0].as_ref().unwrap_err().attempts(), 3);
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> Resubscribed<Self, St, T, E, P, Hooks<(), (), P::Sleeper>>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy> + DefaultSleeper,
    {
        let sleeper = P::sleeper(Internal);
        let chain = AsyncRetry::new(Subscribed::new(self));
        chain.with(|hooks| hooks.with_sleeper(sleeper)).retry_with(policy)
    }
}

impl<F, St, T, E> ResubscribeExt<St, T, E> for F
where
    F: FnMut() -> St,
    St: Stream<Item = Result<T, E>>,
{
}

/// Marks the operation of an [`AsyncRetry`] as a closure that makes streams.
///
/// ```
/// use futures_util::stream;
/// use retry_ext::ResubscribeExt;
///
/// let subscribe = || stream::iter([Ok::<_, std::io::Error>(1)]);
/// let chain = subscribe.on_retry(|retry| eprintln!("{retry}"));
/// assert_eq!(format!("{chain:?}"), "AsyncRetry { .. }");
/// ```
#[derive(Clone, Debug)]
pub struct Subscribed<F> {
    operation: F,
    steady_after: Option<Duration>,
}

impl<F> Subscribed<F> {
    #[inline]
    const fn new(operation: F) -> Self {
        Self { operation, steady_after: None }
    }
}

/// The time without an item after which a subscription is steady.
const QUIET: Duration = Duration::from_secs(60);

impl<F, St, T, E, C, N, S, O, D, B> AsyncRetry<Subscribed<F>, St, T, E, Hooks<C, N, S, O, D, B>>
where
    F: FnMut() -> St,
    St: Stream<Item = Result<T, E>>,
{
    /// Sets the time after which a subscription is steady; see [`ResubscribeExt::steady_after`].
    ///
    /// # Panics
    ///
    /// If `time` is zero.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use futures_util::stream;
    /// # use retry_ext::ResubscribeExt;
    /// let subscribe = || stream::iter([Ok::<_, std::io::Error>(1)]);
    /// let chain = subscribe.retry_if(|_| true).steady_after(Duration::from_secs(5));
    /// # drop(chain);
    /// ```
    #[inline]
    #[track_caller]
    pub fn steady_after(mut self, time: Duration) -> Self {
        assert!(
            !time.is_zero(),
            "steady_after must be above zero: every subscription would be steady"
        );
        self.operation.steady_after = Some(time);
        self
    }

    /// Returns a stream that subscribes again after failures; see [`ResubscribeExt::retry_with`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use futures_util::{StreamExt, stream};
    /// # use retry_ext::{ResubscribeExt, RetryPolicy};
    /// let subscribe = || stream::iter(["1", "2"]).map(str::parse::<u8>);
    /// let items = subscribe.retry_if(|_| false).retry_with(RetryPolicy::new());
    /// assert_eq!(items.map(Result::unwrap).collect::<Vec<_>>().await, [1, 2]);
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    pub fn retry_with<P>(self, policy: P) -> Resubscribed<F, St, T, E, P, Hooks<C, N, S, O, D, B>>
    where
        C: Classify<T, E, Failure = E>,
        N: Notify<E>,
        S: AsyncSleep,
        O: Observe,
        D: ComputeDelay<E>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        Resubscribed {
            state: Subscription::Ready,
            operation: self.operation,
            hooks: self.hooks,
            policy,
            caller: Location::caller(),
            decision: Decision::new(None),
            since: None,
            items: PhantomData,
        }
    }
}

pin_project! {
    /// A stream that subscribes again after failures; made by [`ResubscribeExt::retry_with`].
    ///
    /// ```
    /// use futures_util::stream;
    /// use retry_ext::{ResubscribeExt, RetryPolicy};
    ///
    /// let subscribe = || stream::iter([Ok::<_, std::io::Error>(1)]);
    /// let items = subscribe.retry_with(RetryPolicy::new());
    /// assert!(format!("{items:?}").starts_with("Resubscribed"));
    /// ```
    #[must_use = "streams do nothing unless they are polled"]
    pub struct Resubscribed<F, St, T, E, P, H>
    where
        H: AsyncHooks<T, E>,
    {
        #[pin]
        state: Subscription<St, <H::Sleeper as AsyncSleep>::Wait, Kept<H::Sleeper, (Wait, E)>>,
        operation: Subscribed<F>,
        hooks: H,
        policy: P,
        caller: &'static Location<'static>,
        decision: Decision,
        // The time of the subscription, until it is steady.
        since: Option<Tick>,
        items: PhantomData<fn() -> T>,
    }
}

pin_project! {
    #[project = SubscriptionProjection]
    #[project_replace = SubscriptionReplaced]
    enum Subscription<St, W, K> {
        // At the start, and after a wait once other tasks have run.
        Ready,
        Reading { #[pin] source: St },
        Wait { #[pin] wait: W, kept: K },
        End,
    }
}

impl<F, St, T, E, P, C, N, S, O, D, B> Stream
    for Resubscribed<F, St, T, E, P, Hooks<C, N, S, O, D, B>>
where
    F: FnMut() -> St,
    St: Stream<Item = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<T, E, Failure = E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observe,
    D: ComputeDelay<E>,
    B: ChainBudget,
{
    type Item = Result<T, RetryError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let mut this = self.as_mut().project();
            let item = match this.state.as_mut().project() {
                SubscriptionProjection::End => return Poll::Ready(None),
                SubscriptionProjection::Ready => {
                    // Ends this stream if the closure panics.
                    this.state.set(Subscription::End);
                    let source = (this.operation.operation)();
                    this.state.set(Subscription::Reading { source });
                    *this.since = Some(Tick::now());
                    continue;
                }
                SubscriptionProjection::Wait { .. } => {
                    match ready!(self.as_mut().poll_wait(cx)) {
                        Ok(()) => self.as_mut().project().state.set(Subscription::Ready),
                        Err(stopped) => return Poll::Ready(Some(Err(stopped))),
                    }
                    continue;
                }
                SubscriptionProjection::Reading { source } => ready!(source.poll_next(cx)),
            };
            let Some(outcome) = item else {
                this.state.set(Subscription::End);
                self.note_steady(|_| true);
                return Poll::Ready(None);
            };
            match this.hooks.classifier.judge(outcome, Internal) {
                Ok(value) => {
                    self.note_steady(|steady_after| steady_after.is_none());
                    return Poll::Ready(Some(Ok(value)));
                }
                Err((error, judgement)) => {
                    // Drops the broken subscription before the wait. If a hook panics, the next poll subscribes again.
                    this.state.set(Subscription::Ready);
                    self.as_mut().note_steady(|_| false);
                    if let Err(stopped) = ready!(self.as_mut().failed(error, judgement, cx)) {
                        return Poll::Ready(Some(Err(stopped)));
                    }
                }
            }
        }
    }
}

impl<F, St, T, E, P, C, N, S, O, D, B> Resubscribed<F, St, T, E, P, Hooks<C, N, S, O, D, B>>
where
    P: Borrow<RetryPolicy>,
    C: Classify<T, E, Failure = E>,
    N: Notify<E>,
    S: AsyncSleep,
    O: Observe,
    D: ComputeDelay<E>,
    B: ChainBudget,
{
    /// Records a success and starts a new count if the subscription is steady, at once or by its time. Does so
    /// once for each subscription.
    fn note_steady(self: Pin<&mut Self>, at_once: impl FnOnce(Option<Duration>) -> bool) {
        let this = self.project();
        let Some(since) = *this.since else { return };
        let steady_after = this.operation.steady_after;
        if at_once(steady_after) || Tick::now().since(since) >= steady_after.unwrap_or(QUIET) {
            *this.since = None;
            let call = Call::new((*this.policy).borrow(), this.caller);
            let ended = mem::replace(this.decision, Decision::new(None));
            ended.succeeded(this.hooks, call);
        }
    }

    /// Starts the wait after a failure, or returns the error.
    fn failed(
        mut self: Pin<&mut Self>,
        error: E,
        judgement: C::Judgement,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RetryError<E>>> {
        let mut this = self.as_mut().project();
        let call = Call::new((*this.policy).borrow(), this.caller);
        let noted = |decided: Result<&Wait, Stop>| {
            if decided.is_err() {
                this.state.set(Subscription::End);
            }
        };
        let decided = this.decision.failed_afresh(this.hooks, &error, judgement, call, noted);
        let (wait, delay) = match decided {
            Ok(granted) => granted,
            Err(stop) => return Poll::Ready(Err(this.decision.give_up(error, stop))),
        };
        let kept = <S::Wait as Future>::Output::keep((wait, error), Internal);
        match this.hooks.sleeper.sleep(delay, Internal) {
            Some(wait) => {
                this.state.set(Subscription::Wait { wait, kept });
                if let Err(stopped) = ready!(self.as_mut().poll_wait(cx)) {
                    return Poll::Ready(Err(stopped));
                }
            }
            None => drop(kept),
        }
        // If a wait is over before it has begun, other tasks still run.
        self.project().state.set(Subscription::Ready);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polls the wait, and returns the error if the wait is cancelled.
    fn poll_wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RetryError<E>>> {
        let mut this = self.project();
        let SubscriptionProjection::Wait { wait, .. } = this.state.as_mut().project() else {
            unreachable!("polled only while it waits");
        };
        let answer = ready!(wait.poll(cx));
        let replaced = this.state.project_replace(Subscription::End);
        let SubscriptionReplaced::Wait { kept, .. } = replaced else {
            unreachable!("it has just been polled");
        };
        let report = this.hooks.report(Call::new((*this.policy).borrow(), this.caller));
        Poll::Ready(this.decision.wait_ended::<T, E, C>(answer.end(kept, Internal), report))
    }
}

impl<F, St, T, E, P, H: AsyncHooks<T, E>> fmt::Debug for Resubscribed<F, St, T, E, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resubscribed").field("decision", &self.decision).finish_non_exhaustive()
    }
}
