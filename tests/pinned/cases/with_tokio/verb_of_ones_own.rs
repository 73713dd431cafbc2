//! An implementation of `RetryExt` for a custom type, which cannot be retried.

use retry_ext::RetryExt;

struct Job;

impl RetryExt<u8, std::io::Error> for Job {}

fn main() {}
