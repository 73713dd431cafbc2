//! `resume`: an operation whose attempts run in several processes.

mod common;

use std::cell::RefCell;
use std::time::Duration;

use common::{Break, Busy, ScriptError, Succeed, ms, secs};
use retry_ext::{
    Backoff, Jitter, Observation, Observer, RetryBudget, RetryContext, RetryPolicy, RetryStats,
    StopReason,
};

const DAY: Duration = secs(24 * 60 * 60);

fn transient() -> ScriptError {
    ScriptError::Transient(1)
}

/// Replays the failures before an attempt, as if the operation had run in one process.
fn replayed(policy: &RetryPolicy, attempt: u32) -> RetryContext {
    let mut retry = policy.start();
    for _ in 1..attempt {
        retry.delay_after(&transient()).expect("within the limits");
    }
    retry
}

#[test]
fn r01_an_attempt_above_the_limit_is_refused_before_it_runs() {
    let policy = RetryPolicy::new();
    for attempt in 1..=3 {
        assert_eq!(policy.resume(attempt, secs(9)).expect("allowed").attempt(), attempt);
    }
    for attempt in [4, 5, u32::MAX] {
        assert_eq!(policy.resume(attempt, secs(9)).unwrap_err(), StopReason::AttemptsExhausted);
    }
}

#[test]
fn r01_the_last_attempt_has_no_retry() {
    let mut retry = RetryPolicy::new().resume(3, Duration::ZERO).expect("the last attempt");
    let error = retry.wait_after(transient()).expect_err("no attempt is left");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
}

#[test]
fn an_attempt_zero_is_the_first() {
    let mut retry = RetryPolicy::new().resume(0, Duration::ZERO).expect("the first attempt");
    assert_eq!(retry.attempt(), 1);
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
}

#[test]
fn the_delays_go_on_where_the_other_process_stopped() {
    let policy = RetryPolicy::new().with_max_attempts(9);
    let mut retry = policy.resume(4, Duration::ZERO).expect("allowed");
    assert_eq!(retry.delay_after(&transient()), Ok(secs(8)));
    assert_eq!(retry.delay_after(&transient()), Ok(secs(16)));
    assert_eq!(retry.waited(), secs(24), "only the waits of this process");
}

#[test]
fn unlimited_attempts_are_never_exhausted() {
    let mut retry = RetryPolicy::forever().resume(u32::MAX - 1, 365 * DAY).expect("unlimited");
    assert_eq!(retry.delay_after(&transient()), Ok(secs(60)));
}

#[test]
fn r06_a_deadline_of_sixty_days_counts_across_processes() {
    let policy = RetryPolicy::within(60 * DAY).with_backoff(Backoff::constant(secs(3_600)));
    let mut retry = policy.resume(900, 59 * DAY).expect("a day is left");
    assert!(retry.remaining().is_some_and(|left| left <= DAY && left + secs(60) > DAY));
    for _ in 0..23 {
        assert_eq!(retry.delay_after(&transient()), Ok(secs(3_600)));
    }
    // The sleeper of this test does not sleep, so the waits count: 59 days and 23 hours have
    // passed.
    assert!(retry.remaining().is_some_and(|left| left == secs(3_600)));
    assert_eq!(retry.delay_after(&transient()), Ok(secs(3_600)));
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::DeadlineExceeded));
}

#[test]
fn r06_an_operation_without_time_left_is_refused_before_it_runs() {
    let policy = RetryPolicy::within(60 * DAY);
    assert!(policy.resume(2, (60 * DAY).saturating_sub(ms(1))).is_ok());
    for elapsed in [60 * DAY, 60 * DAY + ms(1), Duration::MAX] {
        assert_eq!(policy.resume(2, elapsed).unwrap_err(), StopReason::DeadlineExceeded);
    }
}

#[test]
fn r08_exhausted_attempts_come_before_the_deadline() {
    let policy = RetryPolicy::new().with_max_elapsed(secs(9));
    assert_eq!(policy.resume(4, secs(10)).unwrap_err(), StopReason::AttemptsExhausted);
}

#[test]
fn the_longest_deadline_is_none() {
    let policy = RetryPolicy::new().with_max_elapsed(Duration::MAX);
    let mut retry = policy.resume(2, Duration::MAX).expect("no deadline");
    assert_eq!(retry.delay_after(&transient()), Ok(secs(2)));
}

#[test]
fn r06_after_a_success_or_a_reset_the_whole_deadline_counts() {
    let policy = RetryPolicy::new().with_max_elapsed(secs(1_000)).with_initial_delay(secs(500));
    let policy = policy.with_max_delay(secs(500));
    for counts_afresh in [RetryContext::succeeded, RetryContext::reset] {
        let mut retry = policy.resume(2, secs(999)).expect("a second is left");
        assert_eq!(retry.clone().delay_after(&transient()), Err(StopReason::DeadlineExceeded));
        counts_afresh(&mut retry);
        assert_eq!((retry.attempt(), retry.remaining()), (1, Some(secs(1_000))));
        assert_eq!(retry.delay_after(&transient()), Ok(secs(500)));
    }
    // Without a deadline, there is nothing to restore.
    let mut retry = RetryPolicy::new().resume(2, secs(999)).expect("allowed");
    retry.reset();
    assert_eq!(retry.remaining(), None);
}

