//! `cargo run --example async_shutdown`
//!
//! A worker tries to connect to a server that never comes up. Ctrl-C, or a timer of half a second, shuts the worker
//! down in the middle of a wait.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use retry_ext::{AsyncRetryExt, RetryError, RetryPolicy, StopReason};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

static POLICY: RetryPolicy =
    RetryPolicy::forever().with_name("connect").with_initial_delay(Duration::from_millis(100));

/// Sleeps for the delay, or until the program shuts down.
async fn sleep(delay: Duration, mut shutdown: watch::Receiver<bool>) -> ControlFlow<()> {
    tokio::select! {
        () = tokio::time::sleep(delay) => ControlFlow::Continue(()),
        _ = shutdown.wait_for(|down| *down) => ControlFlow::Break(()),
    }
}

async fn connect(
    address: &str,
    shutdown: watch::Receiver<bool>,
) -> Result<TcpStream, RetryError<std::io::Error>> {
    (|| TcpStream::connect(address))
        .on_retry(|retry| println!("{retry}: {}", retry.error))
        .sleep_with(|delay| sleep(delay, shutdown.clone()))
        .retry_with(&POLICY)
        .await
}

#[tokio::main]
async fn main() -> ExitCode {
    let (stop, shutdown) = watch::channel(false);
    let started = Instant::now();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => println!("Ctrl-C"),
            () = tokio::time::sleep(Duration::from_millis(500)) => println!("time to go"),
        }
        stop.send(true)
    });
    // Port 1 (tcpmux) has no server.
    match connect("127.0.0.1:1", shutdown).await {
        Ok(_stream) => println!("connected after all"),
        Err(error) if error.reason() == StopReason::Cancelled => {
            println!("{error}; the last error was: {}", error.error());
            println!("shut down after {:.1?}", started.elapsed());
        }
        Err(error) => {
            eprintln!("{error}: {}", error.error());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
