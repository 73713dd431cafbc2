//! Jitter as a distribution, at fixed seeds: range, mean, no empty decile.

mod common;

use std::time::Duration;

use common::{ms, secs};
use retry_ext::{Backoff, Jitter};

const DRAWS: usize = 20_000;

/// Draws of one jitter around a constant nominal delay.
fn draws(jitter: Jitter, nominal: Duration) -> Vec<f64> {
    let backoff = Backoff::constant(nominal).with_jitter(jitter).with_seed(42);
    backoff.iter().take(DRAWS).map(|delay| delay.as_secs_f64()).collect()
}

/// Uniform over `low..=high`: nothing outside, the mean in the middle, every decile with its share.
/// With 20,000 draws the standard error of the mean is 0.2 % of the width and that of a decile's
/// share 2.1 % of the share; five of them are allowed.
fn assert_uniform(draws: &[f64], low: f64, high: f64) {
    let count = 20_000.0;
    let mean = draws.iter().sum::<f64>() / count;
    let middle = f64::midpoint(low, high);
    assert!((mean - middle).abs() < 0.01 * (high - low), "mean {mean}, not {middle}");
    let mut deciles = [0.0_f64; 10];
    for draw in draws {
        assert!((low..=high).contains(draw), "{draw} is not in {low}..={high}");
        let place = (draw - low) / (high - low) * 10.0;
        let decile = (0..9).find(|&d| place < f64::from(d + 1)).unwrap_or(9);
        deciles[usize::try_from(decile).expect("below ten")] += 1.0;
    }
    for share in deciles {
        assert!((share - count / 10.0).abs() < 0.105 * count / 10.0, "deciles {deciles:?}");
    }
}

#[test]
fn full_is_uniform_from_zero_to_the_delay() {
    assert_uniform(&draws(Jitter::Full, secs(10)), 0.0, 10.0);
}

#[test]
fn equal_is_uniform_from_half_the_delay_to_the_delay() {
    assert_uniform(&draws(Jitter::Equal, secs(10)), 5.0, 10.0);
}

#[test]
fn at_the_cap_full_and_equal_are_still_uniform_below_it() {
    assert_uniform(&draws(Jitter::Full, secs(600)), 0.0, 60.0);
    assert_uniform(&draws(Jitter::Equal, secs(600)), 30.0, 60.0);
}

#[test]
fn none_draws_nothing() {
    assert!(draws(Jitter::None, secs(10)).iter().all(|draw| (draw - 10.0).abs() < 1e-12));
}

#[test]
fn the_first_decorrelated_delay_is_uniform_from_the_initial_to_three_times_it() {
    let first = |seed| {
        let backoff = Backoff::exponential().with_jitter(Jitter::Decorrelated).with_seed(seed);
        backoff.iter().next().expect("endless").as_secs_f64()
    };
    let draws: Vec<f64> = (0..20_000).map(first).collect();
    assert_uniform(&draws, 1.0, 3.0);
}

#[test]
fn every_decorrelated_delay_is_between_the_initial_and_three_times_the_one_before() {
    let backoff = Backoff::exponential().with_jitter(Jitter::Decorrelated).with_seed(3);
    let mut before = secs(1);
    let mut at_the_widest = Vec::new();
    for delay in backoff.iter().take(DRAWS) {
        assert!(delay >= secs(1) && delay <= (before * 3).min(secs(60)));
        if before >= secs(20) {
            at_the_widest.push(delay);
        }
        before = delay;
    }
    // Three times the delay before is above the cap here: the range ends at the cap, and the draws
    // do not pile up there.
    assert!(at_the_widest.len() > DRAWS / 4);
    let at_the_cap = at_the_widest.iter().filter(|&&delay| delay == secs(60)).count();
    assert!(at_the_cap <= 1, "{at_the_cap} draws are exactly the cap");
    assert!(at_the_widest.iter().any(|&delay| delay < secs(7)));
    assert!(at_the_widest.iter().any(|&delay| delay > secs(54)));
}

#[test]
fn decorrelated_differs_even_where_the_initial_delay_is_above_the_cap() {
    assert_uniform(&draws(Jitter::Decorrelated, secs(120)), 30.0, 60.0);
}

#[test]
fn decorrelated_takes_the_first_delay_of_a_custom_backoff_for_the_initial_one() {
    let backoff = Backoff::custom(|retry| secs(u64::from(retry) * 5))
        .with_jitter(Jitter::Decorrelated)
        .with_seed(1);
    assert!(backoff.iter().take(DRAWS).all(|delay| delay >= secs(5) && delay <= secs(60)));
    assert!(backoff.iter().next().expect("endless") <= secs(15));
}

#[test]
fn both_ends_of_a_range_are_drawn() {
    let nanosecond = Duration::from_nanos(1);
    let delays: Vec<Duration> = Backoff::constant(nanosecond)
        .with_jitter(Jitter::Full)
        .with_seed(1)
        .iter()
        .take(100)
        .collect();
    assert!(delays.contains(&Duration::ZERO) && delays.contains(&nanosecond));
}

#[test]
fn jitter_around_zero_is_zero() {
    for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        assert!(draws(jitter, Duration::ZERO).iter().all(|&draw| draw == 0.0), "{jitter:?}");
    }
}

#[test]
fn r12_two_iterators_of_one_backoff_draw_differently_and_equal_seeds_draw_equally() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        let backoff = Backoff::constant(ms(500)).with_jitter(jitter);
        let run = |backoff: Backoff| backoff.iter().take(4).collect::<Vec<_>>();
        assert_ne!(run(backoff), run(backoff), "{jitter:?}");
        assert_eq!(run(backoff.with_seed(7)), run(backoff.with_seed(7)), "{jitter:?}");
        assert_ne!(run(backoff.with_seed(7)), run(backoff.with_seed(8)), "{jitter:?}");
    }
}

#[test]
fn r12_seeds_that_follow_each_other_draw_independently() {
    // The correlation of neighbours: its standard error is 1 / √20,000; five of them are allowed.
    let first = |seed| {
        let backoff = Backoff::constant(secs(1)).with_jitter(Jitter::Full).with_seed(seed);
        backoff.iter().next().expect("endless").as_secs_f64() - 0.5
    };
    let draws: Vec<f64> = (0..20_001).map(first).collect();
    let correlation = draws.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / 20_000.0 * 12.0;
    assert!(correlation.abs() < 0.036, "{correlation}");
}

#[test]
fn r12_two_threads_draw_differently() {
    let run =
        || Backoff::exponential().with_jitter(Jitter::Full).iter().take(4).collect::<Vec<_>>();
    let there = std::thread::spawn(run).join().expect("the thread only draws");
    assert_ne!(run(), there);
}
