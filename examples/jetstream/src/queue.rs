//! The stream, as the show and the tests use it.

use async_nats::Error;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context};
use workers_example::{Queue, Rules};

use crate::stream::{consumer, jobs};
use crate::worker::{ACK_WAIT, POLICY};

/// The jobs, for the show and the tests.
#[derive(Debug)]
pub struct Jobs {
    context: Context,
    stream: Stream,
}

impl Jobs {
    /// Connects to a server and makes the stream and the consumer.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        let context = jetstream::new(async_nats::connect(address).await?);
        let stream = jobs(&context).await?;
        consumer(&stream).await?;
        Ok(Self { context, stream })
    }

    /// Returns the names of the jobs of a subject. Asks for each message by its number: `nats-server` 2.9 may not find the
    /// only message of a subject by the subject, if messages before and after this one are gone.
    async fn names(&self, subject: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let state = self.stream.get_info().await?.state;
        // Before the first message, both numbers are 0, which is no message's number.
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            match self.stream.get_raw_message(sequence).await {
                Ok(message) if *message.subject == *subject => {
                    let job = String::from_utf8_lossy(&message.payload);
                    names.push(job.split(' ').next().unwrap_or_default().to_owned());
                }
                Ok(_) => {}
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(names)
    }
}

impl Queue for Jobs {
    const RULES: Rules = Rules { policy: POLICY, lease: ACK_WAIT };

    async fn add(&self, job: &str) -> Result<(), Error> {
        self.context.publish("jobs", job.to_owned().into()).await?.await?;
        Ok(())
    }

    async fn open(&self) -> Result<Vec<String>, Error> {
        self.names("jobs").await
    }

    async fn dead(&self) -> Result<Vec<String>, Error> {
        self.names("dead").await
    }
}
