//! tokio-tungstenite and a server on loopback, which breaks each of its first connections in a different way.

mod common;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use common::POLICY;
use database_example::reserve_port;
use futures_util::{SinkExt, StreamExt};
use recipes_example::websocket::{FeedError, subscribe};
use retry_ext::{IsTransient, RetryError, RetryPolicy, StopReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// The end of a connection.
#[derive(Clone, Copy)]
enum End {
    /// The answer to the handshake, instead of a WebSocket.
    Answer(&'static str),
    Reset,
    /// The socket is closed, without a closing frame.
    Drop,
    Close(CloseCode),
    /// The connection stays open, and the server sends nothing.
    Silent,
}

/// Starts a server with a script: for each connection, the number of messages and the end. Its port is reserved, so that
/// no other server listens on it after the script.
async fn server<const N: usize>(script: [(u64, End); N]) -> String {
    let port = reserve_port().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port");
    let url = format!("ws://{}/feed", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        for (count, end) in script {
            let (socket, _) = listener.accept().await.expect("a client");
            serve(socket, count, end).await.expect("it is served");
        }
    });
    url
}

async fn serve(mut socket: TcpStream, count: u64, end: End) -> Result<(), Error> {
    if let End::Answer(answer) = end {
        let mut request = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let read = socket.read(&mut request).await?;
            request.rotate_left(read);
        }
        return Ok(socket.write_all(answer.as_bytes()).await?);
    }
    let (mut first, mut socket) = accept(socket).await?;
    for _ in 0..count {
        socket.send(Message::text(first.to_string())).await?;
        first += 1;
    }
    match end {
        End::Answer(_) | End::Drop => {}
        End::Reset => socket.get_ref().set_zero_linger()?,
        End::Close(code) => {
            socket.close(Some(CloseFrame { code, reason: "".into() })).await?;
            while socket.next().await.is_some_and(|answer| answer.is_ok()) {}
        }
        End::Silent => std::future::pending().await,
    }
    Ok(())
}

/// Accepts a WebSocket, and returns it with the number of the first message that the client requests.
async fn accept(socket: TcpStream) -> Result<(u64, WebSocketStream<TcpStream>), Error> {
    let mut first = 0;
    #[expect(clippy::result_large_err, reason = "the type of tungstenite")]
    let read_query = |request: &Request, response: Response| {
        let query = request.uri().query().expect("a query");
        let number = query.strip_prefix("from=").expect("a position");
        first = number.parse().expect("a number");
        Ok(response)
    };
    // A reset discards messages that are not yet sent.
    socket.set_nodelay(true)?;
    let socket = accept_hdr_async(socket, read_query).await?;
    Ok((first, socket))
}

/// Reads a whole feed, which numbers its messages from 1, up to its end or to the error that ends it.
async fn read(url: &str, policy: RetryPolicy) -> (u64, Result<(), RetryError<FeedError>>) {
    let next = AtomicU64::new(1);
    let mut messages = pin!(subscribe(url, &next, policy));
    let mut ended = Ok(());
    while let Some(message) = messages.next().await {
        assert!(ended.is_ok(), "nothing follows an error");
        match message {
            Ok(text) => assert_eq!(text.parse(), Ok(next.fetch_add(1, Relaxed))),
            Err(error) => ended = Err(error),
        }
    }
    (next.load(Relaxed) - 1, ended)
}

const BUSY: End = End::Answer("HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n");

#[tokio::test]
async fn each_message_comes_once_through_every_kind_of_break() {
    let url = server([
        (0, BUSY),
        (2, End::Reset),
        (0, End::Drop),
        (1, End::Close(CloseCode::Restart)),
        (0, End::Reset),
        (0, End::Close(CloseCode::Away)),
        (2, End::Drop),
        (0, End::Answer("")), // closed within the handshake
        (0, End::Close(CloseCode::Again)),
        (1, End::Close(CloseCode::Error)),
        (1, End::Close(CloseCode::Normal)),
    ])
    .await;
    let (messages, ended) = read(&url, POLICY).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(messages, 7);
}

#[tokio::test]
async fn a_close_for_a_lasting_reason_is_not_retried() {
    for code in [CloseCode::Policy, CloseCode::Unsupported] {
        let (messages, ended) = read(&server([(1, End::Close(code))]).await, POLICY).await;
        let error = ended.expect_err("closed");
        assert_eq!((messages, error.attempts(), error.reason()), (1, 1, StopReason::Permanent));
        assert!(matches!(error.error(), FeedError::Closed(frame) if frame.code == code));
    }
}

#[tokio::test]
async fn a_refusal_is_classified_by_its_status_and_has_a_hint() {
    const ONCE: RetryPolicy = RetryPolicy::new().with_max_attempts(1);
    let answers = [
        ("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", Some(7)),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", None),
    ];
    for (answer, hint) in answers {
        let (_, ended) = read(&server([(0, End::Answer(answer))]).await, ONCE).await;
        let error = ended.expect_err("refused").into_error();
        assert_eq!(error.is_transient(), hint.is_some(), "{error}");
        assert_eq!(error.retry_after(), hint.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_server_that_goes_away_ends_the_feed_with_its_last_error() {
    let (messages, ended) = read(&server([(3, End::Reset)]).await, POLICY).await;
    let error = ended.expect_err("refused");
    assert_eq!((messages, error.attempts()), (3, 4));
    let FeedError::Socket(Error::Io(error)) = error.error() else { panic!("{error:?}") };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_silent_connection_is_a_failure() {
    let (url, next) = (server([(1, End::Silent)]).await, AtomicU64::new(1));
    let once = RetryPolicy::new().with_max_attempts(1);
    let mut messages = pin!(subscribe(&url, &next, once));
    assert!(messages.next().await.expect("an item").is_ok());
    // The server sends nothing more, so the paused clock runs ahead.
    tokio::time::pause();
    let error = messages.next().await.expect("an item").expect_err("silent");
    assert!(matches!(error.error(), FeedError::Silent(_)) && error.error().is_transient());
}

#[tokio::test]
async fn the_stream_can_be_read_in_a_spawned_task() {
    let url = server([(1, End::Drop), (1, End::Close(CloseCode::Normal))]).await;
    let task = tokio::spawn(async move { read(&url, POLICY).await });
    assert!(matches!(task.await.expect("it does not panic"), (2, Ok(()))));
}
