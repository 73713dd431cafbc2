//! `RetryBudget`: its deposits and withdrawals, and their times.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Break, Busy, Fail, ScriptError, Succeed, ms, play, secs};
use retry_ext::{
    AsyncRetryExt, Backoff, RetryBudget, RetryExt, RetryIteratorExt, RetryPolicy, StopReason,
};

/// Returns a leaked budget for one test. A program has a `static` instead.
fn leak(budget: RetryBudget) -> &'static RetryBudget {
    Box::leak(Box::new(budget))
}

fn succeed(policy: RetryPolicy, times: u32) {
    for _ in 0..times {
        assert_eq!(play(policy, &[Succeed]).end, Ok(()));
    }
}

/// Counts the retries that are granted in a row until the first refusal.
fn granted(policy: RetryPolicy) -> u32 {
    let mut retry = policy.with_max_attempts(u32::MAX).start();
    let granted =
        (0..100_000).take_while(|_| retry.delay_after(&ScriptError::Transient(1)).is_ok());
    u32::try_from(granted.count()).expect("at most 100,000")
}

#[test]
fn r09_a_lone_call_keeps_its_three_attempts() {
    let policy = RetryPolicy::new().with_budget(leak(RetryBudget::new()));
    let trace = play(policy, &[Fail(1)]);
    assert_eq!((trace.calls, trace.reason()), (3, Some(StopReason::AttemptsExhausted)));
}

#[test]
fn r09_refused_it_ends_with_the_last_real_error_and_without_a_wait() {
    let policy = RetryPolicy::new().with_budget(leak(RetryBudget::new().with_min_retries(1)));
    let trace = play(policy, &[Fail(1), Fail(2), Fail(3)]);
    assert_eq!((trace.calls, trace.waits.len(), trace.heard.len()), (2, 1, 1));
    assert_eq!(trace.reason(), Some(StopReason::BudgetExhausted));
    assert_eq!(trace.last_error(), Some(&ScriptError::Transient(2)));
}

#[test]
fn p26_27_a_hundred_deposits_allow_exactly_their_share_beyond_the_minimum() {
    for tenths in 1..=9 {
        for min_retries in [0, 2, 7] {
            let ratio = f64::from(tenths) / 10.0;
            let budget = leak(RetryBudget::new().with_ratio(ratio).with_min_retries(min_retries));
            let policy = RetryPolicy::new().with_budget(budget);
            succeed(policy, 100);
            assert_eq!(budget.available(), 10 * tenths + min_retries);
            assert_eq!(granted(policy), 10 * tenths + min_retries, "ratio {ratio}");
            assert_eq!(budget.available(), 0);
        }
    }
}

#[test]
fn r09_fractions_of_a_deposit_add_up() {
    let policy = RetryPolicy::new().with_budget(leak(RetryBudget::new().with_min_retries(0)));
    succeed(policy, 4);
    assert_eq!(granted(policy), 0);
    succeed(policy, 1);
    assert_eq!(granted(policy), 1);
    succeed(policy, 9);
    assert_eq!(granted(policy), 1);
    succeed(policy, 1);
    assert_eq!(granted(policy), 1);
}

#[test]
fn r09_only_a_retry_that_will_be_made_is_charged() {
    let budget = leak(RetryBudget::new());
    let policy = RetryPolicy::new().with_budget(budget);
    assert_eq!(play(policy, &[Break]).reason(), Some(StopReason::Permanent));
    assert_eq!(play(policy, &[Busy(secs(61))]).reason(), Some(StopReason::RetryAfterTooLong));
    let once = play(policy.with_max_attempts(1), &[Fail(1)]);
    assert_eq!(once.reason(), Some(StopReason::AttemptsExhausted));
    let late = play(policy.with_max_elapsed(Duration::ZERO), &[Fail(1)]);
    assert_eq!(late.reason(), Some(StopReason::DeadlineExceeded));
    assert_eq!(budget.available(), 2);
}

