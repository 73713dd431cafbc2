//! hyper's client and reqwest behind the layer, against a server on loopback that fails in real ways.

#[path = "../../examples/support/server.rs"]
mod server;

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Waits, secs};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use retry_ext::{AsyncRetryExt, IsTransient, RetryPolicy, RetryStats, StopReason, Verdict};
use retry_ext_tower::{RetryLayer, clone_idempotent, verdict};
use server::{Answer, Server};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt};

const POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(4);

type HyperService = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, BoxError>;
type ReqwestService = BoxCloneSyncService<reqwest::Request, reqwest::Response, reqwest::Error>;

/// A client, the waits of its retries, and its reports. The waits are recorded instead of slept.
struct Retried<S> {
    service: S,
    waits: Waits,
    stats: Arc<RetryStats>,
}

fn hyper() -> Retried<HyperService> {
    let (waits, stats) = (Waits::default(), Arc::new(RetryStats::new()));
    let service = ServiceBuilder::new()
        .map_err(BoxError::from)
        .layer(
            RetryLayer::new(POLICY)
                .classify(verdict::http(verdict::sources))
                .clone_requests(clone_idempotent)
                .observe(Arc::clone(&stats))
                .sleep_with(waits.sleeper()),
        )
        .service(Client::builder(TokioExecutor::new()).build_http());
    Retried { service: BoxCloneSyncService::new(service), waits, stats }
}

/// Returns hyper's client with boxed errors below the layer, as tower's middleware makes them.
fn boxed_hyper() -> Retried<HyperService> {
    let (waits, stats) = (Waits::default(), Arc::new(RetryStats::new()));
    let service = ServiceBuilder::new()
        .layer(
            RetryLayer::new(POLICY)
                .classify(verdict::http(verdict::boxed))
                .clone_requests(clone_idempotent)
                .observe(Arc::clone(&stats))
                .sleep_with(waits.sleeper()),
        )
        .timeout(secs(60))
        .load_shed()
        .concurrency_limit(8)
        .service(Client::builder(TokioExecutor::new()).build_http());
    Retried { service: BoxCloneSyncService::new(service), waits, stats }
}

fn reqwest() -> Retried<ReqwestService> {
    let (waits, stats) = (Waits::default(), Arc::new(RetryStats::new()));
    let service = ServiceBuilder::new()
        .layer(
            RetryLayer::new(POLICY)
                .classify(|outcome: &Result<reqwest::Response, reqwest::Error>| match outcome {
                    Ok(response) => verdict::status(response.status(), response.headers()),
                    Err(error) => Verdict::of(error),
                })
                .clone_requests(|request: &reqwest::Request| {
                    request.method().is_idempotent().then(|| request.try_clone())?
                })
                .observe(Arc::clone(&stats))
                .sleep_with(waits.sleeper()),
        )
        .service(reqwest::Client::new());
    Retried { service: BoxCloneSyncService::new(service), waits, stats }
}

impl Retried<HyperService> {
    async fn send(&self, method: &str, url: &str) -> Result<Response<Incoming>, BoxError> {
        let request = Request::builder().method(method).uri(url).body(Full::default())?;
        self.service.clone().oneshot(request).await
    }
}

impl Retried<ReqwestService> {
    async fn send(&self, method: &str, url: &str) -> reqwest::Result<reqwest::Response> {
        let request = reqwest::Request::new(method.parse().unwrap(), url.parse().unwrap());
        self.service.clone().oneshot(request).await
    }
}

/// Starts a server that resets the connection, closes it without an answer, is busy, and then answers.
fn recovering() -> Server {
    let closed = Answer::Stall(Duration::ZERO);
    let answers = vec![Answer::Reset, closed, Answer::unavailable(7), Answer::ok("page")];
    Server::start(answers).expect("a port")
}

const DELAYS: [Duration; 3] = [secs(1), secs(2), secs(7)];

#[tokio::test]
async fn hyper_recovers_from_a_reset_a_closed_connection_and_a_busy_server() {
    for retried in [hyper(), boxed_hyper()] {
        let server = recovering();
        let response = retried.send("GET", &server.url).await.expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "page");
        assert_eq!((retried.waits.seen(), server.connections()), (DELAYS.to_vec(), 4));
        assert_eq!(retried.stats.snapshot().succeeded_after_retry, 1);
    }
}

