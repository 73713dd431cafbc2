//! Retries around two databases: errors that say which of them may pass, and a PostgreSQL cluster
//! of one's own to try it on.
//!
//! Two rules hold for both. The attempt is the *whole* transaction, from `begin` to `commit`: what
//! failed is rolled back, and what it had read is no longer true. And where the answer to a `commit`
//! is lost, the work may have been done: write so that doing it twice does no harm.

#![forbid(unsafe_code)]

mod cluster;

use std::{io, iter};

use postgres::error::SqlState;
use retry_ext::IsTransient;
use rusqlite::ErrorCode;

pub use cluster::{Cluster, ClusterError};

/// An error of SQLite.
///
/// A lock that another connection holds is transient, be it on the file (`SQLITE_BUSY`) or on a
/// table (`SQLITE_LOCKED`, with a shared cache); all else is permanent. Source: "Result and Error
/// Codes", <https://www.sqlite.org/rescode.html>.
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
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SqliteError(#[from] pub rusqlite::Error);

impl IsTransient for SqliteError {
    fn is_transient(&self) -> bool {
        let code = self.0.sqlite_error_code();
        matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
}

/// An error of PostgreSQL, or of the way to it.
///
/// Where the server has answered, [its code decides](is_transient_code). Where it has not, the I/O
/// error behind it does, by its own kind: refused and reset connections and timeouts are transient.
/// A connection that was closed is so too, if the attempt makes its own connection.
///
/// Over a Unix socket a server that is not up yet is `NotFound`, and so permanent: a wrong path looks
/// the same.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PostgresError(#[from] pub postgres::Error);

impl IsTransient for PostgresError {
    fn is_transient(&self) -> bool {
        if let Some(code) = self.0.code() {
            return is_transient_code(code);
        }
        let mut io = chain(&self.0).filter_map(|cause| cause.downcast_ref::<io::Error>());
        self.0.is_closed() || io.any(IsTransient::is_transient)
    }
}

/// Which answers of a PostgreSQL server may be other ones a little later.
///
/// | SQLSTATE | name | because |
/// |---|---|---|
/// | class 08 | connection exception | the connection broke |
/// | class 53 | insufficient resources | too many connections, no memory, disk full |
/// | 57P01 | `admin_shutdown` | the server is being restarted |
/// | 57P02 | `crash_shutdown` | the server is recovering from a crash |
/// | 57P03 | `cannot_connect_now` | the server is starting up or shutting down |
/// | 40001 | `serialization_failure` | another transaction came first |
/// | 40P01 | `deadlock_detected` | another transaction was let through |
///
/// Everything else is permanent: a wrong password, an unknown database, a syntax error. Source:
/// PostgreSQL documentation, Appendix A, "PostgreSQL Error Codes",
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
///
/// ```
/// use database_example::is_transient_code;
/// use postgres::error::SqlState;
///
/// for code in ["08006", "53300", "57P01", "57P02", "57P03", "40001", "40P01"] {
///     assert!(is_transient_code(&SqlState::from_code(code)), "{code}");
/// }
/// for code in ["28P01", "3D000", "42601", "23505", "57014", "40002"] {
///     assert!(!is_transient_code(&SqlState::from_code(code)), "{code}");
/// }
/// ```
#[must_use]
pub fn is_transient_code(code: &SqlState) -> bool {
    matches!(code.code().get(..2), Some("08" | "53"))
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
}

/// The error and its causes in one line.
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

/// The error itself and its causes.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    iter::successors(Some(error), |error| error.source())
}
