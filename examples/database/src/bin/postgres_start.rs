//! `cargo run -p database-example --bin postgres_start`
//!
//! Connects to a PostgreSQL server in a temporary cluster. The server is started after the third failed attempt. With a
//! connection string as argument, such as `host=localhost user=me`, it connects to that server instead.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use database_example::{Cluster, PostgresError, report};
use postgres::{Config, NoTls};
use retry_ext::{RetryError, RetryExt, RetryPolicy};

/// If many programs wait for one server, add `.with_jitter(Jitter::Full)`.
const POLICY: RetryPolicy = RetryPolicy::within(Duration::from_secs(60))
    .with_initial_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_millis(200));

/// Makes one attempt with a new connection, because a broken connection cannot be used again.
fn version(config: &Config) -> Result<String, PostgresError> {
    let mut client = config.connect(NoTls)?;
    Ok(client.query_one("select version()", &[])?.try_get(0)?)
}

/// Prints the server's version. `failed` is called with the number of each failed attempt that is retried.
fn ask(config: &Config, mut failed: impl FnMut(u32)) -> Result<(), RetryError<PostgresError>> {
    let started = Instant::now();
    let time = || format!("{:5} ms", started.elapsed().as_millis());
    let mut attempts = 0;
    let version = (|| {
        attempts += 1;
        version(config)
    })
    .on_retry(|retry| {
        println!("{}  {retry}: {}", time(), report(retry.error));
        failed(retry.attempt);
    })
    .retry_with(POLICY)?;
    println!("{}  attempt {attempts} succeeded", time());
    println!("{version}");
    Ok(())
}

fn ask_server(connection_string: &str) -> Result<(), Box<dyn Error>> {
    let mut config: Config = connection_string.parse()?;
    if config.get_connect_timeout().is_none() {
        // A retry does not interrupt an attempt.
        config.connect_timeout(Duration::from_secs(5));
    }
    Ok(ask(&config, |_| ())?)
}

fn ask_own_server() -> Result<(), Box<dyn Error>> {
    println!("making a cluster");
    let mut cluster = Cluster::new()?;
    let config = cluster.config();
    let answer = ask(&config, |attempt| {
        if attempt == 3 {
            match cluster.start() {
                Ok(()) => println!("          the server is started"),
                Err(error) => eprintln!("{}", report(&error)),
            }
        }
    });
    if answer.is_err() {
        eprint!("{}", cluster.log());
    }
    Ok(answer?)
}

fn main() -> ExitCode {
    let result = match env::args().nth(1) {
        Some(connection_string) => ask_server(&connection_string),
        None => ask_own_server(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no answer from PostgreSQL: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}
