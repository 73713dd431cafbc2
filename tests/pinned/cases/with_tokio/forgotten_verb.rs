//! A chain without `retry_with`.

#![deny(unused_must_use)]

use retry_ext::{AsyncRetryExt, RetryExt, RetryIteratorExt};

fn main() {
    (|| std::fs::read("file")).on_retry(|retry| eprintln!("{retry}"));
    (async || std::fs::read("file")).on_retry(|retry| eprintln!("{retry}"));
    ["7"].into_iter().map(str::parse::<u8>).retry_if(|_| true);
}
