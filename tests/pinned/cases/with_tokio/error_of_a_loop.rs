//! An error type without `IsTransient`, in a retry loop.

use retry_ext::RetryPolicy;

fn main() {
    let mut retry = RetryPolicy::new().start();
    loop {
        match "7".parse::<u8>() {
            Ok(_) => break,
            Err(error) => retry.wait_after(error).unwrap(),
        }
    }
}
