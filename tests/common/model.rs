//! A model that predicts runs by the rules, without the crate, in nanoseconds of 128 bits.
//!
//! The rules allow a range for a delay that is drawn or rounded. The model takes the real wait from
//! that range, and all other values follow.

use std::ops::RangeInclusive;
use std::time::Duration;

use retry_ext::{Jitter, SleepOutcome, StopReason};

use super::drivers::{Stop, Trace};
use super::{Busy, Heard, ScriptError, Step};

/// A policy in plain values.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub growth: Growth,
    pub max_delay: Duration,
    pub max_retry_after: Option<Duration>,
    pub jitter: Jitter,
    pub seed: Option<u64>,
    pub max_attempts: u32,
    pub max_elapsed: Option<Duration>,
    pub name: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub enum Growth {
    Curve { first: Duration, factor: f64, increment: Duration },
    Custom(Custom),
}

impl Growth {
    pub fn first(self) -> Duration {
        match self {
            Self::Curve { first, .. } => first,
            Self::Custom(custom) => custom.function()(1),
        }
    }
}

/// Functions that a user might pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custom {
    Zero,
    Longest,
    Rising,
    Falling,
    Alternating,
}

impl Custom {
    pub const ALL: [Self; 5] =
        [Self::Zero, Self::Longest, Self::Rising, Self::Falling, Self::Alternating];

    pub fn function(self) -> fn(u32) -> Duration {
        match self {
            Self::Zero => |_| Duration::ZERO,
            Self::Longest => |_| Duration::MAX,
            Self::Rising => |retry| Duration::from_millis(250) * retry,
            Self::Falling => |retry| Duration::from_secs(100) / retry,
            Self::Alternating => |retry| Duration::from_secs(u64::from(retry % 2) * 3_600),
        }
    }
}

/// Time is kept in 64-bit nanoseconds, which hold 584 years. A value of `HELD` or more stands for
/// all longer times. As a delay it is the cap; as a sum of waits it is reported as the longest
/// duration.
const HELD: u128 = u64::MAX as u128 - 1;

fn nanos(duration: Duration) -> u128 {
    duration.as_nanos()
}