#[tokio::test]
async fn reqwest_recovers_from_a_reset_a_closed_connection_and_a_busy_server() {
    let (retried, server) = (reqwest(), recovering());
    let response = retried.send("GET", &server.url).await.expect("a response");
    assert_eq!(response.text().await.expect("a body"), "page");
    assert_eq!((retried.waits.seen(), server.connections()), (DELAYS.to_vec(), 4));
    assert_eq!(retried.stats.snapshot().succeeded_after_retry, 1);
}

fn busy() -> Server {
    Server::start(vec![Answer::too_many_requests(3); 9]).expect("a port")
}

#[tokio::test]
async fn a_give_up_returns_the_last_response() {
    let (retried, server) = (hyper(), busy());
    let response = retried.send("GET", &server.url).await.expect("a response");
    assert_eq!((response.status().as_u16(), server.connections()), (429, 4));
    assert_eq!(response.headers()["retry-after"], "3");

    let (retried, server) = (reqwest(), busy());
    let response = retried.send("GET", &server.url).await.expect("a response");
    assert_eq!((response.status().as_u16(), server.connections()), (429, 4));
    assert_eq!(retried.stats.snapshot().gave_up(StopReason::AttemptsExhausted), 1);
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_is_sent_once_and_reported() {
    let (retried, server) = (hyper(), busy());
    let response = retried.send("POST", &server.url).await.expect("a response");
    assert_eq!((response.status().as_u16(), server.connections()), (429, 1));
    assert_eq!(retried.stats.snapshot().gave_up(StopReason::AttemptsExhausted), 1);

    let (retried, server) = (reqwest(), busy());
    let response = retried.send("POST", &server.url).await.expect("a response");
    assert_eq!((response.status().as_u16(), server.connections()), (429, 1));
    assert_eq!(retried.stats.snapshot().gave_up(StopReason::AttemptsExhausted), 1);
}

#[tokio::test]
async fn a_hint_above_the_limit_and_a_permanent_status_are_returned_at_once() {
    for (answer, status, reason) in [
        (Answer::unavailable(3600), 503, StopReason::RetryAfterTooLong),
        (Answer::Whole("404 Not Found", Vec::new(), ""), 404, StopReason::Permanent),
    ] {
        let server = Server::start(vec![answer, Answer::ok("page")]).expect("a port");
        let retried = boxed_hyper();
        let response = retried.send("GET", &server.url).await.expect("a response");
        assert_eq!((response.status().as_u16(), server.connections()), (status, 1));
        assert_eq!(retried.stats.snapshot().gave_up(reason), 1);
    }
}

#[tokio::test]
async fn half_a_body_is_not_seen_by_the_layer_but_by_a_closure_that_reads_it() {
    let answers = || vec![Answer::HalfABody, Answer::ok("page")];
    let (retried, server) = (reqwest(), Server::start(answers()).expect("a port"));
    let response = retried.send("GET", &server.url).await.expect("a response");
    assert!(response.text().await.is_err());
    assert_eq!((server.connections(), retried.stats.snapshot().succeeded_at_first), (1, 1));

    let (client, server) = (reqwest::Client::new(), Server::start(answers()).expect("a port"));
    let page = (async || client.get(&server.url).send().await?.text().await)
        .sleep_with(Waits::default().sleeper())
        .retry_with(POLICY)
        .await;
    assert_eq!(page.expect("a page"), "page");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_unknown_scheme_is_permanent() {
    for retried in [hyper(), boxed_hyper()] {
        let error = retried.send("GET", "ftp://127.0.0.1/").await.expect_err("no such scheme");
        assert_eq!(verdict::boxed(&error), Verdict::Permanent, "{error:?}");
        assert_eq!(retried.stats.snapshot().gave_up(StopReason::Permanent), 1);
    }
    let error = reqwest().send("GET", "ftp://127.0.0.1/").await.expect_err("no such scheme");
    assert!(!error.is_transient());
}
