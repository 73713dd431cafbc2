//! `RetryPolicy`: the limits of a retry, and the checks of deadline and budget.

use core::fmt;
use core::time::Duration;

use crate::backoff::{Backoff, RetryIter};
use crate::budget::RetryBudget;
use crate::clock::Tick;
use crate::error::{Stop, StopReason};
use crate::jitter::Jitter;
use crate::nanos::{LONGEST, TotalWait, below_a_second, nanos};
use crate::operation::Deadline;

/// A retry policy: the number of attempts, the [`Backoff`] between them, and a deadline for all of them together.
///
/// A `Copy` value without closures (240 bytes on 64-bit targets): make it a constant and share it. Every setter is
/// a `const fn`, so a constant with an invalid value does not compile:
///
/// ```
/// use std::time::Duration;
/// use retry_ext::{Jitter, RetryPolicy};
///
/// const POLICY: RetryPolicy = RetryPolicy::new()
///     .with_max_attempts(5)
///     .with_initial_delay(Duration::from_millis(100))
///     .with_jitter(Jitter::Full)
///     .with_max_elapsed(Duration::from_secs(10));
///
/// assert_eq!(POLICY.max_attempts(), 5);
/// ```
///
/// ```compile_fail,E0080
/// # use retry_ext::RetryPolicy;
/// const NEVER: RetryPolicy = RetryPolicy::new().with_max_attempts(0);
/// # let _ = NEVER;
/// ```
///
/// | setting | default | unit and limits |
/// |---|---|---|
/// | [`max_attempts`](Self::with_max_attempts) | 3 | calls, the first included; at least 1 |
/// | [`initial_delay`](Self::with_initial_delay) | 1 s | |
/// | [`factor`](Self::with_factor) | 2 | finite, at least 1 |
/// | [`max_delay`](Self::with_max_delay) | 60 s | |
/// | [`max_retry_after`](Self::with_max_retry_after) | `max_delay` | |
/// | [`jitter`](Self::with_jitter) | [`Jitter::None`] | |
/// | [`max_elapsed`](Self::with_max_elapsed) | none | |
/// | [`budget`](Self::with_budget) | none | shared, `static` |
/// | [`name`](Self::with_name) | none | |
/// | [`logging`](Self::with_logging) | on | |
///
/// With the defaults, an operation is called up to three times, with waits of 1 s and 2 s.
///
/// A setter returns the changed policy. The compiler reports a dropped result:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// # use retry_ext::{Jitter, RetryPolicy};
/// let policy = RetryPolicy::new();
/// policy.with_jitter(Jitter::Full);
/// ```
#[derive(Clone, Copy)]
#[must_use = "a RetryPolicy is a plain value: a setter returns the changed one and leaves the old as it was"]
pub struct RetryPolicy {
    pub(crate) backoff: Backoff,
    max_elapsed: Option<Duration>,
    max_retry_after: Option<Duration>,
    budget: Option<&'static RetryBudget>,
    name: Option<&'static str>,
    /// The code of a deadline or a budget, if there is one. A first success tests this one field instead of two.
    limits: Option<&'static Limits>,
    max_attempts: u32,
    /// The number of attempts if that is the only limit, or 0 if there is a deadline or a budget. Each retry makes
    /// one comparison instead of two.
    plain_attempts: u32,
    logging: bool,
    /// The settings of the backoff that were set on the policy: a later `with_backoff` keeps them.
    own: u8,
}

const INITIAL_DELAY: u8 = 1;
const FACTOR: u8 = 1 << 1;
const MAX_DELAY: u8 = 1 << 2;
const JITTER: u8 = 1 << 3;
const SEED: u8 = 1 << 4;

impl RetryPolicy {
    /// Returns a policy of three attempts with [`Backoff::exponential`] between them: waits of 1 s and 2 s.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// let seconds: Vec<u64> = RetryPolicy::new().delays().map(|delay| delay.as_secs()).collect();
    /// assert_eq!(seconds, [1, 2]);
    /// ```
    pub const fn new() -> Self {
        Self {
            backoff: Backoff::exponential(),
            max_elapsed: None,
            max_retry_after: None,
            budget: None,
            name: None,
            max_attempts: 3,
            plain_attempts: 3,
            logging: true,
            limits: None,
            own: 0,
        }
    }

