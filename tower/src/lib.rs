//! Retries for [tower] services, with the policies of [`retry_ext`]: [`RetryLayer`], and [`PerRequest`] for tower's own retry.
//!
//! ```
//! use http::{Request, Response};
//! use retry_ext::{RetryPolicy, Verdict};
//! use retry_ext_tower::{RetryLayer, clone_idempotent, verdict};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # use std::sync::atomic::{AtomicBool, Ordering};
//! # static RESTARTED: AtomicBool = AtomicBool::new(false);
//! # async fn client(_request: Request<String>) -> Result<Response<String>, std::io::Error> {
//! #     let status = if RESTARTED.swap(true, Ordering::Relaxed) { 200 } else { 503 };
//! #     Ok(Response::builder().status(status).body("page".into()).unwrap())
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), std::io::Error> {
//! const POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(4).with_name("pages");
//!
//! let mut service = ServiceBuilder::new()
//!     .layer(
//!         RetryLayer::new(POLICY)
//!             .classify(verdict::http(Verdict::of)) // 503 and 429 with their `Retry-After`, a connection reset, ..
//!             .clone_requests(clone_idempotent),    // GET, PUT and DELETE, but not POST
//!     )
//!     .service_fn(client);
//!
//! let response = service.ready().await?.call(Request::new(String::new())).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```
//!
//! # What a layer cannot see
//!
//! * **The body of a response.** A layer gets a response as soon as the headers are there. If the connection breaks in the
//!   middle of the body, the response has already been returned, and nothing is retried. If your program needs complete
//!   bodies, write a closure that sends the request *and* reads the body, and call `retry_with` of
//!   `retry_ext::AsyncRetryExt` on the closure.
//! * **A request body that is a stream.** A stream cannot be copied, so such a request is sent once.
//! * **The meaning of a request.** The lost response may have been a success. Call
//!   [`clone_requests`](RetryLayer::clone_requests) to choose the requests that may be repeated; there is no default.
//! * **Other retries.** Three layers of three attempts are 27 calls. Retry in one place of a stack. Do not add this
//!   layer to a client that retries by itself, and do not retry a closure around this layer.
//!
//! # What the caller gets
//!
//! Response and error types stay as they are. When the retry gives up, it returns the last response or the last error
//! itself. The [observer](RetryLayer::observe) receives the reason. The log gets a record of the level `warn` with the
//! target `retry_ext`, as for every form of retry.
//!
//! # The place in a stack
//!
//! Layers above the retry see one request, and layers below the retry see each attempt:
//!
//! | layer | above the retry | below the retry |
//! |---|---|---|
//! | `timeout` | limits all attempts and waits together | limits each attempt; `Elapsed` is transient by [`verdict::boxed`] |
//! | `concurrency_limit` | a permit is held during the waits too | a permit is held during each attempt only |
//! | `rate_limit` | counts requests | counts attempts |
//! | `load_shed` over a limit | sheds requests | sheds attempts; `Overloaded` is transient by [`verdict::boxed`] |
//! | `buffer` | lets clones share the retry | makes a service that is not `Clone` cloneable |
//!
//! This stack allows ten requests in flight. A request that finds no room is repeated after a delay:
//!
//! ```
//! use std::time::Duration;
//! use retry_ext::{RetryPolicy, Verdict};
//! use retry_ext_tower::{RetryLayer, verdict};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let mut service = ServiceBuilder::new()
//!     .timeout(Duration::from_secs(30)) // of the request
//!     .layer(
//!         RetryLayer::new(RetryPolicy::new())
//!             .classify(|outcome: &Result<String, BoxError>| match outcome {
//!                 Ok(_) => Verdict::Success,
//!                 Err(error) => verdict::boxed(error),
//!             })
//!             .clone_requests(|name: &&str| Some(*name)),
//!     )
//!     .timeout(Duration::from_secs(5)) // of each attempt
//!     .load_shed()
//!     .concurrency_limit(10)
//!     .service_fn(async |name: &str| Ok::<_, BoxError>(format!("hello {name}")));
//! assert_eq!(service.ready().await?.call("tower").await?, "hello tower");
//! # Ok(()) }
//! ```
//!
//! # When the compiler does not find `Service`
//!
//! `the method .. exists for struct RetryService<..>, but its trait bounds were not satisfied` has one of these
//! reasons:
//!
//! * The error does not implement `IsTransient`, and neither `retry_if` nor `classify` was called.
//! * A closure takes another type than the type of the request, the response or the error.
//! * The service or a closure is not `Clone`.
//!
//! Call the trait's method by its path, and the compiler names the reason:
//!
//! ```compile_fail
//! use retry_ext::RetryPolicy;
//! use retry_ext_tower::RetryLayer;
//! use tower::{Layer, Service, service_fn};
//!
//! struct MyError; // `MyError` cannot be retried: it does not implement `IsTransient`
//!
//! let layer = RetryLayer::new(RetryPolicy::new()).clone_requests(|name: &&str| Some(*name));
//! let mut service = layer.layer(service_fn(async |_name: &str| Err::<(), _>(MyError)));
//! let response = Service::<&str>::call(&mut service, "tower");
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `http` | `verdict::http`, `verdict::status`, `clone_idempotent`; the feature `http` of `retry_ext` |
//! | `hyper1` | `verdict::boxed` knows the connections that hyper 1 closed |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod future;
mod layer;
mod policy;
#[cfg(feature = "http")]
mod request;
mod sealed;
mod service;
mod settings;
mod sleep;
pub mod verdict;

pub use layer::RetryLayer;
pub use policy::PerRequest;
#[cfg(feature = "http")]
pub use request::clone_idempotent;
pub use service::RetryService;

/// The types of layers and their futures, and the bounds on their parts.
///
/// Programs rarely need these names. They appear in compiler messages, and in the type of a service that is stored.
///
/// | letter | meaning |
/// |---|---|
/// | `S` | the service below the layer |
/// | `Req`, `T`, `E` | its request, its response and its error |
/// | `X` | the [`Settings`](chain::Settings): all settings of a layer |
/// | `H`, `K`, `W` | the parts of the settings: hooks, `clone_requests`, sleeper |
/// | `C`, `N`, `S`, `O`, `D`, `B` | the parts of the [hooks](retry_ext::chain::Hooks) |
/// | `A` | the closure of `clone_requests`; a budget |
pub mod chain {
    pub use crate::future::ResponseFuture;
    pub use crate::settings::{
        CloneRequest, CloneRequestsMissing, Copies, Decide, KnowsCopies, PerOperation, Settings,
    };
    pub use crate::sleep::{Pause, Sleeper};
}

/// The README, whose code is compiled.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
mod readme {}
