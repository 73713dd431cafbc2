//! Retries in traces. The guide `docs/tracing.md` shows the code of these modules; `tests/guide.rs` compares it.

#![forbid(unsafe_code)]

pub mod attempts;
pub mod bridge;
pub mod operation;
