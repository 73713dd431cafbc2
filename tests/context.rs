//! `RetryContext`, the retry loop: the behaviour that its parity with `retry_with` does not show.

mod common;

use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

use common::{ScriptError, ms, secs};
use retry_ext::chain::{ByError, Hooks};
use retry_ext::{
    Jitter, RetryBudget, RetryContext, RetryError, RetryEvent, RetryPolicy, RetryStats,
    SleepOutcome, StopReason,
};

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
    // This test really sleeps: 2 ms and 4 ms.
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
    // This test really sleeps: the connection works for 30 ms, longer than the deadline of 20 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(1)).with_max_elapsed(ms(20));
    let mut retry = policy.start();
    retry.succeeded();
    std::thread::sleep(ms(30));
    assert_eq!(retry.delay_after(&transient()), Ok(ms(1)));
}

#[test]
fn the_deadline_counts_from_the_start() {
    // This test really sleeps: the work takes 30 ms, longer than the deadline of 20 ms.
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

/// This test calls the real sleep with a delay of zero.
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

#[test]
fn p45_a_step_cannot_forget_a_success() {
    let budget = RetryBudget::new().with_ratio(1.0);
    let stats = RetryStats::new();
    let mut retry = RetryPolicy::new().start().budget(&budget).observe(&stats).sleep_with(|_| ());
    for number in 0..5 {
        assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
        assert_eq!(retry.step(Ok::<_, ScriptError>(number)), Ok(Some(number)));
        assert_eq!((retry.attempt(), retry.waited()), (1, Duration::ZERO));
    }
    assert_eq!(budget.available(), 2); // as many successes as retries
    let seen = stats.snapshot();
    assert_eq!((seen.calls, seen.retries, seen.succeeded_after_retry), (10, 5, 5));
}

#[test]
fn a_step_waits_as_the_policy_says_and_returns_the_last_error() {
    let mut waits = Vec::new();
    let mut retry = RetryPolicy::new().start().sleep_with(|delay| waits.push(delay));
    assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
    assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
    let stopped = retry.step(Err::<(), _>(ScriptError::Transient(3))).expect_err("exhausted");
    assert_eq!((stopped.attempts(), stopped.waited()), (3, secs(3)));
    assert_eq!(stopped.into_error(), ScriptError::Transient(3));
    // The context stays stopped until a success.
    let stopped = retry.step(Err::<(), _>(transient())).expect_err("stopped");
    assert_eq!((stopped.attempts(), stopped.reason()), (3, StopReason::AttemptsExhausted));
    assert_eq!(retry.step(Ok::<_, ScriptError>(7)), Ok(Some(7)));
    assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
    assert_eq!(waits, [secs(1), secs(2), secs(1)]);
}

#[test]
fn a_step_whose_wait_is_cancelled_or_woken() {
    for (outcome, waited) in [(SleepOutcome::Woken, secs(0)), (SleepOutcome::Elapsed, secs(1))] {
        let mut retry = RetryPolicy::new().start().sleep_with(|_| outcome);
        assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
        assert_eq!((retry.attempt(), retry.waited()), (2, waited));
        retry.woken(); // the wait is over
        assert_eq!(retry.waited(), waited);
    }
    let mut retry = RetryPolicy::new().start().sleep_with(|_| SleepOutcome::Cancelled);
    let stopped = retry.step(Err::<(), _>(transient())).expect_err("cancelled");
    assert_eq!((stopped.attempts(), stopped.waited()), (1, Duration::ZERO));
    assert_eq!((stopped.reason(), stopped.next_delay()), (StopReason::Cancelled, Some(secs(1))));
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::Cancelled));
}

#[test]
fn a_decision_obeys_the_predicate_and_calls_the_hook() {
    let mut heard = Vec::new();
    let mut retry = RetryPolicy::new()
        .start()
        .retry_if(|error: &ScriptError| *error == ScriptError::Permanent)
        .on_retry(|retry: &RetryEvent<'_, ScriptError>| {
            heard.push((retry.attempt, retry.delay, retry.error.clone()));
        });
    assert_eq!(retry.delay_after(&ScriptError::Permanent), Ok(secs(1)));
    // A predicate replaces the error's own classification, including its hint.
    assert_eq!(retry.delay_after(&ScriptError::Busy(secs(9))), Err(StopReason::Permanent));
    assert_eq!(heard, [(1, secs(1), ScriptError::Permanent)]);
}

