//! `RetryContext`: a retry loop that the caller writes.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::thread;
use std::time::Duration;

use crate::decision::{Decision, Wait};
use crate::error::{RetryError, Stop, StopReason};
use crate::event::Observer;
use crate::hooks::{Hooks, Observe, Observed};
use crate::policy::RetryPolicy;
use crate::report::Call;
use crate::transient::IsTransient;

impl RetryPolicy {
    /// Starts a retry loop, for a block that needs `?`, `break` or `&mut` state. Call it right before
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
        RetryContext {
            policy: *self,
            caller: Location::caller(),
            hooks: Hooks::NONE,
            decision: Decision::started(self),
            granted: None,
            stopped: None,
        }
    }
}

/// A retry loop, for blocks that use `?`, `break` or `&mut` state, or give up early on their own.
///
/// Made by [`RetryPolicy::start`]. It follows the same rules as `retry_with`: attempts, cap, hint, deadline,
/// jitter, order of reasons, log records. Call [`succeeded`](Self::succeeded) after each success; without it,
/// budgets are not refilled, recoveries are not logged, and the attempt count does not reset.
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
/// For a third-party error type, wrap it in a newtype that implements [`IsTransient`], or return the permanent
/// errors from the loop yourself.
#[must_use = "a RetryContext does nothing by itself: give each failure to `wait_after` or `delay_after`"]
pub struct RetryContext<H = Hooks> {
    policy: RetryPolicy,
    caller: &'static Location<'static>,
    hooks: H,
    decision: Decision,
    /// The retry that was granted last, in case its wait ends early.
    granted: Option<Wait>,
    stopped: Option<Stop>,
}

impl<O: Observe> RetryContext<Hooks<(), (), (), O>> {
    /// Reports every retry, success and failure to `observer`. Attach the observer where the context is made, so that it
    /// sees the operation as a whole.
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
    pub fn observe<B>(self, observer: B) -> RetryContext<Hooks<(), (), (), Observed<B>>>
    where
        B: Observer,
    {
        let Self { policy, caller, hooks, decision, granted, stopped } = self;
        let hooks = hooks.with_observer(observer);
        RetryContext { policy, caller, hooks, decision, granted, stopped }
    }

