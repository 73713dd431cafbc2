//! Items that the expansions of macros use. They are public and hidden, and may change in any release.

use std::time::Duration;

/// A hint, as `#[transient(after = ..)]` takes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the hint of `#[transient(after)]`",
    label = "expected `Duration` or `Option<Duration>`",
    note = "write an expression such as `after = Duration::from_secs(1)`, or name a field of either type: `after = retry_after`"
)]
pub trait Hint {
    /// Returns the hint, if there is one.
    fn into_hint(self) -> Option<Duration>;
}

impl Hint for Duration {
    #[inline]
    fn into_hint(self) -> Option<Duration> {
        Some(self)
    }
}

impl Hint for Option<Duration> {
    #[inline]
    fn into_hint(self) -> Option<Duration> {
        self
    }
}

impl Hint for Option<&Duration> {
    #[inline]
    fn into_hint(self) -> Option<Duration> {
        self.copied()
    }
}

#[diagnostic::do_not_recommend] // so that the compiler names the field's own type
impl<H: Hint + Copy> Hint for &H {
    #[inline]
    fn into_hint(self) -> Option<Duration> {
        (*self).into_hint()
    }
}

/// A condition, as `#[transient(if = ..)]` takes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the condition of `#[transient(if)]`",
    label = "expected `bool`",
    note = "fields are bound by reference: write `if = *code == 503` or `if = matches!(code, 502 | 503)`"
)]
pub trait Condition {
    /// Whether the condition holds.
    fn holds(self) -> bool;
}

impl Condition for bool {
    #[inline]
    fn holds(self) -> bool {
        self
    }
}

impl Condition for &bool {
    #[inline]
    fn holds(self) -> bool {
        *self
    }
}
