//! Jitter as a distribution. Each draw is compared with the uniform distribution over its range,
//! from the iterator and through `retry_with`.
//!
//! For fixed seeds, the level is one in a million for each of some 700 tests of fit. A sound change
//! of the generator has a chance of one in a thousand to be refused.

mod common;

use std::collections::HashSet;
use std::iter::{repeat_n, repeat_with, zip};
use std::thread;
use std::time::Duration;

use common::uniform::{
    FIXED, FRESH, assert_independent, assert_uniform, chi_square, kolmogorov_smirnov, place,
};
use common::{Busy, Fail, Step, ms, play, secs};
use retry_ext::{Backoff, Jitter, RetryPolicy};

const DRAWS: usize = 20_000;
/// The default cap.
const CAP: Duration = secs(60);
const JITTERS: [Jitter; 3] = [Jitter::Full, Jitter::Equal, Jitter::Decorrelated];

const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A range of delays, both ends included.
type Range = (Duration, Duration);

/// Returns the range of a delay by rule 4, after the delay `before` it.
fn range(jitter: Jitter, initial: Duration, nominal: Duration, before: Option<Duration>) -> Range {
    match jitter {
        Jitter::Full => (Duration::ZERO, nominal),
        Jitter::Equal => (nominal / 2, nominal),
        Jitter::Decorrelated => (initial, (before.unwrap_or(initial) * 3).min(CAP)),
        _ => (nominal, nominal),
    }
}

/// Returns a range with a hint as its floor, by rule 5. The range is at least a quarter of the hint
/// wide, below the ceiling.
fn above(hint: Duration, (low, high): Range, ceiling: Duration) -> Range {
    if hint <= low {
        return (low, high);
    }
    (hint, (hint + high.saturating_sub(low).max(hint / 4)).min(ceiling))
}

/// Returns the place of each delay of a constant backoff in its range.
fn places(jitter: Jitter, nominal: Duration, delays: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut before = None;
    delays
        .map(|delay| {
            let (low, high) = range(jitter, nominal, nominal, before.replace(delay));
            place(delay, low, high)
        })
        .collect()
}

/// Returns pairs of places that are `distance` apart. Each place is in one pair only.
fn pairs(places: &[f64], distance: usize) -> impl Iterator<Item = (f64, f64)> {
    places.chunks_exact(2 * distance).flat_map(move |block| {
        let (ones, others) = block.split_at(distance);
        zip(ones, others).map(|(&one, &other)| (one, other))
    })
}

/// Asserts that the places are uniform, and that draws near each other are independent.
#[track_caller]
fn assert_random(places: &[f64], level: f64, what: &str) {
    assert_uniform(places, level, what);
    for distance in [1, 2, 3, 8] {
        assert_independent(pairs(places, distance), level, &format!("{what}, {distance} apart"));
    }
}

/// Asserts that the draws of a backoff with a constant range are random, at several seeds.
#[track_caller]
fn assert_draws(backoff: Backoff, (low, high): Range) {
    for seed in [0, 42, u64::MAX] {
        let draws = backoff.with_seed(seed).iter().take(DRAWS);
        let places: Vec<f64> = draws.map(|draw| place(draw, low, high)).collect();
        assert_random(&places, FIXED, &format!("{backoff:?}, seed {seed}"));
    }
}

fn around(nominal: Duration, jitter: Jitter) -> Backoff {
    Backoff::constant(nominal).with_jitter(jitter)
}

#[test]
fn the_tests_of_fit_give_the_p_of_the_tables() {
    // Above these points of Kolmogorov's distribution lie 10, 5 and 1 %.
    for (scaled, p) in [(1.2238, 0.1), (1.3581, 0.05), (1.6276, 0.01)] {
        // The places are evenly spread, and all are moved by this distance.
        let distance = scaled / (20.0 + 0.12 + 0.11 / 20.0);
        let places: Vec<f64> =
            (0..400).map(|i| f64::from(i) / 400.0 + distance).map(|place| place.min(1.0)).collect();
        assert!((kolmogorov_smirnov(&places) / p - 1.0).abs() < 1e-3);
    }
    assert!((kolmogorov_smirnov(&[0.125, 0.375, 0.625, 0.875]) - 1.0).abs() < 1e-3);
    // With 5 degrees of freedom, 5, 1 and 0.1 % lie above the statistics 11.1, 15.1 and 20.5. The
    // bound is at least as high.
    for (off, p) in [(236, 0.05), (275, 0.01), (320, 0.001)] {
        let bound = chi_square(&[10_000 + off, 10_000 - off, 10_000, 10_000, 10_000, 10_000]);
        assert!(bound > p && bound < 40.0 * p, "{bound} for {p}");
    }
}

