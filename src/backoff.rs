//! The delays.

use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::time::Duration;

use crate::jitter::{Draws, Jitter, Range};

/// How long to wait before each retry.
///
/// A `Copy` value of 136 bytes where pointers have 8. Every constructor and setter is a `const fn`, so a backoff can be a
/// constant, and one with a value that makes no sense does not compile.
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
/// | [`custom(f)`](Self::custom) | | | | `f(1)`, `f(2)`, `f(3)` … |
///
/// All are capped by [`max_delay`](Self::max_delay), 60 s unless set otherwise, and have no
/// [`Jitter`] unless set otherwise.
///
/// The arithmetic is in whole nanoseconds of 64 bits and saturates: it never panics and never wraps.
/// With a whole factor below 2³² it is exact. With any other it is computed in floating point of 64
/// bits: to the nearest nanosecond where numbers are ordinary, and within a relative error of the
/// retry's number × 2⁻⁵² at worst. 64 bits hold 584 years; a longer delay is not told apart from
/// `max_delay`, and jitter draws from 584 years.
///
/// A backoff can be iterated, without end and lazily:
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
    /// What follows from the settings, so that no failure has to compute it.
    curve: Curve,
}

impl Backoff {
    /// 1 s, then twice the delay before: 1, 2, 4, 8, 16, 32, 60, 60 s …
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
        };
        Self {
            initial_delay: Duration::from_secs(1),
            factor: 2.0,
            increment: Duration::ZERO,
            curve,
        }
        .consistent()
    }

    /// 1 s, then one second more each time: 1, 2, 3, 4 … 59, 60, 60 s …
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

    /// The same delay each time, but never more than [`max_delay`](Self::max_delay), 60 s.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// # use std::time::Duration;
    /// let backoff = Backoff::constant(Duration::from_micros(500));
    /// assert!(backoff.iter().take(100).all(|delay| delay == Duration::from_micros(500)));
    /// ```
    pub const fn constant(delay: Duration) -> Self {
        Self { initial_delay: delay, factor: 1.0, ..Self::exponential() }.consistent()
    }

    /// Delays of your own, from the number of the retry: 1 before the first retry, then 2, 3, …
    ///
    /// The cap and the jitter stand above it as above every other backoff; initial delay, factor and
    /// increment have no part in it. It is called once for each retry, and should depend on its argument
    /// alone;
    /// [decorrelated](Jitter::Decorrelated) jitter, which follows its own draws, takes `delay(1)` for
    /// the initial delay and asks for nothing else.
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
        backoff.curve.growth = Growth::Custom(delay);
        backoff.consistent()
    }

    /// Sets the delay before the first retry. One above the cap is capped; a
    /// [`custom`](Self::custom) backoff does not use it.
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

    /// Sets the factor between one delay and the next: 1 keeps them the same, 2 doubles them. A
    /// [`custom`](Self::custom) backoff does not use it.
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

    /// Sets what is added to each delay after the first. A [`custom`](Self::custom) backoff does not
    /// use it.
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

    /// Sets the cap. No delay is ever above it: not the first, not one drawn by jitter, not one of a
    /// [`custom`](Self::custom) backoff, and not one that a server asks for: a
    /// [`retry_after`](crate::IsTransient::retry_after) above the cap stops the retry.
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

    /// Sets how delays are spread out.
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
        self
    }

    /// Makes the jitter repeatable: equal seeds draw equal delays. For tests and simulations; in
    /// production it would bring the crowd back that jitter is there to spread.
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

    /// The delay before the first retry, as it was set: the cap is not yet applied.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().initial_delay().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn initial_delay(&self) -> Duration {
        self.initial_delay
    }

    /// The factor between one delay and the next.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().factor(), 2.0);
    /// ```
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.factor
    }

    /// What is added to each delay after the first.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::linear().increment().as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn increment(&self) -> Duration {
        self.increment
    }

    /// The cap of every delay.
    ///
    /// ```
    /// # use retry_ext::Backoff;
    /// assert_eq!(Backoff::exponential().max_delay().as_secs(), 60);
    /// ```
    #[must_use]
    pub const fn max_delay(&self) -> Duration {
        self.curve.max_delay
    }

    /// How delays are spread out.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter};
    /// assert_eq!(Backoff::exponential().jitter(), Jitter::None);
    /// ```
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.curve.jitter
    }

    /// The seed that makes the jitter repeatable, where one was set.
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

    /// The nominal delay before retry 1, 2, 3, …: capped, without jitter, in constant time for any
    /// number. Number 0 is the first attempt, before which there is no wait.
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

    /// The delays before retry 1, 2, 3, …, with jitter, lazily and without end.
    ///
    /// Two iterators of one backoff draw different jitter, unless it has a
    /// [seed](Self::with_seed).
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

    /// The first `limit` delays.
    #[inline]
    pub(crate) fn limited(&self, limit: u64) -> RetryIter {
        let mut run = self.run(1);
        if self.curve.jitter != Jitter::None {
            // Now, so that a clone goes on with the same draws.
            run.draws = Draws::seeded(1, &self.curve.seed);
        }
        RetryIter { curve: self.curve, run, previous: Brief::ZERO, taken: 0, limit }
    }

    /// A run that is about to wait before this retry.
    #[inline]
    pub(crate) fn run(&self, retry: u32) -> Run {
        let curve = &self.curve;
        let next = match curve.growth {
            Growth::Whole if retry > 1 => curve.after_steps(retry - 1),
            _ => curve.first, // exactly that, or not looked at
        };
        Run { next, draws: Draws::UNSEEDED }
    }

    /// What to wait before this retry, in nanoseconds: at least `floor`, which is not above the cap. The
    /// caller keeps `run` and `previous` from one retry to the next.
    #[expect(clippy::inline_always, reason = "hardly more instructions than a call of it")]
    #[inline(always)]
    pub(crate) fn wait(&self, retry: u32, run: &mut Run, previous: &mut Brief, floor: u64) -> u64 {
        self.curve.wait(retry, run, previous, floor)
    }

    #[inline]
    pub(crate) const fn duration(&self, nanos: u64) -> Duration {
        self.curve.duration(nanos)
    }

    /// To be called after a change of initial delay, factor, increment, cap or custom delays.
    const fn consistent(mut self) -> Self {
        let max_delay = self.curve.max_delay;
        let (first, increment, cap) =
            (nanos(self.initial_delay), nanos(self.increment), nanos(max_delay));
        let (growth, factor) = match (self.curve.growth, whole(self.factor)) {
            (Growth::Custom(delay), _) => (Growth::Custom(delay), 0),
            (_, Some(factor)) => (Growth::Whole, factor),
            (_, None) => (Growth::Fractional(self.factor), 0),
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

/// Its settings.
impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { initial_delay, factor, increment, curve } = self;
        let custom = match curve.growth {
            Growth::Custom(delay) => Some(delay),
            Growth::Whole | Growth::Fractional(_) => None,
        };
        f.debug_struct("Backoff")
            .field("initial_delay", initial_delay)
            .field("factor", factor)
            .field("increment", increment)
            .field("max_delay", &curve.max_delay)
            .field("custom", &custom)
            .field("seed", &curve.seed)
            .field("jitter", &curve.jitter)
            .finish()
    }
}

