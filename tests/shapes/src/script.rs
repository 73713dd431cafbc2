//! A scripted world, which answers in order and records the times of its calls.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Mutex;

use tokio::time::Instant;

/// The answers in order, and the times of the calls.
#[derive(Debug)]
pub struct Script<A> {
    start: Instant,
    answers: Mutex<VecDeque<A>>,
    calls: Mutex<Vec<u128>>,
}

impl<A> Script<A> {
    /// Begins a script. The clock of [`calls`](Self::calls) starts here.
    pub fn new(answers: impl IntoIterator<Item = A>) -> Self {
        Self {
            start: Instant::now(),
            answers: Mutex::new(answers.into_iter().collect()),
            calls: Mutex::default(),
        }
    }

    /// Records a call and returns the next answer. Panics after the last one: a call too many fails
    /// the test.
    pub fn answer(&self) -> A {
        self.calls.lock().unwrap().push(self.start.elapsed().as_millis());
        self.answers.lock().unwrap().pop_front().expect("a call that the script does not expect")
    }

    /// Returns the times of the calls, in milliseconds since the start of the script.
    pub fn calls(&self) -> Vec<u128> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns how many answers are left.
    pub fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

/// The errors that the versions by hand and of the peers retry. `IsTransient` for `io::Error`
/// includes these kinds.
#[must_use]
pub fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::TimedOut
    )
}

/// Returns a transient error.
#[must_use]
pub fn reset() -> io::Error {
    ErrorKind::ConnectionReset.into()
}

/// Returns a permanent error.
#[must_use]
pub fn denied() -> io::Error {
    ErrorKind::PermissionDenied.into()
}

/// Runs a block once for each version of a shape: with this crate, by hand, and with the peer.
#[cfg(test)]
macro_rules! each_version {
    ($version:ident => $body:block) => {
        each_version!($version in ours by_hand peer => $body)
    };
    ($version:ident in $($name:ident)* => $body:block) => {$({
        use super::$name as $version;
        // The output of a failed test shows the version.
        println!("{}", stringify!($name));
        $body
    })*};
}
#[cfg(test)]
pub(crate) use each_version;
