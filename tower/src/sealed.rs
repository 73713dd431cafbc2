//! The seal of public traits.

#[expect(unnameable_types, reason = "that is the seal")]
pub trait Sealed {}
