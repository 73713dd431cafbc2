//! `RetryContext`: a retry loop that the caller writes.

use core::any::type_name;
use core::fmt;
use core::panic::Location;
use core::time::Duration;

use crate::budget::RetryBudget;
use crate::decision::{Decision, Wait};
use crate::error::{RetryError, Stop, StopReason};
use crate::event::{Observer, RetryEvent};
use crate::hooks::{
    Budgeted, ByError, ByOutcome, ChainBudget, Classify, ClassifyError, ComputeDelay, Hooks,
    NotSet, Notify, Observe, Observed,
};
use crate::operation::Deadline;
use crate::policy::RetryPolicy;
use crate::report::Call;
use crate::sealed::Internal;
#[cfg(feature = "async")]
use crate::sleep::{AsyncSleep, fair, yield_now};
use crate::sleep::{Ended, Sleep, Wake};
use crate::transient::Verdict;

impl RetryPolicy {
    /// Starts a retry loop, for a block that needs `?`, `break` or `&mut` state. Call it right before the first
    /// attempt: a deadline counts from this call.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// # fn main() -> Result<(), retry_ext::RetryError<std::io::Error>> {
    /// let mut retry = RetryPolicy::new().start();
    /// let manifest = loop {
    ///     if let Some(manifest) = retry.step(std::fs::read_to_string("Cargo.toml"))? {
    ///         break manifest;
    ///     }
    /// };
    /// # assert!(manifest.contains("[package]"));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn start(&self) -> RetryContext {
        self.start_at(Location::caller())
    }

    /// Starts a retry loop whose log records name `caller`. Use it in layers and macros that have their caller
    /// only as a value. Otherwise it is the same as [`start`](Self::start).
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// use std::panic::Location;
    ///
    /// struct Layer { made_at: &'static Location<'static> }
    ///
    /// impl Layer {
    ///     #[track_caller]
    ///     fn new() -> Self {
    ///         Self { made_at: Location::caller() }
    ///     }
    /// }
    ///
    /// let layer = Layer::new();
    /// let mut retry = RetryPolicy::new().start_at(layer.made_at);
    /// assert_eq!(retry.step(Ok::<_, std::io::Error>(7)).unwrap(), Some(7));
    /// ```
    pub fn start_at(&self, caller: &'static Location<'static>) -> RetryContext {
        RetryContext {
            policy: *self,
            caller,
            hooks: Hooks::NONE,
            decision: Decision::started(self),
            granted: None,
            stopped: None,
            given_limits: None,
        }
    }

    /// Continues an operation that began in another process. The next attempt has the number `attempt`, and the
    /// first attempt began `elapsed` ago. It calls [`start`](Self::start) and then [`RetryContext::resume`], which
    /// has the details. To attach an observer first, call those two.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryPolicy, StopReason};
    /// let policy = RetryPolicy::new();
    /// let age = Duration::from_secs(40);
    /// assert_eq!(policy.resume(3, age).unwrap().attempt(), 3);
    /// assert_eq!(policy.resume(4, age).unwrap_err(), StopReason::AttemptsExhausted);
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`RetryContext::resume`].
    #[track_caller]
    pub fn resume(&self, attempt: u32, elapsed: Duration) -> Result<RetryContext, StopReason> {
        self.start().resume(attempt, elapsed)
    }
}

