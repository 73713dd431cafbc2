//! An error type without `IsTransient`, in async code.

use retry_ext::{AsyncRetryExt, RetryPolicy};

async fn parse() {
    let _ = (async || "7".parse::<u8>()).retry_with(RetryPolicy::new()).await;
}

fn main() {}
