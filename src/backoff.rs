//! Backoffs: the delays before the retries.

use core::fmt;
use core::iter::FusedIterator;
use core::mem;
use core::time::Duration;

use crate::jitter::{Hint, Jitter, JitterState, Range};
use crate::nanos::{CoarseNanos, LONGEST, below_a_second, nanos};

/// The delays before the retries of an operation.
///
/// A `Copy` value (160 bytes on 64-bit targets). Every constructor and setter is a `const fn`, so a backoff can be
/// a constant, and a constant with an invalid value does not compile.
///
/// One formula serves all strategies. With initial delay `d`, factor `f` and increment `i`, the
/// nominal delay before retry `k` (1, 2, 3, …) is
///
/// ```text
/// delay(k) = d·fᵏ⁻¹ + i·(1 + f + … + fᵏ⁻²),   at most max_delay
/// ```
///
/// | constructor | d | f | i | nominal delays |
/// |---|---|---|---|---|
/// | [`exponential()`](Self::exponential) | 1 s | 2 | 0 | 1, 2, 4, 8, 16, 32, 60, 60 s … |
/// | [`linear()`](Self::linear) | 1 s | 1 | 1 s | 1, 2, 3, 4 … 59, 60, 60 s … |
/// | [`constant(d)`](Self::constant) | `d` | 1 | 0 | `d`, `d`, `d` … |
/// | [`schedule(&[d₁, d₂, d₃])`](Self::schedule) | | | | `d₁`, `d₂`, `d₃`, `d₃` … |
/// | [`custom(f)`](Self::custom) | | | | `f(1)`, `f(2)`, `f(3)` … |
///
/// All are capped by [`max_delay`](Self::max_delay): 60 s unless it is set, or raised by a longer delay of
/// `constant` or `schedule`. They have no [`Jitter`] unless it is set.
///
/// Delays are computed in 64-bit whole nanoseconds. The arithmetic saturates: it never panics and never wraps.
/// Delays longer than 584 years, which 64 bits hold, are treated as `max_delay`. If `max_delay` is longer still,
/// jitter draws from 584 years.
///
/// With a whole factor below 2³², the arithmetic is exact. Other factors are computed in 64-bit floating point:
/// for ordinary numbers to the nearest nanosecond. The relative error is at worst the retry's number × 2⁻⁵².
///
/// You can also iterate over the delays. The iterator is lazy and endless:
///
/// ```
/// use retry_ext::Backoff;
///
/// let mut seconds = Vec::new();
/// for delay in Backoff::exponential() {
///     seconds.push(delay.as_secs());
///     if seconds.len() == 8 { break }
/// }
/// assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
/// ```
///
/// A factor below 1 does not compile in a constant, and panics at run time:
///
/// ```compile_fail,E0080
/// # use retry_ext::Backoff;
/// const SHRINKING: Backoff = Backoff::exponential().with_factor(0.5);
/// # let _ = SHRINKING;
/// ```
#[derive(Clone, Copy)]
#[must_use = "a Backoff is a plain value: a setter returns the changed one and leaves the old as it was"]
pub struct Backoff {
    initial_delay: Duration,
    factor: f64,
    increment: Duration,
    /// The values that follow from the settings. They are computed here, so that no failure has to compute them.
    curve: Curve,
}

impl Backoff {
    /// Returns a backoff that doubles its delay each time, from 1 s: 1, 2, 4, 8, 16, 32, 60, 60 s …
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::exponential().with_initial_delay(Duration::from_millis(100));
    /// let millis: Vec<u128> = backoff.iter().take(4).map(|delay| delay.as_millis()).collect();
    /// assert_eq!(millis, [100, 200, 400, 800]);
    /// ```
    pub const fn exponential() -> Self {
        let curve = Curve {
            first: 0,
            factor: 0,
            increment: 0,
            bound: 0,
            cap: 0,
            max_delay: Duration::from_secs(60),
            growth: Growth::Whole,
            jitter: Jitter::None,
            seed: None,
            other_jitter: None,
        };
        Self {
            initial_delay: Duration::from_secs(1),
            factor: 2.0,
            increment: Duration::ZERO,
            curve,
        }
        .consistent()
    }