/// A retry loop, for blocks that use `?`, `break` or `&mut` state, or have other reasons to give up early.
///
/// Made by [`RetryPolicy::start`]. Pass the outcome of each attempt to [`step`](Self::step), or in async code to
/// `step_async`. The method records a success, waits after a failure, or returns the last error:
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
///         if let Some(number) = retry.step(connection.send(line))? {
///             return Ok(number);
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
/// A retry loop follows the same rules as `retry_with`, and has the same settings. Call the settings before the
/// loop. A closure that calls methods of the error needs the argument's type, because the context does not know
/// the error type yet:
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::RetryPolicy;
///
/// # let mut failures = 1;
/// # let mut bind = || if failures > 0 { failures -= 1; Err(Error::from(ErrorKind::AddrInUse)) } else { Ok("socket") };
/// let mut retry = RetryPolicy::new()
///     .start()
///     .retry_if(|error: &Error| error.kind() == ErrorKind::AddrInUse)
///     .on_retry(|retry| eprintln!("{retry}: {}", retry.error))
///     .sleep_with(|_delay| ());
/// let socket = loop {
///     if let Some(socket) = retry.step(bind())? {
///         break socket;
///     }
/// };
/// assert_eq!(socket, "socket");
/// # Ok::<(), retry_ext::RetryError<Error>>(())
/// ```
///
/// | to | call |
/// |---|---|
/// | pass on each outcome | [`step`](Self::step), `step_async` |
/// | pass on failures only | [`wait_after`](Self::wait_after), `wait_after_async`, and [`succeeded`](Self::succeeded) after a success |
/// | wait in your own way | [`delay_after`](Self::delay_after) or [`delay_after_outcome`](Self::delay_after_outcome); then [`woken`](Self::woken) or [`cancelled`](Self::cancelled) if the wait ends early |
/// | begin a new count without a success | [`reset`](Self::reset) |
/// | run another operation with the same settings | [`restart`](Self::restart) |
/// | allow no further attempt | [`exhaust`](Self::exhaust) |
///
/// A context can be the field of a struct: without settings its type is `RetryContext`. It is `Clone` if its
/// settings are. A clone continues from the same state.
#[must_use = "a RetryContext does nothing by itself: pass each outcome to `step`"]
#[derive(Clone)]
pub struct RetryContext<H = Hooks> {
    policy: RetryPolicy,
    caller: &'static Location<'static>,
    hooks: H,
    decision: Decision,
    /// The last granted retry, in case its wait ends early, and the type of its failure.
    granted: Option<(Wait, &'static str)>,
    stopped: Option<Stop>,
    /// The limits of the given policy, while `policy` has the lower limits of a resumed or exhausted operation.
    given_limits: Option<(u32, Option<Duration>)>,
}

impl<C, N, S, O, D, B> RetryContext<Hooks<C, N, S, O, D, B>> {
    fn with<H>(self, set: impl FnOnce(Hooks<C, N, S, O, D, B>) -> H) -> RetryContext<H> {
        let Self { policy, caller, hooks, decision, granted, stopped, given_limits } = self;
        let hooks = set(hooks);
        RetryContext { policy, caller, hooks, decision, granted, stopped, given_limits }
    }

    /// Retries the errors for which `predicate` returns `true`; see [`RetryExt::retry_if`](crate::RetryExt::retry_if).
    ///
    /// ```
    /// # use retry_ext::{RetryPolicy, StopReason};
    /// # use std::num::ParseIntError;
    /// let mut retry = RetryPolicy::new().start().retry_if(|_error: &ParseIntError| false);
    /// let error = retry.step("x".parse::<u8>()).unwrap_err();
    /// assert_eq!(error.reason(), StopReason::Permanent);
    /// ```
    pub fn retry_if<E, Q>(self, predicate: Q) -> RetryContext<Hooks<ByError<Q>, N, S, O, D, B>>
    where
        Q: FnMut(&E) -> bool,
    {
        self.with(|hooks| hooks.with_predicate(predicate))
    }

    /// Judges whole outcomes, `Ok` values included; see [`RetryExt::classify`](crate::RetryExt::classify). Call it before
    /// [`on_retry`](Self::on_retry) and [`delay_with`](Self::delay_with).
    ///
    /// ```
    /// # use retry_ext::{RetryPolicy, Verdict};
    /// # use std::num::ParseIntError;
    /// let mut retry = RetryPolicy::new()
    ///     .start()
    ///     .classify(|outcome: &Result<u8, ParseIntError>| match outcome {
    ///         Ok(0) => Verdict::Transient,
    ///         Ok(_) => Verdict::Success,
    ///         Err(_) => Verdict::Permanent,
    ///     })
    ///     .sleep_with(|_delay| ());
    /// assert_eq!(retry.step("0".parse()), Ok(None));
    /// assert_eq!(retry.step("7".parse()), Ok(Some(7)));
    /// ```
    pub fn classify<T, E, J>(self, judge: J) -> RetryContext<Hooks<ByOutcome<J>, N, S, O, D, B>>
    where
        J: FnMut(&Result<T, E>) -> Verdict,
        N: NotSet,
        D: NotSet,
    {
        self.with(|hooks| hooks.with_judge(judge))
    }

