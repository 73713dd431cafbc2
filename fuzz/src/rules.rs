//! The rules of retries, as checks on observable events.

use std::ops::RangeInclusive;
use std::slice;
use std::time::Duration;

use log::Level;
use retry_ext::{Backoff, IsTransient, Jitter, RetryPolicy, SleepOutcome, StopReason};

use crate::input::{Outcome, Step};
use crate::journal::{Entry, Failure, Journal};

/// Converts to nanoseconds in 64 bits, which the crate computes with. Longer durations saturate.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The longest time that is counted, in nanoseconds.
const LONGEST: u64 = u64::MAX - 1;

/// Returns the delay, or the cap if the delay has reached the cap.
fn capped(nanoseconds: u128, cap: Duration) -> Duration {
    match u64::try_from(nanoseconds) {
        Ok(below) if below < nanos(cap).min(LONGEST) => Duration::from_nanos(below),
        _ => cap,
    }
}

/// Checks that each nominal delay follows from the previous one by the formula, up to the cap.
pub(crate) fn nominal_delays(
    backoff: &Backoff,
    custom: Option<fn(u32) -> Duration>,
    any_retry: u32,
) {
    assert_eq!(backoff.delay(0), Duration::ZERO);
    for retry in (1..=70).chain([any_retry.max(1), u32::MAX]) {
        let delay = backoff.delay(retry);
        let before = (retry > 1).then(|| backoff.delay(retry - 1));
        let expected = match custom {
            Some(custom) => exactly(custom(retry).as_nanos(), backoff.max_delay()),
            None => nominal(backoff, before, retry),
        };
        assert!(delay <= backoff.max_delay(), "retry {retry}: {delay:?}");
        assert!(expected.contains(&delay), "retry {retry}: {delay:?} and not {expected:?}");
    }
}

fn exactly(nanoseconds: u128, cap: Duration) -> RangeInclusive<Duration> {
    capped(nanoseconds, cap)..=capped(nanoseconds, cap)
}

/// Returns the delay before this retry. It follows from the previous delay, if there is one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
#[expect(clippy::cast_precision_loss, reason = "the last digits are in the tolerance")]
#[expect(clippy::float_cmp, reason = "whole means exactly whole")]
fn nominal(backoff: &Backoff, before: Option<Duration>, retry: u32) -> RangeInclusive<Duration> {
    let (first, factor, cap) = (backoff.initial_delay(), backoff.factor(), backoff.max_delay());
    let whole = factor as u32;
    if f64::from(whole) == factor {
        let next = |before: Duration| before.as_nanos() * u128::from(whole);
        let delay = before.map(|before| next(before) + backoff.increment().as_nanos());
        return exactly(delay.unwrap_or(first.as_nanos()), cap);
    }
    let next = |before: Duration| before.as_nanos() as f64 * factor;
    let delay = before.map(|before| next(before) + backoff.increment().as_nanos() as f64);
    let delay = delay.unwrap_or(first.as_nanos() as f64);
    // Each delay is rounded to a nanosecond, and each earlier step may have cost a last digit.
    let rounded = before.map_or(0.5, |_| 0.5 * factor + 0.5);
    let tolerance = rounded + delay * f64::EPSILON * (f64::from(retry) + 8.0);
    let (low, high) = ((delay - tolerance).ceil(), (delay + tolerance).floor());
    capped(low as u128, cap)..=capped(high as u128, cap)
}

/// The settings of a budget.
pub(crate) struct Budget {
    pub(crate) millionths: u32,
    pub(crate) min_retries: u32,
    pub(crate) window: Duration,
}

impl Budget {
    /// Returns the shortest time for which an entry counts. The longest time is the window.
    fn surely(&self) -> Duration {
        self.window / 8 * 7
    }
}

/// The times of deposits and withdrawals.
struct Ledger<'a> {
    budget: &'a Budget,
    deposits: Vec<Duration>,
    withdrawals: Vec<Duration>,
}

impl Ledger<'_> {
    /// Returns the range of the retries that may be left.
    fn left(&self, now: Duration) -> RangeInclusive<u64> {
        let within = |times: &[Duration], window| {
            times.iter().filter(|time| now.saturating_sub(**time) < window).count() as u64
        };
        let left = |earning, spending| {
            let earned = within(&self.deposits, earning) * u64::from(self.budget.millionths);
            let allowed = earned / 1_000_000 + u64::from(self.budget.min_retries);
            allowed.saturating_sub(within(&self.withdrawals, spending))
        };
        let (surely, window) = (self.budget.surely(), self.budget.window);
        left(surely, window)..=left(window, surely)
    }
}

