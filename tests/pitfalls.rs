//! Inputs that broke other retry libraries. The number in a test's name is the line of the input in
//! the list that `CONTRIBUTING.md` gives.

mod common;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use common::{Break, Busy, Fail, ScriptError, failing, ms, play, secs};
use retry_ext::{Backoff, IsTransient, Jitter, RetryExt, RetryPolicy, StopReason};

const JITTERS: [Jitter; 4] = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated];

#[test]
fn p01_a_limit_of_three_is_three_calls_and_two_waits() {
    let trace = play(RetryPolicy::new().with_max_attempts(3), &[Fail(1)]);
    assert_eq!((trace.calls, trace.waits.len()), (3, 2));
}

#[test]
fn p01_a_limit_of_one_is_one_call_and_no_wait() {
    let trace = play(RetryPolicy::new().with_max_attempts(1), &[Fail(1)]);
    assert_eq!((trace.calls, trace.waits.len()), (1, 0));
    assert_eq!(trace.reason(), Some(StopReason::AttemptsExhausted));
}

#[test]
fn p02_a_hand_written_loop_over_the_delays_does_not_wait_after_the_last_failure() {
    let (mut calls, mut waits) = (0, 0);
    let mut delays = RetryPolicy::new().with_max_attempts(4).delays();
    loop {
        calls += 1;
        let Some(_delay) = delays.next() else { break };
        waits += 1;
    }
    assert_eq!((calls, waits), (4, 3));
}

#[test]
fn p03_no_jitter_passes_the_cap_in_100_000_draws() {
    let cap = secs(10);
    for jitter in JITTERS {
        let backoff = Backoff::exponential().with_max_delay(cap).with_jitter(jitter).with_seed(1);
        assert!(backoff.iter().take(100_000).all(|delay| delay <= cap), "{jitter:?}");
    }
}

#[test]
fn p03_a_hint_with_jitter_above_it_does_not_pass_the_cap_either() {
    for jitter in JITTERS {
        let policy = RetryPolicy::new()
            .with_max_attempts(1_000)
            .with_max_delay(secs(10))
            .with_jitter(jitter)
            .with_seed(1);
        let waits = play(policy, &[Busy(secs(9))]).waits;
        assert!(waits.iter().all(|&wait| wait >= secs(9) && wait <= secs(10)), "{jitter:?}");
    }
}

#[test]
fn p04_at_the_cap_the_draws_still_differ() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        for first in [secs(1), secs(60), secs(3_600)] {
            let backoff = Backoff::exponential().with_initial_delay(first).with_jitter(jitter);
            let mut at_the_cap: Vec<Duration> = backoff.iter().skip(10).take(1_000).collect();
            at_the_cap.sort_unstable();
            at_the_cap.dedup();
            assert!(at_the_cap.len() > 990, "{jitter:?} from {first:?}: {}", at_the_cap.len());
        }
    }
}

#[test]
fn p05_a_first_delay_above_the_cap_is_the_cap() {
    let policy = RetryPolicy::new().with_initial_delay(secs(120));
    assert_eq!(policy.delays().next(), Some(secs(60)));
    assert_eq!(play(policy, &failing(1)).waits, [secs(60)]);
    // A constant backoff raises its own cap.
    assert_eq!(Backoff::constant(secs(120)).delay(1), secs(120));
    assert_eq!(Backoff::constant(secs(120)).with_max_delay(secs(60)).delay(1), secs(60));
    assert_eq!(Backoff::custom(|_| secs(120)).delay(1), secs(60));
}

#[test]
fn p06_factors_that_make_no_sense_are_refused_with_a_plain_sentence() {
    for factor in [
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        -0.0,
        0.0,
        0.5,
        1.0 - f64::EPSILON,
    ] {
        let backoff = std::panic::catch_unwind(|| Backoff::exponential().with_factor(factor));
        let policy = std::panic::catch_unwind(|| RetryPolicy::new().with_factor(factor));
        for panic in [backoff.map(drop), policy.map(drop)] {
            let payload = panic.expect_err("refused");
            let text = payload.downcast_ref::<&str>().expect("a literal");
            assert_eq!(
                *text,
                "the backoff factor must be a finite number of at least 1: 1 keeps the delay, 2 doubles it",
                "for {factor}"
            );
        }
    }
    assert_eq!(Backoff::exponential().with_factor(1.0).delay(9), secs(1));
    assert_eq!(Backoff::exponential().with_factor(f64::MAX).delay(2), secs(60));
}

#[test]
#[should_panic(
    expected = "max_attempts must be at least 1: it counts every call, the first included"
)]
fn p06_zero_attempts_are_refused_with_a_plain_sentence() {
    let _ = RetryPolicy::new().with_max_attempts(0);
}

