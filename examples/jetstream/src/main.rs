//! `cargo run -p jetstream-example`
//!
//! Starts a NATS server and three workers, kills one of them, and shows how the others go on. If it is started
//! as `jetstream-example worker nats://..`, the program is a worker.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use jetstream_example::stream::{consumer, jobs};
use jetstream_example::worker::work;
use jetstream_example::{Jobs, Server};
use tokio::process::Command;
use workers_example::{Error, begin_worker, show, terminated};

/// The role of a worker whose clock is ahead by some seconds, for the test of a deadline.
async fn worker(address: &str, ahead: Duration) -> Result<(), Error> {
    begin_worker();
    let context = jetstream::new(async_nats::connect(address).await?);
    let consumer = consumer(&jobs(&context).await?).await?;
    work(&consumer, || SystemTime::now() + ahead).await
}

async fn run_show() -> Result<(), Error> {
    let server = Server::start().await?;
    let jobs = Jobs::connect(server.address()).await?;
    let program = env::current_exe()?;
    let worker = || {
        let mut command = Command::new(&program);
        command.args(["worker", server.address()]);
        command
    };
    show(&jobs, worker).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["worker", address] => worker(address, Duration::ZERO).await,
        ["worker", address, ahead] => {
            worker(address, Duration::from_secs(ahead.parse().unwrap_or_default())).await
        }
        _ => tokio::select! {
            result = run_show() => result,
            () = terminated() => Err("interrupted".into()),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
