//! A writer on `&mut self` that continues after a failure from the bytes that were accepted.

use std::io;

use crate::script::Script;

/// A writer. Its sink accepts some bytes of each call, and may fail.
#[derive(Debug)]
pub struct Writer {
    pub script: Script<io::Result<usize>>,
    /// The number of bytes that the sink has accepted.
    pub accepted: usize,
}

impl Writer {
    /// Writes the bytes that were not accepted yet.
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        while self.accepted < bytes.len() {
            self.accepted += self.script.answer()?;
        }
        Ok(())
    }
}

pub mod ours {
    use super::Writer;
    // ours
    use std::io;

    use retry_ext::{RetryError, RetryPolicy};

    // # struct Writer;
    // # impl Writer { async fn flush(&mut self, _: &[u8]) -> io::Result<()> { Ok(()) } }
    impl Writer {
        pub async fn write(&mut self, bytes: &[u8]) -> Result<(), RetryError<io::Error>> {
            let mut retry = RetryPolicy::new().start();
            while retry.step_async(self.flush(bytes).await).await?.is_none() {}
            Ok(())
        }
    }
    // end

    pub async fn write(writer: &mut Writer, bytes: &[u8]) -> Result<(), RetryError<io::Error>> {
        writer.write(bytes).await
    }
}

pub mod by_hand {
    use super::Writer;
    use crate::script::transient;
    // by hand
    use std::io;
    use std::time::Duration;

    use tokio::time::sleep;

    impl Writer {
        pub async fn write_by_hand(&mut self, bytes: &[u8]) -> io::Result<()> {
            for seconds in [1, 2] {
                match self.flush(bytes).await {
                    Err(error) if transient(&error) => sleep(Duration::from_secs(seconds)).await,
                    outcome => return outcome,
                }
            }
            self.flush(bytes).await
        }
    }
    // end

    pub async fn write(writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        writer.write_by_hand(bytes).await
    }
}

pub mod peer {
    use super::Writer;
    use crate::script::transient;
    // peer
    use std::io;

    use backon::{ExponentialBuilder, RetryableWithContext};

    impl Writer {
        pub async fn write_with_peer(&mut self, bytes: &[u8]) -> io::Result<()> {
            let flush = |writer| async move {
                let writer: &mut Self = writer;
                let outcome = writer.flush(bytes).await;
                (writer, outcome)
            };
            let delays = ExponentialBuilder::new().with_max_times(2);
            let (_, outcome) = flush.retry(delays).context(self).when(transient).await;
            outcome
        }
    }
    // end

    pub async fn write(writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        writer.write_with_peer(bytes).await
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Writer;
    use crate::script::{Script, denied, each_version, reset};

    fn writer(answers: impl IntoIterator<Item = io::Result<usize>>) -> Writer {
        Writer { script: Script::new(answers), accepted: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_accepted_bytes_are_not_written_again() {
        each_version!(version => {
            let mut writer = writer([Ok(3), Err(reset()), Ok(1), Err(reset()), Ok(1)]);
            assert!(version::write(&mut writer, b"hello").await.is_ok());
            assert_eq!(writer.script.calls(), [0, 0, 1_000, 1_000, 3_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_outlives_the_last_failure() {
        each_version!(version => {
            let mut writer = writer([Err(reset()), Ok(4), Err(denied()), Ok(1)]);
            assert!(version::write(&mut writer, b"hello").await.is_err());
            assert!(version::write(&mut writer, b"hello").await.is_ok());
            assert_eq!(writer.script.calls(), [0, 1_000, 1_000, 1_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn three_attempts_are_the_limit() {
        each_version!(version => {
            let mut writer = writer([Err(reset()), Err(reset()), Err(reset())]);
            assert!(version::write(&mut writer, b"hello").await.is_err());
            assert_eq!(writer.script.calls(), [0, 1_000, 3_000]);
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let mut writer = writer([Ok(5)]);
            let task = tokio::spawn(async move { version::write(&mut writer, b"hello").await.is_ok() });
            assert!(task.await.unwrap());
        });
    }
}
