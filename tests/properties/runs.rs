//! Properties of whole runs, through every driver.

use std::cell::Cell;
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use retry_ext::{SleepOutcome, StopReason};

use crate::budgets::budget;
use crate::cases::{Case, JITTERS, cases, purses, rules};
use crate::common::drivers::awaited::{
    DRIVERS, by_awaiting_loop, by_blocking_loop, by_timer, by_whole_stream,
};
use crate::common::drivers::{Driver, Endless, Trace, by_closure, by_long_loop, by_whole_iterator};
use crate::common::model::{Model, Rules};
use crate::common::{Break, Busy, Fail, Succeed};
use crate::{Stage, YEAR, for_all};

fn obeys(case: &Case, seen: &Trace, clock: &[Duration], driver: &str) -> TestCaseResult {
    keeps_its_limits(case, seen)?;
    let expected = Model::new(&case.rules, &case.scenario).predict(clock, seen, None);
    prop_assert_eq!(seen, &expected, "seen, and expected of the {}", driver);
    Ok(())
}

/// Checks the limits that a caller relies on, without a model.
fn keeps_its_limits(Case { rules, scenario }: &Case, seen: &Trace) -> TestCaseResult {
    prop_assert!(seen.calls <= rules.max_attempts, "rule 1");
    let cancelled = seen.reason() == Some(StopReason::Cancelled);
    prop_assert_eq!(seen.waits.len() + 1, seen.calls as usize + usize::from(cancelled), "rule 2");
    let mut waited = Duration::ZERO;
    for (number, &wait) in seen.waits.iter().enumerate() {
        prop_assert!(wait <= rules.longest_wait(), "rule 5");
        match scenario.step(number) {
            // Hints that 64-bit nanoseconds cannot hold are treated alike.
            Some(Busy(hint)) => {
                prop_assert!(wait >= hint.min(Duration::from_nanos(u64::MAX - 1)), "rule 5");
            }
            _ => prop_assert!(wait <= rules.max_delay, "rule 4"),
        }
        if scenario.sleep(number) == SleepOutcome::Elapsed {
            waited = waited.saturating_add(wait);
        }
    }
    prop_assert!(seen.pauses.is_empty(), "a first item has no pause before it");
    prop_assert!(rules.max_elapsed.is_none_or(|max_elapsed| waited <= max_elapsed), "rule 6");
    let told = seen.heard.iter().map(|heard| heard.delay);
    prop_assert!(told.eq(seen.waits.iter().copied()), "rule 7");
    Ok(())
}

#[test]
fn every_driver_does_what_the_rules_say() {
    for_all(cases(rules()), |case| {
        let (reference, _) = case.play(by_closure);
        for (name, driver) in DRIVERS {
            let (seen, clock) = case.play(driver);
            obeys(&case, &seen, &clock, name)?;
            if case.rules.repeat() {
                prop_assert_eq!(&seen, &reference, "the {} and the closure", name);
            }
        }
        Ok(())
    });
}

#[test]
fn a_stream_yields_what_an_iterator_yields() {
    for_all(cases(rules()), |mut case| {
        case.rules.seed.get_or_insert(7);
        // A stream's deadline counts from the first failure.
        case.rules.max_elapsed = None;
        case.scenario.last = None;
        let policy = case.rules.policy();
        let items = Stage::new(&case.scenario).run(by_whole_iterator, policy);
        let streamed = Stage::new(&case.scenario).run(by_whole_stream, policy);
        prop_assert_eq!(streamed, items);
        Ok(())
    });
}

#[test]
fn r04_the_verb_waits_what_the_policy_lists() {
    for_all((cases(rules()), select(&DRIVERS[..])), |(mut case, (name, driver))| {
        case.rules.seed.get_or_insert(7);
        for (step, _) in &mut case.scenario.steps {
            if let Busy(_) = step {
                *step = Fail(1);
            }
        }
        if let Some(Busy(_)) = case.scenario.last {
            case.scenario.last = Some(Break);
        }
        let (seen, _) = case.play(driver);
        let listed: Vec<Duration> = case.rules.policy().delays().take(seen.waits.len()).collect();
        prop_assert_eq!(seen.waits, listed, "by the {}", name);
        Ok(())
    });
}

#[test]
fn r06_a_deadline_refuses_only_what_does_not_fit_and_changes_nothing_before() {
    for_all((cases(rules()), select(&DRIVERS[..])), |(mut case, (name, driver))| {
        case.rules.seed.get_or_insert(7);
        let (limited, clock) = case.play(driver);
        let Some(max_elapsed) = case.rules.max_elapsed.take() else { return Ok(()) };
        let (free, _) = case.play(driver);
        match &limited.end {
            Err(stop) if stop.reason == StopReason::DeadlineExceeded => {
                let made = limited.waits.len();
                prop_assert!(free.waits.len() > made && free.waits.starts_with(&limited.waits));
                let elapsed = clock[made].max(stop.waited);
                let end = elapsed.saturating_add(free.waits[made]);
                let fits = elapsed < max_elapsed && end <= max_elapsed;
                prop_assert!(!fits, "{end:?} fits into {max_elapsed:?}: the {name}");
            }
            _ => prop_assert_eq!(&limited, &free, "with and without, by the {}", name),
        }
        Ok(())
    });
}

