//! An async block that moves a value which its closure needs for the next attempt.

use retry_ext::{AsyncRetryExt, RetryPolicy};

async fn send(body: String) -> std::io::Result<usize> {
    Ok(body.len())
}

fn main() {
    let body = String::from("body");
    let _ = (move || async move { send(body).await }).retry_with(RetryPolicy::new());
}