#[test]
fn settings_may_come_before_and_after() {
    let stats = RetryStats::new();
    let budget = RetryBudget::new().with_ratio(1.0);
    let policy = RetryPolicy::new().with_max_attempts(5);
    let retry = policy.start().observe(&stats).budget(&budget);
    let mut retry = retry.resume(3, secs(1)).expect("allowed").retry_if(|_: &ScriptError| true);
    assert_eq!(retry.delay_after(&Break.play().unwrap_err()), Ok(secs(4)));
    assert_eq!(retry.step(Succeed.play()), Ok(Some(())));
    let seen = stats.snapshot();
    // An observer counts the attempts of the whole operation when it ends.
    assert_eq!((seen.calls, seen.retries, seen.succeeded_after_retry), (4, 1, 1));
    assert_eq!(budget.available(), 2, "two free ones and a success, less the retry");
}

#[test]
fn a_context_that_was_used_can_be_resumed() {
    let mut retry = RetryPolicy::new().start();
    assert_eq!(retry.delay_after(&ScriptError::Permanent), Err(StopReason::Permanent));
    let mut retry = retry.resume(2, Duration::ZERO).expect("allowed");
    assert_eq!((retry.attempt(), retry.waited()), (2, Duration::ZERO));
    assert_eq!(retry.delay_after(&transient()), Ok(secs(2)));
    // The deadline that a first `resume` has shortened is the whole deadline for the second.
    let policy = RetryPolicy::within(secs(10));
    let retry = policy.resume(2, secs(9)).expect("allowed").resume(3, secs(5)).expect("allowed");
    assert!(retry.remaining().is_some_and(|left| left > secs(4) && left <= secs(5)));
}

#[test]
fn r05_a_hint_counts_in_a_resumed_operation() {
    let mut retry = RetryPolicy::new().resume(2, Duration::ZERO).expect("allowed");
    assert_eq!(retry.delay_after(&Busy(secs(7)).play().unwrap_err()), Ok(secs(7)));
}

#[test]
fn a_refusal_is_observed_once_with_the_attempts_that_were_made() {
    #[derive(Default)]
    struct Diary(RefCell<Vec<(u32, Duration, Option<StopReason>)>>);

    impl Observer for Diary {
        fn on_retry(&self, seen: &Observation, _delay: Duration) {
            self.0.borrow_mut().push((seen.attempt, seen.waited, None));
        }
        fn on_success(&self, seen: &Observation) {
            self.0.borrow_mut().push((seen.attempt, seen.waited, None));
        }
        fn on_give_up(&self, seen: &Observation, reason: StopReason) {
            self.0.borrow_mut().push((seen.attempt, seen.waited, Some(reason)));
        }
    }

    let policy = RetryPolicy::new().with_max_elapsed(secs(60));
    for (attempt, elapsed, made, reason) in [
        (4, secs(1), 3, StopReason::AttemptsExhausted),
        (9, secs(1), 8, StopReason::AttemptsExhausted),
        (3, secs(60), 2, StopReason::DeadlineExceeded),
        (1, secs(60), 0, StopReason::DeadlineExceeded),
        (0, secs(60), 0, StopReason::DeadlineExceeded),
    ] {
        let diary = Diary::default();
        let refused = policy.start().observe(&diary).resume(attempt, elapsed).unwrap_err();
        assert_eq!(refused, reason);
        assert_eq!(*diary.0.borrow(), [(made, Duration::ZERO, Some(reason))], "{attempt}");
    }
    let diary = Diary::default();
    assert!(policy.start().observe(&diary).resume(3, secs(1)).is_ok());
    assert!(diary.0.borrow().is_empty(), "an attempt that may run is no news");
}

/// Returns the two-sample statistic of Kolmogorov and Smirnov, times the root of half the number of
/// draws.
fn distance(mut left: Vec<Duration>, mut right: Vec<Duration>) -> f64 {
    left.sort_unstable();
    right.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let share = |draws: &[Duration], limit| {
        draws.partition_point(|draw| *draw <= limit) as f64 / draws.len() as f64
    };
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let scale = (left.len() as f64 / 2.0).sqrt();
    let gaps = left.iter().chain(&right).map(|at| (share(&left, *at) - share(&right, *at)).abs());
    scale * gaps.fold(0.0, f64::max)
}

#[test]
fn r04_decorrelated_jitter_without_a_seed_has_the_distribution_of_a_replay() {
    const DRAWS: usize = 5_000;

    let policy = RetryPolicy::forever().with_jitter(Jitter::Decorrelated);
    let next = |mut retry: RetryContext| retry.delay_after(&transient()).expect("unlimited");
    for attempt in [1, 2, 5, 40] {
        let resumed = || next(policy.resume(attempt, Duration::ZERO).expect("unlimited"));
        let resumed: Vec<_> = (0..DRAWS).map(|_| resumed()).collect();
        let replay: Vec<_> = (0..DRAWS).map(|_| next(replayed(&policy, attempt))).collect();
        // The statistic exceeds 3.5 by chance once in twenty billion: 2 exp(-2 · 3.5²).
        let distance = distance(resumed, replay);
        assert!(distance < 3.5, "attempt {attempt}: {distance}");
    }
    // The statistic distinguishes two attempts.
    let first = (0..DRAWS).map(|_| next(policy.start())).collect();
    let second = (0..DRAWS).map(|_| next(replayed(&policy, 2))).collect();
    assert!(distance(first, second) > 3.5);
}