    /// Returns a policy of unlimited attempts until a deadline, with [`Backoff::exponential`] between them. In
    /// contrast, [`with_max_elapsed`](Self::with_max_elapsed) alone keeps the limit of three attempts.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryExt, RetryPolicy, StopReason};
    /// // Waits of 1, 2, 4, 8, 16, 32, 60 and 60 s fit into 200 s.
    /// let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .sleep_with(|_| ())
    ///     .retry_with(RetryPolicy::within(Duration::from_secs(200)))
    ///     .unwrap_err();
    /// assert_eq!((error.attempts(), error.reason()), (9, StopReason::DeadlineExceeded));
    /// ```
    pub const fn within(deadline: Duration) -> Self {
        Self::forever().with_max_elapsed(deadline)
    }

    /// Returns a policy of unlimited attempts, with [`Backoff::exponential`] between them. Use it for loops that
    /// reconnect for as long as the program runs. An operation that a caller waits for needs a limit. A
    /// `RetryConfig` cannot set this: only code may retry forever.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// const RECONNECT: RetryPolicy = RetryPolicy::forever();
    /// assert_eq!(RECONNECT.delays().nth(1_000_000).map(|delay| delay.as_secs()), Some(60));
    /// ```
    pub const fn forever() -> Self {
        Self::new().with_max_attempts(u32::MAX)
    }

