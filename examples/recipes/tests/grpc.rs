//! tonic and a server on loopback, which answers from a script. The service is the gRPC health check,
//! whose code is in `tonic-health`.

mod common;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::vec;

use common::POLICY;
use recipes_example::grpc::CallError;
use retry_ext::{AsyncRetryExt, IsTransient, RetryError, StopReason};
use tokio::net::TcpListener;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::tokio_stream::{self, Empty};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::{ErrorDetails, StatusExt};

/// Answers each call with the next status, and then with `SERVING`.
struct Script(Arc<Mutex<vec::IntoIter<Status>>>);

#[tonic::async_trait]
impl Health for Script {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).next() {
            Some(status) => Err(status),
            None => {
                Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
            }
        }
    }

    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

fn serve(listener: TcpListener, statuses: Vec<Status>) {
    let service = HealthServer::new(Script(Arc::new(Mutex::new(statuses.into_iter()))));
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
}

/// Calls a server with this script, and returns the delays of the retries.
async fn call(statuses: Vec<Status>) -> (Result<i32, RetryError<CallError>>, Vec<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    serve(listener, statuses);
    let client = HealthClient::new(Endpoint::from_shared(url).expect("a URL").connect_lazy());
    let mut delays = Vec::new();
    let answer = (async || check(&client).await)
        .on_retry(|retry| delays.push(retry.delay))
        .retry_with(POLICY)
        .await;
    (answer, delays)
}

async fn check(client: &HealthClient<Channel>) -> Result<i32, CallError> {
    let request = HealthCheckRequest { service: String::new() };
    Ok(client.clone().check(request).await?.into_inner().status)
}

fn exhausted(delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, "too many calls", details)
}

fn pushback(code: Code, value: &'static str) -> Status {
    let mut status = Status::new(code, "too many calls");
    let value = value.parse().expect("ASCII");
    status.metadata_mut().insert("grpc-retry-pushback-ms", value);
    status
}

const SERVING: i32 = ServingStatus::Serving as i32;

#[tokio::test]
async fn unavailable_is_retried_by_its_code() {
    let (answer, delays) = call(vec![Status::unavailable("restarting"); 2]).await;
    assert_eq!(answer.expect("an answer"), SERVING);
    assert_eq!(delays, [1, 2].map(Duration::from_millis));
}

#[tokio::test]
async fn resource_exhausted_is_retried_after_the_delay_that_the_server_asks_for() {
    let hints = [7, 5].map(Duration::from_millis);
    let (answer, delays) = call(hints.map(exhausted).to_vec()).await;
    assert_eq!(answer.expect("an answer"), SERVING);
    assert_eq!(delays, hints);
}

#[tokio::test]
async fn resource_exhausted_without_a_delay_is_not_retried() {
    let (answer, delays) = call(vec![Status::resource_exhausted("message too large")]).await;
    let error = answer.expect_err("refused");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    assert_eq!((error.error().0.code(), delays.len()), (Code::ResourceExhausted, 0));
}

#[tokio::test]
async fn a_pushback_is_obeyed() {
    let statuses = vec![pushback(Code::Unavailable, "6"), pushback(Code::ResourceExhausted, "8")];
    let (answer, delays) = call(statuses).await;
    assert_eq!(answer.expect("an answer"), SERVING);
    assert_eq!(delays, [6, 8].map(Duration::from_millis));
}

#[tokio::test]
async fn a_pushback_that_forbids_retries_is_obeyed() {
    for value in ["-1", "soon"] {
        let (answer, _) = call(vec![pushback(Code::Unavailable, value)]).await;
        let error = answer.expect_err("refused");
        assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent), "{value}");
    }
}

#[tokio::test]
async fn other_codes_are_not_retried_even_with_a_delay() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
    for code in [Code::Aborted, Code::DeadlineExceeded, Code::Internal, Code::NotFound] {
        let status = Status::with_error_details(code, "no", details.clone());
        let (answer, _) = call(vec![status]).await;
        assert_eq!(answer.expect_err("refused").attempts(), 1, "{code:?}");
    }
}

#[tokio::test]
async fn a_server_that_comes_up_later_is_waited_for() {
    let reserved = database_example::reserve_port().expect("a port");
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{reserved}")).expect("a URL");
    let client = HealthClient::new(endpoint.connect_lazy());
    let error = check(&client).await.expect_err("refused");
    assert_eq!((error.0.code(), error.is_transient()), (Code::Unavailable, true));
    let listener = TcpListener::bind(("127.0.0.1", reserved)).await.expect("the port");
    serve(listener, Vec::new());
    let answer = (async || check(&client).await).retry_with(common::PATIENT).await;
    assert_eq!(answer.expect("an answer"), SERVING);
}
