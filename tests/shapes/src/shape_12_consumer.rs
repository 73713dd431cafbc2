//! A consumer that reconnects forever. A session of a minute or more starts the count afresh.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::script::Script;

/// A message broker. Each session lasts a time, and ends with an error if the connection was lost.
#[derive(Debug)]
pub struct Broker {
    pub script: Script<(Duration, io::Result<()>)>,
}

impl Broker {
    pub async fn consume(&self) -> io::Result<()> {
        let (lasts, outcome) = self.script.answer();
        sleep(lasts).await;
        outcome
    }
}

pub mod ours {
    use super::Broker;
    // ours
    use std::io;
    use std::time::Duration;

    use retry_ext::{RetryError, RetryPolicy};
    use tokio::time::Instant;

    // # struct Broker;
    // # impl Broker { async fn consume(&self) -> io::Result<()> { Ok(()) } }
    pub async fn run(broker: &Broker) -> Result<(), RetryError<io::Error>> {
        let mut retry = RetryPolicy::forever().start();
        loop {
            let start = Instant::now();
            let ended = broker.consume().await;
            if start.elapsed() >= Duration::from_secs(60) {
                retry.reset();
            }
            if retry.step_async(ended).await?.is_some() {
                return Ok(());
            }
        }
    }
    // end
}

pub mod by_hand {
    use super::Broker;
    use crate::script::transient;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    pub async fn run(broker: &Broker) -> io::Result<()> {
        let mut delay = Duration::from_secs(1);
        loop {
            let start = Instant::now();
            match broker.consume().await {
                Err(error) if transient(&error) => {}
                outcome => return outcome,
            }
            if start.elapsed() >= Duration::from_secs(60) {
                delay = Duration::from_secs(1);
            }
            sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(60));
        }
    }
    // end
}

pub mod peer {
    use super::Broker;
    use crate::script::transient;
    // peer
    use std::io;
    use std::iter;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
    use tokio::time::Instant;

    pub async fn run(broker: &Broker) -> io::Result<()> {
        let healthy = AtomicBool::new(false);
        let builder = ExponentialBuilder::new().without_max_times();
        let mut delays = builder.build();
        let delays = iter::from_fn(|| {
            if healthy.load(Ordering::Relaxed) {
                delays = builder.build();
            }
            delays.next()
        });
        (|| async {
            let start = Instant::now();
            let outcome = broker.consume().await;
            healthy.store(start.elapsed() >= Duration::from_secs(60), Ordering::Relaxed);
            outcome
        })
        .retry(delays)
        .when(transient)
        .await
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::Broker;
    use crate::script::{Script, denied, each_version, reset};

    fn broker(sessions: impl IntoIterator<Item = (u64, io::Result<()>)>) -> Broker {
        let seconds = |(lasts, outcome)| (Duration::from_secs(lasts), outcome);
        Broker { script: Script::new(sessions.into_iter().map(seconds)) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_healthy_minute_starts_the_count_afresh() {
        each_version!(version => {
            let lost = |lasts| (lasts, Err(reset()));
            let broker = broker([lost(0), lost(0), lost(59), lost(60), lost(0), (0, Ok(()))]);
            assert!(version::run(&broker).await.is_ok());
            // Waits of 1, 2 and 4 s after short sessions, then 1 s after the healthy one, and 2 s.
            let starts = [0, 1, 1 + 2, 3 + 59 + 4, 66 + 60 + 1, 127 + 2].map(|seconds| seconds * 1_000);
            assert_eq!(broker.script.calls(), starts);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn it_reconnects_for_ever_and_stops_at_a_permanent_error() {
        each_version!(version => {
            let lost = (0..100).map(|_| (0, Err(reset())));
            let broker = broker(lost.chain([(0, Err(denied()))]));
            assert!(version::run(&broker).await.is_err());
            assert_eq!(broker.script.left(), 0);
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let broker = broker([(0, Ok(()))]);
            assert!(tokio::spawn(async move { version::run(&broker).await.is_ok() }).await.unwrap());
        });
    }
}
