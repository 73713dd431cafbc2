//! Drivers that are awaited or need tokio's clock, and the list of all drivers.

use std::cell::Cell;
use std::future::{Future, ready};
use std::time::{Duration, Instant};

use retry_ext::{AsyncRetryExt, RetryContext, RetryError, RetryEvent, RetryPolicy, attempts};

#[cfg(feature = "stream")]
use retry_ext::{ResubscribeExt, RetryStreamExt};

use super::{
    Driver, Trace, Watch, World, by_attempts, by_closure, by_closure_with_delays, by_iterator,
    by_iterator_with_delays, by_loop, by_outcomes, by_step, by_verdicts, same_delay, verdict,
};
use crate::common::{Heard, ScriptError, ms, poll_to_end};

pub const DRIVERS: [(&str, Driver); 15] = [
    ("closure", by_closure),
    ("loop", by_loop),
    ("iterator", by_iterator),
    ("future", by_future),
    ("closure with the same delays", by_closure_with_delays),
    ("closure with verdicts", by_verdicts),
    ("closure with attempts", by_attempts),
    ("iterator with the same delays", by_iterator_with_delays),
    ("step", by_step),
    ("loop of outcomes", by_outcomes),
    ("future with the same delays", by_future_with_delays),
    ("future with verdicts", by_awaited_verdicts),
    ("future with attempts", by_awaited_attempts),
    ("future with a timeout", by_future_with_timeout),
    ("awaited step", by_awaited_step),
];

pub fn by_future(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let (end, _polls) = poll_to_end(
        (|| ready(watch.call()))
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait(delay)))
            .retry_with(policy),
    );
    watch.end(end)
}

pub fn by_future_with_delays(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let (end, _polls) = poll_to_end(
        (|| ready(watch.call()))
            .delay_with(same_delay(policy))
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait(delay)))
            .retry_with(policy),
    );
    watch.end(end)
}

pub fn by_awaited_verdicts(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let (end, _polls) = poll_to_end(
        (|| ready(watch.call()))
            .classify(verdict)
            .on_retry(|retry| watch.hear_outcome(retry))
            .sleep_with(|delay| ready(watch.wait(delay)))
            .retry_with(policy),
    );
    watch.end(end)
}

pub fn by_awaited_attempts(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let operation = attempts(|attempt| {
        assert_eq!(attempt.number(), watch.seen.borrow().calls + 1);
        assert_eq!(attempt.remaining().is_some(), policy.max_elapsed().is_some());
        ready(watch.call())
    });
    let (end, _polls) = poll_to_end(
        operation
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait(delay)))
            .retry_with(policy),
    );
    watch.end(end)
}

/// Drives an operation that is ready when its timer fires: the operation wins.
pub fn by_future_with_timeout(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let limit = ms(1);
    let (end, _polls) = poll_to_end(
        (|| ready(watch.call()))
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait(delay)))
            .timeout_each_with(limit, |time| {
                assert!(time <= limit);
                ready(())
            })
            .retry_with(policy),
    );
    watch.end(end)
}

pub fn by_awaited_step(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let mut retry = policy
        .start()
        .on_retry(|retry: &RetryEvent<'_, ScriptError>| watch.hear(retry))
        .sleep_with(|delay| ready(watch.wait(delay)));
    let (end, _polls) = poll_to_end(async {
        loop {
            match retry.step_async(watch.call()).await {
                Ok(None) => {}
                Ok(Some(())) => break Ok(()),
                Err(stopped) => break Err(stopped),
            }
        }
    });
    watch.end(end)
}

/// The stream drivers. Their deadlines count from the first failure; in a parity test, no time
/// passes before that failure.
#[cfg(feature = "stream")]
pub const STREAMS: [(&str, Driver); 2] =
    [("stream", by_stream), ("stream that subscribes again", by_subscriptions)];

/// Returns the calls of a world as a stream. Each call is ready at once.
#[cfg(feature = "stream")]
fn calls<'a>(
    watch: &'a Watch<'_>,
) -> impl futures_util::Stream<Item = Result<(), ScriptError>> + 'a {
    futures_util::stream::poll_fn(|_| std::task::Poll::Ready(watch.next()))
}

