//! The service.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use tower::Service;

use crate::future::ResponseFuture;
use crate::settings::Decide;

/// A service that repeats requests; made by [`RetryLayer`](crate::RetryLayer).
///
/// The inner service must be [`Clone`], as clients are. Wrap any other service in a `tower::buffer::Buffer`.
///
/// * The first attempt is made by the instance that [`poll_ready`](Service::poll_ready) was called on. A clone takes its
///   place for the next request.
/// * Before each wait, a clone replaces the instance. The instance gives up a place that it holds in a queue, so
///   nothing is reserved during the wait.
/// * Before each further attempt, `poll_ready` is called. If `poll_ready` fails, its error is returned instead of
///   the outcome of the last attempt. The give-up is reported as [`Cancelled`](retry_ext::StopReason::Cancelled).
/// * The deadline of the policy bounds delays. It bounds neither a running attempt nor the time until a service is
///   ready, for example in a queue for a permit. Add a `timeout` above the layer to bound the whole request.
///
/// ```
/// use retry_ext::RetryPolicy;
/// use retry_ext_tower::RetryLayer;
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), std::io::Error> {
/// let layer = RetryLayer::new(RetryPolicy::new()).clone_requests(|name: &&str| Some(*name));
/// let mut service = layer.layer(service_fn(async |name| Ok::<_, std::io::Error>(format!("hello {name}"))));
/// assert_eq!(service.ready().await?.call("tower").await?, "hello tower");
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "services do nothing unless called"]
pub struct RetryService<S, X> {
    service: S,
    settings: X,
}

impl<S, X> RetryService<S, X> {
    pub(crate) const fn new(service: S, settings: X) -> Self {
        Self { service, settings }
    }

    /// Returns the inner service.
    ///
    /// ```
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    /// use tower::Layer;
    ///
    /// let service = RetryLayer::new(RetryPolicy::new()).clone_requests(|_: &()| None).layer("a service");
    /// assert_eq!(*service.get_ref(), "a service");
    /// ```
    pub const fn get_ref(&self) -> &S {
        &self.service
    }

    /// Returns the inner service for changes.
    ///
    /// ```
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    /// use tower::Layer;
    ///
    /// let mut service = RetryLayer::new(RetryPolicy::new()).clone_requests(|_: &()| None).layer("a service");
    /// *service.get_mut() = "another one";
    /// assert_eq!(*service.get_ref(), "another one");
    /// ```
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// Returns the inner service, and drops the settings.
    ///
    /// ```
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    /// use tower::Layer;
    ///
    /// let service = RetryLayer::new(RetryPolicy::new()).clone_requests(|_: &()| None).layer("a service");
    /// assert_eq!(service.into_inner(), "a service");
    /// ```
    pub fn into_inner(self) -> S {
        self.service
    }
}

impl<S, X, Req> Service<Req> for RetryService<S, X>
where
    S: Service<Req> + Clone,
    X: Decide<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, X, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let clone = self.service.clone();
        let ready = mem::replace(&mut self.service, clone);
        ResponseFuture::new(ready, self.settings.started(), request)
    }
}

impl<S: fmt::Debug, X: fmt::Debug> fmt::Debug for RetryService<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService")
            .field("service", &self.service)
            .field("settings", &self.settings)
            .finish()
    }
}
