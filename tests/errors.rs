//! `RetryError` and `StopReason`: texts, chain, conversions.

mod common;

use std::error::Error as _;
use std::io;

use common::drivers::{Endless, Watch, by_closure, verb};
use common::{Break, Busy, Fail, ScriptError, Step, secs};
use retry_ext::{
    RetryBudget, RetryError, RetryExt, RetryIteratorExt, RetryPolicy, RetryResultExt, SleepOutcome,
    StopReason,
};

fn gave_up(policy: RetryPolicy, script: &[Step]) -> RetryError<ScriptError> {
    let mut world = Endless::new(script);
    verb(&Watch::over(&mut world), policy).expect_err("it fails")
}

fn text(policy: RetryPolicy, script: &[Step]) -> String {
    gave_up(policy, script).to_string()
}

#[test]
fn the_text_says_how_often_how_long_and_why() {
    let policy = RetryPolicy::new();
    assert_eq!(
        text(policy, &[Fail(1)]),
        "gave up after 3 attempts and 3s of waiting: attempts exhausted"
    );
    assert_eq!(text(policy, &[Break]), "gave up after 1 attempt: permanent error");
    assert_eq!(text(policy, &[Busy(secs(61))]), "gave up after 1 attempt: retry-after too long");
    assert_eq!(
        text(policy.with_max_elapsed(secs(2)), &[Fail(1)]),
        "gave up after 2 attempts and 1s of waiting: deadline exceeded"
    );
}

#[test]
fn the_source_is_the_last_error() {
    let error = gave_up(RetryPolicy::new(), &[Fail(1), Fail(2), Fail(3)]);
    let source = error.source().expect("the last error");
    assert_eq!(source.downcast_ref::<ScriptError>(), Some(&ScriptError::Transient(3)));
    assert!(source.source().is_none());
}

#[test]
fn r09_the_next_delay_is_the_wait_that_was_refused_or_cut_short() {
    static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);
    let policy = RetryPolicy::new();
    let refused = |policy, script: &[Step]| {
        let error = gave_up(policy, script);
        (error.reason(), error.next_delay())
    };
    assert_eq!(refused(policy, &[Break]), (StopReason::Permanent, None));
    assert_eq!(refused(policy, &[Fail(1)]), (StopReason::AttemptsExhausted, None));
    let too_long = (StopReason::RetryAfterTooLong, Some(secs(61)));
    assert_eq!(refused(policy, &[Busy(secs(61))]), too_long);
    let late = (StopReason::DeadlineExceeded, Some(secs(2)));
    assert_eq!(refused(policy.with_max_elapsed(secs(2)), &[Fail(1)]), late);
    let spent = (StopReason::BudgetExhausted, Some(secs(1)));
    assert_eq!(refused(policy.with_budget(&SPENT), &[Fail(1)]), spent);
    let spent = (StopReason::BudgetExhausted, Some(secs(30)));
    assert_eq!(refused(policy.with_budget(&SPENT), &[Busy(secs(30))]), spent);

    let ends = [SleepOutcome::Elapsed, SleepOutcome::Cancelled];
    let cancelled = by_closure(policy, &mut Endless::new(&[Fail(1)]).with_ends(&ends));
    assert_eq!(cancelled.reason(), Some(StopReason::Cancelled));
    assert_eq!(cancelled.next_delay(), Some(secs(2)), "in full");
    let source = [Err::<(), _>(ScriptError::Transient(1))].into_iter().sleep_with(|_| ());
    let ended = source.retry_with(policy).next().expect("an item").expect_err("it fails");
    assert_eq!((ended.reason(), ended.next_delay()), (StopReason::SourceEnded, None));
}

#[test]
fn every_reason_has_a_text_of_its_own_that_can_be_padded() {
    let reasons = [
        StopReason::Permanent,
        StopReason::AttemptsExhausted,
        StopReason::RetryAfterTooLong,
        StopReason::DeadlineExceeded,
        StopReason::BudgetExhausted,
        StopReason::Cancelled,
        StopReason::SourceEnded,
    ];
    let mut texts = reasons.map(|reason| reason.to_string());
    texts.sort();
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(texts.iter().all(|text| text.starts_with(char::is_lowercase) && !text.ends_with('.')));
    assert_eq!(format!("{:>11}", StopReason::Cancelled), "  cancelled");
}

#[test]
fn a_question_mark_takes_it_into_a_box_and_into_anyhow() {
    fn boxed() -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok((|| std::fs::read_to_string("no/such/file")).retry_with(RetryPolicy::new())?)
    }
    fn any() -> anyhow::Result<String> {
        Ok((|| std::fs::read_to_string("no/such/file")).retry_with(RetryPolicy::new())?)
    }
    let boxed = boxed().expect_err("there is no such file");
    assert!(boxed.downcast_ref::<RetryError<io::Error>>().is_some());
    let any = any().expect_err("there is no such file");
    assert_eq!(
        any.root_cause().downcast_ref::<io::Error>().map(io::Error::kind),
        Some(io::ErrorKind::NotFound)
    );
}

#[test]
fn errors_that_are_no_std_errors_come_back_whole() {
    let error = (|| Err::<(), _>(String::from("plain text")))
        .retry_if(|_| false)
        .retry_with(RetryPolicy::new())
        .expect_err("it fails");
    assert_eq!(error.to_string(), "gave up after 1 attempt: permanent error");
    assert_eq!(error.into_error(), "plain text");

    let any = (|| Err::<(), _>(anyhow::anyhow!("no table")))
        .retry_if(anyhow::Error::is::<io::Error>)
        .retry_with(RetryPolicy::new())
        .map_err(RetryError::into_error);
    assert_eq!(any.expect_err("it fails").to_string(), "no table");
}

#[test]
fn it_takes_the_memory_of_one_error_and_24_bytes() {
    assert!(size_of::<RetryError<[u64; 8]>>() <= 64 + 24);
}

#[test]
fn p24_a_plain_error_is_asked_for_by_name_and_protects_no_longer() {
    use std::cell::Cell;

    let policy = RetryPolicy::new();
    let calls = Cell::new(0);
    let call = || {
        calls.set(calls.get() + 1);
        Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut))
    };
    // Three retries are nested through `?`. The error of the innermost retry is never transient.
    let inner = || call.sleep_with(|_| ()).retry_with(policy);
    let middle = || -> Result<(), RetryError<RetryError<io::Error>>> {
        inner.sleep_with(|_| ()).retry_with(policy)?;
        Ok(())
    };
    let outer = middle.sleep_with(|_| ()).retry_with(policy);
    assert_eq!(outer.expect_err("it fails").attempts(), 1);
    assert_eq!(calls.replace(0), 3);

    let plain = || inner().plain();
    let outer = plain.sleep_with(|_| ()).retry_with(policy).plain();
    assert_eq!(outer.expect_err("it fails").kind(), io::ErrorKind::TimedOut);
    assert_eq!(calls.get(), 9);
}
