//! The stream and its consumer: this is also code to copy.

use async_nats::Error;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};

use crate::worker::ACK_WAIT;

/// The jobs, and the dead ones. A job leaves the stream when it is acknowledged or terminated.
///
/// # Errors
///
/// If the server cannot be reached, or has another stream of this name.
pub async fn jobs(context: &Context) -> Result<Stream, Error> {
    let stream = context.get_or_create_stream(Config {
        name: "JOBS".to_owned(),
        subjects: vec!["jobs".to_owned(), "dead".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    });
    Ok(stream.await?)
}

/// The jobs as workers see them. The policy is the only limit: `max_deliver` would end jobs behind the workers' back.
/// This makes the consumer, or updates it to this configuration: `get_or_create_consumer` would keep an old `ack_wait`.
///
/// # Errors
///
/// As `jobs`.
pub async fn consumer(jobs: &Stream) -> Result<PullConsumer, Error> {
    let consumer = jobs.create_consumer(pull::Config {
        durable_name: Some("workers".to_owned()),
        filter_subject: "jobs".to_owned(),
        ack_wait: ACK_WAIT,
        // A job in its delay counts as pending: 1000 of them, the default, would stop all others.
        max_ack_pending: -1,
        ..pull::Config::default()
    });
    Ok(consumer.await?)
}
