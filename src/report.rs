//! Reports: log records, and calls of the observer.

#[cfg(feature = "std")]
use core::cell::Cell;
use core::fmt::{self, Write};
use core::panic::Location;

use log::kv::Value;
use log::{Level, Record};

use crate::error::StopReason;
use crate::event::{Observation, Observer};
use crate::hooks::{Hooks, Observe};
use crate::nanos::TotalWait;
use crate::policy::RetryPolicy;
use crate::sealed::Internal;
use crate::text::{AttemptOf, Effort, Shown};

/// The receivers of reports on one operation: the observer, and the log if the policy has logging on. The observer
/// is called first, because it counts: a logger that panics must not make the counts wrong.
pub(crate) struct Report<'a, O> {
    pub(crate) call: Call<'a>,
    pub(crate) observer: &'a O,
}

impl<C, N, S, O, D, B> Hooks<C, N, S, O, D, B> {
    #[inline]
    pub(crate) const fn report<'a>(&'a self, call: Call<'a>) -> Report<'a, O> {
        Report { call, observer: &self.observer }
    }
}

impl<O> Clone for Report<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for Report<'_, O> {}

impl<O: Observe> Report<'_, O> {
    /// Reports a retry after `attempt`, before its wait.
    #[inline]
    pub(crate) fn retry(self, error_type: &str, attempt: u32, waited: TotalWait, nanos: u64) {
        let Self { call, observer } = self;
        if let Some(observer) = observer.observer(Internal) {
            let delay = call.policy.duration(nanos);
            unnested(|| {
                observer.on_retry(&Observation::new(call.policy, attempt, waited), delay);
            });
        }
        if is_enabled(Level::Warn) {
            call.log_retry(error_type, attempt, nanos);
        }
    }

    /// Reports that there is no further attempt. A permanent error concerns only the caller, so it is not
    /// logged.
    #[inline]
    pub(crate) fn gave_up(
        self,
        error_type: &str,
        attempt: u32,
        waited: TotalWait,
        reason: StopReason,
    ) {
        let Self { call, observer } = self;
        if let Some(observer) = observer.observer(Internal) {
            unnested(|| {
                observer.on_give_up(&Observation::new(call.policy, attempt, waited), reason);
            });
        }
        if reason != StopReason::Permanent && is_enabled(Level::Warn) {
            call.log_give_up(error_type, attempt, waited, reason);
        }
    }

    /// Reports that an operation which made `attempts` attempts elsewhere gets no further one. Its last error is not known.
    pub(crate) fn refused(self, attempts: u32, reason: StopReason) {
        let Self { call, observer } = self;
        let waited = TotalWait::ZERO;
        if let Some(observer) = observer.observer(Internal) {
            unnested(|| {
                observer.on_give_up(&Observation::new(call.policy, attempts, waited), reason);
            });
        }
        if is_enabled(Level::Warn) {
            call.log_refusal(attempts, reason);
        }
    }

    #[inline]
    pub(crate) fn succeeded(self, attempt: u32, waited: TotalWait) {
        if attempt > 1 {
            return self.recovered(attempt, waited);
        }
        self.observe_success(attempt, waited);
    }

    /// Reports a success that is known to be that of a retry.
    #[inline]
    pub(crate) fn recovered(self, attempt: u32, waited: TotalWait) {
        self.observe_success(attempt, waited);
        if is_enabled(Level::Debug) {
            self.call.log_recovery(attempt, waited);
        }
    }

    #[inline]
    fn observe_success(self, attempt: u32, waited: TotalWait) {
        if let Some(observer) = self.observer.observer(Internal) {
            let policy = self.call.policy;
            unnested(|| observer.on_success(&Observation::new(policy, attempt, waited)));
        }
    }
}