    /// Calls `hook` once per retry, before the wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry). Every method
    /// that grants a retry calls it, [`delay_after`](Self::delay_after) included.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use retry_ext::{RetryEvent, RetryPolicy};
    /// let mut retries = Vec::new();
    /// let mut retry = RetryPolicy::new()
    ///     .start()
    ///     .on_retry(|retry: &RetryEvent<'_, Error>| retries.push((retry.attempt, retry.delay.as_secs())));
    /// assert!(retry.delay_after(&Error::from(ErrorKind::TimedOut)).is_ok());
    /// assert_eq!(retries, [(1, 1)]);
    /// ```
    pub fn on_retry<X, M>(self, hook: M) -> RetryContext<Hooks<C, M, S, O, D, B>>
    where
        M: FnMut(&RetryEvent<'_, X>),
    {
        self.with(|hooks| hooks.with_hook(hook))
    }

    /// Replaces the sleeper. For [`step`](Self::step), pass a closure that waits, as in
    /// [`RetryExt::sleep_with`](crate::RetryExt::sleep_with). For `step_async`, pass a closure that returns a
    /// future, as in `AsyncRetryExt::sleep_with`.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use retry_ext::RetryPolicy;
    /// let mut waits = Vec::new();
    /// let mut retry = RetryPolicy::new().start().sleep_with(|delay| waits.push(delay.as_secs()));
    /// assert!(retry.step(Err::<(), _>(Error::from(ErrorKind::TimedOut))).is_ok());
    /// assert_eq!(waits, [1]);
    /// ```
    pub fn sleep_with<R, W>(self, sleeper: R) -> RetryContext<Hooks<C, N, R, O, D, B>>
    where
        R: FnMut(Duration) -> W,
    {
        self.with(|hooks| hooks.with_sleeper(sleeper))
    }

    /// Reports every retry, success and failure to `observer`. Attach the observer right after the context is
    /// made, so that the observer sees the whole operation.
    ///
    /// ```
    /// use retry_ext::{RetryPolicy, RetryStats};
    ///
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// let mut retry = RetryPolicy::new().start().observe(&STATS);
    /// assert_eq!(retry.step(Ok::<_, std::io::Error>(7)).unwrap(), Some(7));
    /// assert_eq!(STATS.snapshot().succeeded_at_first, 1);
    /// ```
    pub fn observe<V>(self, observer: V) -> RetryContext<Hooks<C, N, S, Observed<V>, D, B>>
    where
        V: Observer,
    {
        self.with(|hooks| hooks.with_observer(observer))
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`](crate::RetryExt::delay_with).
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::Duration;
    /// # use retry_ext::RetryPolicy;
    /// let mut retry = RetryPolicy::new()
    ///     .start()
    ///     .delay_with(|retry, _error: &Error| Duration::from_millis(5) * retry);
    /// let error = Error::from(ErrorKind::TimedOut);
    /// assert_eq!(retry.delay_after(&error), Ok(Duration::from_millis(5)));
    /// assert_eq!(retry.delay_after(&error), Ok(Duration::from_millis(10)));
    /// ```
    pub fn delay_with<X, L>(self, delay: L) -> RetryContext<Hooks<C, N, S, O, L, B>>
    where
        L: FnMut(u32, &X) -> Duration,
    {
        self.with(|hooks| hooks.with_delay(delay))
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`](crate::RetryExt::budget).
    ///
    /// ```
    /// # use retry_ext::{RetryBudget, RetryPolicy};
    /// let budget = RetryBudget::new().with_ratio(1.0);
    /// let mut retry = RetryPolicy::new().start().budget(&budget);
    /// assert_eq!(retry.step(Ok::<_, std::io::Error>(7)).unwrap(), Some(7));
    /// assert_eq!(budget.available(), 2 + 1); // the success was recorded
    /// ```
    pub fn budget<A>(self, budget: A) -> RetryContext<Hooks<C, N, S, O, D, Budgeted<A>>>
    where
        A: AsRef<RetryBudget>,
    {
        self.with(|hooks| hooks.with_budget(budget))
    }
}

impl<H> RetryContext<H> {
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

    /// Returns the sum of the requested waits so far.
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

    /// Returns the time from now until the policy's [deadline](RetryPolicy::with_max_elapsed). It is zero if the
    /// deadline has passed, and `None` if the policy has none. A granted wait counts as passed. After
    /// [`succeeded`](Self::succeeded) or [`reset`](Self::reset), it is the whole time until the next failure
    /// starts the count.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::RetryPolicy;
    /// let retry = RetryPolicy::within(Duration::from_secs(30)).start();
    /// assert!(retry.remaining().is_some_and(|left| left <= Duration::from_secs(30)));
    /// assert_eq!(RetryPolicy::new().start().remaining(), None);
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.decision.deadline(&self.policy).map(Deadline::remaining)
    }

    /// Starts a new count without a success. The next attempt is the first one, with all attempts and the first
    /// delay, and a deadline counts from its failure. Reports nothing and leaves the budget unchanged. A stopped
    /// context can be used again.
    ///
    /// Call it when a connection that lived for a while has broken, if the loss of the connection is expected:
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use std::time::{Duration, Instant};
    /// # use retry_ext::RetryPolicy;
    /// # let mut lives = 6;
    /// # let mut session = || -> Result<(), Error> { lives -= 1; Err(if lives == 0 { ErrorKind::NotFound } else { ErrorKind::ConnectionReset }.into()) };
    /// # const A_WHILE: Duration = Duration::ZERO;
    /// # let policy = RetryPolicy::new().with_initial_delay(Duration::ZERO);
    /// let mut retry = policy.start();
    /// let ended = loop {
    ///     let started = Instant::now();
    ///     let outcome = session();
    ///     if started.elapsed() >= A_WHILE {
    ///         retry.reset();
    ///     }
    ///     match retry.step(outcome) {
    ///         Ok(None) => {}
    ///         ended => break ended,
    ///     }
    /// };
    /// assert_eq!(ended.unwrap_err().error().kind(), ErrorKind::NotFound); // after six sessions
    /// ```
    pub const fn reset(&mut self) {
        self.decision = Decision::new(None);
        self.granted = None;
        self.stopped = None;
        if let Some((max_attempts, max_elapsed)) = self.given_limits.take() {
            self.policy = self.policy.with_max_attempts(max_attempts);
            if let Some(max_elapsed) = max_elapsed {
                self.policy = self.policy.with_max_elapsed(max_elapsed);
            }
        }
    }

    /// Sets lower limits than those of the given policy, until the next count.
    const fn limit(&mut self, policy: RetryPolicy) {
        if self.given_limits.is_none() {
            self.given_limits = Some((self.policy.max_attempts(), self.policy.max_elapsed()));
        }
        self.policy = policy;
    }

    /// Starts another operation with the same settings. Its first attempt starts now, and a deadline counts from
    /// now. Reports nothing and leaves the budget unchanged.
    ///
    /// Layers and pools configure one context, and start a clone of it for each request. After
    /// [`reset`](Self::reset) a deadline counts from the first failure instead.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use retry_ext::{RetryPolicy, RetryStats};
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// let template = RetryPolicy::new().start().observe(&STATS);
    /// for _request in 0..3 {
    ///     let mut retry = template.clone();
    ///     retry.restart();
    ///     assert!(retry.delay_after(&Error::from(ErrorKind::TimedOut)).is_ok());
    ///     assert_eq!((retry.attempt(), retry.waited().as_secs()), (2, 1));
    /// }
    /// assert_eq!(STATS.snapshot().retries, 3);
    /// ```
    pub fn restart(&mut self) {
        self.reset();
        self.decision = Decision::started(&self.policy);
    }

    /// Makes the running attempt the last one. If it fails with a transient error, the retry stops with
    /// [`StopReason::AttemptsExhausted`]. A new count has all attempts again.
    ///
    /// Call it when the attempt has used up something that the next attempt would need, such as a body that can be
    /// read once.
    ///
    /// ```
    /// # use std::io::{Error, ErrorKind};
    /// # use retry_ext::{RetryPolicy, StopReason};
    /// let mut retry = RetryPolicy::new().start();
    /// retry.exhaust();
    /// let error = retry.step(Err::<(), _>(Error::from(ErrorKind::TimedOut))).unwrap_err();
    /// assert_eq!((error.attempts(), error.reason()), (1, StopReason::AttemptsExhausted));
    /// ```
    pub const fn exhaust(&mut self) {
        self.limit(self.policy.with_max_attempts(self.decision.attempt()));
    }

    /// Records that the wait granted by [`delay_after`](Self::delay_after) ended early. The attempt follows,
    /// nothing of the wait is added to [`waited`](Self::waited), and a deadline counts only the clock's time.
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
        if let Some((wait, _)) = self.granted.take() {
            self.decision.woken(wait);
        }
    }
}

impl<C, N, S, O, D, B> RetryContext<Hooks<C, N, S, O, D, B>>
where
    O: Observe,
{
    /// Continues an operation that began in another process. The next attempt has the number `attempt`, and the
    /// first attempt began `elapsed` ago. Call it in a worker that takes a job from a queue, before the job runs.
    /// The queue keeps both values: it counts the deliveries of a job, and stores when the job was enqueued or
    /// first taken.
    ///
    /// The delays that follow are those of an operation that had `attempt - 1` failures without hints.
    /// Decorrelated jitter depends on earlier draws: it repeats at most the last 127 of them, from the policy's
    /// backoff even if [`delay_with`](Self::delay_with) was called. Without a seed, it draws them afresh.
    ///
    /// The deadline is `elapsed` sooner than for a new operation, until [`succeeded`](Self::succeeded) or
    /// [`reset`](Self::reset). [`waited`](Self::waited) begins at zero. Attempt 0 is treated as attempt 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use retry_ext::{RetryPolicy, RetryStats, StopReason};
    ///
    /// const POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(5);
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// struct Job { delivered: u32, age: Duration }
    /// enum After { Done, RunAgainIn(Duration), Dead }
    ///
    /// fn handle(job: &Job, run: impl Fn(&Job) -> Result<(), std::io::Error>) -> After {
    ///     let Ok(mut retry) = POLICY.start().observe(&STATS).resume(job.delivered, job.age) else {
    ///         return After::Dead; // the job has killed its worker five times
    ///     };
    ///     match run(job) {
    ///         Ok(()) => {
    ///             retry.succeeded();
    ///             After::Done
    ///         }
    ///         Err(error) => retry.delay_after(&error).map_or(After::Dead, After::RunAgainIn),
    ///     }
    /// }
    ///
    /// let job = |delivered| Job { delivered, age: Duration::from_secs(90) };
    /// let fails = |_: &Job| Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
    /// assert!(matches!(handle(&job(3), fails), After::RunAgainIn(delay) if delay.as_secs() == 4));
    /// assert!(matches!(handle(&job(5), fails), After::Dead));
    /// assert!(matches!(handle(&job(6), |_| unreachable!("it does not run")), After::Dead));
    /// assert_eq!(STATS.snapshot().gave_up(StopReason::AttemptsExhausted), 2);
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`StopReason::AttemptsExhausted`] if `attempt` is above the policy's limit, or else
    /// [`StopReason::DeadlineExceeded`] if no time is left. The refusal is logged, and reported to the observer. A
    /// job that kills its worker never reports its failure: without this check it would run forever.
    pub fn resume(mut self, attempt: u32, elapsed: Duration) -> Result<Self, StopReason> {
        self.reset();
        let Self { policy, caller, hooks, .. } = &self;
        let attempt = attempt.max(1);
        if let Some(reason) = policy.refuses(attempt, elapsed) {
            hooks.report(Call::new(policy, caller)).refused(attempt - 1, reason);
            return Err(reason);
        }
        if let Some(max_elapsed) = policy.max_elapsed().filter(|max| *max != Duration::MAX) {
            self.limit(policy.with_max_elapsed(max_elapsed.saturating_sub(elapsed)));
        }
        self.decision = Decision::resumed(&self.policy, attempt);
        Ok(self)
    }
}

impl<C, N, S, O, D, B> RetryContext<Hooks<C, N, S, O, D, B>>
where
    O: Observe,
    B: ChainBudget,
{
    /// Records the outcome of an attempt. After a success, returns its value. After a failure, blocks the thread
    /// until the next attempt may start and returns `None`, or returns the last error.
    ///
    /// A success refills the budget, is logged if it is a recovery, and starts a new count. In async code, use
    /// `step_async`.
    ///
    /// # Errors
    ///
    /// Returns the error, in a [`RetryError`] with the reason for which there is no further attempt. Every further
    /// failure returns the same reason, until a success or [`reset`](Self::reset). After
    /// [`classify`](Self::classify), a last `Ok` value is returned like a success, and the next outcome begins a
    /// new count.
    ///
    /// ```
    /// # use retry_ext::RetryPolicy;
    /// # use std::time::Duration;
    /// # let policy = RetryPolicy::new().with_initial_delay(Duration::from_millis(1));
    /// fn first_line(policy: &RetryPolicy, path: &str) -> Result<String, Box<dyn std::error::Error>> {
    ///     let mut retry = policy.start();
    ///     let text = loop {
    ///         if let Some(text) = retry.step(std::fs::read_to_string(path))? {
    ///             break text;
    ///         }
    ///     };
    ///     Ok(text.lines().next().ok_or("an empty file")?.into())
    /// }
    /// assert!(first_line(&policy, "Cargo.toml").is_ok());
    /// ```
    ///
    /// # Panics
    ///
    /// In a browser, which cannot block, if it would sleep and [`sleep_with`](Self::sleep_with) was not called.
    pub fn step<T, E>(&mut self, outcome: Result<T, E>) -> Result<Option<T>, RetryError<E>>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: Sleep,
        D: ComputeDelay<C::Failure>,
    {
        let (failure, delay) = match self.judge(outcome) {
            Judged::Ended(result) => return result.map(Some),
            Judged::Granted(failure, delay) => (failure, delay),
        };
        let kept = S::Answer::keep(failure, Internal);
        let ended = self.hooks.sleeper.sleep(delay, Internal).end(kept, Internal);
        self.end_wait(ended)
    }

    /// Records the outcome of an attempt. After a success, returns its value. After a failure, sleeps until the
    /// next attempt may start and returns `None`, or returns the last error.
    ///
    /// Needs the feature `async`. It sleeps on tokio's timer with the feature `tokio`, on the browser's timer
    /// with `web`, and on any other timer after [`sleep_with`](Self::sleep_with).
    ///
    /// Use it if the futures need `&mut` access: a closure cannot lend captured state to the futures it returns.
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
    ///         if let Some(length) = retry.step_async(connection.send(line).await).await? {
    ///             return Ok(length);
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
    /// Returns the same errors as [`step`](Self::step).
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its timer enabled, unless [`sleep_with`](Self::sleep_with) was called.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while waiting, the outcome is lost and the wait still counts: [`attempt`](Self::attempt)
    /// and [`waited`](Self::waited) have already advanced. A future that is never polled does nothing.
    #[cfg(feature = "async")]
    pub async fn step_async<T, E>(
        &mut self,
        outcome: Result<T, E>,
    ) -> Result<Option<T>, RetryError<E>>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        S: AsyncSleep,
        D: ComputeDelay<C::Failure>,
    {
        let (failure, delay) = match self.judge(outcome) {
            Judged::Ended(result) => return result.map(Some),
            Judged::Granted(failure, delay) => (failure, delay),
        };
        let kept = <S::Wait as Future>::Output::keep(failure, Internal);
        let ended = if let Some(wait) = self.hooks.sleeper.sleep(delay, Internal) {
            fair(wait).await.end(kept, Internal)
        } else {
            drop(kept);
            yield_now().await;
            Ended::Elapsed
        };
        self.end_wait(ended)
    }

    fn end_wait<T, E>(&mut self, ended: Ended<C::Failure>) -> Result<Option<T>, RetryError<E>>
    where
        C: Classify<T, E>,
    {
        match ended {
            Ended::Elapsed => {
                self.granted = None;
                Ok(None)
            }
            Ended::Woken(_dropped) => {
                self.woken();
                Ok(None)
            }
            Ended::Cancelled(failure) => {
                let failure_type = C::type_name(&failure, Internal);
                let stopped = self.cancel(failure, failure_type);
                self.finish::<T, E>(stopped).map(Some)
            }
        }
    }

    /// Records a failed attempt, then blocks the thread until the next one may start. In async code, use
    /// `wait_after_async`. [`step`](Self::step) also records successes. To wait in another way, call
    /// [`delay_after`](Self::delay_after).
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
    ///
    /// # Panics
    ///
    /// As [`step`](Self::step).
    pub fn wait_after<E>(&mut self, error: E) -> Result<(), RetryError<E>>
    where
        C: ClassifyError<E>,
        N: Notify<E>,
        S: Sleep,
        D: ComputeDelay<E>,
    {
        self.step(Err::<(), E>(error)).map(|_waited| ())
    }

    /// Records a failed attempt, then sleeps until the next one may start, as `step_async` does.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::RetryPolicy;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut retry = RetryPolicy::new().start();
    /// assert!(retry.wait_after_async(Error::from(ErrorKind::TimedOut)).await.is_ok());
    /// assert_eq!((retry.attempt(), retry.waited().as_secs()), (2, 1));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error, in a [`RetryError`] with the reason for which there is no further attempt.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its timer enabled, unless [`sleep_with`](Self::sleep_with) was called.
    ///
    /// # Cancel safety
    ///
    /// The same as for `step_async`: a dropped future loses the error, and the wait still counts.
    #[cfg(feature = "async")]
    pub async fn wait_after_async<E>(&mut self, error: E) -> Result<(), RetryError<E>>
    where
        C: ClassifyError<E>,
        N: Notify<E>,
        S: AsyncSleep,
        D: ComputeDelay<E>,
    {
        self.step_async(Err::<(), E>(error)).await.map(|_waited| ())
    }

    /// Records a failed attempt and returns the delay before the next one, without sleeping. Use it for
    /// schedulers, event loops and waits that can be cut short.
    ///
    /// The delay counts as waited, and the next attempt as begun. If the wait ends early and the attempt follows,
    /// call [`woken`](Self::woken). If you abandon the wait, call [`cancelled`](Self::cancelled). After a success,
    /// call [`succeeded`](Self::succeeded), or the budget is not refilled.
    ///
    /// # Errors
    ///
    /// Returns the reason for which there is no further attempt. Every further call returns the same reason, until
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
    ///         Ok(connection) => {
    ///             retry.succeeded();
    ///             break Ok(connection);
    ///         }
    ///         Err(error) => error,
    ///     };
    ///     match retry.delay_after(&error) {
    ///         Ok(delay) => match shutdown.recv_timeout(delay) {
    ///             Err(RecvTimeoutError::Timeout) => {}
    ///             Ok(()) | Err(RecvTimeoutError::Disconnected) => break Err(retry.cancelled(error)),
    ///         },
    ///         Err(_reason) => break retry.wait_after(error), // does not wait, and returns the error
    ///     }
    /// };
    /// assert_eq!(outcome.unwrap_err().reason(), StopReason::Cancelled);
    /// ```
    pub fn delay_after<E>(&mut self, error: &E) -> Result<Duration, StopReason>
    where
        C: ClassifyError<E>,
        N: Notify<E>,
        D: ComputeDelay<E>,
    {
        self.decide::<(), E>(error, ()).map_err(|stop| stop.reason)
    }

    /// Records the outcome of an attempt and returns the delay before the next one, without sleeping. Use it for
    /// schedulers and layers that judge whole outcomes; see [`classify`](Self::classify) and
    /// [`delay_after`](Self::delay_after).
    ///
    /// # Errors
    ///
    /// Returns the reason for which there is no further attempt. A success is recorded as by
    /// [`succeeded`](Self::succeeded). It also returns [`StopReason::Permanent`], because the outcome is final.
    ///
    /// ```
    /// # use std::io::Error;
    /// # use std::time::Duration;
    /// # use retry_ext::{RetryPolicy, StopReason, Verdict};
    /// let mut retry = RetryPolicy::new().start().classify(|status: &Result<u16, Error>| match status {
    ///     Ok(429) => Verdict::TransientAfter(Duration::from_secs(9)),
    ///     Ok(_) => Verdict::Success,
    ///     Err(error) => Verdict::of(error),
    /// });
    /// assert_eq!(retry.delay_after_outcome(&Ok(429)), Ok(Duration::from_secs(9)));
    /// assert_eq!(retry.delay_after_outcome(&Ok(200)), Err(StopReason::Permanent));
    /// assert_eq!(retry.attempt(), 1); // a new count
    /// ```
    pub fn delay_after_outcome<T, E>(
        &mut self,
        outcome: &Result<T, E>,
    ) -> Result<Duration, StopReason>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        D: ComputeDelay<C::Failure>,
    {
        let Some((failure, judgement)) = self.hooks.classifier.judge_ref(outcome, Internal) else {
            self.succeeded();
            return Err(StopReason::Permanent);
        };
        self.decide::<T, E>(failure, judgement).map_err(|stop| stop.reason)
    }

    /// Judges an outcome, and decides if it is a failure.
    fn judge<T, E>(&mut self, outcome: Result<T, E>) -> Judged<T, E, C::Failure>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        D: ComputeDelay<C::Failure>,
    {
        let (failure, judgement) = match self.hooks.classifier.judge(outcome, Internal) {
            Ok(value) => {
                self.succeeded();
                return Judged::Ended(Ok(value));
            }
            Err(failed) => failed,
        };
        match self.decide::<T, E>(&failure, judgement) {
            Ok(delay) => Judged::Granted(failure, delay),
            Err(stop) => {
                let stopped = self.decision.give_up(failure, stop);
                Judged::Ended(self.finish::<T, E>(stopped))
            }
        }
    }

    /// Makes the result of a stop. A last value is a success for the caller, so the loop starts a new count after
    /// it.
    fn finish<T, E>(&mut self, stopped: RetryError<C::Failure>) -> Result<T, RetryError<E>>
    where
        C: Classify<T, E>,
    {
        let result = C::finish(stopped, Internal);
        if result.is_ok() {
            self.reset();
        }
        result
    }

    fn decide<T, E>(
        &mut self,
        failure: &C::Failure,
        judgement: C::Judgement,
    ) -> Result<Duration, Stop>
    where
        C: Classify<T, E>,
        N: Notify<C::Failure>,
        D: ComputeDelay<C::Failure>,
    {
        if let Some(stop) = self.stopped {
            return Err(stop);
        }
        let Self { policy, caller, hooks, decision, granted, stopped, .. } = self;
        *granted = None;
        let failure_type = C::type_name(failure, Internal);
        let noted = |decided: Result<&Wait, Stop>| match decided {
            Ok(wait) => *granted = Some((wait.clone(), failure_type)),
            Err(stop) => *stopped = Some(stop),
        };
        let call = Call::new(policy, caller);
        let (_, delay) = decision.failed_afresh(hooks, failure, judgement, call, noted)?;
        Ok(delay)
    }

    /// Records that the wait granted by [`delay_after`](Self::delay_after) was cut short for good. Returns the
    /// error that `retry_with` would return, with [`StopReason::Cancelled`]. The wait is not counted.
    ///
    /// After [`delay_after_outcome`](Self::delay_after_outcome), pass the outcome in place of an error.
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
        self.cancel(error, type_name::<E>())
    }

