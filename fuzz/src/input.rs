//! The input of the target `policy`, which `arbitrary` makes from bytes. The order of fields and variants
//! gives the seeds their meaning.

use std::time::Duration;

use arbitrary::Arbitrary;
use retry_ext::{Backoff, IsTransient, Jitter, RetryPolicy, SleepOutcome};

#[derive(Debug, Arbitrary)]
pub(crate) struct Input {
    pub(crate) policy: Settings,
    pub(crate) budget: Option<BudgetSettings>,
    pub(crate) sleeper: Sleeper,
    /// A retry whose nominal delay is checked.
    pub(crate) retry: u32,
    pub(crate) script: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
pub(crate) struct Settings {
    pub(crate) backoff: Strategy,
    pub(crate) initial_delay: Option<Delay>,
    pub(crate) factor: Option<Factor>,
    pub(crate) increment: Option<Delay>,
    pub(crate) max_delay: Option<Delay>,
    pub(crate) max_retry_after: Option<Delay>,
    pub(crate) jitter: Spread,
    pub(crate) seed: Option<u64>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) max_elapsed: Option<Delay>,
    pub(crate) named: bool,
    pub(crate) logging: bool,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) enum Strategy {
    Exponential,
    Linear,
    Constant(Delay),
    Rising,
    Falling,
    Alternating,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) enum Spread {
    None,
    Full,
    Equal,
    Decorrelated,
}

/// Delays of every size, and the largest.
#[derive(Clone, Copy, Debug, PartialEq, Arbitrary)]
pub(crate) enum Delay {
    Zero,
    Nanos(u16),
    Millis(u16),
    Seconds(u8),
    Any(Duration),
    Longest,
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Factor {
    Whole(u32),
    Thousandths(u16),
    Any(f64),
}

#[derive(Debug, Arbitrary)]
pub(crate) struct BudgetSettings {
    pub(crate) millionths: u32,
    pub(crate) min_retries: u8,
    pub(crate) window: Delay,
}

/// The sleeper's reaction to a delay.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) enum Sleeper {
    Returns,
    Sleeps,
    Oversleeps { millis: u16 },
}

/// A call of the operation.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) struct Step {
    pub(crate) outcome: Outcome,
    pub(crate) takes_micros: u16,
    /// The end of a wait or a pause after this call.
    pub(crate) sleep: SleepEnd,
}

/// The end of a wait or a pause, in the two lowest bits of a byte.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) struct SleepEnd(u8);

impl SleepEnd {
    pub(crate) const ELAPSED: Self = Self(0);

    pub(crate) fn outcome(self) -> SleepOutcome {
        match self.0 & 3 {
            0 => SleepOutcome::Elapsed,
            2 => SleepOutcome::Woken,
            _ => SleepOutcome::Cancelled,
        }
    }
}

impl Step {
    /// The step after the end of the script.
    pub(crate) const SUCCESS: Self =
        Self { outcome: Outcome::Succeed, takes_micros: 0, sleep: SleepEnd::ELAPSED };
}

#[derive(Clone, Copy, Debug, PartialEq, Arbitrary, IsTransient)]
pub(crate) enum Outcome {
    Succeed,
    #[transient]
    Fail,
    #[transient(after = Duration::from(*_0))]
    Busy(Delay),
    Break,
}

impl From<Delay> for Duration {
    fn from(delay: Delay) -> Self {
        match delay {
            Delay::Zero => Self::ZERO,
            Delay::Nanos(nanos) => Self::from_nanos(nanos.into()),
            Delay::Millis(millis) => Self::from_millis(millis.into()),
            Delay::Seconds(seconds) => Self::from_secs(seconds.into()),
            Delay::Any(duration) => duration,
            Delay::Longest => Self::MAX,
        }
    }
}

impl From<&Factor> for f64 {
    /// Converts a factor that the setter rejects into one that it accepts.
    fn from(factor: &Factor) -> Self {
        match *factor {
            Factor::Whole(factor) => Self::from(factor.max(1)),
            Factor::Thousandths(above) => 1.0 + Self::from(above) / 1_000.0,
            Factor::Any(factor) if factor.is_finite() => factor.abs().max(1.0),
            Factor::Any(_) => Self::MAX,
        }
    }
}

fn rising(retry: u32) -> Duration {
    Duration::from_millis(retry.into())
}

fn falling(retry: u32) -> Duration {
    Duration::MAX / retry
}

fn alternating(retry: u32) -> Duration {
    if retry.is_multiple_of(2) { Duration::ZERO } else { Duration::from_secs(u64::MAX) }
}

impl Settings {
    pub(crate) fn policy(&self) -> RetryPolicy {
        let mut backoff = match self.backoff {
            Strategy::Exponential => Backoff::exponential(),
            Strategy::Linear => Backoff::linear(),
            Strategy::Constant(delay) => Backoff::constant(delay.into()),
            Strategy::Rising => Backoff::custom(rising),
            Strategy::Falling => Backoff::custom(falling),
            Strategy::Alternating => Backoff::custom(alternating),
        };
        if let Some(delay) = self.initial_delay {
            backoff = backoff.with_initial_delay(delay.into());
        }
        if let Some(factor) = &self.factor {
            backoff = backoff.with_factor(factor.into());
        }
        if let Some(increment) = self.increment {
            backoff = backoff.with_increment(increment.into());
        }
        if let Some(delay) = self.max_delay {
            backoff = backoff.with_max_delay(delay.into());
        }
        backoff = backoff.with_jitter(match self.jitter {
            Spread::None => Jitter::None,
            Spread::Full => Jitter::Full,
            Spread::Equal => Jitter::Equal,
            Spread::Decorrelated => Jitter::Decorrelated,
        });
        if let Some(seed) = self.seed {
            backoff = backoff.with_seed(seed);
        }
        let mut policy = RetryPolicy::from(backoff).with_logging(self.logging);
        if let Some(attempts) = self.max_attempts {
            policy = policy.with_max_attempts(attempts.max(1));
        }
        if let Some(longest) = self.max_retry_after {
            policy = policy.with_max_retry_after(longest.into());
        }
        if let Some(limit) = self.max_elapsed {
            policy = policy.with_max_elapsed(limit.into());
        }
        if self.named { policy.with_name("named") } else { policy }
    }

    /// Returns the function of a custom backoff.
    pub(crate) fn custom(&self) -> Option<fn(u32) -> Duration> {
        match self.backoff {
            Strategy::Rising => Some(rising),
            Strategy::Falling => Some(falling),
            Strategy::Alternating => Some(alternating),
            Strategy::Exponential | Strategy::Linear | Strategy::Constant(_) => None,
        }
    }
}
