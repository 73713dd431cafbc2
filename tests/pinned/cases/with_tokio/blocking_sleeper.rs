//! A sleeper that would block the runtime.

use retry_ext::{AsyncRetryExt, RetryPolicy};

async fn read() {
    let _ = (async || std::fs::read("file"))
        .sleep_with(std::thread::sleep)
        .retry_with(RetryPolicy::new())
        .await;
}

fn main() {}
