//! The rules of behaviour, by their number in `docs/rules.md`. Tests of `pitfalls.rs` are not
//! repeated.

mod common;

use std::cell::Cell;
use std::io::{Error, ErrorKind};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use common::{Break, Busy, Counted, Fail, ScriptError, Succeed, failing, ms, play, secs};
use retry_ext::chain::Wake;
use retry_ext::{Backoff, Jitter, RetryExt, RetryPolicy, SleepOutcome, StopReason};

#[test]
fn r01_attempts_are_calls_for_every_number_of_failures() {
    for failures in 0..6 {
        for max_attempts in 1..6 {
            let policy = RetryPolicy::new().with_max_attempts(max_attempts);
            let trace = play(policy, &failing(failures));
            assert_eq!(trace.calls, max_attempts.min(failures + 1));
            assert_eq!(trace.end.is_ok(), failures < max_attempts);
            if let Err(stop) = trace.end {
                assert_eq!(stop.attempts, trace.calls);
            }
        }
    }
}

#[test]
fn r02_no_wait_without_an_attempt_after_it() {
    for script in [&[Fail(1)][..], &[Break], &[Fail(1), Break], &[Busy(secs(99))], &failing(2)] {
        let trace = play(RetryPolicy::new(), script);
        assert_eq!(trace.waits.len() + 1, trace.calls as usize, "{script:?}");
    }
}

#[test]
fn r03_a_permanent_error_is_not_retried() {
    let trace = play(RetryPolicy::new(), &[Break]);
    assert_eq!((trace.calls, trace.reason()), (1, Some(StopReason::Permanent)));
    assert_eq!(trace.end.expect_err("it fails").waited, Duration::ZERO);
}

#[test]
fn r04_the_waits_of_a_policy_obey_cap_and_jitter_and_repeat_with_a_seed() {
    let policy = RetryPolicy::new()
        .with_max_attempts(50)
        .with_max_delay(secs(7))
        .with_jitter(Jitter::Equal)
        .with_seed(11);
    let waits = play(policy, &[Fail(1)]).waits;
    assert!(waits.iter().copied().eq(policy.delays()), "the waits are the listed delays");
    for (wait, nominal) in waits.iter().zip([1, 2, 4, 7, 7].map(secs)) {
        assert!(*wait >= nominal / 2 && *wait <= nominal);
    }
    assert_eq!(waits, play(policy, &[Fail(1)]).waits);
}

#[test]
fn r05_a_hint_is_a_floor() {
    // A hint below the backoff changes nothing, and a hint above it is the wait. Then the curve
    // continues.
    let policy = RetryPolicy::new().with_max_attempts(5);
    let script = [Busy(ms(10)), Busy(secs(30)), Fail(1), Fail(2), Fail(3)];
    assert_eq!(play(policy, &script).waits, [secs(1), secs(30), secs(4), secs(8)]);
}

#[test]
fn r05_a_hint_at_the_cap_is_waited() {
    assert_eq!(play(RetryPolicy::new(), &[Busy(secs(60))]).waits, [secs(60), secs(60)]);
}

#[test]
fn r05_a_limit_of_its_own_bounds_hints_and_nothing_else() {
    let longer = RetryPolicy::new().with_max_retry_after(secs(90));
    assert_eq!(play(longer, &[Busy(secs(90))]).waits, [secs(90), secs(90)]);
    assert_eq!(play(longer, &[Busy(secs(91))]).reason(), Some(StopReason::RetryAfterTooLong));

    let shorter = RetryPolicy::new().with_initial_delay(secs(10)).with_max_retry_after(secs(1));
    assert_eq!(play(shorter, &[Busy(secs(1))]).waits, [secs(10), secs(20)]);
    assert_eq!(play(shorter, &[Busy(secs(2))]).reason(), Some(StopReason::RetryAfterTooLong));
}

