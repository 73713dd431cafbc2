//! Sleepers: how a wait is made, and how it ends.

#[cfg(feature = "async")]
use core::future::{Future, poll_fn};
#[cfg(feature = "async")]
use core::mem;
use core::ops::ControlFlow;
#[cfg(feature = "async")]
use core::pin::pin;
#[cfg(feature = "async")]
use core::task::Poll;
use core::time::Duration;
#[cfg(feature = "std")]
use std::thread;
#[cfg(feature = "std")]
use std::time::Instant;

use crate::sealed::Internal;
#[cfg(feature = "test-util")]
use crate::testing::skips;
// The default timer.
#[cfg(all(feature = "async", feature = "web", target_arch = "wasm32", target_os = "unknown"))]
pub(crate) use crate::web::{WebSleep as Timer, sleep as timer};
#[cfg(all(
    feature = "tokio",
    not(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))
))]
pub(crate) use tokio::time::{Sleep as Timer, sleep as timer};

/// How a wait ended.
///
/// Sleepers may return a `SleepOutcome` or one of the types that convert into it, see
/// [`Wake`].
///
/// ```
/// use std::ops::ControlFlow;
/// use retry_ext::SleepOutcome;
///
/// assert_eq!(SleepOutcome::from(()), SleepOutcome::Elapsed);
/// assert_eq!(SleepOutcome::from(ControlFlow::Continue(())), SleepOutcome::Elapsed);
/// assert_eq!(SleepOutcome::from(ControlFlow::Break(())), SleepOutcome::Cancelled);
/// ```
///
/// A wait may also end early because there is a reason to try again now. Here, a message on a channel
/// reports that the network is back:
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::sync::mpsc::{RecvTimeoutError, channel};
/// use std::time::Duration;
/// use retry_ext::{RetryExt, RetryPolicy, SleepOutcome};
///
/// let (network_is_back, network) = channel();
/// network_is_back.send(()).unwrap();
///
/// let mut failures = 1;
/// let fetch = || match failures {
///     0 => Ok("page"),
///     _ => { failures -= 1; Err(Error::from(ErrorKind::NetworkUnreachable)) }
/// };
/// let page = fetch
///     .sleep_with(|delay| match network.recv_timeout(delay) {
///         Ok(()) => SleepOutcome::Woken,
///         Err(RecvTimeoutError::Timeout) => SleepOutcome::Elapsed,
///         Err(RecvTimeoutError::Disconnected) => SleepOutcome::Cancelled,
///     })
///     .retry_with(RetryPolicy::new().with_initial_delay(Duration::from_secs(30)))?;
/// assert_eq!(page, "page"); // after no time
/// # Ok::<(), retry_ext::RetryError<Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a cancelled wait is not followed by an attempt"]
pub enum SleepOutcome {
    /// The delay has passed, and the next attempt starts.
    Elapsed,
    /// The retry gives up now, with [`StopReason::Cancelled`](crate::StopReason::Cancelled) and the last
    /// error.
    Cancelled,
    /// The wait ended early, and the next attempt starts now. Nothing is added to
    /// [`waited`](crate::RetryError::waited); for a deadline, the clock alone counts.
    ///
    /// Return it only for an event that is then used up, such as a message taken from a channel. A sleeper that
    /// always returns it makes a busy loop out of a policy without a limit of attempts.
    Woken,
}

impl From<()> for SleepOutcome {
    #[inline]
    fn from((): ()) -> Self {
        Self::Elapsed
    }
}

/// Some runtimes' timers return the time at which they fired.
#[cfg(feature = "std")]
impl From<Instant> for SleepOutcome {
    #[inline]
    fn from(_fired: Instant) -> Self {
        Self::Elapsed
    }
}

impl From<ControlFlow<()>> for SleepOutcome {
    #[inline]
    fn from(flow: ControlFlow<()>) -> Self {
        match flow {
            ControlFlow::Continue(()) => Self::Elapsed,
            ControlFlow::Break(()) => Self::Cancelled,
        }
    }
}

/// The types that a sleeper may return: `()`, [`Instant`], [`ControlFlow<()>`] and [`SleepOutcome`].
///
/// The type decides whether the sleeper can end a retry. If the sleeper returns `()` or [`Instant`], a
/// failed outcome is dropped before the wait. Otherwise the outcome is kept until the wait ends, because a
/// cancelled wait returns it. A sleeper that only panics needs a return type: `|_| -> () { panic!() }`.
///
/// This trait is sealed.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::time::Instant;
/// use retry_ext::{SleepOutcome, chain::Wake};
///
/// fn can_be_returned<W: Wake>() {}
///
/// can_be_returned::<()>();
/// can_be_returned::<Instant>();
/// can_be_returned::<ControlFlow<()>>();
/// can_be_returned::<SleepOutcome>();
/// ```
#[diagnostic::on_unimplemented(
    message = "a sleeper cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "a sleeper returns `()`, `Instant`, `ControlFlow<()>` or `SleepOutcome`: add `;` after the last expression of its block to return `()`",
    note = "a sleeper that returns a future is for async retries: `.await` the chain of an async closure, or call `step_async` in a loop"
)]
pub trait Wake: Into<SleepOutcome> {
    /// The part of `K` that is kept during a wait.
    #[doc(hidden)]
    type Kept<K>;
    /// Whether a wait can be cancelled.
    #[doc(hidden)]
    const CAN_CANCEL: bool;
    #[doc(hidden)]
    fn keep<K>(kept: K, _: Internal) -> Self::Kept<K>;
    #[doc(hidden)]
    fn end<K>(self, kept: Self::Kept<K>, _: Internal) -> Ended<K>;
}

