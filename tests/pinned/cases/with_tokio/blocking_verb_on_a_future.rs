//! The blocking `retry_with` on a function that returns futures.

use retry_ext::{RetryExt, RetryPolicy};

async fn read() -> std::io::Result<Vec<u8>> {
    std::fs::read("file")
}

async fn retry() {
    let _ = read.retry_with(RetryPolicy::new()).await;
}

fn main() {}