/// Checks that a journal follows the rules. Returns the journal without its pauses, which only
/// iterators have.
pub(crate) fn journal(
    policy: &RetryPolicy,
    budget: Option<&Budget>,
    script: &[Step],
    pauses: bool,
    journal: &[Entry],
) -> Journal {
    let ledger =
        budget.map(|budget| Ledger { budget, deposits: Vec::new(), withdrawals: Vec::new() });
    let mut reader =
        Reader { policy, script, pauses, pause: None, calls: 0, entries: journal.iter(), ledger };
    while reader.calls < script.len() {
        reader.operation();
    }
    assert_eq!(reader.entries.next(), None);
    journal.iter().filter(|entry| !matches!(entry, Entry::Pause(_))).cloned().collect()
}

/// Reads a journal from its beginning, against the script.
struct Reader<'a> {
    policy: &'a RetryPolicy,
    script: &'a [Step],
    /// Whether a pause follows a refusal.
    pauses: bool,
    pause: Option<Duration>,
    calls: usize,
    entries: slice::Iter<'a, Entry>,
    ledger: Option<Ledger<'a>>,
}

/// A failed call.
struct Failed {
    error: Failure,
    now: Duration,
    attempt: u32,
    /// The time since the start of the first attempt.
    elapsed: Duration,
    waits: Vec<Duration>,
    /// The wait from which the next one is drawn: the last wait that no hint has moved.
    previous: Option<Duration>,
}

