//! Retries in a browser. `cargo run -p browser-example` builds the page and serves it on loopback.

#[cfg(not(target_arch = "wasm32"))]
pub mod bundle;
#[cfg(all(feature = "checks", target_arch = "wasm32"))]
mod checks;
#[cfg(all(feature = "web", target_arch = "wasm32"))]
mod page;
#[cfg(not(target_arch = "wasm32"))]
pub mod server;
