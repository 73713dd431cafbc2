//! An error type without `IsTransient`, in an iterator.

use retry_ext::{RetryIteratorExt, RetryPolicy};

fn main() {
    let numbers = ["7"].into_iter().map(str::parse::<u8>).retry_with(RetryPolicy::new());
    for _ in numbers {}
}
