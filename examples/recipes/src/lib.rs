//! Error types of third-party clients, each classified in one line over [`retry_ext::codes`].
//!
//! The guide `docs/clients.md` shows these lines; `tests/guide.rs` compares them. The other tests run each type
//! against a real server.

#![forbid(unsafe_code)]

pub mod grpc;
pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod sqlite;
pub mod sqlx;
