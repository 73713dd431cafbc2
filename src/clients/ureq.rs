//! `ureq` 3.

use ::ureq::Error;

use crate::codes::{is_transient_http_status, transient_io_within};
use crate::http::HttpError;
use crate::transient::IsTransient;

/// Classifies the error by its status, if it has one ([`is_transient_http_status`]). Otherwise these are transient:
/// timeouts, connections that were refused, reset or closed, and answers or bodies that ended early.
///
/// Permanent are: requests that cannot be built, redirects that do not end, unknown hosts, answers that are not
/// HTTP, and compressed bodies that ended early.
///
/// By default, `ureq` makes an error of a status and drops the hint of the server. Set
/// `http_status_as_error(false)` in the agent's configuration, and use
/// [`check_status`](crate::CheckStatus::check_status).
impl IsTransient for Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::StatusCode(status) => is_transient_http_status(*status),
            Self::Io(error) => transient_io_within(error),
            Self::Other(error) => transient_io_within(&**error),
            Self::Timeout(_) | Self::ConnectionFailed => true,
            _ => false,
        }
    }
}

impl From<Error> for HttpError<Error> {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}