    /// Sets the delays: first delay, factor, increment, cap, jitter and seed.
    ///
    /// Settings made on the policy itself, such as [`with_jitter`](Self::with_jitter), take precedence over those
    /// of the backoff, in any order of calls. The new backoff replaces all other settings of an earlier backoff.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter, RetryPolicy};
    /// let policy = RetryPolicy::new().with_backoff(Backoff::linear()).with_max_attempts(4);
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 3]);
    ///
    /// let policy = RetryPolicy::new().with_jitter(Jitter::Full).with_backoff(Backoff::linear());
    /// assert_eq!(policy.jitter(), Jitter::Full);
    /// ```
    pub const fn with_backoff(self, mut backoff: Backoff) -> Self {
        let set_here = self.backoff;
        if self.own & INITIAL_DELAY != 0 {
            backoff = backoff.with_initial_delay(set_here.initial_delay());
        }
        if self.own & FACTOR != 0 {
            backoff = backoff.with_factor(set_here.factor());
        }
        if self.own & MAX_DELAY != 0 {
            backoff = backoff.with_max_delay(set_here.max_delay());
        }
        if self.own & JITTER != 0 {
            backoff = backoff.with_jitter(set_here.jitter());
        }
        if let (true, Some(seed)) = (self.own & SEED != 0, set_here.seed()) {
            backoff = backoff.with_seed(seed);
        }
        Self { backoff, ..self }
    }

    /// Sets one setting of the backoff on the policy itself.
    const fn with_own(self, setting: u8, backoff: Backoff) -> Self {
        Self { backoff, own: self.own | setting, ..self }
    }

    /// Computes the fields that follow from the settings.
    const fn consistent(mut self) -> Self {
        self.plain_attempts = if self.limits.is_some() { 0 } else { self.max_attempts };
        self
    }

    /// Sets the largest number of calls of the operation, the first call included: 1 means no retry, and
    /// `u32::MAX` means no limit.
    ///
    /// # Panics
    ///
    /// If `max_attempts` is 0. In a constant that is a compile error.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// let once = RetryPolicy::new().with_max_attempts(1);
    /// assert_eq!(once.delays().count(), 0);
    /// ```
    #[track_caller]
    pub const fn with_max_attempts(self, max_attempts: u32) -> Self {
        assert!(
            max_attempts >= 1,
            "max_attempts must be at least 1: it counts every call, the first included"
        );
        Self { max_attempts, ..self }.consistent()
    }

    /// Sets a deadline, counted from the start of the first attempt.
    ///
    /// A wait that would end after the deadline is not started, and no wait starts once the deadline has passed.
    /// The retry stops at once with [`DeadlineExceeded`](crate::StopReason::DeadlineExceeded), instead of
    /// shortening the wait or sleeping towards an attempt that comes too late.
    ///
    /// A running attempt is not interrupted: give the operation its own timeout. Time spent in an
    /// [`on_retry`](crate::RetryExt::on_retry) hook, or oversleeping, is not accounted for in advance.
    ///
    /// The clock is the system's monotonic clock. With the feature `tokio`, inside a tokio runtime, it is tokio's
    /// clock, which tests can pause. In a browser, the feature `web` supplies the clock;
    /// without it, only the waits count.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryExt, RetryPolicy, StopReason};
    /// // Waits of 1 and 2 s fit into 5 s; the following wait of 4 s does not.
    /// let policy = RetryPolicy::new().with_max_attempts(10).with_max_elapsed(Duration::from_secs(5));
    /// let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .sleep_with(|_| ())
    ///     .retry_with(policy)
    ///     .unwrap_err();
    /// assert_eq!(error.attempts(), 3);
    /// assert_eq!(error.reason(), StopReason::DeadlineExceeded);
    /// ```
    pub const fn with_max_elapsed(self, max_elapsed: Duration) -> Self {
        let limits = match self.limits {
            None => Some(&Limits::DEADLINE),
            limits => limits,
        };
        Self { max_elapsed: Some(max_elapsed), limits, ..self }.consistent()
    }

    /// Removes the deadline.
    #[cfg(feature = "config")]
    pub(crate) const fn without_max_elapsed(self) -> Self {
        let limits = match self.budget {
            Some(_) => Some(&Limits::BUDGET),
            None => None,
        };
        Self { max_elapsed: None, limits, ..self }.consistent()
    }

    /// Shares a budget of retries with all operations that have it. Their successes refill the budget, and their
    /// retries are charged to it. If it is spent, a retry stops with
    /// [`BudgetExhausted`](crate::StopReason::BudgetExhausted).
    ///
    /// ```
    /// # use retry_ext::{RetryBudget, RetryPolicy};
    /// static BUDGET: RetryBudget = RetryBudget::new();
    /// static POLICY: RetryPolicy = RetryPolicy::new().with_budget(&BUDGET);
    /// assert!(POLICY.budget().is_some());
    /// ```
    pub const fn with_budget(self, budget: &'static RetryBudget) -> Self {
        Self { budget: Some(budget), limits: Some(&Limits::BUDGET), ..self }.consistent()
    }

    /// Sets a name. Log records contain it instead of the place in the code, and events carry it.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// const FETCH: RetryPolicy = RetryPolicy::new().with_name("fetch");
    /// assert_eq!(FETCH.name(), Some("fetch"));
    /// ```
    pub const fn with_name(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Sets whether retries are logged, with the `log` crate under the target `retry_ext`. Each retry, and giving
    /// up on a transient error, is a `warn` record. A recovery is a `debug` record. No record contains the error's
    /// text. With the feature `tracing`, this setting also applies to events and spans.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert!(!RetryPolicy::new().with_logging(false).logging());
    /// ```
    pub const fn with_logging(self, logging: bool) -> Self {
        Self { logging, ..self }
    }

    /// Sets the delay before the first retry; short for the backoff's
    /// [`with_initial_delay`](Backoff::with_initial_delay).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::RetryPolicy;
    /// let policy = RetryPolicy::new().with_initial_delay(Duration::from_millis(50));
    /// assert_eq!(policy.delays().map(|delay| delay.as_millis()).collect::<Vec<_>>(), [50, 100]);
    /// ```
    pub const fn with_initial_delay(self, initial_delay: Duration) -> Self {
        self.with_own(INITIAL_DELAY, self.backoff.with_initial_delay(initial_delay))
    }

    /// Sets the factor between one delay and the next; short for the backoff's
    /// [`with_factor`](Backoff::with_factor).
    ///
    /// # Panics
    ///
    /// If `factor` is below 1, infinite or not a number. In a constant that is a compile error.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// let policy = RetryPolicy::new().with_factor(3.0).with_max_attempts(4);
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 3, 9]);
    /// ```
    #[track_caller]
    pub const fn with_factor(self, factor: f64) -> Self {
        self.with_own(FACTOR, self.backoff.with_factor(factor))
    }

    /// Sets the cap; short for the backoff's [`with_max_delay`](Backoff::with_max_delay). This cap also limits a
    /// server's hint, unless [`with_max_retry_after`](Self::with_max_retry_after) is set.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::RetryPolicy;
    /// let policy = RetryPolicy::new().with_max_delay(Duration::from_secs(3)).with_max_attempts(5);
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 3, 3]);
    /// ```
    pub const fn with_max_delay(self, max_delay: Duration) -> Self {
        self.with_own(MAX_DELAY, self.backoff.with_max_delay(max_delay))
    }

    /// Sets the longest [`retry_after`](crate::IsTransient::retry_after) hint that is obeyed. A longer hint stops
    /// the retry with [`RetryAfterTooLong`](crate::StopReason::RetryAfterTooLong). The default is
    /// [`max_delay`](Self::max_delay).
    ///
    /// The limit applies to hints only: a limit below `max_delay` does not shorten the delays of the backoff.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::{IsTransient, RetryExt, RetryPolicy};
    /// #[derive(Debug, IsTransient)] // with the feature `macros`
    /// #[transient(after = Duration::from_secs(90))]
    /// struct Throttled;
    ///
    /// // The client's own delays are at most 5 s, but it waits for up to 2 min if the server asks for that.
    /// let policy = RetryPolicy::new()
    ///     .with_max_delay(Duration::from_secs(5))
    ///     .with_max_retry_after(Duration::from_secs(120));
    /// let mut waits = Vec::new();
    /// let result = (|| Err::<(), _>(Throttled)).sleep_with(|delay| waits.push(delay.as_secs())).retry_with(policy);
    /// assert!(result.is_err());
    /// assert_eq!(waits, [90, 90]);
    /// ```
    pub const fn with_max_retry_after(self, max_retry_after: Duration) -> Self {
        Self { max_retry_after: Some(max_retry_after), ..self }
    }

    /// Sets the jitter; short for the backoff's [`with_jitter`](Backoff::with_jitter).
    ///
    /// ```
    /// # use retry_ext::{Jitter, RetryPolicy};
    /// assert_eq!(RetryPolicy::new().with_jitter(Jitter::Full).jitter(), Jitter::Full);
    /// ```
    pub const fn with_jitter(self, jitter: Jitter) -> Self {
        self.with_own(JITTER, self.backoff.with_jitter(jitter))
    }

    /// Sets the seed of the jitter; short for the backoff's [`with_seed`](Backoff::with_seed).
    ///
    /// ```
    /// # use retry_ext::{Jitter, RetryPolicy};
    /// let policy = RetryPolicy::new().with_jitter(Jitter::Full).with_seed(7);
    /// assert!(policy.delays().eq(policy.delays()));
    /// ```
    pub const fn with_seed(self, seed: u64) -> Self {
        self.with_own(SEED, self.backoff.with_seed(seed))
    }

    /// Returns the backoff.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().backoff().delay(3).as_secs(), 4);
    /// ```
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// Returns the largest number of calls of the operation, the first call included.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_attempts(), 3);
    /// ```
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Returns the deadline, counted from the start of the first attempt, if there is one.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_elapsed(), None);
    /// ```
    #[must_use]
    pub const fn max_elapsed(&self) -> Option<Duration> {
        self.max_elapsed
    }

    /// Returns the budget, if there is one.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert!(RetryPolicy::new().budget().is_none());
    /// ```
    #[must_use]
    pub const fn budget(&self) -> Option<&'static RetryBudget> {
        self.budget
    }

    /// Returns whether there is a deadline or a budget.
    #[inline]
    pub(crate) const fn has_limits(&self) -> bool {
        self.limits.is_some()
    }

    #[inline]
    pub(crate) const fn limits(&self) -> Option<&'static Limits> {
        self.limits
    }

    /// Returns the start of a deadline, if there is one.
    #[inline(never)]
    pub(crate) fn start_of_deadline(&self) -> Option<Tick> {
        self.limits.and_then(|limits| (limits.start)(self))
    }

    /// Returns the reason for which an operation has no attempt with this number, if there is one.
    pub(crate) fn refuses(&self, attempt: u32, elapsed: Duration) -> Option<StopReason> {
        let is_over = |max_elapsed| elapsed >= max_elapsed && max_elapsed != Duration::MAX;
        if attempt > self.max_attempts {
            Some(StopReason::AttemptsExhausted)
        } else if self.max_elapsed.is_some_and(is_over) {
            Some(StopReason::DeadlineExceeded)
        } else {
            None
        }
    }

    /// Records a success with the budget, if there is one. The code is out of line, so that a retry without a
    /// budget makes no room for it.
    #[inline(never)]
    pub(crate) fn feed(&self) {
        if let Some(limits) = self.limits {
            (limits.feed)(self);
        }
    }

    /// Returns the name, if there is one.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().name(), None);
    /// ```
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Returns whether retries are logged.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert!(RetryPolicy::new().logging());
    /// ```
    #[must_use]
    pub const fn logging(&self) -> bool {
        self.logging
    }

    /// Returns the delay before the first retry; short for the backoff's
    /// [`initial_delay`](Backoff::initial_delay).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().initial_delay().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn initial_delay(&self) -> Duration {
        self.backoff.initial_delay()
    }

    /// Returns the factor between one delay and the next; short for the backoff's [`factor`](Backoff::factor).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().factor(), 2.0);
    /// ```
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.backoff.factor()
    }

    /// Returns the cap of every delay; short for the backoff's [`max_delay`](Backoff::max_delay).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_delay().as_secs(), 60);
    /// ```
    #[must_use]
    pub const fn max_delay(&self) -> Duration {
        self.backoff.max_delay()
    }

    /// Returns the longest hint that is obeyed: [`max_delay`](Self::max_delay) unless it was set.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_retry_after().as_secs(), 60);
    /// ```
    #[must_use]
    pub const fn max_retry_after(&self) -> Duration {
        match self.max_retry_after {
            Some(max_retry_after) => max_retry_after,
            None => self.backoff.max_delay(),
        }
    }

    #[inline]
    pub(crate) const fn plain_attempts(&self) -> u32 {
        self.plain_attempts
    }

    /// Returns the longest wait after a hint, in nanoseconds. Jitter above a hint may exceed a lower delay cap.
    #[inline]
    pub(crate) fn hint_ceiling(&self) -> u64 {
        nanos(self.max_delay()).max(nanos(self.max_retry_after()))
    }

    /// Converts a wait to a duration. A wait longer than 64 bits hold becomes the cap as it was set.
    #[inline]
    pub(crate) const fn duration(&self, nanos: u64) -> Duration {
        match below_a_second(nanos) {
            Some(delay) => delay,
            None => self.long(nanos),
        }
    }

    #[inline(never)]
    const fn long(&self, wait: u64) -> Duration {
        if wait < LONGEST {
            Duration::from_nanos(wait)
        } else if nanos(self.max_delay()) == LONGEST {
            self.max_delay()
        } else {
            self.max_retry_after()
        }
    }

    /// Returns the jitter; short for the backoff's [`jitter`](Backoff::jitter).
    ///
    /// ```
    /// # use retry_ext::{Jitter, RetryPolicy};
    /// assert_eq!(RetryPolicy::new().jitter(), Jitter::None);
    /// ```
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.backoff.jitter()
    }

    /// Returns the seed of the jitter; short for the backoff's [`seed`](Backoff::seed).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().seed(), None);
    /// ```
    #[must_use]
    pub const fn seed(&self) -> Option<u64> {
        self.backoff.seed()
    }

    /// Returns an iterator over the delays between the attempts, with jitter. It has one delay fewer than there
    /// are attempts, so a hand-written loop over it never waits without a following attempt.
    ///
    /// Only the number of attempts limits the iterator. It does not apply the deadline or an error's hint.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// let mut delays = RetryPolicy::new().delays();
    /// let mut calls = 0;
    /// loop {
    ///     calls += 1;
    ///     // ... the attempt, which fails ...
    ///     let Some(delay) = delays.next() else { break };
    ///     // ... wait for `delay` ...
    /// #   let _ = delay;
    /// }
    /// assert_eq!(calls, 3);
    /// ```
    pub fn delays(&self) -> RetryIter {
        self.backoff.limited(u64::from(self.max_attempts) - 1)
    }

    /// Returns the pause of a caller that starts over although this retry was refused: the delay, if it is not zero.
    /// A zero delay is right for a fast first retry, but such a caller would spin. The pause is then the first nominal
    /// delay of the backoff that is longer, from this retry to the 64th after it, or zero if none is.
    pub(crate) fn pause(&self, delay: Duration, retry: u32) -> Duration {
        const ZEROS: u32 = 64;

        if !delay.is_zero() {
            return delay;
        }
        let retries = retry..=retry.saturating_add(ZEROS);
        let mut delays = retries.map(|retry| self.backoff.delay(retry));
        delays.find(|delay| !delay.is_zero()).unwrap_or_default()
    }
}