impl Default for Backoff {
    /// [`Backoff::exponential`].
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

/// Delays, one before each retry.
///
/// Made by [`Backoff::iter`], which never ends, and by
/// [`RetryPolicy::delays`](crate::RetryPolicy::delays), which yields one delay fewer than there are
/// attempts. A clone goes on with the same delays.
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
    run: Run,
    previous: Brief,
    taken: u64,
    limit: u64,
}

impl RetryIter {
    /// Nobody lives to see the end of it, and no policy has as many retries.
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
            if let Some(next) = self.curve.following(self.run.next) {
                return Some(Duration::from_nanos(mem::replace(&mut self.run.next, next)));
            }
        }
        let retry = u32::try_from(self.taken).unwrap_or(u32::MAX);
        let wait = self.curve.wait(retry, &mut self.run, &mut self.previous, 0);
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

/// What one run of delays keeps from one retry to the next. It can be made again at any retry, for
/// those who have no room to keep it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The nominal delay that is next, where it follows from the one before.
    next: u64,
    draws: Draws,
}

/// All that a delay is computed from, in the units of the arithmetic: nanoseconds of 64 bits.
#[derive(Clone, Copy, Debug)]
struct Curve {
    /// At most the cap.
    first: u64,
    factor: u64,
    increment: u64,
    /// What follows a delay below this is not above the cap. It is 0 where that holds for none, and at most
    /// [`LONGEST`], so that a delay below it is always told as it is.
    bound: u64,
    cap: u64,
    max_delay: Duration,
    growth: Growth,
    jitter: Jitter,
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    /// By a whole factor. Exact: one delay follows from the one before.
    Whole,
    /// Each delay is computed from its number, so that rounding does not add up.
    Fractional(f64),
    Custom(fn(u32) -> Duration),
}

impl Curve {
    /// What to wait, and in line for no and for full jitter, which most runs have.
    #[expect(clippy::inline_always, reason = "hardly more instructions than a call of it")]
    #[inline(always)]
    fn wait(&self, retry: u32, run: &mut Run, previous: &mut Brief, floor: u64) -> u64 {
        if self.jitter == Jitter::Full {
            let range = Range { low: 0, high: self.advance(retry, run) };
            range.above(floor, self.cap).draw(run.draws.next(retry, &self.seed))
        } else if self.jitter == Jitter::None {
            self.advance(retry, run).max(floor)
        } else {
            let wait;
            (wait, *run, *previous) = self.wait_otherwise(retry, *run, *previous, floor);
            wait
        }
    }