#[cfg(feature = "stream")]
fn next<S: futures_util::Stream>(mut stream: std::pin::Pin<&mut S>) -> Option<S::Item> {
    poll_to_end(std::future::poll_fn(|cx| stream.as_mut().poll_next(cx))).0
}

#[cfg(feature = "stream")]
pub fn by_stream(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let items = std::pin::pin!(
        calls(&watch)
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait_or_pause(delay)))
            .retry_with(policy)
    );
    watch.end(next(items).expect("an endless source"))
}

/// Returns the trace of every item of a stream that ends, and the trace of the poll that returned
/// `None`.
#[cfg(feature = "stream")]
pub fn by_whole_stream(policy: RetryPolicy, world: &mut dyn World) -> (Vec<Trace>, Trace) {
    let watch = Watch::over(world);
    let mut items = std::pin::pin!(
        calls(&watch)
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait_or_pause(delay)))
            .retry_with(policy)
    );
    let mut traces = Vec::new();
    while let Some(item) = next(items.as_mut()) {
        traces.push(watch.end(item));
    }
    (traces, watch.take())
}

/// Drives a stream that subscribes again. Each subscription has one item.
#[cfg(feature = "stream")]
pub fn by_subscriptions(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let mut items = std::pin::pin!(
        (|| calls(&watch))
            .on_retry(|retry| watch.hear(retry))
            .sleep_with(|delay| ready(watch.wait(delay)))
            .retry_with(policy)
    );
    let item = next(items.as_mut()).expect("an endless source");
    if item.is_err() {
        assert!(next(items).is_none(), "a give-up ends it");
    }
    watch.end(item)
}

/// Runs a future with tokio's clock paused. The clock of deadlines and budgets moves only when the
/// future sleeps on it or advances it.
pub fn paused<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime with a timer").block_on(future)
}

/// Drives a future that sleeps on tokio's timer. `World::wait` is not called.
pub fn by_timer(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let asked = Cell::new(None);
    paused(async {
        let end = (|| {
            if let Some((delay, at)) = asked.take() {
                watch.slept(delay, tokio::time::Instant::elapsed(&at), TICKS);
            }
            ready(watch.call())
        })
        .on_retry(|retry| {
            asked.set(Some((retry.delay, tokio::time::Instant::now())));
            watch.hear(retry);
        })
        .retry_with(policy)
        .await;
        watch.end(end)
    })
}

/// The tolerance for tokio's paused clock and its timer, each of which rounds to a millisecond.
const TICKS: Duration = ms(2);

/// Drives an async retry loop on tokio's timer. `World::wait` is not called.
pub fn by_awaiting_loop(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    paused(waiting_loop(policy, world, TICKS, async |retry, error| {
        let at = tokio::time::Instant::now();
        retry.wait_after_async(error).await.map(|()| at.elapsed())
    }))
}

/// Drives a retry loop that really blocks its thread. `World::wait` is not called.
pub fn by_blocking_loop(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    paused(waiting_loop(policy, world, Duration::MAX, async |retry, error| {
        let at = Instant::now();
        retry.wait_after(error).map(|()| at.elapsed())
    }))
}

/// Drives a loop that does not receive its delays, and takes each delay from the growth of
/// `waited`.
async fn waiting_loop(
    policy: RetryPolicy,
    world: &mut dyn World,
    more: Duration,
    mut wait: impl AsyncFnMut(
        &mut RetryContext,
        ScriptError,
    ) -> Result<Duration, RetryError<ScriptError>>,
) -> Trace {
    let watch = Watch::over(world);
    let mut retry = policy.start();
    let end = loop {
        let Err(error) = watch.call() else {
            retry.succeeded();
            break Ok(());
        };
        let (attempt, waited) = (retry.attempt(), retry.waited());
        let slept = match wait(&mut retry, error.clone()).await {
            Ok(slept) => slept,
            Err(stopped) => break Err(stopped),
        };
        let delay = retry.waited().checked_sub(waited).expect("waits add up");
        let (max_attempts, name) = (policy.max_attempts(), policy.name());
        watch.note(Heard { attempt, max_attempts, delay, waited, error, name });
        watch.slept(delay, slept, more);
    };
    watch.end(end)
}
