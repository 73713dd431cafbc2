//! Retries that survive their process, with NATS JetStream as the queue.
//!
//! The code to copy is in [`worker`] and [`jobs`]. The rest starts a server and checks the workers.

#![forbid(unsafe_code)]

mod queue;
mod server;
pub mod worker;

pub use queue::{Jobs, consumer, jobs};
pub use server::{Server, ServerError};
