//! The service.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use tower::Service;

use crate::future::ResponseFuture;
use crate::settings::Decide;

/// A service that repeats requests; made by [`RetryLayer`](crate::RetryLayer).
///
/// The service around which it is must be [`Clone`], as clients are. Put a `tower::buffer::Buffer` around one that is not.
///
/// * The first attempt is made by the instance that [`poll_ready`](Service::poll_ready) was called on. A clone takes its
///   place for the next request.
/// * Before each wait, the instance is replaced by a clone. A place in a queue that it still holds is given up, so
///   nothing is reserved during the wait.
/// * Before each further attempt, `poll_ready` is called. If it fails, its error is returned, in the place of the outcome
///   of the last attempt. The give-up is reported as [`Cancelled`](retry_ext::StopReason::Cancelled).
/// * The deadline of the policy bounds delays. It bounds neither a running attempt nor the time until a service is ready, in
///   a queue for a permit for example. A `timeout` above the layer bounds all of it.
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

    /// Returns the service that is called.
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

    /// Returns the service that is called, for changes.
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

    /// Returns the service that is called, and drops the settings.
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
