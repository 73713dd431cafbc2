//! `attempts` around a closure without a parameter.

use retry_ext::{RetryExt, RetryPolicy, attempts};

fn main() {
    let _ = attempts(|| std::fs::read("file")).retry_with(RetryPolicy::new());
}
