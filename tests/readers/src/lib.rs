//! Nothing to call: the tests of this package read a `RetryConfig` as a section of settings, through crates
//! that gather settings from files and variables.
