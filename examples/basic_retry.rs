//! `cargo run --example basic_retry`, or `cargo run --example basic_retry -- URL`
//!
//! Fetches a page and retries transient failures. Without a URL, it starts a server on this machine. The server resets
//! the first connection, answers the second with 503 and `Retry-After: 1`, and the third with the page.

#[path = "support/server.rs"]
mod server;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Chain, Context};
use retry_ext::{CheckStatus, HttpError, RetryExt, RetryPolicy};
use server::{Answer, Server};
use ureq::Agent;

fn fetch(agent: &Agent, url: &str) -> Result<String, HttpError<ureq::Error>> {
    Ok(agent.get(url).call()?.check_status()?.body_mut().read_to_string()?)
}

fn run() -> anyhow::Result<()> {
    let config = Agent::config_builder()
        .http_status_as_error(false) // `check_status` makes the error, with the server's hint
        .timeout_global(Some(Duration::from_secs(10)));
    let (url, config) = match env::args().nth(1) {
        Some(url) => (url, config),
        None => (flaky_server()?, config.proxy(None)),
    };
    let agent = config.build().into();

    let started = Instant::now();
    let mut attempts = 1;
    let page = (|| fetch(&agent, &url))
        .on_retry(|retry| {
            attempts = retry.attempt + 1;
            let causes: Vec<_> = Chain::new(retry.error).map(ToString::to_string).collect();
            eprintln!("{retry}: {}", causes.join(": "));
        })
        .retry_with(RetryPolicy::new())
        .with_context(|| format!("cannot fetch {url}"))?;
    println!("{}", page.trim_end());
    println!("attempts: {attempts}, time: {:.1?}", started.elapsed());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn flaky_server() -> anyhow::Result<String> {
    let answers =
        vec![Answer::Reset, Answer::unavailable("1"), Answer::ok("Here is the page at last")];
    Ok(Server::start(answers).context("cannot start a server on this machine")?.url)
}
