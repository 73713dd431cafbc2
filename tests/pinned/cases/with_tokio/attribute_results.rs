//! Return types and bodies that do not fit `#[retry_with(POLICY)]`.

use std::io::Error;
use std::num::ParseIntError;

use retry_ext::{Backoff, RetryError, RetryPolicy, retry_with};

const POLICY: RetryPolicy = RetryPolicy::new();

#[retry_with(POLICY)]
fn plain_result() -> Result<u8, Error> {
    Ok(1)
}

#[retry_with(POLICY)]
fn option() -> Option<u8> {
    Some(1)
}

#[retry_with(POLICY, plain)]
fn plain_number() -> u8 {
    1
}

#[retry_with(POLICY, plain)]
fn plain_retry_error() -> Result<u8, RetryError<Error>> {
    Ok(1)
}

#[retry_with(POLICY)]
async fn plain_result_async() -> Result<u8, Error> {
    Ok(1)
}

#[retry_with(POLICY)]
fn unclassified() -> Result<u8, RetryError<ParseIntError>> {
    "7".parse()
}

#[retry_with(Backoff::exponential())]
fn backoff() -> Result<u8, RetryError<Error>> {
    Ok(1)
}

fn main() {}
