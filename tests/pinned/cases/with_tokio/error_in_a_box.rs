//! A boxed error of unknown type.

use std::error::Error;

use retry_ext::{RetryExt, RetryPolicy};

fn parse() -> Result<u8, Box<dyn Error>> {
    Ok("7".parse()?)
}

fn main() {
    let _ = parse.retry_with(RetryPolicy::new());
}
