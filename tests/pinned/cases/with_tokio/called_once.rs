//! A closure that moves its capture out, and so can be called only once.

use retry_ext::{RetryExt, RetryPolicy};

fn send(body: String) -> std::io::Result<usize> {
    Ok(body.len())
}

fn main() {
    let body = String::from("body");
    let _ = (|| send(body)).retry_with(RetryPolicy::new());
}
