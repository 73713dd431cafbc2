//! `cargo run --example rate_limit`
//!
//! A server limits the rate of requests and answers 429 with `Retry-After`, in seconds or as a date. The program waits
//! until this time before each retry.

#[path = "support/server.rs"]
mod server;

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use retry_ext::{CheckStatus, HttpError, Jitter, RetryError, RetryPolicy, retry_with};
use server::{Answer, Server};
use ureq::Agent;

const POLICY: RetryPolicy = RetryPolicy::new()
    .with_max_attempts(4)
    .with_initial_delay(Duration::from_millis(50))
    .with_max_retry_after(Duration::from_secs(5)) // stops at once if the server asks for more
    .with_jitter(Jitter::Full);

#[retry_with(POLICY, on_retry = |retry| println!("{retry}: {}", retry.error))]
fn fetch(agent: &Agent, url: &str) -> Result<String, RetryError<HttpError<ureq::Error>>> {
    Ok(agent.get(url).call()?.check_status()?.body_mut().read_to_string()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Agent::config_builder().http_status_as_error(false).proxy(None);
    let agent = config.build().into();

    // A date has whole seconds, so this one is less than two seconds away.
    let in_two_seconds = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let server = Server::start(vec![
        Answer::too_many_requests("1"),
        Answer::too_many_requests(in_two_seconds),
        Answer::ok("here you are"),
    ])?;
    let started = Instant::now();
    let page = fetch(&agent, &server.url)?;
    println!("{page}, after {} requests and {:.1?}", server.connections(), started.elapsed());

    let server = Server::start(vec![Answer::too_many_requests("3600")])?;
    match fetch(&agent, &server.url) {
        Ok(page) => println!("{page}"),
        Err(error) => println!("another server: {error}: {}", error.error()),
    }
    Ok(())
}
