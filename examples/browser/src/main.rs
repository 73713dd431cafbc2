//! `cargo run -p browser-example`
//!
//! Builds the page for `wasm32-unknown-unknown`, serves it on loopback and prints its address.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = browser_example::bundle::page(&["--release"])?;
    println!("the module has {} bytes", page.module.len());
    let server = browser_example::server::Server::start(page)?;
    println!("open {} in a browser; Ctrl-C ends the server", server.url);
    loop {
        std::thread::park();
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {}