#[test]
fn p07_the_longest_duration_saturates_as_first_delay_increment_cap_hint_and_deadline() {
    let max = Duration::MAX;
    for jitter in JITTERS {
        let endless = Backoff::linear()
            .with_initial_delay(max)
            .with_increment(max)
            .with_factor(3.5)
            .with_max_delay(max)
            .with_jitter(jitter);
        assert_eq!(endless.delay(1), max);
        assert_eq!(endless.iter().take(100).count(), 100, "{jitter:?}");
        let policy = RetryPolicy::from(endless).with_max_elapsed(max);
        let trace = play(policy, &[Busy(max)]);
        assert_eq!(trace.waits, [max, max], "{jitter:?}");
        assert_eq!(trace.end.expect_err("it fails").waited, max);
    }
    assert_eq!(Backoff::custom(|_| Duration::MAX).delay(7), secs(60));
    assert_eq!(Backoff::constant(max).with_max_delay(max).delay(u32::MAX), max);
}

#[test]
fn p07_a_cap_beyond_64_bits_of_nanoseconds_is_still_a_cap() {
    let cap = Duration::from_secs(20_000_000_000); // 634 years; 64 bits hold 584
    for jitter in JITTERS {
        let backoff = Backoff::constant(Duration::MAX).with_max_delay(cap).with_jitter(jitter);
        assert!(backoff.iter().take(1_000).all(|delay| delay <= cap), "{jitter:?}");
    }
    assert_eq!(Backoff::constant(Duration::MAX).with_max_delay(cap).delay(1), cap);
}

#[test]
fn p08_attempts_64_1023_1024_1025_and_the_largest_are_at_the_cap() {
    for backoff in [
        Backoff::exponential(),
        Backoff::linear(),
        Backoff::exponential().with_factor(1.5),
        Backoff::exponential().with_initial_delay(Duration::from_nanos(1)),
    ] {
        for retry in [64, 65, 1023, 1024, 1025, u32::MAX - 1, u32::MAX] {
            assert_eq!(backoff.delay(retry), secs(60), "retry {retry} of {backoff:?}");
        }
    }
    assert_eq!(Backoff::exponential().iter().nth(3_000), Some(secs(60)));
    assert_eq!(play(RetryPolicy::new().with_max_attempts(3_000), &[Fail(1)]).calls, 3_000);
}

#[test]
fn p09_delays_of_500_microseconds_stay_500_microseconds() {
    let half = Duration::from_micros(500);
    assert_eq!(Backoff::constant(half).delay(5), half);
    let policy = RetryPolicy::from(Backoff::exponential().with_initial_delay(half));
    assert_eq!(play(policy, &failing(2)).waits, [half, half * 2]);
    assert_eq!(Backoff::constant(Duration::from_nanos(1)).delay(5), Duration::from_nanos(1));
}

#[test]
fn p10_100_ms_times_2_is_exact() {
    let delays = Backoff::exponential().with_initial_delay(ms(100)).iter().take(4);
    assert!(delays.eq([100, 200, 400, 800].map(ms)));
    // At 2^53 ns, or 104 days, a 64-bit float has no bits left for nanoseconds.
    let long = Backoff::exponential()
        .with_initial_delay(Duration::from_nanos(1_000_000_000_000_001))
        .with_max_delay(Duration::MAX);
    assert_eq!(long.delay(11), Duration::from_nanos(1_024_000_000_000_001_024));
}

// 11, a setter whose result is dropped, and 12, a chain without `retry_with`, do not compile if
// `unused_must_use` is denied. Doctests of `RetryPolicy` and `Retry` show both as `compile_fail`.
// `retry_with` itself runs at once, without a final call:
#[test]
fn p12_the_verb_runs() {
    let mut calls = 0;
    let result = (|| {
        calls += 1;
        Ok::<_, ScriptError>(())
    })
    .retry_with(RetryPolicy::new());
    assert_eq!((result, calls), (Ok(()), 1));
}

