//! An HTTP server on loopback, which serves the page and fails in four ways.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::bundle::Page;

const HTML: &str = include_str!("../page/index.html");
const POEM: &str = "Once upon a midnight dreary, while I pondered, weak and weary";

/// The server. It runs until the program ends.
#[derive(Debug)]
pub struct Server {
    /// The address of the page.
    pub url: String,
    calls: Arc<Calls>,
}

/// The number of calls with each id.
type Calls = Mutex<HashMap<String, u32>>;

impl Server {
    /// Starts the server on a free port.
    ///
    /// # Errors
    ///
    /// Returns an error if loopback has no free port.
    pub fn start(page: Page) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let (page, calls) = (Arc::new(page), Arc::new(Calls::default()));
        let counter = Arc::clone(&calls);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (page, calls) = (Arc::clone(&page), Arc::clone(&counter));
                // Each connection has its own thread, because browsers open connections in advance.
                thread::spawn(move || answer(&stream, &page, &calls));
            }
        });
        Ok(Self { url, calls })
    }

    /// Returns the number of calls with this id.
    #[must_use]
    pub fn calls(&self, id: &str) -> u32 {
        count(&self.calls, id, 0)
    }
}

fn count(calls: &Calls, id: &str, further: u32) -> u32 {
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let count = calls.entry(id.to_owned()).or_default();
    *count += further;
    *count
}

fn answer(stream: &TcpStream, page: &Page, calls: &Calls) -> io::Result<()> {
    let mut head = [0; 512];
    // Peeks at the request: closing a connection with an unread request resets the connection.
    let length = stream.peek(&mut head)?;
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: HashMap<&str, &str> =
        query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let number = |key| query.get(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);

    let id = query.get("id").copied().unwrap_or_default();
    let failing = ["/busy", "/half", "/reset", "/slow"].contains(&path)
        && u64::from(count(calls, id, 1)) <= number("times");
    if failing && path == "/reset" {
        return Ok(());
    }
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    match path {
        "/" => whole(stream, "200 OK\r\nContent-Type: text/html; charset=utf-8", HTML.as_bytes()),
        "/page.js" => {
            whole(stream, "200 OK\r\nContent-Type: text/javascript", page.script.as_bytes())
        }
        "/page.wasm" => whole(stream, "200 OK\r\nContent-Type: application/wasm", &page.module),
        "/busy" if failing => {
            thread::sleep(Duration::from_millis(number("work")));
            let hint =
                query.get("hint").map_or(String::new(), |hint| format!("\r\nRetry-After: {hint}"));
            whole(stream, &format!("503 Service Unavailable{hint}"), b"")
        }
        "/half" if failing => {
            let half = &POEM[..POEM.len() / 2];
            whole_but(stream, "200 OK", half.as_bytes(), POEM.len() - half.len())
        }
        "/slow" if failing => {
            // Waits until the browser closes the connection.
            let mut connection = stream;
            io::copy(&mut connection, &mut io::sink()).map(drop)
        }
        "/busy" | "/half" | "/reset" | "/slow" => whole(stream, "200 OK", POEM.as_bytes()),
        _ => whole(stream, "404 Not Found", b""),
    }
}

fn whole(stream: &TcpStream, head: &str, body: &[u8]) -> io::Result<()> {
    whole_but(stream, head, body, 0)
}

/// Writes an answer that ends this many bytes too early.
fn whole_but(mut stream: &TcpStream, head: &str, body: &[u8], missing: usize) -> io::Result<()> {
    let length = body.len() + missing;
    write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
