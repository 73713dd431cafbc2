//! The delays.

use std::iter::FusedIterator;
use std::time::Duration;

use crate::jitter::{self, Jitter, Range};

/// How long to wait before each retry.
///
/// A small `Copy` value. Every constructor and setter is a `const fn`, so a backoff can be a
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
/// With a whole factor below 2³² it is exact; with any other it is rounded to the nearest nanosecond.
/// 64 bits hold 584 years; a longer delay is not told apart from `max_delay`.
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
#[derive(Clone, Copy, Debug)]
#[must_use = "a Backoff is a plain value: a setter returns the changed one and leaves the old as it was"]
pub struct Backoff {
    initial_delay: Duration,
    factor: f64,
    increment: Duration,
    max_delay: Duration,
    custom: Option<fn(u32) -> Duration>,
    seed: Option<u64>,
    jitter: Jitter,
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
        Self {
            initial_delay: Duration::from_secs(1),
            factor: 2.0,
            increment: Duration::ZERO,
            max_delay: Duration::from_secs(60),
            custom: None,
            seed: None,
            jitter: Jitter::None,
        }
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
        Self { factor: 1.0, increment: Duration::from_secs(1), ..Self::exponential() }
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
        Self { initial_delay: delay, factor: 1.0, ..Self::exponential() }
    }

    /// Delays of your own, from the number of the retry: 1 before the first retry, then 2, 3, …
    ///
    /// The cap and the jitter stand above it as above every other backoff; initial delay, factor and
    /// increment have no part in it. The function should depend on its argument alone;
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
        Self { custom: Some(delay), ..Self::exponential() }
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
        Self { initial_delay, ..self }
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
        Self { factor, ..self }
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
        Self { increment, ..self }
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
    pub const fn with_max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay, ..self }
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
    pub const fn with_jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// Makes the jitter repeatable: equal seeds draw equal delays. For tests and simulations; in
    /// production it would bring the crowd back that jitter is there to spread.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter};
    /// let backoff = Backoff::exponential().with_jitter(Jitter::Full).with_seed(7);
    /// assert!(backoff.iter().take(10).eq(backoff.iter().take(10)));
    /// ```
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
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
        self.max_delay
    }

    /// How delays are spread out.
    ///
    /// ```
    /// # use retry_ext::{Backoff, Jitter};
    /// assert_eq!(Backoff::exponential().jitter(), Jitter::None);
    /// ```
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.jitter
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
        self.seed
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
        let curve = Curve::of(self);
        curve.duration(curve.nominal(retry), self.max_delay)
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
        self.first(RetryIter::ENDLESS)
    }

    /// The first `left` delays.
    #[inline]
    pub(crate) fn first(&self, left: u32) -> RetryIter {
        let curve = Curve::of(self);
        // A seed of its own, so that a clone goes on with the same draws.
        let seed = match self.jitter {
            Jitter::None => None,
            Jitter::Full | Jitter::Equal | Jitter::Decorrelated => {
                Some(self.seed.unwrap_or_else(jitter::fresh_seed))
            }
        };
        let backoff = Self { seed, ..*self };
        RetryIter { backoff, nominal: curve.first, curve, previous: Brief::ZERO, retry: 0, left }
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
    backoff: Backoff,
    curve: Curve,
    /// The nominal delay that is next, where it follows from the one before.
    nominal: u64,
    previous: Brief,
    retry: u32,
    left: u32,
}

impl RetryIter {
    /// More than any policy has retries, since the first of its attempts is none.
    const ENDLESS: u32 = u32::MAX;
}

impl Iterator for RetryIter {
    type Item = Duration;

    #[inline]
    fn next(&mut self) -> Option<Duration> {
        if self.left != Self::ENDLESS {
            self.left = self.left.checked_sub(1)?;
        }
        self.retry = self.retry.saturating_add(1);
        let Self { backoff, curve, retry, previous, .. } = self;
        let wait = match (backoff.jitter, curve.growth) {
            (Jitter::Decorrelated, _) => curve.decorrelated(backoff.seed, *retry, previous, 0),
            (jitter, Growth::Whole(factor)) => {
                let nominal = self.nominal;
                self.nominal = curve.step(nominal, factor);
                curve.around(nominal, jitter, backoff.seed, *retry, 0)
            }
            (jitter, _) => curve.around(curve.nominal(*retry), jitter, backoff.seed, *retry, 0),
        };
        Some(curve.duration(wait, backoff.max_delay))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.left {
            Self::ENDLESS => (usize::MAX, None),
            left => {
                let exact = usize::try_from(left);
                (exact.unwrap_or(usize::MAX), exact.ok())
            }
        }
    }
}

impl FusedIterator for RetryIter {}

