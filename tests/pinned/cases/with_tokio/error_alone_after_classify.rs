//! A retry loop that judges whole outcomes, but receives a bare error.

use retry_ext::{RetryPolicy, Verdict};

fn main() {
    let mut retry = RetryPolicy::new()
        .start()
        .classify(|outcome: &Result<u8, std::num::ParseIntError>| match outcome {
            Ok(0) | Err(_) => Verdict::Transient,
            Ok(_) => Verdict::Success,
        });
    if let Err(error) = "7".parse::<u8>() {
        let _ = retry.wait_after(error);
    }
}
