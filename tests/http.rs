//! Real HTTP over loopback: a client's real errors, a server's real hints.

#[path = "../examples/support/server.rs"]
mod server;

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime};

use retry_ext::{CheckStatus, HttpError, Jitter, RetryError, RetryExt, RetryPolicy, StopReason};
use server::{Answer, Server};

type CallError = HttpError<ureq::Error>;

/// The client's timeout, except for an attempt that stalls: long enough for any answer on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

fn call(server: &Server, timeout: Duration) -> Result<String, CallError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .proxy(None)
        .build()
        .into();
    Ok(agent.get(&server.url).call()?.check_status()?.body_mut().read_to_string()?)
}

type Fetched = (Result<String, RetryError<CallError>>, Vec<String>, Vec<Duration>);

/// Calls the server until the retry ends.
fn fetch(server: &Server) -> Fetched {
    fetch_with(server, PATIENT)
}

/// Calls the server, with this timeout for the first attempt. Only this timeout takes real time.
fn fetch_with(server: &Server, first: Duration) -> Fetched {
    let heard = RefCell::new(Vec::new());
    let mut waits = Vec::new();
    let mut timeout = first;
    let result = (|| call(server, std::mem::replace(&mut timeout, PATIENT)))
        .on_retry(|retry| heard.borrow_mut().push(format!("{:?}", retry.error)))
        .sleep_with(|delay| waits.push(delay))
        .retry_with(RetryPolicy::new());
    (result, heard.into_inner(), waits)
}

fn start(answers: &[Answer]) -> Server {
    Server::start(answers.to_vec()).expect("a free port on loopback")
}

#[test]
fn a_connection_that_is_reset_is_retried() {
    let server = start(&[Answer::Reset, Answer::ok("page")]);
    let (result, heard, _) = fetch(&server);
    assert_eq!(result.expect("the second answer"), "page");
    assert_eq!((heard.len(), server.connections()), (1, 2));
    assert!(heard[0].contains("Io("), "{heard:?}");
}

#[test]
fn half_a_body_is_retried() {
    let server = start(&[Answer::HalfABody, Answer::ok("page")]);
    let (result, heard, _) = fetch(&server);
    assert_eq!(result.expect("the second answer"), "page");
    assert!(heard[0].contains("UnexpectedEof"), "{heard:?}");
}

#[test]
fn a_server_that_stalls_past_the_timeout_is_retried() {
    let server = start(&[Answer::Stall(2 * PATIENT), Answer::ok("page")]);
    let (result, heard, _) = fetch_with(&server, Duration::from_millis(50));
    assert_eq!(result.expect("the second answer"), "page");
    assert!(heard[0].contains("Timeout"), "{heard:?}");
}

#[test]
fn three_failures_of_three_kinds_end_with_the_last() {
    let server = start(&[Answer::Stall(2 * PATIENT), Answer::Reset, Answer::HalfABody]);
    let (result, heard, _) = fetch_with(&server, Duration::from_millis(50));
    let error = result.expect_err("three failures");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
    assert!(format!("{:?}", error.error()).contains("UnexpectedEof"));
    assert_eq!((heard.len(), server.connections()), (2, 3));
}

#[test]
fn a_404_is_not_retried() {
    let server = start(&[Answer::Whole("404 Not Found", Vec::new(), ""), Answer::ok("page")]);
    let (result, _, _) = fetch(&server);
    assert_eq!(result.expect_err("not found").reason(), StopReason::Permanent);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_hint_in_seconds_is_waited_for() {
    let server = start(&[Answer::too_many_requests("7"), Answer::ok("page")]);
    let (result, _, waits) = fetch(&server);
    assert_eq!(
        (result.expect("the second answer").as_str(), waits),
        ("page", vec![Duration::from_secs(7)])
    );
}

#[test]
fn a_hint_as_a_date_is_waited_for() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20));
    let server = start(&[Answer::too_many_requests(date), Answer::ok("page")]);
    let (result, _, waits) = fetch(&server);
    assert!(result.is_ok());
    // A date has whole seconds, and this date is a little nearer now.
    assert!(waits[0] > Duration::from_secs(15) && waits[0] <= Duration::from_secs(20), "{waits:?}");
}

#[test]
fn a_date_that_has_passed_and_a_hint_that_is_nonsense_leave_the_backoff() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(20));
    for header in [past.as_str(), "soon", "-5", "1m0s"] {
        let server = start(&[Answer::too_many_requests(header), Answer::ok("page")]);
        let (result, _, waits) = fetch(&server);
        assert!(result.is_ok());
        assert_eq!(waits, [Duration::from_secs(1)], "{header}");
    }
}

#[test]
fn a_hint_above_the_cap_stops_at_once() {
    let server = start(&[Answer::too_many_requests("61"), Answer::ok("page")]);
    let (result, heard, waits) = fetch(&server);
    let error = result.expect_err("a minute is the cap");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::RetryAfterTooLong));
    assert!(heard.is_empty() && waits.is_empty());
    assert!(matches!(error.error(), HttpError::Status(error) if error.status() == 429));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_crowd_that_was_told_one_time_does_not_come_back_together() {
    let policy = RetryPolicy::new().with_jitter(Jitter::Full);
    let mut waits: Vec<Duration> = (0..20)
        .map(|_| {
            let server = start(&[Answer::too_many_requests("7"), Answer::ok("page")]);
            let mut waited = Duration::ZERO;
            let result =
                (|| call(&server, PATIENT)).sleep_with(|delay| waited += delay).retry_with(policy);
            assert!(result.is_ok());
            waited
        })
        .collect();
    waits.sort_unstable();
    waits.dedup();
    // Two of the twenty draws are equal once in nine million runs.
    assert!(waits.len() >= 19);
    // A quarter of the hint is wider than the backoff's second.
    assert!(
        waits[0] >= Duration::from_secs(7)
            && waits[waits.len() - 1] <= Duration::from_millis(8_750)
    );
}

#[test]
fn no_attempt_is_made_before_the_hint() {
    // This test really sleeps, for the second that the server asks for.
    let server = start(&[Answer::too_many_requests("1"), Answer::ok("page")]);
    let policy = RetryPolicy::new().with_initial_delay(Duration::from_millis(1));
    let started = Instant::now();
    assert!((|| call(&server, PATIENT)).retry_with(policy).is_ok());
    assert!(started.elapsed() >= Duration::from_secs(1));
}
