//! The seals of public traits.

/// Seals a trait whose methods are called by users: only types of this crate implement it.
#[expect(unnameable_types, reason = "that is its purpose")]
pub trait Sealed {}

/// Seals a trait: a method that takes it can be neither called nor implemented outside of this crate.
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "that is its purpose")]
pub struct Internal;
