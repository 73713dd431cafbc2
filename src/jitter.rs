//! Jitter, and the one source of randomness.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::process;

use fastrand::Rng;

/// How a delay is spread out, so that clients that failed together do not come back together.
///
/// The cap comes first and the draw goes downwards from it: with a nominal delay `v` (already
/// capped by [`max_delay`](crate::Backoff::max_delay)) a draw is never above `v`, and where `v` is the
/// cap the draws still differ. Each draw is uniform, both ends included, in whole nanoseconds.
///
/// | jitter | the delay is drawn from | mean |
/// |---|---|---|
/// | [`None`](Jitter::None) | exactly `v` | `v` |
/// | [`Full`](Jitter::Full) | 0 to `v` | `v / 2` |
/// | [`Equal`](Jitter::Equal) | `v / 2` to `v` | `3 v / 4` |
/// | [`Decorrelated`](Jitter::Decorrelated) | the initial delay to 3 × the delay before, capped | grows with the draws |
///
/// The formulas are those of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
/// 2015, with one difference: the cap bounds the range, not the number drawn from it, so that
/// decorrelated draws do not pile up at the cap.
///
/// A server's hint ([`retry_after`](crate::IsTransient::retry_after)) moves the range up to begin at
/// the hint, and keeps it under the cap: the spread above a hint is that of the nominal delay, and a
/// hint that is the cap leaves no room for any.
///
/// Draws differ from run to run, from thread to thread and from process to process. A closure's run or a list
/// of delays that was begun before a process forks goes on alike in both. Where the standard library has
/// no entropy, as on `wasm32-unknown-unknown`, give each client a [seed](crate::Backoff::with_seed).
///
/// Take [`Full`](Jitter::Full) when in doubt: it spreads a crowd the widest and finishes with the
/// fewest calls. [`Equal`](Jitter::Equal) never comes back at once.
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
    /// No jitter: every client waits exactly the nominal delay. The default, because it is
    /// predictable for a person at a terminal. Choose another for anything that runs in more than one
    /// place.
    #[default]
    None,
    /// From zero to the nominal delay.
    Full,
    /// From half the nominal delay to the nominal delay.
    Equal,
    /// From the initial delay to three times the delay before, capped. The range follows the draws
    /// and not the backoff's curve: factor and increment have no influence. Where the initial delay
    /// is itself at the cap, that range would be a single point; the draw then goes from half the
    /// cap to the cap. An initial delay of zero stays zero.
    Decorrelated,
}

/// From where to where a delay is drawn, in nanoseconds; `high` is below `u64::MAX`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Range {
    /// The range for `Decorrelated`; `first` and `previous` are already capped.
    #[inline]
    pub(crate) fn decorrelated(first: u64, previous: u64, cap: u64) -> Self {
        let low = if first == cap { cap / 2 } else { first };
        Self { low, high: previous.saturating_mul(3).min(cap).max(low) }
    }

    /// Moves the whole range up to a floor and keeps it under the cap: a crowd that was told one
    /// time is still spread out above it.
    #[inline]
    pub(crate) fn above(self, floor: u64, cap: u64) -> Self {
        if self.low >= floor {
            return self;
        }
        let spread = self.high - self.low;
        Self { low: floor, high: floor.saturating_add(spread).min(cap) }
    }

    /// The upper half of the product of 64 random bits and the number of values: Daniel Lemire, "Fast
    /// Random Integer Generation in an Interval", 2019, without his rejection, so that one of `n` values
    /// may come up more often than another by `n` in 2^64: 1 in 2^28 for a minute.
    #[inline]
    pub(crate) fn draw(self, random: u64) -> u64 {
        let values = self.high - self.low + 1;
        self.low + ((u128::from(random) * u128::from(values)) >> u64::BITS) as u64
    }
}

/// The random numbers of one run. What comes for a retry depends on the seed and its number alone, so
/// that a run can be taken up at any retry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    /// Without a seed yet: a run that never fails needs none.
    pub(crate) const UNSEEDED: Self = Self(0);

    /// Ready for this retry, with the seed that was set, or with one that nobody else has.
    #[cold]
    #[expect(clippy::ref_option, reason = "by reference, so that it is not read without need")]
    pub(crate) fn seeded(retry: u32, set: &Option<u64>) -> Self {
        let Some(seed) = *set else { return Self(fresh_seed()) };
        // Mixed once more, since programs set 1, 2, 3, …, which must not draw alike.
        let seed = Rng::with_seed(seed).u64(..);
        Self(seed.wrapping_add(STEP.wrapping_mul(retry.into())))
    }

    /// The number for this retry.
    #[inline]
    #[expect(clippy::ref_option, reason = "by reference, so that it is not read without need")]
    pub(crate) fn next(&mut self, retry: u32, set: &Option<u64>) -> u64 {
        if self.0 == 0 {
            *self = Self::seeded(retry, set);
        }
        let mut rng = Rng::with_seed(self.0);
        self.0 = self.0.wrapping_add(STEP);
        rng.u64(..)
    }
}

/// From the state of one draw to that of the next: the step of wyrand, fastrand's generator, so that a
/// run is its sequence. With a small one, numbers in progression would come out.
const STEP: u64 = 0x2d35_8dcc_aa6c_78a5;

thread_local! {
    /// Until the first use it is 0.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Neither fastrand's global generator, which a program may seed with a constant, nor the state of
/// this thread alone, which a fork copies, may decide when clients come back. Each thread starts
/// from the system's entropy; each seed is told apart by the process. Neighbouring processes have related
/// seeds; it is the second mix, that of the draw, which makes their draws unrelated.
fn fresh_seed() -> u64 {
    let process = u64::from(process_id());
    let state = STATE.get();
    if state == 0 {
        return first_seed(process);
    }
    STATE.set(state.wrapping_add(STEP));
    seed_of(state, process)
}

/// Of one state, each process has a seed of its own.
#[inline]
fn seed_of(state: u64, process: u64) -> u64 {
    Rng::with_seed(state ^ process).u64(..)
}

/// The entropy comes by way of std's hash keys.
#[cold]
#[inline(never)]
fn first_seed(process: u64) -> u64 {
    STATE.set(RandomState::new().hash_one(process));
    fresh_seed()
}

/// Without processes there are no forks, and asking for the number of one panics.
#[inline]
fn process_id() -> u32 {
    if cfg!(target_family = "wasm") { 0 } else { process::id() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_global_seed_set_by_the_program_does_not_make_seeds_repeat() {
        fastrand::seed(7);
        let first = fresh_seed();
        fastrand::seed(7);
        assert_ne!(first, fresh_seed());
    }

    #[test]
    fn processes_that_share_a_state_have_different_seeds() {
        for state in [1, u64::from(u32::MAX), u64::MAX] {
            let seeds: HashSet<u64> = (0..1_000).map(|process| seed_of(state, process)).collect();
            assert_eq!(seeds.len(), 1_000, "state {state:#x}");
        }
    }

    #[test]
    fn two_threads_draw_different_seeds() {
        let here: Vec<u64> = (0..8).map(|_| fresh_seed()).collect();
        let there = std::thread::spawn(|| (0..8).map(|_| fresh_seed()).collect::<Vec<u64>>())
            .join()
            .expect("the thread only draws");
        assert!(here.iter().all(|seed| !there.contains(seed)));
    }
}