    fn cancel<X>(&mut self, failure: X, failure_type: &str) -> RetryError<X> {
        if let Some(stop) = self.stopped {
            return self.decision.give_up(failure, stop);
        }
        let Self { policy, caller, hooks, decision, granted, stopped, .. } = self;
        let report = hooks.report(Call::new(policy, caller));
        let stopping = |stop| *stopped = Some(stop);
        if let Some((wait, failure_type)) = granted.take() {
            return decision.cancelled(wait, failure, failure_type, report, stopping);
        }
        let stop = Stop::because(StopReason::Cancelled);
        decision.stop(failure, failure_type, stop, report, stopping)
    }

    /// Records a success: refills the policy's [budget](crate::RetryBudget), if it has one, and starts a new
    /// count. In a long-lived loop, such as one that reconnects or watches, the next failure is then a first
    /// failure. It has all attempts and the first delay, and a deadline counts from that failure.
    ///
    /// Call it once the work has succeeded, not merely once the connection is up. Otherwise, a server that accepts
    /// and immediately drops connections would be retried forever. With a budget, call it once for each call of
    /// the service, not for each message that the service sends.
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
        // The attempts before a stop have been reported with the stop.
        let ended = if self.stopped.is_some() { fresh } else { self.decision };
        self.reset();
        ended.succeeded(&self.hooks, Call::new(&self.policy, self.caller));
    }
}

/// A judged outcome, with the decision after a failure.
enum Judged<T, E, X> {
    Ended(Result<T, RetryError<E>>),
    Granted(X, Duration),
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
