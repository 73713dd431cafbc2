//! A call that ends at a shutdown: the running attempt may finish, a wait is cut short, and the
//! last error is returned.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::script::Script;

/// A service. Each call takes the time `takes`.
#[derive(Debug)]
pub struct Service {
    pub script: Script<io::Result<u32>>,
    pub takes: Duration,
}

impl Service {
    pub async fn call(&self) -> io::Result<u32> {
        let outcome = self.script.answer();
        sleep(self.takes).await;
        outcome
    }
}

pub mod ours {
    use super::Service;
    // ours
    use std::io;
    use std::ops::ControlFlow;

    use retry_ext::{AsyncRetryExt, RetryPolicy, RetryResultExt};
    use tokio::time::sleep;
    use tokio_util::sync::CancellationToken;

    pub async fn call(service: &Service, shutdown: &CancellationToken) -> io::Result<u32> {
        (|| service.call())
            .sleep_with(async |delay| {
                let wait = shutdown.run_until_cancelled(sleep(delay)).await;
                wait.map_or(ControlFlow::Break(()), ControlFlow::Continue)
            })
            .retry_with(RetryPolicy::new())
            .await
            .plain()
    }
    // end
}

pub mod by_hand {
    use super::Service;
    use crate::script::transient;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::sleep;
    use tokio_util::sync::CancellationToken;

    pub async fn call(service: &Service, shutdown: &CancellationToken) -> io::Result<u32> {
        for seconds in [1, 2] {
            match service.call().await {
                Err(error) if transient(&error) => {
                    let wait = sleep(Duration::from_secs(seconds));
                    if shutdown.run_until_cancelled(wait).await.is_none() {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
        service.call().await
    }
    // end
}

pub mod peer {
    use super::Service;
    use crate::script::transient;
    // peer
    use std::io;

    use backon::{ExponentialBuilder, Retryable};
    use tokio::time::sleep;
    use tokio_util::sync::CancellationToken;

    pub async fn call(service: &Service, shutdown: &CancellationToken) -> io::Result<u32> {
        let token = shutdown.clone();
        (|| service.call())
            .retry(ExponentialBuilder::new().with_max_times(2))
            .sleep(move |delay| {
                let wait = token.clone().run_until_cancelled_owned(sleep(delay));
                async { wait.await.unwrap_or_default() }
            })
            .when(|error| transient(error) && !shutdown.is_cancelled())
            .await
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};
    use tokio_util::sync::CancellationToken;

    use super::Service;
    use crate::script::{Script, denied, each_version, reset};

    fn service(answers: impl IntoIterator<Item = io::Result<u32>>) -> Arc<Service> {
        Arc::new(Service { script: Script::new(answers), takes: Duration::from_secs(1) })
    }

    fn shutdown_after(delay: Duration) -> CancellationToken {
        let shutdown = CancellationToken::new();
        let guard = shutdown.clone();
        tokio::spawn(async move {
            sleep(delay).await;
            guard.cancel();
        });
        shutdown
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_shutdown_it_is_an_ordinary_retry() {
        each_version!(version => {
            let token = CancellationToken::new();
            let recovers = service([Err(reset()), Err(reset()), Ok(7)]);
            assert_eq!(version::call(&recovers, &token).await.unwrap(), 7);
            assert_eq!(recovers.script.calls(), [0, 2_000, 5_000]);
            assert!(version::call(&service([Err(denied())]), &token).await.is_err());
            let fails = service([Err(reset()), Err(reset()), Err(reset())]);
            assert!(version::call(&fails, &token).await.is_err());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_running_attempt_may_finish() {
        each_version!(version => {
            let token = shutdown_after(Duration::from_millis(500));
            assert_eq!(version::call(&service([Ok(7)]), &token).await.unwrap(), 7);
            let token = shutdown_after(Duration::from_millis(500));
            let start = Instant::now();
            assert!(version::call(&service([Err(reset())]), &token).await.is_err());
            assert_eq!(start.elapsed().as_secs(), 1);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_cut_short_and_the_last_error_returned() {
        let at = Duration::from_millis(1_500);
        let (start, service) = (Instant::now(), self::service([Err(reset())]));
        let error = super::ours::call(&service, &shutdown_after(at)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(start.elapsed(), at);

        let (start, service) = (Instant::now(), self::service([Err(reset())]));
        let error = super::by_hand::call(&service, &shutdown_after(at)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(start.elapsed(), at);

        // The peer calls once more, after the shutdown.
        let (start, service) = (Instant::now(), self::service([Err(reset()), Err(reset())]));
        assert!(super::peer::call(&service, &shutdown_after(at)).await.is_err());
        assert_eq!(service.script.calls(), [0, 1_500]);
        assert_eq!(start.elapsed().as_millis(), 2_500);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let service = Service { script: Script::new([Ok(7)]), takes: Duration::ZERO };
            let task = tokio::spawn(async move {
                let token = CancellationToken::new();
                version::call(&service, &token).await.is_ok()
            });
            assert!(task.await.unwrap());
        });
    }
}
