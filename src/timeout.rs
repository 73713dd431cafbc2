//! A time limit for each attempt.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
#[cfg(feature = "std")]
use std::io;

use pin_project_lite::pin_project;

use crate::operation::{Attempt, Operation};
use crate::sealed::Internal;
use crate::text::Shown;
use crate::transient::IsTransient;

/// An attempt that `timeout_each` has ended. It is transient.
///
/// An error type that is retried with `timeout_each` implements `From<AttemptTimedOut>`. `std::io::Error` does, with the
/// kind [`TimedOut`](io::ErrorKind::TimedOut).
///
/// ```
/// use std::time::Duration;
/// use retry_ext::{AsyncRetryExt, AttemptTimedOut, IsTransient, RetryPolicy};
///
/// #[derive(Debug, thiserror::Error, IsTransient)] // with the feature `macros`
/// enum FetchError {
///     #[error("the connection failed")]
///     #[transient(forward)]
///     Io(#[from] std::io::Error),
///     #[error(transparent)]
///     #[transient]
///     TimedOut(#[from] AttemptTimedOut),
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let hangs = async || std::future::pending::<Result<(), FetchError>>().await;
/// let result = hangs.timeout_each(Duration::from_secs(2)).retry_with(RetryPolicy::new()).await;
/// assert_eq!(result.unwrap_err().error().to_string(), "the attempt timed out after 2s");
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptTimedOut {
    limit: Duration,
}

impl AttemptTimedOut {
    /// Returns the time that the attempt had: the limit, or the time that was left until the deadline.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::{AsyncRetryExt, AttemptTimedOut, RetryPolicy};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let hangs = async || std::future::pending::<Result<(), AttemptTimedOut>>().await;
    /// let policy = RetryPolicy::within(Duration::from_secs(3));
    /// let error = hangs.timeout_each(Duration::from_secs(60)).retry_with(policy).await.unwrap_err();
    /// assert_eq!(error.error().limit(), Duration::from_secs(3));
    /// # }
    /// ```
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }
}

impl fmt::Display for AttemptTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the attempt timed out after {}", Shown(self.limit))
    }
}

impl core::error::Error for AttemptTimedOut {}

/// Returns `true`.
impl IsTransient for AttemptTimedOut {
    fn is_transient(&self) -> bool {
        true
    }
}

/// Makes an error of the kind [`TimedOut`](io::ErrorKind::TimedOut).
#[cfg(feature = "std")]
impl From<AttemptTimedOut> for io::Error {
    fn from(timed_out: AttemptTimedOut) -> Self {
        Self::new(io::ErrorKind::TimedOut, timed_out)
    }
}

/// An operation whose attempts have a time limit; made by `timeout_each`.
#[derive(Clone, Copy)]
pub struct Timed<F, X, E> {
    operation: F,
    limit: Duration,
    timer: X,
    // A function, so that the compiler reports an error type without the conversion at `timeout_each` only.
    to_error: fn(AttemptTimedOut) -> E,
}

impl<F, X, E: From<AttemptTimedOut>> Timed<F, X, E> {
    #[inline]
    pub(crate) fn new(operation: F, limit: Duration, timer: X) -> Self {
        Self { operation, limit, timer, to_error: E::from }
    }
}

impl<F, X, E> fmt::Debug for Timed<F, X, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<F, Fut, T, E, X, W> Operation for Timed<F, X, E>
where
    F: Operation<Outcome = Fut>,
    Fut: Future<Output = Result<T, E>>,
    X: FnMut(Duration) -> W,
    W: Future,
{
    type Outcome = TimedAttempt<Fut, W, E>;

    fn call(&mut self, attempt: impl FnOnce() -> Attempt, _: Internal) -> TimedAttempt<Fut, W, E> {
        let attempt = attempt();
        let remaining = attempt.remaining();
        let limit = remaining.map_or(self.limit, |remaining| remaining.min(self.limit));
        let timer = (self.timer)(limit);
        let future = self.operation.call(|| attempt, Internal);
        TimedAttempt { future, timer, limit, to_error: Some(self.to_error) }
    }
}

pin_project! {
    /// The future of an attempt with a time limit.
    #[must_use = "futures do nothing unless they are awaited or polled"]
    pub struct TimedAttempt<Fut, W, E> {
        #[pin]
        future: Fut,
        #[pin]
        timer: W,
        limit: Duration,
        // `None` after the limit.
        to_error: Option<fn(AttemptTimedOut) -> E>,
    }
}

impl<Fut, W, T, E> Future for TimedAttempt<Fut, W, E>
where
    Fut: Future<Output = Result<T, E>>,
    W: Future,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        assert!(this.to_error.is_some(), "an attempt was polled after its time limit");
        // First, so that an operation that is ready in time is not thrown away.
        if let Poll::Ready(outcome) = this.future.poll(cx) {
            return Poll::Ready(outcome);
        }
        ready!(this.timer.poll(cx));
        let to_error = this.to_error.take().expect("it was there");
        Poll::Ready(Err(to_error(AttemptTimedOut { limit: *this.limit })))
    }
}

impl<Fut, W, E> fmt::Debug for TimedAttempt<Fut, W, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedAttempt").field("limit", &self.limit).finish_non_exhaustive()
    }
}
