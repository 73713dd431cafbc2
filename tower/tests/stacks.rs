//! The layer between tower's other layers, and in the stacks of kube and tonic.

mod common;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use bytes::Bytes;
use common::{Outcome, ScriptError, Scripted, copy, ms, secs};
use http::{Request, Response};
use http_body_util::Full;
use retry_ext::{RetryPolicy, RetryStats, StopReason, Verdict};
use retry_ext_tower::{RetryLayer, verdict};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::buffer::BufferLayer;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};

const POLICY: RetryPolicy = RetryPolicy::new();

fn judge<T>(outcome: &Result<T, BoxError>) -> Verdict {
    match outcome {
        Ok(_) => Verdict::Success,
        Err(error) => verdict::boxed_as::<ScriptError>(error),
    }
}

/// Makes a service with room for one request, and returns it with its permits. A request takes half a second.
macro_rules! one_at_a_time {
    ($retry:expr) => {{
        let permits = Arc::new(Semaphore::new(1));
        let service = ServiceBuilder::new()
            .layer($retry)
            .load_shed()
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&permits)))
            .service_fn(async |request: u32| {
                sleep(ms(500)).await;
                Ok::<_, BoxError>(request)
            });
        (service, permits)
    }};
}

/// Makes two requests at once. Returns the second response, its time, and the free permits during its wait.
macro_rules! two_at_once {
    ($service:expr, $permits:expr) => {{
        let (mut first, mut second) = ($service.clone(), $service);
        let started = Instant::now();
        let first = tokio::spawn(first.ready().await.unwrap().call(1));
        tokio::task::yield_now().await;
        let second = second.ready().await.unwrap().call(2);
        let permits = Arc::clone(&$permits);
        let free = tokio::spawn(async move {
            sleep(ms(750)).await;
            permits.available_permits()
        });
        let second = second.await;
        let elapsed = started.elapsed();
        assert_eq!(first.await.unwrap().unwrap(), 1);
        (second, elapsed, free.await.unwrap())
    }};
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_shed_succeeds_one_delay_later_and_holds_nothing_while_it_waits() {
    let retry = RetryLayer::new(POLICY).classify(judge).clone_requests(copy);
    let (service, permits) = one_at_a_time!(retry);
    let (response, elapsed, free) = two_at_once!(service, permits);
    assert_eq!(response.unwrap(), 2);
    assert_eq!(elapsed, secs(1) + ms(500));
    assert_eq!(free, 1, "the first request ended after 500 ms");
}

#[tokio::test(start_paused = true)]
async fn in_towers_own_retry_the_instance_of_the_caller_gets_the_permit() {
    let retry = RetryLayer::new(POLICY).classify(judge).clone_requests(copy).into_policy();
    let (service, permits) = one_at_a_time!(tower::retry::RetryLayer::new(retry));
    let (response, elapsed, free) = two_at_once!(service, permits);
    assert!(response.unwrap_err().is::<Overloaded>());
    assert_eq!((elapsed, free), (secs(1 + 2), 0));
}

#[tokio::test(start_paused = true)]
async fn no_permit_is_held_while_a_failed_request_waits() {
    let permits = Arc::new(Semaphore::new(1));
    let mut service = ServiceBuilder::new()
        .layer(RetryLayer::new(POLICY).clone_requests(copy))
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&permits)))
        .service_fn(async |_request: u32| {
            sleep(ms(500)).await;
            Err::<(), _>(ScriptError::Transient(1))
        });
    let started = Instant::now();
    let response = tokio::spawn(service.ready().await.unwrap().call(1));
    let mut free = Vec::new();
    // Attempts run at 0, 1.5 and 4 s.
    for millis in [250, 1000, 1750, 3000, 4250] {
        tokio::time::sleep_until(started + ms(millis)).await;
        free.push(permits.available_permits());
    }
    assert_eq!(free, [0, 1, 0, 1, 0]);
    assert_eq!(response.await.unwrap(), Err(ScriptError::Transient(1)));
    assert_eq!(permits.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_in_a_queue_for_a_permit_is_bounded_by_a_timeout_and_not_by_the_deadline() {
    let permits = Arc::new(Semaphore::new(1));
    let failures = Arc::new(AtomicU32::new(0));
    let retry = RetryLayer::new(RetryPolicy::within(secs(5))).classify(judge).clone_requests(copy);
    let service = ServiceBuilder::new()
        .layer(retry)
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&permits)))
        .service_fn(move |request: u32| {
            let is_first = failures.fetch_add(1, Ordering::Relaxed) % 2 == 0;
            ready(if is_first {
                Err::<u32, BoxError>(ScriptError::Transient(1).into())
            } else {
                Ok(request)
            })
        });
    for (limit, seconds) in [(secs(60), 20), (secs(7), 7)] {
        let request = ServiceBuilder::new().timeout(limit).service(service.clone()).oneshot(1);
        let started = Instant::now();
        let request = tokio::spawn(request);
        sleep(ms(500)).await;
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep_until(started + secs(20)).await;
            drop(permit);
        });
        let response = request.await.unwrap();
        assert_eq!((response.is_ok(), started.elapsed().as_secs()), (seconds == 20, seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_below_the_layer_limits_each_attempt() {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let mut service = ServiceBuilder::new()
        .layer(RetryLayer::new(POLICY).classify(judge).clone_requests(copy))
        .timeout(secs(2))
        .service_fn(move |request: u32| {
            let is_slow = counter.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                sleep(if is_slow { secs(99) } else { ms(10) }).await;
                Ok::<_, Infallible>(request)
            }
        });
    let started = Instant::now();
    assert_eq!(service.ready().await.unwrap().call(5).await.unwrap(), 5);
    assert_eq!((started.elapsed(), calls.load(Ordering::Relaxed)), (secs(2 + 1) + ms(10), 2));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_the_layer_limits_all_of_it_and_drops_the_rest() {
    let service = Scripted::new([Err(ScriptError::Transient(1))]);
    let watch = service.watch();
    let mut service = ServiceBuilder::new()
        .timeout(ms(2500))
        .layer(RetryLayer::new(RetryPolicy::forever()).clone_requests(copy))
        .service(service);
    let started = Instant::now();
    let error = service.ready().await.unwrap().call(5).await.unwrap_err();
    assert!(error.is::<Elapsed>());
    assert_eq!(started.elapsed(), ms(2500));
    sleep(secs(99)).await;
    assert_eq!(watch.calls().len(), 2, "at 0 and 1 s; not at 3 s");
}

#[tokio::test(start_paused = true)]
async fn a_buffer_below_the_layer_serves_what_is_not_clone() {
    /// As `Scripted`, but not `Clone`.
    struct Single(Scripted);

    impl Service<u32> for Single {
        type Response = u32;
        type Error = ScriptError;
        type Future = <Scripted as Service<u32>>::Future;

        fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), ScriptError>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, request: u32) -> Self::Future {
            self.0.call(request)
        }
    }

    let script = [Err(ScriptError::Transient(1)), Err(ScriptError::Transient(2)), Ok(7)];
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(POLICY).classify(judge).clone_requests(copy))
        .buffer(8)
        .service(Single(Scripted::new(script)));
    let started = Instant::now();
    assert_eq!(service.oneshot(5).await.unwrap(), 7);
    assert_eq!(started.elapsed(), secs(1 + 2));
}

