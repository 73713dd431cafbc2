//! An async retry with neither the feature `tokio` nor a sleeper.

use retry_ext::{AsyncRetryExt, RetryPolicy};

async fn read() -> std::io::Result<Vec<u8>> {
    std::fs::read("file")
}

async fn retry() {
    let _ = read.retry_with(RetryPolicy::new()).await;
}

fn main() {}
