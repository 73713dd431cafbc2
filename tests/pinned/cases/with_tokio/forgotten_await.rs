//! A future that nobody awaits, and an iterator that nobody asks.

#![deny(unused_must_use)]

use retry_ext::{AsyncRetryExt, RetryIteratorExt, RetryPolicy};

fn main() {
    (async || std::fs::read("file")).retry_with(RetryPolicy::new());
    [std::fs::read("file")].into_iter().retry_with(RetryPolicy::new());
}
