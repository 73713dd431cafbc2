//! The budget: how many retries all operations together may make.

use core::fmt;
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use core::time::Duration;

#[cfg(not(target_has_atomic = "64"))]
use portable_atomic::AtomicU64;

use crate::clock::ticks;
use crate::nanos::nanos;

/// A budget that bounds the retries of all operations that share it, by their successes.
///
/// A limit of attempts and jitter bound the load of one caller. In an outage, every caller makes all of its
/// attempts: three attempts are three times the load, at the worst moment. That load may keep a service down that
/// would recover under its ordinary load.
///
/// A budget refills with successes: each success deposits `ratio`, and each retry withdraws 1. If nothing succeeds
/// any more, the budget is soon empty. See [why budgets](crate#why-budgets).
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`ratio`](Self::with_ratio) | 0.2 | retries per success |
/// | [`min_retries`](Self::with_min_retries) | 2 | retries granted in each window without any success, so that a lone call keeps its three attempts |
/// | [`window`](Self::with_window) | 10 s | the longest time for which a success, and a retry, count |
///
/// Make it a `static`, and share it as widely as possible: by all calls to one service. It is lock-free, allocates
/// nothing, needs no thread, and works for closures, loops, iterators and futures.
///
/// ```
/// use retry_ext::{RetryBudget, RetryExt, RetryPolicy, StopReason};
/// use std::io::{Error, ErrorKind};
///
/// static BUDGET: RetryBudget = RetryBudget::new();
/// static POLICY: RetryPolicy = RetryPolicy::new().with_budget(&BUDGET);
///
/// let fails = || Err::<(), _>(Error::from(ErrorKind::TimedOut));
/// let first = fails.sleep_with(|_| ()).retry_with(POLICY).unwrap_err();
/// assert_eq!((first.attempts(), first.reason()), (3, StopReason::AttemptsExhausted));
///
/// // The two free retries of this window are spent, and nothing has succeeded.
/// let second = fails.sleep_with(|_| ()).retry_with(POLICY).unwrap_err();
/// assert_eq!((second.attempts(), second.reason()), (1, StopReason::BudgetExhausted));
/// ```
///
/// A retry is charged when it is scheduled, before its wait. A waiting crowd therefore cannot return on one
/// deposit. A refused operation ends with the last real error and
/// [`StopReason::BudgetExhausted`](crate::StopReason::BudgetExhausted).
///
/// The window moves in slices of at most a sixteenth of it. A success or a retry counts for 7/8 of the window to the
/// whole window. The minimum may therefore be granted twice at the edges of a window. A slice counts at most 16
/// million successes, which a window of hours may reach.
///
/// A retry loop deposits with [`RetryContext::step`](crate::RetryContext::step), or with
/// [`succeeded`](crate::RetryContext::succeeded) if it does not use `step`. For a budget made at run time, use
/// [`.budget(&budget)`](crate::RetryExt::budget). If tests pause tokio's clock, use a separate budget per test:
/// advancing the clock in one test would expire deposits in the others.
///
/// # Pause after a refusal
///
/// A refusal returns at once, without any wait. A loop that starts over must therefore pause for
/// [`RetryError::next_delay`](crate::RetryError::next_delay). Without the pause it calls the service as fast as
/// the service fails, which is far more often than without a budget:
///
/// ```
/// use retry_ext::{IsTransient, RetryBudget, RetryExt, RetryPolicy};
/// use std::collections::VecDeque;
/// # mod thread {
/// #     pub static PAUSED: std::sync::Mutex<Vec<u64>> = std::sync::Mutex::new(Vec::new());
/// #     pub fn sleep(delay: std::time::Duration) { PAUSED.lock().unwrap().push(delay.as_secs()); }
/// # }
///
/// static BUDGET: RetryBudget = RetryBudget::new();
/// static POLICY: RetryPolicy = RetryPolicy::new().with_budget(&BUDGET);
///
/// # let mut calls = 0;
/// # let mut deliver = |_job: &str| {
/// #     calls += 1;
/// #     if calls < 5 { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) } else { Ok(()) }
/// # };
/// let mut jobs = VecDeque::from(["letter"]);
/// while let Some(job) = jobs.pop_front() {
///     let deliver = || deliver(job);
/// #   let deliver = deliver.sleep_with(|_| ());
///     let Err(error) = deliver.retry_with(POLICY) else { continue };
///     if error.error().is_transient() {
///         jobs.push_back(job);
///     }
///     if let Some(delay) = error.next_delay() {
///         thread::sleep(delay); // refused: the loop must not start over at once
///     }
/// }
/// # // Three attempts on the two free retries; one refused; and the success.
/// # assert_eq!((calls, thread::PAUSED.lock().unwrap().as_slice()), (5, &[1][..]));
/// ```
///
/// Iterators of `Result`s [pause by themselves](crate::RetryIteratorExt) at the start of the following `next`.
///
/// The pause does not grow, because each start is a first attempt. While the budget is spent, the loop makes about
/// one call per [`initial_delay`](crate::RetryPolicy::initial_delay), and two with full jitter. With three attempts
/// and the default delays, that is the rate of the same loop without a budget. A loop with more attempts should
/// pause for longer.
pub struct RetryBudget {
    ledger: Ledger<AtomicU64, SLICES>,
    /// Retries per success, in millionths.
    ratio: u32,
    min_retries: u32,
    window: Duration,
    /// The binary logarithm of a slice in nanoseconds, computed here so that a success need not compute it.
    shift: u32,
}

