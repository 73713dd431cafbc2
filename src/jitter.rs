//! Jitter: the range of decorrelated delays, hints, and the draw from a range.

use fastrand::Rng;

use crate::seed::fresh_seed;

/// A way to spread out delays, so that clients that fail together do not retry together.
///
/// The cap comes first, and the draw goes downwards from it. With a nominal delay `v`, already capped by
/// [`max_delay`](crate::Backoff::max_delay), a draw is never above `v`. The draws still differ if `v` is the cap.
/// Each draw is uniform, both ends included, in whole nanoseconds.
///
/// | jitter | the delay is drawn from | mean |
/// |---|---|---|
/// | [`None`](Jitter::None) | exactly `v` | `v` |
/// | [`Full`](Jitter::Full) | 0 to `v` | `v / 2` |
/// | [`Equal`](Jitter::Equal) | `v / 2` to `v` | `3 v / 4` |
/// | [`Decorrelated`](Jitter::Decorrelated) | the initial delay to 3 × the delay before, capped | grows with the draws |
///
/// The formulas are those of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. There is
/// one difference: the cap bounds the range, not the number drawn from it. Decorrelated draws therefore do not
/// pile up at the cap.
///
/// A server's hint ([`retry_after`](crate::IsTransient::retry_after)) `h` moves a range that begins below it. The
/// draw is then from `h` to `h` plus the width of the range, which becomes at least `h / 4`. Clients that receive
/// the same hint of "30 s" therefore spread over seconds. A wait that the hint moved is not "the delay before" of
/// `Decorrelated`.
///
/// A wait never exceeds the larger of the cap and [`max_retry_after`](crate::RetryPolicy::with_max_retry_after). A
/// hint that equals both leaves no room, so all clients return at once. Set `max_retry_after` a quarter above the
/// longest hint that you expect.
///
/// Draws differ from run to run, from thread to thread and from process to process, forked processes included. They
/// may be equal if two draws read the same time from the same clock. A snapshot of a machine that is restored twice,
/// together with its clock, may repeat draws. A retry or delay iterator that started before a fork continues with the
/// same sequence in both processes. In a browser, draws differ with the feature `web`. Without it, give each client a
/// [seed](crate::Backoff::with_seed).
///
/// If in doubt, use [`Full`](Jitter::Full): it spreads a crowd the widest and finishes with the fewest calls.
/// [`Equal`](Jitter::Equal) never retries at once.
///
/// ```
/// use std::time::Duration;
/// use retry_ext::{Backoff, Jitter};
///
/// for delay in Backoff::exponential().with_jitter(Jitter::Full).iter().take(100) {
///     assert!(delay <= Duration::from_secs(60));
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// No jitter: every client waits exactly the nominal delay. It is the default because a person at a terminal
    /// can predict it. Use another jitter for anything that runs in more than one place.
    #[default]
    None,
    /// A draw from zero to the nominal delay.
    Full,
    /// A draw from half the nominal delay to the nominal delay.
    Equal,
    /// A draw from the initial delay to three times the delay before, capped. The range follows the draws, not the
    /// backoff's curve: factor and increment have no influence.
    ///
    /// If the initial delay is at the cap, that range would be a single point. The draw is then from half the cap
    /// to the cap. An initial delay of zero stays zero.
    Decorrelated,
}

/// A range from which a delay is drawn, in nanoseconds; `high` is below `u64::MAX`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// A server's hint, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    pub(crate) floor: u64,
    /// The limit of every wait after a hint; at least `floor`.
    pub(crate) ceiling: u64,
}

impl Range {
    /// Returns the range for `Decorrelated`; `first` and `previous` are already capped.
    #[inline]
    pub(crate) fn decorrelated(first: u64, previous: u64, cap: u64) -> Self {
        let low = if first == cap { cap / 2 } else { first };
        Self { low, high: previous.saturating_mul(3).min(cap).max(low) }
    }

    /// Returns whether the hint moves this range.
    #[inline]
    pub(crate) fn is_below(self, hint: Hint) -> bool {
        self.low < hint.floor
    }

    /// Moves the range up to a hint and makes it at least a quarter of the hint wide. A crowd that received the
    /// same hint must spread out in proportion to it, even if its own delays are short.
    #[inline]
    pub(crate) fn above(self, hint: Hint) -> Self {
        if !self.is_below(hint) {
            return self;
        }
        let spread = (self.high - self.low).max(hint.floor / 4);
        Self { low: hint.floor, high: hint.floor.saturating_add(spread).min(hint.ceiling) }
    }

    /// Draws a value uniformly: the upper half of the product of 64 random bits and the number of values. The
    /// method is from Daniel Lemire, "Fast Random Integer Generation in an Interval", 2019, without its rejection
    /// step. One of `n` values may therefore come up more often than another by `n` in 2^64: 1 in 2^28 for a
    /// minute.
    #[inline]
    pub(crate) fn draw(self, random: u64) -> u64 {
        let values = self.high - self.low + 1;
        self.low + ((u128::from(random) * u128::from(values)) >> u64::BITS) as u64
    }
}

/// The random numbers of one series of delays. The number for a retry depends only on the seed and
/// the retry's number, so a series can be resumed at any retry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JitterState(u64);

impl JitterState {
    /// The state before a seed is drawn: a series that never fails needs no seed.
    pub(crate) const UNSEEDED: Self = Self(0);

    /// Seeds the numbers for this retry, with the seed that was set or with a fresh one.
    #[cold]
    #[expect(clippy::ref_option, reason = "by reference, so that it is read only when needed")]
    pub(crate) fn seeded(retry: u32, set: &Option<u64>) -> Self {
        match *set {
            None => Self(fresh_seed()),
            Some(seed) => Self::from_set(seed, retry),
        }
    }

    #[cold]
    fn from_set(seed: u64, retry: u32) -> Self {
        // Mixed once more: programs set the seeds 1, 2, 3, …, which must not draw related delays.
        let seed = Rng::with_seed(seed).u64(..);
        Self(seed.wrapping_add(WYRAND_STEP.wrapping_mul(retry.into())))
    }

    /// Returns the number for this retry.
    #[inline]
    #[expect(clippy::ref_option, reason = "by reference, so that it is read only when needed")]
    pub(crate) fn next(&mut self, retry: u32, set: &Option<u64>) -> u64 {
        if self.0 == 0 {
            *self = Self::seeded(retry, set);
        }
        let mut rng = Rng::with_seed(self.0);
        self.0 = self.0.wrapping_add(WYRAND_STEP);
        rng.u64(..)
    }
}

/// The step from one state to the next. It is the step of wyrand, fastrand's generator, so a series is a wyrand
/// sequence. A small step would draw numbers in progression.
const WYRAND_STEP: u64 = 0x2d35_8dcc_aa6c_78a5;
