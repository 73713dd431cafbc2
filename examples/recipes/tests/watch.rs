//! The watch and a server on loopback, which answers HTTP requests from a script.

mod common;

use std::io;
use std::pin::pin;

use common::POLICY;
use futures_util::StreamExt;
use recipes_example::watch::{Change, WatchError, watch};
use reqwest::Client;
use retry_ext::{IsTransient, RetryError, StopReason};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A request and its answer.
struct Exchange {
    path: &'static str,
    answer: String,
    resets: bool,
}

/// Returns a list of this version.
fn list(version: u32) -> Exchange {
    let body = format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[]}}"#);
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    Exchange { path: "/pods", answer, resets: false }
}

/// Returns a watch with these lines, which is cut off.
fn events(path: &'static str, lines: &[String]) -> Exchange {
    let mut answer = String::from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    for line in lines {
        // A line in two chunks, as a server may write it.
        let (begin, end) = line.split_at(9);
        let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
        answer += &(chunk(begin) + &chunk(end));
    }
    Exchange { path, answer, resets: false }
}

impl Exchange {
    /// Ends the body regularly.
    fn ended(mut self) -> Self {
        self.answer += "0\r\n\r\n";
        self
    }

    fn reset(mut self) -> Self {
        self.resets = true;
        self
    }
}

fn status(path: &'static str, status: &str) -> Exchange {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    Exchange { path, answer, resets: false }
}

fn event(version: u32) -> String {
    let version = format!(r#"{{"metadata":{{"resourceVersion":"{version}"}}}}"#);
    format!("{{\"type\":\"MODIFIED\",\"object\":{version}}}\n")
}

fn error(code: u32) -> String {
    format!("{{\"type\":\"ERROR\",\"object\":{{\"code\":{code}}}}}\n")
}

/// Starts a server that ends after the script.
async fn server(script: Vec<Exchange>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/pods", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut script = script.into_iter().peekable();
        while let Some(exchange) = script.next() {
            let (socket, _) = listener.accept().await?;
            let mut socket = BufReader::new(socket);
            let (mut head, mut line) = (String::new(), String::new());
            while line != "\r\n" {
                line.clear();
                socket.read_line(&mut line).await?;
                head += &line;
            }
            assert_eq!(head.split(' ').nth(1), Some(exchange.path));
            socket.write_all(exchange.answer.as_bytes()).await?;
            if exchange.resets {
                // Only after the client has read the answer: a reset may overtake it.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                socket.get_ref().set_zero_linger()?;
            }
            if script.peek().is_none() {
                drop(listener); // before the client knows that the connection has ended
                break;
            }
        }
        io::Result::Ok(())
    });
    url
}

/// Reads up to the first error; returns the versions, those of lists as negative numbers.
async fn read(url: &str) -> (Vec<i64>, RetryError<WatchError>) {
    let client = Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let (mut changes, mut versions) = (pin!(watch(&client, url, POLICY)), Vec::new());
    let number = |object: &serde_json::Value| -> i64 {
        object["metadata"]["resourceVersion"]
            .as_str()
            .expect("a version")
            .parse()
            .expect("a number")
    };
    loop {
        match changes.next().await.expect("it never ends") {
            Ok(Change::All(list)) => versions.push(-number(&list)),
            Ok(Change::One(event)) => versions.push(number(&event["object"])),
            Err(error) => return (versions, error),
        }
    }
}

#[tokio::test]
async fn a_watch_goes_on_from_its_version_and_lists_again_when_the_version_is_gone() {
    let server = server(vec![
        status("/pods", "503 Busy"),
        list(5),
        status("/pods?watch=1&resourceVersion=5", "502 Broken"),
        events("/pods?watch=1&resourceVersion=5", &[event(6), event(7)]).reset(),
        events("/pods?watch=1&resourceVersion=7", &[event(8)]),
        events("/pods?watch=1&resourceVersion=8", &[]).ended(),
        status("/pods?watch=1&resourceVersion=8", "410 Gone"),
        list(20),
        events("/pods?watch=1&resourceVersion=20", &[event(21), error(410)]),
        status("/pods", "429 Busy"),
        list(30),
        events("/pods?watch=1&resourceVersion=30", &[event(31)]).ended(),
    ]);
    let (versions, error) = read(&server.await).await;
    assert_eq!(versions, [-5, 6, 7, 8, -20, 21, -30, 31]);
    assert_eq!((error.attempts(), error.reason()), (4, StopReason::AttemptsExhausted));
    assert!(matches!(error.error(), WatchError::Request(error) if error.is_connect()));
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_not_read() {
    let mut cut = events("/pods?watch=1&resourceVersion=5", &[event(6), event(7)]);
    cut.answer.truncate(cut.answer.len() - 12);
    let script = vec![list(5), cut, events("/pods?watch=1&resourceVersion=6", &[event(7)])];
    let (versions, _) = read(&server(script).await).await;
    assert_eq!(versions, [-5, 6, 7]);
}

#[tokio::test]
async fn lasting_errors_are_not_retried() {
    let path = "/pods?watch=1&resourceVersion=5";
    let scripts = [
        vec![status("/pods", "403 Forbidden")],
        vec![list(5), status(path, "403 Forbidden")],
        vec![list(5), events(path, &[error(403)])],
        vec![list(5), events(path, &["not a JSON object\n".into()])],
    ];
    for script in scripts {
        let lists = script.len() - 1;
        let (versions, error) = read(&server(script).await).await;
        assert_eq!((versions.len(), error.attempts()), (lists, 1), "{error}");
        assert!(!error.error().is_transient());
    }
}

#[tokio::test]
async fn the_stream_can_be_read_in_a_spawned_task() {
    let url = server(vec![list(5), events("/pods?watch=1&resourceVersion=5", &[event(6)])]).await;
    let (versions, _) = tokio::spawn(async move { read(&url).await }).await.expect("no panic");
    assert_eq!(versions, [-5, 6]);
}
