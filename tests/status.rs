//! `StatusError`, `check_status` and `HttpError`: the statuses that are errors, and the header of
//! the hint.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use retry_ext::{CheckStatus, HttpError, IsTransient, StatusError};

const MINUTE: Duration = Duration::from_secs(60);

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    pairs.iter().map(pair).collect()
}

fn hint(pairs: &[(&'static str, &str)]) -> Option<Duration> {
    let error = StatusError::check(StatusCode::SERVICE_UNAVAILABLE, &headers(pairs));
    let error = error.expect_err("503 is an error");
    assert_eq!(error.retry_after(), IsTransient::retry_after(&error));
    error.retry_after()
}

#[test]
fn an_error_is_a_status_from_400_to_599() {
    for number in 100..1_000 {
        let status = StatusCode::from_u16(number).expect("a status");
        let checked = StatusError::check(status, &HeaderMap::new());
        assert_eq!(checked.is_err(), (400..600).contains(&number), "{number}");
        if let Err(error) = checked {
            assert_eq!(error.status(), status);
            assert_eq!(
                error.is_transient(),
                retry_ext::codes::is_transient_http_status(number),
                "{number}"
            );
        }
    }
}

#[test]
fn a_message_is_the_status_and_its_reason() {
    let message = |number| {
        let status = StatusCode::from_u16(number).expect("a status");
        StatusError::check(status, &HeaderMap::new()).expect_err("an error").to_string()
    };
    assert_eq!(message(404), "HTTP status 404 Not Found");
    assert_eq!(message(429), "HTTP status 429 Too Many Requests");
    assert_eq!(message(529), "HTTP status 529");
}

#[test]
fn a_hint_in_seconds_or_milliseconds_is_taken() {
    assert_eq!(hint(&[]), None);
    assert_eq!(hint(&[("retry-after", "60")]), Some(MINUTE));
    assert_eq!(hint(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
    assert_eq!(hint(&[("retry-after-ms", "60000")]), Some(MINUTE));
    assert_eq!(hint(&[("retry-after", "soon")]), None);
}

#[test]
fn milliseconds_win_over_seconds_unless_they_are_nonsense() {
    let seconds = ("retry-after", "60");
    let a_quarter = Some(Duration::from_millis(250));
    assert_eq!(hint(&[seconds, ("retry-after-ms", "250")]), a_quarter);
    assert_eq!(hint(&[seconds, ("retry-after-ms", "soon")]), Some(MINUTE));
    assert_eq!(hint(&[seconds, ("retry-after-ms", "-1")]), Some(MINUTE));
    assert_eq!(hint(&[("retry-after", "soon"), ("retry-after-ms", "250")]), a_quarter);
}

#[test]
fn a_date_is_compared_with_the_date_of_the_response() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for retry_after in [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
    ] {
        assert_eq!(hint(&[date, ("retry-after", retry_after)]), Some(MINUTE), "{retry_after}");
    }
    let earlier = ("retry-after", "Sun, 06 Nov 1994 08:49:36 GMT");
    assert_eq!(hint(&[date, earlier]), Some(Duration::ZERO));
    // The date of the response may have any of the formats.
    let retry_after = ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT");
    for date in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(hint(&[("date", date), retry_after]), Some(MINUTE), "{date}");
    }
}

#[test]
fn without_a_valid_date_a_date_is_compared_with_the_clock() {
    let soon = httpdate::fmt_http_date(SystemTime::now() + MINUTE);
    for date in [&[][..], &[("date", "yesterday")]] {
        let mut pairs = date.to_vec();
        pairs.push(("retry-after", &soon));
        let hint = hint(&pairs).expect("a hint");
        // A date has whole seconds, and this date is a little nearer now.
        assert!(hint <= MINUTE && hint > MINUTE / 2, "{hint:?}");
        pairs[date.len()].1 = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(self::hint(&pairs), Some(Duration::ZERO));
    }
}

#[test]
fn headers_that_are_not_text_are_no_hint() {
    let bytes = HeaderValue::from_bytes(b"6\xff").expect("a value");
    for name in ["retry-after", "retry-after-ms"] {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), bytes.clone())]);
        let error = StatusError::check(StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!(error.expect_err("an error").retry_after(), None, "{name}");
    }
}

#[test]
fn a_response_passes_or_becomes_an_error() {
    let response = |status: u16| Response::builder().status(status).body("body");
    let passed = response(204).expect("a response").check_status().expect("no error");
    assert_eq!((passed.status(), *passed.body()), (StatusCode::NO_CONTENT, "body"));
    let error = response(404).expect("a response").check_status().expect_err("an error");
    assert_eq!((error.status(), error.is_transient()), (StatusCode::NOT_FOUND, false));
}

#[derive(Debug, thiserror::Error, IsTransient)]
#[error("no answer")]
#[transient(if = *_0, after = _0.then_some(MINUTE))]
struct ClientError(bool);

#[test]
fn an_http_error_is_classified_by_its_cause() {
    let status = |number: u16| {
        let status = StatusCode::from_u16(number).expect("a status");
        let headers = headers(&[("retry-after", "7")]);
        HttpError::<ClientError>::from(StatusError::check(status, &headers).expect_err("an error"))
    };
    let says = |error: HttpError<ClientError>| (error.is_transient(), error.retry_after());
    assert_eq!(says(status(503)), (true, Some(Duration::from_secs(7))));
    assert_eq!(says(status(404)), (false, Some(Duration::from_secs(7))));
    assert_eq!(says(HttpError::Request(ClientError(true))), (true, Some(MINUTE)));
    assert_eq!(says(HttpError::Request(ClientError(false))), (false, None));
}

#[test]
fn each_message_is_in_a_report_once() {
    let error = StatusError::check(StatusCode::NOT_FOUND, &HeaderMap::new());
    let status = HttpError::<ClientError>::from(error.expect_err("an error"));
    assert_eq!(format!("{:#}", anyhow::Error::from(status)), "HTTP status 404 Not Found");
    let request = HttpError::Request(ClientError(true));
    assert_eq!(format!("{:#}", anyhow::Error::from(request)), "the request failed: no answer");
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_is_a_transient_http_error() {
    use retry_ext::{AsyncRetryExt, HttpError, RetryPolicy};

    let hangs = async || std::future::pending::<Result<(), HttpError<std::io::Error>>>().await;
    let limit = Duration::from_secs(2);
    let stopped = hangs.timeout_each(limit).retry_with(RetryPolicy::new()).await.unwrap_err();
    assert_eq!(stopped.attempts(), 3);
    assert_eq!(stopped.error().to_string(), "the attempt timed out after 2s");
    assert!(matches!(stopped.into_error(), HttpError::TimedOut(_)));
}