/// The code of a deadline and a budget. It is reached only through these pointers, which the setters of a policy
/// set. A program without a deadline or a budget therefore does not contain the code.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Returns the start of a deadline.
    start: fn(&RetryPolicy) -> Option<Tick>,
    /// Checks whether a wait is allowed. Returns the start of the deadline.
    pub(crate) check: fn(&RetryPolicy, &Requested) -> Result<Option<Tick>, Stop>,
    /// Records a success.
    feed: fn(&RetryPolicy),
}

/// A wait that the limits must allow.
pub(crate) struct Requested {
    /// The attempt that has failed.
    pub(crate) attempt: u32,
    pub(crate) start: Option<Tick>,
    pub(crate) waited: TotalWait,
    pub(crate) delay: Duration,
}

impl Requested {
    /// Makes the stop of a refused wait.
    fn refused(&self, policy: &RetryPolicy, reason: StopReason) -> Stop {
        let pause = policy.pause(self.delay, self.attempt);
        Stop::instead_of(pause, reason)
    }
}

impl Limits {
    const DEADLINE: Self =
        Self { start: Self::started, check: Self::check_deadline, feed: |_policy| {} };
    /// The code of a budget, with or without a deadline.
    const BUDGET: Self =
        Self { start: Self::started, check: Self::check_both, feed: Self::deposit };

