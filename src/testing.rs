//! Tests of code whose retries cannot be edited; feature `test-util`.
//!
//! Code that can be edited takes a sleeper, see [`sleep_with`](crate::RetryExt::sleep_with). Async code on tokio
//! needs neither: its clock can be [paused](without_waits#async-code).

use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    /// The waits that the innermost call of `without_waits` has recorded, if this thread is inside one.
    static WAITS: RefCell<Option<Vec<Duration>>> = const { RefCell::new(None) };
}

/// Calls `test`. Blocking retries inside return from their waits at once. Returns the result of `test`, and the
/// skipped waits in their order.
///
/// It replaces [`std::thread::sleep`] in closures, iterators and retry loops, for retries without
/// [`sleep_with`](crate::RetryExt::sleep_with). An iterator's
/// [pause after a refusal](crate::RetryIteratorExt) is a skipped wait, too. A sleeper that `sleep_with` set is called
/// as always, and records nothing here.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// use retry_ext::testing::without_waits;
/// use retry_ext::{RetryError, RetryExt, RetryPolicy};
///
/// // A function of another crate, which retries.
/// fn connect() -> Result<(), RetryError<Error>> {
///     (|| Err(Error::from(ErrorKind::ConnectionRefused))).retry_with(RetryPolicy::new())
/// }
///
/// let (result, waits) = without_waits(connect);
/// assert_eq!(result.unwrap_err().attempts(), 3);
/// assert_eq!(waits, [Duration::from_secs(1), Duration::from_secs(2)]);
/// ```
///
/// * It applies to the calling thread. Threads that `test` starts wait as always.
/// * An iterator is lazy. Its waits are skipped while `test` takes items from it, not if `test` returns it.
/// * Calls can be nested. Each wait is recorded once, by the innermost call.
/// * If `test` panics, the panic passes, and the state before the call is restored.
/// * [Deadlines](crate::RetryPolicy::with_max_elapsed) still work, because the skipped waits of a retry count as elapsed
///   time.
/// * The clock does not advance. A budget's window does not pass, and the deadline of an outer retry counts its own waits,
///   not those of retries inside its operation.
/// * A retry [without end](crate::RetryPolicy::forever) that keeps failing never returns, and its recorded waits fill
///   the memory.
///
/// # Async code
///
/// Waits of async retries are not skipped: they belong to the timer of a runtime. With the feature `tokio`, pause
/// tokio's clock instead, which advances to the end of each wait as soon as all tasks are idle. Deadlines and budgets
/// follow the paused clock.
///
/// ```
/// # use std::io::{Error, ErrorKind};
/// use retry_ext::{AsyncRetryExt, RetryPolicy};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // In a function with `#[tokio::test(start_paused = true)]`:
/// let start = tokio::time::Instant::now();
/// let refused = async || Err::<(), _>(Error::from(ErrorKind::ConnectionRefused));
/// assert!(refused.retry_with(RetryPolicy::new()).await.is_err());
/// assert_eq!(start.elapsed().as_secs(), 3); // after no time
/// # }
/// ```
pub fn without_waits<F, R>(test: F) -> (R, Vec<Duration>)
where
    F: FnOnce() -> R,
{
    let _outer = Outer(WAITS.replace(Some(Vec::new())));
    let result = test();
    (result, WAITS.take().unwrap_or_default())
}

/// The state before a call of `without_waits`. Dropping it restores that state, also when `test` panics.
struct Outer(Option<Vec<Duration>>);

impl Drop for Outer {
    fn drop(&mut self) {
        WAITS.set(self.0.take());
    }
}

/// Records a wait if this thread is inside `without_waits`. Returns whether it is, so that the wait is skipped.
#[inline]
pub(crate) fn skips(wait: Duration) -> bool {
    // The destructor of a thread-local value may retry, too, after this one has been destroyed.
    let recorded =
        WAITS.try_with(|waits| waits.borrow_mut().as_mut().map(|waits| waits.push(wait)));
    matches!(recorded, Ok(Some(())))
}
