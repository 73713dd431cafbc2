//! Errors of HTTP responses and of the requests for them.

use core::time::Duration;
#[cfg(not(all(feature = "web", target_arch = "wasm32", target_os = "unknown")))]
use std::time::SystemTime;

use ::http::header::{DATE, RETRY_AFTER};
use ::http::{HeaderMap, Response, StatusCode};
use thiserror::Error;

use crate::codes::{is_transient_http_status, parse_hint, parse_http_date, parse_retry_after_ms};
#[cfg(not(all(feature = "web", target_arch = "wasm32", target_os = "unknown")))]
use crate::http_date::nanos_since_epoch;
use crate::sealed::Sealed;
#[cfg(feature = "async")]
use crate::timeout::AttemptTimedOut;
use crate::transient::IsTransient;
#[cfg(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))]
use crate::web::nanos_since_epoch as system_clock;

/// A response whose status is a client error (4xx) or a server error (5xx).
///
/// [`check_status`](CheckStatus::check_status) makes it from a response, and [`check`](Self::check) from the parts
/// of a response. It holds the status and the server's hint when to come back. It holds neither the URL nor the
/// body, which may be secret.
///
/// It is transient by [`is_transient_http_status`]. To treat other statuses as transient, add
/// [`retry_if`](crate::RetryExt::retry_if), which ignores the hint, or wrap the error in a newtype.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue, StatusCode, header};
/// use retry_ext::{IsTransient, StatusError};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
/// let error = StatusError::check(StatusCode::SERVICE_UNAVAILABLE, &headers).unwrap_err();
/// assert!(error.is_transient());
/// assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
/// assert_eq!(error.to_string(), "HTTP status 503 Service Unavailable");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("HTTP status {}{}", .status.as_str(), Reason(*.status))]
pub struct StatusError {
    status: StatusCode,
    retry_after: Option<Duration>,
}

impl StatusError {
    /// Checks the status of a response; for clients whose responses have no [`CheckStatus`].
    ///
    /// The hint is read from `retry-after-ms` if that is a number, and otherwise from `Retry-After`. A date in
    /// `Retry-After` is compared with the `Date` of the response, so that a wrong clock on either side does no
    /// harm. Without a valid `Date`, it is compared with the system's clock. In a browser
    /// (`wasm32-unknown-unknown`) that needs the feature `web`; without it, the date is ignored.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::{HeaderMap, HeaderValue, StatusCode, header};
    /// use retry_ext::StatusError;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert!(StatusError::check(StatusCode::OK, &headers).is_ok());
    ///
    /// headers.insert(header::DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
    /// headers.insert(header::RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:50:07 GMT"));
    /// let error = StatusError::check(StatusCode::TOO_MANY_REQUESTS, &headers).unwrap_err();
    /// assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    /// ```
    ///
    /// # Errors
    ///
    /// The error, if the status is from 400 to 599.
    pub fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), Self> {
        if status.is_client_error() || status.is_server_error() {
            return Err(Self { status, retry_after: hint(headers) });
        }
        Ok(())
    }

    /// Returns the status of the response.
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use retry_ext::StatusError;
    ///
    /// let error = StatusError::check(StatusCode::NOT_FOUND, &HeaderMap::new()).unwrap_err();
    /// assert_eq!(error.status(), StatusCode::NOT_FOUND);
    /// ```
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the server's hint, from `retry-after-ms` or `Retry-After`: a client should not come back sooner.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::{HeaderMap, HeaderValue, StatusCode};
    /// use retry_ext::StatusError;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("retry-after-ms", HeaderValue::from_static("250"));
    /// let error = StatusError::check(StatusCode::TOO_MANY_REQUESTS, &headers).unwrap_err();
    /// assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));
    /// ```
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Classifies the error by its status. The hint is the server's.
impl IsTransient for StatusError {
    fn is_transient(&self) -> bool {
        is_transient_http_status(self.status.as_u16())
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Shows the canonical reason after a space, if the status has one.
struct Reason(StatusCode);

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.canonical_reason() {
            Some(reason) => write!(f, " {reason}"),
            None => Ok(()),
        }
    }
}

