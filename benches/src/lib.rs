//! The cost of a retry with `retry-ext`, with other crates, and by hand.
//!
//! A [`Contender`] does each [`Scenario`] in its own way, or gives a reason why it cannot. Call
//! [`Contender::perform`] to run a scenario and to check that the work was done. The program
//! `instructions` counts instructions and the benchmark `time` measures time. The test `scenarios`
//! runs each scenario briefly. `README.md` describes the method and shows the figures.

pub mod contenders;
pub mod report;
pub mod work;

use std::time::Duration;

use work::{DRAWS, FIRST_DELAY, Tally};

/// A measured scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A blocking operation that succeeds at once, under a policy with jitter.
    FirstSuccess,
    /// A blocking operation that fails twice, with full jitter, a predicate, a hook, and a sleeper
    /// that does not sleep.
    TwoFailures,
    /// The next delay of an iterator, without jitter.
    NextDelay,
    /// The next delay of an iterator, with full jitter.
    JitteredDelay,
    /// A future that succeeds at once, on tokio.
    AsyncFirstSuccess,
    /// A future that fails twice, without jitter, with a predicate and a hook, on tokio's paused
    /// clock.
    AsyncTwoFailures,
}

impl Scenario {
    /// All scenarios, in the order of the tables.
    pub const ALL: [Self; 6] = [
        Self::FirstSuccess,
        Self::TwoFailures,
        Self::NextDelay,
        Self::JitteredDelay,
        Self::AsyncFirstSuccess,
        Self::AsyncTwoFailures,
    ];

    /// Returns the name in tables and on the command line.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::FirstSuccess => "first success",
            Self::TwoFailures => "two failures",
            Self::NextDelay => "next delay",
            Self::JitteredDelay => "next delay, full jitter",
            Self::AsyncFirstSuccess => "async first success",
            Self::AsyncTwoFailures => "async two failures",
        }
    }

    /// Returns a smaller load than `full` times, and the number of calls or delays that it lacks.
    /// For delays, both loads make the same number of iterators, which cancels their cost.
    #[must_use]
    pub const fn baseline(self, full: u32) -> (Load, u32) {
        match self {
            Self::NextDelay | Self::JitteredDelay => {
                (Load { times: full, draws: false }, full * DRAWS)
            }
            _ => (Load::full(full / 20), full - full / 20),
        }
    }
}

/// The amount of work in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The number of operations or iterators.
    pub times: u32,
    /// Whether to draw [`DRAWS`] delays from each iterator, or none.
    pub draws: bool,
}

impl Load {
    /// Returns the whole scenario, repeated `times` times.
    #[must_use]
    pub const fn full(times: u32) -> Self {
        Self { times, draws: true }
    }
}

/// A contender's implementation of a scenario, or the reason why it has none.
#[derive(Debug)]
pub struct Entry {
    run: Option<fn(Load) -> Tally>,
    hooked: bool,
    /// The reason why the contender cannot do the scenario, or a note on the figure, or empty.
    pub remark: &'static str,
}

impl Entry {
    const fn new(run: fn(Load) -> Tally) -> Self {
        Self { run: Some(run), hooked: true, remark: "" }
    }

    const fn lacking(reason: &'static str) -> Self {
        Self { run: None, hooked: false, remark: reason }
    }

    const fn remarked(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }

    const fn without_hook(self, remark: &'static str) -> Self {
        Self { hooked: false, remark, ..self }
    }

    /// Returns whether the contender can do the scenario.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        self.run.is_some()
    }
}

/// A way to retry.
#[derive(Debug)]
pub struct Contender {
    /// The name of the crate, or of the handwritten loop.
    pub name: &'static str,
    first_success: Entry,
    two_failures: Entry,
    next_delay: Entry,
    jittered_delay: Entry,
    async_first_success: Entry,
    async_two_failures: Entry,
}

impl Contender {
    /// Returns the entry of a scenario.
    #[must_use]
    pub const fn entry(&self, scenario: Scenario) -> &Entry {
        match scenario {
            Scenario::FirstSuccess => &self.first_success,
            Scenario::TwoFailures => &self.two_failures,
            Scenario::NextDelay => &self.next_delay,
            Scenario::JitteredDelay => &self.jittered_delay,
            Scenario::AsyncFirstSuccess => &self.async_first_success,
            Scenario::AsyncTwoFailures => &self.async_two_failures,
        }
    }

    /// Does a scenario and checks the result. Returns `None` if the contender cannot do it.
    ///
    /// # Panics
    ///
    /// Panics if calls, hooks, delays or waits are not those of the scenario.
    #[must_use]
    pub fn perform(&self, scenario: Scenario, load: Load) -> Option<Tally> {
        let entry = self.entry(scenario);
        let tally = entry.run?(load);
        if load.draws {
            let times = u64::from(load.times);
            let did = (tally.state, tally.hooks, tally.waited);
            let hooks = if entry.hooked { 2 * times } else { 0 };
            let waits = FIRST_DELAY * 3 * load.times; // 10 and 20 ms
            // 10 ms, doubled. An `f32` is off by nanoseconds; jitter that is added to the delay at
            // most doubles the delay.
            let last = FIRST_DELAY * (1 << (DRAWS - 1));
            let done = match scenario {
                Scenario::FirstSuccess | Scenario::AsyncFirstSuccess => {
                    did == (times, 0, Duration::ZERO)
                }
                Scenario::TwoFailures => did == (4 * times, hooks, Duration::ZERO),
                Scenario::AsyncTwoFailures => did == (4 * times, hooks, waits),
                Scenario::NextDelay => tally.last_delay.abs_diff(last) < Duration::from_micros(1),
                Scenario::JitteredDelay => {
                    !tally.last_delay.is_zero() && tally.last_delay <= last * 2
                }
            };
            assert!(done, "{}, {}, {load:?}: {tally:?}", self.name, scenario.title());
        }
        Some(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::{Contender, Entry, Load, Scenario};
    use crate::work::{FIRST_DELAY, Tally, blocking, delays, fail_twice, succeed};

    /// Does a part of the work in each scenario.
    const LAZY: Contender = Contender {
        name: "lazy",
        first_success: Entry::new(|load| blocking(half(load), (), |(), state| succeed(state))),
        two_failures: Entry::new(|load| {
            blocking(load, (), |(), state| {
                fail_twice(state).or_else(|_| fail_twice(state)).or_else(|_| fail_twice(state))
            })
        }),
        next_delay: Entry::new(|load| delays(load, (), |()| std::iter::repeat(FIRST_DELAY))),
        jittered_delay: Entry::new(|_| Tally::default()),
        async_first_success: Entry::new(|_| Tally::default()),
        async_two_failures: Entry::new(|load| {
            let times = u64::from(load.times);
            Tally { state: 4 * times, hooks: 2 * times, waited: FIRST_DELAY, ..Tally::default() }
        }),
    };

    fn half(load: Load) -> Load {
        Load { times: load.times / 2, ..load }
    }

    #[test]
    fn work_that_is_not_done_is_noticed() {
        for scenario in Scenario::ALL {
            let performed = std::panic::catch_unwind(|| LAZY.perform(scenario, Load::full(4)));
            assert!(performed.is_err(), "{scenario:?}: {performed:?}");
        }
    }
}
