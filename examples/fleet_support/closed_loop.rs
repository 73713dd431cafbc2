//! Closed-loop callers in a full outage: workers that wait for an answer before they ask again.
//!
//! A worker starts over as soon as its retry gave up or was refused. Each call takes
//! [`CALL`], and so does a connection that is refused: without that bound, a worker that starts over
//! at once would make infinitely many calls in no simulated time.

use std::io::ErrorKind;
use std::time::Duration;

use fastrand::Rng;
use retry_ext::{RetryBudget, RetryContext, RetryPolicy};
use tokio::time::{Instant, advance};

use crate::clock;
use crate::events::Queue;

pub(crate) const WORKERS: u32 = 100;
pub(crate) const OUTAGE: Duration = Duration::from_secs(10);
/// The time that a call takes until it fails.
pub(crate) const CALL: Duration = Duration::from_millis(10);

/// The next step of a worker after its retry gave up or was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartOver {
    AtOnce,
    /// After [`RetryError::next_delay`](retry_ext::RetryError::next_delay), if there is one.
    AfterNextDelay,
}

/// An event, with the number of the worker.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call(usize),
    Failure(usize),
}

/// Returns the calls that all workers together make during the outage. Each worker has a call in
/// flight when the outage begins. The workers share the budget, whose window has no success.
pub(crate) async fn calls(
    policy: RetryPolicy,
    budget: Option<&'static RetryBudget>,
    start_over: StartOver,
    seed: u32,
) -> u32 {
    let started = clock::next_run().await;
    let mut rng = Rng::with_seed(seed.into());
    let (mut ways, mut jitter) = (rng.fork(), rng.fork());
    let policy = budget.map_or(policy, |budget| policy.with_budget(budget));
    let mut start = || policy.with_seed(jitter.u64(..)).start();
    let mut workers: Vec<RetryContext> = (0..WORKERS).map(|_| start()).collect();
    let mut queue = Queue::new();
    for worker in 0..workers.len() {
        queue.after(CALL.mul_f64(ways.f64()), Event::Call(worker));
    }
    let mut calls = 0;
    while let Some(event) = queue.next() {
        if queue.now() >= OUTAGE {
            break;
        }
        match event {
            Event::Call(worker) => {
                calls += 1;
                queue.after(CALL, Event::Failure(worker));
            }
            Event::Failure(worker) => {
                move_clock(started + queue.now()).await;
                let error = ErrorKind::ConnectionRefused;
                let pause = match workers[worker].delay_after(&error) {
                    Ok(delay) => delay,
                    Err(_reason) => {
                        let refused = workers[worker].wait_after(error).expect_err("it is over");
                        workers[worker] = start();
                        match start_over {
                            StartOver::AtOnce => Duration::ZERO,
                            StartOver::AfterNextDelay => refused.next_delay().unwrap_or_default(),
                        }
                    }
                };
                queue.after(pause, Event::Call(worker));
            }
        }
    }
    calls
}

/// Brings tokio's clock, which budgets read, to this time, in steps of at least [`CALL`].
async fn move_clock(to: Instant) {
    let behind = to.duration_since(Instant::now());
    if behind >= CALL {
        advance(behind).await;
    }
}