#[test]
fn computed_delays_are_capped_drawn_from_and_refused_like_those_of_a_backoff() {
    let computed = |policy: RetryPolicy, delay: Duration| {
        policy.start().delay_with(move |_, _: &ScriptError| delay).delay_after(&transient())
    };
    assert_eq!(computed(RetryPolicy::new(), secs(7)), Ok(secs(7)));
    assert_eq!(computed(RetryPolicy::new(), secs(61)), Ok(secs(60)));
    assert_eq!(computed(RetryPolicy::new(), Duration::MAX), Ok(secs(60)));
    let longest = RetryPolicy::new().with_max_delay(Duration::MAX);
    assert_eq!(computed(longest, Duration::MAX), Ok(Duration::MAX));
    let late = RetryPolicy::new().with_max_elapsed(secs(6));
    assert_eq!(computed(late, secs(7)), Err(StopReason::DeadlineExceeded));
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        let policy = RetryPolicy::new().with_jitter(jitter);
        for seed in 0..100 {
            let drawn = computed(policy.with_seed(seed), secs(8)).expect("a retry");
            let range = match jitter {
                Jitter::Full => secs(0)..=secs(8),
                Jitter::Equal => secs(4)..=secs(8),
                _ => secs(8)..=secs(24),
            };
            assert!(range.contains(&drawn), "{jitter:?}: {drawn:?}");
        }
    }
    // A hint is a floor here too.
    let mut retry = RetryPolicy::new().start().delay_with(|_, _: &ScriptError| secs(2));
    assert_eq!(retry.delay_after(&ScriptError::Busy(secs(5))), Ok(secs(5)));
    assert_eq!(retry.delay_after(&ScriptError::Busy(secs(1))), Ok(secs(2)));
}

#[test]
fn p31_a_computed_delay_of_zero_that_is_refused_still_gives_a_pause() {
    let empty = RetryBudget::new().with_min_retries(0);
    let zero = |_: u32, _: &ScriptError| Duration::ZERO;
    let mut retry = RetryPolicy::new().start().budget(&empty).delay_with(zero);
    let stopped = retry.step(Err::<(), _>(transient())).expect_err("refused");
    assert_eq!(stopped.reason(), StopReason::BudgetExhausted);
    assert_eq!(stopped.next_delay(), Some(secs(1)), "the backoff's delay before this retry");
}

#[test]
fn a_budget_of_the_chain_replaces_that_of_the_policy_and_comes_last() {
    static OF_THE_POLICY: RetryBudget = RetryBudget::new().with_min_retries(0);
    let own = RetryBudget::new().with_min_retries(1).with_ratio(1.0);
    let policy = RetryPolicy::new().with_budget(&OF_THE_POLICY);
    assert_eq!(policy.start().delay_after(&transient()), Err(StopReason::BudgetExhausted));

    let mut retry = policy.with_max_elapsed(ms(500)).start().budget(&own);
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::DeadlineExceeded));
    assert_eq!(own.available(), 1, "a refused wait is not charged");
    let mut retry = policy.start().budget(&own);
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::BudgetExhausted));
    retry.succeeded();
    assert_eq!((own.available(), OF_THE_POLICY.available()), (1, 0));
    // A deadline also counts without a budget.
    let mut retry = RetryPolicy::within(ms(1_500)).start().budget(&own);
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::DeadlineExceeded));
}

#[test]
fn p44_a_reset_counts_afresh_and_reports_nothing() {
    let (stats, budget) = (RetryStats::new(), RetryBudget::new().with_ratio(1.0));
    let mut retry = RetryPolicy::new().start().observe(&stats).budget(&budget);
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
    retry.reset();
    assert_eq!((retry.attempt(), retry.waited()), (1, Duration::ZERO));
    retry.woken(); // there is no wait to be woken
    let seen = stats.snapshot();
    assert_eq!((seen.calls, seen.retries, seen.reasons().map(|it| it.1).sum::<u64>()), (0, 1, 0));
    assert_eq!(budget.available(), 1);
    assert_eq!(retry.delay_after(&ScriptError::Permanent), Err(StopReason::Permanent));
    retry.reset();
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
    assert_eq!(stats.snapshot().calls, 1); // the operation that gave up
}

#[test]
fn p44_a_session_an_hour_long_is_one_operation() {
    let stats = RetryStats::new();
    let mut retry = RetryPolicy::new().start().observe(&stats).sleep_with(|_| ());
    for _ in 0..29 {
        retry.reset(); // it was healthy for an hour
        assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
        assert_eq!(retry.attempt(), 2);
    }
    retry.reset();
    assert!(retry.step(Err::<(), _>(ScriptError::Permanent)).is_err());
    let seen = stats.snapshot();
    assert_eq!((seen.retries, seen.calls, seen.gave_up(StopReason::Permanent)), (29, 1, 1));
}

