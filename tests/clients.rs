//! Real clients against a server that fails in every way: their errors, and the classification.
//!
//! The table is in `docs/http-classification.md`. After a review of the changes, run
//! `TABLE=overwrite cargo test --test clients` to accept them.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{env, fs, thread};

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame};
use hyper_util::rt::TokioIo;
use retry_ext::{
    AsyncRetryExt, CheckStatus, HttpError, IsTransient, RetryError, RetryExt, RetryPolicy, codes,
};

/// The server's behaviour on one connection.
type Answer = fn(&mut TcpStream) -> io::Result<()>;

/// A server on loopback that gives these answers in turn, and then repeats the last one.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start(answers: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                let answer = answers[number.min(answers.len() - 1)];
                // Each connection has a separate thread, so that a stalled one does not hold up the
                // next.
                thread::spawn(move || answer(&mut stream?));
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn read_request(stream: &TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Reads the request, writes the text, and closes the connection.
fn write(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    read_request(stream)?;
    stream.write_all(text.as_bytes())
}

/// Reads the request, writes the text, and waits for the client to give up.
fn stall(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    write(stream, text)?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str) -> io::Result<()> {
    let rest = "Content-Length: 4\r\nConnection: close\r\n\r\nbody";
    write(stream, &format!("HTTP/1.1 {status}\r\n{headers}{rest}"))
}

/// Leaves bytes unread, so that the connection is reset instead of closed.
fn reset(stream: &mut TcpStream) -> io::Result<()> {
    stream.peek(&mut [0]).map(|_| ())
}

const BUSY: &str = "503 Service Unavailable";

const ROWS: [(&str, Answer); 17] = [
    ("connection reset before the head", reset),
    ("connection closed without an answer", |stream| read_request(stream)),
    ("half a head", |stream| write(stream, "HTTP/1.1 200 OK\r\nContent-Len")),
    ("half a body", |stream| write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbody")),
    ("half a chunk", |stream| {
        write(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nbody")
    }),
    ("chunk of nonsense", |stream| {
        write(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbody\r\n\r\n")
    }),
    ("not HTTP", |stream| write(stream, "220 mail.example ESMTP ready\r\n\r\n")),
    ("stalled before the head, client timeout", |stream| stall(stream, "")),
    ("stalled in the body, client timeout", |stream| {
        stall(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbody")
    }),
    ("503", |stream| respond(stream, BUSY, "")),
    ("503, `Retry-After` in seconds", |stream| respond(stream, BUSY, "Retry-After: 7\r\n")),
    ("503, `Retry-After` as IMF-fixdate", |stream| {
        let dates =
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:44 GMT\r\n";
        respond(stream, BUSY, dates)
    }),
    ("503, `Retry-After` as RFC 850 date", |stream| {
        let dates = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sunday, 06-Nov-94 08:49:44 GMT\r\n";
        respond(stream, BUSY, dates)
    }),
    ("503, `Retry-After` as asctime date", |stream| {
        let dates =
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun Nov  6 08:49:44 1994\r\n";
        respond(stream, BUSY, dates)
    }),
    ("429, `retry-after-ms` beside `Retry-After`", |stream| {
        respond(stream, "429 Too Many Requests", "retry-after-ms: 250\r\nRetry-After: 1\r\n")
    }),
    ("404", |stream| respond(stream, "404 Not Found", "")),
    ("redirects without end", |stream| respond(stream, "302 Found", "Location: /\r\n")),
];

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

async fn by_reqwest(url: &str, timeout: Duration) -> Result<String, HttpError<reqwest::Error>> {
    let client = reqwest::Client::builder().no_proxy().timeout(timeout).build()?;
    Ok(client.get(url).send().await?.check_status()?.text().await?)
}

fn by_ureq(url: &str, timeout: Duration) -> Result<String, HttpError<ureq::Error>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .proxy(None)
        .build()
        .into();
    Ok(agent.get(url).call()?.check_status()?.body_mut().read_to_string()?)
}

/// The error type of `docs/http-classification.md`.
#[derive(Debug, IsTransient)]
#[transient(if = codes::transient_io_within(&**_0) || _0.downcast_ref().is_some_and(is_closed))]
struct HyperError(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for HyperError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

fn is_closed(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}

async fn by_hyper(url: &str, timeout: Duration) -> Result<String, HttpError<HyperError>> {
    let response = tokio::time::timeout(timeout, send(url)).await;
    let response =
        response.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
    Ok(response.map_err(HttpError::Request)?.check_status()?.into_body())
}

async fn send(url: &str) -> Result<Response<String>, HyperError> {
    let uri: Uri = url.parse()?;
    let host = uri.host().unwrap_or_default();
    let stream = tokio::net::TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(uri.path()).header("host", host).body(String::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, String::from_utf8_lossy(&body).into_owned()))
}

fn verdict(result: Result<String, impl IsTransient>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) if !error.is_transient() => "permanent".to_owned(),
        Err(error) => match error.retry_after() {
            None => "transient".to_owned(),
            Some(hint) => format!("transient, {hint:?}"),
        },
    }
}

async fn row(situation: &str, url: &str, timeout: Duration) -> String {
    let by_reqwest = verdict(by_reqwest(url, timeout).await);
    let by_hyper = verdict(by_hyper(url, timeout).await);
    let by_ureq = verdict(by_ureq(url, timeout));
    line([situation, &by_reqwest, &by_ureq, &by_hyper])
}

fn line(cells: [&str; 4]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// This test really waits, but only for the short timeouts of the clients.
#[tokio::test]
async fn every_failure_is_classified_as_the_table_says() {
    let mut table = line(["failure", "reqwest 0.13", "ureq 3", "hyper 1"]) + "|---|---|---|---|\n";
    // Port 1 (tcpmux) has no server.
    table += &row("connection refused", "http://127.0.0.1:1/", LONG).await;
    for (situation, answer) in &ROWS {
        let server = Server::start(std::slice::from_ref(answer));
        let timeout = if situation.contains("timeout") { SHORT } else { LONG };
        table += &row(situation, &server.url, timeout).await;
    }
    // No resolver sends such a label to the network: it is longer than 63 bytes.
    let unknown = format!("http://{}.invalid/", "x".repeat(64));
    table += &row("unknown host", &unknown, LONG).await;
    table += &row("URL of nonsense", "http://[::1/", LONG).await;
    let reqwest = verdict(by_reqwest("gopher://127.0.0.1/", LONG).await);
    let ureq = verdict(by_ureq("gopher://127.0.0.1/", LONG));
    table += &line(["URL of another scheme", &reqwest, &ureq, "not seen"]);
    assert_is_in_the_docs(&table);
}

fn assert_is_in_the_docs(table: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http-classification.md");
    let text = fs::read_to_string(&file).expect("the page is there");
    let (before, rest) = text.split_once("<!-- table -->\n").expect("a mark before the table");
    let (listed, after) = rest.split_once("<!-- end -->\n").expect("a mark after the table");
    if env::var_os("TABLE").is_some_and(|value| value == "overwrite") {
        let mut text = before.to_owned();
        write!(text, "<!-- table -->\n\n{table}\n<!-- end -->\n{after}").expect("text");
        fs::write(&file, text).expect("the page is written");
    } else {
        assert_eq!(listed.trim(), table.trim(), "TABLE=overwrite accepts it");
    }
}

/// One failure of each kind, and then the page.
const FAILURES: &[Answer] = &[
    reset,
    |stream| write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbody"),
    |stream| respond(stream, BUSY, "Retry-After: 7\r\n"),
    |stream| respond(stream, "429 Too Many Requests", "retry-after-ms: 250\r\n"),
    |stream| respond(stream, "200 OK", ""),
];

const POLICY: RetryPolicy =
    RetryPolicy::new().with_max_attempts(5).with_initial_delay(Duration::from_millis(1));

const WAITS: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_secs(7),
    Duration::from_millis(250),
];

async fn page_by_reqwest(
    url: &str,
    waits: &mut Vec<Duration>,
) -> Result<String, RetryError<HttpError<reqwest::Error>>> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    (async || Ok(client.get(url).send().await?.check_status()?.text().await?))
        .sleep_with(|delay| {
            waits.push(delay);
            async {}
        })
        .retry_with(POLICY)
        .await
}

fn page_by_ureq(
    url: &str,
    waits: &mut Vec<Duration>,
) -> Result<String, RetryError<HttpError<ureq::Error>>> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let agent = ureq::Agent::from(config);
    (|| Ok(agent.get(url).call()?.check_status()?.body_mut().read_to_string()?))
        .sleep_with(|delay| waits.push(delay))
        .retry_with(POLICY)
}

