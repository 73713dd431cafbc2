//! Twelve shapes of real programs, each written with this crate, by hand, and with a peer.
//!
//! `docs/shapes.md` shows the first version of each shape and the lengths of all three;
//! `tests/page.rs` takes both from these files. A version stands between `// end` and its marker:
//! `// ours`, `// by hand` or `// peer`. A comment that begins with `// # ` is a line that the page
//! hides, as rustdoc does.

pub mod script;
pub mod shape_01_last_response;
pub mod shape_02_json_rpc;
pub mod shape_03_queue;
pub mod shape_04_reconnect;
pub mod shape_05_writer;
pub mod shape_06_handle;
pub mod shape_07_generic;
pub mod shape_08_pool;
pub mod shape_09_shutdown;
pub mod shape_10_bulk;
pub mod shape_11_allowance;
pub mod shape_12_consumer;

/// The page, so that its blocks are documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/shapes.md")]
pub struct Page;
