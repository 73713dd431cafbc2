//! Builds the page: WebAssembly by cargo, and the JavaScript that loads it.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use wasm_bindgen_cli_support::Bindgen;

/// The files of a page.
#[derive(Debug)]
pub struct Page {
    /// The script that loads the module.
    pub script: String,
    /// The module.
    pub module: Vec<u8>,
}

/// Builds the page with these arguments for `cargo build`.
///
/// # Errors
///
/// Returns an error if the folder cannot be locked, or if cargo fails, for example because the
/// target `wasm32-unknown-unknown` is not installed.
pub fn page(arguments: &[&str]) -> Result<Page, Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parent = env::var_os("CARGO_TARGET_DIR").map_or(package.join("../../target"), Into::into);
    // A separate folder, because the caller's cargo may hold the lock of its folder.
    let target = parent.join("browser");
    // Pages with other arguments have the same files, so one page is built at a time.
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("page.lock"))?;
    lock.lock()?;
    let status = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--lib", "--target", "wasm32-unknown-unknown"])
        .arg("--target-dir")
        .arg(&target)
        .args(arguments)
        .current_dir(package)
        .status()?;
    if !status.success() {
        return Err(
            "cargo cannot build the page; is the target wasm32-unknown-unknown installed?".into()
        );
    }
    let profile = if arguments.contains(&"--release") { "release" } else { "debug" };
    let built = target.join("wasm32-unknown-unknown").join(profile).join("browser_example.wasm");
    let mut output =
        Bindgen::new().input_path(built).web(true)?.typescript(false).generate_output()?;
    let script = output.js().to_owned();
    let glue = target.join("glue");
    output.emit(&glue)?;
    Ok(Page { script, module: fs::read(glue.join("browser_example_bg.wasm"))? })
}
