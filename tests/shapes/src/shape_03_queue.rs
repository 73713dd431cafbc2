//! A client of a rate-limited service. The more requests are queued, the longer each one waits.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::script::Script;

/// An error of the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RpcError {
    RateLimited,
    Refused,
}

impl RpcError {
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        matches!(self, Self::RateLimited)
    }
}

/// The service, and the queue of the requests to it.
#[derive(Debug)]
pub struct Rpc {
    pub script: Script<Result<u64, RpcError>>,
    pub queue: AtomicU32,
}

impl Rpc {
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn call(&self) -> Result<u64, RpcError> {
        self.script.answer()
    }

    /// Returns the length of the queue. In this script, another request leaves it each time.
    pub fn queued(&self) -> u32 {
        self.queue.fetch_sub(1, Ordering::Relaxed)
    }
}

pub mod ours {
    use super::{Rpc, RpcError};
    // ours
    use std::time::Duration;

    use retry_ext::{AsyncRetryExt, RetryError, RetryPolicy};

    // # #[derive(Debug)] struct RpcError;
    // # impl RpcError { fn is_rate_limit(&self) -> bool { true } }
    // # struct Rpc;
    // # impl Rpc { async fn call(&self) -> Result<u64, RpcError> { Ok(7) } fn queued(&self) -> u32 { 0 } }
    pub async fn call(rpc: &Rpc) -> Result<u64, RetryError<RpcError>> {
        (|| rpc.call())
            .retry_if(RpcError::is_rate_limit)
            .delay_with(|retry, _error| Duration::from_millis(250) * (retry + rpc.queued()))
            .retry_with(RetryPolicy::new().with_max_attempts(10))
            .await
    }
    // end
}

pub mod by_hand {
    use super::{Rpc, RpcError};
    // by hand
    use std::time::Duration;

    use tokio::time::sleep;

    pub async fn call(rpc: &Rpc) -> Result<u64, RpcError> {
        for retry in 1..10 {
            match rpc.call().await {
                Err(error) if error.is_rate_limit() => {
                    let delay = Duration::from_millis(250) * (retry + rpc.queued());
                    sleep(delay.min(Duration::from_secs(60))).await;
                }
                outcome => return outcome,
            }
        }
        rpc.call().await
    }
    // end
}

pub mod peer {
    use super::{Rpc, RpcError};
    // peer
    use std::time::Duration;

    use backon::Retryable;

    pub async fn call(rpc: &Rpc) -> Result<u64, RpcError> {
        let delays = (1..10).map(|retry| Duration::from_millis(250) * retry);
        (|| rpc.call())
            .retry(delays)
            .when(RpcError::is_rate_limit)
            .adjust(|_error, delay| {
                let delay = delay? + Duration::from_millis(250) * rpc.queued();
                Some(delay.min(Duration::from_secs(60)))
            })
            .await
    }
    // end
}

#[cfg(test)]
mod tests {
    use super::{Rpc, RpcError};
    use crate::script::{Script, each_version};

    fn rpc(failures: usize, queue: u32) -> Rpc {
        let answers = std::iter::repeat_n(Err(RpcError::RateLimited), failures).chain([Ok(7)]);
        Rpc { script: Script::new(answers), queue: queue.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_lengthens_the_delay() {
        each_version!(version => {
            let rpc = rpc(3, 7);
            assert_eq!(version::call(&rpc).await, Ok(7));
            // 250 ms for each of 1 + 7, 2 + 6 and 3 + 5.
            assert_eq!(rpc.script.calls(), [0, 2_000, 4_000, 6_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_capped() {
        each_version!(version => {
            let rpc = rpc(1, 100_000);
            assert_eq!(version::call(&rpc).await, Ok(7));
            assert_eq!(rpc.script.calls(), [0, 60_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn ten_attempts_are_the_limit_and_other_errors_are_permanent() {
        each_version!(version => {
            let rate_limited = rpc(10, 100);
            assert!(version::call(&rate_limited).await.is_err());
            assert_eq!(rate_limited.script.left(), 1);
            let refused = Rpc { script: Script::new([Err(RpcError::Refused)]), queue: 1.into() };
            assert!(version::call(&refused).await.is_err());
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let rpc = rpc(0, 1);
            assert_eq!(tokio::spawn(async move { version::call(&rpc).await }).await.unwrap(), Ok(7));
        });
    }
}
