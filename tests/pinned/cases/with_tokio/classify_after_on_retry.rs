//! `classify` after a hook: the hook was written for errors, and would receive whole outcomes.

use retry_ext::{AsyncRetryExt, RetryExt, RetryPolicy, Verdict};

fn blocking() {
    let _ = (|| std::fs::read("file"))
        .on_retry(|retry| eprintln!("{retry}: {}", retry.error))
        .classify(|_outcome| Verdict::Transient)
        .retry_with(RetryPolicy::new());
}

async fn with_computed_delays() {
    let _ = (async || std::fs::read("file"))
        .delay_with(|_retry, _error| std::time::Duration::ZERO)
        .classify(|_outcome| Verdict::Transient)
        .retry_with(RetryPolicy::new())
        .await;
}

fn main() {}
