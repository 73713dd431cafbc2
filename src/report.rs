//! Reports: log records or tracing events, and calls of the observer.

use core::fmt::{self, Write};
use core::panic::Location;
use core::time::Duration;

use log::kv::{Error, Key, Source, Value, VisitSource};
use log::{Level, Record};

use crate::error::{Stop, StopReason};
use crate::event::{Observation, Observer};
use crate::hooks::{Hooks, Observe};
use crate::nanos::TotalWait;
use crate::nested::unnested;
use crate::policy::RetryPolicy;
use crate::sealed::Internal;
use crate::span::{Span, SpanHandle};
use crate::text::{AttemptOf, Effort, Shown, TARGET};

/// The receivers of reports on one operation: the observer, and the log or the tracing subscriber if the policy has
/// logging on. The observer is called first, because it counts: a logger that panics must not make the counts wrong.
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
            call.record_retry(error_type, attempt, nanos);
        }
    }

    /// Reports that there is no further attempt. A permanent error concerns only the caller, so it is not
    /// logged.
    #[inline]
    pub(crate) fn gave_up(self, error_type: &str, attempt: u32, waited: TotalWait, stop: Stop) {
        let Self { call, observer } = self;
        let reason = stop.reason;
        if let Some(observer) = observer.observer(Internal) {
            let observation = Observation::new(call.policy, attempt, waited);
            // The attempt before a cancelled wait was reported with its retry.
            let is_new = reason != StopReason::Cancelled || stop.next_delay().is_none();
            unnested(|| observer.on_give_up(&observation.of_attempt(is_new), reason));
        }
        if reason != StopReason::Permanent && is_enabled(Level::Warn) {
            call.record_give_up(error_type, attempt, waited, reason);
        }
        call.span.record(attempt, waited, Some(reason));
    }

    /// Reports that an operation which made `attempts` attempts elsewhere gets no further one. Its last error is not known.
    pub(crate) fn refused(self, attempts: u32, reason: StopReason) {
        let Self { call, observer } = self;
        if let Some(observer) = observer.observer(Internal) {
            let observation = Observation::new(call.policy, attempts, TotalWait::ZERO);
            unnested(|| observer.on_give_up(&observation.of_attempt(false), reason));
        }
        if is_enabled(Level::Warn) {
            call.record_refusal(attempts, reason);
        }
    }

    #[inline]
    pub(crate) fn succeeded(self, attempt: u32, waited: TotalWait) {
        if attempt > 1 {
            return self.recovered(attempt, waited);
        }
        self.observe_success(attempt, waited);
        self.call.span.record(attempt, waited, None);
    }

    /// Reports a success that is known to be that of a retry.
    #[inline]
    pub(crate) fn recovered(self, attempt: u32, waited: TotalWait) {
        self.observe_success(attempt, waited);
        if is_enabled(Level::Debug) {
            self.call.record_recovery(attempt, waited);
        }
        self.call.span.record(attempt, waited, None);
    }

    #[inline]
    fn observe_success(self, attempt: u32, waited: TotalWait) {
        if let Some(observer) = self.observer.observer(Internal) {
            let policy = self.call.policy;
            unnested(|| observer.on_success(&Observation::new(policy, attempt, waited)));
        }
    }
}

/// The policy of a retry, the place that called it, and the span of the operation if there is one. Its records hold
/// numbers, names that the programmer chose and the name of a type. They hold no text of the error, which may contain a
/// token.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) caller: &'static Location<'static>,
    pub(crate) span: SpanHandle<'a>,
}

/// One record, in the log or as an event.
struct Entry<'a> {
    call: Call<'a>,
    attempt: u32,
    news: News<'a>,
}

/// The parts of a record that depend on its kind.
enum News<'a> {
    Retry { delay: Duration, error_type: &'a str },
    GaveUp { waited: TotalWait, reason: StopReason, error_type: &'a str },
    Refused { reason: StopReason },
    Recovered { waited: TotalWait },
}

/// Returns whether there may be a receiver of this level, at compile time and at run time.
#[inline]
fn is_enabled(level: Level) -> bool {
    #[cfg(feature = "tracing")]
    if tracing::dispatcher::has_been_set() {
        return events::is_enabled(level);
    }
    level <= log::STATIC_MAX_LEVEL && level <= log::max_level()
}

impl<'a> Call<'a> {
    /// Returns a call without a span.
    #[inline]
    pub(crate) const fn new(policy: &'a RetryPolicy, caller: &'static Location<'static>) -> Self {
        Self { policy, caller, span: SpanHandle::NONE }
    }

    /// Opens the span of the operation, if a subscriber accepts it.
    #[inline]
    pub(crate) fn open_span(self) -> Span {
        if Span::may_be_wanted() && self.policy.logging() {
            return Span::open(&self, self.max_attempts(), self.caller);
        }
        Span::NONE
    }

    /// Returns the limit, if there is one.
    fn max_attempts(self) -> Option<u32> {
        Some(self.policy.max_attempts()).filter(|&max_attempts| max_attempts != u32::MAX)
    }

    #[cold]
    #[inline(never)]
    fn record_retry(self, error_type: &str, attempt: u32, nanos: u64) {
        let delay = self.policy.duration(nanos);
        self.record(Level::Warn, attempt, News::Retry { delay, error_type });
    }

    #[cold]
    #[inline(never)]
    fn record_give_up(self, error_type: &str, attempt: u32, waited: TotalWait, reason: StopReason) {
        self.record(Level::Warn, attempt, News::GaveUp { waited, reason, error_type });
    }

    #[cold]
    #[inline(never)]
    fn record_refusal(self, attempts: u32, reason: StopReason) {
        self.record(Level::Warn, attempts, News::Refused { reason });
    }

    #[cold]
    #[inline(never)]
    fn record_recovery(self, attempt: u32, waited: TotalWait) {
        self.record(Level::Debug, attempt, News::Recovered { waited });
    }

    fn record(self, level: Level, attempt: u32, news: News<'_>) {
        if !self.policy.logging() {
            return;
        }
        let entry = Entry { call: self, attempt, news };
        unnested(|| {
            // A bridge from the log to tracing must not show the same retry twice.
            #[cfg(feature = "tracing")]
            if tracing::dispatcher::has_been_set() {
                return events::emit(&entry);
            }
            entry.log(level);
        });
    }
}

impl Entry<'_> {
    fn log(&self, level: Level) {
        log::logger().log(
            &Record::builder()
                .level(level)
                .target(TARGET)
                .module_path_static(Some(TARGET))
                .file_static(Some(self.call.caller.file()))
                .line(Some(self.call.caller.line()))
                .key_values(self)
                .args(format_args!("{self}"))
                .build(),
        );
    }
}

