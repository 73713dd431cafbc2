//! `cargo run --example locked_file`
//!
//! Another process has locked a file, and this program retries until the lock is released. The other process is this
//! program, started again. It releases the lock at the third retry. The example needs Rust 1.89.

#![expect(
    clippy::incompatible_msrv,
    reason = "`File::try_lock` is newer than the library's minimum"
)]

use std::env;
use std::error::Error;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use retry_ext::{Backoff, RetryError, RetryExt, RetryPolicy};

const LOCK: RetryPolicy = RetryPolicy::within(Duration::from_secs(10))
    .with_backoff(Backoff::constant(Duration::from_millis(50)));

/// A held lock is transient. All other errors of locking are permanent.
fn lock(file: &File, mut holder: Option<ChildStdin>) -> Result<(), RetryError<TryLockError>> {
    (|| file.try_lock())
        .retry_if(|error| matches!(error, TryLockError::WouldBlock))
        .on_retry(|retry| {
            println!("  {retry}: {}", retry.error);
            if retry.attempt == 3 {
                drop(holder.take());
            }
        })
        .retry_with(LOCK)
}

/// The other process: locks the file, prints a line, and holds the lock until its input ends.
fn hold(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    file.lock()?;
    println!("locked");
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = env::args_os().nth(1) {
        return hold(path.as_ref());
    }
    let file = tempfile::NamedTempFile::new()?;
    let mut other = Command::new(env::current_exe()?)
        .arg(file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(other.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    println!("the other process printed: {}", line.trim());

    lock(file.as_file(), other.stdin.take())?;
    println!("this process has the lock now");
    writeln!(file.as_file(), "mine")?;
    other.wait()?;
    Ok(())
}