    /// Returns a backoff that adds one second each time, from 1 s: 1, 2, 3, 4 … 59, 60, 60 s …
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::linear().with_increment(Duration::from_secs(5));
    /// let seconds: Vec<u64> = backoff.iter().take(4).map(|delay| delay.as_secs()).collect();
    /// assert_eq!(seconds, [1, 6, 11, 16]);
    /// ```
    pub const fn linear() -> Self {
        Self { factor: 1.0, increment: Duration::from_secs(1), ..Self::exponential() }.consistent()
    }

    /// Returns a backoff with the same delay each time. A delay above 60 s raises [`max_delay`](Self::max_delay)
    /// to itself.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::constant(Duration::from_micros(500));
    /// assert!(backoff.iter().take(100).all(|delay| delay == Duration::from_micros(500)));
    /// assert_eq!(Backoff::constant(Duration::from_secs(300)).delay(1), Duration::from_secs(300));
    /// ```
    pub const fn constant(delay: Duration) -> Self {
        Self { initial_delay: delay, factor: 1.0, ..Self::exponential() }.capped_above(delay)
    }

    /// Raises the cap to `delay` if the delay is longer.
    const fn capped_above(self, delay: Duration) -> Self {
        let raised = nanos(delay) > nanos(self.curve.max_delay);
        self.with_max_delay(if raised { delay } else { self.curve.max_delay })
    }

    /// Returns a backoff that computes each delay from the number of the retry: 1 before the first retry, then 2,
    /// 3, …
    ///
    /// The cap and jitter apply as usual; the initial delay, factor and increment are ignored. The function is
    /// called once for each retry, and should depend only on its argument. If a wait of zero is refused, the function
    /// is also called for up to 64 later retries, whatever the limit of attempts. It must not panic for any number.
    ///
    /// [Decorrelated](Jitter::Decorrelated) jitter follows its own draws, and takes `delay(1)` as its initial delay.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// const fn fibonacci(retry: u32) -> Duration {
    ///     let (mut a, mut b, mut k) = (0_u64, 1_u64, 1);
    ///     while k < retry && b < 1_000 {
    ///         (a, b, k) = (b, a + b, k + 1);
    ///     }
    ///     Duration::from_secs(b)
    /// }
    ///
    /// let seconds: Vec<u64> = Backoff::custom(fibonacci).iter().take(11).map(|d| d.as_secs()).collect();
    /// assert_eq!(seconds, [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 60]);
    /// ```
    pub const fn custom(delay: fn(u32) -> Duration) -> Self {
        let mut backoff = Self::exponential();
        backoff.curve.growth = Growth::Computed(Source::Custom(delay), Curve::custom);
        backoff.consistent()
    }

