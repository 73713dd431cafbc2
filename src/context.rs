//! The one decision: a failure goes in, "wait this long" or "stop, because" comes out.

use std::any::type_name;
use std::fmt;
use std::panic::Location;
use std::thread;
use std::time::Duration;

use crate::backoff::{Brief, LONGEST, Run, nanos};
use crate::clock::Moment;
use crate::error::{RetryError, StopReason};
use crate::event::{Log, Observer, Report, RetryEvent};
use crate::policy::RetryPolicy;
use crate::transient::IsTransient;

/// Who says whether an error is transient: the error itself (`()`, where nothing was set), or a
/// predicate given with `retry_if`. The compiler's advice is that of [`IsTransient`], which would
/// not reach the user through the implementation for `()`.
#[diagnostic::on_unimplemented(
    message = "`{E}` does not say which of its errors are transient",
    label = "the error type `{E}` does not implement `IsTransient`",
    note = "for somebody else's error type: put `.retry_if(|error| ..)` before `.retry_with(policy)`, or wrap it in a type of your own",
    note = "for one of your own: `impl retry_ext::IsTransient for {E} {{ fn is_transient(&self) -> bool {{ .. }} }}`"
)]
#[expect(unnameable_types, reason = "sealed: a bound of the chain, implemented here alone")]
pub trait Classify<E> {
    #[doc(hidden)]
    fn is_transient(&mut self, error: &E) -> bool;
    #[doc(hidden)]
    fn retry_after(&self, error: &E) -> Option<Duration>;
}

impl<E: IsTransient> Classify<E> for () {
    #[inline]
    fn is_transient(&mut self, error: &E) -> bool {
        error.is_transient()
    }

    #[inline]
    fn retry_after(&self, error: &E) -> Option<Duration> {
        error.retry_after()
    }
}

impl<E, P: FnMut(&E) -> bool> Classify<E> for P {
    #[inline]
    fn is_transient(&mut self, error: &E) -> bool {
        self(error)
    }

    #[inline]
    fn retry_after(&self, _error: &E) -> Option<Duration> {
        None
    }
}

/// A sum of waits in nanoseconds of 64 bits, the longest of which stands for more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited(u64);

impl Waited {
    pub(crate) const ZERO: Self = Self(0);

    #[inline]
    const fn plus(self, nanos: u64) -> Self {
        match self.0.checked_add(nanos) {
            Some(sum) => Self(sum),
            None => Self::beyond(),
        }
    }

    /// Out of line: a jump that is not taken takes one instruction less than a choice.
    #[cold]
    #[inline(never)]
    const fn beyond() -> Self {
        Self(u64::MAX)
    }

    #[inline]
    pub(crate) const fn get(self) -> Duration {
        if self.0 >= LONGEST { Duration::MAX } else { Duration::from_nanos(self.0) }
    }
}

/// The loop form: for blocks that use `?`, `break`, `&mut` state, or give up early on their own.
///
/// Made by [`RetryPolicy::start`]. It is the decision that stands behind the verb, and obeys the same
/// rules: attempts, cap, hint, deadline, jitter, order of reasons, log records. Only of a success it
/// must be told, by [`succeeded`](Self::succeeded): where the policy has a budget, or a recovery is to
/// be logged, or the loop goes on.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// use retry_ext::{RetryError, RetryPolicy};
///
/// struct Connection { failures: u32, sent: Vec<String> }
///
/// impl Connection {
///     fn send(&mut self, line: &str) -> Result<usize, Error> {
///         if self.failures > 0 {
///             self.failures -= 1;
///             return Err(ErrorKind::ConnectionReset.into());
///         }
///         self.sent.push(line.into());
///         Ok(self.sent.len())
///     }
/// }
///
/// fn deliver(connection: &mut Connection, line: &str) -> Result<usize, RetryError<Error>> {
///     let mut retry = RetryPolicy::new().with_initial_delay(Duration::from_millis(1)).start();
///     loop {
///         match connection.send(line) {
///             Ok(number) => {
///                 retry.succeeded();
///                 return Ok(number);
///             }
///             Err(error) => retry.wait_after(error)?,
///         }
///     }
/// }
///
/// let mut connection = Connection { failures: 2, sent: Vec::new() };
/// assert_eq!(deliver(&mut connection, "hello").unwrap(), 1);
/// connection.failures = 3;
/// assert_eq!(deliver(&mut connection, "hello").unwrap_err().attempts(), 3);
/// ```
///
/// An error type of somebody else's wants a newtype that implements [`IsTransient`]; or a loop that
/// returns by itself what it does not want to retry.
#[must_use = "a RetryContext does nothing by itself: give each failure to `wait_after` or `delay_after`"]
pub struct RetryContext {
    policy: RetryPolicy,
    caller: &'static Location<'static>,
    observer: &'static (dyn Observer + Sync),
    progress: Progress,
    /// Before the delay that was granted last, for the case that its wait is cancelled.
    before: Progress,
    stopped: Option<StopReason>,
}

