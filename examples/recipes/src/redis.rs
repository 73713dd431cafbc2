//! The recipe for redis.
//!
//! redis's error hides an I/O error inside an `Arc`, where `transient_io_within` cannot find it. The recipe therefore
//! uses the error's own methods. Do not use `RedisError::retry_method`: it is `Reconnect` for a wrong password.

use redis::RedisError;
use retry_ext::IsTransient;

/// An error of Redis, or of the connection.
#[derive(Debug, thiserror::Error, IsTransient)]
#[error(transparent)]
#[transient(if = is_transient_reply(_0.code()) || _0.is_timeout() || _0.is_connection_dropped())]
pub struct CacheError(#[from] pub RedisError);

/// Whether the server refused the command before it did anything, and may soon accept it.
fn is_transient_reply(code: Option<&str>) -> bool {
    matches!(
        code,
        Some("BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" | "TRYAGAIN")
    )
}
