//! In the place of `budget.rs` without the feature `std`: a type without values, so that no policy and no chain has a
//! budget. A budget needs a clock and 64-bit atomics.

use core::fmt;

#[expect(unnameable_types, reason = "there is no value of it")]
pub enum RetryBudget {}

impl RetryBudget {
    pub(crate) const fn deposit(&self) {
        match *self {}
    }

    pub(crate) const fn withdraw(&self) -> bool {
        match *self {}
    }
}

impl AsRef<Self> for RetryBudget {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