fn hint(headers: &HeaderMap) -> Option<Duration> {
    let in_ms = headers.get("retry-after-ms").and_then(|value| value.to_str().ok());
    in_ms.and_then(parse_retry_after_ms).or_else(|| {
        let now = || {
            let date = headers.get(DATE).and_then(|value| value.to_str().ok());
            date.and_then(|date| parse_http_date(date, system_clock)).or_else(system_clock)
        };
        parse_hint(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
    })
}

/// Returns the nanoseconds since 1970. In a browser, `std` has no such clock, and reading it panics.
#[cfg(not(all(feature = "web", target_arch = "wasm32", target_os = "unknown")))]
fn system_clock() -> Option<i128> {
    let missing = cfg!(all(target_family = "wasm", target_os = "unknown"));
    (!missing).then(|| nanos_since_epoch(SystemTime::now()))
}

/// `.check_status()` on responses: the response itself, or a [`StatusError`].
///
/// It is implemented for the [`Response`] of the crate `http`, which `ureq` 3 and `hyper` 1 return, and with the
/// feature `reqwest013` for `reqwest::Response`. Other clients call [`StatusError::check`].
///
/// ```
/// use http::Response;
/// use retry_ext::CheckStatus;
///
/// let page = Response::new("page").check_status()?.into_body();
/// assert_eq!(page, "page");
///
/// let busy = Response::builder().status(503).body("come back later")?;
/// assert!(busy.check_status().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Read the body inside the closure that is retried: a connection can break in the middle of a body.
///
/// The error does not keep the body. If the body of a 4xx explains the error, call [`StatusError::check`] first,
/// read the body, and then return your own error.
pub trait CheckStatus: Sized + Sealed {
    /// Returns the response, unless its status is from 400 to 599.
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use retry_ext::CheckStatus;
    ///
    /// let gone = Response::builder().status(410).body(()).unwrap();
    /// assert_eq!(gone.check_status().unwrap_err().status(), StatusCode::GONE);
    /// ```
    ///
    /// # Errors
    ///
    /// A [`StatusError`], if the status is from 400 to 599. The response is dropped.
    fn check_status(self) -> Result<Self, StatusError>;
}

impl<B> Sealed for Response<B> {}

impl<B> CheckStatus for Response<B> {
    fn check_status(self) -> Result<Self, StatusError> {
        StatusError::check(self.status(), self.headers()).map(|()| self)
    }
}

/// The error of an HTTP call: a status, or the client's own error `E`.
///
/// `?` converts a [`StatusError`] into it, and with the features `reqwest013` and `ureq3` also those clients' errors.
/// For another client, write `.map_err(HttpError::Request)?`.
///
/// ```
/// use std::io;
/// use http::Response;
/// use retry_ext::{CheckStatus, HttpError, RetryError, RetryExt, RetryPolicy};
///
/// fn page(
///     mut send: impl FnMut() -> io::Result<Response<String>>,
/// ) -> Result<String, RetryError<HttpError<io::Error>>> {
///     (|| Ok(send().map_err(HttpError::Request)?.check_status()?.into_body()))
///         .retry_with(RetryPolicy::new())
/// }
///
/// assert_eq!(page(|| Ok(Response::new("page".into()))).unwrap(), "page");
/// ```
///
/// # Which failures are transient
///
#[doc = include_str!("../docs/http-classification.md")]
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError<E> {
    /// The server answered with an error.
    #[error(transparent)]
    Status(StatusError),
    /// There is no answer, or only a part of one.
    #[error("the request failed")]
    Request(#[source] E),
    /// An attempt was ended by its time limit.
    #[cfg(feature = "async")]
    #[error(transparent)]
    TimedOut(AttemptTimedOut),
}

/// Makes [`timeout_each`](crate::AsyncRetryExt::timeout_each_with) accept operations with this error.
#[cfg(feature = "async")]
impl<E> From<AttemptTimedOut> for HttpError<E> {
    fn from(error: AttemptTimedOut) -> Self {
        Self::TimedOut(error)
    }
}

impl<E> From<StatusError> for HttpError<E> {
    fn from(error: StatusError) -> Self {
        Self::Status(error)
    }
}

/// Classifies the error by the status, or by the client's error, and passes their hint on.
impl<E: IsTransient> IsTransient for HttpError<E> {
    fn is_transient(&self) -> bool {
        match self {
            Self::Status(error) => error.is_transient(),
            Self::Request(error) => error.is_transient(),
            #[cfg(feature = "async")]
            Self::TimedOut(error) => error.is_transient(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(error) => error.retry_after(),
            Self::Request(error) => error.retry_after(),
            #[cfg(feature = "async")]
            Self::TimedOut(error) => error.retry_after(),
        }
    }
}
