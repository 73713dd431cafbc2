//! A closure that cannot fail.

use retry_ext::{RetryExt, RetryPolicy};

fn main() {
    let _ = (|| 7).retry_with(RetryPolicy::new());
}