#[tokio::test]
async fn reqwest_reads_the_page_on_the_fifth_connection() {
    let server = Server::start(FAILURES);
    let mut waits = Vec::new();
    let page = page_by_reqwest(&server.url, &mut waits).await;
    assert_eq!((page.expect("a page").as_str(), server.connections()), ("body", 5));
    assert_eq!(waits, WAITS);
}

#[test]
fn ureq_reads_the_page_on_the_fifth_connection() {
    let server = Server::start(FAILURES);
    let mut waits = Vec::new();
    let page = page_by_ureq(&server.url, &mut waits);
    assert_eq!((page.expect("a page").as_str(), server.connections()), ("body", 5));
    assert_eq!(waits, WAITS);
}

#[test]
fn a_status_error_of_the_client_itself_is_classified_but_has_no_hint() {
    const BUSY_THEN_GONE: &[Answer] = &[
        |stream| respond(stream, BUSY, "Retry-After: 7\r\n"),
        |stream| respond(stream, "410 Gone", "Retry-After: 7\r\n"),
    ];
    let server = Server::start(BUSY_THEN_GONE);
    let agent = ureq::Agent::from(ureq::Agent::config_builder().proxy(None).build());
    for transient in [true, false] {
        let error = agent.get(&server.url).call().expect_err("a status");
        assert!(matches!(error, ureq::Error::StatusCode(_)), "{error:?}");
        assert_eq!((error.is_transient(), error.retry_after()), (transient, None));
    }
}

