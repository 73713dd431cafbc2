//! Arguments that the first attempt moves, or borrows for too long.

use std::io::Error;

use retry_ext::{RetryError, RetryPolicy, retry_with};

const POLICY: RetryPolicy = RetryPolicy::new();

fn send(_body: String) -> Result<(), Error> {
    Ok(())
}

#[retry_with(POLICY)]
fn used_up(body: String) -> Result<(), RetryError<Error>> {
    send(body)
}

#[retry_with(POLICY)]
async fn used_up_async(body: String) -> Result<(), RetryError<Error>> {
    send(body)
}

#[retry_with(POLICY)]
fn lent(lines: &mut Vec<String>) -> Result<&mut String, RetryError<Error>> {
    lines.first_mut().ok_or_else(|| Error::other("no line"))
}

fn main() {}
