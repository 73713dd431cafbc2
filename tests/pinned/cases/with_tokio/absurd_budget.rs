//! A budget that would never refuse.

use retry_ext::RetryBudget;

static BUDGET: RetryBudget = RetryBudget::new().with_ratio(f64::INFINITY);

fn main() {
    let _ = BUDGET.available();
}
