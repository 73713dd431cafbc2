//! This package has no code to call. Its tests read a `RetryConfig` as a section of settings,
//! through crates that gather settings from files and variables.
