//! Scripted operations and a recording sleeper, for tests that count calls and waits.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod drivers;
pub mod model;
pub mod uniform;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use drivers::{Endless, Trace};
#[cfg(feature = "async")]
use retry_ext::AttemptTimedOut;
use retry_ext::{IsTransient, RetryEvent, RetryPolicy};

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The outcome of one call of a scripted operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Succeed,
    /// Fails with a transient error, identified by its number.
    Fail(u32),
    /// Fails with a transient error that has this hint.
    Busy(Duration),
    /// Fails with a permanent error.
    Break,
}

pub use Step::{Break, Busy, Fail, Succeed};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("failure number {0}")]
    Transient(u32),
    #[error("busy for {0:?}")]
    Busy(Duration),
    #[error("broken")]
    Permanent,
}

impl IsTransient for ScriptError {
    fn is_transient(&self) -> bool {
        !matches!(self, Self::Permanent)
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy(hint) => Some(*hint),
            Self::Transient(_) | Self::Permanent => None,
        }
    }
}

#[cfg(feature = "async")]
impl From<AttemptTimedOut> for ScriptError {
    fn from(timed_out: AttemptTimedOut) -> Self {
        unreachable!("{timed_out}: scripted attempts are ready at once")
    }
}

impl Step {
    pub fn play(self) -> Result<(), ScriptError> {
        match self {
            Succeed => Ok(()),
            Fail(number) => Err(ScriptError::Transient(number)),
            Busy(hint) => Err(ScriptError::Busy(hint)),
            Break => Err(ScriptError::Permanent),
        }
    }
}

/// The event that `on_retry` received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub attempt: u32,
    pub max_attempts: u32,
    pub delay: Duration,
    pub waited: Duration,
    pub error: ScriptError,
    pub name: Option<&'static str>,
}

impl From<&RetryEvent<'_, ScriptError>> for Heard {
    fn from(retry: &RetryEvent<'_, ScriptError>) -> Self {
        Self::of(retry, retry.error)
    }
}

impl Heard {
    /// Copies an event whose failure may be a whole outcome.
    pub fn of<X>(retry: &RetryEvent<'_, X>, error: &ScriptError) -> Self {
        Self {
            attempt: retry.attempt,
            max_attempts: retry.max_attempts,
            delay: retry.delay,
            waited: retry.waited,
            error: error.clone(),
            name: retry.name,
        }
    }
}

/// Plays the script through `retry_with` on a closure, without real waits. The last step repeats.
pub fn play(policy: RetryPolicy, script: &[Step]) -> Trace {
    drivers::by_closure(policy, &mut Endless::new(script))
}

/// Returns a script of `times` transient errors, numbered 1, 2, 3 …, and a success.
pub fn failing(times: u32) -> Vec<Step> {
    (1..=times).map(Fail).chain([Succeed]).collect()
}

/// A transient error that is counted while it is alive.
pub struct Counted<'a>(&'a Cell<u32>);

impl<'a> Counted<'a> {
    pub fn new(alive: &'a Cell<u32>) -> Self {
        alive.set(alive.get() + 1);
        Self(alive)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl IsTransient for Counted<'_> {
    fn is_transient(&self) -> bool {
        true
    }
}

/// Polls a future without a runtime until it is ready. Returns the output and the number of polls.
pub fn poll_to_end<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return (output, polls);
        }
    }
    unreachable!("the range is longer than any test");
}
