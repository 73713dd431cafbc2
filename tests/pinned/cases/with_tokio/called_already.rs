//! A `Result` in place of the operation that returns it.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = std::fs::read("file").retry_with(RetryPolicy::new());
}
