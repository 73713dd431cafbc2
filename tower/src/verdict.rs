//! Verdicts on HTTP responses and on boxed errors, for [`classify`](crate::RetryLayer::classify).
//!
//! | the service returns | classifier |
//! |---|---|
//! | any response, an error that implements [`IsTransient`] | not needed |
//! | `http::Response`, an error that implements [`IsTransient`] | `verdict::http(Verdict::of)`; feature `http` |
//! | `http::Response`, a [`BoxError`] | `verdict::http(verdict::boxed)`; feature `http` |
//! | `http::Response`, any other error, such as `hyper_util`'s | `verdict::http(verdict::sources)`; feature `http` |
//! | a response with a status and headers, such as `reqwest`'s | a closure that calls `verdict::status`; feature `http` |
//! | any response, a [`BoxError`] | a closure that calls [`boxed`] for errors |
//!
//! tower's middleware converts every error into a [`BoxError`]. [`boxed`] knows the errors of tower, the standard
//! library and tokio. [`boxed_as`] looks for your own error type first, and [`find`] for any type.

use std::error::Error;
use std::io;

#[cfg(feature = "http")]
use ::http::{HeaderMap, Response, StatusCode};
#[cfg(feature = "http")]
use retry_ext::StatusError;
use retry_ext::codes::transient_io_within;
use retry_ext::{IsTransient, Verdict};
use tower::BoxError;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;

/// Returns the verdict on a boxed error, by its type or the type of one of its sources.
///
/// The verdict is [`Verdict::Transient`] for these errors, and [`Verdict::Permanent`] for all others:
///
/// | error | note |
/// |---|---|
/// | `tower::load_shed::error::Overloaded` | the request was not sent |
/// | `tower::timeout::error::Elapsed`, `tokio::time::error::Elapsed` | the request may have been carried out |
/// | [`std::io::Error`] of a transient kind | as by [`IsTransient`] for `io::Error` |
/// | `hyper::Error`: the connection was closed before the response | feature `hyper1` |
/// | `retry_ext::StatusError` with a transient status | feature `http`; with the server's hint |
///
/// A `tower::buffer::error::ServiceError` is judged by its source. A buffer whose service has failed does not recover,
/// so the attempt after it ends with the error of `poll_ready`.
///
/// A [`RetryError`](retry_ext::RetryError) is also judged by its source: do not retry around a service that retries.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::Verdict;
/// use retry_ext_tower::verdict;
/// use tower::BoxError;
///
/// let shed: BoxError = tower::load_shed::error::Overloaded::new().into();
/// assert_eq!(verdict::boxed(&shed), Verdict::Transient);
/// assert_eq!(verdict::boxed(&Error::from(ErrorKind::ConnectionReset).into()), Verdict::Transient);
/// assert_eq!(verdict::boxed(&"wrong password".into()), Verdict::Permanent);
/// ```
pub fn boxed(error: &BoxError) -> Verdict {
    of_chain(&**error)
}

/// Returns the verdict on an error that is not boxed, by its type or the type of one of its sources, as [`boxed`] does.
///
/// Use this function for third-party errors that do not implement [`IsTransient`]. Errors of hyper's clients need the
/// feature `hyper1`:
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::Verdict;
/// use retry_ext_tower::verdict;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the request failed")]
/// struct ClientError(#[from] Error);
///
/// let reset = ClientError(ErrorKind::ConnectionReset.into());
/// assert_eq!(verdict::sources(&reset), Verdict::Transient);
/// ```
pub fn sources<E: Error + 'static>(error: &E) -> Verdict {
    of_chain(error)
}

