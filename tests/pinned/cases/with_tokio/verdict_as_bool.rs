//! `classify` with a predicate: a `bool` does not say which outcomes are good.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| std::fs::read("file"))
        .classify(|outcome| outcome.is_err())
        .retry_with(RetryPolicy::new());
}
