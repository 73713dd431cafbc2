//! The seal of the chain's traits.

/// Seals a trait: a method that takes it can be neither called nor implemented outside of this crate.
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "that is its purpose")]
pub struct Internal;
