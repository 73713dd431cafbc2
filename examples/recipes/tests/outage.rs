//! The recipe of PostgreSQL without a server: a budget that suits conflicts ends an outage early. The budget is a
//! `static`, so this test needs a separate process.

mod common;

use common::postgres;
use recipes_example::postgres::deposit;
use retry_ext::{RetryError, StopReason};
use tokio::task::JoinSet;

#[tokio::test]
async fn ten_deposits_without_a_server_share_twenty_retries() {
    let Some((mut cluster, config)) = postgres().await else { return };
    cluster.stop().expect("stopped");
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let config = config.clone();
        tasks.spawn(async move { deposit(&config, 1).await.expect_err("no server") });
    }
    let errors = tasks.join_all().await;
    assert!(errors.iter().all(|error| error.reason() == StopReason::BudgetExhausted), "{errors:?}");
    assert_eq!(errors.iter().map(RetryError::attempts).sum::<u32>(), 10 + 20);
}