fn of_chain(error: &(dyn Error + 'static)) -> Verdict {
    #[cfg(feature = "http")]
    if let Some(error) = find_in::<StatusError>(error) {
        return Verdict::of(error);
    }
    let is_transient = find_in::<Overloaded>(error).is_some()
        || find_in::<Elapsed>(error).is_some()
        || find_in::<tokio::time::error::Elapsed>(error).is_some()
        || transient_io_within(error)
        || is_closed_by_hyper(error);
    if is_transient { Verdict::Transient } else { Verdict::Permanent }
}

#[cfg(feature = "hyper1")]
fn is_closed_by_hyper(error: &(dyn Error + 'static)) -> bool {
    find_in::<hyper::Error>(error).is_some_and(|error| {
        error.is_incomplete_message() || error.is_canceled() || error.is_closed()
    })
}

#[cfg(not(feature = "hyper1"))]
const fn is_closed_by_hyper(_error: &(dyn Error + 'static)) -> bool {
    false
}

/// Returns the verdict on a boxed error. Uses the verdict of the first error of type `E`, or else [`boxed`].
///
/// ```
/// use std::time::Duration;
/// use retry_ext::{IsTransient, Verdict};
/// use retry_ext_tower::{RetryLayer, verdict};
/// use tower::BoxError;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("too many requests")]
/// struct Limited { pause: Duration }
///
/// impl IsTransient for Limited {
///     fn is_transient(&self) -> bool {
///         true
///     }
///
///     fn retry_after(&self) -> Option<Duration> {
///         Some(self.pause)
///     }
/// }
///
/// let limited: BoxError = Limited { pause: Duration::from_secs(9) }.into();
/// assert_eq!(verdict::boxed_as::<Limited>(&limited), Verdict::TransientAfter(Duration::from_secs(9)));
///
/// let shed: BoxError = tower::load_shed::error::Overloaded::new().into();
/// assert_eq!(verdict::boxed_as::<Limited>(&shed), Verdict::Transient);
/// ```
pub fn boxed_as<E>(error: &BoxError) -> Verdict
where
    E: IsTransient + Error + 'static,
{
    find::<E>(error).map_or_else(|| boxed(error), Verdict::of)
}

/// Returns the first error of type `E`: the boxed error, one of its sources, or an error inside an [`io::Error`].
///
/// ```
/// use std::num::ParseIntError;
/// use retry_ext_tower::verdict;
/// use tower::BoxError;
///
/// let parse = "x".parse::<u8>().unwrap_err();
/// let error: BoxError = std::io::Error::other(parse).into();
/// assert!(verdict::find::<ParseIntError>(&error).is_some());
/// assert!(verdict::find::<std::fmt::Error>(&error).is_none());
/// ```
#[must_use]
pub fn find<E: Error + 'static>(error: &BoxError) -> Option<&E> {
    find_in(&**error)
}

fn find_in<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `io::Error::source` skips the error inside, so that error is visited first.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

/// Returns a classifier of HTTP responses: [`status`] for a response, and `errors` for an error.
///
/// `errors` is [`Verdict::of`] for an error that implements [`IsTransient`], [`boxed`] or [`boxed_as`] for a [`BoxError`],
/// [`sources`] for any other error, or a closure:
///
/// ```
/// use http::{Request, Response};
/// use retry_ext::{RetryPolicy, Verdict};
/// use retry_ext_tower::{RetryLayer, clone_idempotent, verdict};
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # use std::sync::atomic::{AtomicBool, Ordering};
/// # static RESTARTED: AtomicBool = AtomicBool::new(false);
/// # async fn server(_request: Request<()>) -> Result<Response<&'static str>, std::io::Error> {
/// #     let status = if RESTARTED.swap(true, Ordering::Relaxed) { 200 } else { 503 };
/// #     Ok(Response::builder().status(status).body("page").unwrap())
/// # }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), std::io::Error> {
/// let mut service = ServiceBuilder::new()
///     .layer(
///         RetryLayer::new(RetryPolicy::new())
///             .classify(verdict::http(Verdict::of))
///             .clone_requests(clone_idempotent),
///     )
///     .service_fn(server); // answers 503 first, and then 200
/// let response = service.ready().await?.call(Request::new(())).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(()) }
/// ```
#[cfg(feature = "http")]
pub fn http<B, E, J>(errors: J) -> impl Fn(&Result<Response<B>, E>) -> Verdict + Clone
where
    J: Fn(&E) -> Verdict + Clone,
{
    move |outcome| match outcome {
        Ok(response) => status(response.status(), response.headers()),
        Err(error) => errors(error),
    }
}

/// Returns the verdict on a response, from its status and headers.
///
/// | status | verdict |
/// |---|---|
/// | below 400 | [`Verdict::Success`] |
/// | [transient](retry_ext::codes::is_transient_http_status): 408, 425, 429, 502, 503, 504 and some more | transient, with the hint of `retry-after-ms` or `Retry-After` |
/// | any other 4xx or 5xx | [`Verdict::Permanent`]: the response is returned, and feeds no budget |
///
/// For responses that are not an `http::Response`:
///
/// ```
/// use retry_ext::{RetryPolicy, Verdict};
/// use retry_ext_tower::{RetryLayer, verdict};
///
/// let layer = RetryLayer::new(RetryPolicy::new())
///     .classify(|outcome: &Result<reqwest::Response, reqwest::Error>| match outcome {
///         Ok(response) => verdict::status(response.status(), response.headers()),
///         Err(error) => Verdict::of(error),
///     })
///     .clone_requests(reqwest::Request::try_clone);
/// # drop(layer);
/// ```
#[cfg(feature = "http")]
pub fn status(status: StatusCode, headers: &HeaderMap) -> Verdict {
    match StatusError::check(status, headers) {
        Ok(()) => Verdict::Success,
        Err(error) => Verdict::of(&error),
    }
}
