//! The verb once more for everything that has it already.

use retry_ext::RetryExt;

impl<F: FnMut() -> Result<T, E>, T, E> RetryExt<T, E> for F {}

fn main() {}
