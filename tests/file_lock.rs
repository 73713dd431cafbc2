//! A file that another process has locked.

#![expect(
    clippy::incompatible_msrv,
    reason = "`File::try_lock` is newer than the library's minimum"
)]

use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use retry_ext::{Backoff, RetryExt, RetryPolicy, StopReason};

const POLICY: RetryPolicy = RetryPolicy::new()
    .with_backoff(Backoff::constant(Duration::from_millis(1)))
    .with_max_attempts(3);

fn is_held(error: &TryLockError) -> bool {
    matches!(error, TryLockError::WouldBlock)
}

/// Another process: this test program itself, which holds the lock until its input ends.
struct Holder {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn of(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "the_other_process", "--nocapture"])
            .env("FILE_LOCK_TEST", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test runs");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(
            said.by_ref().map_while(Result::ok).any(|line| line == "locked"),
            "it has the lock"
        );
        Self { child, said }
    }

    fn release(mut self) {
        drop(self.child.stdin.take());
        assert!(self.said.by_ref().all(|line| line.is_ok()));
        assert!(self.child.wait().expect("it ends").success());
    }
}

#[test]
fn the_other_process() {
    let Some(path) = std::env::var_os("FILE_LOCK_TEST") else { return };
    let file = File::open(path).expect("the file is there");
    file.lock().expect("no process has the lock yet");
    println!("\nlocked");
    std::io::stdout().flush().expect("the parent reads");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the input ends");
}

#[test]
fn the_lock_is_retried_until_the_other_process_releases_it() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut holder = Some(Holder::of(file.path()));
    let mut retries = 0;
    let result = (|| file.as_file().try_lock())
        .retry_if(is_held)
        .on_retry(|retry| {
            retries += 1;
            assert!(matches!(retry.error, TryLockError::WouldBlock));
            if retry.attempt == 2 {
                holder.take().expect("only once").release();
            }
        })
        .sleep_with(|_| ())
        .retry_with(POLICY);
    assert!(result.is_ok());
    assert_eq!(retries, 2);
}

#[test]
fn a_lock_that_is_kept_ends_with_the_last_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let holder = Holder::of(file.path());
    let error = (|| file.as_file().try_lock())
        .retry_if(is_held)
        .retry_with(POLICY)
        .expect_err("it is kept");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
    assert!(matches!(error.error(), TryLockError::WouldBlock));
    holder.release();
}
