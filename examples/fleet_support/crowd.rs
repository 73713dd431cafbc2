//! A crowd: clients that all get the same `Retry-After` at the same moment.

use std::time::Duration;

use fastrand::Rng;
use retry_ext::{IsTransient, RetryContext, RetryPolicy};

use crate::events::{Queue, exponential};
use crate::runs;

pub(crate) const CLIENTS: usize = 1000;
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// The requests per second that the service accepts. It accepts the same number at once.
pub(crate) const LIMIT: f64 = 100.0;
/// The mean time of a message in one direction.
const NETWORK: Duration = Duration::from_millis(100);
/// The length of a run, after which all attempts are over.
pub(crate) const SECONDS: usize = 80;

/// An answer with the header `Retry-After`.
#[derive(IsTransient)]
#[transient(after = RETRY_AFTER)]
struct Busy;

pub(crate) struct Return {
    /// The calls in the fullest [`INTERVAL`], which may begin at any time.
    pub(crate) fullest: usize,
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

/// Returns the times at which the crowd comes back after the server's answer.
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

/// The events of one second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Second {
    pub(crate) calls: u32,
    /// Clients with a success so far.
    pub(crate) served: u32,
}

pub(crate) type Run = [Second; SECONDS];

/// Returns the calls in the fullest second of a run: the median over the runs.
pub(crate) fn fullest_second(runs: &[Run]) -> u32 {
    let fullest = |run: &Run| run.iter().map(|second| second.calls).max().unwrap_or(0);
    runs::median(runs.iter().map(fullest).collect()).unwrap_or(0)
}

/// An event, with the number of the client.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call(usize),
    Busy(usize),
}

/// Sends the crowd to a service that accepts [`LIMIT`] requests per second, and answers the others with
/// the same `Retry-After` again. The first attempts of all clients have just been refused.
pub(crate) fn meets_a_limit(policy: RetryPolicy, seed: u32) -> Run {
    let mut rng = Rng::with_seed(seed.into());
    let (mut seeds, mut network) = (rng.fork(), rng.fork());
    let mut clients: Vec<RetryContext> =
        (0..CLIENTS).map(|_| policy.with_seed(seeds.u64(..)).start()).collect();
    let mut queue = Queue::new();
    for client in 0..CLIENTS {
        queue.after(Duration::ZERO, Event::Busy(client));
    }
    let mut seconds = [Second::default(); SECONDS];
    let (mut tokens, mut refilled) = (LIMIT, 0.0);
    while let Some(event) = queue.next() {
        let now = queue.now().as_secs_f64();
        match event {
            Event::Call(client) => {
                tokens = LIMIT.min(tokens + (now - refilled) * LIMIT);
                refilled = now;
                let accepted = tokens >= 1.0;
                let second = usize::try_from(queue.now().as_secs()).expect("a minute or two");
                let second = &mut seconds[second];
                second.calls += 1;
                if accepted {
                    tokens -= 1.0;
                    clients[client].succeeded();
                    second.served += 1;
                } else {
                    queue.after(exponential(&mut network, NETWORK), Event::Busy(client));
                }
            }
            Event::Busy(client) => {
                if let Ok(delay) = clients[client].delay_after(&Busy) {
                    queue.after(delay + exponential(&mut network, NETWORK), Event::Call(client));
                }
            }
        }
    }
    let mut served = 0;
    for second in &mut seconds {
        served += second.served;
        second.served = served;
    }
    seconds
}
