//! A pool that must connect within 30 s, whatever an attempt does.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::script::Script;

/// A database server. Each attempt to connect takes a time.
#[derive(Debug)]
pub struct Server {
    pub script: Script<(Duration, io::Result<Pool>)>,
}

/// A pool of connections.
#[derive(Debug)]
pub struct Pool;

impl Server {
    pub async fn connect(&self) -> io::Result<Pool> {
        let (takes, outcome) = self.script.answer();
        sleep(takes).await;
        outcome
    }
}

pub mod ours {
    use super::{Pool, Server};
    // ours
    use std::io;
    use std::time::Duration;

    use retry_ext::{AsyncRetryExt, RetryError, RetryPolicy};

    // # struct Server;
    // # struct Pool;
    // # impl Server { async fn connect(&self) -> io::Result<Pool> { Ok(Pool) } }
    pub async fn pool(server: &Server) -> Result<Pool, RetryError<io::Error>> {
        let connect = (|| server.connect()).timeout_each(Duration::from_secs(5));
        connect.retry_with(RetryPolicy::within(Duration::from_secs(30))).await
    }
    // end
}

pub mod by_hand {
    use super::{Pool, Server};
    use crate::script::transient;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::{Instant, sleep, timeout_at};

    pub async fn pool(server: &Server) -> io::Result<Pool> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut delay = Duration::from_secs(1);
        loop {
            let limit = deadline.min(Instant::now() + Duration::from_secs(5));
            match timeout_at(limit, server.connect()).await.unwrap_or_else(|late| Err(late.into()))
            {
                Err(error) if transient(&error) && Instant::now() + delay <= deadline => {
                    sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(60));
                }
                outcome => return outcome,
            }
        }
    }
    // end
}

pub mod peer {
    use super::{Pool, Server};
    use crate::script::transient;
    // peer
    use std::io;
    use std::time::Duration;

    use backon::{ExponentialBuilder, Retryable};
    use tokio::time::timeout;

    pub async fn pool(server: &Server) -> io::Result<Pool> {
        let connect = || async { timeout(Duration::from_secs(5), server.connect()).await? };
        let pool = connect.retry(ExponentialBuilder::new().without_max_times()).when(transient);
        timeout(Duration::from_secs(30), pool).await?
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Pool, Server};
    use crate::script::{Script, denied, each_version, reset};

    const HANGS: Duration = Duration::from_secs(3_600);

    fn server(answers: impl IntoIterator<Item = (Duration, io::Result<Pool>)>) -> Server {
        Server { script: Script::new(answers) }
    }

    async fn seconds<T>(future: impl Future<Output = T>) -> (T, u64) {
        let start = Instant::now();
        (future.await, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_ended() {
        each_version!(version => {
            let answers = [(HANGS, Ok(Pool)), (Duration::ZERO, Err(reset())), (Duration::ZERO, Ok(Pool))];
            let server = server(answers);
            assert!(version::pool(&server).await.is_ok());
            // An attempt of 5 s and waits of 1 and 2 s.
            assert_eq!(server.script.calls(), [0, 6_000, 8_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_attempt_that_is_running() {
        each_version!(version => {
            // The attempts start at 0, 6, 13 and 22 s. The wait after 27 s would end at 35 s, so it
            // is refused or cut short.
            let server = server([const { (HANGS, Ok(Pool)) }; 4]);
            let (outcome, seconds) = seconds(version::pool(&server)).await;
            assert!(outcome.is_err());
            assert!(seconds <= 30);
            assert_eq!(server.script.calls(), [0, 6_000, 13_000, 22_000]);

            // Starts at 0, 1, 3, 7, 15 s and so on; the last one at 28 s has 2 s left.
            let slow = |secs| (Duration::from_secs(secs), Err(reset()));
            let server = self::server([slow(4), slow(4), slow(4), slow(2), (HANGS, Ok(Pool))]);
            let (outcome, seconds) = self::seconds(version::pool(&server)).await;
            assert!(outcome.is_err());
            assert_eq!(server.script.calls(), [0, 5_000, 11_000, 19_000, 29_000]);
            assert_eq!(seconds, 30);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_hopeless_wait_is_refused_and_the_last_error_stays() {
        let refused = || server((0..5).map(|_| (Duration::ZERO, Err(reset()))));
        // Waits of 1, 2, 4 and 8 s. One of 16 s would end after 31 s.
        let (outcome, seconds) = seconds(super::ours::pool(&refused())).await;
        assert_eq!(
            (outcome.unwrap_err().error().kind(), seconds),
            (io::ErrorKind::ConnectionReset, 15)
        );
        let (outcome, seconds) = self::seconds(super::by_hand::pool(&refused())).await;
        assert_eq!((outcome.unwrap_err().kind(), seconds), (io::ErrorKind::ConnectionReset, 15));
        // The peer sleeps until the deadline for an attempt that never comes, and loses the cause.
        let (outcome, seconds) = self::seconds(super::peer::pool(&refused())).await;
        assert_eq!((outcome.unwrap_err().kind(), seconds), (io::ErrorKind::TimedOut, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_error_ends_it() {
        each_version!(version => {
            let server = server([(Duration::ZERO, Err(denied()))]);
            assert!(version::pool(&server).await.is_err());
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let server = server([(Duration::ZERO, Ok(Pool))]);
            let task = tokio::spawn(async move { version::pool(&server).await.is_ok() });
            assert!(task.await.unwrap());
        });
    }
}
