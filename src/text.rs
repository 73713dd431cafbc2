//! Texts that errors, events and log records share.

use core::fmt;
use core::time::Duration;

use crate::nanos::TotalWait;

/// "attempt 1 of 3"; without "of", if the number of attempts is unlimited.
pub(crate) struct AttemptOf(pub(crate) u32, pub(crate) u32);

impl fmt::Display for AttemptOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(attempt, u32::MAX) => write!(f, "attempt {attempt}"),
            Self(attempt, max_attempts) => write!(f, "attempt {attempt} of {max_attempts}"),
        }
    }
}

/// "3 attempts and 3s of waiting".
pub(crate) struct Effort {
    pub(crate) attempts: u32,
    pub(crate) waited: TotalWait,
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(f, "{} attempt{plural}", self.attempts)?;
        if self.waited == TotalWait::ZERO {
            return Ok(());
        }
        write!(f, " and {} of waiting", Shown(self.waited.get()))
    }
}

/// A duration in the form of its `Debug`, in a tenth of that code.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        let (whole, mut fraction, mut digits, unit) = match (self.0.as_secs(), nanos) {
            (0, 0..1_000) => (u64::from(nanos), 0, 0, "ns"),
            (0, 1_000..1_000_000) => (u64::from(nanos / 1_000), nanos % 1_000, 3, "µs"),
            (0, _) => (u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
            (secs, _) => (secs, nanos, 9, "s"),
        };
        write!(f, "{whole}")?;
        if fraction > 0 {
            while fraction % 10 == 0 {
                fraction /= 10;
                digits -= 1;
            }
            write!(f, ".{fraction:0digits$}")?;
        }
        f.write_str(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_as_by_its_debug() {
        let nanos = [
            0,
            1,
            999,
            1_000,
            1_001,
            1_010,
            999_999,
            1_000_000,
            1_000_001,
            1_500_000,
            999_999_999,
            1_000_000_000,
            1_000_000_001,
            1_028_528_712,
            60_000_000_000,
            60_100_000_000,
            u64::MAX,
        ];
        for duration in nanos.map(Duration::from_nanos).into_iter().chain([Duration::MAX]) {
            assert_eq!(Shown(duration).to_string(), format!("{duration:?}"));
        }
    }
}