    /// All by value, so that who waits in line keeps it in registers.
    #[cold]
    #[inline(never)]
    fn wait_otherwise(
        &self,
        retry: u32,
        mut run: Run,
        previous: Brief,
        floor: u64,
    ) -> (u64, Run, Brief) {
        let range = if self.jitter == Jitter::Decorrelated {
            let first = match self.growth {
                Growth::Custom(delay) => nanos(delay(1)).min(self.cap),
                _ => self.first,
            };
            let before = if retry == 1 { first } else { previous.get() };
            Range::decorrelated(first, before, self.cap)
        } else {
            let high = self.advance(retry, &mut run);
            Range { low: high / 2, high }
        };
        let wait = range.above(floor, self.cap).draw(run.draws.next(retry, &self.seed));
        (wait, run, Brief::of(wait))
    }

    /// The nominal delay before this retry, which the run then has behind it.
    #[inline]
    fn advance(&self, retry: u32, run: &mut Run) -> u64 {
        let next = match (self.following(run.next), self.growth) {
            (Some(next), _) => next,
            (None, Growth::Whole) => self.cap,
            (None, _) => return self.nominal(retry),
        };
        mem::replace(&mut run.next, next)
    }

    /// The delay that follows this one, below the cap or at it; `None` where it would be above, and where
    /// none follows.
    #[inline]
    fn following(&self, delay: u64) -> Option<u64> {
        (delay < self.bound).then(|| delay * self.factor + self.increment)
    }

    /// The nominal delay before retry 1, 2, 3, …, capped.
    #[inline(never)]
    fn nominal(&self, retry: u32) -> u64 {
        match self.growth {
            Growth::Whole => self.after_steps(retry - 1),
            Growth::Fractional(_) if retry == 1 => self.first, // which `f64` may not hold
            Growth::Fractional(factor) => self.fractional(factor, retry - 1),
            Growth::Custom(delay) => nanos(delay(retry)).min(self.cap),
        }
    }

    /// Applies `x ↦ factor·x + increment` to the first delay `steps` times, with a whole factor.
    fn after_steps(&self, steps: u32) -> u64 {
        if self.factor == 1 {
            let grown = self.increment.saturating_mul(u64::from(steps));
            return self.first.saturating_add(grown).min(self.cap);
        }
        // A factor of 2 passes any 64-bit cap within 64 steps, or is at rest at 0.
        let next = |delay, _| self.following(delay).unwrap_or(self.cap);
        (0..steps.min(64)).fold(self.first, next)
    }

    /// The same with any factor, by repeated squaring of the map: no subtraction, so nothing cancels, and
    /// the same result on every platform.
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 ns, 104 days, are exact; beyond, a relative 1e-16 is lost"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and `as` saturates"
    )]
    fn fractional(&self, factor: f64, mut steps: u32) -> u64 {
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
        if nanos == LONGEST { self.longest() } else { Duration::from_nanos(nanos) }
    }

    /// What is too long to be counted is the cap as it was set.
    #[cold]
    #[inline(never)]
    const fn longest(&self) -> Duration {
        self.max_delay
    }
}

/// [`u64::min`], which is no `const fn`.
const fn lesser(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

/// A factor that is a whole number below 2^32.
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

/// `a·x + b`, where an infinite `a` times zero is zero: a map that does nothing to zero.
#[inline]
fn affine(a: f64, x: f64, b: f64) -> f64 {
    if x == 0.0 { b } else { a * x + b }
}

/// The longest time that is counted: one nanosecond less than 64 bits hold, so that they hold how many
/// different delays there are.
pub(crate) const LONGEST: u64 = u64::MAX - 1;

/// Nanoseconds in 64 bits; a longer time is the longest that is counted.
#[inline]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let Some(nanos) = duration.as_secs().checked_mul(1_000_000_000) else { return LONGEST };
    match nanos.checked_add(duration.subsec_nanos() as u64) {
        None | Some(u64::MAX) => LONGEST,
        Some(nanos) => nanos,
    }
}

/// The delay before, in 32 bits, to its 26 highest ones: what decorrelated jitter needs of the past,
/// in a form that keeps a waiting future small. It is rounded down, so that three times it is never
/// above three times the delay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brief(u32);

impl Brief {
    pub(crate) const ZERO: Self = Self(0);
    const SHIFT_BITS: u32 = 6;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves 26 bits")]
    fn of(nanos: u64) -> Self {
        let digits = u32::BITS - Self::SHIFT_BITS;
        let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(digits);
        Self((((nanos >> shift) as u32) << Self::SHIFT_BITS) + shift)
    }

    #[inline]
    fn get(self) -> u64 {
        let shift = self.0 & ((1 << Self::SHIFT_BITS) - 1);
        u64::from(self.0 >> Self::SHIFT_BITS) << shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_is_the_number_itself_up_to_26_bits_and_hardly_less_above() {
        for nanos in [0, 1, 2, 1_000, (1 << 26) - 1] {
            assert_eq!(Brief::of(nanos).get(), nanos);
        }
        for nanos in [1 << 26, (1 << 26) + 1, 60_000_000_000, u64::MAX / 3, u64::MAX - 1, u64::MAX]
        {
            let brief = Brief::of(nanos).get();
            assert!(brief <= nanos && nanos - brief <= nanos >> 25, "{nanos}: {brief}");
        }
    }
}
