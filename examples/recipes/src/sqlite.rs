//! The recipe for rusqlite.

use retry_ext::IsTransient;
use retry_ext::codes::is_transient_sqlite_code;

/// An error of SQLite.
#[derive(Debug, thiserror::Error, IsTransient)]
#[error(transparent)]
#[transient(if = _0.sqlite_error().is_some_and(|error| is_transient_sqlite_code(error.extended_code)))]
pub struct SqliteError(#[from] pub rusqlite::Error);
