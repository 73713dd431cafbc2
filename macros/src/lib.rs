//! The macros of [`retry-ext`](https://docs.rs/retry-ext), which re-exports them under its feature `macros`. Use
//! them from there.

#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod derive;
mod options;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error};

/// Implements `IsTransient` for an error type, from an attribute on each variant.
///
/// ```
/// use std::time::Duration;
/// use retry_ext::IsTransient;
///
/// #[derive(Debug, thiserror::Error, IsTransient)]
/// enum FetchError {
///     #[error("the server is restarting")]
///     #[transient]
///     Restarting,
///     #[error("the server answered {code}")]
///     #[transient(if = matches!(code, 429 | 502..=504), after = retry_after)]
///     Status { code: u16, retry_after: Option<Duration> },
///     #[error("the connection failed")]
///     #[transient(forward)]
///     Io(#[from] std::io::Error),
///     #[error("wrong password")]
///     WrongPassword,
/// }
///
/// assert!(FetchError::Restarting.is_transient());
/// assert!(!FetchError::WrongPassword.is_transient());
///
/// let busy = FetchError::Status { code: 503, retry_after: Some(Duration::from_secs(9)) };
/// assert!(busy.is_transient());
/// assert_eq!(busy.retry_after(), Some(Duration::from_secs(9)));
///
/// let missing = FetchError::from(std::io::Error::from(std::io::ErrorKind::NotFound));
/// assert!(!missing.is_transient());
/// ```
///
/// # Attributes
///
/// A variant without an attribute is permanent. A struct needs an attribute, above the struct.
///
/// | attribute | meaning |
/// |---|---|
/// | `#[transient]` | transient |
/// | `#[permanent]` | permanent |
/// | `#[transient(forward)]` | as the only field, whose type implements `IsTransient`; its hint is passed on |
/// | `#[transient(forward = field)]` | as this field; in tuples `0` or `_0` is the first |
/// | `#[transient(if = condition)]` | transient if the condition holds |
/// | `#[transient(after = hint)]` | transient; `retry_after` returns the hint |
/// | `#[transient(after)]` | transient; the only field is the hint |
/// | `#[transient(if = condition, after = hint)]` | transient if the condition holds, and then with the hint |
///
/// On an enum, `#[transient]` makes all variants transient that have no attribute:
///
/// ```
/// use retry_ext::IsTransient;
///
/// #[derive(IsTransient)]
/// #[transient]
/// enum LockError {
///     Held,
///     TimedOut,
///     #[permanent]
///     Poisoned,
/// }
///
/// assert!(LockError::Held.is_transient() && LockError::TimedOut.is_transient());
/// assert!(!LockError::Poisoned.is_transient());
/// ```
///
/// `#[transient(crate = path)]` on the type names another path to `retry_ext`, for macros and re-exports. By itself it
/// changes nothing else.
///
/// # Expressions
///
/// An expression uses the fields by their names, and those of a tuple as `_0`, `_1` and so on. They are references, as in
/// a `match` on `&self`. `self` works, too:
///
/// ```
/// use std::time::Duration;
/// use retry_ext::IsTransient;
///
/// #[derive(IsTransient)]
/// #[transient(if = self.is_overload(), after = Duration::from_millis(*pause_ms))]
/// struct Refused { code: u16, pause_ms: u64 }
///
/// impl Refused {
///     fn is_overload(&self) -> bool {
///         self.code == 429
///     }
/// }
///
/// let refused = Refused { code: 429, pause_ms: 200 };
/// assert!(refused.is_transient());
/// assert_eq!(refused.retry_after(), Some(Duration::from_millis(200)));
/// ```
///
/// A hint is a `Duration` or an `Option<Duration>`, by value or by reference. Format strings do not see fields: write
/// `format!("{}", code)` instead of `format!("{code}")`.
///
/// # Generics
///
/// If a forwarded field's type depends on a parameter, the implementation requires `IsTransient` of the field's type.
/// An expression adds no bound: write it on the type.
///
/// ```
/// use retry_ext::IsTransient;
///
/// #[derive(IsTransient)]
/// enum RequestError<E> {
///     #[transient(forward)]
///     Transport(E),
///     NoSuchPage,
/// }
///
/// let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
/// assert!(RequestError::Transport(reset).is_transient());
/// assert!(!RequestError::<std::io::Error>::NoSuchPage.is_transient());
/// ```
///
/// # Refusals
///
/// The macro refuses unions, a struct without an attribute, an attribute on a field, and `forward` beside `if` or
/// `after`. Nothing follows from `#[from]` or `#[source]`: a source is forwarded only if `forward` says so.
///
/// ```compile_fail
/// # use retry_ext::IsTransient;
/// #[derive(IsTransient)]
/// struct Refused(u16); // declares neither `#[transient]` nor `#[permanent]`
/// ```
#[proc_macro_derive(IsTransient, attributes(transient, permanent))]
pub fn is_transient(input: TokenStream) -> TokenStream {
    let expanded = syn::parse::<DeriveInput>(input).and_then(|input| derive::expand(&input));
    expanded.unwrap_or_else(Error::into_compile_error).into()
}
