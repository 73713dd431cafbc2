//! A file handle that travels inside of the error: a failed call returns it for the next attempt.

use std::io;
use std::sync::Arc;

use crate::script::Script;

/// A file that is written and not yet in its place.
#[derive(Debug)]
pub struct Handle {
    pub script: Arc<Script<io::Result<()>>>,
}

/// A failure that returns the handle.
#[derive(Debug)]
pub struct CommitError {
    pub error: io::Error,
    pub handle: Handle,
}

impl Handle {
    /// Moves the file to its place.
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn commit(self) -> Result<(), CommitError> {
        self.script.answer().map_err(|error| CommitError { error, handle: self })
    }
}

pub mod ours {
    use super::Handle;
    // ours
    use std::io;

    use retry_ext::{RetryError, RetryPolicy};

    // # struct Handle;
    // # struct CommitError { error: io::Error, handle: Handle }
    // # impl Handle { async fn commit(self) -> Result<(), CommitError> { Ok(()) } }
    pub async fn commit(mut handle: Handle) -> Result<(), RetryError<io::Error>> {
        let mut retry = RetryPolicy::new().start();
        while let Err(failed) = handle.commit().await {
            handle = failed.handle;
            retry.wait_after_async(failed.error).await?;
        }
        retry.succeeded();
        Ok(())
    }
    // end
}

pub mod by_hand {
    use super::Handle;
    use crate::script::transient;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::sleep;

    pub async fn commit(mut handle: Handle) -> io::Result<()> {
        for seconds in [1, 2] {
            match handle.commit().await {
                Err(failed) if transient(&failed.error) => handle = failed.handle,
                outcome => return outcome.map_err(|failed| failed.error),
            }
            sleep(Duration::from_secs(seconds)).await;
        }
        handle.commit().await.map_err(|failed| failed.error)
    }
    // end
}

pub mod peer {
    use super::Handle;
    use crate::script::transient;
    // peer
    use std::io;

    use backon::{ExponentialBuilder, RetryableWithContext};

    pub async fn commit(handle: Handle) -> io::Result<()> {
        let commit = |handle: Option<Handle>| async {
            match handle.expect("a failure returns it").commit().await {
                Ok(()) => (None, Ok(())),
                Err(failed) => (Some(failed.handle), Err(failed.error)),
            }
        };
        let delays = ExponentialBuilder::new().with_max_times(2);
        let (_, outcome) = commit.retry(delays).context(Some(handle)).when(transient).await;
        outcome
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::Handle;
    use crate::script::{Script, denied, each_version, reset};

    fn script(answers: impl IntoIterator<Item = io::Result<()>>) -> Arc<Script<io::Result<()>>> {
        Arc::new(Script::new(answers))
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_call_returns_the_handle_for_the_next() {
        each_version!(version => {
            let script = script([Err(reset()), Err(reset()), Ok(())]);
            assert!(version::commit(Handle { script: Arc::clone(&script) }).await.is_ok());
            assert_eq!(script.calls(), [0, 1_000, 3_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn three_attempts_are_the_limit_and_a_permanent_error_ends_it() {
        each_version!(version => {
            let transient = script([Err(reset()), Err(reset()), Err(reset())]);
            assert!(version::commit(Handle { script: Arc::clone(&transient) }).await.is_err());
            assert_eq!(transient.calls(), [0, 1_000, 3_000]);
            assert!(version::commit(Handle { script: script([Err(denied())]) }).await.is_err());
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let handle = Handle { script: script([Ok(())]) };
            assert!(tokio::spawn(version::commit(handle)).await.unwrap().is_ok());
        });
    }
}
