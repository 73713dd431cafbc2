//! The macros of [`retry-ext`](https://docs.rs/retry-ext), which re-exports them under its feature `macros`. Use
//! them from there.

#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod derive;
mod function;
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
/// | `#[transient(if = condition, after = hint)]` | transient if the condition holds; `retry_after` returns the hint |
///
/// On an enum, `#[transient]` makes all variants without an attribute transient:
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
/// `#[transient(crate = path)]` on the type names another path to `retry_ext`, for macros and re-exports. With
/// this option alone, the attribute does not make the type transient.
///
/// # Expressions
///
/// An expression uses the fields by their names, and the fields of a tuple as `_0`, `_1` and so on. All are references,
/// as in a `match` on `&self`. Expressions can also use `self`:
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
/// An expression adds no bound: write the bound on the type. If two generic types forward to each other, their bounds
/// would be a circle. Write one of the implementations by hand.
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
/// `after`. The macro ignores `#[from]` and `#[source]`: add `forward` to forward a source.
///
/// ```compile_fail
/// # use retry_ext::IsTransient;
/// #[derive(IsTransient)]
/// struct Refused(u16); // declares neither `#[transient]` nor `#[permanent]`
/// ```
#[proc_macro_derive(IsTransient, attributes(transient, permanent))]
pub fn is_transient(input: TokenStream) -> TokenStream {
    let expanded = syn::parse::<DeriveInput>(input).and_then(derive::expand);
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

/// Retries a whole function or method, blocking or async. The first argument is the policy.
///
/// The function is declared with `Result<T, RetryError<E>>`, and its body is written for `Result<T, E>`. Each attempt runs
/// the body; `return` and `?` end the attempt.
///
/// ```
/// use std::fs::File;
/// use std::io::{Error, Read};
/// use std::time::Duration;
/// use retry_ext::{RetryError, RetryPolicy, retry_with};
///
/// const POLICY: RetryPolicy =
///     RetryPolicy::new().with_max_attempts(4).with_initial_delay(Duration::from_millis(2));
///
/// #[retry_with(POLICY)]
/// fn first_line(path: &str) -> Result<String, RetryError<Error>> {
///     let mut text = String::new();
///     File::open(path)?.read_to_string(&mut text)?;
///     if text.is_empty() {
///         return Ok("empty".into());
///     }
///     Ok(text.lines().next().unwrap_or_default().into())
/// }
///
/// assert_eq!(first_line("Cargo.toml").unwrap(), "[package]");
/// let error = first_line("no/such/file").unwrap_err();
/// assert_eq!(error.to_string(), "gave up after 1 attempt: permanent error");
/// ```
///
/// An async function is retried in the same way. Its waits use tokio's timer, so it needs the feature `tokio`, or
/// `web` in a browser. The policy is any expression of a `RetryPolicy`, a reference or an `Arc`, and may use `self` and
/// the arguments:
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{RetryError, RetryPolicy, retry_with};
///
/// struct Client {
///     policy: RetryPolicy,
///     failures: u32,
/// }
///
/// impl Client {
///     #[retry_with(self.policy)]
///     async fn send(&mut self, line: &str) -> Result<usize, RetryError<Error>> {
///         if self.failures > 0 {
///             self.failures -= 1;
///             return Err(ErrorKind::ConnectionReset.into());
///         }
///         Ok(line.len())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut client = Client { policy: RetryPolicy::new(), failures: 2 };
/// assert_eq!(client.send("hello").await.unwrap(), 5);
/// # }
/// ```
///
/// The macro writes a loop around `RetryContext::step`. The same rules hold as for `.retry_with(policy)`, and log records
/// name the line of the attribute.
///
/// # Options
///
/// Options follow the policy, in any order:
///
/// | option | meaning |
/// |---|---|
/// | `retry_if = predicate` | classifies errors in place of `IsTransient`, as `.retry_if(..)` does |
/// | `on_retry = hook` | is called once per retry, before the wait, as `.on_retry(..)` does |
/// | `clone(a, b)` | each attempt works on a clone of these arguments |
/// | `plain` | returns the last error itself: for a function whose return type `Result<T, E>` is fixed |
/// | `crate = path` | names another path to `retry_ext`, for macros and re-exports |
///
/// ```
/// use std::num::{IntErrorKind, ParseIntError};
/// use retry_ext::{RetryError, RetryPolicy, retry_with};
///
/// #[retry_with(
///     RetryPolicy::new(),
///     retry_if = |error| *error.kind() == IntErrorKind::Empty,
///     on_retry = |retry| eprintln!("{retry}: {}", retry.error),
/// )]
/// fn number(text: &str) -> Result<u8, RetryError<ParseIntError>> {
///     text.parse()
/// }
/// assert_eq!(number("7").unwrap(), 7);
/// assert_eq!(number("x").unwrap_err().attempts(), 1);
/// ```
///
/// Attempts share the arguments, as the iterations of a loop do. If the body uses up an argument, the compiler reports
/// a use of a moved value. Borrow the argument, or clone it for each attempt:
///
/// ```
/// # use std::io::Error;
/// use retry_ext::{RetryError, RetryPolicy, retry_with};
///
/// # fn send(request: Vec<u8>) -> Result<usize, Error> { Ok(request.len()) }
/// #[retry_with(RetryPolicy::new(), clone(body))]
/// fn post(path: &str, mut body: Vec<u8>) -> Result<usize, RetryError<Error>> {
///     body.extend_from_slice(path.as_bytes());
///     send(body)
/// }
/// assert_eq!(post("/", vec![1, 2]).unwrap(), 3);
/// ```
///
/// Use `plain` if a trait fixes the return type. A plain error keeps its classification, so an outer retry repeats the
/// operation if the error is transient:
///
/// ```
/// use std::io::{Result, Write};
/// use retry_ext::{RetryPolicy, retry_with};
///
/// struct Retried<W>(W);
///
/// impl<W: Write> Write for Retried<W> {
///     #[retry_with(RetryPolicy::new(), plain)]
///     fn write(&mut self, bytes: &[u8]) -> Result<usize> {
///         self.0.write(bytes)
///     }
///
///     fn flush(&mut self) -> Result<()> {
///         self.0.flush()
///     }
/// }
/// assert_eq!(Retried(Vec::new()).write(b"abc").unwrap(), 3);
/// ```
///
/// # Limits
///
/// * A value that borrows from `&mut` data cannot be returned. The loop would lend the data again while the value lives.
/// * A closure in `retry_if` or `on_retry` lives as long as the retry, so the body cannot use the data that it borrows
///   mutably.
/// * Each attempt of an async function borrows the arguments. Its future is `Send` if references to them are, so an
///   argument needs `Sync`. An argument in `clone(..)` only needs `Send`.
/// * With `async_trait`, put the attribute on an inherent method that the trait's method calls.
///
/// # Refusals
///
/// The macro refuses a `const fn`, a function without a body or a return type, `impl` in the return type, and an async
/// function without the feature `tokio` or `web`. The compiler refuses a return type other than `Result<T, RetryError<E>>`, or,
/// with `plain`, `Result<T, E>`:
///
/// ```compile_fail
/// # use retry_ext::{RetryPolicy, retry_with};
/// #[retry_with(RetryPolicy::new())]
/// fn read() -> std::io::Result<Vec<u8>> { // `Result<Vec<u8>, RetryError<Error>>`, or `plain`
///     std::fs::read("Cargo.toml")
/// }
/// ```
#[proc_macro_attribute]
pub fn retry_with(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(arguments.into(), &item.into()).into()
}
