//! `timeout_each` on an error type that cannot be a timeout.

use std::time::Duration;

use retry_ext::{AsyncRetryExt, RetryPolicy};

#[derive(Debug)]
struct Failed;

impl retry_ext::IsTransient for Failed {
    fn is_transient(&self) -> bool {
        true
    }
}

async fn fetch() -> Result<u8, Failed> {
    Err(Failed)
}

async fn limited() {
    let _ = fetch.timeout_each(Duration::from_secs(1)).retry_with(RetryPolicy::new()).await;
}

fn main() {}
