//! The monotonic clock of deadlines and budgets.

use std::num::NonZeroI64;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A time on the monotonic clock, in 8 bytes: nanoseconds from a moment of this process, which may lie
/// in its past or future.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(NonZeroI64);

impl Moment {
    pub(crate) fn now() -> Self {
        // Tokio's clock can be paused; outside of its runtimes it is the system's.
        #[cfg(feature = "tokio")]
        let now = tokio::time::Instant::now().into_std();
        #[cfg(not(feature = "tokio"))]
        let now = Instant::now();
        Self::of(now)
    }

    fn of(instant: Instant) -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(Instant::now);
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let offset = match instant.checked_duration_since(origin) {
            Some(after) => nanos(after),
            None => -nanos(origin.duration_since(instant)),
        };
        // The origin itself is told as the nanosecond after it.
        Self(NonZeroI64::new(offset).unwrap_or(const { NonZeroI64::new(1).unwrap() }))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.get().saturating_sub(earlier.0.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// Nanoseconds from long before anything that this process does.
    #[inline]
    pub(crate) const fn ticks(self) -> u64 {
        // A year: a clock that tests pause may be that far behind.
        const BEFORE: i64 = 365 * 24 * 60 * 60 * 1_000_000_000;
        self.0.get().saturating_add(BEFORE).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_apart_on_both_sides_of_the_origin() {
        let origin = Moment::of(Instant::now());
        let now = Instant::now();
        let hour = Duration::from_secs(3_600);
        let later = Moment::of(now + hour);
        assert_eq!(later.since(Moment::of(now)), hour);
        assert_eq!(Moment::of(now).since(later), Duration::ZERO);
        assert!(later.ticks() > origin.ticks());
        // Not every system can tell a time before it was started.
        if let Some(earlier) = now.checked_sub(Duration::from_secs(1)) {
            let earlier = Moment::of(earlier);
            assert_eq!(Moment::of(now).since(earlier), Duration::from_secs(1));
            assert_eq!(later.since(earlier), hour + Duration::from_secs(1));
            assert_eq!(later.ticks() - earlier.ticks(), 3_601_000_000_000);
        }
    }

    #[test]
    fn a_moment_centuries_away_saturates() {
        let far = Instant::now().checked_add(Duration::from_secs(400 * 365 * 24 * 3_600));
        if let Some(far) = far.map(Moment::of) {
            assert!(far.since(Moment::now()) > Duration::from_secs(290 * 365 * 24 * 3_600));
            assert_eq!(Moment::now().since(far), Duration::ZERO);
        }
    }
}
