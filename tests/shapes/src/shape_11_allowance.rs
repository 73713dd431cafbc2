//! A page made of two requests, which run at once and share three retries.

use std::io;

use crate::script::Script;

/// A site.
#[derive(Debug)]
pub struct Site {
    pub head: Script<io::Result<u32>>,
    pub body: Script<io::Result<u32>>,
}

impl Site {
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn head(&self) -> io::Result<u32> {
        self.head.answer()
    }

    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn body(&self) -> io::Result<u32> {
        self.body.answer()
    }
}

pub mod ours {
    use super::Site;
    // ours
    use std::io;
    use std::time::Duration;

    use retry_ext::{AsyncRetryExt, RetryBudget, RetryError, RetryPolicy};

    // # struct Site;
    // # impl Site { async fn head(&self) -> io::Result<u32> { Ok(7) } async fn body(&self) -> io::Result<u32> { Ok(8) } }
    pub async fn page(site: &Site) -> Result<(u32, u32), RetryError<io::Error>> {
        let three =
            RetryBudget::new().with_min_retries(3).with_ratio(0.0).with_window(Duration::MAX);
        tokio::try_join!(
            (|| site.head()).budget(&three).retry_with(RetryPolicy::forever()),
            (|| site.body()).budget(&three).retry_with(RetryPolicy::forever()),
        )
    }
    // end
}

/// A version for requests that run one after the other.
pub mod in_sequence {
    use super::Site;
    // ours, in sequence
    use std::io;

    use retry_ext::{RetryError, RetryPolicy};

    // # struct Site;
    // # impl Site { async fn head(&self) -> io::Result<u32> { Ok(7) } async fn body(&self) -> io::Result<u32> { Ok(8) } }
    pub async fn page(site: &Site) -> Result<(u32, u32), RetryError<io::Error>> {
        let mut retry = RetryPolicy::new().with_max_attempts(4).start();
        let head = loop {
            match site.head().await {
                Ok(head) => break head,
                Err(error) => retry.wait_after_async(error).await?,
            }
        };
        let body = loop {
            match site.body().await {
                Ok(body) => break body,
                Err(error) => retry.wait_after_async(error).await?,
            }
        };
        retry.succeeded();
        Ok((head, body))
    }
    // end
}

pub mod by_hand {
    use super::Site;
    use crate::script::transient;
    // by hand
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::sleep;

    async fn retry<F: Future<Output = io::Result<T>>, T>(
        left: &AtomicU32,
        call: impl Fn() -> F,
    ) -> io::Result<T> {
        let mut delay = Duration::from_secs(1);
        loop {
            let error = match call().await {
                Err(error) if transient(&error) => error,
                outcome => return outcome,
            };
            let take = |left: u32| left.checked_sub(1);
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                return Err(error);
            }
            sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(60));
        }
    }

    pub async fn page(site: &Site) -> io::Result<(u32, u32)> {
        let three = AtomicU32::new(3);
        tokio::try_join!(retry(&three, || site.head()), retry(&three, || site.body()))
    }
    // end
}

pub mod peer {
    use super::Site;
    use crate::script::transient;
    // peer
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use backon::{ExponentialBuilder, Retryable};

    pub async fn page(site: &Site) -> io::Result<(u32, u32)> {
        let three = AtomicU32::new(3);
        let take = |left: u32| left.checked_sub(1);
        let allowed = |error: &io::Error| {
            transient(error)
                && three.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        };
        let delays = ExponentialBuilder::new().without_max_times();
        tokio::try_join!(async { (|| site.head()).retry(delays).when(allowed).await }, async {
            (|| site.body()).retry(delays).when(allowed).await
        },)
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::Instant;

    use super::Site;
    use crate::script::{Script, denied, each_version, reset};

    fn part(failures: usize, outcome: io::Result<u32>) -> Script<io::Result<u32>> {
        Script::new((0..failures).map(|_| Err(reset())).chain([outcome]))
    }

    #[tokio::test(start_paused = true)]
    async fn three_retries_are_enough_for_both() {
        each_version!(version => {
            let site = Site { head: part(2, Ok(7)), body: part(1, Ok(8)) };
            assert_eq!(version::page(&site).await.unwrap(), (7, 8));
            assert_eq!(site.head.calls(), [0, 1_000, 3_000]);
            assert_eq!(site.body.calls(), [0, 1_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_fourth_retry_is_refused_however_the_three_were_shared() {
        each_version!(version => {
            let start = Instant::now();
            let site = Site { head: part(4, Ok(7)), body: part(0, Ok(8)) };
            assert!(version::page(&site).await.is_err());
            assert_eq!((site.head.calls().len(), start.elapsed().as_secs()), (4, 1 + 2 + 4));

            let site = Site { head: part(2, Ok(7)), body: part(2, Ok(8)) };
            assert!(version::page(&site).await.is_err());
            // One request is refused its second retry, and ends the other request.
            assert_eq!(site.head.calls().len() + site.body.calls().len(), 4);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_error_ends_both() {
        each_version!(version => {
            let site = Site { head: part(3, Ok(7)), body: part(1, Err(denied())) };
            assert!(version::page(&site).await.is_err());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_sequence_share_attempts_and_delays() {
        let site = Site { head: part(2, Ok(7)), body: part(1, Ok(8)) };
        assert_eq!(super::in_sequence::page(&site).await.unwrap(), (7, 8));
        assert_eq!(
            (site.head.calls(), site.body.calls()),
            (vec![0, 1_000, 3_000], vec![3_000, 7_000])
        );

        let site = Site { head: part(2, Ok(7)), body: part(2, Ok(8)) };
        assert_eq!(super::in_sequence::page(&site).await.unwrap_err().attempts(), 4);
        assert_eq!((site.head.calls().len(), site.body.calls().len()), (3, 2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let site = Site { head: part(0, Ok(7)), body: part(0, Ok(8)) };
            let task = tokio::spawn(async move { version::page(&site).await });
            assert_eq!(task.await.unwrap().unwrap(), (7, 8));
        });
        let site = Site { head: part(0, Ok(7)), body: part(0, Ok(8)) };
        let task = tokio::spawn(async move { super::in_sequence::page(&site).await });
        assert_eq!(task.await.unwrap().unwrap(), (7, 8));
    }
}
