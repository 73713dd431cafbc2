//! The unit of all arithmetic: whole nanoseconds in 64 bits.

use core::fmt;
use core::time::Duration;

/// The longest time that is counted. It is one nanosecond less than 64 bits hold, so that the number of different
/// delays also fits into 64 bits.
pub(crate) const LONGEST: u64 = u64::MAX - 1;

/// Converts to nanoseconds; longer times become [`LONGEST`].
#[inline]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let Some(nanos) = duration.as_secs().checked_mul(1_000_000_000) else { return LONGEST };
    match nanos.checked_add(duration.subsec_nanos() as u64) {
        None | Some(u64::MAX) => LONGEST,
        Some(nanos) => nanos,
    }
}

/// Converts a time below one second without a division. Most delays are that short.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below 2^32")]
pub(crate) const fn below_a_second(nanos: u64) -> Option<Duration> {
    if nanos < 1_000_000_000 { Some(Duration::new(0, nanos as u32)) } else { None }
}

/// A sum of waits. Once it has reached [`LONGEST`], it reads as [`Duration::MAX`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TotalWait(u64);

impl TotalWait {
    pub(crate) const ZERO: Self = Self(0);

    #[inline]
    pub(crate) const fn plus(self, nanos: u64) -> Self {
        match self.0.checked_add(nanos) {
            Some(sum) => Self(sum),
            None => Self::saturated(),
        }
    }

    /// Returns the longest sum. The code is out of line: a jump that is not taken costs one instruction less than
    /// a conditional move.
    #[cold]
    #[inline(never)]
    const fn saturated() -> Self {
        Self(u64::MAX)
    }

    #[inline]
    pub(crate) const fn get(self) -> Duration {
        if self.0 >= LONGEST { Duration::MAX } else { Duration::from_nanos(self.0) }
    }
}

impl fmt::Debug for TotalWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A delay or none, in 32 bits: the delay is rounded down to its 26 highest binary digits. Decorrelated jitter
/// keeps the previous delay in this form to keep waiting futures small. Rounding down also guarantees that three
/// times the rounded delay never exceeds three times the delay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseNanos(u32);

impl CoarseNanos {
    pub(crate) const NONE: Self = Self(0);
    /// Zero nanoseconds, with a shift that no other delay has.
    const ZERO: Self = Self(63);
    const SHIFT_BITS: u32 = 6;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves 26 bits")]
    pub(crate) fn of(nanos: u64) -> Self {
        if nanos == 0 {
            return Self::ZERO;
        }
        let digits = u32::BITS - Self::SHIFT_BITS;
        let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(digits);
        Self((((nanos >> shift) as u32) << Self::SHIFT_BITS) + shift)
    }

    #[inline]
    pub(crate) fn get(self) -> Option<u64> {
        let shift = self.0 & ((1 << Self::SHIFT_BITS) - 1);
        (self.0 != Self::NONE.0).then(|| u64::from(self.0 >> Self::SHIFT_BITS) << shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_delay_is_exact_up_to_26_bits_and_hardly_less_above() {
        for nanos in [0, 1, 2, 1_000, (1 << 26) - 1] {
            assert_eq!(CoarseNanos::of(nanos).get(), Some(nanos));
        }
        for nanos in [1 << 26, (1 << 26) + 1, 60_000_000_000, u64::MAX / 3, u64::MAX - 1, u64::MAX]
        {
            let coarse = CoarseNanos::of(nanos).get().expect("a delay");
            assert!(coarse <= nanos && nanos - coarse <= nanos >> 25, "{nanos}: {coarse}");
        }
        assert_eq!(CoarseNanos::NONE.get(), None);
    }

    #[test]
    fn a_total_that_cannot_be_counted_reads_as_the_longest_duration() {
        let total = TotalWait::ZERO.plus(u64::MAX - 5).plus(10);
        assert_eq!(total.get(), Duration::MAX);
        assert_eq!(total.plus(1).get(), Duration::MAX);
        assert_eq!(TotalWait::ZERO.plus(7).plus(8).get(), Duration::from_nanos(15));
        assert_eq!(format!("{:?}", TotalWait::ZERO.plus(1_500_000)), "1.5ms");
    }

    #[test]
    fn durations_beyond_64_bits_become_the_longest_time() {
        assert_eq!(nanos(Duration::from_nanos(LONGEST - 1)), LONGEST - 1);
        for long in [Duration::from_nanos(LONGEST), Duration::from_nanos(u64::MAX), Duration::MAX] {
            assert_eq!(nanos(long), LONGEST, "{long:?}");
        }
    }
}
