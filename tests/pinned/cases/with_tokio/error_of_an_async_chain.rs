//! An error type without `IsTransient`, in async code with a setting before `retry_with`.

use retry_ext::{AsyncRetryExt, RetryPolicy};

async fn parse() {
    let _ = (async || "7".parse::<u8>())
        .on_retry(|retry| eprintln!("{retry}"))
        .retry_with(RetryPolicy::new())
        .await;
}

fn main() {}
