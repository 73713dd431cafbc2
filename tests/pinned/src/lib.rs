//! This package has no code to call. Its tests pin the compiler's messages and the public API, as
//! one compiler prints them.