    /// Returns the number of the running attempt, from 1.
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
        self.decision.attempt()
    }

    /// Returns the sum of the waits so far, as they were requested.
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
        self.decision.total_wait()
    }

    /// Records a failed attempt, then blocks the thread until the next one may start. Async code awaits
    /// `wait_after_async` instead. To wait in another way, call [`delay_after`](Self::delay_after).
    ///
    /// # Errors
    ///
    /// Returns the error, in a [`RetryError`] with the reason for which there is no further attempt.
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
        match self.decide(&error) {
            Ok(delay) => {
                drop(error);
                thread::sleep(delay);
                self.granted = None;
                Ok(())
            }
            Err(stop) => Err(self.decision.give_up(error, stop)),
        }
    }

    /// Records a failed attempt, then sleeps on tokio's timer until the next one may start. Needs the feature
    /// `tokio`. With another runtime, call [`delay_after`](Self::delay_after) and await that runtime's timer.
    ///
    /// Use it when the futures need `&mut` access: a closure cannot lend captured state to the futures it
    /// returns.
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
    /// Returns the error, in a [`RetryError`] with the reason for which there is no further attempt.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with its timer enabled.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while waiting, the error is lost and the wait still counts:
    /// [`attempt`](Self::attempt) and [`waited`](Self::waited) have already advanced. A future that is never
    /// polled does nothing.
    #[cfg(feature = "tokio")]
    pub async fn wait_after_async<E: IsTransient>(
        &mut self,
        error: E,
    ) -> Result<(), RetryError<E>> {
        let delay = match self.decide(&error) {
            Ok(delay) => delay,
            Err(stop) => return Err(self.decision.give_up(error, stop)),
        };
        drop(error);
        if delay.is_zero() {
            crate::sleep::yield_now().await;
        } else {
            tokio::time::sleep(delay).await;
        }
        self.granted = None;
        Ok(())
    }

    /// Records a failed attempt and returns the delay before the next one, without sleeping. For schedulers, event
    /// loops and waits that can be cut short.
    ///
    /// The delay counts as waited and the next attempt as begun. If the wait ends early and the attempt
    /// follows, call [`woken`](Self::woken). If you abandon the wait, call [`cancelled`](Self::cancelled).
    /// After a success, call [`succeeded`](Self::succeeded), or the budget is not refilled.
    ///
    /// # Errors
    ///
    /// Returns the reason for which there is no further attempt. Every further call returns it again, until
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
        self.decide(error).map_err(|stop| stop.reason)
    }

    fn decide<E: IsTransient>(&mut self, error: &E) -> Result<Duration, Stop> {
        if let Some(stop) = self.stopped {
            return Err(stop);
        }
        let Self { policy, caller, hooks, decision, granted, stopped } = self;
        *granted = None;
        let report = hooks.report(Call { policy, caller });
        // Made again each time: a process may fork between two failures.
        let mut state = policy.backoff.state(decision.attempt());
        let stopping = |stop| *stopped = Some(stop);
        let wait = decision.failed(error, &mut (), &mut state, report, stopping)?;
        let delay = wait.delay(policy);
        *granted = Some(wait);
        Ok(delay)
    }

    /// Records that the wait granted by [`delay_after`](Self::delay_after) ended early. The attempt follows,
    /// nothing of the wait is added to [`waited`](Self::waited), and for a deadline the clock alone counts.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use retry_ext::RetryPolicy;
    /// let mut retry = RetryPolicy::new().start();
    /// assert!(retry.delay_after(&Error::from(ErrorKind::NetworkDown)).is_ok());
    /// retry.woken(); // the network is back
    /// assert_eq!((retry.attempt(), retry.waited().as_secs()), (2, 0));
    /// ```
    pub const fn woken(&mut self) {
        if let Some(wait) = self.granted.take() {
            self.decision.woken(wait);
        }
    }

    /// Records that the wait granted by [`delay_after`](Self::delay_after) was cut short for good, and returns
    /// the error that `retry_with` would return, with [`StopReason::Cancelled`]. The wait is not counted.
    ///
    /// Call it only during the wait: an attempt that has run after the wait would not be counted. A context that
    /// has stopped returns its own reason.
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
        if let Some(stop) = self.stopped {
            return self.decision.give_up(error, stop);
        }
        let Self { policy, caller, hooks, decision, granted, stopped } = self;
        let report = hooks.report(Call { policy, caller });
        let stopping = |stop| *stopped = Some(stop);
        if let Some(wait) = granted.take() {
            return decision.cancelled(wait, error, report, stopping);
        }
        decision.stop(error, Stop::because(StopReason::Cancelled), report, stopping)
    }

    /// Records a success: refills the policy's [budget](crate::RetryBudget), if it has one, and counts afresh. In a
    /// loop that lives long, such as one that reconnects or watches, the next failure is then a first one.
    /// It has all attempts and the first delay, and a deadline counts from that failure.
    ///
    /// Call it once the work has succeeded, not merely once the connection is up: a server that accepts and
    /// immediately drops connections would otherwise be retried forever. With a budget, call it once for
    /// each call of the service, not for each message that it sends.
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
        let fresh = Decision::new(None);
        let ended = mem::replace(&mut self.decision, fresh);
        self.granted = None;
        // The attempts before a stop have been reported with it.
        let ended = if self.stopped.take().is_some() { fresh } else { ended };
        ended.succeeded(self.hooks.report(Call { policy: &self.policy, caller: self.caller }));
    }
}

impl<H> fmt::Debug for RetryContext<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryContext")
            .field("policy", &self.policy)
            .field("attempt", &self.decision.attempt())
            .field("waited", &self.decision.total_wait())
            .field("stopped", &self.stopped.map(|stop| stop.reason))
            .finish_non_exhaustive()
    }
}