#[test]
fn a_clone_goes_on_from_the_same_state() {
    let mut retry = RetryPolicy::new().start();
    assert_eq!(retry.delay_after(&transient()), Ok(secs(1)));
    let mut clone = retry.clone();
    assert_eq!(clone.delay_after(&transient()), Ok(secs(2)));
    assert_eq!((retry.attempt(), clone.attempt()), (2, 3));
    let granted = retry.clone().cancelled(transient());
    assert_eq!((granted.attempts(), granted.waited()), (1, Duration::ZERO));
}

#[test]
fn a_context_is_a_field_with_and_without_settings() {
    type Judge = fn(&ScriptError) -> bool;
    struct Session {
        plain: RetryContext,
        judged: RetryContext<Hooks<ByError<Judge>>>,
    }
    let mut session = Session {
        plain: RetryPolicy::new().start(),
        judged: RetryPolicy::new().start().retry_if((|_| false) as Judge),
    };
    assert_eq!(session.plain.delay_after(&transient()), Ok(secs(1)));
    assert_eq!(session.judged.delay_after(&transient()), Err(StopReason::Permanent));
}

#[test]
fn one_context_takes_values_and_errors_of_several_types() {
    let mut retry = RetryPolicy::new().start().sleep_with(|_| ());
    assert_eq!(retry.step(Err::<u8, _>(transient())), Ok(None));
    assert!(retry.step(Err::<String, _>(ErrorKind::TimedOut)).is_ok());
    assert!(retry.step(Err::<(), _>(ErrorKind::TimedOut)).is_err());
}

#[test]
fn a_restarted_context_has_all_attempts_and_a_deadline_from_now() {
    // This test really sleeps: 5 ms.
    static STATS: RetryStats = RetryStats::new();
    let policy = RetryPolicy::new().with_initial_delay(ms(1)).with_max_elapsed(secs(60));
    let mut retry = policy.start().observe(&STATS);
    assert!(retry.delay_after(&transient()).is_ok());
    std::thread::sleep(ms(5));
    assert!(retry.remaining().is_some_and(|left| left <= ms(60_000 - 5)));
    let before = Instant::now();
    retry.restart();
    let left = retry.remaining().expect("a deadline");
    assert!(left + before.elapsed() >= secs(60), "{left:?}");
    assert_eq!((retry.attempt(), retry.waited()), (1, Duration::ZERO));
    let delays = [(); 2].map(|()| retry.delay_after(&transient()));
    assert_eq!(delays, [Ok(ms(1)), Ok(ms(2))]);
    let seen = STATS.snapshot();
    assert_eq!((seen.retries, seen.calls), (3, 0));
}

#[test]
fn a_stopped_context_can_be_restarted() {
    let mut retry = RetryPolicy::new().with_max_attempts(1).start();
    assert_eq!(retry.delay_after(&transient()), Err(StopReason::AttemptsExhausted));
    retry.restart();
    assert_eq!(
        retry.delay_after(&ScriptError::Permanent),
        Err(StopReason::Permanent),
        "it decides again"
    );
}

#[test]
fn an_exhausted_context_stops_after_the_running_attempt() {
    static STATS: RetryStats = RetryStats::new();
    for policy in [RetryPolicy::new(), RetryPolicy::forever(), RetryPolicy::within(secs(60))] {
        let mut retry = policy.start().observe(&STATS).sleep_with(|_| ());
        assert_eq!(retry.step(Err::<(), _>(transient())), Ok(None));
        retry.exhaust();
        let error = retry.step(Err::<(), _>(transient())).expect_err("no attempt is left");
        assert_eq!((error.attempts(), error.reason()), (2, StopReason::AttemptsExhausted));
        assert_eq!(error.next_delay(), None);
    }
    let seen = STATS.snapshot();
    assert_eq!((seen.retries, seen.gave_up(StopReason::AttemptsExhausted)), (3, 3));
}

#[test]
fn an_exhausted_context_still_tells_permanent_errors_apart() {
    let mut retry = RetryPolicy::new().start();
    retry.exhaust();
    assert_eq!(retry.delay_after(&ScriptError::Permanent), Err(StopReason::Permanent));
}

#[test]
fn each_new_count_has_all_attempts_again_after_exhaust() {
    let counts: [fn(&mut RetryContext); 3] =
        [RetryContext::reset, RetryContext::restart, RetryContext::succeeded];
    for count_afresh in counts {
        let mut retry = RetryPolicy::new().start();
        retry.exhaust();
        count_afresh(&mut retry);
        assert!(retry.delay_after(&transient()).is_ok());
    }
}
