//! The tracing span around one operation; feature `tracing`.

use core::fmt;
use core::panic::{AssertUnwindSafe, Location};

use alloc::boxed::Box;

use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::span::Id;
use tracing::{Dispatch, Level, debug_span, field};

use crate::error::StopReason;
use crate::nanos::TotalWait;
use crate::nested::unnested;
use crate::text::TARGET;

/// The span of an operation, or none. It takes one word in a waiting future. A chain has the same auto traits with the
/// feature as without it, hence the `AssertUnwindSafe`.
pub(crate) struct Span(Option<Box<AssertUnwindSafe<tracing::Span>>>);

impl Span {
    pub(crate) const NONE: Self = Self(None);

    /// Returns whether a subscriber may accept a span. Without a subscriber, this is one load.
    #[inline]
    pub(crate) fn may_be_wanted() -> bool {
        Level::DEBUG <= STATIC_MAX_LEVEL && Level::DEBUG <= LevelFilter::current()
    }

    /// Opens a span, if a subscriber accepts it. Within a report there is none.
    #[cold]
    #[inline(never)]
    pub(crate) fn open(
        operation: &dyn fmt::Display,
        max_attempts: Option<u32>,
        caller: &Location<'_>,
    ) -> Self {
        let mut span = None;
        unnested(|| {
            span = Some(debug_span!(
                target: TARGET,
                "retry",
                operation = %operation,
                max_attempts = max_attempts.map(i64::from),
                attempts = field::Empty,
                waited = field::Empty,
                reason = field::Empty,
                caller.file = caller.file(),
                caller.line = i64::from(caller.line()),
            ));
        });
        Self(span.filter(|span| !span.is_disabled()).map(|span| Box::new(AssertUnwindSafe(span))))
    }

    /// Returns whether the span is open.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Enters the span until the guard is dropped. The guard borrows nothing, so that a future can enter its own span.
    #[inline]
    pub(crate) fn enter(&self) -> Entered {
        Entered(self.0.as_ref().and_then(|span| enter(span)))
    }

    #[inline]
    pub(crate) fn handle(&self) -> SpanHandle<'_> {
        SpanHandle(self.0.as_ref().map(|span| &***span))
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            close(span);
        }
    }
}

#[cold]
#[inline(never)]
fn enter(span: &tracing::Span) -> Option<(Id, Dispatch)> {
    let mut entered = None;
    unnested(|| {
        entered = span.with_subscriber(|(id, dispatch)| {
            dispatch.enter(id);
            (id.clone(), dispatch.clone())
        });
    });
    entered
}

#[cold]
#[inline(never)]
fn close(span: Box<AssertUnwindSafe<tracing::Span>>) {
    unnested(|| drop(span));
}

/// Exits the span when it is dropped.
#[must_use]
pub(crate) struct Entered(Option<(Id, Dispatch)>);

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if let Some((id, dispatch)) = &self.0 {
            unnested(|| dispatch.exit(id));
        }
    }
}

/// A reference to the span of an operation, or none.
#[derive(Clone, Copy)]
pub(crate) struct SpanHandle<'a>(Option<&'a tracing::Span>);

impl SpanHandle<'_> {
    pub(crate) const NONE: Self = Self(None);

    /// Records the end of the operation.
    #[inline]
    pub(crate) fn record(self, attempts: u32, waited: TotalWait, reason: Option<StopReason>) {
        if let Some(span) = self.0 {
            record(span, attempts, waited, reason);
        }
    }
}

#[cold]
#[inline(never)]
fn record(span: &tracing::Span, attempts: u32, waited: TotalWait, reason: Option<StopReason>) {
    unnested(|| {
        span.record("attempts", i64::from(attempts));
        span.record("waited", waited.get().as_secs_f64());
        span.record("reason", reason.map(field::debug));
    });
}
