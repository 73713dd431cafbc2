//! A second blanket implementation of `RetryExt`.

use retry_ext::RetryExt;

impl<F: FnMut() -> Result<T, E>, T, E> RetryExt<T, E> for F {}

fn main() {}
