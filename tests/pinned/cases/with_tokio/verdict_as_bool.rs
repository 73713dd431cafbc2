//! `classify` with a predicate that returns a `bool` instead of a `Verdict`.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| std::fs::read("file"))
        .classify(|outcome| outcome.is_err())
        .retry_with(RetryPolicy::new());
}
