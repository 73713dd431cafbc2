//! Nothing to call: the tests of this package compare what the compiler says of common mistakes with
//! what it should say. It is a package of its own because the mistakes are compiled with two sets of
//! features.