impl RetryContext {
    pub(crate) fn new(policy: RetryPolicy, caller: &'static Location<'static>) -> Self {
        let progress = Progress::started(&policy);
        Self { policy, caller, observer: &(), progress, before: progress, stopped: None }
    }

    const fn report(&self) -> Report<'_, dyn Observer + Sync> {
        let log = Log { policy: &self.policy, caller: self.caller };
        Report { log, observer: self.observer }
    }

    /// Lets an observer hear of each retry, success and giving up. For an operation that is observed
    /// as a whole, attach it where the context is made.
    ///
    /// ```
    /// use retry_ext::{RetryPolicy, RetryStats};
    ///
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// let mut retry = RetryPolicy::new().start().observe(&STATS);
    /// retry.succeeded();
    /// assert_eq!(STATS.snapshot().succeeded_at_first, 1);
    /// ```
    pub const fn observe(self, observer: &'static (dyn Observer + Sync)) -> Self {
        Self { observer, ..self }
    }

    /// The attempt that runs now, from 1.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// # let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
    /// let mut retry = RetryPolicy::new().start();
    /// assert_eq!(retry.attempt(), 1);
    /// assert!(retry.delay_after(&error).is_ok());
    /// assert_eq!(retry.attempt(), 2);
    /// ```
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.progress.attempt()
    }

    /// The sum of the waits so far, as they were asked for.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// # let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
    /// let mut retry = RetryPolicy::new().start();
    /// assert!(retry.delay_after(&error).is_ok());
    /// assert_eq!(retry.waited().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.progress.waited()
    }

    /// The running attempt has failed: sleeps until the next one may start, with
    /// [`std::thread::sleep`], or gives the error back. That blocks the thread: async code awaits
    /// `wait_after_async`. To wait in another way, ask [`delay_after`](Self::delay_after) and wait.
    ///
    /// # Errors
    ///
    /// The error, in a [`RetryError`] that says why there is no further attempt.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryPolicy, StopReason};
    /// let policy = RetryPolicy::new().with_initial_delay(Duration::from_millis(1));
    /// let mut retry = policy.with_max_attempts(2).start();
    /// assert!(retry.wait_after(Error::from(ErrorKind::TimedOut)).is_ok()); // slept for 1 ms
    /// let error = retry.wait_after(Error::from(ErrorKind::TimedOut)).unwrap_err();
    /// assert_eq!((error.attempts(), error.reason()), (2, StopReason::AttemptsExhausted));
    /// ```
    pub fn wait_after<E: IsTransient>(&mut self, error: E) -> Result<(), RetryError<E>> {
        match self.delay_after(&error) {
            Ok(delay) => {
                thread::sleep(delay);
                Ok(())
            }
            Err(reason) => Err(self.progress.gave_up(error, reason)),
        }
    }

    /// As [`wait_after`](Self::wait_after), awaited: it sleeps on tokio's timer. Needs the feature
    /// `tokio`; with another runtime, ask [`delay_after`](Self::delay_after) and await its timer.
    ///
    /// For blocks that lend `&mut` state to the futures they await, which a closure cannot:
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryError, RetryPolicy};
    ///
    /// struct Connection { failures: u32 }
    ///
    /// impl Connection {
    ///     async fn send(&mut self, line: &str) -> Result<usize, Error> {
    ///         if self.failures > 0 {
    ///             self.failures -= 1;
    ///             return Err(ErrorKind::ConnectionReset.into());
    ///         }
    ///         Ok(line.len())
    ///     }
    /// }
    ///
    /// async fn deliver(connection: &mut Connection, line: &str) -> Result<usize, RetryError<Error>> {
    ///     let mut retry = RetryPolicy::new().start();
    ///     loop {
    ///         match connection.send(line).await {
    ///             Ok(length) => {
    ///                 retry.succeeded();
    ///                 return Ok(length);
    ///             }
    ///             Err(error) => retry.wait_after_async(error).await?,
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// assert_eq!(deliver(&mut Connection { failures: 2 }, "hello").await.unwrap(), 5);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error, in a [`RetryError`] that says why there is no further attempt.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropped in its wait, it has dropped the error; the delay counts as waited, and the next attempt
    /// as begun, as after [`delay_after`](Self::delay_after). Never polled, it does nothing.
    #[cfg(feature = "tokio")]
    pub async fn wait_after_async<E: IsTransient>(
        &mut self,
        error: E,
    ) -> Result<(), RetryError<E>> {
        let delay = match self.delay_after(&error) {
            Ok(delay) => delay,
            Err(reason) => return Err(self.progress.gave_up(error, reason)),
        };
        drop(error);
        if delay.is_zero() {
            crate::future::yield_now().await;
        } else {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    /// The running attempt has failed: decides, and does not sleep. For schedulers, event loops and
    /// waits that can be cut short. Granted, the delay counts as waited and the next attempt as
    /// begun: the caller waits and calls. Where the wait is cut short for good, tell
    /// [`cancelled`](Self::cancelled); of a success, [`succeeded`](Self::succeeded), or nothing feeds a
    /// budget.
    ///
    /// # Errors
    ///
    /// Why there is no further attempt; the same again for each further call, until
    /// [`succeeded`](Self::succeeded).
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::sync::mpsc::{RecvTimeoutError, channel};
    /// # use retry_ext::{RetryPolicy, StopReason};
    /// # let (shut_down, shutdown) = channel::<()>();
    /// # drop(shut_down);
    /// # let connect = || Err::<(), _>(Error::from(ErrorKind::ConnectionRefused));
    /// let mut retry = RetryPolicy::new().start();
    /// let outcome = loop {
    ///     let error = match connect() {
    ///         Ok(connection) => break Ok(connection),
    ///         Err(error) => error,
    ///     };
    ///     match retry.delay_after(&error) {
    ///         Ok(delay) => match shutdown.recv_timeout(delay) {
    ///             Err(RecvTimeoutError::Timeout) => {}
    ///             Ok(()) | Err(RecvTimeoutError::Disconnected) => break Err(retry.cancelled(error)),
    ///         },
    ///         Err(_reason) => break retry.wait_after(error), // does not wait: gives the error back
    ///     }
    /// };
    /// assert_eq!(outcome.unwrap_err().reason(), StopReason::Cancelled);
    /// ```
    pub fn delay_after<E: IsTransient>(&mut self, error: &E) -> Result<Duration, StopReason> {
        if let Some(reason) = self.stopped {
            return Err(reason);
        }
        self.before = self.progress;
        let log = Log { policy: &self.policy, caller: self.caller };
        let report = Report { log, observer: self.observer };
        // Made again each time: a process may fork between two failures.
        let mut run = self.policy.backoff.run(self.progress.attempt);
        match self.progress.after_failure(error, &mut (), &mut run, report) {
            Ok(nanos) => {
                self.progress.next_attempt(nanos);
                Ok(self.policy.backoff.duration(nanos))
            }
            Err(reason) => {
                self.stopped = Some(reason);
                Err(reason)
            }
        }
    }

    /// The wait that [`delay_after`](Self::delay_after) has granted was cut short, and there will be no
    /// attempt: makes the error that the verb would give, with [`StopReason::Cancelled`]. That wait is
    /// not counted. It is for the wait alone: a context that has stopped gives its own reason, and an
    /// attempt that has run after the wait would not be counted.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use retry_ext::{RetryPolicy, StopReason};
    /// let mut retry = RetryPolicy::new().start();
    /// let error = Error::from(ErrorKind::TimedOut);
    /// assert!(retry.delay_after(&error).is_ok());
    /// let stopped = retry.cancelled(error); // during that wait
    /// assert_eq!((stopped.attempts(), stopped.waited().as_secs()), (1, 0));
    /// assert_eq!(stopped.reason(), StopReason::Cancelled);
    /// ```
    pub fn cancelled<E>(&mut self, error: E) -> RetryError<E> {
        if let Some(reason) = self.stopped {
            return self.progress.gave_up(error, reason);
        }
        self.progress = self.before;
        self.stopped = Some(StopReason::Cancelled);
        self.progress.stopped(error, StopReason::Cancelled, self.report())
    }

    /// The running attempt has succeeded: feeds the [budget](crate::RetryBudget), where the policy has
    /// one, and starts the count afresh. For loops that live long, such as one that reconnects or
    /// watches: the next failure is then a first one, with all attempts, the first delay, and a deadline
    /// that counts from that failure. Call it when the work has shown to succeed, and not as soon as a
    /// connection stands: a server that accepts and drops at once would be called for ever. With a
    /// budget, call it once for each call of the service, not for each message that comes of it.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryError, RetryPolicy};
    /// # let mut lives = 3;
    /// # let mut connect = || -> Result<u32, Error> { lives -= 1; if lives < 0 { Err(ErrorKind::NotFound.into()) } else { Ok(7) } };
    /// # let mut messages = 0;
    /// # let mut receive = |_connection: &u32| { messages += 1; if messages % 2 == 1 { Ok("message") } else { Err(Error::from(ErrorKind::ConnectionReset)) } };
    /// # let policy = RetryPolicy::new().with_initial_delay(Duration::ZERO).with_max_attempts(2);
    /// # let mut watch = || -> Result<(), RetryError<Error>> {
    /// let mut retry = policy.start();
    /// loop {
    ///     let error = match connect() {
    ///         Ok(connection) => loop {
    ///             match receive(&connection) {
    ///                 Ok(_message) => retry.succeeded(),
    ///                 Err(error) => break error,
    ///             }
    ///         },
    ///         Err(error) => error,
    ///     };
    ///     retry.wait_after(error)?;
    /// }
    /// # };
    /// # assert_eq!(watch().unwrap_err().error().kind(), ErrorKind::NotFound);
    /// ```
    pub fn succeeded(&mut self) {
        self.progress.succeeded(self.report());
        self.progress = Progress::new(None);
        self.before = self.progress;
        self.stopped = None;
    }
}

impl fmt::Debug for RetryContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryContext")
            .field("policy", &self.policy)
            .field("attempt", &self.attempt())
            .field("waited", &self.waited())
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

/// Where an operation stands between its first call and its last. It decides and keeps count; it
/// neither calls the operation nor sleeps. Its 24 bytes are a part of every waiting future.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    start: Option<Moment>,
    waited: Waited,
    attempt: u32,
    previous: Brief,
}

