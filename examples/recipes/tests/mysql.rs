//! mysql and a real MariaDB, which has MySQL's error numbers. Without MariaDB, the test prints "not checked" and
//! passes. The test really waits for a server to come up.

#![cfg(unix)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use common::{PATIENT, POLICY, not_checked};
use database_example::reserve_port;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, TxOpts};
use recipes_example::mysql::DbError;
use retry_ext::{Backoff, IsTransient, RetryExt, StopReason};
use tempfile::TempDir;

/// A MariaDB server on loopback, in a private folder. Dropping it kills the server.
struct MariaDb {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl MariaDb {
    /// Starts a server with one table of two rows, and waits until it is up. Returns `None` if MariaDB is not
    /// installed.
    fn up() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let is_root = folder.path().metadata().expect("a folder").uid() == 0;
        let mut command = program("mariadb-install-db", &folder, is_root);
        let made = command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        match made.output() {
            Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout)),
            Err(error) => {
                not_checked("MariaDB", error);
                return None;
            }
        }
        // Only now, because the port is reserved for a minute.
        let port = reserve_port().expect("a port");
        let log = folder.path().join("log");
        let process = program("mariadbd", &folder, is_root)
            .args(["--bind-address=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--socket={}", folder.path().join("socket").display()))
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .expect("a server");
        let server = Self { process, port, folder };
        let connected = (|| server.connect()).retry_with(PATIENT);
        let log = || fs::read_to_string(&log).unwrap_or_default();
        let mut connection = connected.unwrap_or_else(|error| panic!("{error}: {}", log()));
        for line in [
            "create database test",
            "create table test.account (id int primary key, balance bigint) engine = InnoDB",
            "insert into test.account values (1, 100), (2, 100)",
        ] {
            connection.query_drop(line).expect("tables");
        }
        Some(server)
    }

    fn connect(&self) -> Result<Conn, DbError> {
        let options = OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(self.port);
        Ok(Conn::new(options.user(Some("root")).prefer_socket(false))?)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("cannot stop MariaDB in {}: {error}", self.folder.path().display());
        }
    }
}

/// Returns a command for one of MariaDB's programs. The server does not run as root, so root runs it as user `mysql`.
fn program(name: &str, folder: &TempDir, is_root: bool) -> Command {
    let path = format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    command.env("PATH", path).arg("--no-defaults");
    command.arg(format!("--datadir={}", folder.path().display()));
    if is_root {
        command.arg("--user=mysql");
    }
    command
}

fn balances(connection: &mut impl Queryable) -> Vec<i64> {
    connection.query("select balance from test.account order by id").expect("rows")
}

fn code(error: &DbError) -> Option<u16> {
    match error {
        DbError::Query(mysql::Error::MySqlError(error))
        | DbError::Commit(mysql::Error::MySqlError(error)) => Some(error.code),
        _ => None,
    }
}

/// All checks share one server, because its setup takes seconds.
#[test]
fn errors_of_a_real_server_are_classified() {
    let Some(server) = MariaDb::up() else { return };
    a_deadlock_is_retried_as_a_whole_transaction(&server);
    a_lock_wait_timeout_rolls_back_the_statement_only(&server);
    a_lost_connection_is_transient_and_a_wrong_password_is_not(&server);
}

fn a_deadlock_is_retried_as_a_whole_transaction(server: &MariaDb) {
    let connect = || server.connect().expect("a connection");
    let (mut client, mut other, mut admin) = (connect(), connect(), connect());
    // MariaDB rolls back the smaller one of the two transactions.
    other.query_drop("create table test.filler (number int) engine = InnoDB").expect("a table");
    other.query_drop("begin").expect("a transaction");
    other.query_drop("insert into test.filler select seq from test.seq_1_to_100").expect("rows");
    other
        .query_drop("update test.account set balance = balance + 10 where id = 2")
        .expect("a lock");
    let mut other = Some(other);
    let (mut attempts, mut codes) = (0, Vec::new());
    thread::scope(|scope| {
        let moved = (|| {
            attempts += 1;
            let mut transaction = client.start_transaction(TxOpts::default())?;
            transaction.query_drop("update test.account set balance = balance - 1 where id = 1")?;
            if let Some(mut other) = other.take() {
                scope.spawn(move || {
                    let write = "update test.account set balance = balance + 10 where id = 1";
                    other.query_drop(write).expect("a lock, after the deadlock");
                    other.query_drop("commit").expect("a commit");
                });
                wait_for_a_waiter(&mut admin);
            }
            transaction.query_drop("update test.account set balance = balance + 1 where id = 2")?;
            transaction.commit().map_err(DbError::Commit)
        })
        .on_retry(|retry| codes.push(code(retry.error)))
        .retry_with(POLICY);
        moved.expect("a transfer");
    });
    assert_eq!((attempts, codes), (2, vec![Some(1213)]));
    assert_eq!(balances(&mut admin), [100 - 1 + 10, 100 + 1 + 10], "no change is lost or doubled");
}

