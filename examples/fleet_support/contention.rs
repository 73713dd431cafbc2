//! The classical contention model: clients that write one row with optimistic locking.
//!
//! From Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Each client
//! reads the row's version, writes with it, and stops once it has written; a write succeeds only if
//! the version is still the one that was read.
//!
//! Counting follows the published program: a call is a write that reaches the server, reads are not
//! calls, and the time is the time of the last answer. The published program counts retries from 1,
//! so its first delay is 2¹ × the base of 5 ms; here, the initial delay is 10 ms. In both programs,
//! decorrelated jitter starts at the base itself.

use std::time::Duration;

use fastrand::Rng;
use retry_ext::{Backoff, IsTransient, Jitter, RetryContext, RetryPolicy};

use crate::events::{Queue, folded_normal_ms};

const BASE: Duration = Duration::from_millis(5);
const CAP: Duration = Duration::from_secs(2);

/// Another client has written since the read.
#[derive(IsTransient)]
#[transient]
struct Conflict;

/// A message in flight, with the number of the client.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Read(usize),
    Version(usize, u32),
    Write(usize, u32),
    Written(usize, bool),
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) calls: f64,
    pub(crate) seconds: f64,
}

fn policy(jitter: Jitter) -> RetryPolicy {
    let initial_delay = if jitter == Jitter::Decorrelated { BASE } else { BASE * 2 };
    let backoff = Backoff::exponential().with_initial_delay(initial_delay).with_max_delay(CAP);
    RetryPolicy::from(backoff.with_jitter(jitter)).with_max_attempts(u32::MAX).with_logging(false)
}

/// Returns the means over the seeds.
pub(crate) fn mean(clients: u32, jitter: Jitter, seeds: u32) -> Outcome {
    let sum = (0..seeds).fold(Outcome::default(), |sum, seed| {
        let run = run(clients, jitter, seed);
        Outcome { calls: sum.calls + run.calls, seconds: sum.seconds + run.seconds }
    });
    let seeds = f64::from(seeds);
    Outcome { calls: sum.calls / seeds, seconds: sum.seconds / seeds }
}

fn run(clients: u32, jitter: Jitter, seed: u32) -> Outcome {
    let mut rng = Rng::with_seed(seed.into());
    let mut draws = rng.fork();
    let policy = policy(jitter);
    let mut clients: Vec<RetryContext> =
        (0..clients).map(|_| policy.with_seed(draws.u64(..)).start()).collect();
    let mut hop = || folded_normal_ms(&mut rng, 10.0, 2.0);
    let mut queue = Queue::new();
    for client in 0..clients.len() {
        queue.after(hop(), Message::Read(client));
    }
    let (mut version, mut calls) = (0, 0);
    while let Some(message) = queue.next() {
        match message {
            Message::Read(client) => queue.after(hop(), Message::Version(client, version)),
            Message::Version(client, read) => queue.after(hop(), Message::Write(client, read)),
            Message::Write(client, read) => {
                calls += 1;
                let written = read == version;
                version += u32::from(written);
                queue.after(hop(), Message::Written(client, written));
            }
            Message::Written(client, true) => clients[client].succeeded(),
            Message::Written(client, false) => {
                let delay = clients[client].delay_after(&Conflict).expect("attempts without end");
                queue.after(delay + hop(), Message::Read(client));
            }
        }
    }
    Outcome { calls: f64::from(calls), seconds: queue.now().as_secs_f64() }
}