/// How a wait ended, with the kept value if the end depends on it.
#[doc(hidden)]
#[derive(Debug)]
#[expect(unnameable_types, reason = "a part of sealed traits")]
pub enum Ended<K> {
    Elapsed,
    Woken(K),
    Cancelled(K),
}

macro_rules! cannot_cancel {
    ($($answer:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Wake for $answer {
            type Kept<K> = ();
            const CAN_CANCEL: bool = false;

            #[inline]
            fn keep<K>(_dropped: K, _: Internal) {}

            #[inline]
            fn end<K>(self, (): (), _: Internal) -> Ended<K> {
                Ended::Elapsed
            }
        }
    )*};
}

cannot_cancel!(());
#[cfg(feature = "std")]
cannot_cancel!(Instant);

macro_rules! can_cancel {
    ($($answer:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Wake for $answer {
            type Kept<K> = K;
            const CAN_CANCEL: bool = true;

            #[inline]
            fn keep<K>(kept: K, _: Internal) -> K {
                kept
            }

            #[inline]
            fn end<K>(self, kept: K, _: Internal) -> Ended<K> {
                match self.into() {
                    SleepOutcome::Elapsed => Ended::Elapsed,
                    SleepOutcome::Cancelled => Ended::Cancelled(kept),
                    SleepOutcome::Woken => Ended::Woken(kept),
                }
            }
        }
    )*};
}

can_cancel!(ControlFlow<()>, SleepOutcome);

/// Blocking sleepers: a closure given to `sleep_with`, or `std::thread::sleep` (`()`) if none is given. A browser
/// cannot block, so there `()` panics if the delay is not zero.
///
/// This trait is sealed.
///
/// ```
/// use std::time::Duration;
/// use retry_ext::chain::Sleep;
///
/// fn sleeps<S: Sleep>(_sleeper: S) {}
///
/// sleeps(());
/// sleeps(std::thread::sleep as fn(Duration));
/// ```
#[cfg_attr(
    not(feature = "std"),
    diagnostic::on_unimplemented(
        note = "without the feature `std` of `retry-ext`, no retry sleeps by itself: add `.sleep_with(|delay| ..)`, with a timer of your platform",
        note = "`#[retry_with(..)]` on a blocking function needs the feature `std`; without it, retry the calls in the function"
    )
)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sleeper for a blocking retry",
    label = "not a blocking sleeper",
    note = "pass a closure that waits, such as `|delay| std::thread::sleep(delay)`, to `.sleep_with(..)`"
)]
pub trait Sleep {
    #[doc(hidden)]
    type Answer: Wake;
    #[doc(hidden)]
    fn sleep(&mut self, delay: Duration, _: Internal) -> Self::Answer;
}

/// Whether threads can sleep: in a browser only with shared memory, and only in workers.
#[cfg(feature = "std")]
const CAN_BLOCK: bool =
    !cfg!(all(target_arch = "wasm32", target_os = "unknown", not(target_feature = "atomics")));

#[cfg(feature = "std")]
impl Sleep for () {
    type Answer = ();

    #[inline]
    fn sleep(&mut self, delay: Duration, _: Internal) {
        #[cfg(feature = "test-util")]
        if skips(delay) {
            return;
        }
        assert!(
            CAN_BLOCK || delay.is_zero(),
            "a blocking retry cannot sleep in a browser: await an async retry with the feature `web`, or set a \
             sleeper with `sleep_with`"
        );
        if CAN_BLOCK {
            thread::sleep(delay);
        }
    }
}

impl<S, W> Sleep for S
where
    S: FnMut(Duration) -> W,
    W: Wake,
{
    type Answer = W;

    #[inline]
    fn sleep(&mut self, delay: Duration, _: Internal) -> W {
        self(delay)
    }
}

