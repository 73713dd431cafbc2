//! What the examples of durable queues share: jobs, worker processes, and the show that kills one of them.
//!
//! None of this is needed to use a queue. The code to copy is in `worker.rs` of `examples/jetstream` and of
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

/// Any error. It ends a worker, and another process goes on.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The rules by which the workers of a queue work.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How often and how long a job is tried.
    pub policy: retry_ext::RetryPolicy,
    /// How long a worker may be silent before its job goes to another worker.
    pub lease: std::time::Duration,
}

/// A queue, as the show and the tests see it. A job is text; its first word is its name.
#[allow(async_fn_in_trait, reason = "all of it runs on one thread")]
pub trait Queue {
    /// The rules of its workers.
    const RULES: Rules;

    /// Adds a job.
    ///
    /// # Errors
    ///
    /// If the server does not confirm it.
    async fn add(&self, job: &str) -> Result<(), Error>;

    /// The names of the jobs that are neither done nor dead.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    async fn open(&self) -> Result<Vec<String>, Error>;

    /// The names of the jobs that the workers gave up on.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    async fn dead(&self) -> Result<Vec<String>, Error>;
}
