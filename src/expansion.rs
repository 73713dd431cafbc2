//! Items that the expansions of macros use. They are public and hidden, and may change in any release.

use core::borrow::Borrow;
use core::time::Duration;

use crate::error::RetryError;
use crate::policy::RetryPolicy;

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
    /// Returns whether the condition holds.
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

/// The return types of functions with `#[retry_with(POLICY)]`.
#[diagnostic::on_unimplemented(
    message = "a function with `#[retry_with(POLICY)]` cannot return `{Self}`",
    label = "expected `Result<T, RetryError<E>>`",
    note = "return `Result<T, RetryError<E>>`, and write the body for `Result<T, E>`",
    note = "if a trait fixes the return type `Result<T, E>`, write `#[retry_with(POLICY, plain)]`; it returns the last error itself"
)]
pub trait Retried {
    /// The type of the body.
    type Attempt;
    /// The error of the body.
    type Error;
}

impl<T, E> Retried for Result<T, RetryError<E>> {
    type Attempt = Result<T, E>;
    type Error = E;
}

/// The return types of functions with `#[retry_with(POLICY, plain)]`.
#[diagnostic::on_unimplemented(
    message = "a function with `#[retry_with(POLICY, plain)]` cannot return `{Self}`",
    label = "expected `Result<T, E>`",
    note = "return `Result<T, E>`, the type of the body"
)]
pub trait Plain {
    /// The type of the body.
    type Attempt;
    /// The error of the body.
    type Error;
}

impl<T, E> Plain for Result<T, E> {
    type Attempt = Self;
    type Error = E;
}

/// Takes a policy by reference, whether the attribute names a policy, a reference or an `Arc`.
#[inline]
pub fn policy<P: Borrow<RetryPolicy>>(policy: &P) -> &RetryPolicy {
    policy.borrow()
}

/// Calls a body. The parameter's bound makes the closure an [`FnOnce`], which may return its captures.
#[inline]
pub fn attempt<T>(body: impl FnOnce() -> T) -> T {
    body()
}

/// Gives the type of an async body to the compiler, in front of code that is never run.
///
/// # Panics
///
/// Always.
#[must_use]
pub fn never<T>() -> T {
    unreachable!("the expansion of `retry_with` does not call this function")
}
