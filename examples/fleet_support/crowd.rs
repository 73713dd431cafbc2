//! A crowd: clients that a server told the same `Retry-After` at the same moment.

use std::time::Duration;

use fastrand::Rng;
use retry_ext::{IsTransient, RetryPolicy};

pub(crate) const CLIENTS: usize = 1000;
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// An answer with the header `Retry-After`.
#[derive(IsTransient)]
#[transient(after = RETRY_AFTER)]
struct Busy;

pub(crate) struct Return {
    /// Calls in the fullest [`INTERVAL`], wherever it begins.
    pub(crate) fullest: usize,
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

/// Returns when the crowd comes back after the server's answer.
pub(crate) fn comes_back(policy: RetryPolicy, seed: u32) -> Return {
    let mut seeds = Rng::with_seed(seed.into());
    let mut delay = |_| policy.with_seed(seeds.u64(..)).start().delay_after(&Busy);
    let mut delays: Vec<Duration> =
        (0..CLIENTS).map(|client| delay(client).expect("attempts are left")).collect();
    delays.sort_unstable();
    let within = |first: &Duration| delays.partition_point(|delay| *delay < *first + INTERVAL);
    let fullest = delays.iter().enumerate().map(|(before, first)| within(first) - before);
    Return { fullest: fullest.max().unwrap_or(0), first: delays[0], last: delays[CLIENTS - 1] }
}
