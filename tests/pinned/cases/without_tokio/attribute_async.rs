//! An async function without a timer.

use std::io::Error;

use retry_ext::{RetryError, RetryPolicy, retry_with};

#[retry_with(RetryPolicy::new())]
async fn call() -> Result<u8, RetryError<Error>> {
    Ok(1)
}

fn main() {}
