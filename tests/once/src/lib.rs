//! Nothing to call: the test of this package counts log records and events. CI runs it with each feature of tracing that
//! writes log records.