#[test]
fn p13_a_wait_that_would_end_after_the_deadline_is_refused_and_not_cut() {
    let policy = RetryPolicy::new().with_max_attempts(10).with_max_elapsed(secs(5));
    let trace = play(policy, &[Fail(1)]);
    assert_eq!(trace.waits, [secs(1), secs(2)]);
    assert_eq!(trace.reason(), Some(StopReason::DeadlineExceeded));
    assert_eq!(trace.heard.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn p14_the_deadline_counts_from_the_first_attempt_and_not_from_the_making_of_the_policy() {
    let policy = RetryPolicy::new().with_initial_delay(Duration::ZERO).with_max_elapsed(ms(30));
    tokio::time::advance(ms(40)).await;
    assert_eq!(play(policy, &failing(1)).end, Ok(()));
}

#[test]
fn p15_a_hint_above_the_cap_stops_at_once() {
    let trace = play(RetryPolicy::new(), &[Busy(secs(61))]);
    assert_eq!(trace.calls, 1);
    assert!(trace.waits.is_empty() && trace.heard.is_empty());
    assert_eq!(trace.reason(), Some(StopReason::RetryAfterTooLong));
    assert_eq!(trace.last_error(), Some(&ScriptError::Busy(secs(61))));
}

#[test]
fn p15_a_hint_above_the_deadline_stops_at_once() {
    let trace = play(RetryPolicy::new().with_max_elapsed(secs(20)), &[Busy(secs(30))]);
    assert_eq!((trace.calls, trace.reason()), (1, Some(StopReason::DeadlineExceeded)));
}

#[test]
fn p15_hints_do_not_lift_the_limit_of_attempts() {
    assert_eq!(play(RetryPolicy::new(), &[Busy(ms(1))]).calls, 3);
}

#[test]
fn p16_the_hook_is_not_called_on_the_last_failure_nor_on_a_permanent_one() {
    assert_eq!(play(RetryPolicy::new(), &[Fail(1)]).heard.len(), 2);
    assert_eq!(play(RetryPolicy::new(), &[Break]).heard.len(), 0);
    assert_eq!(play(RetryPolicy::new(), &[Fail(1), Break]).heard.len(), 1);
    assert_eq!(play(RetryPolicy::new().with_max_attempts(1), &[Fail(1)]).heard.len(), 0);
}

#[test]
fn p17_the_hook_is_told_exactly_what_is_then_waited() {
    for jitter in JITTERS {
        let policy = RetryPolicy::new().with_max_attempts(20).with_jitter(jitter);
        let trace = play(policy, &[Fail(1), Busy(secs(5)), Fail(2)]);
        let told: Vec<Duration> = trace.heard.iter().map(|heard| heard.delay).collect();
        assert_eq!(told, trace.waits, "{jitter:?}");
        let mut sum = Duration::ZERO;
        for heard in &trace.heard {
            assert_eq!(heard.waited, sum, "{jitter:?}");
            sum += heard.delay;
        }
        assert_eq!(trace.end.expect_err("it fails").waited, sum, "{jitter:?}");
    }
}

#[test]
fn p17_a_constant_backoff_tells_the_same_delay_each_time() {
    let policy = RetryPolicy::from(Backoff::constant(ms(100))).with_max_attempts(4);
    let heard = play(policy, &[Fail(1)]).heard;
    assert!(heard.iter().map(|heard| heard.delay).eq([ms(100); 3]));
}

#[test]
fn p20_each_message_stands_once_in_a_report_and_the_chain_is_intact() {
    let open = || {
        Err::<(), _>(std::io::Error::new(std::io::ErrorKind::TimedOut, ScriptError::Transient(5)))
    };
    let error = open.sleep_with(|_| ()).retry_with(RetryPolicy::new()).expect_err("it fails");
    let report = format!("{:#}", anyhow::Error::new(error).context("cannot load"));
    assert_eq!(
        report,
        "cannot load: gave up after 3 attempts and 3s of waiting: attempts exhausted: failure number 5"
    );
}

/// Another crate's extension trait, of the same name and for the same types.
mod another_crate {
    pub(crate) trait RetryExt<T, E>: FnMut() -> Result<T, E> + Sized {
        fn retry(mut self) -> Result<T, E> {
            self()
        }
    }
    impl<T, E, F: FnMut() -> Result<T, E>> RetryExt<T, E> for F {}
}

#[test]
fn p21_another_retry_ext_may_be_in_scope_by_name_when_ours_comes_by_the_prelude() {
    mod here {
        pub(super) use super::another_crate::RetryExt;
        pub(super) use retry_ext::prelude::*;
    }
    #[allow(unused_imports, reason = "the point is that both are in scope")]
    use here::*;
    let parse = || "7".parse::<u8>();
    assert_eq!(RetryExt::retry(parse), Ok(7));
    assert_eq!(parse.retry(), Ok(7));
    assert_eq!(parse.retry_if(|_| true).retry_with(RetryPolicy::new()), Ok(7));
}

// 23, an error's text in the logs: `tests/secrets.rs`.

#[test]
fn p24_retries_nested_three_deep_are_three_calls() {
    let calls = Cell::new(0);
    let waits = RefCell::new(Vec::new());
    let wait = |delay| waits.borrow_mut().push(delay);
    let policy = RetryPolicy::new();
    let call = || {
        calls.set(calls.get() + 1);
        Err::<(), _>(ScriptError::Transient(calls.get()))
    };
    let inner = || call.sleep_with(wait).retry_with(policy);
    let middle = || inner.sleep_with(wait).retry_with(policy);
    let error = middle.sleep_with(wait).retry_with(policy).expect_err("it fails");

    assert_eq!((calls.get(), waits.take()), (3, vec![secs(1), secs(2)]));
    assert!(!error.is_transient());
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    let innermost = error.into_error().into_error();
    assert_eq!((innermost.attempts(), innermost.reason()), (3, StopReason::AttemptsExhausted));
}

// 28, code blocks of the README that do not compile: it is a doctest of the crate.
