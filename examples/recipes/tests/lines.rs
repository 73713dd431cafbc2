//! The line protocol and a server on loopback, which breaks each of its first connections in a different way.

mod common;

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::POLICY;
use futures_util::StreamExt;
use recipes_example::lines::follow;
use retry_ext::StopReason;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Reads the number of the first line that a client requests.
async fn requested(socket: &mut BufReader<TcpStream>) -> io::Result<usize> {
    let mut request = String::new();
    socket.read_line(&mut request).await?;
    let number = request.strip_prefix("FROM ").expect("a request");
    Ok(number.trim_end().parse().expect("a number"))
}

/// Serves four connections, and ends.
async fn serve(listener: TcpListener) -> io::Result<()> {
    let journal = ["", "one\n", "two\n", "three\n", "four\n", "five\n"];
    for connection in 1..=4 {
        let mut socket = BufReader::new(listener.accept().await?.0);
        let first = requested(&mut socket).await?;
        let sent = match connection {
            1 => "one\ntwo\nthr".to_owned(), // cut off
            2 => journal[first].to_owned(),
            3 => String::new(),
            _ => journal[first..].concat(),
        };
        socket.write_all(sent.as_bytes()).await?;
        if connection == 2 {
            socket.get_ref().set_zero_linger()?; // a reset
        }
        if connection == 4 {
            drop(listener); // before the client knows that the connection has ended
            break;
        }
    }
    Ok(())
}

async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(serve(listener));
    address
}

#[tokio::test]
async fn each_line_comes_once_through_cuts_and_resets() {
    let (address, next) = (server().await, AtomicU64::new(1));
    let mut lines = pin!(follow(&address, &next, POLICY));
    for expected in ["one", "two", "three", "four", "five"] {
        assert_eq!(lines.next().await.expect("an item").expect("a line"), expected);
        next.fetch_add(1, Relaxed);
    }
    let error = lines.next().await.expect("the server has gone").expect_err("refused");
    assert_eq!((error.attempts(), error.reason()), (4, StopReason::AttemptsExhausted));
    assert_eq!(error.error().kind(), ErrorKind::ConnectionRefused);
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_line_that_was_not_processed_comes_again_after_a_break() {
    let (address, next) = (server().await, AtomicU64::new(1));
    let mut lines = pin!(follow(&address, &next, POLICY));
    for expected in ["one", "two", "one"] {
        assert_eq!(lines.next().await.expect("an item").expect("a line"), expected);
    }
}

#[tokio::test]
async fn the_stream_can_be_read_in_a_spawned_task() {
    let address = server().await;
    let task = tokio::spawn(async move {
        let next = AtomicU64::new(1);
        let mut lines = pin!(follow(&address, &next, POLICY));
        while let Some(line) = lines.next().await {
            line?;
            next.fetch_add(1, Relaxed);
        }
        Ok::<_, retry_ext::RetryError<io::Error>>(())
    });
    let error = task.await.expect("it does not panic").expect_err("the server has gone");
    assert_eq!(error.error().kind(), ErrorKind::ConnectionRefused);
}