fn wait_for_a_waiter(admin: &mut Conn) {
    let query = "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'";
    let waits = || match admin.query_first::<i64, _>(query).expect("a row") {
        Some(1) => Ok(()),
        _ => Err(()),
    };
    // InnoDB refreshes this table only if it has not been read for 100 ms.
    let slowly = PATIENT.with_backoff(Backoff::constant(Duration::from_millis(150)));
    waits.retry_if(|()| true).retry_with(slowly).expect("a transaction waits");
}

fn a_lock_wait_timeout_rolls_back_the_statement_only(server: &MariaDb) {
    let connect = || server.connect().expect("a connection");
    let (mut client, mut holder) = (connect(), connect());
    let before = <[i64; 2]>::try_from(balances(&mut client)).expect("two accounts");
    holder.query_drop("begin").expect("a transaction");
    holder.query_drop("update test.account set balance = 50 where id = 2").expect("a lock");
    client.query_drop("set innodb_lock_wait_timeout = 0").expect("no waits");
    let both = |transaction: &mut mysql::Transaction<'_>| {
        transaction.query_drop("update test.account set balance = balance - 1 where id = 1")?;
        transaction.query_drop("update test.account set balance = balance + 1 where id = 2")?;
        Ok::<_, DbError>(())
    };
    let mut transaction = client.start_transaction(TxOpts::default()).expect("a transaction");
    let error = both(&mut transaction).expect_err("locked");
    assert_eq!((code(&error), error.is_transient()), (Some(1205), true));
    let [first, second] = before;
    assert_eq!(balances(&mut transaction), [first - 1, second], "the first statement stands");
    drop(transaction);

    let mut retries = 0;
    let moved = (|| {
        let mut transaction = client.start_transaction(TxOpts::default())?;
        both(&mut transaction)?;
        transaction.commit().map_err(DbError::Commit)
    })
    .on_retry(|retry| {
        retries += 1;
        if retry.attempt == 2 {
            holder.query_drop("rollback").expect("released");
        }
    })
    .retry_with(POLICY);
    moved.expect("a transfer");
    assert_eq!((retries, balances(&mut client)), (2, vec![first - 1, second + 1]));
}

fn a_lost_connection_is_transient_and_a_wrong_password_is_not(server: &MariaDb) {
    let connect = || server.connect().expect("a connection");
    let (mut client, mut admin) = (connect(), connect());
    let id = client.connection_id();
    admin.query_drop(format!("kill connection {id}")).expect("killed");
    // The server ends the connection a moment later.
    let left = format!("select count(*) from information_schema.processlist where id = {id}");
    (|| (admin.query_first(&left).expect("a number") == Some(0)).then_some(()).ok_or(()))
        .retry_if(|()| true)
        .retry_with(PATIENT)
        .expect("the connection is gone");
    let lost = client.query_drop("select 1").map_err(DbError::from).expect_err("lost");
    assert!(lost.is_transient(), "{lost:?}");
    // If the same happens in answer to `COMMIT`, the outcome is unknown.
    let DbError::Query(lost) = lost else { panic!("not of a query") };
    assert!(!DbError::Commit(lost).is_transient());

    let options = OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(server.port);
    let wrong = options.user(Some("root")).pass(Some("wrong")).prefer_socket(false);
    let connected = (|| Ok(Conn::new(wrong.clone()).map(drop)?)).retry_with(PATIENT);
    let error = connected.expect_err("a wrong password");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    assert_eq!(code(error.error()), Some(1045));

    let nowhere = reserve_port().expect("a port");
    let options = OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(nowhere);
    let refused = Conn::new(options).map(drop).map_err(DbError::from).expect_err("refused");
    assert!(refused.is_transient(), "{refused:?}");
}