    /// Returns a backoff that takes its delays from a list and repeats the last one. A delay above 60 s raises
    /// [`max_delay`](Self::max_delay) to itself.
    ///
    /// A policy makes one retry fewer than it has attempts: three delays need four attempts. The cap and jitter
    /// apply as usual; the initial delay, factor and increment are ignored. A raised cap also raises the limit of
    /// hints, unless the policy sets [`max_retry_after`](crate::RetryPolicy::with_max_retry_after).
    ///
    /// [Decorrelated](Jitter::Decorrelated) jitter follows its own draws and uses only the first delay.
    ///
    /// # Panics
    ///
    /// If `delays` is empty. In a constant that is a compile error.
    ///
    /// ```
    /// # use retry_ext::{Backoff, RetryPolicy};
    /// # use std::time::Duration;
    /// const WEBHOOK: Backoff = Backoff::schedule(&[
    ///     Duration::from_secs(5),
    ///     Duration::from_secs(5 * 60),
    ///     Duration::from_secs(30 * 60),
    /// ]);
    ///
    /// let seconds: Vec<u64> = WEBHOOK.iter().take(5).map(|delay| delay.as_secs()).collect();
    /// assert_eq!(seconds, [5, 300, 1800, 1800, 1800]);
    ///
    /// let policy = RetryPolicy::from(WEBHOOK).with_max_attempts(4);
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [5, 300, 1800]);
    /// ```
    #[track_caller]
    pub const fn schedule(delays: &'static [Duration]) -> Self {
        assert!(!delays.is_empty(), "a backoff schedule must have at least one delay");
        let mut longest = delays[0];
        let mut rest = delays;
        while let [delay, following @ ..] = rest {
            if nanos(*delay) > nanos(longest) {
                longest = *delay;
            }
            rest = following;
        }
        let mut backoff = Self::exponential();
        backoff.curve.growth = Growth::Computed(Source::Schedule(delays), Curve::scheduled);
        backoff.capped_above(longest)
    }

    /// Sets the delay before the first retry. A delay above the cap is capped. A [`custom`](Self::custom) backoff
    /// ignores this setting.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::exponential().with_initial_delay(Duration::from_secs(120));
    /// assert_eq!(backoff.delay(1), Duration::from_secs(60));
    /// ```
    pub const fn with_initial_delay(self, initial_delay: Duration) -> Self {
        Self { initial_delay, ..self }.consistent()
    }

    /// Sets the factor between one delay and the next: 1 keeps the delay, 2 doubles it. A [`custom`](Self::custom)
    /// backoff ignores this setting.
    ///
    /// # Panics
    ///
    /// If `factor` is below 1, infinite or not a number. In a constant that is a compile error.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// let backoff = Backoff::exponential().with_factor(1.5);
    /// let millis: Vec<u128> = backoff.iter().take(4).map(|delay| delay.as_millis()).collect();
    /// assert_eq!(millis, [1000, 1500, 2250, 3375]);
    /// ```
    #[track_caller]
    pub const fn with_factor(self, factor: f64) -> Self {
        // The comparison alone would let an infinity through; NaN fails either test.
        assert!(
            factor.is_finite() && factor >= 1.0,
            "the backoff factor must be a finite number of at least 1: 1 keeps the delay, 2 doubles it"
        );
        Self { factor, ..self }.consistent()
    }

    /// Sets the increment that is added to each delay after the first. A [`custom`](Self::custom) backoff ignores
    /// this setting.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::exponential().with_increment(Duration::from_secs(1));
    /// let seconds: Vec<u64> = backoff.iter().take(4).map(|delay| delay.as_secs()).collect();
    /// assert_eq!(seconds, [1, 3, 7, 15]);
    /// ```
    pub const fn with_increment(self, increment: Duration) -> Self {
        Self { increment, ..self }.consistent()
    }

    /// Sets the cap. It bounds every delay, the first and [`custom`](Self::custom) delays included, with any
    /// jitter. It also bounds a server's hint, unless the policy sets
    /// [`max_retry_after`](crate::RetryPolicy::with_max_retry_after).
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::exponential().with_max_delay(Duration::from_secs(5));
    /// assert_eq!(backoff.delay(u32::MAX), Duration::from_secs(5));
    /// ```
    pub const fn with_max_delay(mut self, max_delay: Duration) -> Self {
        self.curve.max_delay = max_delay;
        self.consistent()
    }

    /// Sets the jitter, which spreads out the delays.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter};
    /// # use std::time::Duration;
    /// let backoff = Backoff::exponential().with_jitter(Jitter::Equal);
    /// let first = backoff.iter().next().unwrap();
    /// assert!(first >= Duration::from_millis(500) && first <= Duration::from_secs(1));
    /// ```
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.curve.jitter = jitter;
        self.curve.other_jitter = match jitter {
            Jitter::None | Jitter::Full => None,
            Jitter::Equal | Jitter::Decorrelated => Some(Curve::wait_with_other_jitter),
        };
        self
    }

    /// Makes the jitter repeatable: equal seeds draw equal delays. Use it for tests and simulations. In
    /// production, clients with equal seeds would retry together, which jitter is there to prevent.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter};
    /// let backoff = Backoff::exponential().with_jitter(Jitter::Full).with_seed(7);
    /// assert!(backoff.iter().take(10).eq(backoff.iter().take(10)));
    /// ```
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.curve.seed = Some(seed);
        self
    }

    /// Returns the delay before the first retry, as it was set: the cap is not yet applied.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().initial_delay().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn initial_delay(&self) -> Duration {
        self.initial_delay
    }

    /// Returns the factor between one delay and the next.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().factor(), 2.0);
    /// ```
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.factor
    }

    /// Returns the increment that is added to each delay after the first.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::linear().increment().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn increment(&self) -> Duration {
        self.increment
    }

    /// Returns the cap of every delay.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().max_delay().as_secs(), 60);
    /// ```
    #[must_use]
    pub const fn max_delay(&self) -> Duration {
        self.curve.max_delay
    }

    /// Returns the jitter.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter};
    /// assert_eq!(Backoff::exponential().jitter(), Jitter::None);
    /// ```
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.curve.jitter
    }

    /// Returns the seed that makes the jitter repeatable, if one was set.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().seed(), None);
    /// assert_eq!(Backoff::exponential().with_seed(7).seed(), Some(7));
    /// ```
    #[must_use]
    pub const fn seed(&self) -> Option<u64> {
        self.curve.seed
    }

    /// Returns the nominal delay before retry 1, 2, 3, …: capped, without jitter, in constant time for any number.
    /// Number 0 is the first attempt, before which there is no wait.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// let backoff = Backoff::exponential();
    /// assert_eq!([0, 1, 2, 3, u32::MAX].map(|retry| backoff.delay(retry).as_secs()), [0, 1, 2, 4, 60]);
    /// ```
    #[must_use]
    pub fn delay(&self, retry: u32) -> Duration {
        if retry == 0 {
            return Duration::ZERO;
        }
        self.curve.duration(self.curve.nominal(retry))
    }

    /// Returns an endless, lazy iterator over the delays before retry 1, 2, 3, …, with jitter.
    ///
    /// Two iterators of one backoff draw different jitter, unless the backoff has a [seed](Self::with_seed).
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let total: Duration = Backoff::exponential().iter().take(3).sum();
    /// assert_eq!(total, Duration::from_secs(7));
    /// ```
    #[inline]
    pub fn iter(&self) -> RetryIter {
        self.limited(RetryIter::ENDLESS)
    }

    /// Returns the first `limit` delays.
    #[inline]
    pub(crate) fn limited(&self, limit: u64) -> RetryIter {
        let mut state = self.state(1);
        if self.curve.jitter != Jitter::None {
            // Seeded now, so that a clone continues with the same draws.
            state.jitter = JitterState::seeded(1, &self.curve.seed);
        }
        RetryIter { curve: self.curve, state, previous: CoarseNanos::NONE, taken: 0, limit }
    }

    /// Returns the state of a series that is about to wait before this retry.
    #[inline]
    pub(crate) fn state(&self, retry: u32) -> BackoffState {
        let curve = &self.curve;
        let next = match curve.growth {
            Growth::Whole if retry > 1 => curve.after_steps(retry - 1),
            _ => curve.first, // for retry 1 the exact value; without effect on computed delays
        };
        BackoffState { next, jitter: JitterState::UNSEEDED }
    }

    /// Returns the previous delay of `Decorrelated` in the attempt `attempt`. It is the delay of a series that has
    /// made all earlier retries, or at most the last 127 of them.
    pub(crate) fn previous(&self, attempt: u32) -> CoarseNanos {
        const LAST: u32 = 127;

        let mut previous = CoarseNanos::NONE;
        if self.curve.jitter == Jitter::Decorrelated {
            let first = attempt.saturating_sub(LAST).max(1);
            let mut state = self.state(first);
            for retry in first..attempt {
                self.wait(retry, &mut state, &mut previous);
            }
        }
        previous
    }

    /// Returns the wait before this retry, in nanoseconds. The caller keeps `state` and `previous` from one retry
    /// to the next.
    #[expect(clippy::inline_always, reason = "a call would cost as much again")]
    #[inline(always)]
    pub(crate) fn wait(
        &self,
        retry: u32,
        state: &mut BackoffState,
        previous: &mut CoarseNanos,
    ) -> u64 {
        self.curve.wait(retry, state, previous)
    }

    /// Returns the wait before this retry, after a server's hint; otherwise like [`wait`](Self::wait).
    pub(crate) fn hinted_wait(
        &self,
        retry: u32,
        state: &mut BackoffState,
        previous: &mut CoarseNanos,
        hint: Hint,
    ) -> u64 {
        let range = self.curve.range(retry, state, *previous);
        if !range.is_below(hint) {
            return self.curve.draw(range, retry, state, previous);
        }
        if self.curve.jitter == Jitter::None {
            return hint.floor;
        }
        // A wait that the server chose is not a previous delay of this series.
        range.above(hint).draw(state.jitter.next(retry, &self.curve.seed))
    }

    /// Returns this backoff with a computed delay in place of its curve, for one retry. `Decorrelated` also takes
    /// this delay as its initial delay. The delay may be far longer than the previous draw. The range then starts
    /// again from it.
    pub(crate) fn computed(
        mut self,
        nominal: Duration,
        state: &mut BackoffState,
        previous: &mut CoarseNanos,
    ) -> Self {
        let nominal = nanos(nominal).min(self.curve.cap);
        state.next = nominal;
        // Half of the cap is an ordinary previous draw.
        let grew = |previous: u64| previous.saturating_mul(2).saturating_add(1) < nominal;
        if previous.get().is_some_and(grew) {
            *previous = CoarseNanos::of(nominal);
        }
        // No delay is below a bound of zero, so none follows.
        (self.curve.first, self.curve.bound, self.curve.growth) = (nominal, 0, Growth::Whole);
        self
    }

    /// Recomputes the curve. Every change of initial delay, factor, increment, cap or custom delays calls it.
    const fn consistent(mut self) -> Self {
        let max_delay = self.curve.max_delay;
        let (first, increment, cap) =
            (nanos(self.initial_delay), nanos(self.increment), nanos(max_delay));
        let (growth, factor) = match (self.curve.growth, whole(self.factor)) {
            (own @ Growth::Computed(Source::Custom(_) | Source::Schedule(_), _), _) => (own, 0),
            (_, Some(factor)) => (Growth::Whole, factor),
            (_, None) => (Growth::Computed(Source::Factor(self.factor), Curve::fractional), 0),
        };
        let bound = match growth {
            Growth::Whole if increment <= cap => lesser((cap - increment) / factor + 1, LONGEST),
            _ => 0,
        };
        let first = lesser(first, cap);
        self.curve = Curve { first, factor, increment, bound, cap, growth, ..self.curve };
        self
    }
}