#[test]
fn r04_full_is_uniform_from_zero_to_the_delay() {
    assert_draws(around(secs(10), Jitter::Full), (Duration::ZERO, secs(10)));
}

#[test]
fn r04_equal_is_uniform_from_half_the_delay_to_the_delay() {
    assert_draws(around(secs(10), Jitter::Equal), (secs(5), secs(10)));
}

#[test]
fn r04_at_the_cap_the_draws_are_still_uniform_below_it() {
    let capped = |jitter| around(secs(600), jitter).with_max_delay(CAP);
    assert_draws(capped(Jitter::Full), (Duration::ZERO, CAP));
    assert_draws(capped(Jitter::Equal), (CAP / 2, CAP));
    // Otherwise, the range of decorrelated jitter would be a single point.
    assert_draws(capped(Jitter::Decorrelated), (CAP / 2, CAP));
}

#[test]
fn ranges_that_do_not_divide_the_generators_have_no_favourites() {
    // A remainder would draw the lower third of the first range twice as often as the rest.
    for nominal in [nanos(3 << 62), nanos(u64::MAX - 1), nanos((1 << 63) + 1)] {
        let backoff = around(nominal, Jitter::Full).with_max_delay(Duration::MAX);
        assert_draws(backoff, (Duration::ZERO, nominal));
    }
}

#[test]
fn all_nanoseconds_of_a_small_range_are_equally_likely() {
    let count = |jitter, nominal, low, high| {
        let draws = around(nanos(nominal), jitter).with_seed(1).iter().take(DRAWS);
        let mut cells = vec![0; high - low + 1];
        for draw in draws {
            let nanos = usize::try_from(draw.as_nanos()).expect("a few");
            assert!((low..=high).contains(&nanos), "{nanos} is not in {low}..={high}");
            cells[nanos - low] += 1;
        }
        let p = chi_square(&cells);
        assert!(p > FIXED, "{jitter:?} of {nominal} ns: {cells:?}, p = {p:e}");
    };
    count(Jitter::Full, 1, 0, 1);
    count(Jitter::Full, 5, 0, 5);
    count(Jitter::Equal, 6, 3, 6);
}

#[test]
fn none_draws_nothing() {
    let backoff = around(secs(10), Jitter::None).with_seed(42);
    assert!(backoff.iter().take(DRAWS).all(|draw| draw == secs(10)));
}

#[test]
fn jitter_around_zero_is_zero() {
    for jitter in JITTERS {
        let backoff = around(Duration::ZERO, jitter).with_seed(42);
        assert!(backoff.iter().take(DRAWS).all(|draw| draw.is_zero()), "{jitter:?}");
    }
}

#[test]
fn r04_decorrelated_is_uniform_from_the_initial_delay_to_three_times_the_one_before() {
    for initial in [nanos(1_000), ms(10), secs(1), secs(19), secs(59)] {
        for seed in [0, 42, u64::MAX] {
            let backoff = Backoff::exponential()
                .with_initial_delay(initial)
                .with_jitter(Jitter::Decorrelated)
                .with_seed(seed);
            let delays: Vec<Duration> = backoff.iter().take(DRAWS).collect();
            let places = places(Jitter::Decorrelated, initial, delays.iter().copied());
            assert_random(&places, FIXED, &format!("initial {initial:?}, seed {seed}"));
            // The cap ends the range; the draws do not pile up at it.
            let at_the_cap = delays.iter().filter(|&&delay| delay == CAP).count();
            assert!(at_the_cap <= 1, "{at_the_cap} draws are exactly the cap");
        }
    }
}

#[test]
fn decorrelated_takes_the_first_delay_of_a_custom_backoff_for_the_initial_one() {
    let backoff = Backoff::custom(|retry| secs(u64::from(retry) * 5))
        .with_jitter(Jitter::Decorrelated)
        .with_seed(1);
    let places = places(Jitter::Decorrelated, secs(5), backoff.iter().take(DRAWS));
    assert_random(&places, FIXED, "custom");
}

#[test]
fn r04_the_first_decorrelated_delays_of_small_ranges_are_equally_likely() {
    // The range is 2 ns to 6 ns.
    let mut cells = [0; 5];
    let backoff = around(nanos(2), Jitter::Decorrelated);
    for seed in 0..10_000 {
        let first = backoff.with_seed(seed).iter().next().expect("endless").as_nanos();
        assert!((2..=6).contains(&first), "{first} ns");
        cells[usize::try_from(first - 2).expect("up to 4")] += 1;
    }
    let p = chi_square(&cells);
    assert!(p > FIXED, "{cells:?}, p = {p:e}");
}

