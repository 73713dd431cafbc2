//! Nothing to call: the tests of this package use every form of the crate. CI runs them with the minimum
//! Rust version, and with the oldest version of each dependency.
