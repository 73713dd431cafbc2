//! A hook of a retry loop that calls a method of the error, without the type: the loop does not know it yet.

use retry_ext::RetryPolicy;

fn main() {
    let mut retry = RetryPolicy::new().start().on_retry(|retry| eprintln!("{:?}", retry.error.kind()));
    let _ = retry.step(std::fs::read("file"));
}
