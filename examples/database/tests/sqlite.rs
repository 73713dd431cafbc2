//! Retries around SQLite: a lock that is released, a lock that stays, and an error without a lock.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use database_example::SqliteError;
use retry_ext::{IsTransient, RetryExt, RetryPolicy, StopReason};
use rusqlite::{Connection, ErrorCode};
use tempfile::TempDir;

/// Really waits, but only a few milliseconds.
const POLICY: RetryPolicy = RetryPolicy::new()
    .with_initial_delay(Duration::from_millis(1))
    .with_max_delay(Duration::from_millis(4))
    .with_max_attempts(4);

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection
}

/// Returns a database, a connection that holds its write lock, and a connection that needs the
/// lock.
fn locked() -> (TempDir, Connection, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.sqlite");
    let holder = open(&path);
    holder.execute_batch("create table lines (line text); begin immediate").unwrap();
    (folder, holder, open(&path))
}

fn write(connection: &Connection) -> Result<usize, SqliteError> {
    Ok(connection.execute("insert into lines values ('written')", [])?)
}

#[test]
fn a_write_is_retried_until_the_lock_is_released() {
    let (_folder, holder, writer) = locked();
    let mut heard = Vec::new();
    let written = (|| write(&writer))
        .on_retry(|retry| {
            heard.push((retry.attempt, retry.error.0.sqlite_error_code()));
            if retry.attempt == 2 {
                holder.execute_batch("commit").unwrap();
            }
        })
        .retry_with(POLICY);
    assert_eq!(written.unwrap(), 1);
    let busy = Some(ErrorCode::DatabaseBusy);
    assert_eq!(heard, [(1, busy), (2, busy)]);
}

#[test]
fn a_lock_that_stays_is_the_last_error() {
    let (_folder, _holder, writer) = locked();
    let error = (|| write(&writer)).retry_with(POLICY).unwrap_err();
    assert_eq!((error.attempts(), error.reason()), (4, StopReason::AttemptsExhausted));
    assert_eq!(error.waited(), Duration::from_millis(1 + 2 + 4));
    let last = error.into_error();
    assert_eq!(last.0.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    assert_eq!(last.to_string(), "database is locked");
}

#[test]
fn a_table_that_is_not_there_is_not_retried() {
    let (_folder, _holder, writer) = locked();
    let select = || -> Result<i64, SqliteError> {
        Ok(writer.query_row("select count(*) from nowhere", [], |row| row.get(0))?)
    };
    let error = select.retry_with(POLICY).unwrap_err();
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    assert!(error.error().to_string().contains("no such table: nowhere"), "{}", error.error());
}

#[test]
fn a_locked_table_of_a_shared_cache_is_transient() {
    let path = Path::new("file:shared?mode=memory&cache=shared");
    let (holder, reader) = (open(path), open(path));
    holder.execute_batch("create table lines (line text); begin immediate").unwrap();
    write(&holder).unwrap();
    let read = reader.query_row("select count(*) from lines", [], |row| row.get::<_, i64>(0));
    let error = SqliteError(read.unwrap_err());
    assert_eq!(error.0.sqlite_error_code(), Some(ErrorCode::DatabaseLocked));
    assert!(error.is_transient());
}

/// Really waits: the other process keeps the lock until four attempts have failed.
#[test]
fn the_example_writes_after_the_other_process() {
    let output = Command::new(env!("CARGO_BIN_EXE_sqlite_locked")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for (attempt, delay) in [(1, 10), (2, 20), (3, 40), (4, 80)] {
        let line = format!("attempt {attempt} failed, retrying in {delay}ms: database is locked\n");
        assert!(said.contains(&line), "{said}");
    }
    assert!(said.ends_with("in this order: the other process, this process\n"), "{said}");
}
