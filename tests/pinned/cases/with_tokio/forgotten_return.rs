//! A closure whose last line ends with a semicolon.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| {
        std::fs::read("file");
    })
    .retry_with(RetryPolicy::new());
}
