//! An error type without `IsTransient`.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| "7".parse::<u8>()).retry_with(RetryPolicy::new());
}
