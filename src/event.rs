//! What is told of a retry: the event, the log records, and what a sleeper answers.

use std::any::type_name;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::kv::Value;
use log::{Level, Record};

use crate::context::Waited;
use crate::error::{Effort, RetryError, StopReason};
use crate::policy::RetryPolicy;

/// A retry that is about to be waited for. Given to [`on_retry`](crate::RetryExt::on_retry).
///
/// Its `Display` says what happened and what comes, without the error's own text, which may hold
/// what does not belong on a terminal:
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
    /// The attempt that just failed, from 1.
    pub attempt: u32,
    /// How many attempts there are at most, the first included.
    pub max_attempts: u32,
    /// Exactly what will now be waited.
    pub delay: Duration,
    /// What was waited so far; this delay is not yet in it.
    pub waited: Duration,
    /// The error of the attempt that just failed.
    pub error: &'a E,
    /// The name of the policy, where it has one.
    pub name: Option<&'static str>,
}

impl<E> fmt::Display for RetryEvent<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = AttemptOf(self.attempt, self.max_attempts);
        write!(f, "{attempt} failed, retrying in {:?}", self.delay)
    }
}

/// "attempt 1 of 3"; the largest number stands for no limit and is not worth saying.
struct AttemptOf(u32, u32);

impl fmt::Display for AttemptOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(attempt, u32::MAX) => write!(f, "attempt {attempt}"),
            Self(attempt, max_attempts) => write!(f, "attempt {attempt} of {max_attempts}"),
        }
    }
}

/// Who hears of a retry: nobody (`()`, where nothing was set), or a hook given with `on_retry`.
#[expect(unnameable_types, reason = "sealed: a bound of the chain, implemented here alone")]
pub trait Notify<E> {
    #[doc(hidden)]
    fn retry(&mut self, event: &RetryEvent<'_, E>);
}

impl<E> Notify<E> for () {
    #[inline]
    fn retry(&mut self, _event: &RetryEvent<'_, E>) {}
}

impl<E, N: FnMut(&RetryEvent<'_, E>)> Notify<E> for N {
    #[inline]
    fn retry(&mut self, event: &RetryEvent<'_, E>) {
        self(event);
    }
}

/// Hears what becomes of every operation that it observes: the ground for metrics. Attached with
/// `.observe(&observer)` before the verb, or to the loop form.
///
/// All methods do nothing unless they are written, and take `&self`, so that an observer can be a
/// `static` that many threads share. [`RetryStats`](crate::RetryStats) is a ready one. They are called
/// where the operation is: let them be quick.
///
/// What ends without the retry's knowledge has no end here: a future that is dropped, by a timeout
/// around it for one, a loop that does not tell of its success, a panic. Of these only the retries are
/// heard.
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
    /// A retry is scheduled; its wait begins now.
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

    /// The operation has succeeded, at first or after retries.
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

