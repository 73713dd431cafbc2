//! What holds for every policy and every course of events.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use retry_ext::{Backoff, Jitter, RetryBudget, RetryPolicy};

use crate::drivers::{DRIVERS, Journal, play};
use crate::{Tried, rules};

/// The bytes are an [`Input`].
pub fn policy(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let tried = Tried(input);
    holds(&tried.0);
}

#[derive(Debug, Arbitrary)]
pub(crate) struct Input {
    policy: Settings,
    budget: Option<BudgetSettings>,
    pub(crate) sleeper: Sleeper,
    /// The number of any retry.
    retry: u32,
    pub(crate) script: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
struct Settings {
    backoff: Strategy,
    initial_delay: Option<Delay>,
    factor: Option<Factor>,
    increment: Option<Delay>,
    max_delay: Option<Delay>,
    jitter: Spread,
    seed: Option<u64>,
    max_attempts: Option<u32>,
    max_elapsed: Option<Delay>,
    named: bool,
    logging: bool,
}

#[derive(Debug, Arbitrary)]
enum Strategy {
    Exponential,
    Linear,
    Constant(Delay),
    Rising,
    Falling,
    Alternating,
}

#[derive(Debug, Arbitrary)]
enum Spread {
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
enum Factor {
    Whole(u32),
    Thousandths(u16),
    Any(f64),
}

#[derive(Debug, Arbitrary)]
struct BudgetSettings {
    millionths: u32,
    min_retries: u8,
    window: Delay,
}

/// What a sleeper does with a delay.
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
    /// Whether a wait after it is cut short.
    pub(crate) cancel: bool,
}

impl Step {
    /// What comes after the script.
    pub(crate) const SUCCESS: Self =
        Self { outcome: Outcome::Succeed, takes_micros: 0, cancel: false };
}

#[derive(Clone, Copy, Debug, PartialEq, Arbitrary)]
pub(crate) enum Outcome {
    Succeed,
    Fail,
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
    /// What the setter refuses is made something that it takes.
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
    fn policy(&self) -> RetryPolicy {
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
        if let Some(limit) = self.max_elapsed {
            policy = policy.with_max_elapsed(limit.into());
        }
        if self.named { policy.with_name("named") } else { policy }
    }

    /// The function of a custom backoff.
    fn custom(&self) -> Option<fn(u32) -> Duration> {
        match self.backoff {
            Strategy::Rising => Some(rising),
            Strategy::Falling => Some(falling),
            Strategy::Alternating => Some(alternating),
            Strategy::Exponential | Strategy::Linear | Strategy::Constant(_) => None,
        }
    }
}

impl BudgetSettings {
    const MOST: u32 = 10_000_000;

    fn limits(&self) -> rules::Budget {
        rules::Budget {
            millionths: self.millionths % (Self::MOST + 1),
            min_retries: self.min_retries.into(),
            window: Duration::from(self.window).max(Duration::from_millis(10)),
        }
    }
}

impl rules::Budget {
    fn make(&self) -> RetryBudget {
        RetryBudget::new()
            .with_ratio(f64::from(self.millionths) / 1e6)
            .with_min_retries(self.min_retries)
            .with_window(self.window)
    }
}

fn holds(input: &Input) {
    let policy = input.policy.policy();
    let budget = input.budget.as_ref().map(BudgetSettings::limits);
    rules::nominal_delays(&policy.backoff(), input.policy.custom(), input.retry);

    let mut first = None;
    for (name, driver) in DRIVERS {
        let journal = match &budget {
            Some(budget) => {
                lent(budget.make(), |lent| play(driver, input, policy.with_budget(lent)))
            }
            None => play(driver, input, policy),
        };
        rules::journal(&policy, budget.as_ref(), &input.script, &journal);
        let first = first.get_or_insert_with(|| journal.clone());
        assert!(
            *first == journal || !rules::is_repeatable(&policy, budget.as_ref(), first),
            "by {name}: {journal:#?}\nbut first: {first:#?}"
        );
    }
}

/// Lends a budget as if it were a `static`.
fn lent(budget: RetryBudget, borrower: impl FnOnce(&'static RetryBudget) -> Journal) -> Journal {
    let budget = Box::into_raw(Box::new(budget));
    // SAFETY: it lives until it is dropped below, and a journal does not hold it.
    let journal = borrower(unsafe { &*budget });
    // SAFETY: it comes from a box, and is not borrowed any more.
    drop(unsafe { Box::from_raw(budget) });
    journal
}
