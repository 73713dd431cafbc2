//! `reqwest` 0.13.

use ::reqwest::{Error, Response};

use crate::codes::{any_within, is_transient_http_status};
use crate::http::{CheckStatus, HttpError, StatusError};
use crate::sealed::Sealed;
use crate::transient::IsTransient;

/// Classifies the error by its status, if it has one ([`is_transient_http_status`]). Otherwise these are transient:
/// timeouts, connections that were refused, reset or closed, and answers or bodies that ended early.
///
/// Permanent are: requests that cannot be built, redirects that do not end, failed upgrades, unknown hosts,
/// answers that are not HTTP, and errors of HTTP/2 or HTTP/3 streams on a connection that goes on.
///
/// In a browser, every failed `fetch` is transient, and so is a body that ended early. The browser does not report
/// causes, so this holds for unknown hosts too, and for calls that the browser refuses, for example by CORS.
///
/// `Response::error_for_status` drops the hint of the server; use [`check_status`](CheckStatus::check_status).
impl IsTransient for Error {
    fn is_transient(&self) -> bool {
        if let Some(status) = self.status() {
            return is_transient_http_status(status.as_u16());
        }
        // `is_connect` holds for an unknown host too, and `is_request` for almost everything.
        let permanent = self.is_builder() || self.is_redirect() || self.is_upgrade();
        !permanent && (self.is_timeout() || any_within(self, &is_transient_cause))
    }
}

fn is_transient_cause(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return error.is_transient();
    }
    // The condition is that of reqwest: elsewhere it calls the browser's `fetch`.
    #[cfg(not(all(target_arch = "wasm32", any(target_os = "unknown", target_os = "none"))))]
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    }
    // A promise that the browser rejected: of `fetch`, or of a body. reqwest keeps its text only.
    cfg!(all(target_arch = "wasm32", any(target_os = "unknown", target_os = "none")))
        && cause.to_string().starts_with("JsValue(")
}

impl Sealed for Response {}

impl CheckStatus for Response {
    fn check_status(self) -> Result<Self, StatusError> {
        StatusError::check(self.status(), self.headers()).map(|()| self)
    }
}

impl From<Error> for HttpError<Error> {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}
