//! `RetryError` and `StopReason`: texts, chain, conversions.

mod common;

use std::error::Error as _;
use std::io;

use common::{Break, Busy, Fail, ScriptError, play, secs};
use retry_ext::{RetryError, RetryExt, RetryPolicy, StopReason};

fn text(policy: RetryPolicy, script: &[common::Step]) -> String {
    play(policy, script).result.expect_err("it fails").to_string()
}

#[test]
fn the_text_says_how_often_how_long_and_why() {
    let policy = RetryPolicy::new();
    assert_eq!(
        text(policy, &[Fail(1)]),
        "gave up after 3 attempts and 3s of waiting: attempts exhausted"
    );
    assert_eq!(text(policy, &[Break]), "gave up after 1 attempt: permanent error");
    assert_eq!(
        text(policy, &[Busy(secs(61))]),
        "gave up after 1 attempt: retry-after longer than the maximum delay"
    );
    assert_eq!(
        text(policy.with_max_elapsed(secs(2)), &[Fail(1)]),
        "gave up after 2 attempts and 1s of waiting: deadline exceeded"
    );
}

#[test]
fn the_source_is_the_last_error() {
    let error =
        play(RetryPolicy::new(), &[Fail(1), Fail(2), Fail(3)]).result.expect_err("it fails");
    let source = error.source().expect("the last error");
    assert_eq!(source.downcast_ref::<ScriptError>(), Some(&ScriptError::Transient(3)));
    assert!(source.source().is_none());
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