#[test]
fn r08_the_budget_is_the_last_of_the_reasons() {
    let spent = RetryPolicy::new().with_budget(leak(RetryBudget::new().with_min_retries(0)));
    let reasons = [
        play(spent, &[Break]),
        play(spent.with_max_attempts(1), &[Fail(1)]),
        play(spent, &[Busy(secs(61))]),
        play(spent.with_max_elapsed(Duration::ZERO), &[Fail(1)]),
        play(spent, &[Fail(1)]),
    ]
    .map(|trace| trace.reason().expect("it fails"));
    assert_eq!(
        reasons,
        [
            StopReason::Permanent,
            StopReason::AttemptsExhausted,
            StopReason::RetryAfterTooLong,
            StopReason::DeadlineExceeded,
            StopReason::BudgetExhausted,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_budget_serves_closures_loops_iterators_and_futures() {
    let budget = leak(RetryBudget::new().with_ratio(1.0).with_min_retries(0));
    let policy = RetryPolicy::from(Backoff::constant(Duration::ZERO)).with_budget(budget);
    assert!((|| Ok::<_, ScriptError>(())).retry_with(policy).is_ok());
    assert!((async || Ok::<_, ScriptError>(())).retry_with(policy).await.is_ok());
    assert_eq!(
        [Succeed, Succeed].into_iter().map(common::Step::play).retry_with(policy).count(),
        2
    );
    policy.start().succeeded();
    assert_eq!(budget.available(), 5);

    // A recovery deposits 1 and has withdrawn 1. Each driver leaves the rest to the next driver.
    let mut failures = 1;
    let fails_once = || {
        failures -= 1;
        if failures == 0 { Err(ScriptError::Transient(1)) } else { Ok(()) }
    };
    assert!(fails_once.retry_with(policy).is_ok());
    assert_eq!(budget.available(), 5);
    assert!((|| Err::<(), _>(ScriptError::Transient(1))).retry_with(policy).is_err());
    assert_eq!(budget.available(), 3);
    assert!((async || Err::<(), _>(ScriptError::Transient(1))).retry_with(policy).await.is_err());
    assert_eq!(budget.available(), 1);
    let mut items =
        [Fail(1), Fail(2), Fail(3)].into_iter().map(common::Step::play).retry_with(policy);
    let stopped = items.next().expect("an item").expect_err("it fails");
    assert_eq!((stopped.attempts(), stopped.reason()), (2, StopReason::BudgetExhausted));
    assert_eq!(
        policy.start().delay_after(&ScriptError::Transient(1)),
        Err(StopReason::BudgetExhausted)
    );
}

#[tokio::test(start_paused = true)]
async fn deposits_and_withdrawals_expire_with_the_window() {
    let budget = leak(RetryBudget::new());
    let policy = RetryPolicy::new().with_budget(budget);
    succeed(policy, 50);
    assert_eq!(budget.available(), 12);
    assert_eq!(granted(policy), 12);
    tokio::time::advance(secs(5)).await;
    succeed(policy, 50);
    assert_eq!((budget.available(), granted(policy)), (10, 10));
    tokio::time::advance(Duration::from_millis(5_500)).await;
    // The first fifty successes have expired, and so have the twelve retries.
    assert_eq!((budget.available(), granted(policy)), (2, 2));
    tokio::time::advance(secs(11)).await;
    assert_eq!((budget.available(), granted(policy)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn in_a_window_of_any_length_a_success_counts_for_seven_eighths_to_the_whole_of_it() {
    let hour = secs(3_600);
    for window in [ms(10), ms(999), secs(30), hour, 24 * hour] {
        let budget = RetryBudget::new().with_ratio(1.0).with_min_retries(0).with_window(window);
        let budget = leak(budget);
        let policy = RetryPolicy::new().with_budget(budget);
        for successes in 1..=100 {
            succeed(policy, 1);
            let counting = budget.available();
            // Each 32nd of the window has one success: 29 are at most 7/8 of the window old, and 32
            // are younger than the window.
            assert!(
                (successes.min(29)..=successes.min(32)).contains(&counting),
                "{counting} of {successes} in a window of {window:?}"
            );
            tokio::time::advance(window / 32).await;
        }
        tokio::time::advance(window).await;
        assert_eq!(budget.available(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn hours_without_a_call_leave_the_minimum() {
    let budget = leak(RetryBudget::new());
    let policy = RetryPolicy::new().with_budget(budget);
    for hours in [1, 24, 24 * 365] {
        succeed(policy, 100);
        assert_eq!(granted(policy), 22);
        tokio::time::advance(secs(hours * 3_600)).await;
        assert_eq!(budget.available(), 2, "after {hours} hours");
    }
}

#[test]
fn p26_the_minimum_is_there_in_each_window_and_not_more() {
    let budget = leak(RetryBudget::new().with_window(Duration::from_secs(3_600)));
    let policy = RetryPolicy::new().with_budget(budget);
    assert_eq!(granted(policy), 2);
    assert_eq!(granted(policy), 0);
}

#[test]
fn threads_together_withdraw_exactly_what_is_there() {
    let budget = leak(RetryBudget::new().with_window(secs(3_600)).with_min_retries(100));
    let policy =
        RetryPolicy::new().with_budget(budget).with_max_attempts(u32::MAX).with_logging(false);
    let (deposits, withdrawals) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut retry = policy.start();
                for round in 0..1_000 {
                    if round % 2 == 0 {
                        succeed(policy, 1);
                        deposits.fetch_add(1, Ordering::SeqCst);
                    }
                    if retry.delay_after(&ScriptError::Transient(1)).is_ok() {
                        withdrawals.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(deposits.load(Ordering::SeqCst), 4_000);
    let rest = granted(policy);
    assert_eq!(withdrawals.load(Ordering::SeqCst) + rest, 4_000 / 5 + 100);
}

#[test]
fn values_that_make_no_sense_are_refused_with_a_plain_sentence() {
    for ratio in [f64::NAN, f64::INFINITY, -0.1, 10.1] {
        let panic = std::panic::catch_unwind(|| RetryBudget::new().with_ratio(ratio));
        let payload = panic.map(drop).expect_err("refused");
        let text = payload.downcast_ref::<&str>().expect("a literal");
        assert_eq!(*text, "the ratio of a retry budget must be a number from 0 to 10");
    }
    let panic =
        std::panic::catch_unwind(|| RetryBudget::new().with_window(Duration::from_micros(9_999)));
    let payload = panic.map(drop).expect_err("refused");
    let text = payload.downcast_ref::<&str>().expect("a literal");
    assert_eq!(*text, "the window of a retry budget must be at least 10 ms");
    for window in [Duration::from_millis(10), Duration::MAX] {
        let policy = RetryPolicy::new().with_budget(leak(RetryBudget::new().with_window(window)));
        assert!(granted(policy) >= 2, "{window:?}");
    }
}

#[test]
fn a_budget_says_what_it_is() {
    let text = format!("{:?}", RetryBudget::default());
    assert_eq!(text, "RetryBudget { ratio: 0.2, min_retries: 2, window: 10s, available: 2, .. }");
}

#[test]
fn a_withdrawal_by_hand_is_one_retry_less_for_all() {
    static SHARED: RetryBudget = RetryBudget::new();

    assert!(SHARED.try_withdraw());
    assert_eq!(SHARED.available(), 1);
    let fails = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let policy = RetryPolicy::new().with_budget(&SHARED);
    let stopped = fails.sleep_with(|_| ()).retry_with(policy).expect_err("it fails");
    assert_eq!((stopped.attempts(), stopped.reason()), (2, StopReason::BudgetExhausted));
    assert!(!SHARED.try_withdraw());
}
