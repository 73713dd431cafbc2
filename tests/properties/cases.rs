//! Policies and scripts of every kind. Edge cases are drawn more often than their share.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use retry_ext::{Backoff, Jitter, RetryPolicy};

use crate::common::drivers::{Driver, Trace};
use crate::common::model::{Custom, Growth, Purse, Rules, Scenario, duration};
use crate::common::{Break, Busy, Fail, Step, Succeed, ms, secs};
use crate::{Stage, YEAR};

/// A policy and its scenario.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) scenario: Scenario,
}

impl Case {
    /// Plays the case through a driver. Returns the trace, and the time at the end of each call.
    pub(crate) fn play(&self, driver: Driver) -> (Trace, Vec<Duration>) {
        let mut stage = Stage::new(&self.scenario);
        let seen = stage.run(driver, self.rules.policy());
        (seen, stage.clock_of_one())
    }
}

const NANOSECOND: Duration = Duration::from_nanos(1);

const EDGES: [Duration; 12] = [
    Duration::ZERO,
    NANOSECOND,
    Duration::from_nanos(2),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_secs(3_600),
    YEAR,
    Duration::from_nanos(u64::MAX - 1),
    Duration::from_nanos(u64::MAX),
    Duration::from_secs(20_000_000_000), // 634 years; 64 bits of nanoseconds hold 584
    Duration::MAX,
];

fn durations() -> BoxedStrategy<Duration> {
    let of_any_length = (any::<u64>(), 0..64).prop_map(|(nanos, shift)| nanos >> shift);
    prop_oneof![
        3 => select(&EDGES[..]),
        4 => of_any_length.prop_map(Duration::from_nanos),
        1 => (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
    .boxed()
}

fn curves() -> impl Strategy<Value = Growth> {
    let whole = prop_oneof![Just(2.0), Just(3.0), (2..=u32::MAX).prop_map(f64::from)];
    let fractional = prop_oneof![
        Just(1.5),
        Just(1.0 + f64::EPSILON),
        1.0..4.0_f64,
        (0..52).prop_map(|bits| 1.0 + 0.7 * 0.5_f64.powi(bits)),
    ];
    let vast = select(vec![4_294_967_296.0, 1e10 + 0.5, 1e18, 1e300, f64::MAX]);
    let no_more = Just(Duration::ZERO);
    let factors = prop_oneof![
        1 => (Just(1.0), no_more),
        1 => (Just(1.0), durations()),
        3 => (whole, prop_oneof![Just(Duration::ZERO), durations()]),
        3 => (fractional, prop_oneof![Just(Duration::ZERO), durations()]),
        1 => (vast, prop_oneof![Just(Duration::ZERO), durations()]),
    ];
    (durations(), factors).prop_map(|(first, (factor, increment))| Growth::Curve {
        first,
        factor,
        increment,
    })
}

fn growths() -> impl Strategy<Value = Growth> {
    prop_oneof![6 => curves(), 1 => select(&Custom::ALL[..]).prop_map(Growth::Custom)]
}

/// Draws caps near the first delay as often as elsewhere.
fn caps(first: Duration) -> impl Strategy<Value = Duration> {
    prop_oneof![
        2 => Just(secs(60)),
        2 => durations(),
        1 => Just(first),
        1 => Just(first.saturating_sub(NANOSECOND)),
        1 => Just(first / 2),
        3 => (2..2_000_u32).prop_map(move |times| first.saturating_mul(times)),
    ]
}

pub(crate) const JITTERS: [Jitter; 4] =
    [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated];

fn jitters() -> impl Strategy<Value = Jitter> {
    prop_oneof![1 => Just(Jitter::None), 1 => select(&JITTERS[1..])]
}

fn seeds() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        1 => Just(None),
        1 => select(vec![Some(0), Some(u64::MAX)]),
        2 => any::<u64>().prop_map(Some),
    ]
}

fn attempts() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 1..=20_u32,
        1 => select(vec![1, 2, 3]),
        1 => select(vec![u32::MAX - 1, u32::MAX]),
    ]
}

/// Draws rules without a deadline.
pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let growth_and_cap = growths().prop_flat_map(|growth| (Just(growth), caps(growth.first())));
    // The limit of hints lies above the cap or below it.
    let growth_and_caps = growth_and_cap.prop_flat_map(|(growth, max_delay)| {
        let max_retry_after = prop_oneof![2 => Just(None), 1 => caps(max_delay).prop_map(Some)];
        (Just(growth), Just(max_delay), max_retry_after)
    });
    let names = select(vec![None, Some("load")]);
    (growth_and_caps, jitters(), seeds(), attempts(), names).prop_map(
        |((growth, max_delay, max_retry_after), jitter, seed, max_attempts, name)| Rules {
            growth,
            max_delay,
            max_retry_after,
            jitter,
            seed,
            max_attempts,
            max_elapsed: None,
            name,
        },
    )
}

/// Draws rules that take the most steps to their cap, which is beyond 64 bits or just below.
pub(crate) fn long_rules() -> impl Strategy<Value = Rules> {
    let nanos = |most: u64| (0..most).prop_map(Duration::from_nanos);
    let curve = (nanos(20), (2..=4_u32).prop_map(f64::from), nanos(3));
    (rules(), curve, select(&EDGES[8..])).prop_map(
        |(rules, (first, factor, increment), max_delay)| {
            let growth = Growth::Curve { first, factor, increment };
            Rules { growth, max_delay, ..rules }
        },
    )
}

#[derive(Clone, Copy, Debug)]
enum Deadline {
    None,
    At(Duration),
    /// After this number of nominal waits, or a nanosecond beside that time.
    Waits {
        number: u8,
        beside: i8,
    },
}