impl Failed {
    fn hint(&self) -> Duration {
        self.error.retry_after().unwrap_or(Duration::ZERO)
    }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> &'a Entry {
        self.entries.next().expect("every operation has an end")
    }

    fn record(&mut self, level: Level) {
        if self.policy.logging() {
            assert_eq!(self.next(), &Entry::Record(level));
        }
    }

    /// Checks one operation, from its first call to its end.
    fn operation(&mut self) {
        if let Some(pause) = self.pause.take() {
            assert_eq!(self.next(), &Entry::Pause(pause));
        }
        let mut start = None;
        let mut waits = Vec::new();
        let mut previous = None;
        let mut listed = self.policy.delays();
        let mut as_listed = draws_equally(self.policy);
        for attempt in 1.. {
            let &Entry::Call { at } = self.next() else { panic!("a wait without an attempt") };
            let call = self.calls;
            self.calls += 1;
            let step = self.script.get(call).copied().unwrap_or(Step::SUCCESS);
            let now = at + Duration::from_micros(step.takes_micros.into());
            if step.outcome == Outcome::Succeed {
                return self.success(attempt, now);
            }
            let error = Failure { call, outcome: step.outcome };
            as_listed &= error.retry_after().is_none();
            let elapsed = now.saturating_sub(*start.get_or_insert(at)).max(sum(&waits));
            let mut failed = Failed { error, now, attempt, elapsed, waits, previous };
            let delay = match self.decision(&failed) {
                Ok(delay) => delay,
                Err(reason) => {
                    assert!(reason != StopReason::AttemptsExhausted || listed.next().is_none());
                    return self.stop(&failed, reason, None);
                }
            };
            let listed = listed.next().expect("there is a delay for every retry");
            assert!(!as_listed || listed == delay, "{listed:?} is listed, not {delay:?}");
            if !is_moved(&self.policy.backoff(), attempt, failed.hint()) {
                previous = Some(delay);
            }
            match step.sleep.outcome() {
                SleepOutcome::Elapsed => failed.waits.push(delay),
                SleepOutcome::Woken => {}
                SleepOutcome::Cancelled => {
                    self.record(Level::Warn);
                    return self.stop(&failed, StopReason::Cancelled, Some(delay));
                }
            }
            waits = failed.waits;
        }
    }

    fn success(&mut self, attempt: u32, now: Duration) {
        if let Some(ledger) = &mut self.ledger {
            ledger.deposits.push(now);
        }
        if attempt > 1 {
            self.record(Level::Debug);
        }
        let Entry::End { at, result, available } = self.next() else { panic!("no end") };
        assert_eq!((*at, result), (now, &Ok(())));
        self.is_left(*available, now);
    }

    fn stop(&mut self, failed: &Failed, reason: StopReason, cancelled: Option<Duration>) {
        let Entry::End { at, result, available } = self.next() else { panic!("no end") };
        assert_eq!(*at, failed.now);
        let stopped = result.as_ref().expect_err("the last call has failed");
        assert_eq!(*stopped.error(), failed.error);
        assert_eq!(stopped.attempts(), failed.attempt);
        assert_eq!(stopped.waited(), sum(&failed.waits));
        assert_eq!(stopped.reason(), reason);
        let next_delay = stopped.next_delay();
        let pause = match reason {
            StopReason::DeadlineExceeded | StopReason::BudgetExhausted => {
                let refused = next_delay.expect("the wait that was refused");
                let delays = delays(self.policy, failed);
                let range = counted(*delays.start())..=counted(*delays.end());
                let is_drawn = !refused.is_zero() && range.contains(&refused);
                let replaces_zero = refused == counted(pause(self.policy, failed.attempt));
                assert!(is_drawn || range.start().is_zero() && replaces_zero);
                Some(refused)
            }
            StopReason::RetryAfterTooLong => {
                assert_eq!(next_delay, Some(counted(failed.hint())));
                let longest = self.policy.max_retry_after().max(self.policy.backoff().delay(1));
                Some(if longest.is_zero() { pause(self.policy, 1) } else { longest })
            }
            _ => {
                assert_eq!(next_delay, cancelled.map(counted));
                None
            }
        };
        if self.pauses && self.calls < self.script.len() {
            self.pause = pause;
        }
        assert!(stopped.to_string().ends_with(&format!(": {reason}")), "{stopped}");
        self.is_left(*available, failed.now);
    }

    fn is_left(&self, available: Option<u32>, now: Duration) {
        let left = self.ledger.as_ref().map(|ledger| ledger.left(now));
        assert_eq!(available.is_some(), left.is_some());
        if let (Some(available), Some(left)) = (available, left) {
            assert!(left.contains(&available.into()), "{available} and not {left:?}");
        }
    }

    /// Returns the decision after a failure, and checks that the rules allow the decision.
    fn decision(&mut self, failed: &Failed) -> Result<Duration, StopReason> {
        let policy = self.policy;
        let hint = failed.hint();
        let certain = if !failed.error.is_transient() {
            return Err(StopReason::Permanent);
        } else if failed.attempt >= policy.max_attempts() {
            Some(StopReason::AttemptsExhausted)
        } else if hint > policy.max_retry_after() {
            Some(StopReason::RetryAfterTooLong)
        } else {
            None
        };
        self.record(Level::Warn);
        if let Some(reason) = certain {
            return Err(reason);
        }
        let delays = delays(policy, failed);
        let in_time = |delay: Duration| {
            let end = failed.elapsed.saturating_add(delay);
            policy.max_elapsed().is_none_or(|max_elapsed| {
                // If no time is left, even a zero delay does not fit.
                let is_over = failed.elapsed >= max_elapsed && max_elapsed != Duration::MAX;
                !is_over && end <= max_elapsed
            })
        };
        let left = self.ledger.as_ref().map(|ledger| ledger.left(failed.now));
        match self.entries.as_slice().first() {
            Some(&Entry::Retry { attempt, delay, waited }) => {
                self.next();
                assert_eq!((attempt, waited), (failed.attempt, sum(&failed.waits)));
                assert!(delays.contains(&delay), "{delay:?} and not {delays:?}");
                assert!(nanos(delay) >= nanos(hint).min(LONGEST), "{delay:?}");
                let longest = policy.max_delay().max(if hint.is_zero() {
                    Duration::ZERO
                } else {
                    policy.max_retry_after()
                });
                assert!(delay <= longest, "{delay:?}");
                assert!(in_time(delay), "{delay:?} would end too late");
                assert!(left.is_none_or(|left| *left.end() > 0), "the budget is overdrawn");
                if let Some(ledger) = &mut self.ledger {
                    ledger.withdrawals.push(failed.now);
                }
                assert_eq!(self.next(), &Entry::Wait(delay));
                Ok(delay)
            }
            Some(Entry::End { .. }) if !in_time(*delays.start()) => {
                Err(StopReason::DeadlineExceeded)
            }
            Some(Entry::End { result: Err(stopped), .. }) => {
                let may_be = match stopped.reason() {
                    StopReason::DeadlineExceeded => !in_time(*delays.end()),
                    StopReason::BudgetExhausted => left.is_some_and(|left| *left.start() == 0),
                    _ => false,
                };
                assert!(may_be, "{stopped} after {:?}", failed.elapsed);
                Err(stopped.reason())
            }
            other => panic!("neither a retry nor an end with an error: {other:?}"),
        }
    }
}

