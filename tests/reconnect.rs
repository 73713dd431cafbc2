//! Streams over real sockets: a server that cuts messages, resets connections and goes away.
//!
//! These tests really wait: a millisecond after each break.

mod common;

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use common::ms;
use futures_util::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt, stream};
use retry_ext::prelude::*;
use retry_ext::{RetryError, RetryPolicy, StopReason};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The number of the last message.
const LAST: u32 = 20;

/// The message before a cut one may be lost, and so may the connection before the cut message. That
/// makes four attempts at most.
static POLICY: RetryPolicy =
    RetryPolicy::new().with_initial_delay(ms(1)).with_max_attempts(5).with_logging(false);

/// Starts a server that sends the messages from the requested one up to `LAST`, and then goes away.
///
/// Every third message is cut in half, and its connection is closed. Every third connection is
/// reset after a message.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener));
    address
}

async fn serve(listener: TcpListener) -> Result<()> {
    let (mut connections, mut messages) = (0, 0);
    loop {
        let (socket, _) = listener.accept().await?;
        connections += 1;
        let mut socket = BufReader::new(socket);
        let mut request = String::new();
        socket.read_line(&mut request).await?;
        let first: u32 = request.trim_end().parse().expect("a number");
        for number in first..=LAST {
            if connections % 3 == 0 && number > first {
                socket.get_ref().set_zero_linger()?;
                break;
            }
            messages += 1;
            let line = format!("{number:08}\n");
            if messages % 3 == 0 {
                socket.write_all(&line.as_bytes()[..4]).await?;
                break;
            }
            socket.write_all(line.as_bytes()).await?;
            if number == LAST {
                // The port is closed before the client notices the closed connection. The
                // connections that this server has closed keep the port from other programs.
                drop(listener);
                return Ok(());
            }
        }
    }
}

/// Subscribes to the messages from `first` on. A message that was cut in half is an error, and so
/// is the end.
async fn subscribe(
    address: SocketAddr,
    first: u32,
) -> Result<impl Stream<Item = Result<u32>> + Send> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(format!("{first}\n").as_bytes()).await?;
    Ok(stream::try_unfold(BufReader::new(socket), async |mut socket| {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        let Some(number) = line.strip_suffix('\n') else {
            return Err(ErrorKind::UnexpectedEof.into());
        };
        Ok(Some((number.parse().expect("a number"), socket)))
    }))
}

/// Returns a stream that recovers by itself: a poll after a failure connects again.
fn watch(address: SocketAddr) -> impl Stream<Item = Result<u32>> + Send {
    stream::unfold((1, None), move |(next, connection)| async move {
        let read = async {
            let mut messages = match connection {
                Some(messages) => messages,
                None => subscribe(address, next).await?.boxed(),
            };
            Ok((messages.try_next().await?.expect("the end is an error"), messages))
        };
        Some(match read.await {
            Ok((number, messages)) => (Ok(number), (number + 1, Some(messages))),
            Err(error) => (Err(error), (next, None)),
        })
    })
}

/// The numbers of the messages, and the error that ended them.
type Received = (Vec<u32>, Option<RetryError<Error>>);

/// Receives through a closure that subscribes again. Also returns the kinds of the retried errors.
async fn receive_by_subscribing(address: SocketAddr) -> (Received, Vec<ErrorKind>) {
    let (next, mut kinds, mut numbers) = (AtomicU32::new(1), Vec::new(), Vec::new());
    let messages = (|| subscribe(address, next.load(Relaxed)).try_flatten_stream())
        .on_retry(|retry| kinds.push(retry.error.kind()))
        .retry_with(&POLICY);
    let mut messages = pin!(messages);
    let mut stopped = None;
    while let Some(message) = messages.next().await {
        assert!(stopped.is_none(), "nothing follows the error that ends the stream");
        match message {
            Ok(number) => {
                next.store(number + 1, Relaxed);
                numbers.push(number);
            }
            Err(error) => stopped = Some(error),
        }
    }
    assert!(messages.next().await.is_none());
    ((numbers, stopped), kinds)
}

/// Receives through a stream that recovers by itself, up to its first give-up.
async fn receive_by_watching(address: SocketAddr) -> Received {
    let mut messages = pin!(watch(address).retry_with(&POLICY));
    let mut numbers = Vec::new();
    loop {
        match messages.next().await.expect("it never ends") {
            Ok(number) => numbers.push(number),
            Err(error) => return (numbers, Some(error)),
        }
    }
}

#[track_caller]
fn assert_complete((numbers, stopped): Received) {
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
    let stopped = stopped.expect("the server has gone away");
    assert_eq!(stopped.error().kind(), ErrorKind::ConnectionRefused);
    assert_eq!((stopped.attempts(), stopped.reason()), (5, StopReason::AttemptsExhausted));
}

#[tokio::test]
async fn a_closure_that_subscribes_again_yields_every_item_once_and_then_gives_up() {
    let (received, kinds) = receive_by_subscribing(server().await).await;
    assert_complete(received);
    for kind in [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused]
    {
        assert!(kinds.contains(&kind), "{kind:?}: {kinds:?}");
    }
}

#[tokio::test]
async fn a_stream_that_recovers_by_itself_yields_every_item_once_and_goes_on_after_a_give_up() {
    let address = server().await;
    assert_complete(receive_by_watching(address).await);
    // Without a server, each item is a give-up.
    let mut messages = pin!(watch(address).retry_with(&POLICY));
    for _ in 0..2 {
        let error = messages.next().await.expect("it never ends").expect_err("refused");
        assert_eq!((error.attempts(), error.error().kind()), (5, ErrorKind::ConnectionRefused));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_spawned_clients_yield_every_item_once() {
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let subscriber = tokio::spawn(async { receive_by_subscribing(server().await).await.0 });
            let watcher = tokio::spawn(async { receive_by_watching(server().await).await });
            [subscriber, watcher]
        })
        .collect();
    for client in clients.into_iter().flatten() {
        assert_complete(client.await.expect("it does not panic"));
    }
}

/// Returns the next item, and drops every `next()` after one poll.
async fn next_of_many<S: Stream + Unpin>(items: &mut S) -> Option<S::Item> {
    loop {
        if let Some(item) = items.next().now_or_never() {
            return item;
        }
        sleep(ms(1)).await;
    }
}

#[tokio::test]
async fn a_dropped_next_loses_nothing_of_a_connection_a_read_or_a_wait() {
    let (address, next) = (server().await, AtomicU32::new(1));
    let subscribe = || subscribe(address, next.load(Relaxed)).try_flatten_stream();
    let mut messages = pin!(subscribe.retry_with(&POLICY));
    for expected in 1..=LAST {
        let number = next_of_many(&mut messages).await.expect("an item").expect("a message");
        assert_eq!(number, expected);
        next.store(number + 1, Relaxed);
    }
    assert!(next_of_many(&mut messages).await.expect("the error").is_err());
    assert!(next_of_many(&mut messages).await.is_none());

    let mut messages = pin!(watch(server().await).retry_with(&POLICY));
    for expected in 1..=LAST {
        let number = next_of_many(&mut messages).await.expect("an item").expect("a message");
        assert_eq!(number, expected);
    }
}
