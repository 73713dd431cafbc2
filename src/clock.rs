//! The monotonic clock of deadlines and budgets.

use core::num::NonZeroU64;
use core::time::Duration;
#[cfg(feature = "std")]
use std::sync::OnceLock;
#[cfg(all(
    feature = "std",
    not(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))
))]
use std::time::Instant;

#[cfg(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))]
use web_time::Instant;

#[cfg(feature = "std")]
use crate::nanos::nanos;

/// Whether there is a clock. In a browser, reading `std`'s clock panics; the feature `web` has another.
#[cfg(feature = "std")]
const CAN_BE_READ: bool = cfg!(all(feature = "web", target_arch = "wasm32"))
    || !cfg!(all(target_family = "wasm", target_os = "unknown"));

/// Returns the time of tokio's clock with the feature `tokio`, and otherwise of the system's clock. Tests can pause
/// tokio's clock; outside of a tokio runtime it is the system's. In a browser, tokio has no clock.
#[cfg(feature = "std")]
#[inline]
fn instant() -> Instant {
    #[cfg(all(feature = "tokio", not(all(target_arch = "wasm32", target_os = "unknown"))))]
    return tokio::time::Instant::now().into_std();
    #[cfg(any(not(feature = "tokio"), all(target_arch = "wasm32", target_os = "unknown")))]
    return Instant::now();
}

/// Returns the nanoseconds since a month before the first call in this process. A clock that tests pause may be behind
/// that call. If the clock is paused before the first call, the ticks are the same in each run of the tests.
///
/// Without `std` or a clock that can be read, time stands still. Deadlines then count the waits alone.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(feature = "std")]
    if CAN_BE_READ {
        return ticks_at(instant());
    }
    BEFORE
}

const BEFORE: u64 = 30 * 24 * 60 * 60 * 1_000_000_000;

#[cfg(feature = "std")]
#[inline]
fn ticks_at(instant: Instant) -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    // A paused clock is behind the system's, unless tests have moved it far ahead.
    let origin = *ORIGIN.get_or_init(|| instant.min(Instant::now()));
    match instant.checked_duration_since(origin) {
        Some(after) => BEFORE.saturating_add(nanos(after)),
        None => BEFORE.saturating_sub(nanos(origin.duration_since(instant))),
    }
}

/// A time on the monotonic clock, in 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick(NonZeroU64);

impl Tick {
    #[inline]
    pub(crate) fn now() -> Self {
        Self::of(ticks())
    }

    #[inline]
    fn of(ticks: u64) -> Self {
        // No operation starts at tick 0.
        Self(NonZeroU64::new(ticks).unwrap_or(NonZeroU64::MIN))
    }

    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(instant: Instant) -> Tick {
        Tick::of(ticks_at(instant))
    }

    #[test]
    fn ticks_are_ordered_on_both_sides_of_the_origin() {
        let origin = tick(Instant::now());
        let now = Instant::now();
        let hour = Duration::from_secs(3_600);
        let later = tick(now + hour);
        assert_eq!(later.since(tick(now)), hour);
        assert_eq!(tick(now).since(later), Duration::ZERO);
        assert!(later.0 > origin.0);
        // Not every system has times before its start.
        if let Some(earlier) = now.checked_sub(Duration::from_secs(1)) {
            let earlier = tick(earlier);
            assert_eq!(tick(now).since(earlier), Duration::from_secs(1));
            assert_eq!(later.since(earlier), hour + Duration::from_secs(1));
            assert_eq!(later.0.get() - earlier.0.get(), 3_601_000_000_000);
        }
    }

    #[test]
    fn a_clock_may_be_a_month_behind() {
        const DAY: Duration = Duration::from_secs(24 * 3_600);

        let origin = Instant::now();
        let first = tick(origin);
        // Not every system has times before its start.
        if let Some(earlier) = origin.checked_sub(29 * DAY) {
            assert_eq!(first.since(tick(earlier)), 29 * DAY);
        }
    }

    #[test]
    fn a_tick_centuries_away_saturates() {
        let far = Instant::now().checked_add(Duration::from_secs(400 * 365 * 24 * 3_600));
        if let Some(far) = far.map(tick) {
            assert!(far.since(Tick::now()) > Duration::from_secs(290 * 365 * 24 * 3_600));
            assert_eq!(Tick::now().since(far), Duration::ZERO);
        }
    }
}
