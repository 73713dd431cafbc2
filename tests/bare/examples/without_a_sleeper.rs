//! Retries without a sleeper. `tests/messages.rs` reads the compiler's advice.

use bare::BusError;
use retry_ext::{RetryError, RetryExt, RetryIteratorExt, RetryPolicy, retry_with};

const POLICY: RetryPolicy = RetryPolicy::new();

fn bus() -> Result<u16, BusError> {
    Err(BusError::NoAnswer)
}

#[retry_with(POLICY)]
fn attribute() -> Result<u16, RetryError<BusError>> {
    bus()
}

fn main() {
    let _closure = bus.retry_with(POLICY);
    let _items = [bus()].into_iter().retry_with(POLICY);
    let _settings = bus.on_retry(|_| ()).retry_with(POLICY);
    let _step = POLICY.start().step(bus());
    let _attribute = attribute();
}
