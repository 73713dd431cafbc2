//! The recipe for tokio-postgres, and for postgres, which uses the same error type.

use std::time::Duration;

use retry_ext::codes::{is_transient_sqlstate, transient_io_within};
use retry_ext::{IsTransient, Jitter, RetryBudget, RetryError, RetryPolicy, retry_with};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, IsolationLevel, NoTls};

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
    #[transient(if = _0.code().map(SqlState::code).is_some_and(is_transient_sqlstate) || _0.is_closed() || transient_io_within(_0))]
    Query(#[from] tokio_postgres::Error),
    /// `COMMIT` failed. If the connection was lost, the transaction may have been committed.
    #[error("cannot commit")]
    #[transient(if = matches!(_0.code().map(SqlState::code), Some("40001" | "40P01")))]
    Commit(#[source] tokio_postgres::Error),
}

/// Adds to the balance and returns the sum. Each attempt is a whole transaction.
///
/// # Errors
///
/// If the last attempt failed.
#[retry_with(POLICY)]
pub async fn deposit(config: &Config, amount: i64) -> Result<i64, RetryError<DbError>> {
    let mut client = connect(config).await?;
    let isolation = IsolationLevel::RepeatableRead;
    let transaction = client.build_transaction().isolation_level(isolation).start().await?;
    let row = transaction.query_one("select balance from account", &[]).await?;
    let balance = row.try_get::<_, i64>(0)? + amount;
    transaction.execute("update account set balance = $1", &[&balance]).await?;
    transaction.commit().await.map_err(DbError::Commit)?;
    Ok(balance)
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
