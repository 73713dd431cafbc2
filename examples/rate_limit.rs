//! `cargo run --example rate_limit`
//!
//! A server that limits the rate of requests says when to come back, in `Retry-After`: as seconds or
//! as a date. The error carries that hint, and no attempt is made before it.

#[path = "support/server.rs"]
mod server;

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use retry_ext::{IsTransient, Jitter, RetryExt, RetryPolicy};
use server::{Answer, Server};

const POLICY: RetryPolicy = RetryPolicy::new()
    .with_max_attempts(4)
    .with_initial_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(5)) // also the longest hint that is worth waiting for
    .with_jitter(Jitter::Full);

#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("too many requests")]
    RateLimited { retry_after: Option<Duration> },
    #[error("the server answered {0}")]
    Status(u16),
    #[error("the request failed")]
    Request(#[from] ureq::Error),
}

impl IsTransient for ApiError {
    fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } => true,
            Self::Status(code) => matches!(code, 408 | 502..=504),
            Self::Request(ureq::Error::Io(error)) => error.is_transient(),
            Self::Request(error) => matches!(error, ureq::Error::Timeout(_)),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            Self::Status(_) | Self::Request(_) => None,
        }
    }
}

/// RFC 9110, section 10.2.3: either seconds or an HTTP date. One that has passed is no wait.
fn retry_after(header: &str) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn call(agent: &ureq::Agent, url: &str) -> Result<String, ApiError> {
    let mut response = agent.get(url).call()?;
    match response.status().as_u16() {
        200..=299 => Ok(response.body_mut().read_to_string()?),
        429 => {
            let header = response.headers().get("retry-after");
            let hint = header.and_then(|value| retry_after(value.to_str().ok()?));
            Err(ApiError::RateLimited { retry_after: hint })
        }
        code => Err(ApiError::Status(code)),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();

    // A date has whole seconds, so this is one to two seconds away, and less when it is used.
    let in_two_seconds = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let server = Server::start(vec![
        Answer::too_many_requests("1"),
        Answer::too_many_requests(in_two_seconds),
        Answer::ok("here you are"),
    ])?;
    let started = Instant::now();
    let answer = (|| call(&agent, &server.url))
        .on_retry(|retry| println!("{retry}: {}", retry.error))
        .retry_with(POLICY)?;
    println!("{answer}, after {} requests and {:.1?}", server.connections(), started.elapsed());

    let server = Server::start(vec![Answer::too_many_requests("3600")])?;
    match (|| call(&agent, &server.url)).retry_with(POLICY) {
        Ok(answer) => println!("{answer}"),
        Err(error) => println!("another server: {error}: {}", error.error()),
    }
    Ok(())
}
