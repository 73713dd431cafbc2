//! Events of retries, and observers.

use core::fmt;
use core::time::Duration;
#[cfg(feature = "std")]
use std::sync::Arc;

use crate::error::StopReason;
use crate::nanos::TotalWait;
use crate::policy::RetryPolicy;
use crate::text::{AttemptOf, Shown};

/// A retry before its wait; passed to [`on_retry`](crate::RetryExt::on_retry).
///
/// Its `Display` describes the failed attempt and the wait. It leaves out the error's own text, which may not
/// belong on a terminal:
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// let mut lines = Vec::new();
/// let result = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
///     .on_retry(|retry| lines.push(format!("{retry}: {}", retry.error)))
///     .sleep_with(|_| ())
///     .retry_with(RetryPolicy::new());
/// assert!(result.is_err());
/// assert_eq!(lines, [
///     "attempt 1 of 3 failed, retrying in 1s: timed out",
///     "attempt 2 of 3 failed, retrying in 2s: timed out",
/// ]);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct RetryEvent<'a, E> {
    /// The number of the failed attempt, from 1.
    pub attempt: u32,
    /// The largest number of attempts, the first included; `u32::MAX` if attempts are unlimited.
    pub max_attempts: u32,
    /// The exact wait that follows.
    pub delay: Duration,
    /// The sum of the waits so far, without `delay`.
    pub waited: Duration,
    /// The error of the failed attempt; after [`classify`](crate::RetryExt::classify), its whole outcome.
    pub error: &'a E,
    /// The name of the policy, if it has one.
    pub name: Option<&'static str>,
}

impl<E> fmt::Display for RetryEvent<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = AttemptOf(self.attempt, self.max_attempts);
        write!(f, "{attempt} failed, retrying in {}", Shown(self.delay))
    }
}

/// Receives a report of every retry, success and failure of the operations that it observes, for metrics. Attach it with
/// `.observe(&observer)`.
///
/// All methods do nothing unless they are implemented. They take `&self`, so an observer can be a `static` that
/// many threads share. [`RetryStats`](crate::RetryStats) is a ready-made observer. The methods run on the
/// operation's thread, so they should be quick.
///
/// Some operations end without an outcome: a dropped future, a panic, a loop that never calls `step` or `succeeded`.
/// Observers see only their retries.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use retry_ext::{Observation, Observer, RetryExt, RetryPolicy, StopReason};
///
/// #[derive(Default)]
/// struct Alarm { hopeless: AtomicU32 }
///
/// impl Observer for Alarm {
///     fn on_give_up(&self, _observation: &Observation, reason: StopReason) {
///         if reason != StopReason::Permanent {
///             self.hopeless.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let alarm = Alarm::default();
/// let fails = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut));
/// let result = fails.observe(&alarm).sleep_with(|_| ()).retry_with(RetryPolicy::new());
/// assert!(result.is_err());
/// assert_eq!(alarm.hopeless.into_inner(), 1);
/// ```
pub trait Observer {
    /// Receives a scheduled retry; its wait begins now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::{Observation, Observer};
    /// struct Print;
    ///
    /// impl Observer for Print {
    ///     fn on_retry(&self, observation: &Observation, delay: Duration) {
    ///         println!("attempt {} failed, the next in {delay:?}", observation.attempt);
    ///     }
    /// }
    ///
    /// let observer: Box<dyn Observer> = Box::new(Print);
    /// # drop(observer);
    /// ```
    #[inline]
    fn on_retry(&self, observation: &Observation, delay: Duration) {
        let _ = (observation, delay);
    }

    /// Receives the success of an operation, at its first attempt or after retries.
    ///
    /// ```
    /// # use retry_ext::{Observation, Observer};
    /// struct Print;
    ///
    /// impl Observer for Print {
    ///     fn on_success(&self, observation: &Observation) {
    ///         println!("succeeded with {} attempts", observation.attempt);
    ///     }
    /// }
    ///
    /// let observer: Box<dyn Observer> = Box::new(Print);
    /// # drop(observer);
    /// ```
    #[inline]
    fn on_success(&self, observation: &Observation) {
        let _ = observation;
    }

    /// Receives the end of an operation without a further attempt, for any reason, permanent errors included.
    ///
    /// ```
    /// # use retry_ext::{Observation, Observer, StopReason};
    /// struct Print;
    ///
    /// impl Observer for Print {
    ///     fn on_give_up(&self, observation: &Observation, reason: StopReason) {
    ///         println!("gave up after {} attempts: {reason}", observation.attempt);
    ///     }
    /// }
    ///
    /// let observer: Box<dyn Observer> = Box::new(Print);
    /// # drop(observer);
    /// ```
    #[inline]
    fn on_give_up(&self, observation: &Observation, reason: StopReason) {
        let _ = (observation, reason);
    }
}

/// Ignores every report.
impl Observer for () {}

macro_rules! delegate_to_pointee {
    ($($pointer:ty),*) => {$(
        /// Passes every report to the observer behind the pointer.
        impl<O: Observer + ?Sized> Observer for $pointer {
            fn on_retry(&self, observation: &Observation, delay: Duration) {
                (**self).on_retry(observation, delay);
            }

            fn on_success(&self, observation: &Observation) {
                (**self).on_success(observation);
            }

            fn on_give_up(&self, observation: &Observation, reason: StopReason) {
                (**self).on_give_up(observation, reason);
            }
        }
    )*};
}

delegate_to_pointee!(&O);
#[cfg(feature = "std")]
delegate_to_pointee!(Box<O>, Arc<O>);

/// The state of an observed operation.
///
/// ```
/// use retry_ext::{Observation, Observer, RetryExt, RetryPolicy};
///
/// struct Check;
///
/// impl Observer for Check {
///     fn on_success(&self, observation: &Observation) {
///         assert_eq!((observation.name, observation.attempt), (Some("parse"), 1));
///     }
/// }
///
/// let parse = || "7".parse::<u8>();
/// let policy = RetryPolicy::new().with_name("parse");
/// assert_eq!(parse.retry_if(|_| false).observe(&Check).retry_with(policy), Ok(7));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observation {
    /// The name of the policy, if it has one.
    pub name: Option<&'static str>,
    /// The number of attempts so far, including the one that has just ended. It is 0 only if an operation was
    /// [resumed](crate::RetryContext::resume) too late for a first attempt.
    pub attempt: u32,
    /// The largest number of attempts, the first included; `u32::MAX` if attempts are unlimited.
    pub max_attempts: u32,
    /// The sum of the waits so far.
    pub waited: Duration,
    /// Whether the last of these attempts is new, and was not a part of an earlier report.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "read by `MetricsObserver`"))]
    pub(crate) is_new: bool,
}

impl Observation {
    /// Makes the report of an attempt that has just ended.
    #[inline]
    pub(crate) fn new(policy: &RetryPolicy, attempt: u32, waited: TotalWait) -> Self {
        let (name, max_attempts) = (policy.name(), policy.max_attempts());
        Self { name, attempt, max_attempts, waited: waited.get(), is_new: true }
    }

    #[inline]
    pub(crate) const fn of_attempt(self, is_new: bool) -> Self {
        Self { is_new, ..self }
    }
}
