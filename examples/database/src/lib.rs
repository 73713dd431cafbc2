//! Retries around two databases: error types with their transient codes, and a PostgreSQL cluster to try them on.
//!
//! Two rules hold for both databases:
//!
//! * An attempt is the *whole* transaction, from `begin` to `commit`. After a failure it is rolled back, and the data
//!   that it has read is out of date.
//! * If the answer to a `commit` is lost, the transaction may have been committed. Retry only transactions that do no
//!   harm if they are repeated.

#![forbid(unsafe_code)]

mod cluster;

use std::iter;

use retry_ext::IsTransient;
use retry_ext::codes::{is_transient_sqlite_code, is_transient_sqlstate, transient_io_within};

pub use cluster::{Cluster, ClusterError, reserve_port};

/// An error of SQLite.
///
/// The error is transient by its [code](is_transient_sqlite_code): if another connection holds a lock on the file, or
/// on a table in a shared cache.
///
/// ```
/// use database_example::SqliteError;
/// use retry_ext::IsTransient;
/// use rusqlite::{Error, ffi};
///
/// let locked = SqliteError(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
/// assert!(locked.is_transient());
/// assert!(!SqliteError(Error::QueryReturnedNoRows).is_transient());
/// ```
#[derive(Debug, thiserror::Error, IsTransient)]
#[error(transparent)]
#[transient(if = _0.sqlite_error().is_some_and(|e| is_transient_sqlite_code(e.extended_code)))]
pub struct SqliteError(#[from] pub rusqlite::Error);

/// An error of PostgreSQL, or of the connection to it.
///
/// A server's answer is transient by its [SQLSTATE](is_transient_sqlstate). Without an answer, the error is transient
/// if the connection was closed, or by its [I/O error](transient_io_within). Each attempt must therefore make a new
/// connection.
///
/// Over a Unix socket, the error of a server that is not up yet is `NotFound`. It is permanent, because a wrong path
/// gives the same error.
#[derive(Debug, thiserror::Error, IsTransient)]
#[error(transparent)]
#[transient(if = match _0.code() {
    Some(code) => is_transient_sqlstate(code.code()),
    None => _0.is_closed() || transient_io_within(_0),
})]
pub struct PostgresError(#[from] pub postgres::Error);

/// Returns the error and its causes in one line.
///
/// ```
/// use database_example::{PostgresError, report};
///
/// let error = "port=eighty".parse::<postgres::Config>().map_err(PostgresError).unwrap_err();
/// assert_eq!(report(&error), "invalid connection string: invalid value for option `port`");
/// ```
#[must_use]
pub fn report(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns the error itself and its causes.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    iter::successors(Some(error), |error| error.source())
}