fn at_most(max_delay: Duration) -> impl Strategy<Value = Case> {
    let capped = move |rules: Rules| Rules {
        max_delay: rules.max_delay.min(max_delay),
        max_retry_after: rules.max_retry_after.map(|longest| longest.min(max_delay)),
        ..rules
    };
    cases(rules().prop_map(capped)).prop_map(|mut case| {
        // The waits that a driver makes by itself cannot end early.
        case.scenario.cancel = None;
        case.scenario.wakes.clear();
        case
    })
}

fn obeys_by_itself(case: &Case, name: &str, driver: Driver) -> TestCaseResult {
    let mut stage = Stage::new(&case.scenario);
    let seen = driver(case.rules.policy(), &mut stage);
    obeys(case, &seen, &stage.clock_of_one(), name)
}

#[test]
fn on_the_timer_of_tokio_the_rules_hold_too() {
    // Tokio's timer ends after some decades, and the longest waits are indistinguishable from their
    // sum.
    for_all(at_most(YEAR), |case| {
        obeys_by_itself(&case, "future", by_timer)?;
        obeys_by_itself(&case, "loop", by_awaiting_loop)
    });
}

#[test]
fn in_a_loop_that_blocks_its_thread_the_rules_hold_too() {
    // This test really sleeps, for up to a microsecond at a time.
    for_all(at_most(Duration::from_micros(1)), |case| {
        obeys_by_itself(&case, "loop", by_blocking_loop)
    });
}

#[test]
fn r09_an_iterator_starts_each_item_afresh_loses_no_error_and_pauses_after_a_refusal() {
    for_all((cases(rules()), option::of(purses())), |(mut case, mut purse)| {
        case.scenario.last = None;
        let mut policy = case.rules.policy();
        if let Some(purse) = &purse {
            // No time passes, so nothing expires.
            case.scenario.sleeps = false;
            case.scenario.steps.iter_mut().for_each(|(_, took)| *took = Duration::ZERO);
            policy = policy.with_budget(budget(purse));
        }
        let mut stage = Stage::new(&case.scenario);
        let (items, end) = stage.run(by_whole_iterator, policy);
        let mut model = Model::new(&case.rules, &case.scenario);
        let mut calls = 0;
        for seen in items {
            let clock = stage.clock(calls, |first| first.begun);
            let expected = model.predict(&clock, &seen, purse.as_mut());
            prop_assert_eq!(&seen, &expected, "seen, and expected");
            calls += seen.calls as usize;
        }
        let expected = model.predict_pause(&end);
        prop_assert_eq!(end, expected, "seen before the end, and expected");
        prop_assert!(model.has_ended());
        // After its end, the source is called once in vain. After a cancelled pause, it is not
        // called.
        let asked = u32::from(!model.is_cancelled());
        prop_assert_eq!(stage.asked, asked);
        Ok(())
    });
}

#[test]
fn a_loop_that_lives_long_starts_afresh_after_each_success() {
    for_all((cases(rules()), any::<bool>()), |(mut case, works_for_a_year)| {
        case.scenario.last = None;
        case.scenario.steps.push((Succeed, Duration::ZERO));
        if works_for_a_year {
            case.scenario.steps.insert(0, (Succeed, YEAR));
        }
        let mut stage = Stage::new(&case.scenario);
        let operations = stage.run(by_long_loop, case.rules.policy());
        let mut model = Model::new(&case.rules, &case.scenario);
        let (mut calls, mut stopped) = (0, false);
        for seen in operations {
            // The deadline counts from the start, or from the first failure after a success.
            let clock =
                stage.clock(calls, |first| if calls == 0 { first.begun } else { first.ended });
            prop_assert_eq!(&seen, &model.predict(&clock, &seen, None), "seen, and expected");
            calls += seen.calls as usize;
            stopped = seen.end.is_err();
        }
        prop_assert!(stopped || model.has_ended());
        Ok(())
    });
}

#[test]
fn r04_r05_draws_are_even_over_their_range_also_above_a_hint() {
    let rules = (rules(), select(&JITTERS[1..])).prop_map(|(rules, jitter)| Rules {
        jitter,
        // If a cap stands for all longer delays, draws are not even.
        max_delay: rules.max_delay.min(500 * YEAR),
        max_retry_after: rules.max_retry_after.map(|longest| longest.min(500 * YEAR)),
        max_attempts: 501,
        ..rules
    });
    let (tried, judged) = (Cell::new(0), Cell::new(0));
    for_all((rules, prop_oneof![Just(0), 1..100_u32]), |(rules, percent)| {
        let hint = rules.max_retry_after() / 100 * percent;
        let waits = by_closure(rules.policy(), &mut Endless::new(&[Busy(hint)])).waits;
        let mut previous = None;
        let places: Vec<f64> = (1..)
            .zip(waits)
            .filter_map(|(retry, wait)| {
                let (low, high) = rules.allowed(retry, previous, hint).into_inner();
                previous = rules.followed(retry, previous, hint, wait);
                let place = wait.checked_sub(low)?.div_duration_f64(high.checked_sub(low)?);
                (low < high).then_some(place)
            })
            .collect();
        tried.set(tried.get() + 1);
        if places.len() == 500 {
            judged.set(judged.get() + 1);
            // A place has a standard deviation of 1/2 if the range has only two places, and of 0.29
            // if it has many. So 0.15 is 6.7 or 11.6 times the standard deviation of the mean.
            let mean = places.iter().sum::<f64>() / 500.0;
            prop_assert!((mean - 0.5).abs() < 0.15, "the mean place of a draw is {mean}");
        }
        Ok(())
    });
    let (tried, judged) = (tried.get(), judged.get());
    assert!(tried < 100 || judged > tried / 2, "{judged} of {tried} have a range to draw from");
}
