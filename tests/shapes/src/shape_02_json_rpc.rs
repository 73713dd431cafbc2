//! A JSON-RPC client that retries the status 429 alone, and turns the last status into its own
//! error.

use std::io;
use std::time::Duration;

use crate::script::Script;

/// An answer of the server.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The server's hint, or zero.
    pub hint: Duration,
    pub body: String,
}

/// The client's own error.
#[derive(Debug)]
pub enum RpcError {
    Io(io::Error),
    Status(u16),
}

impl From<io::Error> for RpcError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Reply {
    /// Returns the body, or the status as an error.
    pub fn check(self) -> Result<String, RpcError> {
        if self.status == 200 { Ok(self.body) } else { Err(RpcError::Status(self.status)) }
    }
}

/// A server.
#[derive(Debug)]
pub struct Rpc {
    pub script: Script<io::Result<Reply>>,
}

impl Rpc {
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn post(&self, _body: &str) -> io::Result<Reply> {
        self.script.answer()
    }
}

pub mod ours {
    use super::{Reply, Rpc, RpcError};
    // ours
    use std::io;

    use retry_ext::{AsyncRetryExt, RetryPolicy, RetryResultExt, Verdict};

    // # struct Reply { status: u16, hint: std::time::Duration }
    // # impl Reply { fn check(self) -> Result<String, RpcError> { Err(RpcError) } }
    // # struct RpcError;
    // # impl From<io::Error> for RpcError { fn from(_: io::Error) -> Self { Self } }
    // # struct Rpc;
    // # impl Rpc { async fn post(&self, _: &str) -> io::Result<Reply> { Err(io::ErrorKind::NotFound.into()) } }
    const POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(6).with_factor(1.0);

    fn judge(outcome: &io::Result<Reply>) -> Verdict {
        match outcome {
            Ok(reply) if reply.status == 429 => Verdict::TransientAfter(reply.hint),
            _ => Verdict::Success,
        }
    }

    pub async fn call(rpc: &Rpc, body: &str) -> Result<String, RpcError> {
        (|| rpc.post(body)).classify(judge).retry_with(POLICY).await.plain()?.check()
    }
    // end
}

pub mod by_hand {
    use super::{Rpc, RpcError};
    // by hand
    use std::time::Duration;

    use tokio::time::sleep;

    pub async fn call(rpc: &Rpc, body: &str) -> Result<String, RpcError> {
        for _ in 1..6 {
            let reply = rpc.post(body).await?;
            if reply.status != 429 || reply.hint > Duration::from_secs(60) {
                return reply.check();
            }
            sleep(reply.hint.max(Duration::from_secs(1))).await;
        }
        rpc.post(body).await?.check()
    }
    // end
}

pub mod peer {
    use super::{Rpc, RpcError};
    // peer
    use std::time::Duration;

    use backon::{ConstantBuilder, Retryable};

    pub async fn call(rpc: &Rpc, body: &str) -> Result<String, RpcError> {
        (|| async {
            let reply = rpc.post(body).await.map_err(|error| (error.into(), Duration::ZERO))?;
            let hint = reply.hint;
            reply.check().map_err(|error| (error, hint))
        })
        .retry(ConstantBuilder::new().with_max_times(5))
        .when(|(error, _)| matches!(error, RpcError::Status(429)))
        .adjust(|(_, hint), delay| {
            delay.map(|delay| delay.max(*hint)).filter(|delay| *delay <= Duration::from_secs(60))
        })
        .await
        .map_err(|(error, _)| error)
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::{Reply, Rpc, RpcError};
    use crate::script::{Script, denied, each_version, reset};

    fn rpc(answers: impl IntoIterator<Item = (u16, u64)>) -> Rpc {
        let reply = |(status, hint)| -> io::Result<Reply> {
            Ok(Reply { status, hint: Duration::from_secs(hint), body: "done".into() })
        };
        Rpc { script: Script::new(answers.into_iter().map(reply)) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_takes_the_place_of_the_fixed_delay() {
        each_version!(version => {
            let rpc = rpc([(429, 0), (429, 30), (429, 0), (200, 0)]);
            assert_eq!(version::call(&rpc, "{}").await.unwrap(), "done");
            assert_eq!(rpc.script.calls(), [0, 1_000, 31_000, 32_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_becomes_an_error_after_five_retries() {
        each_version!(version => {
            let rpc = rpc([(429, 0); 6]);
            let error = version::call(&rpc, "{}").await.unwrap_err();
            assert!(matches!(error, RpcError::Status(429)));
            assert_eq!(rpc.script.calls(), [0, 1_000, 2_000, 3_000, 4_000, 5_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_failure_is_retried() {
        each_version!(version => {
            let busy = rpc([(503, 0)]);
            assert!(matches!(version::call(&busy, "{}").await, Err(RpcError::Status(503))));
            let too_long = rpc([(429, 61)]);
            assert!(matches!(version::call(&too_long, "{}").await, Err(RpcError::Status(429))));
            for error in [reset(), denied()] {
                let broken = Rpc { script: Script::new([Err(error)]) };
                assert!(matches!(version::call(&broken, "{}").await, Err(RpcError::Io(_))));
            }
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let rpc = rpc([(200, 0)]);
            let task = tokio::spawn(async move { version::call(&rpc, "{}").await });
            assert_eq!(task.await.unwrap().unwrap(), "done");
        });
    }
}
