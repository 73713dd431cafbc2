//! The recipe for tonic.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use retry_ext::IsTransient;
use retry_ext::codes::{is_transient_grpc_code, parse_retry_after_ms, transient_io_within};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A failed call.
#[derive(Debug, thiserror::Error, IsTransient)]
#[error(transparent)]
#[transient(if = is_transient_call(_0), after = pause(_0))]
pub struct CallError(#[from] pub Status);

/// `UNAVAILABLE` is transient; `RESOURCE_EXHAUSTED` is, if the server says when to come back.
fn is_transient_call(status: &Status) -> bool {
    let busy = status.code() == Code::ResourceExhausted && pause(status).is_some();
    let refused = status.metadata().contains_key(PUSHBACK) && pushback(status).is_none();
    let code = status.code().into();
    !refused && (busy || is_transient_grpc_code(code) || is_lost_connection(status))
}

/// Whether the connection was lost during the call. The code is then `UNKNOWN`, and h2 may hide the I/O error.
fn is_lost_connection(status: &Status) -> bool {
    let mut causes = successors(status.source(), |&cause| cause.source());
    let hidden = causes.find_map(|cause| cause.downcast_ref::<h2::Error>()?.get_io());
    hidden.is_some_and(IsTransient::is_transient) || transient_io_within(status)
}

/// The server's hint: its pushback, or the `RetryInfo` of google.rpc.
fn pause(status: &Status) -> Option<Duration> {
    pushback(status).or_else(|| status.get_details_retry_info()?.retry_delay)
}

/// gRFC A6: milliseconds; any other value forbids a retry.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

fn pushback(status: &Status) -> Option<Duration> {
    parse_retry_after_ms(status.metadata().get(PUSHBACK)?.to_str().ok()?)
}
