//! Tables of transient codes and parsers of server hints, for your own error types.
//!
//! Each table holds the codes that are transient for every caller. A code whose meaning depends on the operation
//! is left out; add it if you know the operation. A retry repeats the whole operation. For a database that is the
//! whole transaction.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use retry_ext::{IsTransient, codes};
//!
//! #[derive(IsTransient)] // with the feature `macros`
//! #[transient(if = codes::is_transient_http_status(*status), after = hint(retry_after.as_deref()))]
//! struct StatusError {
//!     status: u16,
//!     retry_after: Option<String>, // the header
//! }
//!
//! fn hint(header: Option<&str>) -> Option<Duration> {
//!     codes::parse_retry_after(header?, SystemTime::now())
//! }
//!
//! let busy = StatusError { status: 503, retry_after: Some("2.5".into()) };
//! assert!(busy.is_transient());
//! assert_eq!(busy.retry_after(), Some(Duration::from_millis(2_500)));
//! ```

#[cfg(feature = "std")]
use core::error::Error;
use core::time::Duration;
#[cfg(feature = "std")]
use std::io;
#[cfg(feature = "std")]
use std::time::SystemTime;

#[cfg(feature = "std")]
use crate::http_date::{nanos_since_epoch, parse_date};
#[cfg(feature = "std")]
use crate::transient::IsTransient;

/// Returns whether an HTTP status is transient: 408, 425, 429, 502 to 504, 520 to 524, and 529.
///
/// These are excluded:
///
/// * **500** is as often a bug as a passing failure. Add it if the service documents it as transient.
/// * **409** and **412** need fresh state: read again, then write again. A repeated request fails again.
/// * **423** ends when another client gives up its lock, which may take hours.
/// * **501** and **505** describe a capability that the server lacks.
///
/// A transient status does not mean that the server did nothing. After 502 or 504, the request may have been
/// carried out. Retry only idempotent requests.
///
/// ```
/// use retry_ext::codes::is_transient_http_status;
///
/// assert!(is_transient_http_status(503));
/// assert!(!is_transient_http_status(500));
///
/// // For a service that documents 500 as transient:
/// let transient = |status| status == 500 || is_transient_http_status(status);
/// assert!(transient(500) && transient(429));
/// ```
#[must_use]
pub const fn is_transient_http_status(status: u16) -> bool {
    matches!(
        status,
        408 // Request Timeout: RFC 9110, section 15.5.9
            | 425 // Too Early: RFC 8470, section 5.2
            | 429 // Too Many Requests: RFC 6585, section 4
            | 502 // Bad Gateway: RFC 9110, section 15.6.3
            | 503 // Service Unavailable: RFC 9110, section 15.6.4
            | 504 // Gateway Timeout: RFC 9110, section 15.6.5
            // Cloudflare, "Troubleshooting Cloudflare 5XX errors":
            | 520 // Web server returns an unknown error
            | 521 // Web server is down
            | 522 // Connection timed out
            | 523 // Origin is unreachable
            | 524 // A timeout occurred
            | 529 // The service is overloaded: Qualys, "SSL Labs API v3", Error Response Status Codes
    )
}

/// Returns whether a gRPC status code is transient: 14 (`UNAVAILABLE`) alone.
///
/// These are excluded:
///
/// * **8** (`RESOURCE_EXHAUSTED`) is a busy server, but also a message above the size limit or a spent quota.
/// * **10** (`ABORTED`) asks for a retry at a higher level, such as the whole read-modify-write sequence.
/// * **4** (`DEADLINE_EXCEEDED`) means that the caller's time is over.
///
/// After `UNAVAILABLE`, the server may have carried out the call. Retry only idempotent calls.
///
/// ```
/// use retry_ext::codes::is_transient_grpc_code;
///
/// assert!(is_transient_grpc_code(14));
/// assert!(!is_transient_grpc_code(8));
/// ```
#[must_use]
pub const fn is_transient_grpc_code(code: i32) -> bool {
    code == 14 // UNAVAILABLE: gRPC, "Status codes and their use in gRPC"
}

