//! The journal of a run: all observable events of its retries.

use std::time::Duration;

use log::Level;
use retry_ext::{IsTransient, RetryError};

use crate::input::Outcome;

/// The error of a call. The number of the call identifies the error.
#[derive(Clone, Debug, PartialEq, IsTransient)]
#[transient(forward = outcome)]
pub(crate) struct Failure {
    pub(crate) call: usize,
    pub(crate) outcome: Outcome,
}

/// An observable event.
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
    /// An iterator's pause before its next call. It takes no time, so that all journals have equal
    /// times.
    Pause(Duration),
    End {
        at: Duration,
        result: Result<(), RetryError<Failure>>,
        available: Option<u32>,
    },
}

pub(crate) type Journal = Vec<Entry>;