fn deadlines() -> impl Strategy<Value = Deadline> {
    let after = (0..6_u8, select(vec![0, 0, 1, -1]));
    prop_oneof![
        2 => Just(Deadline::None),
        1 => durations().prop_map(Deadline::At),
        3 => after.prop_map(|(number, beside)| Deadline::Waits { number, beside }),
    ]
}

impl Deadline {
    /// Returns the deadline for these calls and their waits, which follow each other on the clock.
    fn of(self, rules: &Rules, calls: impl Iterator<Item = Duration>) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::At(deadline) => Some(deadline),
            Self::Waits { number, beside } => {
                let waits = (1..=number.into()).map(|retry| *rules.nominal(retry).start());
                let both = waits.chain(calls.take(number.into()));
                let sum = duration(both.map(|time| time.as_nanos()).sum());
                Some(match beside {
                    0 => sum,
                    1 => sum.saturating_add(NANOSECOND),
                    _ => sum.saturating_sub(NANOSECOND),
                })
            }
        }
    }
}

/// A step before its policy is known. Its hint is near the policy's limit as often as elsewhere.
#[derive(Clone, Copy, Debug)]
enum Draft {
    Step(Step),
    Longest,
    TooLong,
    PartOfLongest(u32),
}

impl Draft {
    fn under(self, max_retry_after: Duration) -> Step {
        match self {
            Self::Step(step) => step,
            Self::Longest => Busy(max_retry_after),
            Self::TooLong => Busy(max_retry_after.saturating_add(NANOSECOND)),
            Self::PartOfLongest(part) => Busy(max_retry_after / part),
        }
    }
}

fn failures() -> impl Strategy<Value = Draft> {
    prop_oneof![
        8 => any::<u32>().prop_map(|number| Draft::Step(Fail(number))),
        1 => durations().prop_map(|hint| Draft::Step(Busy(hint))),
        1 => Just(Draft::Longest),
        1 => (2..20_u32).prop_map(Draft::PartOfLongest),
    ]
}

fn ends() -> impl Strategy<Value = Draft> {
    prop_oneof![
        2 => Just(Draft::Step(Succeed)),
        1 => Just(Draft::Step(Break)),
        1 => Just(Draft::TooLong),
    ]
}

/// Draws the durations of calls. Many are zero, so that waits alone meet the deadlines.
fn durations_of_calls() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        1 => select(vec![NANOSECOND, ms(1), secs(1), secs(3_600), YEAR]),
    ]
}

/// The number of attempts above which a script must end by itself.
const FEW: u32 = 30;

pub(crate) fn cases(rules: impl Strategy<Value = Rules>) -> impl Strategy<Value = Case> {
    let drafts = prop_oneof![10 => failures(), 1 => ends()];
    let steps = vec((drafts, durations_of_calls()), 0..=12);
    let lasts = (failures(), ends());
    let cancels = prop_oneof![6 => Just(None), 1 => (0..6_usize).prop_map(Some)];
    let wakes = prop_oneof![2 => Just(Vec::new()), 1 => vec(0..8_usize, 1..4)];
    (rules, deadlines(), steps, lasts, (cancels, wakes, any::<bool>())).prop_map(
        |(mut rules, deadline, steps, (failure, end), (cancel, wakes, sleeps))| {
            // If the sleeper does not sleep, the clock stays behind the waits.
            let on_the_clock = if sleeps { &steps[..] } else { &[] };
            rules.max_elapsed = deadline.of(&rules, on_the_clock.iter().map(|(_, took)| *took));
            let step = |draft: Draft| draft.under(rules.max_retry_after());
            let last = match step(end) {
                _ if rules.max_attempts <= FEW => step(failure),
                // No hint exceeds the longest duration, so this step would not end the script.
                Busy(_) if rules.max_retry_after() == Duration::MAX => Break,
                end => end,
            };
            let steps = steps.into_iter().map(|(draft, took)| (step(draft), took)).collect();
            Case { rules, scenario: Scenario { steps, last: Some(last), cancel, wakes, sleeps } }
        },
    )
}

pub(crate) fn purses() -> impl Strategy<Value = Purse> {
    let ratios = prop_oneof![
        2 => select(vec![0, 1, 200_000, 999_999, 1_000_000, 10_000_000]),
        1 => 0..=10_000_000_u32,
    ];
    let minima = prop_oneof![6 => 0..4_u32, 1 => Just(u32::MAX)];
    (ratios, minima).prop_map(|(ratio, min_retries)| Purse {
        ratio,
        min_retries,
        successes: 0,
        spent: 0,
    })
}

impl Rules {
    pub(crate) fn backoff(&self) -> Backoff {
        let backoff = match self.growth {
            Growth::Curve { first, factor, increment } => Backoff::exponential()
                .with_initial_delay(first)
                .with_factor(factor)
                .with_increment(increment),
            Growth::Custom(custom) => Backoff::custom(custom.function()),
        };
        let backoff = backoff.with_max_delay(self.max_delay).with_jitter(self.jitter);
        self.seed.map_or(backoff, |seed| backoff.with_seed(seed))
    }

    pub(crate) fn policy(&self) -> RetryPolicy {
        let policy = RetryPolicy::from(self.backoff()).with_max_attempts(self.max_attempts);
        let policy =
            self.max_retry_after.map_or(policy, |longest| policy.with_max_retry_after(longest));
        let policy = self.max_elapsed.map_or(policy, |limit| policy.with_max_elapsed(limit));
        self.name.map_or(policy, |name| policy.with_name(name))
    }

    /// Returns whether another run under these rules has the same waits.
    pub(crate) fn repeat(&self) -> bool {
        self.jitter == Jitter::None || self.seed.is_some()
    }
}
