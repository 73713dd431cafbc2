//! Properties of the delays alone.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use retry_ext::{Backoff, Jitter, RetryPolicy};

use crate::cases::{long_rules, rules};
use crate::common::ScriptError;
use crate::common::model::Rules;
use crate::for_all;

fn retries() -> impl Strategy<Value = u32> {
    let edges = [1, 2, 3, 64, 65, 66, 1_000, 1_001, 1_002, 1_024, 1_025, u32::MAX - 1, u32::MAX];
    prop_oneof![select(edges.to_vec()), 1..200_u32, any::<u32>()]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    prop_oneof![3 => rules(), 1 => long_rules()]
}

#[test]
fn r04_the_delay_before_a_retry_of_any_number_is_that_of_the_formula() {
    for_all((any_rules(), vec(retries(), 1..20)), |(rules, retries)| {
        let backoff = rules.backoff();
        prop_assert_eq!(backoff.delay(0), Duration::ZERO);
        for retry in retries {
            let (delay, nominal) = (backoff.delay(retry), rules.nominal(retry));
            prop_assert!(nominal.contains(&delay), "{retry}: {delay:?}, not {nominal:?}");
            prop_assert!(delay <= rules.max_delay);
        }
        Ok(())
    });
}

#[test]
fn r04_a_first_delay_of_any_length_is_exact_whatever_the_factor() {
    let lengths = (0..u64::MAX - 1, 1.0..4.0_f64, any::<u64>());
    for_all(lengths, |(first, factor, max_delay)| {
        let backoff = Backoff::exponential()
            .with_initial_delay(Duration::from_nanos(first))
            .with_factor(factor)
            .with_max_delay(Duration::from_nanos(max_delay));
        prop_assert_eq!(backoff.delay(1), Duration::from_nanos(first.min(max_delay)));
        Ok(())
    });
}

#[test]
fn r01_r04_a_policy_lists_one_delay_fewer_than_attempts_each_in_its_range() {
    for_all(any_rules(), |rules| {
        let mut delays = rules.policy().delays();
        let retries = rules.max_attempts as usize - 1;
        let mut previous = None;
        for (retry, left) in (1..=70).zip((1..=retries).rev()) {
            prop_assert_eq!(delays.size_hint(), (left, Some(left)));
            let (delay, allowed) = (delays.next(), rules.allowed(retry, previous, Duration::ZERO));
            prop_assert!(delay.is_some_and(|delay| allowed.contains(&delay)), "{retry}: {delay:?}");
            previous = delay;
        }
        if retries <= 70 {
            prop_assert_eq!((delays.next(), delays.size_hint()), (None, (0, Some(0))));
            prop_assert_eq!((delays.next(), delays.nth(3)), (None, None));
        }
        Ok(())
    });
}

#[test]
fn however_an_iterator_is_asked_it_gives_the_same_delays() {
    for_all((any_rules(), 0..70_usize), |(rules, skipped)| {
        // The seed makes two iterators comparable.
        let backoff = rules.backoff().with_seed(rules.seed.unwrap_or(7));
        let endless: Vec<Duration> = backoff.iter().take(71).collect();
        prop_assert_eq!(backoff.iter().size_hint(), (usize::MAX, None));
        prop_assert_eq!(backoff.iter().nth(skipped), Some(endless[skipped]));
        let mut rest = backoff.iter().skip(skipped);
        prop_assert_eq!(rest.next(), Some(endless[skipped]));
        let rest = rest.clone().take(70 - skipped);
        prop_assert!(rest.eq(endless[skipped + 1..].iter().copied()), "a clone goes on");

        let policy = RetryPolicy::from(backoff).with_max_attempts(rules.max_attempts);
        let listed = &endless[..endless.len().min(rules.max_attempts as usize - 1)];
        prop_assert_eq!(policy.delays().take(71).collect::<Vec<_>>(), listed);
        prop_assert_eq!(policy.delays().nth(skipped), listed.get(skipped).copied());
        if rules.jitter == Jitter::None {
            let by_number = (1..=71).map(|retry| backoff.delay(retry));
            prop_assert!(by_number.eq(endless), "by number as by iteration");
        }
        Ok(())
    });
}

#[test]
fn r04_an_operation_resumed_at_any_attempt_waits_as_if_its_failures_were_replayed() {
    for_all((any_rules(), 1..=128_u32, any::<u64>()), |(rules, attempt, seed)| {
        let backoff = rules.backoff().with_seed(seed);
        let policy = RetryPolicy::forever().with_backoff(backoff);
        let error = ScriptError::Transient(1);
        let mut replayed = policy.start();
        for _ in 1..attempt {
            prop_assert!(replayed.delay_after(&error).is_ok());
        }
        let mut resumed = policy.resume(attempt, Duration::MAX).expect("no limit");
        for _ in 0..4 {
            prop_assert_eq!(resumed.attempt(), replayed.attempt());
            prop_assert_eq!(resumed.delay_after(&error), replayed.delay_after(&error));
        }
        Ok(())
    });
}
