//! The recipe for tokio-tungstenite.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryFutureExt, stream};
use retry_ext::{IsTransient, ResubscribeExt, RetryError, RetryPolicy, StatusError};
use tokio::time::{error::Elapsed, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The server pings more often than this.
const SILENCE: Duration = Duration::from_secs(60);

/// A feed has broken.
#[derive(Debug, thiserror::Error, IsTransient)]
pub enum FeedError {
    /// The handshake or the connection failed.
    #[error(transparent)]
    #[transient(if = is_transient_failure(_0), after = refusal(_0).and_then(|status| status.retry_after()))]
    Socket(#[from] Error),
    /// The server closed the connection, and gave a reason.
    #[error("closed by the server: {0}")]
    #[transient(if = matches!(_0.code, CloseCode::Away | CloseCode::Error | CloseCode::Restart | CloseCode::Again))]
    Closed(CloseFrame),
    /// The server sent nothing, not even a ping.
    #[error("silent for too long")]
    #[transient]
    Silent(#[from] Elapsed),
}

fn is_transient_failure(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.is_transient(),
        Error::Protocol(
            ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
        ) => true,
        _ => refusal(error).is_some_and(|status| status.is_transient()),
    }
}

/// The server's answer to the handshake, if it is an error.
fn refusal(error: &Error) -> Option<StatusError> {
    let Error::Http(response) = error else { return None };
    StatusError::check(response.status(), response.headers()).err()
}

/// Yields the messages of a feed from number `next` on, and connects again after each break.
///
/// Add 1 to `next` when a message has been processed.
pub fn subscribe(
    url: &str,
    next: &AtomicU64,
    policy: RetryPolicy,
) -> impl Stream<Item = Result<Utf8Bytes, RetryError<FeedError>>> {
    let connect = move || connect(format!("{url}?from={}", next.load(Relaxed)));
    (move || connect().try_flatten_stream()).retry_with(policy)
}

async fn connect(
    url: String,
) -> Result<impl Stream<Item = Result<Utf8Bytes, FeedError>>, FeedError> {
    let (socket, _) = timeout(SILENCE, connect_async(url)).await??;
    Ok(stream::try_unfold(socket, async |mut socket| {
        loop {
            match timeout(SILENCE, socket.next()).await?.transpose()? {
                Some(Message::Text(text)) => return Ok(Some((text, socket))),
                Some(Message::Close(Some(frame))) if frame.code != CloseCode::Normal => {
                    return Err(FeedError::Closed(frame));
                }
                Some(_) => {} // a ping, for example, which the socket answers by itself
                None => return Ok(None),
            }
        }
    }))
}