/// Shows the settings only.
impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { initial_delay, factor, increment, curve } = self;
        let (mut custom, mut schedule) = (None, None);
        match curve.growth {
            Growth::Computed(Source::Custom(delay), _) => custom = Some(delay),
            Growth::Computed(Source::Schedule(delays), _) => schedule = Some(delays),
            Growth::Whole | Growth::Computed(Source::Factor(_), _) => {}
        }
        let mut settings = f.debug_struct("Backoff");
        settings
            .field("initial_delay", initial_delay)
            .field("factor", factor)
            .field("increment", increment)
            .field("max_delay", &curve.max_delay)
            .field("custom", &custom)
            .field("seed", &curve.seed)
            .field("jitter", &curve.jitter);
        if let Some(delays) = schedule {
            settings.field("schedule", &delays);
        }
        settings.finish()
    }
}

impl Default for Backoff {
    /// Returns [`Backoff::exponential`].
    fn default() -> Self {
        Self::exponential()
    }
}

impl IntoIterator for Backoff {
    type Item = Duration;
    type IntoIter = RetryIter;

    #[inline]
    fn into_iter(self) -> RetryIter {
        self.iter()
    }
}

impl IntoIterator for &Backoff {
    type Item = Duration;
    type IntoIter = RetryIter;

