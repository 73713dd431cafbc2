//! An error type without `IsTransient`, with a setting before `retry_with`.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| "7".parse::<u8>())
        .on_retry(|retry| eprintln!("{retry}"))
        .retry_with(RetryPolicy::new());
}
