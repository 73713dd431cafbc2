//! A small HTTP server on loopback that fails in real ways, one connection after another.
#![allow(dead_code, unreachable_pub, reason = "each program with this module uses a part of it")]

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The fate of one connection.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The connection is closed with the request unread, which resets the connection.
    Reset,
    /// The connection is closed in the middle of the body.
    HalfABody,
    /// The connection is closed without an answer, after this time.
    Stall(Duration),
    /// A whole answer: status, further header lines, body.
    Whole(&'static str, Vec<String>, &'static str),
}

impl Answer {
    pub fn ok(body: &'static str) -> Self {
        Self::Whole("200 OK", Vec::new(), body)
    }

    pub fn too_many_requests(retry_after: impl Display) -> Self {
        Self::Whole("429 Too Many Requests", vec![format!("Retry-After: {retry_after}")], "")
    }

    pub fn unavailable(retry_after: impl Display) -> Self {
        Self::Whole("503 Service Unavailable", vec![format!("Retry-After: {retry_after}")], "")
    }
}

/// The server, which stops after its last answer.
#[derive(Debug)]
pub struct Server {
    pub url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(answers: Vec<Answer>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for (stream, answer) in listener.incoming().zip(answers) {
                counter.fetch_add(1, Ordering::Relaxed);
                // Each connection has its own thread, so that a stalled connection does not delay
                // the next one.
                thread::spawn(move || stream.and_then(|stream| serve(&stream, &answer)));
            }
        });
        Ok(Self { url, connections })
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    if let Answer::Reset = answer {
        // Waits for the first byte of the request, and closes without reading it.
        stream.peek(&mut [0])?;
        return Ok(());
    }
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    match answer {
        Answer::Reset => Ok(()),
        Answer::HalfABody => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOnce upon")
        }
        Answer::Stall(time) => {
            thread::sleep(*time);
            Ok(())
        }
        Answer::Whole(status, headers, body) => {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len())?;
            for header in headers {
                write!(stream, "{header}\r\n")?;
            }
            write!(stream, "Connection: close\r\n\r\n{body}")
        }
    }
}
