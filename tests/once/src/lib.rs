//! This package has no code to call. Its test counts log records and events. CI runs the test with
//! each feature of tracing that writes log records.
