//! The work of every contender: the policy, the operation with its predicate, hook and sleeper, and
//! the loops around the operation. The loops return a [`Tally`].

use std::cell::Cell;
use std::hint::black_box;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::Load;

/// The maximum number of calls of the operation.
pub const ATTEMPTS: u32 = 3;
/// The first delay in milliseconds. Each further delay is twice the previous one.
pub const FIRST_MILLIS: u64 = 10;
/// The first delay.
pub const FIRST_DELAY: Duration = Duration::from_millis(FIRST_MILLIS);
/// The longest delay. No delay reaches it, but the compiler cannot know that.
pub const CAP: Duration = Duration::from_secs(60);
/// The number of delays drawn from an iterator.
pub const DRAWS: u32 = 8;

/// The operation's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error that is retried.
    Transient(u32),
    /// An error that is not retried. It does not occur, but the compiler cannot know that.
    Permanent(u32),
}

/// Succeeds, and adds 1 to `state`.
#[inline(never)]
#[expect(clippy::missing_errors_doc, reason = "it never fails, but the compiler cannot know that")]
pub fn succeed(state: &mut u64) -> Result<u64, Fault> {
    let before = black_box(*state);
    if before == u64::MAX {
        return Err(Fault::Permanent(0));
    }
    *state = before + 1;
    Ok(before)
}

/// Fails twice, then succeeds: the three calls add 4 to `state`, whose last two bits count failures.
///
/// # Errors
///
/// Returns an error in the first two of three calls.
#[inline(never)]
pub fn fail_twice(state: &mut u64) -> Result<u64, Fault> {
    let before = black_box(*state);
    if before == u64::MAX {
        return Err(Fault::Permanent(0));
    }
    if before & 3 == 2 {
        *state = before + 2;
        return Ok(before);
    }
    *state = before + 1;
    Err(Fault::Transient(7))
}

/// The operation as a future of 64 bytes, which is never pending.
#[derive(Debug)]
pub struct Operation<const FAILS: bool, E = Fault> {
    state: &'static Cell<u64>,
    ballast: [u64; 7],
    error: PhantomData<fn() -> E>,
}

const _: () = assert!(size_of::<Operation<true>>() == 64);

impl<const FAILS: bool> Operation<FAILS> {
    /// Returns the future of one attempt.
    #[must_use]
    pub const fn new(state: &'static Cell<u64>) -> Self {
        Self { state, ballast: [1; 7], error: PhantomData }
    }
}

impl<const FAILS: bool, E: From<Fault>> Future for Operation<FAILS, E> {
    type Output = Result<u64, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        black_box(&self.ballast);
        let mut state = self.state.get();
        let result = if FAILS { fail_twice(&mut state) } else { succeed(&mut state) };
        self.state.set(state);
        // Converts the error as `?` does, so that the compiler sees a `Poll::Ready`. Otherwise the
        // code would check for `Poll::Pending`, which is no cost of the retry.
        Poll::Ready(result.map_err(E::from))
    }
}

/// Returns whether the error is transient: the predicate.
#[inline]
#[must_use]
pub fn is_transient(error: &Fault) -> bool {
    matches!(black_box(error), Fault::Transient(_))
}

thread_local! {
    static HOOKS: Cell<u64> = const { Cell::new(0) };
}

/// Counts a retry: the hook.
#[inline]
pub fn hook(error: &Fault, delay: Duration) {
    black_box((error, delay));
    HOOKS.set(HOOKS.get() + 1);
}

/// Returns at once: the sleeper. The delay must still be computed.
#[inline]
pub fn no_sleep(delay: Duration) {
    black_box(delay);
}

/// The work that a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The operation's counter.
    pub state: u64,
    /// The number of calls of [`hook`].
    pub hooks: u64,
    /// The time by which tokio's clock advanced.
    pub waited: Duration,
    /// The last delay of the last iterator.
    pub last_delay: Duration,
    /// The size of the future.
    pub future_bytes: usize,
}

/// Retries a blocking operation.
///
/// `call` is compiled into a separate function, which is called each time, as in a program.
///
/// # Panics
///
/// Panics if an operation fails for good.
pub fn blocking<P, E, F>(load: Load, policy: P, call: F) -> Tally
where
    F: Fn(&P, &mut u64) -> Result<u64, E> + Copy,
{
    #[inline(never)]
    fn once<P, E, F>(policy: &P, state: &mut u64, call: F) -> Result<u64, E>
    where
        F: Fn(&P, &mut u64) -> Result<u64, E>,
    {
        call(policy, state)
    }

    let policy = black_box(policy);
    let mut state = 0;
    let hooks_before = HOOKS.get();
    for _ in 0..load.times {
        let result = black_box(once(&policy, black_box(&mut state), call));
        assert!(result.is_ok(), "an operation failed for good");
    }
    Tally { state, hooks: HOOKS.get() - hooks_before, ..Tally::default() }
}

/// Awaits a future that retries, on a runtime of one thread with a paused clock.
///
/// # Panics
///
/// Panics if an operation fails for good, or if no runtime can be built.
pub fn awaited<P, E, Fut>(
    load: Load,
    policy: P,
    call: impl Fn(&P, &'static Cell<u64>) -> Fut,
) -> Tally
where
    Fut: Future<Output = Result<u64, E>>,
{
    let policy = black_box(policy);
    // Some crates need `'static` futures, so each run leaks one word.
    let state: &'static Cell<u64> = Box::leak(Box::default());
    let hooks_before = HOOKS.get();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let waited = runtime.expect("a runtime").block_on(async {
        let start = Instant::now();
        for _ in 0..load.times {
            let result = black_box(call(&policy, black_box(state)).await);
            assert!(result.is_ok(), "an operation failed for good");
        }
        start.elapsed()
    });
    Tally {
        state: state.get(),
        hooks: HOOKS.get() - hooks_before,
        waited,
        future_bytes: size_of::<Fut>(),
        ..Tally::default()
    }
}

/// Makes iterators over delays and draws from them.
///
/// # Panics
///
/// Panics if an iterator ends.
pub fn delays<P, I>(load: Load, policy: P, start: impl Fn(&P) -> I) -> Tally
where
    I: Iterator<Item = Duration>,
{
    #[inline(never)]
    fn draw<I: Iterator<Item = Duration>>(iterator: &mut I) -> Duration {
        let iterator = black_box(iterator);
        let mut last = Duration::ZERO;
        for _ in 0..DRAWS {
            last = iterator.next().expect("a delay");
            black_box(last);
        }
        last
    }

    #[inline(never)]
    fn hold<I>(iterator: &mut I) {
        black_box(iterator);
    }

    let policy = black_box(policy);
    let mut last_delay = Duration::ZERO;
    if load.draws {
        for _ in 0..load.times {
            last_delay = draw(&mut start(&policy));
        }
    } else {
        for _ in 0..load.times {
            hold(&mut start(&policy));
        }
    }
    Tally { last_delay, ..Tally::default() }
}