    #[inline]
    fn into_iter(self) -> RetryIter {
        self.iter()
    }
}

/// An iterator over delays, one before each retry.
///
/// Made by [`Backoff::iter`], which never ends, and by [`RetryPolicy::delays`](crate::RetryPolicy::delays), which
/// yields one delay fewer than there are attempts. A clone continues with the same delays.
///
/// ```
/// use retry_ext::{Backoff, RetryPolicy};
///
/// assert_eq!(RetryPolicy::new().delays().size_hint(), (2, Some(2)));
/// assert_eq!(Backoff::exponential().iter().size_hint(), (usize::MAX, None));
/// ```
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy: the delays are yielded by `next`, and waiting is yours"]
pub struct RetryIter {
    curve: Curve,
    state: BackoffState,
    previous: CoarseNanos,
    taken: u64,
    limit: u64,
}

impl RetryIter {
    /// A limit beyond any run of a program, and above the retries of any policy.
    const ENDLESS: u64 = u64::MAX;
}

impl Iterator for RetryIter {
    type Item = Duration;

    #[inline]
    fn next(&mut self) -> Option<Duration> {
        if self.taken == self.limit {
            return None;
        }
        self.taken += 1;
        if self.curve.jitter == Jitter::None {
            if let Some(next) = self.curve.following(self.state.next) {
                // Below the bound, 64 bits hold every delay.
                let delay = mem::replace(&mut self.state.next, next);
                return Some(below_a_second(delay).unwrap_or_else(|| Duration::from_nanos(delay)));
            }
        }
        let retry = u32::try_from(self.taken).unwrap_or(u32::MAX);
        let wait = self.curve.wait(retry, &mut self.state, &mut self.previous);
        Some(self.curve.duration(wait))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.limit == Self::ENDLESS {
            return (usize::MAX, None);
        }
        let left = usize::try_from(self.limit - self.taken);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

impl FusedIterator for RetryIter {}

/// The part of a series of delays that is kept from one retry to the next. It can be recomputed at any retry, so a
/// driver without room need not keep it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackoffState {
    /// The next nominal delay, if it follows from the previous one.
    next: u64,
    jitter: JitterState,
}

/// The inputs of every delay, in 64-bit nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Curve {
    /// The first delay, at most the cap.
    first: u64,
    factor: u64,
    increment: u64,
    /// Below this bound, the following delay is not above the cap. The bound is 0 if no delay has that property.
    /// It is at most [`LONGEST`], so that every delay below it is exact.
    bound: u64,
    cap: u64,
    max_delay: Duration,
    growth: Growth,
    jitter: Jitter,
    seed: Option<u64>,
    /// Draws the waits of the jitters that are not drawn in line.
    other_jitter: Option<OtherJitter>,
}

