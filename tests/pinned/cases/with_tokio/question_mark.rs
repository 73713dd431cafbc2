//! A closure whose error type cannot be inferred.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| {
        let text = std::fs::read_to_string("file")?;
        Ok(text.len())
    })
    .retry_with(RetryPolicy::new());
}
