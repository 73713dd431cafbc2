//! An error type that does not say which of its errors are transient.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| "7".parse::<u8>()).retry_with(RetryPolicy::new());
}