/// The fewest slices of a window; a window has 16 to 31. A slice is the largest power of two of nanoseconds that
/// is at most a sixteenth of the window. With a power of two, the number of a slice takes no division.
const FEWEST: u64 = 16;
const SLICES: usize = 32;
const WINDOW: Duration = Duration::from_secs(10);

const fn shift(window: Duration) -> u32 {
    (nanos(window) / FEWEST).ilog2()
}

const MILLION: u64 = 1_000_000;

impl RetryBudget {
    /// Returns a budget with a window of 10 s, 0.2 retries for each success, and at least 2 retries in each
    /// window.
    ///
    /// ```
    /// # use retry_ext::RetryBudget;
    /// assert_eq!(RetryBudget::new().available(), 2);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ledger: Ledger {
                deposited: [const { AtomicU64::new(0) }; SLICES],
                withdrawn: [const { AtomicU64::new(0) }; SLICES],
                head: AtomicU64::new(0),
            },
            ratio: 200_000,
            min_retries: 2,
            window: WINDOW,
            shift: shift(WINDOW),
        }
    }

    /// Sets the number of retries that a success pays for, in steps of a millionth.
    ///
    /// # Panics
    ///
    /// If `ratio` is not a number from 0 to 10. In a constant that is a compile error.
    ///
    /// ```
    /// # use retry_ext::RetryBudget;
    /// static BUDGET: RetryBudget = RetryBudget::new().with_ratio(0.1);
    /// assert_eq!(BUDGET.available(), 2); // nothing has succeeded yet
    /// ```
    #[must_use = "a setter returns the changed budget"]
    #[track_caller]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to ten million")]
    pub const fn with_ratio(self, ratio: f64) -> Self {
        // NaN fails either comparison.
        assert!(
            ratio >= 0.0 && ratio <= 10.0,
            "the ratio of a retry budget must be a number from 0 to 10"
        );
        Self { ratio: (ratio * 1e6 + 0.5) as u32, ..self }
    }

    /// Sets the number of retries that each window grants without any success. Keep it small: every process has
    /// its own minimum.
    ///
    /// ```
    /// # use retry_ext::RetryBudget;
    /// assert_eq!(RetryBudget::new().with_min_retries(5).available(), 5);
    /// ```
    #[must_use = "a setter returns the changed budget"]
    pub const fn with_min_retries(self, min_retries: u32) -> Self {
        Self { min_retries, ..self }
    }

    /// Sets the time for which a success and a retry count.
    ///
    /// # Panics
    ///
    /// If `window` is shorter than 10 ms. In a constant that is a compile error.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retry_ext::RetryBudget;
    /// static BUDGET: RetryBudget = RetryBudget::new().with_window(Duration::from_secs(30));
    /// assert_eq!(BUDGET.available(), 2);
    /// ```
    #[must_use = "a setter returns the changed budget"]
    #[track_caller]
    pub const fn with_window(self, window: Duration) -> Self {
        assert!(window.as_millis() >= 10, "the window of a retry budget must be at least 10 ms");
        Self { window, shift: shift(window), ..self }
    }

    /// Returns the number of retries that could be made now, all at once. Use it for gauges.
    ///
    /// ```
    /// use retry_ext::{RetryBudget, RetryExt, RetryPolicy};
    ///
    /// static BUDGET: RetryBudget = RetryBudget::new();
    /// let policy = RetryPolicy::new().with_budget(&BUDGET);
    /// for _ in 0..10 {
    ///     (|| "7".parse::<u8>()).retry_if(|_| true).retry_with(policy).unwrap();
    /// }
    /// assert_eq!(BUDGET.available(), 2 + 2); // 10 × 0.2, and 2 for nothing
    /// ```
    #[must_use]
    pub fn available(&self) -> u32 {
        let left = self.ledger.available(self.now(), |deposits| self.allowed(deposits));
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Withdraws one retry, for an extra call that is not a retry but shares the budget, such as a hedged
    /// request. Returns whether the call may be made. If it may, the budget is charged.
    ///
    /// ```
    /// # use retry_ext::RetryBudget;
    /// static BUDGET: RetryBudget = RetryBudget::new().with_min_retries(1);
    /// assert!(BUDGET.try_withdraw());
    /// assert!(!BUDGET.try_withdraw()); // nothing has succeeded since
    /// ```
    #[must_use = "a call may be made only if this is true"]
    pub fn try_withdraw(&self) -> bool {
        self.withdraw()
    }

    /// Records the success of an operation.
    #[inline]
    pub(crate) fn deposit(&self) {
        self.ledger.deposit(ticks() >> self.shift);
    }

    /// Withdraws one retry if one is available. Returns whether it was.
    pub(crate) fn withdraw(&self) -> bool {
        self.ledger.withdraw(self.now(), |deposits| self.allowed(deposits))
    }

    fn allowed(&self, deposits: u64) -> u64 {
        deposits * u64::from(self.ratio) / MILLION + u64::from(self.min_retries)
    }

    /// Returns the current slice, and the number of slices in the window.
    fn now(&self) -> Now {
        Now { slice: ticks() >> self.shift, span: nanos(self.window) >> self.shift }
    }
}

