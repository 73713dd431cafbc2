//! `RetryContext`, the loop form: what the parity with the verb does not show.

mod common;

use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

use common::{ScriptError, ms, secs};
use retry_ext::{Jitter, RetryContext, RetryError, RetryPolicy, RetryStats, StopReason};

fn transient() -> ScriptError {
    ScriptError::Transient(1)
}

#[test]
fn a_loop_with_mutable_state_breaks_with_a_value() {
    let mut lines: Vec<&str> = Vec::new();
    let mut retry = RetryPolicy::new().with_initial_delay(Duration::ZERO).start();
    let length = loop {
        lines.push("attempt");
        match if lines.len() < 3 { Err(transient()) } else { Ok(lines.len()) } {
            Ok(length) => break length,
            Err(error) => retry.wait_after(error).expect("two retries are allowed"),
        }
    };
    assert_eq!((length, retry.attempt()), (3, 3));
}

#[test]
fn a_question_mark_returns_the_last_error_early() {
    fn load() -> Result<(), RetryError<ScriptError>> {
        let mut retry = RetryPolicy::new().with_initial_delay(Duration::ZERO).start();
        let mut number = 0;
        loop {
            number += 1;
            retry.wait_after(ScriptError::Transient(number))?;
        }
    }
    let error = load().expect_err("it always fails");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
    assert_eq!(error.into_error(), ScriptError::Transient(3));
}

#[test]
fn wait_after_really_sleeps() {
    // Really sleeps: 2 ms and 4 ms.
    let mut retry = RetryPolicy::new().with_initial_delay(ms(2)).start();
    let started = Instant::now();
    assert!(retry.wait_after(transient()).is_ok());
    assert!(retry.wait_after(transient()).is_ok());
    assert!(started.elapsed() >= ms(6));
    assert_eq!(retry.waited(), ms(6));
}

#[test]
fn delay_after_does_not_sleep() {
    let mut retry = RetryPolicy::new().with_initial_delay(secs(30)).start();
    let started = Instant::now();
    assert_eq!(retry.delay_after(&transient()), Ok(secs(30)));
    assert_eq!(retry.delay_after(&transient()), Ok(secs(60)));
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::AttemptsExhausted));
    assert!(started.elapsed() < secs(20));
}

#[test]
fn a_context_that_has_stopped_stays_stopped_until_a_success() {
    let late = RetryPolicy::new().with_max_elapsed(Duration::ZERO);
    for (policy, error, reason) in [
        (RetryPolicy::new().with_max_attempts(1), transient(), StopReason::AttemptsExhausted),
        (RetryPolicy::new(), ScriptError::Permanent, StopReason::Permanent),
        (RetryPolicy::new(), ScriptError::Busy(secs(61)), StopReason::RetryAfterTooLong),
        (late, transient(), StopReason::DeadlineExceeded),
    ] {
        let mut retry = policy.start();
        assert_eq!(retry.delay_after(&error), Err(reason));
        for _ in 0..3 {
            assert_eq!(retry.delay_after(&transient()), Err(reason));
            assert_eq!((retry.attempt(), retry.waited()), (1, Duration::ZERO));
        }
        assert_eq!(retry.wait_after(transient()).expect_err("it has stopped").reason(), reason);
    }
    let mut retry = RetryPolicy::new().start();
    assert!(retry.delay_after(&ScriptError::Permanent).is_err());
    retry.succeeded();
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
}

#[test]
fn a_cancelled_wait_gives_the_error_that_the_verb_would_give() {
    let mut retry = RetryPolicy::new().with_max_attempts(9).start();
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
    assert_eq!(retry.delay_after(&transient()), Ok(secs(2)));
    let stopped = retry.cancelled(ScriptError::Transient(4));
    assert_eq!((stopped.attempts(), stopped.waited()), (2, secs(1)));
    assert_eq!(
        (stopped.reason(), stopped.into_error()),
        (StopReason::Cancelled, ScriptError::Transient(4))
    );
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::Cancelled));

    let mut retry = RetryPolicy::new().with_max_attempts(1).start();
    assert!(retry.delay_after(&transient()).is_err());
    assert_eq!(retry.cancelled(transient()).reason(), StopReason::AttemptsExhausted);
}

