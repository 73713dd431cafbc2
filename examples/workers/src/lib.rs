//! Shared by the examples of durable queues: jobs, worker processes, and the show that kills one of them.
//!
//! You do not need this code to use a queue. The code to copy is in `worker.rs` of `examples/jetstream` and of
//! `examples/postgres_queue`.

#![forbid(unsafe_code)]

mod checks;
mod event;
mod job;
mod show;
mod workers;

pub use checks::{
    PATIENCE, TOLERANCE, attempts, check_attempts, check_delays, not_checked, settle, ten_runs,
};
pub use event::{Event, What};
pub use job::{JobError, begin_worker, run};
pub use show::show;
pub use workers::{Workers, terminated};

/// Any error. An error ends a worker, and another process replaces it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The rules that the workers of a queue follow.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The policy, which limits the attempts and the time of a job.
    pub policy: retry_ext::RetryPolicy,
    /// The time that a worker may be silent before its job goes to another worker.
    pub lease: std::time::Duration,
}

/// A queue, as the show and the tests use it. A job is text; its first word is its name.
#[allow(async_fn_in_trait, reason = "all of it runs on one thread")]
pub trait Queue {
    /// The rules of the queue's workers.
    const RULES: Rules;

    /// Adds a job.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not confirm the job.
    async fn add(&self, job: &str) -> Result<(), Error>;

    /// Returns the names of the jobs that are neither done nor dead.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    async fn open(&self) -> Result<Vec<String>, Error>;

    /// Returns the names of the jobs that the workers gave up on.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    async fn dead(&self) -> Result<Vec<String>, Error>;
}