// Behind pointers that the setters of a backoff set, so that a program contains only the code that it uses.
type OtherJitter = fn(&Curve, u32, BackoffState, CoarseNanos) -> (u64, BackoffState, CoarseNanos);
type Nominal = fn(&Curve, u32) -> u64;

/// The source of computed delays.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A fractional factor. Each delay is computed from the number of the retry, so that rounding errors do not
    /// add up.
    Factor(f64),
    Custom(fn(u32) -> Duration),
    Schedule(&'static [Duration]),
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    /// Growth by a whole factor. It is exact: each delay follows from the previous one.
    Whole,
    /// Growth by computed delays, each from its number.
    Computed(Source, Nominal),
}

impl Curve {
    /// Returns the wait. No jitter and full jitter, which most series have, are drawn in line.
    #[expect(clippy::inline_always, reason = "a call would cost as much again")]
    #[inline(always)]
    fn wait(&self, retry: u32, state: &mut BackoffState, previous: &mut CoarseNanos) -> u64 {
        if self.jitter == Jitter::Full {
            let range = Range { low: 0, high: self.advance(retry, state) };
            range.draw(state.jitter.next(retry, &self.seed))
        } else if let Some(other_jitter) = self.other_jitter {
            let wait;
            (wait, *state, *previous) = other_jitter(self, retry, *state, *previous);
            wait
        } else {
            self.advance(retry, state)
        }
    }

    /// Returns the wait of the other jitters. All arguments are by value, so that an in-line caller keeps them in
    /// registers.
    fn wait_with_other_jitter(
        &self,
        retry: u32,
        mut state: BackoffState,
        mut previous: CoarseNanos,
    ) -> (u64, BackoffState, CoarseNanos) {
        let range = self.range(retry, &mut state, previous);
        let wait = self.draw(range, retry, &mut state, &mut previous);
        (wait, state, previous)
    }

    /// Returns the range of the wait before this retry, for any jitter.
    fn range(&self, retry: u32, state: &mut BackoffState, previous: CoarseNanos) -> Range {
        if self.jitter == Jitter::Decorrelated {
            let first = match self.growth {
                Growth::Computed(Source::Custom(_) | Source::Schedule(_), nominal) => {
                    nominal(self, 1)
                }
                _ => self.first,
            };
            return Range::decorrelated(first, previous.get().unwrap_or(first), self.cap);
        }
        let high = self.advance(retry, state);
        let low = match self.jitter {
            Jitter::None => high,
            Jitter::Equal => high / 2,
            _ => 0,
        };
        Range { low, high }
    }

