//! A generic retry function, as in a program that uses no crate for retries.

use std::io::Result;
use std::thread;
use std::time::Duration;

use super::{ATTEMPTS, CAP, FIRST_DELAY, is_transient};

fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(fastrand::f64())
}

pub fn call<T>(mut operation: impl FnMut() -> Result<T>) -> Result<T> {
    let mut delay = FIRST_DELAY;
    let mut attempt = 1;
    loop {
        match operation() {
            Err(error) if attempt < ATTEMPTS && is_transient(&error) => {
                thread::sleep(jitter(delay));
            }
            result => return result,
        }
        attempt += 1;
        delay = delay.saturating_mul(2).min(CAP);
    }
}

#[cfg(feature = "tokio")]
pub async fn call_async<T, Fut>(mut operation: impl FnMut() -> Fut) -> Result<T>
where
    Fut: Future<Output = Result<T>>,
{
    let mut delay = FIRST_DELAY;
    let mut attempt = 1;
    loop {
        match operation().await {
            Err(error) if attempt < ATTEMPTS && is_transient(&error) => {
                tokio::time::sleep(jitter(delay)).await;
            }
            result => return result,
        }
        attempt += 1;
        delay = delay.saturating_mul(2).min(CAP);
    }
}

macro_rules! retry {
    ($operation:expr) => {
        $crate::contender::call($operation)
    };
}
macro_rules! retry_async {
    ($operation:expr) => {
        $crate::contender::call_async($operation).await
    };
}
pub(crate) use {retry, retry_async};
