//! `Backoff` and `RetryIter`: the series, the arithmetic, the limits.

mod common;

use std::time::Duration;

use common::{ms, secs};
use retry_ext::{Backoff, Jitter, RetryPolicy};

fn in_seconds(backoff: Backoff, count: usize) -> Vec<u64> {
    backoff.iter().take(count).map(|delay| delay.as_secs()).collect()
}

#[test]
fn exponential_doubles_from_one_second_to_sixty() {
    assert_eq!(in_seconds(Backoff::exponential(), 8), [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn linear_adds_a_second_up_to_sixty() {
    let series = in_seconds(Backoff::linear(), 62);
    assert_eq!(series[..4], [1, 2, 3, 4]);
    assert_eq!(series[58..], [59, 60, 60, 60]);
}

#[test]
fn constant_stays() {
    assert_eq!(in_seconds(Backoff::constant(secs(5)), 4), [5, 5, 5, 5]);
}

#[test]
fn custom_is_asked_for_1_2_3_and_capped() {
    let backoff = Backoff::custom(|retry| secs(u64::from(retry) * 25));
    assert_eq!(in_seconds(backoff, 4), [25, 50, 60, 60]);
    assert_eq!(backoff.delay(2), secs(50));
    assert_eq!(backoff.delay(0), Duration::ZERO);
}

#[test]
fn custom_is_called_once_per_delay() {
    use std::sync::Mutex;
    static ASKED: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    fn delay(retry: u32) -> Duration {
        ASKED.lock().expect("the lock is not poisoned").push(retry);
        secs(1)
    }
    for jitter in [Jitter::None, Jitter::Full, Jitter::Equal] {
        ASKED.lock().expect("the lock is not poisoned").clear();
        let delays = Backoff::custom(delay).with_jitter(jitter).iter().take(3).count();
        assert_eq!(delays, 3);
        assert_eq!(*ASKED.lock().expect("the lock is not poisoned"), [1, 2, 3], "{jitter:?}");
    }
}

#[test]
fn a_for_loop_runs_over_a_backoff_and_over_a_reference() {
    let backoff = Backoff::exponential();
    let mut sum = Duration::ZERO;
    for delay in &backoff {
        sum += delay;
        if sum > secs(10) {
            break;
        }
    }
    assert_eq!(sum, secs(1 + 2 + 4 + 8));
    for (delay, retry) in backoff.into_iter().zip(1..4) {
        assert_eq!(delay, backoff.delay(retry));
    }
}

#[test]
fn the_formula_holds_for_factor_and_increment_together() {
    // 1, 1·3+2 = 5, 5·3+2 = 17, 17·3+2 = 53, 161 → capped.
    let backoff = Backoff::exponential().with_factor(3.0).with_increment(secs(2));
    assert_eq!(in_seconds(backoff, 5), [1, 5, 17, 53, 60]);
}

#[test]
fn fractional_factors_are_rounded_to_the_nanosecond_and_do_not_drift() {
    let backoff = Backoff::exponential().with_initial_delay(ms(100)).with_factor(1.1);
    // 100 ms × 1.1^k, exactly, for k = 0..=5, rounded to whole nanoseconds.
    let exact = [100_000_000, 110_000_000, 121_000_000, 133_100_000, 146_410_000, 161_051_000];
    let series: Vec<Duration> = backoff.iter().take(6).collect();
    assert_eq!(series, exact.map(Duration::from_nanos));

    let with_increment = Backoff::linear().with_factor(1.5).with_initial_delay(ms(8));
    // 8 ms, 8·1.5+1000, 1012·1.5+1000, 2518·1.5+1000
    let series: Vec<Duration> = with_increment.iter().take(4).collect();
    assert_eq!(series, [8, 1_012, 2_518, 4_777].map(ms));
}

#[test]
fn a_factor_hardly_above_one_loses_nothing_to_cancellation() {
    let backoff = Backoff::linear().with_factor(1.0 + f64::EPSILON);
    assert_eq!(in_seconds(backoff, 4), [1, 2, 3, 4]);
    assert_eq!(backoff.delay(50), secs(50));
}

#[test]
fn delay_by_number_and_by_iteration_are_the_same() {
    let odd = Duration::from_nanos(1_234_567);
    let backoffs = [
        Backoff::exponential(),
        Backoff::linear(),
        Backoff::constant(odd),
        Backoff::exponential().with_initial_delay(odd).with_factor(3.0).with_increment(odd),
        Backoff::exponential().with_initial_delay(odd).with_factor(1.7),
        Backoff::linear().with_initial_delay(Duration::ZERO).with_factor(1.01),
        Backoff::exponential().with_initial_delay(Duration::ZERO).with_increment(odd),
        Backoff::exponential().with_initial_delay(Duration::ZERO),
        Backoff::exponential().with_factor(1e300),
        Backoff::exponential().with_factor(f64::from(u32::MAX)),
        Backoff::exponential().with_max_delay(Duration::MAX),
        Backoff::linear().with_max_delay(Duration::MAX).with_increment(Duration::MAX),
        Backoff::constant(Duration::MAX).with_max_delay(Duration::MAX),
        Backoff::linear().with_increment(secs(61)),
        Backoff::exponential().with_max_delay(Duration::ZERO),
        Backoff::custom(|retry| ms(u64::from(retry) * 7)),
    ];
    for backoff in backoffs {
        for (retry, delay) in (1..=200).zip(backoff) {
            assert_eq!(backoff.delay(retry), delay, "retry {retry} of {backoff:?}");
        }
    }
}

#[test]
fn delays_never_shrink_and_never_pass_the_cap() {
    for factor in [1.0, 1.000_1, 1.5, 2.0, 7.0, 1e9, f64::MAX] {
        let backoff = Backoff::exponential().with_factor(factor).with_initial_delay(ms(3));
        let mut before = Duration::ZERO;
        for delay in backoff.iter().take(2_000) {
            assert!(delay >= before && delay <= secs(60), "factor {factor}: {before:?}, {delay:?}");
            before = delay;
        }
    }
}

#[test]
fn the_last_power_of_two_that_64_bits_hold_is_exact_and_the_next_is_the_cap() {
    let nanosecond = Duration::from_nanos(1);
    let backoff =
        Backoff::exponential().with_initial_delay(nanosecond).with_max_delay(Duration::MAX);
    assert_eq!(backoff.delay(64), Duration::from_nanos(1 << 63));
    assert_eq!(backoff.delay(65), Duration::MAX);
}

#[test]
fn r04_what_just_fits_under_the_cap_is_exact_and_the_next_is_the_cap() {
    let series = |first, factor, increment, cap| -> Vec<u128> {
        let backoff = Backoff::exponential()
            .with_initial_delay(Duration::from_nanos(first))
            .with_factor(factor)
            .with_increment(Duration::from_nanos(increment))
            .with_max_delay(Duration::from_nanos(cap));
        backoff.iter().take(4).map(|delay| delay.as_nanos()).collect()
    };
    assert_eq!(series(30, 2.0, 0, 59), [30, 59, 59, 59]);
    assert_eq!(series(30, 2.0, 0, 60), [30, 60, 60, 60]);
    assert_eq!(series(30, 2.0, 0, 61), [30, 60, 61, 61]);
    assert_eq!(series(31, 2.0, 0, 61), [31, 61, 61, 61]);
    assert_eq!(series(7, 3.0, 2, 22), [7, 22, 22, 22]);
    assert_eq!(series(7, 3.0, 2, 23), [7, 23, 23, 23]);
    assert_eq!(series(7, 3.0, 2, 24), [7, 23, 24, 24]);
    assert_eq!(series(1, 1.0, 10, 10), [1, 10, 10, 10]);
    assert_eq!(series(1, 1.0, 10, 11), [1, 11, 11, 11]);
    assert_eq!(series(1, 1.0, 10, 12), [1, 11, 12, 12]);
}

#[test]
fn r04_as_many_nanoseconds_as_64_bits_hold_are_a_delay_like_any_other() {
    let nanos = Duration::from_nanos;
    let more = nanos(u64::MAX) + nanos(1);
    for length in [nanos(u64::MAX - 2), nanos(u64::MAX - 1), nanos(u64::MAX), more] {
        let backoff = Backoff::constant(length).with_max_delay(length);
        assert!(backoff.iter().take(3).all(|delay| delay == length), "{length:?}");
        for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
            let mut delays = backoff.with_jitter(jitter).with_seed(1).iter().take(100);
            assert!(delays.all(|delay| delay <= length), "{jitter:?} of {length:?}");
        }
    }
}

#[test]
fn policy_delays_are_one_fewer_than_attempts() {
    for attempts in [1, 2, 3, 10] {
        let delays = RetryPolicy::new().with_max_attempts(attempts).delays();
        let left = attempts as usize - 1;
        assert_eq!(delays.size_hint(), (left, Some(left)));
        assert_eq!(delays.count(), left);
    }
}

#[test]
fn an_ended_iterator_stays_ended() {
    let mut delays = RetryPolicy::new().with_max_attempts(2).delays();
    assert_eq!(delays.next(), Some(secs(1)));
    for _ in 0..3 {
        assert_eq!(delays.next(), None);
        assert_eq!(delays.size_hint(), (0, Some(0)));
    }
}

#[test]
fn size_hint_is_honest_at_every_step() {
    let mut delays = RetryPolicy::new().with_max_attempts(5).delays();
    for left in (0..4).rev() {
        assert!(delays.next().is_some());
        assert_eq!(delays.size_hint(), (left, Some(left)));
    }
    let endless = RetryPolicy::new().with_max_attempts(u32::MAX).delays();
    assert_eq!(endless.size_hint().1, Some(u32::MAX as usize - 1));
}

#[test]
fn a_clone_goes_on_with_the_same_delays() {
    let mut delays = Backoff::exponential().with_jitter(Jitter::Full).iter();
    let preview: Vec<Duration> = delays.clone().take(5).collect();
    assert_eq!(delays.by_ref().take(2).collect::<Vec<_>>(), preview[..2]);
    assert!(delays.clone().take(3).eq(preview[2..].iter().copied()));
}

#[test]
fn getters_return_what_was_set() {
    let backoff = Backoff::linear()
        .with_initial_delay(Duration::MAX)
        .with_factor(1.25)
        .with_increment(ms(7))
        .with_max_delay(Duration::MAX)
        .with_jitter(Jitter::Equal)
        .with_seed(9);
    assert_eq!(backoff.initial_delay(), Duration::MAX);
    assert!((backoff.factor() - 1.25).abs() < f64::EPSILON);
    assert_eq!(backoff.increment(), ms(7));
    assert_eq!(backoff.max_delay(), Duration::MAX);
    assert_eq!(backoff.jitter(), Jitter::Equal);
    assert_eq!(backoff.seed(), Some(9));
    assert_eq!(Backoff::default().delay(1), secs(1));
}

#[test]
fn p41_a_schedule_is_kept_and_its_last_delay_repeats() {
    const WEBHOOK: Backoff = Backoff::schedule(&[secs(5), secs(300), secs(1_800)]);

    let policy = RetryPolicy::from(WEBHOOK).with_max_attempts(6);
    assert!(policy.delays().eq([5, 300, 1_800, 1_800, 1_800].map(secs)));
    assert_eq!(WEBHOOK.max_delay(), secs(1_800));
    assert_eq!((WEBHOOK.delay(0), WEBHOOK.delay(u32::MAX)), (secs(0), secs(1_800)));
    // An explicit cap remains the cap, in either order.
    let capped = RetryPolicy::new().with_max_delay(secs(60)).with_backoff(WEBHOOK);
    assert!(capped.with_max_attempts(4).delays().eq([5, 60, 60].map(secs)));
    assert_eq!(WEBHOOK.with_max_delay(secs(7)).delay(2), secs(7));
    // Short delays keep the default cap, and settings that do not concern a schedule are ignored.
    let short = Backoff::schedule(const { &[ms(1)] }).with_initial_delay(secs(9)).with_factor(3.0);
    assert_eq!((short.delay(1), short.delay(7), short.max_delay()), (ms(1), ms(1), secs(60)));
    let longest = Backoff::schedule(const { &[Duration::MAX, secs(1)] });
    assert_eq!((longest.delay(1), longest.delay(2)), (Duration::MAX, secs(1)));
}

#[test]
fn a_schedule_is_spread_by_jitter_like_any_backoff() {
    let schedule = Backoff::schedule(const { &[secs(10), secs(20)] }).with_seed(3);
    for (jitter, low) in [(Jitter::Full, 0), (Jitter::Equal, 1)] {
        let delays: Vec<Duration> = schedule.with_jitter(jitter).iter().take(200).collect();
        assert!(delays[0] >= secs(5 * low) && delays[0] <= secs(10), "{jitter:?}");
        let later = &delays[1..];
        assert!(later.iter().all(|delay| *delay >= secs(10 * low) && *delay <= secs(20)));
        assert!(later.iter().any(|delay| *delay != later[0]), "{jitter:?}");
    }
    let mut delays = schedule.with_jitter(Jitter::Decorrelated).iter();
    let first = delays.next().expect("endless");
    assert!(first >= secs(10) && first <= secs(30), "{first:?}");
}

#[test]
#[should_panic(expected = "a backoff schedule must have at least one delay")]
fn an_empty_schedule_is_refused() {
    let _ = Backoff::schedule(&[]);
}

#[test]
fn p43_within_has_one_limit_and_forever_none() {
    let within = RetryPolicy::within(secs(300));
    assert_eq!((within.max_attempts(), within.max_elapsed()), (u32::MAX, Some(secs(300))));
    let forever = RetryPolicy::forever();
    assert_eq!((forever.max_attempts(), forever.max_elapsed()), (u32::MAX, None));
    assert!(forever.budget().is_none());
}