/// Returns whether an SQLSTATE is transient, by the codes of PostgreSQL.
///
/// | SQLSTATE | condition | retry |
/// |---|---|---|
/// | `40001`, `40P01` | serialization failure, deadlock | the transaction |
/// | `55P03` | lock not available (`NOWAIT`, `lock_timeout`) | the transaction |
/// | `53300`, `57P03` | too many connections, server is starting up | the connection |
/// | `57P01`, `57P02` | server is shut down by an administrator or after a crash | the connection and the transaction |
/// | `08000`, `08001`, `08003`, `08004`, `08006` | connection failed or was lost | the connection and the transaction |
///
/// **In answer to `COMMIT`, the outcome of `57P01`, `57P02` and class `08` is unknown**: the transaction may have
/// been committed. Retry it only if it is idempotent.
///
/// These are excluded:
///
/// * `08007`: the outcome is unknown by definition.
/// * `57014`: the caller cancelled the statement.
/// * `53100` and `53200`: disk or memory is full.
/// * `40002`: a deferred constraint fails again.
/// * `23505`: a duplicate key, even if a concurrent transaction made it.
///
/// ```
/// use retry_ext::codes::is_transient_sqlstate;
///
/// assert!(is_transient_sqlstate("40001"));
/// assert!(!is_transient_sqlstate("23505"));
/// ```
#[must_use]
pub const fn is_transient_sqlstate(sqlstate: &str) -> bool {
    // Every row is from PostgreSQL, appendix A, "PostgreSQL Error Codes".
    matches!(
        sqlstate.as_bytes(),
        b"40001" // serialization_failure
            | b"40P01" // deadlock_detected
            | b"55P03" // lock_not_available
            | b"53300" // too_many_connections
            | b"57P01" // admin_shutdown
            | b"57P02" // crash_shutdown
            | b"57P03" // cannot_connect_now
            | b"08000" // connection_exception
            | b"08001" // sqlclient_unable_to_establish_sqlconnection
            | b"08003" // connection_does_not_exist
            | b"08004" // sqlserver_rejected_establishment_of_sqlconnection
            | b"08006" // connection_failure
    )
}

/// Returns whether an error number of MySQL is transient.
///
/// The transient numbers are 1040, 1053, 1203, 1205, 1213 and 3572 of the server, and 2002, 2003, 2006 and 2013 of the
/// client library.
///
/// * **1205** (lock wait timeout) rolls back the statement only, unless the server runs with
///   `innodb_rollback_on_timeout`. Roll back yourself, then retry the whole transaction.
/// * **1213** (deadlock) has rolled back the transaction.
/// * **1053**, **2006** and **2013** lose the connection. In answer to `COMMIT`, the outcome is unknown.
///
/// These are excluded: 1062 (duplicate key), 1317 (the statement was killed), 2005 (unknown host).
///
/// ```
/// use retry_ext::codes::is_transient_mysql_errno;
///
/// assert!(is_transient_mysql_errno(1213));
/// assert!(!is_transient_mysql_errno(1062));
/// ```
#[must_use]
pub const fn is_transient_mysql_errno(errno: u16) -> bool {
    matches!(
        errno,
        // MySQL, "Server Error Message Reference":
        1040 // ER_CON_COUNT_ERROR
            | 1053 // ER_SERVER_SHUTDOWN
            | 1203 // ER_TOO_MANY_USER_CONNECTIONS
            | 1205 // ER_LOCK_WAIT_TIMEOUT; its rollback: MySQL manual, "InnoDB Error Handling"
            | 1213 // ER_LOCK_DEADLOCK
            | 3572 // ER_LOCK_NOWAIT
            // MySQL, "Client Error Message Reference":
            | 2002 // CR_CONNECTION_ERROR
            | 2003 // CR_CONN_HOST_ERROR
            | 2006 // CR_SERVER_GONE_ERROR
            | 2013 // CR_SERVER_LOST
    )
}

/// Returns whether a result code of SQLite is transient: `SQLITE_BUSY` (5) with all of its extended codes, and
/// `SQLITE_LOCKED_SHAREDCACHE` (262).
///
/// * `SQLITE_BUSY` within a transaction that has read is resolved only by a rollback, which frees its read lock.
///   `SQLITE_BUSY_SNAPSHOT` (517) always needs one. Retry the whole transaction.
/// * `SQLITE_LOCKED` (6) is excluded: it is a conflict within one connection, which only its caller can end.
///
/// ```
/// use retry_ext::codes::is_transient_sqlite_code;
///
/// assert!(is_transient_sqlite_code(5) && is_transient_sqlite_code(517));
/// assert!(!is_transient_sqlite_code(6));
/// ```
#[must_use]
pub const fn is_transient_sqlite_code(code: i32) -> bool {
    // SQLite, "Result and Error Codes": the low eight bits of an extended code are the primary code.
    const BUSY: i32 = 5;
    const LOCKED_SHAREDCACHE: i32 = 262;
    code > 0 && (code & 0xff == BUSY || code == LOCKED_SHAREDCACHE)
}

