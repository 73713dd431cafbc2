//! The waits between attempts.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

/// Sleepers of a layer: a closure given to [`sleep_with`](crate::RetryLayer::sleep_with), or tokio's timer (`()`) if none
/// is given.
///
/// ```
/// use retry_ext_tower::chain::Sleeper;
///
/// fn sleeps<W: Sleeper>(_sleeper: W) {}
///
/// sleeps(());
/// sleeps(tokio::time::sleep);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sleeper for a layer",
    label = "not an async sleeper",
    note = "pass a closure that returns a future of `()`, such as `|delay| tokio::time::sleep(delay)`, to `.sleep_with(..)`"
)]
pub trait Sleeper {
    /// The future that waits.
    type Wait: Future<Output = ()>;
    /// Returns the wait, or `None` to yield once instead.
    #[doc(hidden)]
    fn sleep(&self, delay: Duration) -> Option<Self::Wait>;
}

impl Sleeper for () {
    type Wait = tokio::time::Sleep;

    fn sleep(&self, delay: Duration) -> Option<tokio::time::Sleep> {
        // Tokio rounds up to the next millisecond, even from zero.
        (!delay.is_zero()).then(|| tokio::time::sleep(delay))
    }
}

#[diagnostic::do_not_recommend]
impl<R, F> Sleeper for R
where
    R: Fn(Duration) -> F,
    F: Future<Output = ()>,
{
    type Wait = F;

    fn sleep(&self, delay: Duration) -> Option<F> {
        Some(self(delay))
    }
}

pin_project! {
    /// The wait before an attempt. Made by [`PerRequest`](crate::PerRequest).
    ///
    /// It yields at least once, so that other tasks run even if the delay is zero.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Pause<F> {
        #[pin]
        wait: Option<F>,
        has_yielded: bool,
    }
}

impl<F> Pause<F> {
    pub(crate) const fn new(wait: Option<F>) -> Self {
        Self { wait, has_yielded: false }
    }
}

impl<F: Future<Output = ()>> Future for Pause<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(wait) = this.wait.as_mut().as_pin_mut() {
            if wait.poll(cx).is_pending() {
                *this.has_yielded = true;
                return Poll::Pending;
            }
            this.wait.set(None);
        }
        if mem::replace(this.has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
