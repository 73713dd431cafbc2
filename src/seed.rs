//! The one source of entropy.

#[cfg(feature = "std")]
use core::cell::Cell;
#[cfg(feature = "std")]
use core::hash::{Hash, Hasher};
#[cfg(feature = "std")]
use core::ptr;
#[cfg(not(feature = "std"))]
use core::sync::atomic::{AtomicUsize, Ordering};
#[cfg(feature = "std")]
use std::time::SystemTime;

// Two tabs have the same addresses, count the same draws, and may read the same tick of a coarse clock.
#[cfg(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))]
use crate::web::random as in_a_browser;

/// Returns a seed that is unlikely to repeat in this thread, in other threads, and in other processes, forked ones
/// included.
///
/// Seeds differ in three parts: the time in nanoseconds, the number of seeds that this thread has drawn, and the
/// thread's address. The system randomizes addresses for each process. A fork copies the last two parts and everything
/// else that a process could remember. The time is therefore read anew for each seed.
///
/// The process id is not used, because it is unique only within its PID namespace. fastrand's global generator is
/// not used, because programs may seed it with a constant.
///
/// Seeds may lie close together: the draw mixes them.
#[cfg(feature = "std")]
pub(crate) fn fresh_seed() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }

    let time = now();
    STATE.with(|state| {
        let drawn = state.get();
        state.set(drawn.wrapping_add(WEYL_STEP));
        combine(ptr::from_ref(state).addr() as u64, drawn, time)
    })
}

/// Returns a seed that differs from the others of this run. Without `std`, the next run returns the same seeds.
#[cfg(not(feature = "std"))]
pub(crate) fn fresh_seed() -> u64 {
    static DRAWN: AtomicUsize = AtomicUsize::new(1);

    // Not every microcontroller adds atomically. Two cores that draw at the same time may get one seed.
    let drawn = DRAWN.load(Ordering::Relaxed);
    DRAWN.store(drawn.wrapping_add(1), Ordering::Relaxed);
    combine(0, WEYL_STEP.wrapping_mul(drawn as u64), 0)
}

/// Combines the parts. The addresses of two threads differ most in bits 21 to 31, and times in their lower 30
/// bits. The address is rotated, so that a difference of addresses cannot equal one of times. `drawn` varies in
/// all bits.
#[inline]
const fn combine(address: u64, drawn: u64, time: u64) -> u64 {
    address.rotate_left(32) ^ drawn ^ time
}

/// 2^64 divided by the golden ratio, the step of Weyl sequences. The step within a series is a different one, so
/// that series of consecutive seeds do not overlap if the clock stands still.
const WEYL_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Reads the wall clock, which common systems do without a system call. If `std` keeps seconds and nanoseconds,
/// the seconds are in the upper half and the nanoseconds in the lower one. In a browser, the
/// feature `web` draws a random number in place of the time.
#[cfg(feature = "std")]
#[inline]
fn now() -> u64 {
    // Reading the time panics there.
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        return in_a_browser();
    }
    let mut fields = Fields(0);
    SystemTime::now().hash(&mut fields);
    fields.finish()
}

/// Returns the same number each time: without the feature `web`, two tabs draw alike.
#[cfg(all(
    feature = "std",
    not(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))
))]
const fn in_a_browser() -> u64 {
    0
}

/// A hasher that combines the fields of a value. Reading a time in this way takes a third of the instructions of
/// subtracting the epoch.
#[cfg(feature = "std")]
struct Fields(u64);

#[cfg(feature = "std")]
impl Hasher for Fields {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, field: u32) {
        self.write_u64(u64::from(field));
    }

    #[inline]
    fn write_u64(&mut self, field: u64) {
        self.0 = self.0.rotate_left(32) ^ field;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
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

    /// Checks the draws of 1,000 processes that were forked from one, a few microseconds apart, and draw once.
    #[test]
    fn processes_that_share_a_state_draw_uniformly() {
        let mut nanos = 0;
        let mut buckets = [0_u32; 10];
        for process in 0_u64..1_000 {
            nanos += 3_000 + process * process % 977;
            let seed = combine(0x7f3a_9000_1000, WEYL_STEP, (1_795_636_800 << 32) ^ nanos);
            let draw = fastrand::Rng::with_seed(seed).u64(..);
            buckets[(usize::try_from(draw >> 32).expect("32 bits") * 10) >> 32] += 1;
        }
        // 100 ± 5 standard deviations, rounded up.
        assert!(buckets.iter().all(|count| (50..=150).contains(count)), "{buckets:?}");
    }

    /// Stacks of two threads are some megabytes apart, and as many nanoseconds pass between two draws.
    #[test]
    fn an_address_and_a_time_do_not_cancel_each_other() {
        let mut seeds = HashSet::new();
        for thread in 0..32_u64 {
            for time in 0..32_u64 {
                seeds.insert(combine(thread << 21, WEYL_STEP, time << 21));
            }
        }
        assert_eq!(seeds.len(), 32 * 32);
    }

    #[test]
    fn a_clock_that_stands_still_does_not_make_seeds_repeat() {
        let seeds: HashSet<u64> =
            (0..1_000).map(|draws| combine(0x1000, WEYL_STEP.wrapping_mul(draws), 0)).collect();
        assert_eq!(seeds.len(), 1_000);
    }

    #[test]
    fn two_readings_of_the_time_differ_by_nanoseconds() {
        let readings: HashSet<u64> = (0..1_000)
            .map(|_| {
                std::thread::yield_now();
                now()
            })
            .collect();
        // A microsecond clock would pass; a clock of seconds would give a single value.
        assert!(readings.len() > 10, "{}", readings.len());
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