impl Progress {
    /// In the first attempt. Where there is a deadline, `start` is when that attempt started, or
    /// `None` where nobody knows: it then counts from the first failure.
    #[inline]
    pub(crate) const fn new(start: Option<Moment>) -> Self {
        Self { start, waited: Waited::ZERO, attempt: 1, previous: Brief::ZERO }
    }

    /// In the first attempt, which starts now. Without a deadline the clock is not read.
    #[inline(never)]
    pub(crate) fn started(policy: &RetryPolicy) -> Self {
        Self::new(Moment::if_limited(policy.max_elapsed()))
    }

    /// What to do now that this attempt has failed. Granted, the delay, in nanoseconds, is to be waited and
    /// [`next_attempt`](Self::next_attempt) to be told. Whoever has room for `run` keeps it for the next
    /// failure.
    #[expect(
        clippy::inline_always,
        reason = "one decision in three drivers: a call would cost as much again"
    )]
    #[inline(always)]
    pub(crate) fn after_failure<E>(
        &mut self,
        error: &E,
        classify: &mut impl Classify<E>,
        run: &mut Run,
        report: Report<'_, impl Observer + ?Sized>,
    ) -> Result<u64, StopReason> {
        let decision = self.decide(error, classify, run, report.log.policy);
        match decision {
            Ok(nanos) => report.retry(type_name::<E>(), self.attempt, self.waited, nanos),
            Err(reason) => report.gave_up(type_name::<E>(), self.attempt, self.waited(), reason),
        }
        decision
    }

    /// The wait in nanoseconds. The order of the tests is the order of the reasons.
    #[expect(
        clippy::inline_always,
        reason = "one decision in three drivers: a call would cost as much again"
    )]
    #[inline(always)]
    fn decide<E>(
        &mut self,
        error: &E,
        classify: &mut impl Classify<E>,
        run: &mut Run,
        policy: &RetryPolicy,
    ) -> Result<u64, StopReason> {
        if !classify.is_transient(error) {
            return Err(StopReason::Permanent);
        }
        if self.attempt >= policy.max_attempts() {
            return Err(StopReason::AttemptsExhausted);
        }
        let floor = match classify.retry_after(error) {
            Some(hint) if hint > policy.max_delay() => return Err(StopReason::RetryAfterTooLong),
            hint => hint.map_or(0, nanos),
        };
        let nanos = policy.backoff.wait(self.attempt, run, &mut self.previous, floor);
        if policy.is_metered() {
            self.start = self.afford(policy, nanos)?;
        }
        Ok(nanos)
    }

    /// What only a deadline or a budget can refuse. Granted, it tells when the first attempt started.
    #[cold]
    fn afford(self, policy: &RetryPolicy, nanos: u64) -> Result<Option<Moment>, StopReason> {
        let mut start = self.start;
        if let Some(limit) = policy.max_elapsed() {
            let now = Moment::now();
            let clock = now.since(*start.get_or_insert(now));
            // The waits asked for count where the clock shows less, so that the rule holds, and can be
            // tested, with a sleeper that does not sleep.
            if clock.max(self.waited()).saturating_add(policy.backoff.duration(nanos)) > limit {
                return Err(StopReason::DeadlineExceeded);
            }
        }
        // Last, so that only a retry that will be made is charged.
        if policy.budget().is_some_and(|budget| !budget.withdraw()) {
            return Err(StopReason::BudgetExhausted);
        }
        Ok(start)
    }

    /// The attempt that runs now, from 1.
    #[inline]
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The sum of the waits so far.
    #[inline]
    pub(crate) const fn waited(&self) -> Duration {
        self.waited.get()
    }

    #[inline]
    pub(crate) fn event<'a, E>(
        &self,
        policy: &RetryPolicy,
        delay: Duration,
        error: &'a E,
    ) -> RetryEvent<'a, E> {
        RetryEvent {
            attempt: self.attempt,
            max_attempts: policy.max_attempts(),
            delay,
            waited: self.waited(),
            error,
            name: policy.name(),
        }
    }

    /// The delay was waited: the next attempt starts now.
    #[inline]
    pub(crate) fn next_attempt(&mut self, waited: u64) {
        self.waited = self.waited.plus(waited);
        self.attempt += 1;
    }

    /// There is no next attempt, for a reason that lies outside of this decision.
    #[inline]
    pub(crate) fn stopped<E>(
        self,
        error: E,
        reason: StopReason,
        report: Report<'_, impl Observer + ?Sized>,
    ) -> RetryError<E> {
        let stopped = self.gave_up(error, reason);
        report.stopped(&stopped);
        stopped
    }

    /// The running attempt succeeded, and pays for retries.
    #[inline]
    pub(crate) fn succeeded(&self, report: Report<'_, impl Observer + ?Sized>) {
        if report.log.policy.is_metered() {
            feed(report.log.policy);
        }
        report.succeeded(self.attempt, self.waited);
    }

    #[inline]
    pub(crate) fn gave_up<E>(self, error: E, reason: StopReason) -> RetryError<E> {
        RetryError::new(error, self.attempt, self.waited(), reason)
    }
}

/// A function of its own: where that is a call, who has no budget need not make room for it.
#[inline]
fn feed(policy: &RetryPolicy) {
    if let Some(budget) = policy.budget() {
        budget.deposit();
    }
}
