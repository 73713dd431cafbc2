//! Counters of the outcomes of operations.

use core::fmt;
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use core::time::Duration;

#[cfg(not(target_has_atomic = "64"))]
use portable_atomic::AtomicU64;

use crate::error::StopReason;
use crate::event::{Observation, Observer};
use crate::nanos::nanos;
use crate::text::Shown;

/// Counters of the outcomes of the operations that it observes. Make it a `static`. Each operation costs a few
/// relaxed atomic additions.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{RetryExt, RetryPolicy, RetryStats, StopReason};
///
/// static STATS: RetryStats = RetryStats::new();
///
/// let mut failures = 2;
/// let fetch = || {
///     failures -= 1;
///     if failures >= 0 { Err(Error::from(ErrorKind::TimedOut)) } else { Ok("page") }
/// };
/// let missing = || Err::<(), _>(Error::from(ErrorKind::NotFound));
/// assert!(fetch.observe(&STATS).sleep_with(|_| ()).retry_with(RetryPolicy::new()).is_ok());
/// assert!(missing.observe(&STATS).retry_with(RetryPolicy::new()).is_err());
///
/// let seen = STATS.snapshot();
/// assert_eq!((seen.calls, seen.retries, seen.waited.as_secs()), (4, 2, 3));
/// assert_eq!(seen.gave_up(StopReason::Permanent), 1);
/// assert_eq!(
///     STATS.to_string(),
///     "4 attempts, 2 retries, 3s of waiting; 0 first-try successes, 1 recovery, 1 failure (permanent error: 1)"
/// );
/// ```
#[derive(Debug, Default)]
pub struct RetryStats {
    calls: AtomicU64,
    succeeded_at_first: AtomicU64,
    succeeded_after_retry: AtomicU64,
    retries: AtomicU64,
    waited: AtomicU64,
    gave_up: [AtomicU64; REASONS.len()],
}

/// The reasons, in the order of `gave_up` and of the text.
const REASONS: [StopReason; 7] = [
    StopReason::Permanent,
    StopReason::AttemptsExhausted,
    StopReason::RetryAfterTooLong,
    StopReason::DeadlineExceeded,
    StopReason::BudgetExhausted,
    StopReason::Cancelled,
    StopReason::SourceEnded,
];

const fn place(reason: StopReason) -> usize {
    match reason {
        StopReason::Permanent => 0,
        StopReason::AttemptsExhausted => 1,
        StopReason::RetryAfterTooLong => 2,
        StopReason::DeadlineExceeded => 3,
        StopReason::BudgetExhausted => 4,
        StopReason::Cancelled => 5,
        StopReason::SourceEnded => 6,
    }
}

impl RetryStats {
    /// Returns counters that are all zero.
    ///
    /// ```
    /// # use retry_ext::RetryStats;
    /// static STATS: RetryStats = RetryStats::new();
    /// assert_eq!(STATS.snapshot().calls, 0);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            succeeded_at_first: AtomicU64::new(0),
            succeeded_after_retry: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            gave_up: [const { AtomicU64::new(0) }; REASONS.len()],
        }
    }

    /// Returns the current counters. They are read one after the other, so operations that end meanwhile may be
    /// missing in some of them.
    ///
    /// ```
    /// # use retry_ext::{RetryExt, RetryPolicy, RetryStats};
    /// let stats = RetryStats::new();
    /// let parse = (|| "7".parse::<u8>()).retry_if(|_| false).observe(&stats);
    /// assert_eq!(parse.retry_with(RetryPolicy::new()), Ok(7));
    /// assert_eq!(stats.snapshot().succeeded_at_first, 1);
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> RetrySnapshot {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RetrySnapshot {
            calls: count(&self.calls),
            succeeded_at_first: count(&self.succeeded_at_first),
            succeeded_after_retry: count(&self.succeeded_after_retry),
            retries: count(&self.retries),
            waited: Duration::from_nanos(count(&self.waited)),
            gave_up: self.gave_up.each_ref().map(count),
        }
    }
}