/// Lets [`budget`](crate::RetryExt::budget) take a reference or a smart pointer.
impl AsRef<Self> for RetryBudget {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Default for RetryBudget {
    /// Returns [`RetryBudget::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("ratio", &(f64::from(self.ratio) / 1e6))
            .field("min_retries", &self.min_retries)
            .field("window", &self.window)
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// A position in time: the last `span` slices count, and `slice` is the last of them.
#[derive(Clone, Copy)]
struct Now {
    slice: u64,
    span: u64,
}

impl Now {
    /// Returns whether the events of this slice still count, or will count.
    fn counts(self, slice: u64) -> bool {
        slice + self.span > self.slice
    }
}

/// Deposits and withdrawals of the last `N` slices.
///
/// Each word holds the number of a slice and a count of its events. Both only grow. An equal word has therefore
/// not changed in between, and old contents differ from new ones after any time.
///
/// All withdrawals go through `head`, the count of the newest slice with a withdrawal. A withdrawal exchanges that
/// one word, and fails if there was another since the sum was taken. This makes the sum exact. The exception is a
/// thread that sleeps for a whole window between reading the clock and the exchange. Its withdrawal is charged to
/// the slice in which it read the clock. A thread that moves `head` to a new slice has first recorded the old
/// contents in `withdrawn`.
#[derive(Debug)]
struct Ledger<A, const N: usize> {
    deposited: [A; N],
    withdrawn: [A; N],
    head: A,
}

/// An atomic word: the standard library's, or loom's if all interleavings are tried.
trait Word {
    fn load(&self) -> u64;
    fn add_one(&self) -> u64;
    fn raise(&self, to: u64);
    fn exchange(&self, from: u64, to: u64) -> Result<u64, u64>;
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn add_one(&self) -> u64 {
        self.fetch_add(1, Ordering::AcqRel)
    }

