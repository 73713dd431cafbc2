//! Copies of HTTP requests.

use ::http::Request;

/// Copies a request whose method is idempotent: GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110, section 9.2.2).
/// Returns `None` for all other requests, which are then sent once. Pass this function
/// to [`clone_requests`](crate::RetryLayer::clone_requests).
///
/// If the layer is not yet around a service, the compiler may not be able to infer the body's type. Name the type then:
/// `clone_idempotent::<Full<Bytes>>`.
///
/// A POST that carries an idempotency key may be repeated as well:
///
/// ```
/// use http::Request;
/// use retry_ext::RetryPolicy;
/// use retry_ext_tower::{RetryLayer, clone_idempotent};
///
/// let layer = RetryLayer::new(RetryPolicy::new()).clone_requests(|request: &Request<String>| {
///     if request.headers().contains_key("idempotency-key") {
///         return Some(request.clone());
///     }
///     clone_idempotent(request)
/// });
/// # drop(layer);
///
/// assert!(clone_idempotent(&Request::get("/").body(()).unwrap()).is_some());
/// assert!(clone_idempotent(&Request::post("/").body(()).unwrap()).is_none());
/// ```
#[must_use]
pub fn clone_idempotent<B: Clone>(request: &Request<B>) -> Option<Request<B>> {
    request.method().is_idempotent().then(|| request.clone())
}
