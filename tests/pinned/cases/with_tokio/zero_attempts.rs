//! A policy that would never call the operation.

use retry_ext::RetryPolicy;

const NEVER: RetryPolicy = RetryPolicy::new().with_max_attempts(0);

fn main() {
    let _ = NEVER;
}
