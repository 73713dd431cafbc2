//! The recipe for a line protocol over TCP.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::{Stream, TryFutureExt, stream};
use retry_ext::{ResubscribeExt, RetryError, RetryPolicy};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Yields the lines of a journal from number `next` on, and connects again after each break.
///
/// Add 1 to `next` when a line has been processed.
pub fn follow(
    address: &str,
    next: &AtomicU64,
    policy: RetryPolicy,
) -> impl Stream<Item = Result<String, RetryError<io::Error>>> {
    (move || read_from(address, next.load(Relaxed)).try_flatten_stream()).retry_with(policy)
}

async fn read_from(
    address: &str,
    first: u64,
) -> io::Result<impl Stream<Item = io::Result<String>> + use<>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(format!("FROM {first}\n").as_bytes()).await?;
    Ok(stream::try_unfold(BufReader::new(socket), async |mut socket| {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        // The end of the connection is an error, and so is a line without its end: it was cut off.
        let line = line.strip_suffix('\n').ok_or(ErrorKind::UnexpectedEof)?.to_owned();
        Ok(Some((line, socket)))
    }))
}
