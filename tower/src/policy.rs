//! The policy for tower's own retry.

use tower::retry::Policy;

use crate::settings::{Decide, PerOperation};
use crate::sleep::Pause;

/// A policy for tower's own [`Retry`](tower::retry::Retry); made by [`RetryLayer::into_policy`](crate::RetryLayer::into_policy).
///
/// Use this policy if a stack already has a `tower::retry::RetryLayer`. Otherwise prefer
/// [`RetryLayer`](crate::RetryLayer):
///
/// | | `RetryLayer` | `PerRequest` in tower's retry |
/// |---|---|---|
/// | the next attempt is made by | a fresh clone, which holds nothing while it waits | a clone that is made with the first attempt |
/// | the instance that was polled | makes the first attempt, and is dropped | stays with the caller, and keeps its place in a queue |
/// | load shedding over a concurrency limit | a request that was shed succeeds after a delay | the request is shed again: the caller's instance gets the permit |
/// | a request without a copy | sent once; its outcome is reported | sent once; tower does not pass its outcome to the policy |
/// | the last attempt that the policy allows | needs no copy | needs a copy |
///
/// A clone of a `PerRequest` starts a new operation: tower clones the policy for each request. Each request has all
/// attempts, and its deadline counts from the clone.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use retry_ext::RetryPolicy;
/// use retry_ext_tower::RetryLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Error> {
/// static CALLS: AtomicU32 = AtomicU32::new(0);
///
/// let policy = RetryLayer::new(RetryPolicy::new()).clone_requests(|name: &&str| Some(*name)).into_policy();
/// let mut service = ServiceBuilder::new()
///     .layer(tower::retry::RetryLayer::new(policy))
///     .service_fn(async |name: &str| match CALLS.fetch_add(1, Ordering::Relaxed) {
///         0 => Err(Error::from(ErrorKind::ConnectionReset)),
///         _ => Ok(format!("hello {name}")),
///     });
/// assert_eq!(service.ready().await?.call("tower").await?, "hello tower");
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a policy does nothing unless it is given to `tower::retry`"]
pub struct PerRequest<X> {
    settings: X,
}

impl<X> PerRequest<X> {
    pub(crate) const fn new(settings: X) -> Self {
        Self { settings }
    }
}

/// A clone starts a new operation.
impl<X: PerOperation> Clone for PerRequest<X> {
    fn clone(&self) -> Self {
        Self::new(self.settings.started())
    }
}

impl<Req, T, E, X> Policy<Req, T, E> for PerRequest<X>
where
    X: Decide<Req, T, E>,
{
    type Future = Pause<X::Wait>;

    fn retry(&mut self, _request: &mut Req, outcome: &mut Result<T, E>) -> Option<Pause<X::Wait>> {
        let delay = self.settings.delay_after(outcome)?;
        Some(self.settings.pause(delay))
    }

    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        self.settings.copy(request)
    }
}
