//! Figures of several runs of one simulation.

#![expect(clippy::cast_precision_loss, reason = "the numbers of a figure are small")]

use std::ops::Range;

use crate::service::{Load, Second};

/// The seconds of each run; all are equally long.
pub(crate) struct Runs(pub(crate) Vec<Vec<Second>>);

impl Runs {
    /// Returns a sum over these seconds of all runs.
    fn sum(&self, seconds: &Range<usize>, count: fn(&Second) -> u32) -> f64 {
        let seconds = self.0.iter().flat_map(|run| &run[seconds.clone()]);
        seconds.map(|second| f64::from(count(second))).sum()
    }

    /// Returns the range of all seconds.
    pub(crate) fn seconds(&self) -> Range<usize> {
        0..self.0.first().map_or(0, Vec::len)
    }

    /// Returns the calls for each request that arrives in these seconds.
    pub(crate) fn calls_per_arrival(&self, seconds: &Range<usize>) -> f64 {
        self.sum(seconds, |second| second.calls) / self.sum(seconds, |second| second.arrivals)
    }

    /// Returns the share of successes among the requests that arrive in these seconds.
    pub(crate) fn success_rate(&self, seconds: &Range<usize>) -> f64 {
        self.sum(seconds, |second| second.arrived_and_succeeded)
            / self.sum(seconds, |second| second.arrivals)
    }

    /// Returns the successes per second.
    pub(crate) fn goodput(&self) -> f64 {
        let seconds = self.seconds();
        self.sum(&seconds, |second| second.goodput) / self.sum(&seconds, |_| 1)
    }

    pub(crate) fn seconds_to_recover(&self) -> Vec<Option<u32>> {
        self.0.iter().map(|run| seconds_to_recover(run)).collect()
    }

    /// Returns the number of runs that recover.
    pub(crate) fn recovered(&self) -> usize {
        self.seconds_to_recover().iter().flatten().count()
    }

    /// Returns the runs that recover, and the runs that do not.
    pub(crate) fn by_outcome(self) -> [Self; 2] {
        let recovers = |run: &Vec<Second>| seconds_to_recover(run).is_some();
        let (recovered, failed) = self.0.into_iter().partition(recovers);
        [Self(recovered), Self(failed)]
    }

    /// Returns the share of working runs in percent, for each of the first seconds.
    pub(crate) fn working(&self, seconds: usize) -> Vec<(f64, f64)> {
        let share = |at: usize| {
            let working = self.0.iter().filter(|run| works(&run[at])).count();
            100.0 * working as f64 / self.0.len() as f64
        };
        (0..seconds).map(|second| (middle(second, 1), share(second))).collect()
    }

    /// Returns the median over the runs for each of the first seconds, or no point if there are no
    /// runs.
    pub(crate) fn median(&self, seconds: usize, count: fn(&Second) -> u32) -> Vec<(f64, f64)> {
        let median = |second: usize| {
            let counts = self.0.iter().map(|run| count(&run[second]));
            Some((middle(second, 1), f64::from(median(counts.collect())?)))
        };
        (0..seconds).filter_map(median).collect()
    }

    /// Returns the median over these seconds of all runs.
    pub(crate) fn typical(&self, seconds: Range<usize>, count: fn(&Second) -> u32) -> Option<u32> {
        let seconds = self.0.iter().flat_map(|run| &run[seconds.clone()]);
        median(seconds.map(count).collect())
    }

    /// Returns the counts of each run over the first seconds, smoothed as means of two seconds.
    pub(crate) fn single(
        &self,
        seconds: usize,
        count: fn(&Second) -> u32,
    ) -> impl Iterator<Item = Vec<(f64, f64)>> {
        self.0.iter().map(move |run| {
            let pairs = run[..seconds].chunks_exact(2).enumerate();
            let mean = |pair: &[Second]| f64::from(pair.iter().map(count).sum::<u32>()) / 2.0;
            pairs.map(|(number, pair)| (middle(2 * number, 2), mean(pair))).collect()
        })
    }
}

/// Returns the middle of this many seconds from `first` on.
fn middle(first: usize, seconds: usize) -> f64 {
    first as f64 + seconds as f64 / 2.0
}

/// Returns whether at least 90 % of the requests that arrive in this second succeed. A second without
/// requests does not count as working.
fn works(second: &Second) -> bool {
    second.arrivals > 0 && second.arrived_and_succeeded * 10 >= second.arrivals * 9
}

/// Returns the number of seconds from the [turn](Load::TURN) to the first of ten consecutive seconds
/// that all [work](works).
fn seconds_to_recover(seconds: &[Second]) -> Option<u32> {
    let after: Vec<bool> = seconds.iter().skip(Load::TURN).map(works).collect();
    let start = after.windows(10).position(|ten| ten.iter().all(|works| *works))?;
    u32::try_from(start).ok()
}

/// Returns the median over all runs. A run that never recovers counts as the longest.
pub(crate) fn median_time(seconds: Vec<Option<u32>>) -> Option<u32> {
    let seconds = seconds.into_iter().map(|seconds| seconds.unwrap_or(u32::MAX));
    median(seconds.collect()).filter(|seconds| *seconds < u32::MAX)
}

/// Returns the median: of an even number of values, the upper one.
pub(crate) fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