pub fn duration(nanos: u128) -> Duration {
    let (secs, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    match u64::try_from(secs) {
        Ok(secs) => Duration::new(secs, u32::try_from(rest).expect("below a second")),
        Err(_) => Duration::MAX,
    }
}

/// Returns a sum of waits as it is reported.
fn told(waited: u128) -> Duration {
    if waited >= HELD { Duration::MAX } else { duration(waited) }
}

impl Rules {
    fn limit(&self) -> u128 {
        nanos(self.max_delay).min(HELD)
    }

    pub fn max_retry_after(&self) -> Duration {
        self.max_retry_after.unwrap_or(self.max_delay)
    }

    /// Returns the upper limit of all waits.
    pub fn longest_wait(&self) -> Duration {
        self.max_delay.max(self.max_retry_after())
    }

    /// Turns the result of the arithmetic into a wait.
    fn delay(&self, delay: u128) -> Duration {
        if delay < HELD {
            duration(delay)
        } else if self.limit() == HELD {
            self.max_delay
        } else {
            self.max_retry_after()
        }
    }

    /// Returns the delay before this retry without jitter. The range is a single value if the
    /// arithmetic is exact, as with whole factors below 2³².
    pub fn nominal(&self, retry: u32) -> RangeInclusive<Duration> {
        let [low, high] = self.nominal_nanos(retry);
        self.delay(low)..=self.delay(high)
    }

    fn nominal_nanos(&self, retry: u32) -> [u128; 2] {
        let steps = retry - 1;
        let nominal = match self.growth {
            Growth::Custom(custom) => [nanos(custom.function()(retry)); 2],
            Growth::Curve { first, factor, increment } => {
                let (first, increment) = (nanos(first), nanos(increment));
                match whole(factor) {
                    Some(1) => [first + increment * u128::from(steps); 2],
                    Some(factor) => [self.grown(first, factor, increment, steps); 2],
                    // The cap comes first, because rounding may lower the cap itself a little.
                    None => rounded(first.min(self.limit()), factor, increment, steps),
                }
            }
        };
        nominal.map(|nanos| nanos.min(self.limit()))
    }

    /// Grows a delay by a whole factor. With a factor of 2 or more, the delay rests at the limit or
    /// at zero after 65 steps.
    fn grown(&self, first: u128, factor: u128, increment: u128, steps: u32) -> u128 {
        (0..steps.min(65)).fold(first, |delay, _| {
            if delay >= self.limit() { delay } else { delay * factor + increment }
        })
    }

    /// Returns the range of the wait before this retry, given the previous wait and this hint.
    pub fn allowed(
        &self,
        retry: u32,
        previous: Option<Duration>,
        hint: Duration,
    ) -> RangeInclusive<Duration> {
        let (hint, ceiling) = (nanos(hint).min(HELD), nanos(self.longest_wait()).min(HELD));
        let [(low, _), (_, high)] = self.drawn(retry, previous).map(|(low, high)| {
            if low >= hint {
                (low, high)
            } else if self.jitter == Jitter::None {
                (hint, hint)
            } else {
                // A crowd with one common hint spreads over at least a quarter of that hint.
                (hint, (hint + (high - low).max(hint / 4)).min(ceiling))
            }
        });
        self.delay(low)..=self.delay(high)
    }

    /// Returns the ranges without a hint, for the least and the greatest possible nominal delay.
    fn drawn(&self, retry: u32, previous: Option<Duration>) -> [(u128, u128); 2] {
        let (limit, nominal) = (self.limit(), self.nominal_nanos(retry));
        match self.jitter {
            Jitter::None => nominal.map(|nominal| (nominal, nominal)),
            Jitter::Full => nominal.map(|nominal| (0, nominal)),
            Jitter::Equal => nominal.map(|nominal| (nominal / 2, nominal)),
            Jitter::Decorrelated => {
                let first = nanos(self.growth.first()).min(limit);
                // At the cap the draws still differ.
                let low = if first == limit { limit / 2 } else { first };
                let high = 3 * previous.map_or(first, nanos);
                [(low, high.min(limit).max(low)); 2]
            }
            other => unreachable!("{other:?} is not in the rules"),
        }
    }

    /// Returns the previous wait for the next draw of decorrelated jitter: the last wait that no
    /// hint has moved.
    pub fn followed(
        &self,
        retry: u32,
        previous: Option<Duration>,
        hint: Duration,
        wait: Duration,
    ) -> Option<Duration> {
        let [(low, _), _] = self.drawn(retry, previous);
        if low < nanos(hint).min(HELD) { previous } else { Some(wait) }
    }

    /// Returns the pause of a caller that starts over after a refused wait. A wait of zero is
    /// replaced, so that the caller does not spin.
    fn pause(&self, delay: Duration, retry: u32) -> RangeInclusive<Duration> {
        let mut nominal = (retry..=retry + 64).map(|retry| self.nominal(retry));
        let later = nominal.find(|nominal| !nominal.end().is_zero());
        later.filter(|_| delay.is_zero()).unwrap_or(delay..=delay)
    }

    /// Returns whether a wait ends in time. The longest duration acts as no deadline, because
    /// nothing is longer.
    pub fn fits(&self, clock: Duration, waited: Duration, delay: Duration) -> bool {
        let elapsed = clock.max(waited);
        self.max_elapsed.is_none_or(|max_elapsed| {
            // If no time is left, even a delay of zero does not fit.
            let is_over = elapsed >= max_elapsed && max_elapsed != Duration::MAX;
            !is_over && elapsed.saturating_add(delay) <= max_elapsed
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and small")]
fn whole(factor: f64) -> Option<u128> {
    (factor.fract() == 0.0 && factor < 4_294_967_296.0).then_some(factor as u128)
}

/// Computes `first·fⁿ + increment·(1 + f + … + fⁿ⁻¹)` in floating point. Returns the range of its
/// possible roundings.
///
/// All terms are positive, so nothing cancels, and relative errors add up. The unit of an error is
/// u = 2⁻⁵³. A step-by-step computation makes 2n roundings, and repeated squaring amounts to 2n and
/// 100 more. The closed form makes 3 times the exponent (at most 45 if the result is below 2⁶⁴) and
/// a few. Both sides together stay below 4n + 256 roundings. Half a nanosecond accounts for the
/// rounding to whole nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "in the tolerance, positive, and far below 2^127"
)]
fn rounded(first: u128, factor: f64, increment: u128, steps: u32) -> [u128; 2] {
    let (first, increment, n) = (first as f64, increment as f64, f64::from(steps));
    let delay = if steps <= 1_000 {
        (0..steps).fold(first, |delay, _| delay * factor + increment)
    } else {
        let grown = n * (factor - 1.0).ln_1p();
        // Without this check, zero times infinity would be NaN.
        let term = |start: f64, times: f64| if start == 0.0 { 0.0 } else { start * times };
        term(first, grown.exp()) + term(increment, grown.exp_m1() / (factor - 1.0))
    };
    let delay = delay.min(1e38);
    let tolerance = 0.5 + delay * (4.0 * n + 256.0) * (f64::EPSILON / 2.0);
    [(delay - tolerance).ceil().max(0.0) as u128, (delay + tolerance).floor() as u128]
}

/// A budget whose window does not end.
#[derive(Clone, Debug)]
pub struct Purse {
    /// The ratio of a success, in millionths.
    pub ratio: u32,
    pub min_retries: u32,
    pub successes: u64,
    pub spent: u64,
}

impl Purse {
    pub fn granted_by(&self, successes: u64) -> u64 {
        successes * u64::from(self.ratio) / 1_000_000 + u64::from(self.min_retries)
    }

    pub fn left(&self) -> u64 {
        self.granted_by(self.successes) - self.spent
    }

    fn pay(&mut self) -> bool {
        let pays = self.left() > 0;
        self.spent += u64::from(pays);
        pays
    }
}

/// The behaviour of the operation and of the sleeper.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The outcome of each call, and its duration.
    pub steps: Vec<(Step, Duration)>,
    /// The outcome of all further calls; `None` ends the source.
    pub last: Option<Step>,
    /// The number, from 0, of the wait or pause that is cut short for good.
    pub cancel: Option<usize>,
    /// The numbers of the waits and pauses that end early.
    pub wakes: Vec<usize>,
    /// Whether time passes in the sleeper.
    pub sleeps: bool,
}

impl Scenario {
    pub fn step(&self, call: usize) -> Option<Step> {
        self.steps.get(call).map(|(step, _)| *step).or(self.last)
    }

    /// Returns the outcome of this wait or pause.
    pub fn sleep(&self, number: usize) -> SleepOutcome {
        if self.cancel == Some(number) {
            SleepOutcome::Cancelled
        } else if self.wakes.contains(&number) {
            SleepOutcome::Woken
        } else {
            SleepOutcome::Elapsed
        }
    }
}

/// A run through a scenario by the rules, one operation after the other.
pub struct Model<'a> {
    rules: &'a Rules,
    scenario: &'a Scenario,
    calls: usize,
    sleeps: usize,
    /// The pause of an iterator before its next call.
    pause: Option<RangeInclusive<Duration>>,
    cancelled: bool,
}

impl<'a> Model<'a> {
    pub fn new(rules: &'a Rules, scenario: &'a Scenario) -> Self {
        Self { rules, scenario, calls: 0, sleeps: 0, pause: None, cancelled: false }
    }

    /// Returns whether nothing is left to call.
    pub fn has_ended(&self) -> bool {
        self.cancelled || self.scenario.step(self.calls).is_none()
    }

    /// Returns whether a pause was cut short for good.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Returns the expected trace of the next operation. `clock` holds the time at the end of each
    /// call. `seen` decides only the values that the rules leave open.
    pub fn predict(
        &mut self,
        clock: &[Duration],
        seen: &Trace,
        purse: Option<&mut Purse>,
    ) -> Trace {
        let mut expected = self.predict_pause(seen);
        expected.end = self.run(clock, seen, purse, &mut expected);
        let stop = expected.end.as_ref().err();
        self.pause = stop.and_then(|stop| match stop.reason {
            StopReason::DeadlineExceeded | StopReason::BudgetExhausted => {
                stop.next_delay.map(|delay| delay..=delay)
            }
            StopReason::RetryAfterTooLong => {
                let first = nanos(self.rules.growth.first()).min(self.rules.limit());
                let longest = self.rules.max_retry_after().max(self.rules.delay(first));
                Some(self.rules.pause(longest, 1))
            }
            _ => None,
        });
        expected
    }

    /// Returns the expected trace of an iterator before its next call.
    pub fn predict_pause(&mut self, seen: &Trace) -> Trace {
        let mut expected = Trace::NOTHING;
        if let Some(pause) = self.pause.take() {
            let seen = seen.pauses.first().copied().unwrap_or_default();
            expected.pauses.push(seen.clamp(*pause.start(), *pause.end()));
            self.cancelled = self.sleep() == SleepOutcome::Cancelled;
        }
        expected
    }

    fn sleep(&mut self) -> SleepOutcome {
        self.sleeps += 1;
        self.scenario.sleep(self.sleeps - 1)
    }

    fn run(
        &mut self,
        clock: &[Duration],
        seen: &Trace,
        mut purse: Option<&mut Purse>,
        expected: &mut Trace,
    ) -> Result<(), Stop> {
        let rules = self.rules;
        let (mut waited, mut previous, mut last_error) = (0, None, None);
        for attempt in 1.. {
            let give_up = |error: &ScriptError, reason, next_delay: Option<Duration>| {
                Err(Stop {
                    error: error.clone(),
                    attempts: attempt,
                    waited: told(waited),
                    reason,
                    next_delay: next_delay.map(|delay| told(nanos(delay))),
                })
            };
            let Some(step) = self.scenario.step(self.calls) else {
                return give_up(&last_error.expect("an item"), StopReason::SourceEnded, None);
            };
            (self.calls, expected.calls) = (self.calls + 1, attempt);
            let Err(error) = step.play() else {
                if let Some(purse) = purse {
                    purse.successes += 1;
                }
                return Ok(());
            };
            if error == ScriptError::Permanent {
                return give_up(&error, StopReason::Permanent, None);
            }
            if attempt == rules.max_attempts {
                return give_up(&error, StopReason::AttemptsExhausted, None);
            }
            let hint = if let Busy(hint) = step { hint } else { Duration::ZERO };
            if hint > rules.max_retry_after() {
                return give_up(&error, StopReason::RetryAfterTooLong, Some(hint));
            }
            let allowed = rules.allowed(attempt, previous, hint);
            let (least, most) = (*allowed.start(), *allowed.end());
            let clock = clock.get(expected.waits.len()).or(clock.last()).copied();
            let fits = |delay| rules.fits(clock.unwrap_or_default(), told(waited), delay);
            let granted = seen.waits.get(expected.waits.len()).copied();
            // A refused wait is a draw as well.
            let delay = granted.or(seen.next_delay()).map_or(least, |it| it.clamp(least, most));
            // Before a pause that does not fit, the budget can refuse only a wait of zero.
            let is_zero = least.is_zero() && seen.reason() == Some(StopReason::BudgetExhausted);
            let delay = if is_zero && !fits(delay) { least } else { delay };
            let pause = rules.pause(delay, attempt);
            let pause = seen.next_delay().unwrap_or_default().clamp(*pause.start(), *pause.end());
            if !fits(delay) {
                return give_up(&error, StopReason::DeadlineExceeded, Some(pause));
            }
            if purse.as_mut().is_some_and(|purse| !purse.pay()) {
                return give_up(&error, StopReason::BudgetExhausted, Some(pause));
            }
            expected.heard.push(Heard {
                attempt,
                max_attempts: rules.max_attempts,
                delay,
                waited: told(waited),
                error: error.clone(),
                name: rules.name,
            });
            expected.waits.push(delay);
            match self.sleep() {
                SleepOutcome::Elapsed => waited += nanos(delay),
                SleepOutcome::Woken => {}
                SleepOutcome::Cancelled => {
                    return give_up(&error, StopReason::Cancelled, Some(delay));
                }
            }
            previous = rules.followed(attempt, previous, hint, delay);
            last_error = Some(error);
        }
        unreachable!("the attempts are fewer")
    }
}
