//! The driver of a sensor, as on a microcontroller: no standard library, no allocator, and the
//! board's own timer.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use core::future::Future;
use core::time::Duration;

use retry_ext::chain::Wake;
use retry_ext::{
    AsyncRetryExt, Backoff, IsTransient, Jitter, RetryError, RetryExt, RetryPolicy, StopReason,
};

/// Five attempts within 100 ms. The seed is the board's own number, so that two boards differ.
pub const fn policy(board: u64) -> RetryPolicy {
    RetryPolicy::new()
        .with_backoff(Backoff::exponential().with_seed(board).with_jitter(Jitter::Equal))
        .with_initial_delay(Duration::from_millis(2))
        .with_max_attempts(5)
        .with_max_elapsed(Duration::from_millis(100))
        .with_name("sensor")
}

/// A failure on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IsTransient)]
pub enum BusError {
    /// The sensor did not answer.
    #[transient]
    NoAnswer,
    /// The sensor is measuring.
    #[transient(after = *ready_in)]
    Busy {
        /// The time that the measurement takes.
        ready_in: Duration,
    },
    /// There is no sensor at this address.
    #[permanent]
    NoDevice,
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bus failed")
    }
}

impl core::error::Error for BusError {}

/// Reads the sensor; the core idles meanwhile.
///
/// # Errors
///
/// Returns the last error of the bus.
pub fn read(
    policy: &RetryPolicy,
    bus: impl FnMut() -> Result<u16, BusError>,
    idle: impl FnMut(Duration),
) -> Result<u16, RetryError<BusError>> {
    bus.sleep_with(idle).retry_with(policy)
}

/// Reads the sensor in an executor, with its timer.
///
/// # Errors
///
/// Returns the last error of the bus.
pub async fn read_async<Fut, W>(
    policy: &RetryPolicy,
    bus: impl FnMut() -> Fut,
    timer: impl FnMut(Duration) -> W,
) -> Result<u16, RetryError<BusError>>
where
    Fut: Future<Output = Result<u16, BusError>>,
    W: Future<Output: Wake>,
{
    bus.sleep_with(timer).retry_with(policy).await
}

/// The state between two interrupts of a timer.
#[derive(Debug)]
pub struct Reader {
    retry: retry_ext::RetryContext,
}

impl Reader {
    /// Begins to read.
    #[must_use]
    pub fn new(policy: &RetryPolicy) -> Self {
        Self { retry: policy.start() }
    }

    /// Takes an answer of the bus. Returns the delay before the next question, or `None` after a
    /// success.
    ///
    /// # Errors
    ///
    /// Returns the reason to stop after a failure.
    pub fn answer(
        &mut self,
        answer: Result<u16, BusError>,
    ) -> Result<Option<Duration>, StopReason> {
        match answer {
            Ok(_) => {
                self.retry.succeeded();
                Ok(None)
            }
            Err(error) => self.retry.delay_after(&error).map(Some),
        }
    }
}
