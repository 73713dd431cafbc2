//! Operations: the closures that a chain calls, and the number and the time that an attempt may ask for.

use core::fmt;
use core::time::Duration;

use crate::clock::Tick;
use crate::nanos::TotalWait;
use crate::sealed::Internal;

/// Passes each attempt to `operation`: its number, and the time that is left until the deadline.
///
/// ```
/// use std::io::Error;
/// use std::time::Duration;
/// use retry_ext::{RetryExt, RetryPolicy, attempts};
///
/// const POLICY: RetryPolicy = RetryPolicy::within(Duration::from_secs(30));
///
/// # fn connect(_timeout: Duration) -> Result<&'static str, Error> { Ok("connection") }
/// let connection = attempts(|attempt| {
///     if attempt.number() == 2 {
///         eprintln!("still trying");
///     }
///     connect(attempt.remaining().unwrap_or(Duration::from_secs(5)))
/// })
/// .retry_with(POLICY)?;
/// # assert_eq!(connection, "connection");
/// # Ok::<(), retry_ext::RetryError<Error>>(())
/// ```
///
/// It works for async closures too:
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{AsyncRetryExt, RetryPolicy, attempts};
///
/// let number = attempts(async |attempt| match attempt.number() {
///     1 | 2 => Err(Error::from(ErrorKind::TimedOut)),
///     number => Ok(number),
/// });
/// assert_eq!(number.retry_with(RetryPolicy::new()).await.unwrap(), 3);
/// # }
/// ```
#[inline]
pub const fn attempts<F, R>(operation: F) -> Attempts<F>
where
    F: FnMut(Attempt) -> R,
{
    Attempts(operation)
}

/// An operation that takes the [`Attempt`]; made by [`attempts`].
///
/// ```
/// use retry_ext::chain::Attempts;
/// use retry_ext::{Attempt, RetryExt, RetryPolicy, attempts};
///
/// type Numbered = fn(Attempt) -> Result<u32, std::io::Error>;
/// let operation: Attempts<Numbered> = attempts((|attempt| Ok(attempt.number())) as Numbered);
/// assert_eq!(operation.retry_with(RetryPolicy::new()).unwrap(), 1);
/// ```
#[derive(Clone, Copy)]
#[must_use = "this does nothing until you call `.retry_with(policy)`"]
pub struct Attempts<F>(F);

impl<F> fmt::Debug for Attempts<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").finish_non_exhaustive()
    }
}

/// The running attempt; given to the closure in [`attempts`].
///
/// ```
/// use retry_ext::{RetryExt, RetryPolicy, attempts};
///
/// let sum = attempts(|attempt| Ok::<_, std::io::Error>((attempt.number(), attempt.remaining())));
/// assert_eq!(sum.retry_with(RetryPolicy::new()).unwrap(), (1, None));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    number: u32,
    deadline: Option<Deadline>,
}

impl Attempt {
    #[inline]
    pub(crate) const fn new(number: u32, deadline: Option<Deadline>) -> Self {
        Self { number, deadline }
    }

    /// Returns the number of the attempt, from 1.
    ///
    /// ```
    /// use retry_ext::{RetryExt, RetryPolicy, attempts};
    ///
    /// let mut numbers = Vec::new();
    /// let result = attempts(|attempt| {
    ///     numbers.push(attempt.number());
    ///     Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut))
    /// })
    /// .sleep_with(|_| ())
    /// .retry_with(RetryPolicy::new());
    /// assert!(result.is_err());
    /// assert_eq!(numbers, [1, 2, 3]);
    /// ```
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Returns the time from now until the policy's [deadline](crate::RetryPolicy::with_max_elapsed): zero if
    /// it has passed, `None` if the policy has none. Each call reads the clock.
    ///
    /// Pass it to the operation as its timeout: the deadline then also ends the attempt that is running.
    ///
    /// ```
    /// use std::time::Duration;
    /// use retry_ext::{RetryExt, RetryPolicy, attempts};
    ///
    /// let ten_seconds = Duration::from_secs(10);
    /// let left = attempts(|attempt| Ok::<_, std::io::Error>(attempt.remaining()))
    ///     .retry_with(RetryPolicy::new().with_max_elapsed(ten_seconds))
    ///     .unwrap();
    /// assert!(left.is_some_and(|left| left <= ten_seconds));
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(Deadline::remaining)
    }
}

/// A deadline, with the state that it counts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) max_elapsed: Duration,
    /// The start of the first attempt; `None` before the first failure of a loop that goes on.
    pub(crate) start: Option<Tick>,
    pub(crate) waited: TotalWait,
}

impl Deadline {
    /// Returns the elapsed time. The requested waits count if the clock shows less, so that a deadline holds, and can
    /// be tested, with a sleeper that does not sleep.
    #[inline]
    pub(crate) fn elapsed_at(self, now: Tick) -> Duration {
        now.since(self.start.unwrap_or(now)).max(self.waited.get())
    }

    pub(crate) fn remaining(self) -> Duration {
        self.max_elapsed.saturating_sub(self.elapsed_at(Tick::now()))
    }
}

/// Operations: closures without arguments, and [`attempts`] around a closure that takes the [`Attempt`].
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operation that can be called",
    label = "not a closure or a function without arguments",
    note = "check the items of an iterator with `.map(..)`, before the other settings"
)]
pub trait Operation {
    /// The value of a call: a `Result`, or a future of one.
    type Outcome;
    #[doc(hidden)]
    fn call(&mut self, attempt: impl FnOnce() -> Attempt, _: Internal) -> Self::Outcome;
}

/// Operations whose outcome is a future of a `Result`.
///
/// [`RetryFuture`](crate::chain::RetryFuture) names the future, the value and the error of its operation through this
/// trait. As type parameters, each of them would have separate lifetimes in a spawned task, and `tokio::spawn` would
/// reject a task that joins two retries.
///
/// This trait is sealed.
#[cfg(feature = "async")]
pub trait AsyncOperation:
    Operation<
    Outcome: Future<
        Output = Result<<Self as AsyncOperation>::Value, <Self as AsyncOperation>::Error>,
    >,
>
{
    /// The value of a success.
    type Value;
    /// The error of a failure.
    type Error;
}

#[cfg(feature = "async")]
impl<F, T, E> AsyncOperation for F
where
    F: Operation<Outcome: Future<Output = Result<T, E>>>,
{
    type Value = T;
    type Error = E;
}

impl<F, R> Operation for F
where
    F: FnMut() -> R,
{
    type Outcome = R;

    #[inline]
    fn call(&mut self, _attempt: impl FnOnce() -> Attempt, _: Internal) -> R {
        self()
    }
}

impl<F, R> Operation for Attempts<F>
where
    F: FnMut(Attempt) -> R,
{
    type Outcome = R;

    #[inline]
    fn call(&mut self, attempt: impl FnOnce() -> Attempt, _: Internal) -> R {
        (self.0)(attempt())
    }
}
