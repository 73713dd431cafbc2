//! An async retry without a sleeper, and with a setting before `retry_with`.

use retry_ext::{AsyncRetryExt, RetryPolicy};

async fn read() -> std::io::Result<Vec<u8>> {
    std::fs::read("file")
}

async fn retry() {
    let _ = read.on_retry(|retry| eprintln!("{retry}")).retry_with(RetryPolicy::new()).await;
}

fn main() {}
