//! `cargo run --example conditional_retry`
//!
//! Classifies errors in two ways: by the error's own type, and by a predicate at one call.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{fs, io, process, thread};

use retry_ext::{Backoff, IsTransient, RetryError, RetryEvent, RetryExt, RetryPolicy};

const QUICK: RetryPolicy = RetryPolicy::new()
    .with_backoff(Backoff::constant(Duration::from_millis(40)))
    .with_max_attempts(250);

/// A variant without an attribute is permanent.
#[derive(Debug, thiserror::Error, IsTransient)]
enum LoadError {
    #[error("cannot open the settings")]
    #[transient(forward)]
    Open(#[from] io::Error),
    #[error("line {0} of the settings is not a number")]
    Parse(usize),
}

fn sum_of(text: &str) -> Result<u32, LoadError> {
    let lines = text.lines().enumerate();
    lines.map(|(place, line)| line.parse::<u32>().map_err(|_| LoadError::Parse(place + 1))).sum()
}

fn is_missing(error: &LoadError) -> bool {
    matches!(error, LoadError::Open(error) if error.kind() == ErrorKind::NotFound)
}

fn show_retry<E: Display>(retry: &RetryEvent<'_, E>) {
    println!("   {retry}: {}", retry.error);
}

fn show<E: Display>(outcome: Result<String, RetryError<E>>) {
    match outcome {
        Ok(value) => println!("   {value}"),
        Err(error) => println!("   {error}: {}", error.error()),
    }
}

fn main() -> io::Result<()> {
    println!("1. a line that is not a number: permanent");
    let sum = (|| sum_of("1\ntwo\n3")).on_retry(show_retry).retry_with(QUICK);
    show(sum.map(|sum| format!("the sum is {sum}")));

    println!("2. a port without a server until the third retry: a refused connection is transient");
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut server = None;
    let stream = (|| TcpStream::connect(address))
        .on_retry(|retry| {
            show_retry(retry);
            if retry.attempt == 3 {
                server = TcpListener::bind(address).ok();
            }
        })
        .retry_with(QUICK);
    show(stream.map(|_| format!("connected to {address}")));
    drop(server);

    println!("3. a file that another thread is about to write: transient at this call");
    let path = std::env::temp_dir().join(format!("conditional_retry_{}.txt", process::id()));
    let final_path = path.clone();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        // Renamed when complete, so that half of the file is never read.
        let unfinished = final_path.with_extension("part");
        fs::write(&unfinished, "20\n22\n")?;
        fs::rename(unfinished, final_path)
    });
    let sum = (|| sum_of(&fs::read_to_string(&path)?))
        .retry_if(is_missing)
        .on_retry(show_retry)
        .retry_with(QUICK);
    show(sum.map(|sum| format!("the sum is {sum}")));
    drop(writer.join());
    fs::remove_file(path)
}
