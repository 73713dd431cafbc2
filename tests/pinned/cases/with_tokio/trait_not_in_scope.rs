//! The verb without its trait.

use retry_ext::RetryPolicy;

fn main() {
    let _ = (|| std::fs::read("file")).retry_with(RetryPolicy::new());
}
