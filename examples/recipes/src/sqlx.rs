//! The recipe for sqlx with PostgreSQL.

use std::borrow::Cow;
use std::time::Duration;

use retry_ext::codes::{is_transient_sqlstate, transient_io_within};
use retry_ext::{AsyncRetryExt, IsTransient, Jitter, RetryBudget, RetryError, RetryPolicy};
use sqlx::PgPool;

/// Two retries for each success, and 20 in ten seconds without any: conflicts need more than outages.
static BUDGET: RetryBudget = RetryBudget::new().with_ratio(2.0).with_min_retries(20);
static POLICY: RetryPolicy = RetryPolicy::within(Duration::from_secs(30))
    .with_name("deposit")
    .with_initial_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_secs(1))
    .with_jitter(Jitter::Full)
    .with_budget(&BUDGET);

/// An error of a transaction, or of the connection.
#[derive(Debug, thiserror::Error, IsTransient)]
pub enum DbError {
    /// A statement failed or the connection was lost before `COMMIT`: nothing was committed.
    #[error(transparent)]
    #[transient(if = sqlstate(_0).is_some_and(|code| is_transient_sqlstate(&code)) || transient_io_within(_0))]
    Query(#[from] sqlx::Error),
    /// `COMMIT` failed. If the connection was lost, the transaction may have been committed.
    #[error("cannot commit")]
    #[transient(if = matches!(sqlstate(_0).as_deref(), Some("40001" | "40P01")))]
    Commit(#[source] sqlx::Error),
}

fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// Adds to the balance and returns the sum. Each attempt is a whole transaction.
///
/// # Errors
///
/// If the last attempt failed.
pub async fn deposit(pool: &PgPool, amount: i64) -> Result<i64, RetryError<DbError>> {
    (async || {
        let mut transaction = pool.begin_with("begin isolation level repeatable read").await?;
        let read = sqlx::query_scalar::<_, i64>("select balance from account");
        let balance = read.fetch_one(&mut *transaction).await? + amount;
        let write = sqlx::query("update account set balance = $1").bind(balance);
        write.execute(&mut *transaction).await?;
        transaction.commit().await.map_err(DbError::Commit)?;
        Ok(balance)
    })
    .retry_with(&POLICY)
    .await
}
