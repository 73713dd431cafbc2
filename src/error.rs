//! The error of a retry that gave up.

use core::fmt;
use core::time::Duration;

use crate::nanos::{LONGEST, TotalWait, nanos};
use crate::sealed::Sealed;
use crate::text::Effort;
use crate::transient::IsTransient;

/// The last error of an operation, and the reason for which there was no further attempt.
///
/// [`source`](std::error::Error::source) returns that last error, and the message does not repeat it. A report of
/// the whole chain therefore has each message once:
///
/// ```
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// let result = (|| std::fs::read("no/such/file")).retry_with(RetryPolicy::new());
/// let error = result.unwrap_err();
/// assert_eq!(error.to_string(), "gave up after 1 attempt: permanent error");
/// assert_eq!(error.error().kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// It is [never transient](#impl-IsTransient-for-RetryError<E>): a retry around a retry does not multiply the
/// calls, as long as the `RetryError` itself is passed on.
///
/// It holds only the last error, so its memory does not grow with the attempts. It is a [`std::error::Error`] if
/// `E` is one. If `E` is not, such as `anyhow::Error` or a `Box<dyn Error>`, use
/// `.map_err(RetryError::into_error)?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {}: {reason}", Effort { attempts: *.attempts, waited: *.waited })]
pub struct RetryError<E> {
    #[source]
    error: E,
    waited: TotalWait,
    next_delay: NextDelay,
    attempts: u32,
    reason: StopReason,
}

impl<E> RetryError<E> {
    pub(crate) const fn new(error: E, attempts: u32, waited: TotalWait, stop: Stop) -> Self {
        let Stop { next_delay, reason } = stop;
        Self { error, waited, next_delay, attempts, reason }
    }

    /// Returns the error of the last attempt.
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let error = (|| "x".parse::<u8>()).retry_if(|_| false).retry_with(RetryPolicy::new()).unwrap_err();
    /// assert_eq!(error.error().to_string(), "invalid digit found in string");
    /// ```
    #[must_use]
    pub const fn error(&self) -> &E {
        &self.error
    }

    /// Returns the error of the last attempt by value. It is as transient as it was, so an outer retry would try
    /// again.
    ///
    /// ```
    /// # use retry_ext::{RetryError, RetryExt, RetryPolicy};
    /// fn parse(text: &str) -> Result<u8, std::num::ParseIntError> {
    ///     (|| text.parse()).retry_if(|_| false).retry_with(RetryPolicy::new()).map_err(RetryError::into_error)
    /// }
    /// assert!(parse("x").is_err());
    /// ```
    #[must_use]
    pub fn into_error(self) -> E {
        self.error
    }

    /// Returns the number of calls of the operation, at least 1.
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let error = (|| "x".parse::<u8>()).retry_if(|_| false).retry_with(RetryPolicy::new()).unwrap_err();
    /// assert_eq!(error.attempts(), 1);
    /// ```
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the sum of the requested waits between the attempts. A sum above 584 years is reported as
    /// [`Duration::MAX`]. A wait that ended with [`StopReason::Cancelled`] is not included.
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy};
    /// let error = (|| "x".parse::<u8>())
    ///     .retry_if(|_| true)
    ///     .sleep_with(|_| ())
    ///     .retry_with(RetryPolicy::new())
    ///     .unwrap_err();
    /// assert_eq!(error.waited().as_secs(), 1 + 2);
    /// ```
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// Returns the reason for which there was no further attempt.
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy, StopReason};
    /// let error = (|| "x".parse::<u8>()).retry_if(|_| false).retry_with(RetryPolicy::new()).unwrap_err();
    /// assert_eq!(error.reason(), StopReason::Permanent);
    /// ```
    #[must_use]
    pub const fn reason(&self) -> StopReason {
        self.reason
    }

    /// Returns the wait that was refused or cut short. A loop that calls the operation again should pause for this
    /// long first. Otherwise it turns a spent budget or a deadline into a busy loop.
    ///
    /// | reason | `next_delay` |
    /// |---|---|
    /// | [`BudgetExhausted`](StopReason::BudgetExhausted), [`DeadlineExceeded`](StopReason::DeadlineExceeded) | the delay that would have followed. If it is zero, the first longer nominal delay of the backoff, from this retry to the 64th after it, without jitter. It stays zero if all of these are |
    /// | [`RetryAfterTooLong`](StopReason::RetryAfterTooLong) | the server's hint |
    /// | [`Cancelled`](StopReason::Cancelled) | the full delay, although a part of it may have passed |
    /// | any other | `None` |
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{RetryExt, RetryPolicy};
    ///
    /// let policy = RetryPolicy::new().with_max_elapsed(Duration::from_secs(1));
    /// let fails = || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    /// let error = fails.retry_with(policy).unwrap_err(); // the wait would end after the deadline
    /// assert_eq!(error.next_delay(), Some(Duration::from_secs(1)));
    /// ```
    #[must_use]
    pub const fn next_delay(&self) -> Option<Duration> {
        self.next_delay.get()
    }
}