/// The readable line.
impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, attempt, news } = self;
        let effort = |waited| Effort { attempts: *attempt, waited };
        write!(f, "{call}: ")?;
        match *news {
            News::Retry { delay, error_type } => {
                let attempt_of = AttemptOf(*attempt, call.policy.max_attempts());
                write!(f, "{attempt_of} failed with {error_type}, retrying in {}", Shown(delay))
            }
            News::GaveUp { waited, reason, error_type } => {
                write!(f, "gave up on {error_type} after {}: {reason}", effort(waited))
            }
            News::Refused { reason } => {
                write!(f, "gave up after {}: {reason}", effort(TotalWait::ZERO))
            }
            News::Recovered { waited } => write!(f, "succeeded after {}", effort(waited)),
        }
    }
}

/// The key-values.
impl Source for Entry<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        let mut pair = |key, value| visitor.visit_pair(Key::from_str(key), value);
        pair("operation", Value::from_display(&self.call))?;
        pair("attempt", self.attempt.into())?;
        if let Some(max_attempts) = self.call.max_attempts() {
            pair("max_attempts", max_attempts.into())?;
        }
        let seconds = |waited: &TotalWait| waited.get().as_secs_f64().into();
        match &self.news {
            News::Retry { delay, error_type } => {
                pair("delay", delay.as_secs_f64().into())?;
                pair("error_type", (*error_type).into())
            }
            News::GaveUp { waited, reason, error_type } => {
                pair("waited", seconds(waited))?;
                pair("reason", Value::from_debug(reason))?;
                pair("error_type", (*error_type).into())
            }
            News::Refused { reason } => pair("reason", Value::from_debug(reason)),
            News::Recovered { waited } => pair("waited", seconds(waited)),
        }
    }
}

#[cfg(feature = "tracing")]
mod events {
    //! Records as events. Their metadata are static, so the call site is in the fields `caller.file` and `caller.line`.
    //! It is not in `code.file.path`: bridges to OpenTelemetry derive that attribute from the metadata. Numbers are signed,
    //! as OpenTelemetry's are: its bridge turns unsigned ones into text.

    use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
    use tracing::{Level, event};

    use super::{Entry, News, TARGET};

    #[inline]
    pub(super) fn is_enabled(level: log::Level) -> bool {
        let level = if level == log::Level::Warn { Level::WARN } else { Level::DEBUG };
        level <= STATIC_MAX_LEVEL && level <= LevelFilter::current()
    }

    /// Writes an event with the fields of every event and its own.
    macro_rules! emit {
        ($name:literal, $level:ident, $entry:ident, { $($own:tt)* }) => {
            event!(
                name: $name,
                target: TARGET,
                Level::$level,
                {
                    operation = %$entry.call,
                    attempt = i64::from($entry.attempt),
                    max_attempts = $entry.call.max_attempts().map(i64::from),
                    $($own)*
                    caller.file = $entry.call.caller.file(),
                    caller.line = i64::from($entry.call.caller.line()),
                },
                "{}",
                $entry
            )
        };
    }

    pub(super) fn emit(entry: &Entry<'_>) {
        match entry.news {
            News::Retry { delay, error_type } => emit!("retry", WARN, entry, {
                delay = delay.as_secs_f64(),
                error_type,
            }),
            News::GaveUp { waited, reason, error_type } => emit!("gave_up", WARN, entry, {
                waited = waited.get().as_secs_f64(),
                reason = ?reason,
                error_type,
            }),
            News::Refused { reason } => emit!("gave_up", WARN, entry, { reason = ?reason, }),
            News::Recovered { waited } => emit!("recovered", DEBUG, entry, {
                waited = waited.get().as_secs_f64(),
            }),
        }
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

/// Returns whether a character can make one record look like two. These are control characters, line and paragraph
/// separators, and directional formatting (Unicode 16, chapter 23).
fn can_forge(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
