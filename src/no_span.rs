//! In the place of `span.rs` without the feature `tracing`: there are no spans, and their types take no room.
#![expect(clippy::unused_self, reason = "the methods are those of `span.rs`")]

use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;

use crate::error::StopReason;
use crate::nanos::TotalWait;

pub(crate) struct Span;

impl Span {
    pub(crate) const NONE: Self = Self;

    #[inline]
    pub(crate) const fn may_be_wanted() -> bool {
        false
    }

    #[inline]
    pub(crate) const fn open(
        _operation: &dyn fmt::Display,
        _max_attempts: Option<u32>,
        _caller: &Location<'_>,
    ) -> Self {
        Self
    }

    #[cfg(feature = "async")]
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) const fn enter(&self) -> Entered {
        Entered
    }

    #[inline]
    pub(crate) const fn handle(&self) -> SpanHandle<'_> {
        SpanHandle::NONE
    }
}

#[must_use]
pub(crate) struct Entered;

#[derive(Clone, Copy)]
pub(crate) struct SpanHandle<'a>(PhantomData<&'a Span>);

impl SpanHandle<'_> {
    pub(crate) const NONE: Self = Self(PhantomData);

    #[inline]
    pub(crate) const fn record(
        self,
        _attempts: u32,
        _waited: TotalWait,
        _reason: Option<StopReason>,
    ) {
    }
}
