//! What several runs of one simulation have in common, as figures.

use std::ops::Range;

use crate::plots::Lines;
use crate::service::{Load, Second};

/// The seconds of each run; all are equally long.
pub(crate) struct Runs(pub(crate) Vec<Vec<Second>>);

impl Runs {
    /// A sum over the runs and these of their seconds.
    fn sum(&self, seconds: &Range<usize>, count: fn(&Second) -> u32) -> f64 {
        let seconds = self.0.iter().flat_map(|run| &run[seconds.clone()]);
        seconds.map(|second| f64::from(count(second))).sum()
    }

    /// All seconds.
    pub(crate) fn seconds(&self) -> Range<usize> {
        0..self.0.first().map_or(0, Vec::len)
    }

    /// Calls for each request that arrives in these seconds.
    pub(crate) fn calls_per_arrival(&self, seconds: &Range<usize>) -> f64 {
        self.sum(seconds, |second| second.calls) / self.sum(seconds, |second| second.arrivals)
    }

    /// The share of the requests arriving in these seconds that succeed.
    pub(crate) fn success_rate(&self, seconds: &Range<usize>) -> f64 {
        self.sum(seconds, |second| second.arrived_and_succeeded)
            / self.sum(seconds, |second| second.arrivals)
    }

    /// Successes in a second.
    pub(crate) fn goodput(&self) -> f64 {
        let seconds = self.seconds();
        self.sum(&seconds, |second| second.goodput) / self.sum(&seconds, |_| 1)
    }

    pub(crate) fn seconds_to_recover(&self) -> Vec<Option<u32>> {
        self.0.iter().map(|run| seconds_to_recover(run)).collect()
    }

    /// Goodput, calls and requests in flight: for each second the mean over the runs.
    pub(crate) fn lines(&self, name: &'static str) -> Lines {
        let counts: [fn(&Second) -> u32; 3] =
            [|second| second.goodput, |second| second.calls, |second| second.in_flight];
        let line = |count| {
            let mean = |at| self.sum(&(at..at + 1), count) / self.sum(&(at..at + 1), |_| 1);
            self.seconds().zip(0_u32..).map(|(at, second)| (second.into(), mean(at))).collect()
        };
        Lines { name, panels: counts.map(line).into() }
    }
}

/// How many seconds after the [turn](Load::TURN) ten consecutive seconds begin in which at least 90
/// % of the requests that arrive succeed. A second without requests shows nothing.
fn seconds_to_recover(seconds: &[Second]) -> Option<u32> {
    let good = |second: &Second| {
        second.arrivals > 0 && second.arrived_and_succeeded * 10 >= second.arrivals * 9
    };
    let after: Vec<bool> = seconds.iter().skip(Load::TURN).map(good).collect();
    let start = after.windows(10).position(|ten| ten.iter().all(|good| *good))?;
    u32::try_from(start).ok()
}

/// The median over all runs, where one that never recovers is longer than any other.
pub(crate) fn median(mut seconds: Vec<Option<u32>>) -> Option<u32> {
    seconds.sort_by_key(|seconds| seconds.unwrap_or(u32::MAX));
    seconds.get(seconds.len() / 2).copied().flatten()
}
