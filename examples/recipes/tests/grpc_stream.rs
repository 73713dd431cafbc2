//! A stream of tonic and a server on loopback, behind a proxy that breaks connections.

mod common;

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

use common::POLICY;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use recipes_example::grpc::CallError;
use recipes_example::grpc_stream;
use retry_ext::{IsTransient, RetryError, StopReason};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The end of a call.
#[derive(Clone)]
enum End {
    /// The status instead of the stream.
    Refuse(Status),
    /// The status in the trailers.
    Fail(Status),
    /// The regular end of the stream.
    Done,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// A service with a script: for each call, how many statuses it yields and how it ends.
///
/// It numbers the statuses, unlike a real service.
#[derive(Clone)]
struct Service {
    script: Arc<Mutex<vec::IntoIter<(i32, End)>>>,
    sent: Arc<AtomicI32>,
    /// The last status that the client has read.
    read: watch::Receiver<i32>,
    breaks: UnboundedSender<End>,
}

impl Service {
    fn next(&self) -> (i32, End) {
        let next = self.script.lock().unwrap_or_else(PoisonError::into_inner).next();
        next.unwrap_or((0, End::Refuse(Status::not_found("the script is over"))))
    }

    /// Ends a call. A connection breaks only after the client has read the items.
    async fn end(mut self, end: End) -> Option<Status> {
        match end {
            End::Refuse(status) | End::Fail(status) => Some(status),
            End::Done => None,
            End::Close | End::Reset => {
                let sent = self.sent.load(Relaxed);
                self.read.wait_for(|read| *read == sent).await.expect("the client reads");
                self.breaks.send(end).expect("the proxy runs");
                pending().await
            }
        }
    }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let end = self.clone().end(self.next().1).await;
        Err(end.expect("only streams end without a status"))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (count, end) = self.next();
        if let End::Refuse(status) = end {
            return Err(status);
        }
        let sent = Arc::clone(&self.sent);
        let items = (0..count).map(move |_| sent.fetch_add(1, Relaxed) + 1);
        let items = stream::iter(items).map(|status| Ok(HealthCheckResponse { status }));
        let end = stream::once(self.clone().end(end)).filter_map(ready);
        Ok(Response::new(items.chain(end.map(Err)).boxed()))
    }
}

/// A client, and the last status that it has read.
struct Reader {
    client: HealthClient<Channel>,
    read: watch::Sender<i32>,
}

/// Starts a server with a proxy before it, and returns the client.
async fn client(script: Vec<(i32, End)>) -> Reader {
    let (breaks, mut broken) = mpsc::unbounded_channel();
    let read = watch::Sender::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let behind = listener.local_addr().expect("an address");
    let script = Arc::new(Mutex::new(script.into_iter()));
    let service =
        HealthServer::new(Service { script, sent: Arc::default(), read: read.subscribe(), breaks });
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", proxy.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let (mut near, _) = proxy.accept().await.expect("a client");
            let mut far = TcpStream::connect(behind).await.expect("the server");
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                end = broken.recv() => {
                    if let Some(End::Reset) = end {
                        near.set_zero_linger().expect("a reset");
                    }
                }
            }
        }
    });
    let endpoint = Endpoint::from_shared(url).expect("a URL");
    Reader { client: HealthClient::new(endpoint.connect_lazy()), read }
}

/// Reads up to the error that ends the stream.
async fn read(reader: Reader) -> (Vec<i32>, RetryError<CallError>) {
    let mut statuses = pin!(grpc_stream::watch(&reader.client, "shop", POLICY));
    let mut seen = Vec::new();
    loop {
        match statuses.next().await.expect("it ends with an error") {
            Ok(answer) => {
                seen.push(answer.status);
                reader.read.send_replace(answer.status);
            }
            Err(error) => {
                assert!(statuses.next().await.is_none());
                return (seen, error);
            }
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_through_every_kind_of_break() {
    let unavailable = Status::unavailable("restarting");
    let client = client(vec![
        (0, End::Refuse(unavailable.clone())),
        (2, End::Fail(unavailable)),
        (1, End::Close),
        (1, End::Reset),
        (0, End::Reset),
        (0, End::Done),
        (2, End::Done),
        (1, End::Fail(Status::permission_denied("the token has expired"))),
    ])
    .await;
    let (seen, error) = read(client).await;
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    assert_eq!(error.error().0.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_stream_that_only_fails_gives_up() {
    let client =
        client(vec![(1, End::Done), (0, End::Done), (0, End::Reset), (0, End::Close)]).await;
    let (seen, error) = read(client).await;
    assert_eq!(seen, [1]);
    assert_eq!((error.attempts(), error.reason()), (4, StopReason::AttemptsExhausted));
}

#[tokio::test]
async fn an_unknown_status_of_the_server_is_not_retried() {
    let (seen, error) = read(client(vec![(1, End::Fail(Status::unknown("a bug")))]).await).await;
    assert_eq!(seen, [1]);
    assert_eq!((error.error().0.code(), error.attempts()), (Code::Unknown, 1));
}

#[tokio::test]
async fn a_call_whose_connection_is_lost_is_transient() {
    for end in [End::Close, End::Reset] {
        let mut reader = client(vec![(0, end)]).await;
        let request = HealthCheckRequest { service: "shop".into() };
        let error =
            CallError(reader.client.check(request).await.expect_err("the connection is lost"));
        assert!(error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn the_stream_can_be_read_in_a_spawned_task() {
    let client = client(vec![(1, End::Reset)]).await;
    let (seen, error) = tokio::spawn(read(client)).await.expect("it does not panic");
    assert_eq!((seen, error.error().0.code()), (vec![1], Code::NotFound));
}
