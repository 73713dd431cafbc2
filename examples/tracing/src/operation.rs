//! A span for an operation that is a loop.

use std::io;
use std::time::Duration;

use retry_ext::{RetryError, RetryPolicy, retry_with};
use tracing::instrument;

const POLICY: RetryPolicy =
    RetryPolicy::new().with_name("load").with_initial_delay(Duration::from_millis(10));

/// Reads the file. The span holds all attempts and waits, and is there with the default filter.
///
/// # Errors
///
/// If the last attempt failed.
#[retry_with(POLICY)]
#[instrument(skip_all)]
pub fn load(
    read: &mut impl FnMut() -> io::Result<String>,
) -> Result<String, RetryError<io::Error>> {
    read()
}
