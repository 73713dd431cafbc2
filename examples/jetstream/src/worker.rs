//! A worker: this is the code to copy. `run` is the job.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use async_nats::Error;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use futures_util::TryStreamExt;
use retry_ext::{Jitter, RetryPolicy};
use tokio::time::timeout;
use workers_example::run;

/// The delays are short, so that the example ends soon. A job has four attempts, in the 60 days after it was published.
pub const POLICY: RetryPolicy = RetryPolicy::new()
    .with_name("job")
    .with_initial_delay(Duration::from_millis(100))
    .with_jitter(Jitter::Equal)
    .with_max_attempts(4)
    .with_max_elapsed(Duration::from_secs(60 * 24 * 60 * 60));

/// The `ack_wait` of the consumer: a worker that sends nothing for this time has lost its job.
pub const ACK_WAIT: Duration = Duration::from_millis(1500);

/// Takes one job after another.
///
/// # Errors
///
/// If the server cannot be reached.
pub async fn work(jobs: &PullConsumer, now: impl Fn() -> SystemTime) -> Result<(), Error> {
    loop {
        // Not `messages()`: it fetches jobs ahead, whose time runs out before their turn.
        let batch = jobs.batch().max_messages(1).expires(Duration::from_secs(30));
        let mut batch = batch.messages().await?;
        while let Some(message) = batch.try_next().await? {
            let answer = attempt(&message, now()).await?;
            if matches!(answer, AckKind::Term) {
                message.context.publish("dead", message.payload.clone()).await?.await?;
            }
            message.double_ack_with(answer).await?;
        }
    }
}

/// Runs a job once, unless it has no attempt or no time left.
async fn attempt(message: &Message, now: SystemTime) -> Result<AckKind, Error> {
    let info = message.info()?;
    let elapsed = now.duration_since(info.published.into()).unwrap_or_default();
    let Ok(mut retry) = POLICY.resume(info.delivered.try_into()?, elapsed) else {
        return Ok(AckKind::Term);
    };
    let Ok(job) = str::from_utf8(&message.payload) else {
        return Ok(AckKind::Term); // not an error of this worker, which would end it
    };
    let mut running = pin!(run(job, retry.attempt()));
    let outcome = loop {
        match timeout(ACK_WAIT / 3, &mut running).await {
            Ok(outcome) => break outcome,
            Err(_elapsed) => message.ack_with(AckKind::Progress).await?,
        }
    };
    Ok(match outcome {
        Ok(()) => {
            retry.succeeded();
            AckKind::Ack
        }
        Err(error) => match retry.delay_after(&error) {
            Ok(delay) => AckKind::Nak(Some(delay)),
            Err(_reason) => AckKind::Term,
        },
    })
}
