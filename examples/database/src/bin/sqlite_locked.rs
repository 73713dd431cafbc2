//! `cargo run -p database-example --bin sqlite_locked`
//!
//! Another process holds the write lock of an SQLite file, until four attempts of this process have failed. The write of
//! this process is retried until the lock is released.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

use database_example::{SqliteError, report};
use retry_ext::{RetryExt, RetryPolicy};
use rusqlite::{Connection, TransactionBehavior};

const POLICY: RetryPolicy = RetryPolicy::within(Duration::from_secs(60))
    .with_initial_delay(Duration::from_millis(10))
    .with_max_delay(Duration::from_millis(100));

/// Opens the file without SQLite's own waits. By default, `rusqlite` lets SQLite wait for a lock for up to 5 s. The
/// retry waits instead: it has a deadline, can have jitter, and calls a hook.
fn open(path: &Path) -> Result<Connection, SqliteError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Makes one attempt, which is the whole transaction. `Immediate` takes the write lock at once, because a transaction
/// that reads first and then cannot write must start again.
fn write(connection: &mut Connection, line: &str) -> Result<(), SqliteError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("insert into lines values (?1)", [line])?;
    transaction.commit()?;
    Ok(())
}

/// Runs as the other process: takes the lock, prints a line, keeps the lock until its input ends, and writes first.
fn hold(path: &Path) -> Result<(), Box<dyn Error>> {
    // With SQLite's own waits, because the commit waits for an attempt that reads the file at this moment.
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    println!("locked");
    io::stdin().read_line(&mut String::new())?;
    transaction.execute("insert into lines values ('the other process')", [])?;
    Ok(transaction.commit()?)
}

fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("example.sqlite");
    let mut connection = open(&path)?;
    connection.execute_batch("create table lines (line text)")?;

    let mut other = Command::new(env::current_exe()?)
        .arg("hold")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = other.stdout.take().ok_or("the other process has no output")?;
    BufReader::new(said).read_line(&mut String::new())?;
    println!("another process holds the write lock");

    let started = Instant::now();
    let time = || format!("{:5} ms", started.elapsed().as_millis());
    let written = (|| write(&mut connection, "this process"))
        .on_retry(|retry| {
            println!("{}  {retry}: {}", time(), retry.error);
            if retry.attempt == 4 {
                drop(other.stdin.take()); // the other process goes on
            }
        })
        .retry_with(POLICY);
    other.wait()?;
    written?;
    println!("{}  written", time());

    let mut query = connection.prepare("select line from lines order by rowid")?;
    let lines: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    println!("in the file, in this order: {}", lines.join(", "));
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let result = match (arguments.next(), arguments.next()) {
        (Some(verb), Some(path)) if verb == "hold" => hold(Path::new(&path)),
        _ => run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}
