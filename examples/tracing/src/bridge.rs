//! The log as events, for programs without the feature `tracing`.

use std::error::Error;

use tracing::Subscriber;
use tracing_log::LogTracer;

/// Sends events, and the records of the log, to `subscriber`.
///
/// # Errors
///
/// If the program already has a logger or a subscriber.
pub fn install(subscriber: impl Subscriber + Send + Sync) -> Result<(), Box<dyn Error>> {
    LogTracer::init()?;
    Ok(tracing::subscriber::set_global_default(subscriber)?)
}
