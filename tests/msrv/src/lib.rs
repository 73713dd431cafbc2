//! This package has no code to call. Its tests use every form of the crate. CI runs these tests
//! with the minimum Rust version, and with the oldest version of each dependency.
