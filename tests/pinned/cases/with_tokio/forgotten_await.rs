//! A future that is not awaited, and an iterator that is not consumed.

#![deny(unused_must_use)]

use retry_ext::{AsyncRetryExt, RetryIteratorExt, RetryPolicy};

fn main() {
    (async || std::fs::read("file")).retry_with(RetryPolicy::new());
    [std::fs::read("file")].into_iter().retry_with(RetryPolicy::new());
}
