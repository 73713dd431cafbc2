//! rusqlite, whose database is built in. The waits are a few milliseconds.

mod common;

use std::path::Path;
use std::time::Duration;

use common::POLICY;
use recipes_example::sqlite::SqliteError;
use retry_ext::{IsTransient, RetryExt};
use rusqlite::{Connection, ffi};

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection.busy_timeout(Duration::ZERO).expect("the driver does not wait by itself");
    connection
}

fn code(error: &SqliteError) -> Option<i32> {
    Some(error.0.sqlite_error()?.extended_code)
}

#[test]
fn a_locked_file_is_transient() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.sqlite");
    let (holder, writer) = (open(&path), open(&path));
    holder.execute_batch("create table lines (line text); begin immediate").expect("a lock");
    let mut codes = Vec::new();
    let written = (|| Ok(writer.execute("insert into lines values ('written')", [])?))
        .on_retry(|retry| {
            codes.push(code(retry.error));
            if retry.attempt == 2 {
                holder.execute_batch("commit").expect("released");
            }
        })
        .retry_with(POLICY);
    assert_eq!(written.expect("written"), 1);
    assert_eq!(codes, [Some(ffi::SQLITE_BUSY); 2]);
}

#[test]
fn a_stale_snapshot_is_transient_for_the_whole_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.sqlite");
    let (mut client, other) = (open(&path), open(&path));
    let create = "pragma journal_mode = wal; create table account (balance); insert into account values (100)";
    other.execute_batch(create).expect("a table");
    let mut attempts = 0;
    let mut codes = Vec::new();
    let balance = (|| {
        attempts += 1;
        let transaction = client.transaction()?;
        let read =
            transaction.query_row("select balance from account", [], |row| row.get::<_, i64>(0));
        let balance = read? + 1;
        if attempts <= 2 {
            other.execute("update account set balance = balance + 10", [])?;
        }
        transaction.execute("update account set balance = ?1", [balance])?;
        transaction.commit()?;
        Ok::<_, SqliteError>(balance)
    })
    .on_retry(|retry| codes.push(code(retry.error)))
    .retry_with(POLICY);
    assert_eq!(balance.expect("a balance"), 100 + 10 + 10 + 1, "no change is lost");
    assert_eq!(codes, [Some(ffi::SQLITE_BUSY_SNAPSHOT); 2]);
}

#[test]
fn a_statement_alone_is_not_enough_after_a_stale_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.sqlite");
    let (client, other) = (open(&path), open(&path));
    let create = "pragma journal_mode = wal; create table account (balance); insert into account values (100)";
    other.execute_batch(create).expect("a table");
    client.execute_batch("begin; select balance from account").expect("a snapshot");
    other.execute("update account set balance = 110", []).expect("written");
    let write = || Ok::<_, SqliteError>(client.execute("update account set balance = 101", [])?);
    assert_eq!(write.retry_with(POLICY).expect_err("stale").attempts(), 4);
    client.execute_batch("rollback").expect("rolled back");
    assert_eq!(write.retry_with(POLICY).expect("written"), 1);
}

#[test]
fn a_conflict_within_one_connection_is_permanent() {
    let connection = open(Path::new(":memory:"));
    connection
        .execute_batch("create table lines (line); insert into lines values (1)")
        .expect("a table");
    let mut reading = connection.prepare("select line from lines").expect("a statement");
    let mut rows = reading.query([]).expect("rows");
    assert!(rows.next().expect("a step").is_some());
    let dropped = connection.execute_batch("drop table lines");
    let error = SqliteError(dropped.expect_err("a statement reads the table"));
    assert_eq!((code(&error), error.is_transient()), (Some(ffi::SQLITE_LOCKED), false));
}

#[test]
fn a_table_locked_by_another_connection_of_a_shared_cache_is_transient() {
    let path = Path::new("file:recipe?mode=memory&cache=shared");
    let (holder, reader) = (open(path), open(path));
    let hold = "create table lines (line); begin immediate; insert into lines values (1)";
    holder.execute_batch(hold).expect("a lock");
    let read = reader.query_row("select count(*) from lines", [], |row| row.get::<_, i64>(0));
    let error = SqliteError(read.expect_err("locked"));
    assert_eq!((code(&error), error.is_transient()), (Some(ffi::SQLITE_LOCKED_SHAREDCACHE), true));
}

#[test]
fn what_is_no_lock_is_permanent() {
    let connection = open(Path::new(":memory:"));
    let unknown = connection.execute_batch("select 1 from nowhere").expect_err("no such table");
    for error in [unknown, rusqlite::Error::QueryReturnedNoRows] {
        assert!(!SqliteError(error).is_transient());
    }
}