#[tokio::test]
async fn error_for_status_is_classified_but_has_no_hint() {
    for (answers, transient) in [(&FAILURES[2..3], true), (&[ROWS[15].1 as Answer], false)] {
        let server = Server::start(answers.to_vec().leak());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let response = client.get(&server.url).send().await.expect("a response");
        let error = response.error_for_status().expect_err("a status");
        assert_eq!((error.is_transient(), error.retry_after()), (transient, None), "{error}");
    }
}

/// A request's body that fails at once.
struct Failing(Option<Box<dyn Error + Send + Sync>>);

impl Body for Failing {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// Returns hyper's errors of a connection that is given up: before a request, and during one.
async fn closed_and_canceled(server: &Server) -> (hyper::Error, hyper::Error) {
    let address = server.url.trim_start_matches("http://").trim_end_matches('/');
    let connect = async || {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("no request yet")
    };
    let (mut sender, connection) = connect().await;
    drop(connection);
    let closed = sender.ready().await.expect_err("given up");
    let (mut sender, connection) = connect().await;
    let response = sender.send_request(Request::new(String::new()));
    drop(connection);
    (closed, response.await.expect_err("given up"))
}

#[tokio::test]
async fn causes_within_the_errors_of_reqwest_are_found() {
    let server = Server::start(&[|stream| stall(stream, "")]);
    let (closed, canceled) = closed_and_canceled(&server).await;
    assert!(closed.is_closed() && canceled.is_canceled(), "{closed:?} {canceled:?}");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let causes: [(Box<dyn Error + Send + Sync>, bool); 5] = [
        (closed.into(), true),
        (canceled.into(), true),
        (io::Error::from(io::ErrorKind::ConnectionReset).into(), true),
        (io::Error::from(io::ErrorKind::PermissionDenied).into(), false),
        ("no cause".into(), false),
    ];
    for (cause, transient) in causes {
        let body = reqwest::Body::wrap(Failing(Some(cause)));
        let error = client.post(&server.url).body(body).send().await.expect_err("no body");
        assert_eq!(error.is_transient(), transient, "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_that_the_caller_refuses_is_permanent() {
    let server = Server::start(&[ROWS[16].1]);
    let refuse = |attempt: reqwest::redirect::Attempt<'_>| {
        attempt.error(io::Error::from(io::ErrorKind::TimedOut))
    };
    let refuse = reqwest::redirect::Policy::custom(refuse);
    let client = reqwest::Client::builder().no_proxy().redirect(refuse).build();
    let request = client.expect("a client").get(&server.url).send();
    let error = request.await.expect_err("a redirect");
    assert!(error.is_redirect() && !error.is_transient(), "{error:?}");
}

#[test]
fn causes_that_a_connector_wraps_are_found() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    assert!(ureq::Error::Io(io::Error::other(reset())).is_transient());
    assert!(ureq::Error::Other(Box::new(reset())).is_transient());
    assert!(!ureq::Error::Other(Box::new(denied())).is_transient());
    assert!(ureq::Error::ConnectionFailed.is_transient());
    for error in [ureq::Error::HostNotFound, ureq::Error::Io(denied()), ureq::Error::TlsRequired] {
        assert!(!error.is_transient(), "{error:?}");
    }
}