#[tokio::test(start_paused = true)]
async fn a_buffer_above_the_layer_runs_requests_beside_a_wait() {
    let script: [Outcome; 3] = [Err(ScriptError::Transient(1)), Ok(7), Ok(8)];
    let service = ServiceBuilder::new()
        .buffer(8)
        .layer(RetryLayer::new(POLICY).clone_requests(copy))
        .service(Scripted::new(script));
    let started = Instant::now();
    let first = tokio::spawn(service.clone().oneshot(5));
    tokio::task::yield_now().await;
    let second = service.oneshot(6).await.unwrap();
    assert_eq!((second, started.elapsed()), (7, secs(0)));
    assert_eq!((first.await.unwrap().unwrap(), started.elapsed()), (8, secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_buffer_whose_service_has_failed_ends_the_retry() {
    let readiness = [Poll::Ready(Ok(())), Poll::Ready(Err(ScriptError::Transient(99)))];
    let service = Scripted::new([Err(ScriptError::Transient(1))]).with_readiness(readiness);
    let watch = service.watch();
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(RetryPolicy::forever()).classify(judge).clone_requests(copy))
        .buffer(8)
        .service(service);
    let error = service.oneshot(5).await.unwrap_err();
    assert!(error.is::<tower::buffer::error::ServiceError>(), "{error:?}");
    assert_eq!(watch.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_can_be_boxed() {
    let service = ServiceBuilder::new()
        .layer(BoxCloneSyncService::<u32, u32, BoxError>::layer())
        .layer(RetryLayer::new(POLICY).classify(judge).clone_requests(copy))
        .map_err(BoxError::from)
        .service(Scripted::new([Err(ScriptError::Transient(1)), Ok(7)]));
    let service: BoxCloneSyncService<u32, u32, BoxError> = service;
    assert_eq!(service.oneshot(5).await.unwrap(), 7);
}

/// The bounds of `Body`, `ClientBuilder` and `Client` in `kube::client`, version 2.
mod kube {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body::Frame;
    use http_body_util::BodyExt;
    use http_body_util::combinators::UnsyncBoxBody;
    use tower::buffer::Buffer;
    use tower::util::{BoxService, MapResponse};
    use tower::{BoxError, Layer, Service, ServiceExt};

    type DynBody = UnsyncBoxBody<Bytes, BoxError>;

    /// Neither `Clone` nor `Sync`.
    pub(super) struct Body {
        bytes: Option<Bytes>,
        _stream: Option<DynBody>,
    }

    impl Body {
        pub(super) fn from(bytes: &'static str) -> Self {
            Self { bytes: Some(Bytes::from(bytes)), _stream: None }
        }

        pub(super) fn try_clone(&self) -> Option<Self> {
            self.bytes.clone().map(|bytes| Self { bytes: Some(bytes), _stream: None })
        }
    }

    impl http_body::Body for Body {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    pub(super) struct ClientBuilder<S>(S);

    impl<S> ClientBuilder<S> {
        pub(super) fn new(service: S) -> Self
        where
            S: Service<Request<Body>>,
        {
            Self(service)
        }

        pub(super) fn with_layer<L: Layer<S>>(self, layer: &L) -> ClientBuilder<L::Service> {
            ClientBuilder(layer.layer(self.0))
        }

        pub(super) fn build<B>(self) -> Client
        where
            S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
            S::Future: Send + 'static,
            S::Error: Into<BoxError>,
            B: http_body::Body<Data = Bytes> + Send + 'static,
            B::Error: Into<BoxError>,
        {
            let wrap = |response: Response<B>| {
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            };
            let service = BoxService::new(MapResponse::new(self.0, wrap).map_err(Into::into));
            Client { inner: Buffer::new(service, 1024) }
        }
    }

    type Inner = BoxService<Request<Body>, Response<DynBody>, BoxError>;

    #[derive(Clone)]
    pub(super) struct Client {
        inner: Buffer<Request<Body>, <Inner as Service<Request<Body>>>::Future>,
    }

    impl Client {
        pub(super) async fn send(
            &self,
            request: Request<Body>,
        ) -> Result<Response<DynBody>, BoxError> {
            self.inner.clone().oneshot(request).await
        }
    }
}

/// kube's stack: the layer is between `Client` and a service whose clones share the pool of hyper.
#[tokio::test(start_paused = true)]
async fn kube_takes_the_layer() {
    fn try_clone(request: &Request<kube::Body>) -> Option<Request<kube::Body>> {
        let mut copy = Request::new(request.body().try_clone()?);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        request.method().is_idempotent().then_some(copy)
    }
    async fn api_server(
        calls: Arc<AtomicU32>,
        request: Request<kube::Body>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.expect("bytes").to_bytes();
        let status = if calls.fetch_add(1, Ordering::Relaxed) == 0 { 429 } else { 200 };
        let response = Response::builder().status(status).header("retry-after", "7");
        Ok(response.body(Full::new(body)).expect("a response"))
    }
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let retry =
        RetryLayer::new(POLICY).classify(verdict::http(verdict::boxed)).clone_requests(try_clone);
    let service = ServiceBuilder::new()
        .layer(retry.clone())
        .map_err(BoxError::from)
        .service_fn(move |request| api_server(Arc::clone(&counter), request));
    let client = kube::ClientBuilder::new(service.clone()).build();
    let started = Instant::now();
    let request =
        |method| Request::builder().method(method).body(kube::Body::from("a pod")).unwrap();
    assert_eq!(client.send(request("PUT")).await.unwrap().status(), 200);
    assert_eq!((started.elapsed(), calls.swap(0, Ordering::Relaxed)), (secs(7), 2));
    assert_eq!(client.send(request("POST")).await.unwrap().status(), 429);
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1);

    // A buffer makes a boxed stack `Clone`, such as the stack of `ClientBuilder::try_from(config)`.
    let counter = Arc::clone(&calls);
    let boxed = tower::service_fn(move |request| api_server(Arc::clone(&counter), request))
        .map_err(BoxError::from)
        .boxed();
    let client = kube::ClientBuilder::new(boxed)
        .with_layer(&BufferLayer::new(1024))
        .with_layer(&retry)
        .build();
    assert_eq!(client.send(request("GET")).await.unwrap().status(), 200);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// tonic's stack: a generated client over the layer over a channel. tonic's bodies are streams, so the requests have no copy.
#[tokio::test]
async fn tonic_takes_the_layer() {
    fn assert_send<T: Send + 'static>(value: T) -> T {
        value
    }
    type Body = tonic::body::Body;
    let stats = Arc::new(RetryStats::new());
    // Port 1 (tcpmux) has no server.
    let channel: Channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let service = ServiceBuilder::new()
        .layer(
            RetryLayer::new(POLICY)
                .classify(|outcome: &Result<Response<Body>, tonic::transport::Error>| match outcome
                {
                    Ok(response) => match response.headers().get("grpc-status") {
                        Some(code) if code == "14" => Verdict::Transient,
                        _ => verdict::status(response.status(), response.headers()),
                    },
                    Err(error) => verdict::sources(error),
                })
                .observe(Arc::clone(&stats))
                .clone_requests(|_request: &Request<Body>| None),
        )
        .service(channel);
    let mut client = HealthClient::new(service);
    let request = HealthCheckRequest { service: String::new() };
    let call = assert_send(async move { client.check(request).await });
    let error = tokio::spawn(call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable);
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.calls, snapshot.gave_up(StopReason::AttemptsExhausted)), (1, 1));
}

/// Stores a layer in a field, in a struct that names the layer's type.
#[test]
fn a_layer_can_be_stored() {
    use retry_ext::chain::{ByError, Hooks};
    use retry_ext_tower::RetryService;
    use retry_ext_tower::chain::{Copies, Settings};

    type ByType = Hooks<ByError<fn(&BoxError) -> bool>>;
    type Retried<S> = RetryService<S, Settings<ByType, Copies<fn(&u32) -> Option<u32>>>>;

    struct Client {
        service: Retried<Scripted>,
    }

    let layer = RetryLayer::new(POLICY)
        .retry_if((|error| error.is::<Overloaded>()) as fn(&BoxError) -> bool)
        .clone_requests(copy as fn(&u32) -> Option<u32>);
    let client = Client { service: layer.layer(Scripted::new([Ok(7)])) };
    assert_eq!(client.service.get_ref().watch().calls().len(), 0);
}
