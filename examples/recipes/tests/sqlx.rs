//! sqlx and a real PostgreSQL, with a separate server for each test. Without PostgreSQL, each test prints "not checked"
//! and passes. The tests really wait for a server to come up.

mod common;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use common::{POLICY, connect_to, end_the_held_commit, hold_commits, lines, postgres};
use recipes_example::sqlx::{DbError, deposit};
use retry_ext::{AsyncRetryExt, IsTransient, StopReason};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;
use tokio_postgres::Config;

fn pool(config: &Config, connections: u32) -> PgPool {
    let options = PgConnectOptions::new().host("127.0.0.1").port(config.get_ports()[0]);
    let options = options.username("postgres").database("postgres");
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(60))
        .connect_lazy_with(options)
}

fn code(error: &DbError) -> Option<String> {
    let (DbError::Query(error) | DbError::Commit(error)) = error;
    Some(error.as_database_error()?.code()?.into_owned())
}

#[tokio::test]
async fn a_serialization_failure_twice_is_retried_as_a_whole_transaction() {
    let Some((_cluster, config)) = postgres().await else { return };
    let (pool, other) = (pool(&config, 1), connect_to(&config).await);
    let attempts = Cell::new(0);
    let mut codes = Vec::new();
    let balance = (async || {
        attempts.set(attempts.get() + 1);
        let mut transaction = pool.begin_with("begin isolation level repeatable read").await?;
        let read = sqlx::query_scalar::<_, i64>("select balance from account");
        let balance = read.fetch_one(&mut *transaction).await? + 1;
        if attempts.get() <= 2 {
            other.batch_execute("update account set balance = balance + 10").await.expect("done");
        }
        let write = sqlx::query("update account set balance = $1").bind(balance);
        write.execute(&mut *transaction).await?;
        transaction.commit().await.map_err(DbError::Commit)?;
        Ok::<_, DbError>(balance)
    })
    .on_retry(|retry| codes.push(code(retry.error)))
    .retry_with(POLICY)
    .await;
    assert_eq!(balance.expect("a balance"), 100 + 10 + 10 + 1, "no change is lost");
    let refused = Some("40001".to_owned());
    assert_eq!((attempts.get(), codes), (3, vec![refused.clone(), refused]));
}

#[tokio::test]
async fn deposits_of_eight_connections_at_once_are_all_kept() {
    let Some((_cluster, config)) = postgres().await else { return };
    let pool = pool(&config, 8);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let pool = pool.clone();
        tasks.spawn(async move { deposit(&pool, 1).await.map_err(|error| error.to_string()) });
    }
    let balances: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(balances, (101..=108).map(Ok).collect());
}

#[tokio::test]
async fn a_commit_without_an_answer_may_have_been_carried_out_and_is_not_retried() {
    let Some((_cluster, config)) = postgres().await else { return };
    let (pool, admin) = (pool(&config, 1), hold_commits(&config).await);
    let write = (async || {
        let mut transaction = pool.begin().await?;
        let line = sqlx::query("insert into journal values ('written')");
        line.execute(&mut *transaction).await?;
        transaction.commit().await.map_err(DbError::Commit)
    })
    .retry_with(POLICY);
    let (written, ()) = tokio::join!(write, end_the_held_commit(&admin));
    let error = written.expect_err("no answer");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
    let DbError::Commit(error) = error.into_error() else { panic!("not of the commit") };
    assert_eq!(lines(&config).await, 1, "it was committed");
    // As an error of a query, it would be transient.
    assert!(DbError::Query(error).is_transient());
}

#[tokio::test]
async fn a_lost_connection_is_transient_and_an_unknown_table_is_not() {
    let Some((mut cluster, config)) = postgres().await else { return };
    let pool = pool(&config, 1);
    let mut connection = pool.acquire().await.expect("a connection");
    let unknown = sqlx::query("select 1 from nowhere").execute(&mut *connection).await;
    let error = DbError::from(unknown.expect_err("no table"));
    assert_eq!((code(&error).as_deref(), error.is_transient()), (Some("42P01"), false));
    cluster.stop().expect("stopped");
    for _ in 0..2 {
        let lost = sqlx::query("select 1").execute(&mut *connection).await;
        let error = DbError::from(lost.expect_err("lost"));
        assert!(error.is_transient(), "{error:?}");
    }
}
