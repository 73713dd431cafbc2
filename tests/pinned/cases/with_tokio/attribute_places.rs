//! `#[retry_with(POLICY)]` on items that cannot be retried.

use std::future::Future;
use std::io::Error;

use retry_ext::{RetryError, RetryPolicy, retry_with};

const POLICY: RetryPolicy = RetryPolicy::new();

#[retry_with(POLICY)]
const fn constant() -> Result<u8, RetryError<Error>> {
    Ok(1)
}

#[retry_with(POLICY)]
fn nothing() {}

#[retry_with(POLICY)]
async fn nothing_async()
where
    u8: Copy,
{
}

#[retry_with(POLICY)]
fn future() -> impl Future<Output = Result<u8, RetryError<Error>>> {
    async { Ok(1) }
}

#[retry_with(POLICY)]
fn iterator() -> Result<impl Iterator<Item = u8>, RetryError<Error>> {
    Ok(std::iter::once(1))
}

trait Source {
    #[retry_with(POLICY)]
    fn load(&self) -> Result<u8, RetryError<Error>>;
}

#[retry_with(POLICY)]
struct Type;

#[retry_with(POLICY)]
impl Type {}

#[retry_with(POLICY)]
const CONSTANT: u8 = 1;

fn main() {}
