//! `classify` on an iterator, whose items are checked with `map` instead.

use retry_ext::{RetryIteratorExt, RetryPolicy, Verdict};

fn main() {
    let numbers = ["7"].into_iter().map(str::parse::<u8>);
    let _ = numbers.retry_if(|_| true).classify(|_| Verdict::Success).retry_with(RetryPolicy::new());
}