/// Returns whether an error, one of its sources, or an error inside an [`io::Error`] is a transient
/// [`io::Error`].
///
/// Use it for client errors whose cause lies deep in the chain, such as a connection reset three layers down.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::codes::transient_io_within;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the query failed")]
/// struct QueryError(#[source] Error);
///
/// assert!(transient_io_within(&QueryError(ErrorKind::ConnectionReset.into())));
/// assert!(!transient_io_within(&QueryError(ErrorKind::PermissionDenied.into())));
/// assert!(transient_io_within(&Error::other(QueryError(ErrorKind::TimedOut.into()))));
/// ```
#[cfg(feature = "std")]
#[must_use]
pub fn transient_io_within(error: &(dyn Error + 'static)) -> bool {
    any_within(error, &|error| {
        error.downcast_ref::<io::Error>().is_some_and(IsTransient::is_transient)
    })
}

/// Returns whether `matches` holds for an error, one of its sources, or an error inside an [`io::Error`].
#[cfg(feature = "std")]
pub(crate) fn any_within(
    error: &(dyn Error + 'static),
    matches: &dyn Fn(&(dyn Error + 'static)) -> bool,
) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches(error) {
            return true;
        }
        // The source of an `io::Error` is the source of the error inside. The error inside would be left out.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    false
}

/// Parses a `Retry-After` header: seconds, or one of the three HTTP date formats.
///
/// `now` is the time of the response. Prefer the response's `Date` header to the local clock, which may differ
/// from the server's.
///
/// | value | result |
/// |---|---|
/// | `120`, `0.493`, `.5` | that many seconds, rounded up to whole nanoseconds |
/// | a number too large for a [`Duration`] | [`Duration::MAX`], which is above every limit of hints |
/// | `Sun, 06 Nov 1994 08:49:37 GMT` | the time from `now` to the date; zero for a date in the past |
/// | `Sunday, 06-Nov-94 08:49:37 GMT` | the same, in the latest year that is at most 50 years after `now` |
/// | `Sun Nov  6 08:49:37 1994` | the same |
/// | `-5`, `+5`, `1e3`, `1m0s`, `inf`, an empty value, anything else | `None` |
///
/// Spaces and tabs around the value are ignored. Dates are case-sensitive, as in RFC 9110. The leap second
/// 23:59:60 is read as the following midnight. A date that does not exist, such as 31 February or 24:00:00, and a
/// date with the wrong weekday are `None`.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use retry_ext::codes::parse_retry_after;
///
/// let now = UNIX_EPOCH + Duration::from_secs(784_111_775); // Sun, 06 Nov 1994 08:49:35 GMT
/// assert_eq!(parse_retry_after("120", now), Some(Duration::from_secs(120)));
/// assert_eq!(parse_retry_after("0.493", now), Some(Duration::from_millis(493)));
///
/// let two_seconds = Some(Duration::from_secs(2));
/// assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), two_seconds);
/// assert_eq!(parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", now), two_seconds);
/// assert_eq!(parse_retry_after("Sun Nov  6 08:49:37 1994", now), two_seconds);
/// assert_eq!(parse_retry_after("soon", now), None);
/// ```
#[cfg(feature = "std")]
#[must_use]
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    parse_hint(value, || Some(nanos_since_epoch(now)))
}

/// Parses a value like [`parse_retry_after`]; `now` is called only for a date.
#[cfg(feature = "std")]
pub(crate) fn parse_hint(value: &str, now: impl FnOnce() -> Option<i128>) -> Option<Duration> {
    let value = trim(value);
    parse_decimal(value, 9).or_else(|| {
        let date = parse_date(value)?;
        let now = now()?;
        let nanos = date.nanos_since_epoch(|| Some(now))? - now;
        Some(from_nanos(u128::try_from(nanos).unwrap_or(0)))
    })
}

/// Returns the nanoseconds from 1970 to an HTTP date; `now` is called only for a two-digit year.
#[cfg(feature = "http")]
pub(crate) fn parse_http_date(value: &str, now: impl FnOnce() -> Option<i128>) -> Option<i128> {
    parse_date(trim(value))?.nanos_since_epoch(now)
}

/// Parses a `retry-after-ms` header, which some services send beside `Retry-After`: milliseconds.
///
/// The value has the form of a number in [`parse_retry_after`]. A date is `None`.
///
/// ```
/// use std::time::Duration;
/// use retry_ext::codes::parse_retry_after_ms;
///
/// assert_eq!(parse_retry_after_ms("250"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_retry_after_ms("0.5"), Some(Duration::from_micros(500)));
/// assert_eq!(parse_retry_after_ms("-1"), None);
/// ```
#[must_use]
pub fn parse_retry_after_ms(value: &str) -> Option<Duration> {
    parse_decimal(trim(value), 6)
}

/// Removes the whitespace that may surround a header's value (`OWS`: RFC 9110, section 5.6.3).
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// Parses digits with at most one point, in a unit of 10 to the power of `places` nanoseconds; rounds up.
fn parse_decimal(value: &str, places: usize) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
    let empty = whole.is_empty() && fraction.is_empty();
    if empty || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let (fraction, rest) = fraction.split_at(places.min(fraction.len()));
    let zeros = core::iter::repeat_n(&b'0', places - fraction.len());
    let nanos = whole.iter().chain(fraction).chain(zeros).fold(0_u128, |nanos, digit| {
        nanos.saturating_mul(10).saturating_add(u128::from(digit - b'0'))
    });
    let more = rest.iter().any(|digit| *digit != b'0');
    Some(from_nanos(nanos.saturating_add(u128::from(more))))
}

fn from_nanos(nanos: u128) -> Duration {
    const PER_SEC: u128 = 1_000_000_000;
    match (u64::try_from(nanos / PER_SEC), u32::try_from(nanos % PER_SEC)) {
        (Ok(secs), Ok(nanos)) => Duration::new(secs, nanos),
        _ => Duration::MAX,
    }
}