/// Async sleepers: a closure given to `sleep_with` that returns a future, or the default timer (`()`) if none is
/// given. That is tokio's with the feature `tokio`, and in a browser `setTimeout` with the feature `web`.
///
/// This trait is sealed.
///
/// ```
/// use retry_ext::chain::AsyncSleep;
///
/// fn sleeps<S: AsyncSleep>(_sleeper: S) {}
///
/// sleeps(tokio::time::sleep);
/// sleeps(smol::Timer::after);
/// ```
#[cfg(feature = "async")]
#[diagnostic::on_unimplemented(
    message = "no sleeper is configured for this async retry",
    label = "`{Self}` is not an async sleeper",
    note = "enable the feature `tokio` of `retry-ext` to sleep on tokio's timer",
    note = "or add `.sleep_with(|delay| ..)`, with a future of your runtime's timer, before `.retry_with(policy)`",
    note = "a blocking sleeper fits blocking closures, and `step` in a loop"
)]
#[cfg_attr(
    all(target_arch = "wasm32", target_os = "unknown"),
    diagnostic::on_unimplemented(
        note = "in a browser: enable the feature `web` of `retry-ext` to sleep on `setTimeout`"
    )
)]
pub trait AsyncSleep {
    #[doc(hidden)]
    type Wait: Future<Output: Wake>;
    /// Returns the wait, or `None` to yield once instead.
    #[doc(hidden)]
    fn sleep(&mut self, delay: Duration, _: Internal) -> Option<Self::Wait>;
}

#[cfg(any(
    feature = "tokio",
    all(feature = "async", feature = "web", target_arch = "wasm32", target_os = "unknown")
))]
impl AsyncSleep for () {
    type Wait = Timer;

    #[inline]
    fn sleep(&mut self, delay: Duration, _: Internal) -> Option<Timer> {
        // Tokio rounds up to the next millisecond, from zero too.
        (!delay.is_zero()).then(|| timer(delay))
    }
}

#[cfg(feature = "async")]
#[diagnostic::do_not_recommend] // so that a sleeper without a future gets the advice above
impl<S, W> AsyncSleep for S
where
    S: FnMut(Duration) -> W,
    W: Future<Output: Wake>,
{
    type Wait = W;

    #[inline]
    fn sleep(&mut self, delay: Duration, _: Internal) -> Option<W> {
        Some(self(delay))
    }
}

/// The value that is kept while an async sleeper waits.
#[cfg(feature = "async")]
pub(crate) type Kept<S, K> = <<<S as AsyncSleep>::Wait as Future>::Output as Wake>::Kept<K>;

/// The sleeper of an async retry without `sleep_with`. Every policy type has one if the feature `tokio` is on, or
/// `web` in a browser.
///
/// The trait is bound to the policy's type because the compiler would report a bound on `()` at the method's
/// declaration, not at its call.
///
/// This trait is sealed.
#[cfg(feature = "async")]
#[diagnostic::on_unimplemented(
    message = "no sleeper is configured for this async retry",
    label = "no sleeper",
    note = "enable the feature `tokio` of `retry-ext` to sleep on tokio's timer",
    note = "or add `.sleep_with(|delay| ..)`, with a future of your runtime's timer, before `.retry_with(policy)`"
)]
#[cfg_attr(
    all(target_arch = "wasm32", target_os = "unknown"),
    diagnostic::on_unimplemented(
        note = "in a browser: enable the feature `web` of `retry-ext` to sleep on `setTimeout`"
    )
)]
pub trait DefaultSleeper {
    #[doc(hidden)]
    type Sleeper: AsyncSleep;
    #[doc(hidden)]
    fn sleeper(_: Internal) -> Self::Sleeper;
}

#[cfg(any(
    feature = "tokio",
    all(feature = "async", feature = "web", target_arch = "wasm32", target_os = "unknown")
))]
impl<P> DefaultSleeper for P {
    type Sleeper = ();

    #[inline]
    fn sleeper(_: Internal) {}
}

/// The sleeper of a blocking retry without `sleep_with`. Without the feature `std`, no policy type has one.
///
/// The trait is bound to the policy's type for the same reason as `DefaultSleeper`. It exists for its message.
///
/// This trait is sealed.
#[cfg(not(feature = "std"))]
#[diagnostic::on_unimplemented(
    message = "no sleeper is configured for this retry",
    label = "no sleeper",
    note = "add `.sleep_with(|delay| ..)`, with a timer of your platform, before `.retry_with(policy)`",
    note = "or enable the feature `std` of `retry-ext` to sleep with `std::thread::sleep`"
)]
#[expect(unnameable_types, reason = "a name that `std` takes away would make features subtract")]
pub trait BlockingSleeper {
    #[doc(hidden)]
    type Sleeper: Sleep;
    #[doc(hidden)]
    fn sleeper(_: Internal) -> Self::Sleeper;
}

/// Awaits a wait, and lets other tasks run even if the wait is over before it has begun.
#[cfg(feature = "async")]
pub(crate) async fn fair<W: Future>(wait: W) -> W::Output {
    let mut wait = pin!(wait);
    let mut has_yielded = false;
    let answer = poll_fn(|cx| {
        let answer = wait.as_mut().poll(cx);
        has_yielded |= answer.is_pending();
        answer
    })
    .await;
    if !has_yielded {
        yield_now().await;
    }
    answer
}

/// Lets other tasks run once.
#[cfg(feature = "async")]
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
