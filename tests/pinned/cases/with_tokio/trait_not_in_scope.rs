//! A call of `retry_with` without its trait in scope.

use retry_ext::RetryPolicy;

fn main() {
    let _ = (|| std::fs::read("file")).retry_with(RetryPolicy::new());
}
