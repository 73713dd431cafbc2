//! A result in the place of what makes it.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = std::fs::read("file").retry_with(RetryPolicy::new());
}
