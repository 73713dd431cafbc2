//! The recipe for mysql.
//!
//! mysql's error has no source, so `transient_io_within` cannot find the I/O error. The recipe matches the error's variant
//! instead.

use mysql::DriverError;
use retry_ext::IsTransient;
use retry_ext::codes::is_transient_mysql_errno;

/// An error of a transaction, or of the connection.
#[derive(Debug, thiserror::Error, IsTransient)]
pub enum DbError {
    /// A statement failed or the connection was lost before `COMMIT`: nothing was committed.
    #[error(transparent)]
    #[transient(if = is_transient_error(_0))]
    Query(#[from] mysql::Error),
    /// `COMMIT` failed. If the connection was lost, the transaction may have been committed.
    #[error("cannot commit")]
    #[transient(if = matches!(_0, mysql::Error::MySqlError(error) if error.code == 1213))]
    Commit(#[source] mysql::Error),
}

fn is_transient_error(error: &mysql::Error) -> bool {
    match error {
        mysql::Error::MySqlError(error) => is_transient_mysql_errno(error.code),
        mysql::Error::IoError(error) => error.is_transient(),
        mysql::Error::DriverError(DriverError::CouldNotConnect(Some((_, _, kind)))) => {
            kind.is_transient()
        }
        mysql::Error::DriverError(error) => {
            matches!(error, DriverError::ConnectTimeout | DriverError::Timeout)
        }
        _ => false,
    }
}
