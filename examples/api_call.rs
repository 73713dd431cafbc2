//! `cargo run --example api_call`
//!
//! Calls an API over a bad connection. The server resets the first connection, stops in the middle of the second
//! answer, stalls past the client's timeout at the third, and answers the fourth. The library logs each retry.

#[path = "support/server.rs"]
mod server;

use std::error::Error;
use std::time::{Duration, Instant};

use retry_ext::{Jitter, RetryExt, RetryPolicy};
use server::{Answer, Server};
use ureq::Agent;

/// A policy for calls that only read: a repeated read does no harm.
const READ: RetryPolicy = RetryPolicy::new()
    .with_name("read the story")
    .with_max_attempts(5)
    .with_initial_delay(Duration::from_millis(100))
    .with_jitter(Jitter::Equal)
    .with_max_elapsed(Duration::from_secs(20));

/// Makes one attempt. It includes the body, because a connection can break in the middle of a body.
fn call(agent: &Agent, url: &str) -> Result<String, ureq::Error> {
    agent.get(url).call()?.body_mut().read_to_string()
}

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let server = Server::start(vec![
        Answer::Reset,
        Answer::HalfABody,
        Answer::Stall(Duration::from_secs(10)),
        Answer::ok("Once upon a time there was a server that answered."),
    ])?;
    // The client limits each attempt, and the policy limits all attempts together.
    let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(1)));
    let agent = config.proxy(None).build().into();

    let started = Instant::now();
    let story = (|| call(&agent, &server.url)).retry_with(READ)?;
    println!("{story}");
    println!("connections: {}, time: {:.1?}", server.connections(), started.elapsed());
    Ok(())
}