/// Returns whether equal policies draw equal delays.
fn draws_equally(policy: &RetryPolicy) -> bool {
    policy.jitter() == Jitter::None || policy.seed().is_some()
}

/// Returns whether another run would have the same journal.
pub(crate) fn is_repeatable(
    policy: &RetryPolicy,
    budget: Option<&Budget>,
    journal: &[Entry],
) -> bool {
    // Near the end of a window, the entries that count depend on the start of the budget's slices.
    let surely_counts = |budget: &Budget| match journal.last() {
        Some(Entry::End { at, .. }) => *at < budget.surely(),
        _ => true,
    };
    draws_equally(policy) && budget.is_none_or(surely_counts)
}

/// Returns the range of draws before this retry in nanoseconds, without a hint.
fn drawn(backoff: &Backoff, retry: u32, previous: Option<Duration>) -> (u64, u64) {
    let (cap, nominal) = (nanos(backoff.max_delay()), nanos(backoff.delay(retry)));
    match backoff.jitter() {
        Jitter::Full => (0, nominal),
        Jitter::Equal => (nominal / 2, nominal),
        Jitter::Decorrelated => {
            let first = nanos(backoff.delay(1));
            let low = if first == cap { first / 2 } else { first };
            let previous = previous.map_or(first, nanos);
            (low, previous.saturating_mul(3).min(cap).max(low))
        }
        _ => (nominal, nominal),
    }
}

/// Returns whether the hint moves the range of draws: a range that begins below the hint is moved.
fn is_moved(backoff: &Backoff, retry: u32, hint: Duration) -> bool {
    drawn(backoff, retry, None).0 < nanos(hint)
}

/// Returns the range of the delays that may be drawn after this failure.
fn delays(policy: &RetryPolicy, failed: &Failed) -> RangeInclusive<Duration> {
    let (backoff, hint) = (policy.backoff(), failed.hint());
    let (low, high) = drawn(&backoff, failed.attempt, failed.previous);
    if !is_moved(&backoff, failed.attempt, hint) {
        return capped(low.into(), backoff.max_delay())..=capped(high.into(), backoff.max_delay());
    }
    let hint = nanos(hint);
    let spread = match backoff.jitter() {
        Jitter::None => 0,
        _ => (high - low).max(hint / 4),
    };
    // A delay that is too long to count is the cap, if the cap is as long, or else the longest
    // hint.
    let ceiling = if nanos(policy.max_delay()) >= LONGEST {
        policy.max_delay()
    } else {
        policy.max_delay().max(policy.max_retry_after())
    };
    let [low, high] = [u128::from(hint), u128::from(hint) + u128::from(spread)];
    capped(low, ceiling)..=capped(high, ceiling)
}

/// Returns the pause in the place of a refused wait of zero before this retry: the first nominal delay of the backoff
/// that is longer, from this retry on, among 65.
fn pause(policy: &RetryPolicy, retry: u32) -> Duration {
    let mut delays = (retry..=retry.saturating_add(64)).map(|retry| policy.backoff().delay(retry));
    delays.find(|delay| !delay.is_zero()).unwrap_or_default()
}

/// Returns the delay, or the longest duration if the delay is too long to count.
fn counted(delay: Duration) -> Duration {
    if nanos(delay) >= LONGEST { Duration::MAX } else { delay }
}

/// Returns the sum of waits, or the longest duration if the sum is too large to count.
fn sum(waits: &[Duration]) -> Duration {
    match waits.iter().copied().map(nanos).fold(0, u64::saturating_add) {
        u64::MAX => Duration::MAX,
        nanoseconds => Duration::from_nanos(nanoseconds),
    }
}
