//! How often and how long.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::backoff::{Backoff, RetryIter};
use crate::budget::RetryBudget;
use crate::context::RetryContext;
use crate::jitter::Jitter;

/// How often an operation is attempted, how long all of it may take, and the [`Backoff`] between.
///
/// A `Copy` value without closures, of 184 bytes where pointers have 8: make it a constant and share it. Every setter is a
/// `const fn`, so that a constant with a value that makes no sense does not compile:
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
/// | [`jitter`](Self::with_jitter) | [`Jitter::None`] | |
/// | [`max_elapsed`](Self::with_max_elapsed) | none | |
/// | [`budget`](Self::with_budget) | none | shared, `static` |
/// | [`name`](Self::with_name) | none | |
/// | [`logging`](Self::with_logging) | on | |
///
/// So the defaults call up to three times and wait 1 s and 2 s in between.
///
/// A setter returns the changed policy; dropping that is a mistake that the compiler reports:
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
    budget: Option<&'static RetryBudget>,
    name: Option<&'static str>,
    max_attempts: u32,
    logging: bool,
    /// Whether there is a deadline or a budget: one question for a first success instead of two.
    metered: bool,
}

impl RetryPolicy {
    /// Three attempts with [`Backoff::exponential`] between: waits of 1 s and 2 s.
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
            budget: None,
            name: None,
            max_attempts: 3,
            logging: true,
            metered: false,
        }
    }

    /// Sets the delays: first delay, factor, increment, cap, jitter and seed, all at once. So it
    /// comes before the short cuts that change one of them.
    ///
    /// ```
    /// # use retry_ext::{Backoff, RetryPolicy};
    /// let policy = RetryPolicy::new().with_backoff(Backoff::linear()).with_max_attempts(4);
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub const fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Sets how many times the operation is called at most, the first call included: 1 means no
    /// retry, `u32::MAX` is as good as no limit.
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
        Self { max_attempts, ..self }
    }

    /// Sets a deadline, counted from the start of the first attempt.
    ///
    /// A wait that would end after it is not started: the retry stops at once with
    /// [`DeadlineExceeded`](crate::StopReason::DeadlineExceeded), instead of shortening the wait or
    /// sleeping towards an attempt that comes too late. An attempt that is running is not
    /// interrupted; give the operation a timeout of its own. The time of an
    /// [`on_retry`](crate::RetryExt::on_retry) hook, and of a sleeper that sleeps too long, is not
    /// foreseen. The clock is the system's monotonic one; with the feature `tokio`, inside of a tokio
    /// runtime, it is tokio's, which tests can pause.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryExt, RetryPolicy, StopReason};
    /// // Waits of 1 and 2 s fit into 5 s, the 4 s after them do not.
    /// let policy = RetryPolicy::new().with_max_attempts(10).with_max_elapsed(Duration::from_secs(5));
    /// let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
    ///     .sleep_with(|_| ())
    ///     .retry_with(policy)
    ///     .unwrap_err();
    /// assert_eq!(error.attempts(), 3);
    /// assert_eq!(error.reason(), StopReason::DeadlineExceeded);
    /// ```
    pub const fn with_max_elapsed(self, max_elapsed: Duration) -> Self {
        Self { max_elapsed: Some(max_elapsed), metered: true, ..self }
    }

    /// Shares a budget of retries with all operations that have it. Its successes feed it, its retries
    /// are charged to it, and where it is spent a retry stops with
    /// [`BudgetExhausted`](crate::StopReason::BudgetExhausted).
    ///
    /// ```
    /// # use retry_ext::{RetryBudget, RetryPolicy};
    /// static BUDGET: RetryBudget = RetryBudget::new();
    /// static POLICY: RetryPolicy = RetryPolicy::new().with_budget(&BUDGET);
    /// assert!(POLICY.budget().is_some());
    /// ```
    pub const fn with_budget(self, budget: &'static RetryBudget) -> Self {
        Self { budget: Some(budget), metered: true, ..self }
    }

    /// Sets a name. Log records say it instead of the place in the code, and events carry it.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// const FETCH: RetryPolicy = RetryPolicy::new().with_name("fetch");
    /// assert_eq!(FETCH.name(), Some("fetch"));
    /// ```
    pub const fn with_name(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Sets whether retries are logged, with the `log` crate under the target `retry_ext`: a `warn`
    /// record for each retry and for giving up on a transient error, a `debug` record when an
    /// operation recovers. No record holds any of the error's text.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert!(!RetryPolicy::new().with_logging(false).logging());
    /// ```
    pub const fn with_logging(self, logging: bool) -> Self {
        Self { logging, ..self }
    }

    /// Short for the backoff's [`with_initial_delay`](Backoff::with_initial_delay).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::RetryPolicy;
    /// let policy = RetryPolicy::new().with_initial_delay(Duration::from_millis(50));
    /// assert_eq!(policy.delays().map(|delay| delay.as_millis()).collect::<Vec<_>>(), [50, 100]);
    /// ```
    pub const fn with_initial_delay(self, initial_delay: Duration) -> Self {
        self.with_backoff(self.backoff.with_initial_delay(initial_delay))
    }

    /// Short for the backoff's [`with_factor`](Backoff::with_factor).
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
        self.with_backoff(self.backoff.with_factor(factor))
    }

    /// Short for the backoff's [`with_max_delay`](Backoff::with_max_delay); it limits a server's hint
    /// too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::RetryPolicy;
    /// let policy = RetryPolicy::new().with_max_delay(Duration::from_secs(3)).with_max_attempts(5);
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 3, 3]);
    /// ```
    pub const fn with_max_delay(self, max_delay: Duration) -> Self {
        self.with_backoff(self.backoff.with_max_delay(max_delay))
    }

    /// Short for the backoff's [`with_jitter`](Backoff::with_jitter).
    ///
    /// ```
    /// # use retry_ext::{Jitter, RetryPolicy};
    /// assert_eq!(RetryPolicy::new().with_jitter(Jitter::Full).jitter(), Jitter::Full);
    /// ```
    pub const fn with_jitter(self, jitter: Jitter) -> Self {
        self.with_backoff(self.backoff.with_jitter(jitter))
    }

    /// Short for the backoff's [`with_seed`](Backoff::with_seed).
    ///
    /// ```
    /// # use retry_ext::{Jitter, RetryPolicy};
    /// let policy = RetryPolicy::new().with_jitter(Jitter::Full).with_seed(7);
    /// assert!(policy.delays().eq(policy.delays()));
    /// ```
    pub const fn with_seed(self, seed: u64) -> Self {
        self.with_backoff(self.backoff.with_seed(seed))
    }

    /// The delays.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().backoff().delay(3).as_secs(), 4);
    /// ```
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// How many times the operation is called at most, the first call included.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_attempts(), 3);
    /// ```
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The deadline, counted from the start of the first attempt, where there is one.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_elapsed(), None);
    /// ```
    #[must_use]
    pub const fn max_elapsed(&self) -> Option<Duration> {
        self.max_elapsed
    }

    /// The budget, where there is one.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert!(RetryPolicy::new().budget().is_none());
    /// ```
    #[must_use]
    pub const fn budget(&self) -> Option<&'static RetryBudget> {
        self.budget
    }

    /// Whether there is a deadline or a budget.
    #[inline]
    pub(crate) const fn is_metered(&self) -> bool {
        self.metered
    }

    /// The name, where there is one.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().name(), None);
    /// ```
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Whether retries are logged.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert!(RetryPolicy::new().logging());
    /// ```
    #[must_use]
    pub const fn logging(&self) -> bool {
        self.logging
    }

    /// Short for the backoff's [`initial_delay`](Backoff::initial_delay).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().initial_delay().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn initial_delay(&self) -> Duration {
        self.backoff.initial_delay()
    }

    /// Short for the backoff's [`factor`](Backoff::factor).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().factor(), 2.0);
    /// ```
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.backoff.factor()
    }

    /// Short for the backoff's [`max_delay`](Backoff::max_delay).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().max_delay().as_secs(), 60);
    /// ```
    #[must_use]
    pub const fn max_delay(&self) -> Duration {
        self.backoff.max_delay()
    }

    /// Short for the backoff's [`jitter`](Backoff::jitter).
    ///
    /// ```
    /// # use retry_ext::{Jitter, RetryPolicy};
    /// assert_eq!(RetryPolicy::new().jitter(), Jitter::None);
    /// ```
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.backoff.jitter()
    }

    /// Short for the backoff's [`seed`](Backoff::seed).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().seed(), None);
    /// ```
    #[must_use]
    pub const fn seed(&self) -> Option<u64> {
        self.backoff.seed()
    }

    /// The delays between the attempts, with jitter: one fewer than there are attempts, so that a
    /// hand-written loop over them never waits for nothing.
    ///
    /// Attempts alone limit them: the deadline and an error's hint are not in a list of delays.
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

    /// Starts the loop form, for a block that needs `?`, `break` or `&mut` state. Call it right before
    /// the first attempt: a deadline counts from here.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// # fn main() -> Result<(), retry_ext::RetryError<std::io::Error>> {
    /// let mut retry = RetryPolicy::new().start();
    /// let manifest = loop {
    ///     match std::fs::read_to_string("Cargo.toml") {
    ///         Ok(manifest) => break manifest,
    ///         Err(error) => retry.wait_after(error)?,
    ///     }
    /// };
    /// # assert!(manifest.contains("[package]"));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn start(&self) -> RetryContext {
        RetryContext::new(*self, Location::caller())
    }
}

/// Its settings.
impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backoff, max_elapsed, budget, name, max_attempts, logging, metered: _ } = self;
        f.debug_struct("RetryPolicy")
            .field("backoff", backoff)
            .field("max_elapsed", max_elapsed)
            .field("budget", budget)
            .field("name", name)
            .field("max_attempts", max_attempts)
            .field("logging", logging)
            .finish()
    }
}

impl Default for RetryPolicy {
    /// [`RetryPolicy::new`].
    fn default() -> Self {
        Self::new()
    }
}

/// Three attempts with these delays.
impl From<Backoff> for RetryPolicy {
    fn from(backoff: Backoff) -> Self {
        Self::new().with_backoff(backoff)
    }
}