    /// There is no further attempt, for whatever reason, permanent errors among them.
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

/// Nobody.
impl Observer for () {}

macro_rules! as_what_it_points_to {
    ($($pointer:ty),*) => {$(
        /// As the observer it points to.
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

as_what_it_points_to!(&O, Box<O>, Arc<O>);

/// Where an observed operation stands.
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
    /// The name of the policy, where it has one.
    pub name: Option<&'static str>,
    /// The attempt that has just ended, from 1; so also how many there were.
    pub attempt: u32,
    /// How many attempts there are at most, the first included.
    pub max_attempts: u32,
    /// What was waited so far.
    pub waited: Duration,
}

impl Observation {
    #[inline]
    pub(crate) fn new(policy: &RetryPolicy, attempt: u32, waited: Duration) -> Self {
        Self { name: policy.name(), attempt, max_attempts: policy.max_attempts(), waited }
    }
}

/// What became of a wait. A sleeper returns anything that turns into one: `()` for a wait that came
/// to its end, [`ControlFlow::Break`] for one that somebody cut short.
///
/// ```
/// use std::ops::ControlFlow;
/// use retry_ext::SleepOutcome;
///
/// assert_eq!(SleepOutcome::from(()), SleepOutcome::Elapsed);
/// assert_eq!(SleepOutcome::from(ControlFlow::Continue(())), SleepOutcome::Elapsed);
/// assert_eq!(SleepOutcome::from(ControlFlow::Break(())), SleepOutcome::Cancelled);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a cancelled wait is not followed by an attempt"]
pub enum SleepOutcome {
    /// The delay has passed: the next attempt may start.
    Elapsed,
    /// Give up now: the retry ends with [`StopReason::Cancelled`] and the last error.
    Cancelled,
}

impl From<()> for SleepOutcome {
    #[inline]
    fn from((): ()) -> Self {
        Self::Elapsed
    }
}

/// The timers of some runtimes yield the time at which they fired.
impl From<Instant> for SleepOutcome {
    #[inline]
    fn from(_fired: Instant) -> Self {
        Self::Elapsed
    }
}

impl From<ControlFlow<()>> for SleepOutcome {
    #[inline]
    fn from(flow: ControlFlow<()>) -> Self {
        match flow {
            ControlFlow::Continue(()) => Self::Elapsed,
            ControlFlow::Break(()) => Self::Cancelled,
        }
    }
}

/// Who is told what becomes of one operation: the log, where the policy wants it, and the observer.
pub(crate) struct Report<'a, O: ?Sized> {
    pub(crate) log: Log<'a>,
    pub(crate) observer: &'a O,
}

impl<O: ?Sized> Clone for Report<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O: ?Sized> Copy for Report<'_, O> {}

impl<O: Observer + ?Sized> Report<'_, O> {
    #[inline]
    pub(crate) fn retry(self, error_type: &str, attempt: u32, waited: Waited, nanos: u64) {
        let Self { log, observer } = self;
        if is_heard(Level::Warn) {
            log.retry(error_type, attempt, nanos);
        }
        let delay = log.policy.backoff.duration(nanos);
        observer.on_retry(&Observation::new(log.policy, attempt, waited.get()), delay);
    }

    /// A permanent error is the caller's news alone, and none for the log.
    #[inline]
    pub(crate) fn gave_up(
        self,
        error_type: &str,
        attempt: u32,
        waited: Duration,
        reason: StopReason,
    ) {
        let Self { log, observer } = self;
        if reason != StopReason::Permanent && is_heard(Level::Warn) {
            log.gave_up(error_type, attempt, waited, reason);
        }
        observer.on_give_up(&Observation::new(log.policy, attempt, waited), reason);
    }

    #[inline]
    pub(crate) fn stopped<E>(self, stopped: &RetryError<E>) {
        let (attempts, waited) = (stopped.attempts(), stopped.waited());
        self.gave_up(type_name::<E>(), attempts, waited, stopped.reason());
    }

    #[inline]
    pub(crate) fn succeeded(self, attempt: u32, waited: Waited) {
        if attempt > 1 && is_heard(Level::Debug) {
            self.log.recovered(attempt, waited);
        }
        self.observer.on_success(&Observation::new(self.log.policy, attempt, waited.get()));
    }
}

/// The log records of one operation. They hold numbers, names that the programmer chose and the name
/// of a type, and no word of the error: its text may contain a token.
#[derive(Clone, Copy)]
pub(crate) struct Log<'a> {
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) caller: &'static Location<'static>,
}

const TARGET: &str = "retry_ext";

/// Whether any logger wants such records.
#[inline]
fn is_heard(level: Level) -> bool {
    level <= log::STATIC_MAX_LEVEL && level <= log::max_level()
}

impl Log<'_> {
    #[cold]
    fn retry(self, error_type: &str, attempt: u32, nanos: u64) {
        let delay = self.policy.backoff.duration(nanos);
        let attempt_of = AttemptOf(attempt, self.policy.max_attempts());
        self.write(
            Level::Warn,
            attempt,
            &[("delay", delay.as_secs_f64().into()), ("error_type", error_type.into())],
            format_args!("{self}: {attempt_of} failed with {error_type}, retrying in {delay:?}"),
        );
    }

    #[cold]
    fn gave_up(self, error_type: &str, attempt: u32, waited: Duration, reason: StopReason) {
        let effort = Effort { attempts: attempt, waited };
        self.write(
            Level::Warn,
            attempt,
            &[
                ("waited", waited.as_secs_f64().into()),
                ("reason", Value::from_debug(&reason)),
                ("error_type", error_type.into()),
            ],
            format_args!("{self}: gave up on {error_type} after {effort}: {reason}"),
        );
    }

    #[cold]
    fn recovered(self, attempt: u32, waited: Waited) {
        let waited = waited.get();
        let effort = Effort { attempts: attempt, waited };
        self.write(
            Level::Debug,
            attempt,
            &[("waited", waited.as_secs_f64().into())],
            format_args!("{self}: succeeded after {effort}"),
        );
    }

    fn write(
        &self,
        level: Level,
        attempt: u32,
        more: &[(&str, Value<'_>)],
        text: fmt::Arguments<'_>,
    ) {
        if !self.policy.logging() {
            return;
        }
        let common = [
            ("operation", Value::from_display(self)),
            ("attempt", attempt.into()),
            ("max_attempts", self.policy.max_attempts().into()),
        ];
        log::logger().log(
            &Record::builder()
                .level(level)
                .target(TARGET)
                .module_path_static(Some(TARGET))
                .file_static(Some(self.caller.file()))
                .line(Some(self.caller.line()))
                .key_values(&[common.as_slice(), more].as_slice())
                .args(text)
                .build(),
        );
    }
}

/// The name of the policy, or where the retry was called.
impl fmt::Display for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.policy.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}:{}", self.caller.file(), self.caller.line()),
        }
    }
}
