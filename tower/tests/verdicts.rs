//! Verdicts on boxed errors: every kind, at the top and within others, and on every status.

mod common;

use std::io::{self, ErrorKind};

use common::{ScriptError, secs};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use retry_ext::codes::is_transient_http_status;
use retry_ext::{CheckStatus, Verdict};
use retry_ext_tower::verdict::{self, boxed, boxed_as, find, http, sources};
use tower::BoxError;

/// An error around another error, as in clients.
#[derive(Debug, thiserror::Error)]
#[error("the request failed")]
struct Outer(#[source] BoxError);

/// Returns the error by itself, within another error, within an `io::Error`, and within both.
fn within(error: fn() -> BoxError) -> [BoxError; 4] {
    let in_both = io::Error::other(Outer(error()));
    [error(), Outer(error()).into(), io::Error::other(error()).into(), in_both.into()]
}

async fn elapsed() -> BoxError {
    let never = std::future::pending::<()>();
    tokio::time::timeout(secs(1), never).await.expect_err("it takes for ever").into()
}

#[test]
fn errors_of_tower_and_transient_io_are_transient_at_any_depth() {
    let errors: [fn() -> BoxError; 3] = [
        || tower::load_shed::error::Overloaded::new().into(),
        || tower::timeout::error::Elapsed::new().into(),
        || io::Error::from(ErrorKind::ConnectionReset).into(),
    ];
    for error in errors {
        for error in within(error) {
            assert_eq!(boxed(&error), Verdict::Transient, "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tokios_timeout_is_transient() {
    assert_eq!(boxed(&elapsed().await), Verdict::Transient);
    assert_eq!(sources(&Outer(elapsed().await)), Verdict::Transient);
}

#[test]
fn a_status_error_keeps_its_hint_at_any_depth() {
    fn busy() -> BoxError {
        let response = Response::builder().status(429).header("retry-after", "9").body(());
        response.unwrap().check_status().unwrap_err().into()
    }
    fn missing() -> BoxError {
        Response::builder().status(404).body(()).unwrap().check_status().unwrap_err().into()
    }
    for error in within(busy) {
        assert_eq!(boxed(&error), Verdict::TransientAfter(secs(9)));
    }
    for error in within(missing) {
        assert_eq!(boxed(&error), Verdict::Permanent);
    }
}

#[test]
fn all_others_are_permanent() {
    let errors: [fn() -> BoxError; 4] = [
        || "wrong password".into(),
        || io::Error::from(ErrorKind::PermissionDenied).into(),
        || "x".parse::<u8>().unwrap_err().into(),
        || ScriptError::Transient(1).into(), // only `boxed_as` knows it
    ];
    for error in errors {
        for error in within(error) {
            assert_eq!(boxed(&error), Verdict::Permanent, "{error:?}");
            assert_eq!(sources(&Outer(error)), Verdict::Permanent);
        }
    }
}

#[test]
fn an_error_type_of_the_program_is_asked_first() {
    for error in within(|| ScriptError::Busy(secs(3)).into()) {
        assert_eq!(boxed_as::<ScriptError>(&error), Verdict::TransientAfter(secs(3)));
        assert_eq!(find::<ScriptError>(&error), Some(&ScriptError::Busy(secs(3))));
    }
    for error in within(|| ScriptError::Permanent.into()) {
        assert_eq!(boxed_as::<ScriptError>(&error), Verdict::Permanent);
    }
    let reset: BoxError = io::Error::from(ErrorKind::ConnectionReset).into();
    assert_eq!(boxed_as::<ScriptError>(&reset), Verdict::Transient);
    assert!(find::<ScriptError>(&reset).is_none());
}

#[test]
fn every_status_has_the_verdict_of_its_table() {
    let mut headers = HeaderMap::new();
    let none = headers.clone();
    headers.insert("retry-after", HeaderValue::from_static("30"));
    for code in 100..1000 {
        let status = StatusCode::from_u16(code).unwrap();
        let (plain, hinted) = match code {
            400..600 if is_transient_http_status(code) => {
                (Verdict::Transient, Verdict::TransientAfter(secs(30)))
            }
            400..600 => (Verdict::Permanent, Verdict::Permanent),
            _ => (Verdict::Success, Verdict::Success),
        };
        assert_eq!(verdict::status(status, &none), plain, "{code}");
        assert_eq!(verdict::status(status, &headers), hinted, "{code}");
    }
}

#[test]
fn a_classifier_of_http_judges_responses_and_passes_errors_on() {
    let judge = http(Verdict::of::<ScriptError>);
    let response = |status| Ok(Response::builder().status(status).body(()).unwrap());
    assert_eq!(judge(&response(200)), Verdict::Success);
    assert_eq!(judge(&response(503)), Verdict::Transient);
    assert_eq!(judge(&Err(ScriptError::Busy(secs(4)))), Verdict::TransientAfter(secs(4)));
    assert_eq!(judge(&Err(ScriptError::Permanent)), Verdict::Permanent);
}

#[test]
fn idempotent_requests_are_copied_whole() {
    use http::{Method, Request, Version};
    for (method, is_idempotent) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::OPTIONS, true),
        (Method::TRACE, true),
        (Method::PUT, true),
        (Method::DELETE, true),
        (Method::POST, false),
        (Method::PATCH, false),
        (Method::CONNECT, false),
        (Method::from_bytes(b"PURGE").unwrap(), false),
    ] {
        let request = Request::builder()
            .method(method.clone())
            .uri("http://example.com/a?b")
            .version(Version::HTTP_2)
            .header("accept", "*/*")
            .extension(7_u8)
            .body("body")
            .unwrap();
        let copy = retry_ext_tower::clone_idempotent(&request);
        assert_eq!(copy.is_some(), is_idempotent, "{method}");
        let Some(copy) = copy else { continue };
        assert_eq!((copy.method(), copy.uri()), (&method, request.uri()));
        assert_eq!((copy.version(), copy.headers()), (Version::HTTP_2, request.headers()));
        assert_eq!((copy.extensions().get(), copy.body()), (Some(&7_u8), &"body"));
    }
}
