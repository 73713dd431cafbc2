//! `cargo run --example basic_retry` or `cargo run --example basic_retry -- URL`
//!
//! Fetches a page and retries what is transient. Without a URL it starts a server of its own, which
//! closes the first connection, answers the second with 503 and `Retry-After: 1`, and the third with
//! the page.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{io, thread};

use retry_ext::{IsTransient, RetryError, RetryExt, RetryPolicy};
use ureq::http::StatusCode;

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the server answered {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the request failed")]
    Network(#[from] ureq::Error),
}

impl IsTransient for FetchError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 502..=504),
            Self::Network(ureq::Error::Io(error)) => error.is_transient(),
            Self::Network(error) => matches!(error, ureq::Error::Timeout(_)),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Network(_) => None,
        }
    }
}

fn fetch(agent: &ureq::Agent, url: &str) -> Result<String, FetchError> {
    let mut response = agent.get(url).call()?;
    let status = response.status();
    if !status.is_success() {
        let header = response.headers().get("retry-after");
        let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(FetchError::Status { status, retry_after: seconds.map(Duration::from_secs) });
    }
    Ok(response.body_mut().read_to_string()?)
}

fn fetch_and_print(agent: &ureq::Agent, url: &str) -> Result<(), RetryError<FetchError>> {
    let started = Instant::now();
    let mut attempts = 0;
    let body = (|| {
        attempts += 1;
        fetch(agent, url)
    })
    // The library's own records hold no text of the error; here it is no secret.
    .on_retry(|retry| log::info!("attempt {}: {}", retry.attempt, report(retry.error)))
    .retry_with(RetryPolicy::new())?;
    println!("{}", body.trim_end());
    println!("attempts: {attempts}, time: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The error and its causes in one line.
fn report(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

fn main() -> ExitCode {
    // Retries are shown unless RUST_LOG says otherwise.
    let filter = env_logger::Env::default().default_filter_or("info,retry_ext=debug");
    env_logger::Builder::from_env(filter).format_timestamp_millis().init();

    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)));
    let (url, config) = match std::env::args().nth(1) {
        Some(url) => (url, config),
        // No proxy of the environment can reach a server on this machine's loopback.
        None => match flaky_server() {
            Ok(url) => (url, config.proxy(None)),
            Err(error) => {
                eprintln!("cannot start a server on this machine: {error}");
                return ExitCode::FAILURE;
            }
        },
    };
    match fetch_and_print(&config.build().into(), &url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot fetch {url}: {}", report(&error));
            ExitCode::FAILURE
        }
    }
}

/// Answers three connections, each in its own way, and returns where.
fn flaky_server() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || {
        let answers = [
            "",
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 24\r\nConnection: close\r\n\r\nHere is the page at last",
        ];
        for (connection, answer) in listener.incoming().zip(answers) {
            if let Err(error) = connection.and_then(|stream| serve(&stream, answer)) {
                log::error!("the server failed: {error}");
            }
        }
    });
    Ok(url)
}

/// Reads a request up to its empty line, answers it, and closes the connection.
fn serve(mut stream: &TcpStream, answer: &str) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    stream.write_all(answer.as_bytes())
}
