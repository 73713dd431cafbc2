//! tokio-postgres and a real PostgreSQL, with a separate server for each test. Without PostgreSQL, each test prints
//! "not checked" and passes. The tests really wait for a server to come up.

mod common;

use std::collections::BTreeSet;

use common::{POLICY, connect_to, end_the_held_commit, hold_commits, lines, postgres};
use recipes_example::postgres::{DbError, deposit};
use retry_ext::{AsyncRetryExt, IsTransient, RetryError, StopReason, retry_with};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, IsolationLevel, NoTls};

/// Does the same as `deposit`. Another client writes between the read and the write of the first two attempts.
#[retry_with(POLICY, on_retry = |retry| codes.push(code(retry.error)))]
async fn deposit_beside(
    client: &mut Client,
    other: &Client,
    attempts: &mut u32,
    codes: &mut Vec<Option<String>>,
) -> Result<i64, RetryError<DbError>> {
    *attempts += 1;
    let isolation = IsolationLevel::RepeatableRead;
    let transaction = client.build_transaction().isolation_level(isolation).start().await?;
    let row = transaction.query_one("select balance from account", &[]).await?;
    let balance = row.try_get::<_, i64>(0)? + 1;
    if *attempts <= 2 {
        other.batch_execute("update account set balance = balance + 10").await?;
    }
    transaction.execute("update account set balance = $1", &[&balance]).await?;
    transaction.commit().await.map_err(DbError::Commit)?;
    Ok(balance)
}

fn code(error: &DbError) -> Option<String> {
    let (DbError::Query(error) | DbError::Commit(error)) = error;
    Some(error.code()?.code().to_owned())
}

#[tokio::test]
async fn a_serialization_failure_twice_is_retried_as_a_whole_transaction() {
    let Some((_cluster, config)) = postgres().await else { return };
    let (mut client, other) = (connect_to(&config).await, connect_to(&config).await);
    let (mut attempts, mut codes) = (0, Vec::new());
    let balance = deposit_beside(&mut client, &other, &mut attempts, &mut codes).await;
    assert_eq!(balance.expect("a balance"), 100 + 10 + 10 + 1, "no change is lost");
    let refused = Some("40001".to_owned());
    assert_eq!((attempts, codes), (3, vec![refused.clone(), refused]));
}

#[tokio::test]
async fn deposits_of_eight_connections_at_once_are_all_kept() {
    let Some((_cluster, config)) = postgres().await else { return };
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let config = config.clone();
        tasks.spawn(async move { deposit(&config, 1).await.map_err(|error| error.to_string()) });
    }
    let balances: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(balances, (101..=108).map(Ok).collect());
}

/// Runs a transaction and returns its result. `commit` converts the error of a commit.
async fn write_line(
    config: &Config,
    failed: fn(tokio_postgres::Error) -> DbError,
) -> Result<(), DbError> {
    let mut client = connect_to(config).await;
    let transaction = client.transaction().await?;
    transaction.execute("insert into journal values ('written')", &[]).await?;
    transaction.commit().await.map_err(failed)
}

#[tokio::test]
async fn a_commit_without_an_answer_may_have_been_carried_out_and_is_not_retried() {
    let Some((_cluster, config)) = postgres().await else { return };
    let admin = hold_commits(&config).await;
    let write = async || write_line(&config, DbError::Commit).await;
    let (written, ()) = tokio::join!(write.retry_with(POLICY), end_the_held_commit(&admin));
    let error = written.expect_err("no answer");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    assert!(matches!(error.error(), DbError::Commit(_)), "{error:?}");
    assert_eq!(lines(&config).await, 1, "it was committed");

    // As an error of a query, the lost connection is transient: a retry would write the line once more.
    let write = async || write_line(&config, DbError::Query).await;
    let (written, ()) = tokio::join!(write(), end_the_held_commit(&admin));
    assert!(written.expect_err("no answer").is_transient());
    assert_eq!(lines(&config).await, 2);
}

#[tokio::test]
async fn a_commit_that_the_server_rolled_back_is_retried() {
    let Some((_cluster, config)) = postgres().await else { return };
    let (mut first, mut second) = (connect_to(&config).await, connect_to(&config).await);
    // Each transaction counts the lines and writes one. In any serial order, the second one would count a line.
    let serializable = IsolationLevel::Serializable;
    let mut transactions = Vec::new();
    for client in [&mut first, &mut second] {
        let start = client.build_transaction().isolation_level(serializable).start().await;
        let transaction = start.expect("a transaction");
        transaction.query_one("select count(*) from journal", &[]).await.expect("a row");
        transactions.push(transaction);
    }
    for transaction in &transactions {
        transaction.execute("insert into journal values ('counted')", &[]).await.expect("written");
    }
    let last = transactions.pop().expect("two");
    transactions.pop().expect("one").commit().await.expect("the first one to commit");
    let error = DbError::Commit(last.commit().await.expect_err("the second one"));
    assert_eq!(code(&error).as_deref(), Some("40001"));
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_lost_connection_is_transient_and_an_unknown_database_is_not() {
    let Some((mut cluster, config)) = postgres().await else { return };
    let mut unknown = config.clone();
    let error = unknown.dbname("nowhere").connect(NoTls).await.map(drop).expect_err("no database");
    let error = DbError::from(error);
    assert_eq!((code(&error).as_deref(), error.is_transient()), (Some("3D000"), false));

    let client = connect_to(&config).await;
    cluster.stop().expect("stopped");
    let lost = client.batch_execute("select 1").await.map_err(DbError::from);
    let refused = config.connect(NoTls).await.map(drop).map_err(DbError::from);
    for error in [lost.expect_err("lost"), refused.expect_err("refused")] {
        assert!(error.is_transient(), "{error:?}");
    }
}