#[test]
fn r05_jitter_is_added_above_the_hint() {
    let ms = |millis| (secs(30), secs(30) + ms(millis));
    for (jitter, [wide, narrow]) in [
        // The range is as wide as without the hint, but at least a quarter of the hint.
        (Jitter::None, [ms(0), ms(0)]),
        (Jitter::Full, [ms(20_000), ms(7_500)]),
        (Jitter::Equal, [ms(10_000), ms(7_500)]),
        (Jitter::Decorrelated, [ms(30_000), ms(7_500)]),
    ] {
        for (nominal, (low, high)) in [(secs(20), wide), (secs(2), narrow)] {
            let policy = RetryPolicy::from(Backoff::constant(nominal).with_jitter(jitter));
            let wait = |seed| play(policy.with_seed(seed), &[Busy(low)]).waits[0];
            let waits: Vec<Duration> = (0..2_000).map(wait).collect();
            let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
            assert!(least >= low && most <= high, "{jitter:?}: {least:?} to {most:?}");
            let near = high.abs_diff(low) / 100;
            assert!(least.abs_diff(low) <= near, "{jitter:?} does not reach down to {low:?}");
            assert!(high.abs_diff(most) <= near, "{jitter:?} does not reach up to {high:?}");
        }
    }
}

#[test]
fn r05_a_hint_of_zero_changes_nothing() {
    assert_eq!(play(RetryPolicy::new(), &[Busy(Duration::ZERO)]).waits, [secs(1), secs(2)]);
}

#[test]
fn r06_a_wait_that_ends_exactly_at_the_deadline_is_made() {
    // The sleeper does not sleep, so the clock shows less than the requested waits of 1 s and 2 s.
    let policy = RetryPolicy::new();
    assert_eq!(play(policy.with_max_elapsed(secs(3)), &[Fail(1)]).calls, 3);
    let short = Duration::new(2, 999_999_999);
    assert_eq!(play(policy.with_max_elapsed(short), &[Fail(1)]).calls, 2);
}

#[test]
fn r06_a_deadline_of_zero_is_one_call() {
    let trace = play(RetryPolicy::new().with_max_elapsed(Duration::ZERO), &[Fail(1)]);
    assert_eq!((trace.calls, trace.reason()), (1, Some(StopReason::DeadlineExceeded)));
    assert_eq!(play(RetryPolicy::new().with_max_elapsed(Duration::ZERO), &failing(0)).calls, 1);
}

#[test]
fn r06_the_time_of_the_operation_counts() {
    // This test takes real time: 80 ms of work and a delay of 50 ms do not fit into 100 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(50)).with_max_elapsed(ms(100));
    let error = (|| {
        std::thread::sleep(ms(80));
        Err::<(), _>(ScriptError::Transient(1))
    })
    .retry_with(policy)
    .expect_err("it fails");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::DeadlineExceeded));
}

#[test]
fn r08_reasons_have_an_order() {
    let every_limit = RetryPolicy::new().with_max_attempts(1).with_max_elapsed(Duration::ZERO);
    let too_long = Busy(secs(61));
    assert_eq!(play(every_limit, &[Break]).reason(), Some(StopReason::Permanent));
    assert_eq!(play(every_limit, &[too_long]).reason(), Some(StopReason::AttemptsExhausted));
    let two_limits = every_limit.with_max_attempts(2);
    assert_eq!(play(two_limits, &[too_long]).reason(), Some(StopReason::RetryAfterTooLong));
    assert_eq!(play(two_limits, &[Fail(1)]).reason(), Some(StopReason::DeadlineExceeded));
}

#[test]
fn a_hint_is_not_asked_for_where_it_cannot_matter() {
    struct Asked<'a>(&'a Cell<u32>, bool);
    impl retry_ext::IsTransient for Asked<'_> {
        fn is_transient(&self) -> bool {
            self.1
        }
        fn retry_after(&self) -> Option<Duration> {
            self.0.set(self.0.get() + 1);
            None
        }
    }
    let asked = Cell::new(0);
    for (transient, times) in [(false, 0), (true, 2)] {
        asked.set(0);
        let result = (|| Err::<(), _>(Asked(&asked, transient)))
            .sleep_with(|_| ())
            .retry_with(RetryPolicy::new());
        assert!(result.is_err());
        assert_eq!(asked.get(), times);
    }
}