    fn raise(&self, to: u64) {
        self.fetch_max(to, Ordering::AcqRel);
    }

    fn exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// The number of lower bits of a word, which hold a count; 40 bits are left for the number of the slice.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// The largest count of a slice. The values above it are left for threads that have added one too many and have
/// not yet taken it back.
const COUNT_MAX: u64 = COUNT_MASK - (1 << 16);

const fn pack(slice: u64, count: u64) -> u64 {
    (slice << COUNT_BITS) + count
}

const fn slice_of(word: u64) -> u64 {
    word >> COUNT_BITS
}

const fn count_of(word: u64) -> u64 {
    word & COUNT_MASK
}

impl<A: Word, const N: usize> Ledger<A, N> {
    #[inline]
    fn place(slice: u64) -> usize {
        usize::try_from(slice % N as u64).unwrap_or(0) // the remainder is below `N`
    }

    /// Makes a deposit in a slice. It takes one addition, except for the first deposit of a slice.
    ///
    /// A deposit in a slice that is over counts nowhere: its place is reused only after more slices than the
    /// window has. A newer slice has the place only if this thread has slept for a whole window since it read the
    /// clock. The deposit then counts for the newer slice.
    #[inline]
    fn deposit(&self, slice: u64) {
        let word = &self.deposited[Self::place(slice)];
        let seen = word.add_one();
        if seen < pack(slice, 0) || count_of(seen) >= COUNT_MAX {
            Self::begin(word, slice);
        }
    }

