//! An operation that takes arguments.

use retry_ext::{RetryExt, RetryPolicy};

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}

fn main() {
    let _ = (|path: &str| read(path)).retry_with(RetryPolicy::new());
    let _ = read.retry_with(RetryPolicy::new());
}
