//! Retries that survive their process, with a table of PostgreSQL as the queue.
//!
//! The code to copy is in [`worker`]. The rest starts a server and checks the workers.

#![forbid(unsafe_code)]

mod queue;
pub mod worker;

pub use queue::{Jobs, config, connect, start};
