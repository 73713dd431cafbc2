//! An error type that does not say which of its errors are transient, in the loop form.

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
