//! Events: lines that a worker writes to its standard output.

use std::fmt;
use std::time::Duration;

/// Something that happened in a worker, or to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The time on a clock that all processes of the machine share.
    pub at: Duration,
    /// The number of the worker; each new process has the next number.
    pub worker: u32,
    /// The name of the job; empty if no job was running.
    pub job: String,
    /// The number of the attempt; 0 if no job was running.
    pub attempt: u32,
    /// The kind of the event.
    pub what: What,
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The job began.
    Started,
    /// The job returned `Ok`.
    Succeeded,
    /// The job returned an error.
    Failed,
    /// A log record of the retry.
    Logged(String),
    /// The worker was killed, or ended by itself.
    Ended,
}

/// Returns the time since the start of the machine, which a correction of the date does not change.
#[cfg(unix)]
#[must_use]
pub(crate) fn now() -> Duration {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    clock.now().expect("every system has this clock").into()
}

/// Returns the time since 1970.
#[cfg(not(unix))]
#[must_use]
pub(crate) fn now() -> Duration {
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since_1970.expect("the year is after 1970")
}

/// Writes one line, without the number of the worker, which its parent knows.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, text) = match &self.what {
            What::Started => ("started", ""),
            What::Succeeded => ("succeeded", ""),
            What::Failed => ("failed", ""),
            What::Logged(text) => ("logged", text.as_str()),
            What::Ended => ("ended", ""),
        };
        write!(f, "{}\t{}\t{}\t{what}\t{text}", self.at.as_micros(), self.job, self.attempt)
    }
}

impl Event {
    /// Reads a line of a worker. Returns `None` if the line is no event, or if a kill has cut it
    /// off.
    pub(crate) fn read(worker: u32, line: &str) -> Option<Self> {
        let fields: Vec<_> = line.splitn(5, '\t').collect();
        let &[at, job, attempt, what, text] = fields.as_slice() else { return None };
        let what = match what {
            "started" => What::Started,
            "succeeded" => What::Succeeded,
            "failed" => What::Failed,
            "logged" => What::Logged(text.to_owned()),
            _ => return None,
        };
        let (at, attempt) = (Duration::from_micros(at.parse().ok()?), attempt.parse().ok()?);
        Some(Self { at, worker, job: job.to_owned(), attempt, what })
    }

    /// Returns whether the event belongs to this attempt.
    #[must_use]
    pub fn is(&self, what: &What, job: &str, attempt: u32) -> bool {
        self.what == *what && self.job == job && self.attempt == attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for what in [What::Started, What::Succeeded, What::Failed, What::Logged("a\tb".to_owned())]
        {
            let event = Event {
                at: Duration::from_micros(7),
                worker: 3,
                job: "mail".to_owned(),
                attempt: 2,
                what,
            };
            assert_eq!(Event::read(3, &event.to_string()), Some(event));
        }
        assert_eq!(Event::read(3, "1\tmail\t2"), None);
    }
}
