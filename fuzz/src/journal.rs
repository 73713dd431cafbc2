//! The journal of a run: everything that can be observed of its retries.

use std::time::Duration;

use log::Level;
use retry_ext::{IsTransient, RetryError};

use crate::input::Outcome;

/// The error of a call, which is told apart by its number.
#[derive(Clone, Debug, PartialEq, IsTransient)]
#[transient(forward = outcome)]
pub(crate) struct Failure {
    pub(crate) call: usize,
    pub(crate) outcome: Outcome,
}

/// What can be seen of a retry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Call {
        at: Duration,
    },
    Record(Level),
    Retry {
        attempt: u32,
        delay: Duration,
        waited: Duration,
    },
    Wait(Duration),
    /// Of an iterator, before its next call; it takes no time, so that all journals are on one clock.
    Pause(Duration),
    End {
        at: Duration,
        result: Result<(), RetryError<Failure>>,
        available: Option<u32>,
    },
}

pub(crate) type Journal = Vec<Entry>;