type Seeds = (&'static str, fn(u64) -> u64);

/// Usual ways to number clients.
const SEEDS: [Seeds; 4] = [
    ("one after the other", |number| number),
    ("over the edge", |number| number.wrapping_sub(10_000)),
    ("in the upper half", |number| number << 32),
    ("multiples of the golden ratio", |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
];

#[test]
fn r12_seeds_with_something_in_common_draw_unrelated_delays() {
    for jitter in JITTERS {
        let (low, high) = range(jitter, secs(10), secs(10), None);
        for (how, seed) in SEEDS {
            let backoff = |number| around(secs(10), jitter).with_seed(seed(number));
            let first = |number| backoff(number).iter().next().expect("endless");
            let places: Vec<f64> =
                (0..DRAWS as u64).map(|number| place(first(number), low, high)).collect();
            assert_random(&places, FIXED, &format!("{jitter:?}, seeds {how}"));
        }
    }
}

#[test]
fn r12_no_seed_draws_what_another_draws_at_another_retry() {
    for (how, seed) in SEEDS {
        let backoff = around(nanos(1 << 63), Jitter::Full).with_max_delay(Duration::MAX);
        let delays = |number| backoff.with_seed(seed(number)).iter().take(4);
        // In so wide a range, two of 4,000 draws are equal with a chance of 1e-12.
        let different: HashSet<Duration> = (0..1_000).flat_map(delays).collect();
        assert_eq!(different.len(), 4_000, "seeds {how}");
    }
}

/// One lucky seed proves little, so the p of many seeds must be uniform itself. Too small a p means
/// draws that are not uniform. Too large a p means draws that are more even than chance. L'Ecuyer
/// and Simard, "`TestU01`", ACM Transactions on Mathematical Software 33, 2007, section 2 tests in
/// two such levels.
#[test]
fn at_a_thousand_seeds_the_draws_are_as_uneven_as_chance_is() {
    for jitter in JITTERS {
        let backoff = around(secs(10), jitter);
        let p: Vec<f64> = (0..1_000)
            .map(|seed| {
                let draws = backoff.with_seed(seed).iter().take(256);
                kolmogorov_smirnov(&places(jitter, secs(10), draws))
            })
            .collect();
        assert_uniform(&p, FIXED, &format!("the p of {jitter:?}"));
        // Of 1,000 sound seeds, one in a hundred is refused at 1 %. More than 28 are refused with a
        // chance of 6e-7, by the binomial distribution.
        let refused = p.iter().filter(|p| **p < 0.01).count();
        assert!(refused <= 28, "{jitter:?}: {refused} of 1,000 seeds are refused at 1 %");
    }
}

/// Asserts the distribution of the waits of many runs, as the sleeper receives them. The waits
/// before the first retry, the second and so on are each uniform over their range, and independent
/// of the previous wait.
#[track_caller]
fn assert_waits(runs: impl IntoIterator<Item = RetryPolicy>, level: f64, script: &[Step]) {
    let mut places = [const { Vec::new() }; 3];
    let mut jitter = Jitter::None;
    for policy in runs {
        jitter = policy.jitter();
        let ceiling = policy.max_delay().max(policy.max_retry_after());
        let mut before = None;
        let waits = play(policy, script).waits;
        assert_eq!(waits.len(), places.len());
        for (retry, wait) in waits.into_iter().enumerate() {
            let hint = match script.get(retry).or(script.last()) {
                Some(Busy(hint)) => *hint,
                _ => Duration::ZERO,
            };
            let unhinted = range(jitter, secs(10), secs([10, 20, 40][retry]), before);
            let (low, high) = above(hint, unhinted, ceiling);
            places[retry].push(place(wait, low, high));
            if hint <= unhinted.0 {
                before = Some(wait);
            }
        }
    }
    let what = |retry| format!("{jitter:?}, {script:?}, wait {}", retry + 1);
    for (retry, places) in places.iter().enumerate() {
        assert_uniform(places, level, &what(retry));
    }
    for (retry, two) in places.windows(2).enumerate() {
        let pairs = zip(&two[0], &two[1]).map(|(&one, &other)| (one, other));
        assert_independent(pairs, level, &format!("{} and the next", what(retry)));
    }
}

/// Returns the policy with each of many seeds, which have nothing in common.
fn seeded(policy: RetryPolicy) -> impl Iterator<Item = RetryPolicy> {
    let mut seeds = fastrand::Rng::with_seed(1);
    repeat_with(move || policy.with_seed(seeds.u64(..))).take(10_000)
}

/// Returns a policy of three retries, with nominal delays of 10, 20 and 40 s.
fn three_retries(jitter: Jitter) -> RetryPolicy {
    RetryPolicy::new()
        .with_max_attempts(4)
        .with_initial_delay(secs(10))
        .with_jitter(jitter)
        .with_logging(false)
}

#[test]
fn r04_the_waits_of_the_verb_are_uniform_before_each_retry() {
    for jitter in JITTERS {
        assert_waits(seeded(three_retries(jitter)), FIXED, &[Fail(1)]);
    }
}

#[test]
fn r05_a_hint_moves_the_range_up_and_the_waits_stay_uniform_in_it() {
    for jitter in JITTERS {
        // The hints lie below every range, within some, above each, and near the cap, which cuts
        // the ranges off.
        for hint in [ms(1), secs(4), secs(12), secs(35), secs(55)] {
            assert_waits(seeded(three_retries(jitter)), FIXED, &[Busy(hint)]);
        }
    }
}

#[test]
fn r05_hints_above_the_cap_spread_up_to_the_longest_that_is_obeyed() {
    for jitter in JITTERS {
        let policy = three_retries(jitter).with_max_retry_after(secs(100));
        for hint in [secs(35), secs(70), secs(90)] {
            assert_waits(seeded(policy), FIXED, &[Busy(hint)]);
        }
    }
}

#[test]
fn r05_one_hint_moves_its_own_wait_alone() {
    for jitter in JITTERS {
        let script = [Fail(1), Busy(secs(35)), Fail(2)];
        assert_waits(seeded(three_retries(jitter)), FIXED, &script);
    }
}

#[test]
fn r05_a_hint_that_is_the_cap_is_waited_for_exactly() {
    for jitter in JITTERS {
        let waits = play(three_retries(jitter), &[Busy(CAP)]).waits;
        assert_eq!(waits, [CAP; 3], "{jitter:?}");
    }
}

#[test]
fn r12_unseeded_draws_are_uniform_from_one_iterator_to_the_next() {
    for jitter in JITTERS {
        let (low, high) = range(jitter, secs(10), secs(10), None);
        let backoff = around(secs(10), jitter);
        let firsts = (0..DRAWS).map(|_| backoff.iter().next().expect("endless"));
        let places: Vec<f64> = firsts.map(|first| place(first, low, high)).collect();
        assert_random(&places, FRESH, &format!("{jitter:?}"));
    }
}

#[test]
fn r12_unseeded_waits_of_the_verb_are_uniform_from_one_run_to_the_next() {
    for jitter in JITTERS {
        assert_waits(repeat_n(three_retries(jitter), 10_000), FRESH, &[Fail(1)]);
    }
}

#[test]
fn r12_two_iterators_of_one_backoff_draw_differently_and_equal_seeds_draw_equally() {
    for jitter in JITTERS {
        let backoff = around(ms(500), jitter);
        let run = |backoff: Backoff| backoff.iter().take(4).collect::<Vec<_>>();
        assert_ne!(run(backoff), run(backoff), "{jitter:?}");
        assert_eq!(run(backoff.with_seed(7)), run(backoff.with_seed(7)), "{jitter:?}");
        assert_ne!(run(backoff.with_seed(7)), run(backoff.with_seed(8)), "{jitter:?}");
    }
}

#[test]
fn r12_two_runs_of_the_verb_wait_differently_and_equal_seeds_wait_equally() {
    for jitter in JITTERS {
        let policy = three_retries(jitter);
        let run = |policy| play(policy, &[Fail(1)]).waits;
        assert_ne!(run(policy), run(policy), "{jitter:?}");
        assert_eq!(run(policy.with_seed(7)), run(policy.with_seed(7)), "{jitter:?}");
        assert_ne!(run(policy.with_seed(7)), run(policy.with_seed(8)), "{jitter:?}");
    }
}

#[test]
fn r12_threads_draw_differently() {
    for jitter in JITTERS {
        let run = move || {
            let delays = around(ms(500), jitter).iter().take(4).collect::<Vec<_>>();
            [delays, play(three_retries(jitter), &[Fail(1)]).waits]
        };
        let threads: Vec<_> = (0..8).map(|_| thread::spawn(run)).collect();
        let there = threads.into_iter().map(|thread| thread.join().expect("it only draws"));
        let all: Vec<_> = there.chain([run()]).flatten().collect();
        let different: HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{jitter:?}: {all:?}");
    }
}
