//! Shared by the tests: servers, and the line that reports a missing server.
#![allow(dead_code, reason = "each file of tests uses a part")]

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use database_example::{Cluster, ClusterError};
use retry_ext::{AsyncRetryExt, Backoff, RetryPolicy};
use tokio_postgres::{Client, Config, NoTls};

/// A policy with four attempts, which really wait a few milliseconds.
pub const POLICY: RetryPolicy =
    RetryPolicy::new().with_initial_delay(Duration::from_millis(1)).with_max_attempts(4);

/// A policy that waits long enough for a server on a busy machine.
pub const PATIENT: RetryPolicy = RetryPolicy::within(Duration::from_secs(60))
    .with_backoff(Backoff::constant(Duration::from_millis(10)));

/// Reports a missing server. The test harness hides `println`, but not this line.
pub fn not_checked(server: &str, reason: impl Display) {
    writeln!(io::stderr(), "not checked: {server}: {reason}").expect("stderr");
}

/// Starts a PostgreSQL server with one account, whose balance is 100. Returns `None` if PostgreSQL is
/// not installed.
pub async fn postgres() -> Option<(Cluster, Config)> {
    let mut cluster = match Cluster::new() {
        Ok(cluster) => cluster,
        Err(error @ (ClusterError::NotInstalled | ClusterError::NoUser)) => {
            not_checked("PostgreSQL", error);
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    cluster.start().expect("a server");
    let mut config = Config::new();
    let port = cluster.config().get_ports()[0];
    config.host("127.0.0.1").port(port).user("postgres").dbname("postgres");
    let connect = async || config.connect(NoTls).await.map(drop);
    let up = connect.retry_if(|_| true).retry_with(PATIENT).await;
    assert!(up.is_ok(), "{}", cluster.log());
    let create = "create table account as select 100::bigint as balance; \
                  create table journal (line text)";
    connect_to(&config).await.batch_execute(create).await.expect("tables");
    Some((cluster, config))
}

/// Returns a connection beside the ones under test.
pub async fn connect_to(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Makes each `COMMIT` of other connections wait for a standby that does not exist.
pub async fn hold_commits(config: &Config) -> Client {
    let admin = connect_to(config).await;
    admin.batch_execute("alter system set synchronous_standby_names = 'none'").await.expect("set");
    admin.batch_execute("select pg_reload_conf()").await.expect("reload");
    // Commits wait as soon as the checkpointer has read the setting, which other processes may read earlier. The probe
    // therefore commits until a commit waits. It writes a record to the log, and no row.
    let probe = connect_to(config).await;
    let commit = "select pg_logical_emit_message(true, 'probe', '')";
    let held = async { while probe.batch_execute(commit).await.is_ok() {} };
    tokio::join!(held, end_the_held_commit(&admin));
    admin
}

/// Ends the connection whose `COMMIT` waits. The transaction has committed, and its client gets no
/// answer.
pub async fn end_the_held_commit(admin: &Client) {
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'";
    let ended = async || {
        let rows = admin.query(end, &[]).await.expect("rows");
        (rows.len() == 1).then_some(()).ok_or(())
    };
    ended.retry_if(|()| true).retry_with(PATIENT).await.expect("a commit waits");
}

/// Returns the number of lines in the journal.
pub async fn lines(config: &Config) -> i64 {
    let client = connect_to(config).await;
    client.query_one("select count(*) from journal", &[]).await.expect("a row").get(0)
}
