//! Tokio's clock, which budgets read; it is paused, and the simulations move it.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, advance};

static ORIGIN: OnceLock<Instant> = OnceLock::new();
const MINUTE: Duration = Duration::from_secs(60);

/// Fixes the places of the budgets' slices. Without this call, real time would have passed before their
/// first look at the clock, and the results would differ from one run of the program to another.
pub(crate) fn start() {
    let _ = retry_ext::RetryBudget::new().available();
    ORIGIN.get_or_init(Instant::now);
}

/// Moves the clock to a full minute and returns it: the entries of earlier runs expire, and each run
/// begins at the same place of a slice. The order and the number of the runs make no difference.
pub(crate) async fn next_run() -> Instant {
    let origin = *ORIGIN.get_or_init(Instant::now);
    let elapsed = origin.elapsed();
    let minutes = u32::try_from(elapsed.as_secs() / MINUTE.as_secs()).expect("less than an age");
    advance((MINUTE * (minutes + 2)).saturating_sub(elapsed)).await;
    Instant::now()
}