    /// Draws the wait before this retry from its range.
    fn draw(
        &self,
        range: Range,
        retry: u32,
        state: &mut BackoffState,
        previous: &mut CoarseNanos,
    ) -> u64 {
        if self.jitter == Jitter::None {
            return range.low;
        }
        let wait = range.draw(state.jitter.next(retry, &self.seed));
        *previous = CoarseNanos::of(wait);
        wait
    }

    /// Returns the nominal delay before this retry, and moves the state past it.
    #[inline]
    fn advance(&self, retry: u32, state: &mut BackoffState) -> u64 {
        let next = match (self.following(state.next), self.growth) {
            (Some(next), _) => next,
            (None, Growth::Whole) => self.cap,
            (None, Growth::Computed(_, nominal)) => return nominal(self, retry),
        };
        mem::replace(&mut state.next, next)
    }

    /// Returns the delay that follows this one, if it is at most the cap; otherwise, or if no delay follows,
    /// `None`.
    #[inline]
    fn following(&self, delay: u64) -> Option<u64> {
        (delay < self.bound).then(|| delay * self.factor + self.increment)
    }

    /// Returns the nominal delay before retry 1, 2, 3, …, capped.
    fn nominal(&self, retry: u32) -> u64 {
        match self.growth {
            Growth::Whole => self.after_steps(retry - 1),
            Growth::Computed(_, nominal) => nominal(self, retry),
        }
    }

    fn scheduled(&self, retry: u32) -> u64 {
        let Growth::Computed(Source::Schedule([delays @ .., last]), _) = self.growth else {
            return self.first;
        };
        let place = usize::try_from(retry - 1).unwrap_or(usize::MAX);
        nanos(*delays.get(place).unwrap_or(last)).min(self.cap)
    }

    fn custom(&self, retry: u32) -> u64 {
        let Growth::Computed(Source::Custom(delay), _) = self.growth else { return self.first };
        nanos(delay(retry)).min(self.cap)
    }

    /// Applies `x ↦ factor·x + increment` to the first delay `steps` times, with a whole factor.
    fn after_steps(&self, steps: u32) -> u64 {
        if self.factor == 1 {
            let grown = self.increment.saturating_mul(u64::from(steps));
            return self.first.saturating_add(grown).min(self.cap);
        }
        // A factor of 2 exceeds any 64-bit cap within 64 steps, or stays at 0.
        let next = |delay, _| self.following(delay).unwrap_or(self.cap);
        (0..steps.min(64)).fold(self.first, next)
    }

    /// Applies the same map with any factor, by repeated squaring. There is no subtraction, so nothing cancels,
    /// and every platform gets the same result.
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 ns, 104 days, are exact; beyond, a relative 1e-16 is lost"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and `as` saturates"
    )]
    fn fractional(&self, retry: u32) -> u64 {
        let (Growth::Computed(Source::Factor(factor), _), 2..) = (self.growth, retry) else {
            return self.first; // `f64` may not represent it exactly
        };
        let mut steps = retry - 1;
        let mut delay = self.first as f64;
        let (mut a, mut b) = (factor, self.increment as f64);
        while steps != 0 {
            if steps & 1 == 1 {
                delay = affine(a, delay, b);
            }
            b = affine(a, b, b);
            a *= a;
            steps >>= 1;
        }
        ((delay + 0.5) as u64).min(self.cap)
    }

    #[inline]
    const fn duration(&self, nanos: u64) -> Duration {
        match below_a_second(nanos) {
            Some(delay) => delay,
            None => self.long(nanos),
        }
    }

    /// Converts nanoseconds. A delay longer than 64 bits hold becomes the cap as it was set.
    #[inline(never)]
    const fn long(&self, nanos: u64) -> Duration {
        if nanos == LONGEST { self.max_delay } else { Duration::from_nanos(nanos) }
    }
}

/// Returns the smaller number. [`u64::min`] is not a `const fn`.
const fn lesser(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

/// Returns the factor if it is a whole number below 2^32.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "what does not survive both casts is not whole"
)]
const fn whole(factor: f64) -> Option<u64> {
    let whole = factor as u32 as u64;
    if whole as f64 == factor { Some(whole) } else { None }
}

/// Returns `a·x + b`. An infinite `a` times zero counts as zero: such a map leaves zero as it is.
#[inline]
fn affine(a: f64, x: f64, b: f64) -> f64 {
    if x == 0.0 { b } else { a * x + b }
}
