//! `cargo run --example conditional_retry`
//!
//! Which errors are retried: what the error says of itself, and what the caller says at one place.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{fs, io, process, thread};

use retry_ext::{Backoff, IsTransient, RetryExt, RetryPolicy};

const QUICK: RetryPolicy = RetryPolicy::new()
    .with_backoff(Backoff::constant(Duration::from_millis(40)))
    .with_max_attempts(25);

/// An error of one's own says which of its values may pass.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("cannot open the settings")]
    Open(#[from] io::Error),
    #[error("line {0} of the settings is not a number")]
    Parse(usize),
}

impl IsTransient for LoadError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Open(error) => error.is_transient(),
            Self::Parse(_) => false,
        }
    }
}

fn sum_of(text: &str) -> Result<u32, LoadError> {
    let lines = text.lines().enumerate();
    lines.map(|(place, line)| line.parse::<u32>().map_err(|_| LoadError::Parse(place + 1))).sum()
}

fn main() -> io::Result<()> {
    println!("1. a permanent error ends it at once");
    let wrong = (|| sum_of("1\ntwo\n3")).on_retry(|retry| println!("   {retry}")).retry_with(QUICK);
    match wrong {
        Ok(sum) => println!("   the sum is {sum}"),
        Err(error) => println!("   {error}: {}", error.error()),
    }

    println!("2. a port on which nobody listens yet: refused is transient by itself");
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        TcpListener::bind(address)?.accept()
    });
    let stream = (|| TcpStream::connect(address))
        .on_retry(|retry| println!("   {retry}: {}", retry.error))
        .retry_with(QUICK);
    match stream {
        Ok(stream) => println!("   connected to {}", stream.peer_addr()?),
        Err(error) => println!("   {error}: {}", error.error()),
    }
    drop(server.join());

    println!(
        "3. a file that another thread is about to write: here, and only here, worth waiting for"
    );
    let path = std::env::temp_dir().join(format!("conditional_retry_{}.txt", process::id()));
    let writer = {
        let path = path.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            // Under another name first: nobody may read half of it.
            let unfinished = path.with_extension("part");
            fs::write(&unfinished, "20\n22\n")?;
            fs::rename(unfinished, path)
        })
    };
    let sum = (|| sum_of(&fs::read_to_string(&path)?))
        .retry_if(
            |error| matches!(error, LoadError::Open(open) if open.kind() == ErrorKind::NotFound),
        )
        .on_retry(|retry| println!("   {retry}"))
        .retry_with(QUICK);
    match sum {
        Ok(sum) => println!("   the sum is {sum}"),
        Err(error) => println!("   {error}: {}", error.error()),
    }
    drop(writer.join());
    fs::remove_file(path)
}
