//! A backoff in place of a policy.

use retry_ext::{Backoff, RetryExt};

fn main() {
    let _ = (|| std::fs::read("file")).retry_with(Backoff::linear());
}