/// A backoff in the units of the arithmetic: nanoseconds of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curve {
    first: u64,
    increment: u64,
    cap: u64,
    growth: Growth,
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    /// Exact: one delay follows from the one before.
    Whole(u64),
    /// Each delay is computed from its number, so that rounding does not add up.
    Fractional(f64),
    Custom(fn(u32) -> Duration),
}

impl Curve {
    #[inline]
    pub(crate) fn of(backoff: &Backoff) -> Self {
        let growth = match backoff.custom {
            Some(delay) => Growth::Custom(delay),
            None => Growth::of_factor(backoff.factor),
        };
        let cap = nanos(backoff.max_delay);
        let first = match growth {
            // Asked for only where it is used: the function is the user's.
            Growth::Custom(delay) if backoff.jitter == Jitter::Decorrelated => nanos(delay(1)),
            _ => nanos(backoff.initial_delay),
        };
        Self { first: first.min(cap), increment: nanos(backoff.increment), cap, growth }
    }

    /// The delay that follows `delay` with a whole factor, capped.
    #[inline]
    fn step(&self, delay: u64, factor: u64) -> u64 {
        delay.saturating_mul(factor).saturating_add(self.increment).min(self.cap)
    }

    /// The nominal delay before retry 1, 2, 3, …, capped.
    fn nominal(&self, retry: u32) -> u64 {
        let steps = retry.saturating_sub(1);
        match self.growth {
            Growth::Whole(1) => self
                .first
                .saturating_add(self.increment.saturating_mul(u64::from(steps)))
                .min(self.cap),
            // A factor of 2 passes any 64-bit cap within 64 steps, or is at rest at 0.
            Growth::Whole(factor) => {
                (0..steps.min(64)).fold(self.first, |delay, _| self.step(delay, factor))
            }
            Growth::Fractional(factor) => self.fractional(factor, steps),
            Growth::Custom(delay) => nanos(delay(retry)).min(self.cap),
        }
    }

    /// Applies `x ↦ factor·x + increment` to the first delay `steps` times, by repeated squaring of
    /// the map: no subtraction, so nothing cancels, and the same result on every platform.
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
        while steps > 0 {
            if steps & 1 == 1 {
                delay = affine(a, delay, b);
            }
            b = affine(a, b, b);
            a *= a;
            steps >>= 1;
        }
        ((delay + 0.5) as u64).min(self.cap)
    }

    /// What to wait before this retry, at least `floor`. The caller sees to it that the floor is not
    /// above the cap, and keeps `previous` from one retry to the next.
    #[inline]
    pub(crate) fn wait(
        &self,
        backoff: &Backoff,
        retry: u32,
        previous: &mut Brief,
        floor: Duration,
    ) -> Duration {
        let floor = nanos(floor);
        let wait = match backoff.jitter {
            Jitter::Decorrelated => self.decorrelated(backoff.seed, retry, previous, floor),
            jitter => self.around(self.nominal(retry), jitter, backoff.seed, retry, floor),
        };
        self.duration(wait, backoff.max_delay)
    }

    #[inline]
    fn around(
        &self,
        nominal: u64,
        jitter: Jitter,
        seed: Option<u64>,
        retry: u32,
        floor: u64,
    ) -> u64 {
        if let Jitter::None = jitter {
            return nominal.max(floor);
        }
        Range::around(nominal, jitter).above(floor, self.cap).draw(seed, retry)
    }

    #[inline]
    fn decorrelated(&self, seed: Option<u64>, retry: u32, previous: &mut Brief, floor: u64) -> u64 {
        let before = if retry == 1 { self.first } else { previous.get() };
        let range = Range::decorrelated(self.first, before, self.cap);
        let wait = range.above(floor, self.cap).draw(seed, retry);
        *previous = Brief::of(wait);
        wait
    }

    /// A time that has reached the cap is the cap itself, even where 64 bits could not hold it.
    #[inline]
    fn duration(&self, nanos: u64, max_delay: Duration) -> Duration {
        if nanos >= self.cap { max_delay } else { Duration::from_nanos(nanos) }
    }
}

impl Growth {
    #[inline]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "what does not survive both casts is not whole"
    )]
    #[expect(
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "the setter lets nothing below 1 in; whole means exactly whole"
    )]
    fn of_factor(factor: f64) -> Self {
        let whole = u64::from(factor as u32);
        if whole as f64 == factor { Self::Whole(whole) } else { Self::Fractional(factor) }
    }
}

/// `a·x + b`, where an infinite `a` times zero is zero: a map that does nothing to zero.
#[inline]
fn affine(a: f64, x: f64, b: f64) -> f64 {
    if x == 0.0 { b } else { a * x + b }
}

/// Nanoseconds in 64 bits; a longer time is all of them set.
#[inline]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    match duration.as_secs().checked_mul(1_000_000_000) {
        Some(nanos) => nanos.saturating_add(duration.subsec_nanos() as u64),
        None => u64::MAX,
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
        Self(((nanos >> shift) as u32) << Self::SHIFT_BITS | shift)
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
