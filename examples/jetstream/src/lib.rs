//! Retries that survive their process, with NATS JetStream as the queue.
//!
//! The code to copy is in [`worker`] and [`stream`]. The rest starts a server and checks the workers.

#![forbid(unsafe_code)]

mod queue;
mod server;
pub mod stream;
pub mod worker;

pub use queue::Jobs;
pub use server::{Server, ServerError};