#[test]
fn the_policy_is_copied_so_the_context_may_outlive_it() {
    fn started() -> RetryContext {
        let policy = RetryPolicy::new();
        policy.start()
    }
    let mut retry = started();
    let in_another_thread = std::thread::spawn(move || retry.delay_after(&transient()));
    assert_eq!(in_another_thread.join().expect("it only decides"), Ok(secs(1)));
}

#[test]
fn after_a_success_the_count_starts_afresh() {
    let mut retry = RetryPolicy::new().start();
    for _ in 0..5 {
        assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
        assert_eq!(retry.delay_after(&transient()), Ok(secs(2)));
        retry.succeeded();
        assert_eq!((retry.attempt(), retry.waited()), (1, Duration::ZERO));
    }
    assert!(retry.delay_after(&transient()).is_ok());
    assert!(retry.delay_after(&transient()).is_ok());
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::AttemptsExhausted));
}

#[test]
fn after_a_success_jitter_is_drawn_anew_and_repeats_with_a_seed() {
    let policy = RetryPolicy::new().with_jitter(Jitter::Full).with_max_attempts(9);
    let run = |retry: &mut RetryContext| -> Vec<_> {
        let delays = (0..8).map(|_| retry.delay_after(&transient())).collect();
        retry.succeeded();
        delays
    };
    let mut free = policy.start();
    assert_ne!(run(&mut free), run(&mut free));
    let mut seeded = policy.with_seed(4).start();
    assert_eq!(run(&mut seeded), run(&mut seeded));
}

#[test]
fn after_a_success_the_deadline_counts_from_the_next_failure() {
    // Really sleeps: 30 ms of a connection that works, longer than the deadline of 20 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(1)).with_max_elapsed(ms(20));
    let mut retry = policy.start();
    retry.succeeded();
    std::thread::sleep(ms(30));
    assert_eq!(retry.delay_after(&transient()), Ok(ms(1)));
}

#[test]
fn the_deadline_counts_from_the_start() {
    // Really sleeps: 30 ms of work, longer than the deadline of 20 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(1)).with_max_elapsed(ms(20));
    let mut retry = policy.start();
    std::thread::sleep(ms(30));
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::DeadlineExceeded));
}

#[test]
fn it_takes_errors_of_several_types() {
    let mut retry = RetryPolicy::new().start();
    assert!(retry.delay_after(&transient()).is_ok());
    assert!(retry.delay_after(&Error::from(ErrorKind::TimedOut)).is_ok());
    retry.succeeded();
    let stopped = retry.delay_after(&Error::from(ErrorKind::NotFound));
    assert_eq!(stopped, Err(StopReason::Permanent));
}

#[test]
fn p44_a_success_after_a_stop_reports_only_itself() {
    let stats = RetryStats::new();
    let mut retry = RetryPolicy::new().with_max_attempts(2).start().observe(&stats);
    assert!(retry.delay_after(&ErrorKind::TimedOut).is_ok());
    assert!(retry.delay_after(&ErrorKind::TimedOut).is_err());
    assert_eq!(stats.snapshot().calls, 2);
    retry.succeeded();
    let seen = stats.snapshot();
    assert_eq!((seen.calls, seen.waited), (3, secs(1)));
    assert_eq!((seen.succeeded_at_first, seen.succeeded_after_retry), (1, 0));
}

/// Really sleeps, for no time.
#[test]
fn a_wait_that_was_slept_can_be_neither_woken_nor_cancelled() {
    let mut retry = RetryPolicy::new().with_initial_delay(Duration::from_nanos(1)).start();
    assert!(retry.wait_after(Error::from(ErrorKind::TimedOut)).is_ok());
    retry.woken();
    assert_eq!(retry.waited(), Duration::from_nanos(1));
    let stopped = retry.cancelled(Error::from(ErrorKind::TimedOut));
    assert_eq!((stopped.attempts(), stopped.waited()), (2, Duration::from_nanos(1)));
    assert_eq!((stopped.reason(), stopped.next_delay()), (StopReason::Cancelled, None));
}

#[test]
fn a_stop_leaves_no_wait_that_could_be_woken() {
    let mut retry = RetryPolicy::new().with_max_attempts(2).start();
    assert_eq!(retry.delay_after(&ErrorKind::TimedOut), Ok(secs(1)));
    assert_eq!(retry.delay_after(&ErrorKind::TimedOut), Err(StopReason::AttemptsExhausted));
    retry.woken();
    assert_eq!((retry.attempt(), retry.waited()), (2, secs(1)));
}