    /// Makes the first deposit of a slice, or takes back a deposit that is one too many for it.
    #[cold]
    fn begin(word: &A, slice: u64) {
        let mut seen = word.load();
        while slice_of(seen) < slice {
            match word.exchange(seen, pack(slice, 1)) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
        if count_of(seen) < COUNT_MAX {
            // Another thread has begun the slice, and the addition of this thread went to the old contents.
            word.add_one();
            return;
        }
        // Takes back the deposit that is one too many, unless its slice is gone.
        while slice_of(seen) == slice {
            match word.exchange(seen, seen - 1) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Returns the number of deposits that count in this slice. Newer deposits count as well, because another
    /// thread read its clock later.
    fn deposits(&self, now: Now) -> u64 {
        let words = self.deposited.iter().map(Word::load);
        words.filter(|word| now.counts(slice_of(*word))).map(count_of).sum()
    }

    /// Returns the number of withdrawals that still count, of the slices before this one.
    fn withdrawals_before(&self, now: Now) -> u64 {
        let words = self.withdrawn.iter().map(Word::load);
        let before = words.filter(|word| slice_of(*word) < now.slice);
        before.filter(|word| now.counts(slice_of(*word))).map(count_of).sum()
    }

    /// Returns the newest slice of withdrawals, seen from this slice, and the count in it.
    fn newest(&self, head: u64, now: Now) -> (Now, u64) {
        if slice_of(head) >= now.slice {
            return (Now { slice: slice_of(head), ..now }, count_of(head));
        }
        self.withdrawn[Self::place(slice_of(head))].raise(head);
        (now, 0)
    }

    fn withdraw(&self, now: Now, allowed: impl Fn(u64) -> u64) -> bool {
        let mut head = self.head.load();
        loop {
            let (newest, count) = self.newest(head, now);
            let spent = self.withdrawals_before(newest) + count;
            if spent >= allowed(self.deposits(newest)) || count >= COUNT_MAX {
                return false;
            }
            match self.head.exchange(head, pack(newest.slice, count + 1)) {
                Ok(_) => return true,
                Err(other) => head = other,
            }
        }
    }

    fn available(&self, now: Now, allowed: impl Fn(u64) -> u64) -> u64 {
        let (newest, count) = self.newest(self.head.load(), now);
        let spent = self.withdrawals_before(newest) + count;
        allowed(self.deposits(newest)).saturating_sub(spent)
    }

    #[cfg(test)]
    fn of(word: impl Fn() -> A) -> Self {
        Self {
            deposited: std::array::from_fn(|_| word()),
            withdrawn: std::array::from_fn(|_| word()),
            head: word(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Ledger<AtomicU64, 4>;

    fn ledger() -> Small {
        Small::of(|| AtomicU64::new(0))
    }

    /// Allows half a retry for each deposit, and one without any.
    fn half(deposits: u64) -> u64 {
        deposits / 2 + 1
    }

    /// Returns a position in a window of four slices.
    fn at(slice: u64) -> Now {
        Now { slice, span: 4 }
    }

    fn drain(ledger: &Small, slice: u64) -> u64 {
        (0..100).take_while(|_| ledger.withdraw(at(slice), half)).count() as u64
    }

    #[test]
    fn withdrawals_are_the_minimum_and_the_share_of_the_deposits() {
        let ledger = ledger();
        assert_eq!(drain(&ledger, 100), 1);
        for _ in 0..7 {
            ledger.deposit(100);
        }
        assert_eq!(ledger.available(at(100), half), 3);
        assert_eq!(drain(&ledger, 100), 3);
        assert_eq!(drain(&ledger, 103), 0);
    }

    #[test]
    fn deposits_and_withdrawals_count_for_a_window_and_no_longer() {
        let ledger = ledger();
        for _ in 0..10 {
            ledger.deposit(100);
        }
        assert_eq!(ledger.available(at(103), half), 6);
        assert_eq!(ledger.available(at(104), half), 1);
        assert_eq!(drain(&ledger, 101), 6);
        // The deposits expire at 104, and the withdrawals at 105.
        assert_eq!(drain(&ledger, 104), 0);
        assert_eq!(drain(&ledger, 105), 1);
        assert_eq!(drain(&ledger, 108), 0);
        assert_eq!(drain(&ledger, 109), 1);
    }

    #[test]
    fn any_time_may_pass() {
        let ledger = ledger();
        for slice in [5, 1_000_000, 1 << 39] {
            ledger.deposit(slice);
            ledger.deposit(slice);
            assert_eq!(drain(&ledger, slice), 2, "slice {slice}");
            assert_eq!(drain(&ledger, slice + 3), 0);
            assert_eq!(drain(&ledger, slice + 4), 1);
        }
    }

    #[test]
    fn a_thread_with_an_old_clock_neither_breaks_nor_overdraws() {
        let ledger = ledger();
        assert!(ledger.withdraw(at(200), half));
        assert!(!ledger.withdraw(at(190), half), "what is newer counts");
        ledger.deposit(200);
        ledger.deposit(196); // in the place of 200, so counted in 200
        assert_eq!(ledger.available(at(200), half), 1);
        assert!(ledger.withdraw(at(199), half));
        assert!(!ledger.withdraw(at(200), half));
    }

    #[test]
    fn a_thread_with_an_old_clock_is_charged_where_the_newest_is() {
        let ledger = ledger();
        let two = |_deposits| 2;
        assert!(ledger.withdraw(at(200), two));
        assert!(ledger.withdraw(at(198), two));
        assert!(!ledger.withdraw(at(203), two), "both count until here");
        assert!(ledger.withdraw(at(204), two));
    }

    #[test]
    fn to_look_spends_nothing() {
        let ledger = ledger();
        let two = |_deposits| 2;
        assert!(ledger.withdraw(at(200), two));
        assert_eq!(ledger.available(at(201), two), 1);
        // A thread with an old clock continues in the slice that `available` has recorded.
        assert_eq!(ledger.available(at(200), two), 1);
        assert!(ledger.withdraw(at(200), two));
    }

    #[test]
    fn the_first_slice_of_all_is_one_as_any_other() {
        let ledger = ledger();
        ledger.deposit(0);
        assert_eq!(ledger.deposits(at(0)), 1);
    }

    #[test]
    fn counts_saturate_before_they_reach_the_number_of_the_slice() {
        let ledger = ledger();
        ledger.deposited[Small::place(8)].raise(pack(8, COUNT_MAX));
        for _ in 0..3 {
            ledger.deposit(8);
            assert_eq!(ledger.deposits(at(8)), COUNT_MAX);
        }
        // A thread that found an older slice there does not exceed the largest count either.
        Small::begin(&ledger.deposited[Small::place(8)], 8);
        assert!(ledger.deposits(at(8)) <= COUNT_MAX);
        ledger.deposit(8 + 4);
        assert_eq!(ledger.deposits(at(12)), 1);
        ledger.head.raise(pack(8, COUNT_MAX));
        assert!(!ledger.withdraw(at(8), |_| u64::MAX));
    }

    impl Word for loom::sync::atomic::AtomicU64 {
        fn load(&self) -> u64 {
            self.load(Ordering::Acquire)
        }

        fn add_one(&self) -> u64 {
            self.fetch_add(1, Ordering::AcqRel)
        }

        fn raise(&self, to: u64) {
            self.fetch_max(to, Ordering::AcqRel);
        }

        fn exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
            self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
        }
    }

    /// Tries all interleavings with at most two switches away from a runnable thread. More switches take hours,
    /// and loom's authors know of few faults that need more.
    fn every_interleaving(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    /// Runs three threads across the change of a slice.
    #[test]
    fn no_interleaving_overdraws_or_refuses_what_is_there() {
        use loom::sync::Arc;
        use loom::sync::atomic::AtomicU64 as Modelled;
        use loom::thread;

        type Modelled2 = Ledger<Modelled, 2>;
        every_interleaving(|| {
            let ledger: Arc<Modelled2> = Arc::new(Ledger::of(|| Modelled::new(0)));
            let two = |_deposits| 2;
            let threads = [10, 11].map(|slice| {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || u64::from(ledger.withdraw(Now { slice, span: 2 }, two)))
            });
            let here = u64::from(ledger.withdraw(Now { slice: 11, span: 2 }, two));
            let granted: u64 = threads.into_iter().map(|t| t.join().expect("no panic")).sum();
            // All three lie in one window of two slices.
            assert_eq!(here + granted, 2);
            assert!(!ledger.withdraw(Now { slice: 11, span: 2 }, two));
        });
    }

    #[test]
    fn no_interleaving_loses_a_deposit_or_invents_one() {
        use loom::sync::Arc;
        use loom::sync::atomic::AtomicU64 as Modelled;
        use loom::thread;

        type Modelled2 = Ledger<Modelled, 2>;
        every_interleaving(|| {
            let ledger: Arc<Modelled2> = Arc::new(Ledger::of(|| Modelled::new(0)));
            let as_many = |deposits| deposits;
            let depositor = {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || ledger.deposit(10))
            };
            let withdrawer = {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || {
                    u64::from(ledger.withdraw(Now { slice: 10, span: 2 }, as_many))
                })
            };
            ledger.deposit(11);
            depositor.join().expect("no panic");
            let granted = withdrawer.join().expect("no panic");
            assert_eq!(ledger.deposits(Now { slice: 11, span: 2 }), 2);
            let rest = (0..4)
                .filter(|_| ledger.withdraw(Now { slice: 11, span: 2 }, as_many))
                .count() as u64;
            assert_eq!(granted + rest, 2);
        });
    }

    /// Begins the same slice from two threads, in the place of an older slice.
    #[test]
    fn no_interleaving_loses_a_deposit_where_a_slice_begins() {
        use loom::sync::Arc;
        use loom::sync::atomic::AtomicU64 as Modelled;
        use loom::thread;

        type Modelled2 = Ledger<Modelled, 2>;
        every_interleaving(|| {
            let ledger: Arc<Modelled2> = Arc::new(Ledger::of(|| Modelled::new(0)));
            let as_many = |deposits| deposits;
            let at = |slice| Now { slice, span: 2 };
            ledger.deposit(8);
            assert!(ledger.withdraw(at(8), as_many));
            let threads = [(); 2].map(|()| {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || {
                    ledger.deposit(10);
                    u64::from(ledger.withdraw(at(10), as_many))
                })
            });
            let granted: u64 = threads.into_iter().map(|t| t.join().expect("no panic")).sum();
            assert_eq!((ledger.deposits(at(10)), granted), (2, 2));
        });
    }
}
