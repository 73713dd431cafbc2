//! Helpers that are generic over an operation: one over `Fn() -> Fut`, one over `AsyncFn()`.
//!
//! The helper over `Fn() -> Fut` also takes async closures, and its future can be spawned. The
//! helper over `AsyncFn` makes a future that cannot be spawned if the operation borrows from the
//! task. This holds for all three versions: the bound that would allow spawning is not stable.
//!
//! ```
//! # use shapes::shape_07_generic::ours::by_fn;
//! let task = async {
//!     let number = 7;
//!     by_fn(async || Ok(number)).await
//! };
//! fn spawned<F: Future + Send>(_: F) {}
//! spawned(task);
//! ```
//!
//! ```compile_fail
//! # use shapes::shape_07_generic::ours::by_async_fn;
//! let task = async {
//!     let number = 7;
//!     by_async_fn(async || Ok(number)).await
//! };
//! fn spawned<F: Future + Send>(_: F) {}
//! spawned(task);
//! ```

pub mod ours {
    // ours
    use std::io;

    use retry_ext::{AsyncRetryExt, RetryPolicy, RetryResultExt};

    pub async fn by_fn<T, Fut>(call: impl Fn() -> Fut) -> io::Result<T>
    where
        Fut: Future<Output = io::Result<T>>,
    {
        call.retry_with(RetryPolicy::new()).await.plain()
    }

    pub async fn by_async_fn<T>(call: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
        (|| call()).retry_with(RetryPolicy::new()).await.plain()
    }
    // end
}

pub mod by_hand {
    use crate::script::transient;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::sleep;

    pub async fn by_fn<T, Fut>(call: impl Fn() -> Fut) -> io::Result<T>
    where
        Fut: Future<Output = io::Result<T>>,
    {
        for seconds in [1, 2] {
            match call().await {
                Err(error) if transient(&error) => sleep(Duration::from_secs(seconds)).await,
                outcome => return outcome,
            }
        }
        call().await
    }

    pub async fn by_async_fn<T>(call: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
        by_fn(|| call()).await
    }
    // end
}

pub mod peer {
    use crate::script::transient;
    // peer
    use std::io;

    use backon::{ExponentialBuilder, Retryable};

    pub async fn by_fn<T, Fut>(call: impl Fn() -> Fut) -> io::Result<T>
    where
        Fut: Future<Output = io::Result<T>>,
    {
        call.retry(ExponentialBuilder::new().with_max_times(2)).when(transient).await
    }

    pub async fn by_async_fn<T>(call: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
        (|| call()).retry(ExponentialBuilder::new().with_max_times(2)).when(transient).await
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;
    use std::sync::Arc;

    use crate::script::{Script, denied, each_version, reset};

    fn script(answers: impl IntoIterator<Item = io::Result<u32>>) -> Arc<Script<io::Result<u32>>> {
        Arc::new(Script::new(answers))
    }

    #[tokio::test(start_paused = true)]
    async fn both_helpers_retry() {
        each_version!(version => {
            let by_fn = script([Err(reset()), Err(reset()), Ok(7)]);
            let call = || {
                let by_fn = Arc::clone(&by_fn);
                async move { by_fn.answer() }
            };
            assert_eq!(version::by_fn(call).await.unwrap(), 7);
            assert_eq!(by_fn.calls(), [0, 1_000, 3_000]);

            let by_async_fn = script([Err(reset()), Err(reset()), Err(reset())]);
            assert!(version::by_async_fn(async || by_async_fn.answer()).await.is_err());
            assert_eq!(by_async_fn.calls(), [0, 1_000, 3_000]);

            let permanent = script([Err(denied())]);
            assert!(version::by_async_fn(async || permanent.answer()).await.is_err());
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let answers = script([Ok(7), Ok(8), Ok(9), Ok(10)]);
            let task = tokio::spawn(async move {
                // These borrow from the task.
                let first = version::by_fn(|| async { answers.answer() }).await?;
                let second = version::by_fn(async || answers.answer()).await?;
                // A helper over `AsyncFn` can be spawned only if the operation owns its captures.
                let owned = Arc::clone(&answers);
                let third = version::by_async_fn(async move || owned.answer()).await?;
                let owned = Arc::clone(&answers);
                let clones = move || {
                    let owned = Arc::clone(&owned);
                    async move { owned.answer() }
                };
                let fourth = version::by_async_fn(clones).await?;
                Ok::<_, Box<dyn Error + Send + Sync>>([first, second, third, fourth])
            });
            assert_eq!(task.await.unwrap().unwrap(), [7, 8, 9, 10]);
        });
    }
}
