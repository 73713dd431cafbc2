//! The queue of a discrete-event simulation, and the two distributions that the models draw from.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::f64::consts::TAU;
use std::time::Duration;

use fastrand::Rng;

/// Events in the order of their times. Events at the same time keep the order of their entry.
pub(crate) struct Queue<E> {
    events: BinaryHeap<Reverse<(Duration, u64, E)>>,
    now: Duration,
    entries: u64,
}

impl<E: Ord> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { events: BinaryHeap::new(), now: Duration::ZERO, entries: 0 }
    }

    /// Returns the time of the event that was taken last.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn after(&mut self, delay: Duration, event: E) {
        self.entries += 1;
        self.events.push(Reverse((self.now + delay, self.entries, event)));
    }

    pub(crate) fn next(&mut self) -> Option<E> {
        let Reverse((at, _, event)) = self.events.pop()?;
        self.now = at;
        Some(event)
    }
}

pub(crate) fn exponential(rng: &mut Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - rng.f64()).ln())
}

/// Draws the absolute value of a normal distribution, in milliseconds (Box and Muller's method).
pub(crate) fn folded_normal_ms(rng: &mut Rng, mean: f64, deviation: f64) -> Duration {
    let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos();
    Duration::from_secs_f64((mean + deviation * normal).abs() / 1000.0)
}