    fn started(policy: &RetryPolicy) -> Option<Tick> {
        policy.max_elapsed().map(|_| Tick::now())
    }

    fn check_deadline(policy: &RetryPolicy, wait: &Requested) -> Result<Option<Tick>, Stop> {
        let Some(limit) = policy.max_elapsed() else { return Ok(wait.start) };
        let now = Tick::now();
        let start = wait.start.unwrap_or(now);
        let deadline = Deadline { max_elapsed: limit, start: Some(start), waited: wait.waited };
        let elapsed = deadline.elapsed_at(now);
        // Without time left, not even a zero delay fits. `Duration::MAX` means no deadline.
        let is_over = elapsed >= limit && limit != Duration::MAX;
        if is_over || elapsed.saturating_add(wait.delay) > limit {
            return Err(wait.refused(policy, StopReason::DeadlineExceeded));
        }
        Ok(Some(start))
    }

    fn check_both(policy: &RetryPolicy, wait: &Requested) -> Result<Option<Tick>, Stop> {
        match policy.budget() {
            Some(budget) => Self::check_and_charge(policy, budget, wait),
            None => Self::check_deadline(policy, wait),
        }
    }

    /// Checks the deadline, and then charges the budget, so that only a granted retry is charged.
    pub(crate) fn check_and_charge(
        policy: &RetryPolicy,
        budget: &RetryBudget,
        wait: &Requested,
    ) -> Result<Option<Tick>, Stop> {
        let start = Self::check_deadline(policy, wait)?;
        if budget.withdraw() {
            Ok(start)
        } else {
            Err(wait.refused(policy, StopReason::BudgetExhausted))
        }
    }

    fn deposit(policy: &RetryPolicy) {
        if let Some(budget) = policy.budget() {
            budget.deposit();
        }
    }
}

/// Shows the settings only.
impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            backoff, max_elapsed, max_retry_after, budget, name, max_attempts, logging, ..
        } = self;
        f.debug_struct("RetryPolicy")
            .field("backoff", backoff)
            .field("max_elapsed", max_elapsed)
            .field("max_retry_after", max_retry_after)
            .field("budget", budget)
            .field("name", name)
            .field("max_attempts", max_attempts)
            .field("logging", logging)
            .finish()
    }
}

impl Default for RetryPolicy {
    /// Returns [`RetryPolicy::new`].
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a policy of three attempts with these delays.
impl From<Backoff> for RetryPolicy {
    fn from(backoff: Backoff) -> Self {
        Self::new().with_backoff(backoff)
    }
}
