//! Retries around PostgreSQL, with a separate server for each test. All tests really wait for a
//! server to come up.

use std::process::{Command, Output};
use std::time::Duration;

use database_example::{Cluster, PostgresError, report};
use postgres::error::SqlState;
use postgres::{Client, Config, IsolationLevel, NoTls};
use retry_ext::{Backoff, IsTransient, RetryExt, RetryPolicy, StopReason};

/// A policy that waits long enough for a server on a busy machine.
const PATIENT: RetryPolicy = RetryPolicy::new()
    .with_backoff(Backoff::constant(Duration::from_millis(20)))
    .with_max_attempts(u32::MAX)
    .with_max_elapsed(Duration::from_secs(60));

fn connect(config: &Config) -> Result<Client, PostgresError> {
    Ok(config.connect(NoTls)?)
}

/// Returns a cluster whose server is up.
fn running() -> Cluster {
    let mut cluster = Cluster::new().unwrap();
    cluster.start().unwrap();
    let config = cluster.config();
    if let Err(error) = (|| connect(&config)).retry_with(PATIENT) {
        panic!("{}\n{}", report(&error), cluster.log());
    }
    cluster
}

fn example(connection_string: Option<&str>) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postgres_start"));
    let output = command.args(connection_string).output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output, String::from_utf8(said).unwrap())
}

#[test]
#[ignore = "needs PostgreSQL: .ci/run installs it and runs this"]
fn a_server_that_comes_up_later_is_waited_for() {
    let mut cluster = Cluster::new().unwrap();
    let config = cluster.config();
    let mut retries = 0;
    let client = (|| connect(&config))
        .on_retry(|retry| {
            retries += 1;
            // The server is started only now, after the first attempt has failed.
            if retry.attempt == 1 {
                assert!(report(retry.error).contains("refused"), "{}", report(retry.error));
                cluster.start().unwrap();
            }
        })
        .retry_with(PATIENT);
    let row = client.unwrap().query_one("select 6 * 7", &[]).unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
    assert!(retries >= 1);
}

#[test]
#[ignore = "needs PostgreSQL: .ci/run installs it and runs this"]
fn an_unknown_database_is_not_retried() {
    let cluster = running();
    let mut config = cluster.config();
    config.dbname("nowhere");
    let error = (|| connect(&config)).retry_with(PATIENT).map(drop).unwrap_err();
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    assert_eq!(error.error().0.code(), Some(&SqlState::INVALID_CATALOG_NAME));

    let port = config.get_ports()[0];
    let (output, said) =
        example(Some(&format!("host=127.0.0.1 port={port} user=postgres dbname=nowhere")));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("gave up after 1 attempt: permanent error: db error: FATAL"), "{said}");
}

#[test]
#[ignore = "needs PostgreSQL: .ci/run installs it and runs this"]
fn a_transaction_that_cannot_be_serialized_is_done_again() {
    let cluster = running();
    let (mut first, mut second) =
        (connect(&cluster.config()).unwrap(), connect(&cluster.config()).unwrap());
    first.batch_execute("create table account as select 100 as balance").unwrap();

    let mut attempts = 0;
    let mut codes = Vec::new();
    let balance = (|| -> Result<i32, PostgresError> {
        attempts += 1;
        let isolation = IsolationLevel::RepeatableRead;
        let mut transaction = first.build_transaction().isolation_level(isolation).start()?;
        let read: i32 = transaction.query_one("select balance from account", &[])?.try_get(0)?;
        if attempts == 1 {
            // Another client writes between the read and the write.
            second.batch_execute("update account set balance = balance + 10")?;
        }
        transaction.execute("update account set balance = $1", &[&(read + 1)])?;
        transaction.commit()?;
        Ok(read + 1)
    })
    .on_retry(|retry| codes.push(retry.error.0.code().cloned()))
    .retry_with(PATIENT);
    assert_eq!(balance.unwrap(), 100 + 10 + 1, "no change is lost");
    assert_eq!(codes, [Some(SqlState::T_R_SERIALIZATION_FAILURE)]);
}

#[test]
#[ignore = "needs PostgreSQL: .ci/run installs it and runs this"]
fn a_connection_that_the_server_ends_is_transient_and_a_new_one_is_made() {
    let mut cluster = running();
    let config = cluster.config();
    let mut client = connect(&config).unwrap();
    cluster.stop().unwrap();
    // The server sends its code first, and then closes the connection.
    for _ in 0..2 {
        let error = client.batch_execute("select 1").map_err(PostgresError).unwrap_err();
        assert!(error.is_transient(), "{}", report(&error));
    }
    cluster.start().unwrap();
    assert!((|| connect(&config)).retry_with(PATIENT).is_ok());
}

#[test]
#[ignore = "needs PostgreSQL: .ci/run installs it and runs this"]
fn the_example_waits_for_its_server() {
    let (output, said) = example(None);
    assert!(output.status.success(), "{said}");
    for (attempt, delay) in [(1, 50), (2, 100), (3, 200)] {
        let line = format!("attempt {attempt} failed, retrying in {delay}ms: ");
        assert!(said.contains(&line), "{said}");
    }
    assert!(said.contains("succeeded\nPostgreSQL "), "{said}");
}

#[test]
fn a_connection_string_that_is_none_is_not_retried() {
    let (output, said) = example(Some("port=eighty"));
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("no answer from PostgreSQL: invalid connection string"), "{said}");
}
