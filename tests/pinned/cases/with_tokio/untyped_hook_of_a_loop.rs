//! A hook that calls a method of the error before the retry loop knows the error type.

use retry_ext::RetryPolicy;

fn main() {
    let mut retry = RetryPolicy::new().start().on_retry(|retry| eprintln!("{:?}", retry.error.kind()));
    let _ = retry.step(std::fs::read("file"));
}
