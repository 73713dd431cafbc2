//! The five scenarios for which programs use a retry library.

mod common;

use std::time::Duration;

use common::{Break, Fail, ScriptError, failing, play, secs};
use retry_ext::{Backoff, RetryExt, RetryPolicy, StopReason};

#[test]
fn fails_twice_then_succeeds() {
    let trace = play(RetryPolicy::new(), &failing(2));
    assert_eq!(trace.end, Ok(()));
    assert_eq!(trace.calls, 3);
    assert_eq!(trace.waits.len(), 2);
}

#[test]
fn fails_three_times_then_gives_up_with_the_last_error() {
    let trace = play(RetryPolicy::new(), &failing(3));
    assert_eq!(trace.calls, 3);
    let stop = trace.end.expect_err("three failures are all that three attempts allow");
    assert_eq!(stop.attempts, 3);
    assert_eq!(stop.reason, StopReason::AttemptsExhausted);
    assert_eq!(stop.waited, secs(1 + 2));
    assert_eq!(stop.error, ScriptError::Transient(3));
}

#[test]
fn delays_are_1_2_4_seconds_and_the_default_policy_waits_1_and_2() {
    let delays: Vec<Duration> = Backoff::exponential().iter().take(3).collect();
    assert_eq!(delays, [secs(1), secs(2), secs(4)]);
    assert_eq!(play(RetryPolicy::default(), &failing(3)).waits, [secs(1), secs(2)]);
}

#[test]
fn conditional_retry_tries_again_only_on_the_errors_that_it_names() {
    let mut answers = ["", "x"].into_iter();
    let error = (|| answers.next().expect("two answers are enough").parse::<u8>())
        .retry_if(|error| *error.kind() == std::num::IntErrorKind::Empty)
        .sleep_with(|_| ())
        .retry_with(RetryPolicy::new())
        .expect_err("x is no number");
    assert_eq!(error.attempts(), 2);
    assert_eq!(error.reason(), StopReason::Permanent);

    let by_the_error_itself = play(RetryPolicy::new(), &[Fail(1), Break]);
    assert_eq!(by_the_error_itself.calls, 2);
    assert_eq!(by_the_error_itself.last_error(), Some(&ScriptError::Permanent));
}

#[test]
fn callback_at_each_retry_with_attempt_delay_and_error() {
    let heard = play(RetryPolicy::new(), &failing(2)).heard;
    let told: Vec<_> = heard.into_iter().map(|h| (h.attempt, h.delay, h.error)).collect();
    assert_eq!(
        told,
        [(1, secs(1), ScriptError::Transient(1)), (2, secs(2), ScriptError::Transient(2))]
    );
}