/// The reason for a stop, and the refused wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    next_delay: NextDelay,
    pub(crate) reason: StopReason,
}

impl Stop {
    /// Returns a stop for which no delay could have followed.
    pub(crate) const fn because(reason: StopReason) -> Self {
        Self { next_delay: NextDelay::NONE, reason }
    }

    /// Returns a stop in place of a delay.
    pub(crate) const fn instead_of(delay: Duration, reason: StopReason) -> Self {
        Self { next_delay: NextDelay(nanos(delay)), reason }
    }

    pub(crate) const fn next_delay(self) -> Option<Duration> {
        self.next_delay.get()
    }
}

/// A delay or none, in 64 bits; [`LONGEST`] reads as [`Duration::MAX`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct NextDelay(u64);

impl NextDelay {
    const NONE: Self = Self(u64::MAX);

    const fn get(self) -> Option<Duration> {
        match self.0 {
            u64::MAX => None,
            LONGEST => Some(Duration::MAX),
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl fmt::Debug for NextDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl<T, E> RetryError<Result<T, E>> {
    /// Returns the last value, or the last error in its `RetryError`.
    pub(crate) fn transpose(self) -> Result<T, RetryError<E>> {
        let Self { error: outcome, waited, next_delay, attempts, reason } = self;
        outcome.map_err(|error| RetryError { error, waited, next_delay, attempts, reason })
    }
}

/// Adds [`plain`](Self::plain) to the result of a retry.
///
/// ```
/// use retry_ext::{RetryExt, RetryPolicy, RetryResultExt};
///
/// fn manifest() -> std::io::Result<String> {
///     (|| std::fs::read_to_string("Cargo.toml")).retry_with(RetryPolicy::new()).plain()
/// }
/// assert!(manifest().is_ok());
/// ```
///
/// The trait is implemented for `Result<T, RetryError<E>>` and cannot be implemented for anything else.
pub trait RetryResultExt<T, E>: Sealed {
    /// Returns the last error itself, for a function whose signature has no room for a [`RetryError`].
    ///
    /// The plain error is as transient as it was, so an outer retry tries again: three layers of three attempts
    /// make 27 calls. There is therefore no conversion that `?` could apply unseen.
    ///
    /// # Errors
    ///
    /// Returns the error of the last attempt.
    ///
    /// ```
    /// use retry_ext::{RetryExt, RetryPolicy, RetryResultExt};
    ///
    /// let number = (|| "x".parse::<u8>()).retry_if(|_| false).retry_with(RetryPolicy::new()).plain();
    /// assert_eq!(number.unwrap_err().to_string(), "invalid digit found in string");
    /// ```
    fn plain(self) -> Result<T, E>;
}

impl<T, E> RetryResultExt<T, E> for Result<T, RetryError<E>> {
    #[inline]
    fn plain(self) -> Result<T, E> {
        self.map_err(RetryError::into_error)
    }
}

impl<T, E> Sealed for Result<T, RetryError<E>> {}

/// Returns `false`: the retry that gave up has already made every allowed attempt.
///
/// ```
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// let mut calls = 0;
/// let inner = || {
///     let mut connect = || { calls += 1; Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut)) };
///     (&mut connect).sleep_with(|_| ()).retry_with(RetryPolicy::new())
/// };
/// assert!(inner.sleep_with(|_| ()).retry_with(RetryPolicy::new()).is_err());
/// assert_eq!(calls, 3); // not 9
/// ```
impl<E> IsTransient for RetryError<E> {
    fn is_transient(&self) -> bool {
        false
    }
}

/// The reason for which there was no further attempt.
///
/// If several reasons apply, the first of this order is reported: permanent, attempts exhausted, retry-after too
/// long, deadline exceeded, budget exhausted.
///
/// ```
/// use retry_ext::StopReason;
///
/// assert_eq!(StopReason::DeadlineExceeded.to_string(), "deadline exceeded");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The error is not transient.
    Permanent,
    /// The operation was called [`max_attempts`](crate::RetryPolicy::max_attempts) times.
    AttemptsExhausted,
    /// The error's [`retry_after`](crate::IsTransient::retry_after) is above
    /// [`max_retry_after`](crate::RetryPolicy::max_retry_after).
    RetryAfterTooLong,
    /// The next wait would have ended after [`max_elapsed`](crate::RetryPolicy::max_elapsed).
    DeadlineExceeded,
    /// The [budget](crate::RetryBudget) that the operation shares with others is spent.
    BudgetExhausted,
    /// The sleeper ended the wait with [`SleepOutcome::Cancelled`](crate::SleepOutcome::Cancelled).
    Cancelled,
    /// An iterator ended after a transient error; see [`RetryIteratorExt`](crate::RetryIteratorExt).
    SourceEnded,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permanent => "permanent error",
            Self::AttemptsExhausted => "attempts exhausted",
            Self::RetryAfterTooLong => "retry-after too long",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::BudgetExhausted => "retry budget exhausted",
            Self::Cancelled => "cancelled",
            Self::SourceEnded => "the source ended",
        })
    }
}
