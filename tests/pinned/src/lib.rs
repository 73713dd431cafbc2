//! Nothing to call: the tests of this package compare what people see of the crate, the compiler's
//! messages and the public API, with what they should see. They are tied to one compiler.