#[test]
fn a_cancelled_wait_ends_the_retry_with_the_last_error() {
    let mut waits = 0;
    let error = (|| Err::<(), _>(ScriptError::Transient(4)))
        .sleep_with(|_| {
            waits += 1;
            if waits == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .retry_with(RetryPolicy::new().with_max_attempts(9))
        .expect_err("cancelled");
    assert_eq!((error.attempts(), error.reason()), (2, StopReason::Cancelled));
    assert_eq!(error.waited(), secs(1));
    assert_eq!(error.into_error(), ScriptError::Transient(4));
}

#[test]
fn a_blocking_wait_is_cut_short_by_a_shutdown_channel() {
    // This test really waits, for the few milliseconds until the other thread sends, and not for
    // the minute.
    let (speaker, shutdown) = channel::<()>();
    let elsewhere = std::thread::spawn(move || {
        std::thread::sleep(ms(5));
        speaker.send(()).expect("the retry still waits");
    });
    let started = Instant::now();
    let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
        .sleep_with(|delay| match shutdown.recv_timeout(delay) {
            Err(RecvTimeoutError::Timeout) => SleepOutcome::Elapsed,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => SleepOutcome::Cancelled,
        })
        .retry_with(RetryPolicy::new().with_initial_delay(secs(60)))
        .expect_err("cancelled");
    assert_eq!(error.reason(), StopReason::Cancelled);
    assert!(started.elapsed() < secs(30));
    elsewhere.join().expect("the thread only sends");
}

#[test]
fn without_a_sleeper_the_thread_really_sleeps() {
    // This test really sleeps: 2 ms and 4 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(2));
    let started = Instant::now();
    let result = (|| Err::<(), _>(ScriptError::Transient(1))).retry_with(policy);
    assert!(result.is_err());
    assert!(started.elapsed() >= ms(6));
}

#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "the test is about references")]
fn the_policy_comes_by_value_by_reference_in_an_arc_and_as_a_constant() {
    const POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(2);
    static SHARED: RetryPolicy = POLICY;
    let fail = || Err::<(), _>(ScriptError::Transient(1));
    let attempts = [
        fail.sleep_with(|_| ()).retry_with(POLICY),
        fail.sleep_with(|_| ()).retry_with(&POLICY),
        fail.sleep_with(|_| ()).retry_with(&SHARED),
        fail.sleep_with(|_| ()).retry_with(Arc::new(POLICY)),
        fail.sleep_with(|_| ()).retry_with(Box::new(POLICY)),
    ]
    .map(|result| result.expect_err("it fails").attempts());
    assert_eq!(attempts, [2; 5]);
}

struct Client {
    calls: u8,
}
impl Client {
    fn fetch(&mut self, url: &str) -> Result<u8, ScriptError> {
        self.calls += 1;
        if url.is_empty() { Err(ScriptError::Permanent) } else { Ok(self.calls) }
    }
}
#[test]
fn the_verb_works_on_closures_fn_items_fn_pointers_and_mutable_closures() {
    fn item() -> Result<u8, ScriptError> {
        Succeed.play().map(|()| 1)
    }
    let policy = RetryPolicy::new();
    assert_eq!(item.retry_with(policy), Ok(1));
    assert_eq!((item as fn() -> Result<u8, ScriptError>).retry_with(policy), Ok(1));

    let mut count = 0;
    let mut counting = || {
        count += 1;
        Ok::<_, ScriptError>(count)
    };
    assert_eq!((&mut counting).retry_with(policy), Ok(1));
    assert_eq!((&mut counting).sleep_with(|_| ()).retry_with(policy), Ok(2));
    assert_eq!(counting.retry_with(policy), Ok(3));

    let mut boxed: Box<dyn FnMut() -> Result<u8, ScriptError>> = Box::new(item);
    assert_eq!((&mut boxed).retry_with(policy), Ok(1));

    let mut client = Client { calls: 0 };
    let url = String::from("url");
    assert_eq!((|| client.fetch(&url)).retry_with(policy), Ok(1));
    assert_eq!(client.calls, 1);
}

#[test]
fn the_order_of_the_chain_does_not_matter_and_the_last_of_a_kind_counts() {
    let (mut first, mut second) = (0, 0);
    let error = (|| Err::<(), _>(ScriptError::Permanent))
        .sleep_with(|_| -> () { panic!("replaced below") })
        .on_retry(|_| ())
        .retry_if(|_| false)
        .on_retry(|_| second += 1)
        .sleep_with(|_| first += 1)
        .retry_if(|_| true)
        .retry_with(RetryPolicy::new())
        .expect_err("it fails");
    assert_eq!((error.attempts(), first, second), (3, 2, 2));
}

#[test]
fn the_largest_number_of_attempts_stands_for_no_limit_and_is_not_said() {
    let mut lines = Vec::new();
    let mut failures = 1;
    let result = (|| {
        failures -= 1;
        if failures == 0 { Err(ScriptError::Transient(1)) } else { Ok(()) }
    })
    .on_retry(|retry| lines.push(retry.to_string()))
    .sleep_with(|_| ())
    .retry_with(RetryPolicy::new().with_max_attempts(u32::MAX));
    assert_eq!((result, lines), (Ok(()), vec!["attempt 1 failed, retrying in 1s".to_owned()]));
}

#[test]
fn settings_of_the_policy_win_over_a_backoff_in_either_order_and_the_rest_is_replaced() {
    let ours = |policy: RetryPolicy| policy.with_jitter(Jitter::Full).with_max_delay(secs(5));
    let backoff = Backoff::linear().with_jitter(Jitter::Equal).with_increment(secs(3));
    for policy in [
        ours(RetryPolicy::new()).with_backoff(backoff),
        ours(RetryPolicy::new().with_backoff(backoff)),
        ours(RetryPolicy::from(backoff)),
        ours(RetryPolicy::new()).with_backoff(Backoff::constant(secs(9))).with_backoff(backoff),
    ] {
        assert_eq!((policy.jitter(), policy.max_delay()), (Jitter::Full, secs(5)));
        assert_eq!((policy.initial_delay(), policy.backoff().increment()), (secs(1), secs(3)));
    }
    // A new backoff replaces the settings of the old backoff too.
    let replaced = RetryPolicy::from(backoff).with_backoff(Backoff::exponential());
    assert_eq!(replaced.jitter(), Jitter::None);
}

#[test]
fn events_carry_the_name_and_the_limit() {
    let policy = RetryPolicy::new().with_name("load").with_max_attempts(2);
    let heard = play(policy, &failing(1)).heard;
    assert_eq!((heard[0].name, heard[0].max_attempts), (Some("load"), 2));
    assert_eq!(play(RetryPolicy::new(), &failing(1)).heard[0].name, None);
}

#[test]
fn a_panic_of_the_operation_passes_through() {
    let panic = std::panic::catch_unwind(|| {
        (|| -> Result<(), ScriptError> { panic!("broken operation") })
            .retry_with(RetryPolicy::new())
    });
    let payload = panic.expect_err("it panics");
    assert_eq!(*payload.downcast_ref::<&str>().expect("a literal"), "broken operation");
}

/// Counts the errors that are alive in each of two waits. The sleeper returns `answer`.
fn alive_in_waits<W: Wake + Copy>(answer: W) -> Vec<u32> {
    let (alive, mut waits) = (Cell::new(0), Vec::new());
    let fails = || {
        assert_eq!(alive.get(), 0, "dropped before the next call in any case");
        Err::<(), _>(Counted::new(&alive))
    };
    let sleeper = |_| {
        waits.push(alive.get());
        answer
    };
    drop(fails.sleep_with(sleeper).retry_with(RetryPolicy::new()));
    assert_eq!(alive.get(), 0);
    waits
}

#[test]
fn r14_a_failed_outcome_is_kept_in_a_wait_only_if_the_wait_can_be_cancelled() {
    assert_eq!(alive_in_waits(()), [0, 0]);
    assert_eq!(alive_in_waits(Instant::now()), [0, 0]);
    assert_eq!(alive_in_waits(ControlFlow::Continue(())), [1, 1]);
    assert_eq!(alive_in_waits(SleepOutcome::Elapsed), [1, 1]);
    assert_eq!(alive_in_waits(SleepOutcome::Woken), [1, 1]);
}