#[cfg(feature = "std")]
thread_local! {
    static IS_REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a report, unless this thread is within another one. A logger or an observer that retries would
/// otherwise report without end, or wait for a lock that it holds itself.
#[cfg(feature = "std")]
#[inline]
fn unnested(report: impl FnOnce()) {
    /// Ends the report, also when it panics.
    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            IS_REPORTING.set(false);
        }
    }

    if IS_REPORTING.replace(true) {
        return;
    }
    let _end = End;
    report();
}

/// Runs a report. Without `std` there is no way to tell whether it is within another one.
#[cfg(not(feature = "std"))]
#[inline]
fn unnested(report: impl FnOnce()) {
    report();
}

/// The policy of a retry and the place that called it. Its log records hold numbers, names that the programmer
/// chose and the name of a type. They hold no text of the error, which may contain a token.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) caller: &'static Location<'static>,
}

const TARGET: &str = "retry_ext";

/// Returns whether the log level is enabled, at compile time and at run time.
#[inline]
fn is_enabled(level: Level) -> bool {
    level <= log::STATIC_MAX_LEVEL && level <= log::max_level()
}

impl Call<'_> {
    #[cold]
    #[inline(never)]
    fn log_retry(self, error_type: &str, attempt: u32, nanos: u64) {
        let delay = self.policy.duration(nanos);
        let attempt_of = AttemptOf(attempt, self.policy.max_attempts());
        self.write(
            Level::Warn,
            attempt,
            &[("delay", delay.as_secs_f64().into()), ("error_type", error_type.into())],
            format_args!(
                "{self}: {attempt_of} failed with {error_type}, retrying in {}",
                Shown(delay)
            ),
        );
    }

    #[cold]
    #[inline(never)]
    fn log_give_up(self, error_type: &str, attempt: u32, waited: TotalWait, reason: StopReason) {
        let effort = Effort { attempts: attempt, waited };
        self.write(
            Level::Warn,
            attempt,
            &[
                ("waited", waited.get().as_secs_f64().into()),
                ("reason", Value::from_debug(&reason)),
                ("error_type", error_type.into()),
            ],
            format_args!("{self}: gave up on {error_type} after {effort}: {reason}"),
        );
    }

    #[cold]
    #[inline(never)]
    fn log_refusal(self, attempts: u32, reason: StopReason) {
        let effort = Effort { attempts, waited: TotalWait::ZERO };
        self.write(
            Level::Warn,
            attempts,
            &[("reason", Value::from_debug(&reason))],
            format_args!("{self}: gave up after {effort}: {reason}"),
        );
    }

    #[cold]
    #[inline(never)]
    fn log_recovery(self, attempt: u32, waited: TotalWait) {
        let effort = Effort { attempts: attempt, waited };
        self.write(
            Level::Debug,
            attempt,
            &[("waited", waited.get().as_secs_f64().into())],
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
        let max_attempts = self.policy.max_attempts();
        let common = [
            ("operation", Value::from_display(self)),
            ("attempt", attempt.into()),
            ("max_attempts", max_attempts.into()),
        ];
        let common = if max_attempts == u32::MAX { &common[..2] } else { &common };
        unnested(|| {
            log::logger().log(
                &Record::builder()
                    .level(level)
                    .target(TARGET)
                    .module_path_static(Some(TARGET))
                    .file_static(Some(self.caller.file()))
                    .line(Some(self.caller.line()))
                    .key_values(&[common, more].as_slice())
                    .args(text)
                    .build(),
            );
        });
    }
}

/// The name of the policy, escaped, or the place that called the retry.
impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.policy.name() else {
            return write!(f, "{}:{}", self.caller.file(), self.caller.line());
        };
        name.chars().try_for_each(|c| {
            if can_forge(c) {
                c.escape_unicode().try_for_each(|c| f.write_char(c))
            } else {
                f.write_char(c)
            }
        })
    }
}

/// Whether a character can make one record look like two: control characters, line and paragraph separators, and
/// directional formatting (Unicode 16, chapter 23).
fn can_forge(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
