//! `cargo run --example api_call`
//!
//! A call of an API over a bad line: the server resets the first connection, stops in the middle of
//! the second answer, stalls past the client's timeout at the third, and answers the fourth.

#[path = "support/server.rs"]
mod server;

use std::error::Error;
use std::time::{Duration, Instant};

use retry_ext::{IsTransient, Jitter, RetryExt, RetryPolicy};
use server::{Answer, Server};

/// A call that reads only: it may be repeated without harm.
const READ: RetryPolicy = RetryPolicy::new()
    .with_name("read the story")
    .with_max_attempts(5)
    .with_initial_delay(Duration::from_millis(100))
    .with_jitter(Jitter::Equal)
    .with_max_elapsed(Duration::from_secs(20));

/// `ureq`'s error is somebody else's type, so it needs a type of one's own to say what is transient.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct CallError(#[from] ureq::Error);

impl IsTransient for CallError {
    fn is_transient(&self) -> bool {
        match &self.0 {
            ureq::Error::StatusCode(code) => matches!(code, 408 | 429 | 502..=504),
            ureq::Error::Io(error) => error.is_transient(),
            ureq::Error::Timeout(_) => true,
            _ => false,
        }
    }
}

fn call(agent: &ureq::Agent, url: &str) -> Result<String, CallError> {
    Ok(agent.get(url).call()?.body_mut().read_to_string()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let server = Server::start(vec![
        Answer::Reset,
        Answer::HalfABody,
        Answer::Stall(Duration::from_secs(2)),
        Answer::ok("Once upon a time there was a server that answered."),
    ])?;
    // The timeout of one call is the client's affair, the deadline of all of them the policy's.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_millis(300)))
        .proxy(None)
        .build()
        .into();

    let started = Instant::now();
    let story = (|| call(&agent, &server.url))
        .on_retry(|retry| log::info!("{retry}: {}", retry.error))
        .retry_with(READ)?;
    println!("{story}");
    println!("connections: {}, time: {:.1?}", server.connections(), started.elapsed());
    Ok(())
}