impl Observer for RetryStats {
    #[inline]
    fn on_retry(&self, _observation: &Observation, _delay: Duration) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn on_success(&self, observation: &Observation) {
        let counter = match observation.attempt {
            1 => &self.succeeded_at_first,
            _ => &self.succeeded_after_retry,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.ended(observation);
    }

    #[inline]
    fn on_give_up(&self, observation: &Observation, reason: StopReason) {
        self.gave_up[place(reason)].fetch_add(1, Ordering::Relaxed);
        self.ended(observation);
    }
}

impl RetryStats {
    #[inline]
    fn ended(&self, observation: &Observation) {
        self.calls.fetch_add(observation.attempt.into(), Ordering::Relaxed);
        if !observation.waited.is_zero() {
            let waited = nanos(observation.waited);
            let sum = |so_far: u64| Some(so_far.saturating_add(waited));
            // The sum is always `Some`, so the update cannot fail.
            let _ = self.waited.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        }
    }
}

/// Shows the counters as their [`snapshot`](RetryStats::snapshot) does.
impl fmt::Display for RetryStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// The counters of [`RetryStats`] at one time.
///
/// ```
/// # use retry_ext::RetryStats;
/// let seen = RetryStats::new().snapshot();
/// assert_eq!(
///     seen.to_string(),
///     "0 attempts, 0 retries, 0s of waiting; 0 first-try successes, 0 recoveries, 0 failures"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySnapshot {
    /// Calls of operations that have ended: first attempts and retries.
    pub calls: u64,
    /// Operations whose first attempt succeeded.
    pub succeeded_at_first: u64,
    /// Operations that succeeded at a later attempt.
    pub succeeded_after_retry: u64,
    /// Retries that were scheduled, including those of operations that have not ended yet.
    pub retries: u64,
    /// The sum of the requested waits of operations that have ended.
    pub waited: Duration,
    gave_up: [u64; REASONS.len()],
}

impl RetrySnapshot {
    /// Returns the number of operations that gave up for this reason.
    ///
    /// ```
    /// # use retry_ext::{RetryStats, StopReason};
    /// assert_eq!(RetryStats::new().snapshot().gave_up(StopReason::BudgetExhausted), 0);
    /// ```
    #[must_use]
    pub const fn gave_up(&self, reason: StopReason) -> u64 {
        self.gave_up[place(reason)]
    }

    /// Returns an iterator over all reasons, each with the number of operations that gave up for it.
    ///
    /// ```
    /// # use retry_ext::RetryStats;
    /// let seen = RetryStats::new().snapshot();
    /// assert_eq!(seen.reasons().map(|(_reason, number)| number).sum::<u64>(), 0);
    /// ```
    pub fn reasons(&self) -> impl Iterator<Item = (StopReason, u64)> + use<> {
        REASONS.into_iter().zip(self.gave_up)
    }
}

impl fmt::Display for RetrySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, succeeded_at_first, succeeded_after_retry, retries, waited, gave_up } =
            self;
        let failures: u64 = gave_up.iter().sum();
        write!(
            f,
            "{}, {}, {} of waiting; {}, {}, {}",
            Counted(*calls, "attempt", "attempts"),
            Counted(*retries, "retry", "retries"),
            Shown(*waited),
            Counted(*succeeded_at_first, "first-try success", "first-try successes"),
            Counted(*succeeded_after_retry, "recovery", "recoveries"),
            Counted(failures, "failure", "failures"),
        )?;
        let mut before = " (";
        for (reason, number) in self.reasons().filter(|(_, number)| *number > 0) {
            write!(f, "{before}{reason}: {number}")?;
            before = ", ";
        }
        f.write_str(if failures > 0 { ")" } else { "" })
    }
}

/// A number with its noun, singular or plural.
struct Counted(u64, &'static str, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, one, many) = self;
        write!(f, "{number} {}", if *number == 1 { one } else { many })
    }
}
