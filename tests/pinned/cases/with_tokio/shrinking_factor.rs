//! Delays that would shrink.

use retry_ext::RetryPolicy;

const SHRINKING: RetryPolicy = RetryPolicy::new().with_factor(0.5);

fn main() {
    let _ = SHRINKING;
}
