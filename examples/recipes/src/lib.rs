//! Recipes for third-party clients.
//!
//! * Error types, each classified in one line over [`retry_ext::codes`]: the guide `docs/clients.md`.
//! * Streams that reconnect: the guide `docs/streams.md`.
//! * A second call beside a slow one, within a budget: the guide `docs/hedging.md`.
//!
//! The guides show the code of these modules; `tests/guide.rs` compares them. The other tests run each recipe against
//! a real server.

#![forbid(unsafe_code)]

pub mod grpc;
pub mod grpc_stream;
pub mod hedge;
pub mod lines;
pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod sqlite;
pub mod sqlx;
pub mod watch;
pub mod websocket;
