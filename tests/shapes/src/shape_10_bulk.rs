//! A bulk request that sends again only the items that were rejected.

use std::io;
use std::sync::Mutex;

use crate::script::Script;

/// A store. Its answer lists the items that it rejected because it is busy.
#[derive(Debug)]
pub struct Store {
    pub script: Script<io::Result<Vec<u32>>>,
    /// The items of each request.
    pub requests: Mutex<Vec<Vec<u32>>>,
}

impl Store {
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn bulk(&self, items: &[u32]) -> io::Result<Vec<u32>> {
        self.requests.lock().unwrap().push(items.to_vec());
        self.script.answer()
    }
}

pub mod ours {
    use super::Store;
    // ours
    use std::io;

    use retry_ext::RetryPolicy;
    use tokio::time::sleep;

    // # struct Store;
    // # impl Store { async fn bulk(&self, _: &[u32]) -> io::Result<Vec<u32>> { Ok(Vec::new()) } }
    pub async fn index(store: &Store, mut items: Vec<u32>) -> io::Result<Vec<u32>> {
        let mut retry =
            RetryPolicy::new().start().retry_if(|rejected: &Vec<_>| !rejected.is_empty());
        loop {
            items = store.bulk(&items).await?;
            let Ok(delay) = retry.delay_after(&items) else { return Ok(items) };
            sleep(delay).await;
        }
    }
    // end
}

pub mod by_hand {
    use super::Store;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::sleep;

    pub async fn index(store: &Store, mut items: Vec<u32>) -> io::Result<Vec<u32>> {
        for seconds in [1, 2] {
            items = store.bulk(&items).await?;
            if items.is_empty() {
                return Ok(items);
            }
            sleep(Duration::from_secs(seconds)).await;
        }
        store.bulk(&items).await
    }
    // end
}

pub mod peer {
    use super::Store;
    // peer
    use std::io;

    use backon::{ExponentialBuilder, RetryableWithContext};

    pub async fn index(store: &Store, items: Vec<u32>) -> io::Result<Vec<u32>> {
        let send = |items: Vec<u32>| async move {
            match store.bulk(&items).await {
                Ok(rejected) if rejected.is_empty() => (rejected, Ok(())),
                Ok(rejected) => (rejected, Err(None)),
                Err(error) => (items, Err(Some(error))),
            }
        };
        let delays = ExponentialBuilder::new().with_max_times(2);
        match send.retry(delays).context(items).when(Option::is_none).await {
            (_, Err(Some(error))) => Err(error),
            (rejected, _) => Ok(rejected),
        }
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::Store;
    use crate::script::{Script, denied, each_version};

    fn store(answers: impl IntoIterator<Item = io::Result<Vec<u32>>>) -> Store {
        Store { script: Script::new(answers), requests: Mutex::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_rejected_items_are_sent_again() {
        each_version!(version => {
            let store = store([Ok(vec![2, 3]), Ok(vec![3]), Ok(vec![])]);
            assert!(version::index(&store, vec![1, 2, 3, 4]).await.unwrap().is_empty());
            assert_eq!(store.script.calls(), [0, 1_000, 3_000]);
            let requests = store.requests.lock().unwrap();
            assert_eq!(*requests, [&[1, 2, 3, 4][..], &[2, 3], &[3]]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn items_that_stay_rejected_are_returned_after_three_attempts() {
        each_version!(version => {
            let store = store([Ok(vec![2, 3]), Ok(vec![3]), Ok(vec![3])]);
            assert_eq!(version::index(&store, vec![1, 2, 3]).await.unwrap(), [3]);
            assert_eq!(store.script.calls(), [0, 1_000, 3_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_the_request_ends_it() {
        each_version!(version => {
            let store = store([Ok(vec![2]), Err(denied())]);
            assert!(version::index(&store, vec![1, 2]).await.is_err());
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let store = store([Ok(vec![])]);
            let task = tokio::spawn(async move { version::index(&store, vec![1]).await });
            assert!(task.await.unwrap().unwrap().is_empty());
        });
    }
}
