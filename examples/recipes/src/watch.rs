//! The recipe for a watch in the manner of Kubernetes: list, then watch from the version of the list.

use futures_util::{Stream, stream};
use reqwest::{Client, Response, StatusCode};
use retry_ext::{CheckStatus, IsTransient, RetryError, RetryPolicy, RetryStreamExt, StatusError};
use serde_json::Value;

/// A watch has broken.
#[derive(Debug, thiserror::Error, IsTransient)]
pub enum WatchError {
    /// There is no answer, or only a part of one.
    #[error("the request failed")]
    #[transient(forward)]
    Request(#[from] reqwest::Error),
    /// The server answered with an error.
    #[error(transparent)]
    #[transient(forward)]
    Status(#[from] StatusError),
    /// The server has forgotten the changes since the last known version.
    #[error("the version is gone")]
    #[transient]
    Gone,
    /// The server has ended the watch, as it does every few minutes.
    #[error("the watch has ended")]
    #[transient]
    Ended,
    /// The server reported another failure within the watch.
    #[error("the watch has failed: {0}")]
    Failed(Value),
    /// The answer has another form.
    #[error("malformed answer")]
    Malformed(#[from] serde_json::Error),
}

/// News about the watched objects.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// The list of all objects: there are no others.
    All(Value),
    /// An object was added, modified or deleted.
    One(Value),
}

/// Yields all objects, and then each change. Stop reading at the first error.
pub fn watch<'a>(
    client: &'a Client,
    url: &'a str,
    policy: RetryPolicy,
) -> impl Stream<Item = Result<Change, RetryError<WatchError>>> {
    let watcher = Watcher { client, url, version: None, events: None };
    stream::unfold(watcher, async |mut watcher| Some((watcher.next().await, watcher)))
        .retry_with(policy)
}

struct Watcher<'a> {
    client: &'a Client,
    url: &'a str,
    /// If there is none, the objects are listed.
    version: Option<String>,
    /// If there are none, a watch begins.
    events: Option<Lines>,
}

impl Watcher<'_> {
    async fn next(&mut self) -> Result<Change, WatchError> {
        let change = self.read().await;
        if let Err(error) = &change {
            self.events = None;
            self.version.take_if(|_| matches!(error, WatchError::Gone));
        }
        change
    }

    async fn read(&mut self) -> Result<Change, WatchError> {
        let Some(version) = &self.version else {
            let list = self.client.get(self.url).send().await?.check_status()?.json().await?;
            self.version = Some(version_of(&list)?);
            return Ok(Change::All(list));
        };
        let events = if let Some(events) = &mut self.events {
            events
        } else {
            let url = format!("{}?watch=1&resourceVersion={version}", self.url);
            let response = self.client.get(url).send().await?;
            if response.status() == StatusCode::GONE {
                return Err(WatchError::Gone);
            }
            self.events.insert(Lines { response: response.check_status()?, read: Vec::new() })
        };
        let line = events.next().await?.ok_or(WatchError::Ended)?;
        let event: Value = serde_json::from_slice(&line)?;
        match &event["object"] {
            status if event["type"] == "ERROR" && status["code"] == 410 => Err(WatchError::Gone),
            status if event["type"] == "ERROR" => Err(WatchError::Failed(status.clone())),
            object => {
                self.version = Some(version_of(object)?);
                Ok(Change::One(event))
            }
        }
    }
}

fn version_of(object: &Value) -> Result<String, serde_json::Error> {
    serde_json::from_value(object["metadata"]["resourceVersion"].clone())
}

/// The lines of a body.
struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, reqwest::Error> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.read.drain(..=end).collect()));
            }
            let Some(chunk) = self.response.chunk().await? else { return Ok(None) };
            self.read.extend_from_slice(&chunk);
        }
    }
}
