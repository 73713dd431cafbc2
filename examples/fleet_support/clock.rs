//! Tokio's paused clock. Budgets read the clock, and the simulations move it.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, advance};

static ORIGIN: OnceLock<Instant> = OnceLock::new();
const MINUTE: Duration = Duration::from_secs(60);

/// Fixes the positions of the budgets' slices. Without this call, real time would pass before the
/// budgets first read the clock, and the results would differ between runs of the program.
pub(crate) fn start() {
    let _ = retry_ext::RetryBudget::new().available();
    ORIGIN.get_or_init(Instant::now);
}

/// Moves the clock to a full minute and returns the time. The entries of earlier runs expire, and each
/// run begins at the same position in a slice. Results do not depend on the order or number of runs.
pub(crate) async fn next_run() -> Instant {
    let origin = *ORIGIN.get_or_init(Instant::now);
    let elapsed = origin.elapsed();
    let minutes = u32::try_from(elapsed.as_secs() / MINUTE.as_secs()).expect("less than an age");
    advance((MINUTE * (minutes + 2)).saturating_sub(elapsed)).await;
    Instant::now()
}
