//! Invariants of every configuration and every policy, for a fuzzer to refute.
//!
//! Each target takes bytes, and panics if an invariant does not hold for them. The fuzzer searches
//! for such bytes; [`replay`] checks the kept inputs in `seeds`, on any toolchain.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

mod config;
mod drivers;
mod environment;
mod input;
mod journal;
mod policy;
mod retry_after;
mod rules;

pub use config::{json, toml, yaml};
pub use environment::environment;
pub use policy::policy;
pub use retry_after::retry_after;

pub type Target = fn(&[u8]);

pub const TARGETS: [(&str, Target); 6] = [
    ("environment", environment),
    ("toml", toml),
    ("json", json),
    ("yaml", yaml),
    ("policy", policy),
    ("retry_after", retry_after),
];

/// Defines the program of a target: the fuzzer under cargo-fuzz, otherwise a replay of the files
/// that are named as arguments.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$target(data));

        #[cfg(not(fuzzing))]
        fn main() {
            for file in std::env::args_os().skip(1) {
                $crate::replay($crate::$target, file.as_ref());
            }
        }
    };
}

/// Runs a target on the bytes of a file. If the target panics, the file is printed.
pub fn replay(target: Target, file: &Path) {
    let _tried = Tried(file);
    target(&fs::read(file).expect("the file can be read"));
}

/// Prints its value if the thread panics. (The fuzzer ends the process earlier, but keeps the
/// bytes.)
struct Tried<T: Debug>(T);

impl<T: Debug> Drop for Tried<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("with {:#?}", self.0);
        }
    }
}

/// Returns the kept inputs of a target.
#[must_use]
pub fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let files = fs::read_dir(folder).expect("every target has a folder in `seeds`");
    let mut files: Vec<_> =
        files.map(|file| file.expect("the folder can be read").path()).collect();
    files.sort();
    files
}
