//! Texts that errors, events and log records share.

use core::fmt;
use core::time::Duration;

use crate::nanos::TotalWait;

/// The target of log records, tracing events and spans.
pub(crate) const TARGET: &str = "retry_ext";

/// The text "attempt 1 of 3"; without "of" if the number of attempts is unlimited.
pub(crate) struct AttemptOf(pub(crate) u32, pub(crate) u32);

impl fmt::Display for AttemptOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(attempt, u32::MAX) => write!(f, "attempt {attempt}"),
            Self(attempt, max_attempts) => write!(f, "attempt {attempt} of {max_attempts}"),
        }
    }
}

/// The text "3 attempts and 3s of waiting".
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

/// A readable duration in nanoseconds, µs, ms or s, with three significant digits and all digits of whole seconds.
/// Exact values are in the fields of events and errors, and in the key-values of log records.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        let (whole, fraction, one, unit, next) = match (self.0.as_secs(), nanos) {
            (0, 0) => return f.write_str("0s"),
            (0, 1..1_000) => (nanos.into(), 0, 1_000, "ns", "µs"),
            (0, 1_000..1_000_000) => ((nanos / 1_000).into(), nanos % 1_000, 1_000, "µs", "ms"),
            (0, _) => ((nanos / 1_000_000).into(), nanos % 1_000_000, 1_000_000, "ms", "s"),
            (secs, _) => (secs, nanos, 1_000_000_000, "s", ""),
        };
        let (digits, tens) = match whole {
            0..10 => (2, 100),
            10..100 => (1, 10),
            _ => (0, 1),
        };
        let last_digit = one / tens;
        let rounded = (fraction + last_digit / 2) / last_digit;
        match (whole.saturating_add(u64::from(rounded == tens)), rounded % tens) {
            (1_000, _) if !next.is_empty() => write!(f, "1{next}"),
            (whole, 0) => write!(f, "{whole}{unit}"),
            (whole, tenths) if digits == 2 && tenths % 10 == 0 => {
                write!(f, "{whole}.{}{unit}", tenths / 10)
            }
            (whole, fraction) => write!(f, "{whole}.{fraction:0digits$}{unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_significant_digits() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_000, "1µs"),
            (1_001, "1µs"),
            (1_005, "1.01µs"),
            (1_010, "1.01µs"),
            (1_100, "1.1µs"),
            (9_994, "9.99µs"),
            (9_995, "10µs"),
            (12_340, "12.3µs"),
            (99_950, "100µs"),
            (999_499, "999µs"),
            (999_500, "1ms"),
            (1_500_000, "1.5ms"),
            (91_400_000, "91.4ms"),
            (91_000_001, "91ms"),
            (999_499_999, "999ms"),
            (999_500_000, "1s"),
            (1_028_528_712, "1.03s"),
            (1_004_999_999, "1s"),
            (9_995_000_000, "10s"),
            (60_000_000_000, "60s"),
            (60_100_000_000, "60.1s"),
            (99_950_000_000, "100s"),
            (3_600_499_999_999, "3600s"),
            (3_600_500_000_000, "3601s"),
            (u64::MAX, "18446744074s"),
        ] {
            assert_eq!(Shown(Duration::from_nanos(nanos)).to_string(), text, "{nanos}");
        }
        assert_eq!(Shown(Duration::MAX).to_string(), "18446744073709551615s");
    }

    #[test]
    fn a_shown_duration_is_at_most_half_a_percent_off() {
        let mut nanos = 1_u64;
        while nanos < u64::MAX / 7 {
            let text = Shown(Duration::from_nanos(nanos)).to_string();
            let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).expect("a unit");
            let (number, unit) = text.split_at(digits);
            let unit = match unit {
                "ns" => 1.0,
                "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                _ => panic!("{text}"),
            };
            let shown = number.parse::<f64>().expect("a number") * unit;
            #[expect(clippy::cast_precision_loss, reason = "for a comparison of 0.5 %")]
            let exact = nanos as f64;
            assert!((shown / exact - 1.0).abs() <= 0.005, "{nanos}: {text}");
            assert!(number.len() <= 4 || unit > 1e8, "{text}");
            nanos += nanos / 7 + 1;
        }
    }
}
