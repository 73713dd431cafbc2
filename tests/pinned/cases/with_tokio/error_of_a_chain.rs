//! The same, where something stands before the verb.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| "7".parse::<u8>())
        .on_retry(|retry| eprintln!("{retry}"))
        .retry_with(RetryPolicy::new());
}
