//! The verb on a type of one's own, which is not made for it.

use retry_ext::RetryExt;

struct Job;

impl RetryExt<u8, std::io::Error> for Job {}

fn main() {}
