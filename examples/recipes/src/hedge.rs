//! The recipe for a hedged request.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select_ok;
use retry_ext::RetryBudget;
use tokio::time::timeout;

/// Calls a second time if there is no answer after a while and the budget has a retry left. Returns the first success,
/// and drops the other call.
///
/// # Errors
///
/// If the first call fails before there is a second, or both fail.
pub async fn hedged<F, T, E>(
    mut call: impl FnMut() -> F,
    after: Duration,
    budget: &RetryBudget,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut first = pin!(call());
    if let Ok(outcome) = timeout(after, &mut first).await {
        return outcome;
    }
    if !budget.try_withdraw() {
        return first.await;
    }
    let second = pin!(call());
    select_ok([first, second]).await.map(|(value, _)| value)
}
