//! A sleeper that returns an unsupported type.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| std::fs::read("file"))
        .sleep_with(|delay| delay.is_zero())
        .retry_with(RetryPolicy::new());
}
