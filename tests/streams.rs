//! Streams: `RetryStreamExt` and `ResubscribeExt`, beyond the parity with the other forms.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, ready};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use common::{Counted, ScriptError, ms, secs};
use futures_util::{FutureExt, Stream, StreamExt, TryFutureExt, stream};
use retry_ext::prelude::*;
use retry_ext::{RetryBudget, RetryPolicy, RetryStats, SleepOutcome, StopReason};
use tokio::time::{Instant, sleep, timeout};

type Item = Result<u32, ScriptError>;

fn failed(number: u32) -> Item {
    Err(ScriptError::Transient(number))
}

/// Returns the items of a stream, with the attempts and the reason of each error.
async fn seen<E>(
    items: impl Stream<Item = Result<u32, retry_ext::RetryError<E>>>,
) -> Vec<Result<u32, (u32, StopReason)>> {
    let item = |item: Result<u32, retry_ext::RetryError<E>>| {
        item.map_err(|stopped| (stopped.attempts(), stopped.reason()))
    };
    items.map(item).collect().await
}

#[tokio::test(start_paused = true)]
async fn each_item_starts_afresh_and_a_give_up_is_yielded() {
    let start = Instant::now();
    let source = stream::iter([
        failed(1),
        Ok(1),
        failed(1),
        failed(2),
        Ok(2),
        failed(1),
        failed(2),
        failed(3),
        Ok(3),
    ]);
    let items = seen(source.retry_with(RetryPolicy::new())).await;
    let gave_up = Err((3, StopReason::AttemptsExhausted));
    assert_eq!(items, [Ok(1), Ok(2), gave_up, Ok(3)]);
    assert_eq!(start.elapsed(), secs(1 + 3 + 3));
}

#[tokio::test(start_paused = true)]
async fn the_end_after_a_failure_is_told_and_then_the_stream_ends() {
    let items = stream::iter([Ok(1), failed(1)]).retry_with(RetryPolicy::new());
    assert_eq!(seen(items).await, [Ok(1), Err((2, StopReason::SourceEnded))]);
    assert_eq!(seen(stream::iter(Vec::<Item>::new()).retry_with(RetryPolicy::new())).await, []);
}

#[tokio::test(start_paused = true)]
async fn r06_a_deadline_counts_from_the_first_failure_not_from_the_quiet_before_it() {
    let quiet = |number: u32| async move {
        sleep(secs(3_600)).await;
        if number % 2 == 1 { failed(number) } else { Ok(number) }
    };
    let policy = RetryPolicy::within(secs(3_700));
    let items = stream::iter(1..=4).then(quiet).retry_with(policy);
    assert_eq!(seen(items).await, [Ok(2), Ok(4)]);
    // The second failure comes an hour after the first: the hour counts.
    let late = stream::iter([1, 3, 4]).then(quiet).retry_with(RetryPolicy::within(secs(3_600)));
    assert_eq!(seen(late).await, [Err((2, StopReason::DeadlineExceeded)), Ok(4)]);
}

#[tokio::test(start_paused = true)]
async fn r09_a_refusal_pauses_before_the_next_item() {
    let start = Instant::now();
    let empty = RetryBudget::new().with_min_retries(0);
    let source = stream::iter([failed(1), failed(2), Ok(3)]);
    let mut items = pin!(source.budget(&empty).retry_with(RetryPolicy::new()));
    let mut elapsed = Vec::new();
    while let Some(item) = items.next().await {
        elapsed.push((item.is_ok(), start.elapsed().as_secs()));
    }
    assert_eq!(elapsed, [(false, 0), (false, 1), (true, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_pause_ends_the_stream_and_a_woken_one_does_not() {
    let empty = RetryBudget::new().with_min_retries(0);
    for (end, expected) in [(SleepOutcome::Cancelled, 1), (SleepOutcome::Woken, 3)] {
        let source = stream::iter([failed(1), failed(2), Ok(3)]);
        let mut items =
            pin!(source.budget(&empty).sleep_with(|_| ready(end)).retry_with(RetryPolicy::new()));
        let mut count = 0;
        while let Some(_item) = items.next().await {
            count += 1;
        }
        assert_eq!(count, expected);
        assert!(items.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_yields_its_error_and_the_stream_goes_on() {
    let breaks = |_| ready(ControlFlow::<()>::Break(()));
    let source = stream::iter([failed(1), Ok(2)]);
    let items = source.sleep_with(breaks).retry_with(RetryPolicy::new());
    assert_eq!(seen(items).await, [Err((1, StopReason::Cancelled)), Ok(2)]);

    let subscribe = || stream::iter([failed(1), Ok(2)]);
    let items = subscribe.sleep_with(breaks).retry_with(RetryPolicy::new());
    assert_eq!(seen(items).await, [Err((1, StopReason::Cancelled))]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_nothing() {
    let source = stream::iter([failed(1), failed(2), Ok(3)]);
    let mut items = pin!(source.retry_with(RetryPolicy::new()));
    for _ in 0..5 {
        assert!(timeout(ms(300), items.next()).await.is_err());
    }
    assert_eq!(items.next().await.map(Result::ok), Some(Some(3)));

    let calls = Cell::new(0);
    let subscribe = || {
        calls.set(calls.get() + 1);
        stream::iter([if calls.get() < 3 { failed(1) } else { Ok(3) }])
    };
    let mut items = pin!(subscribe.retry_with(RetryPolicy::new()));
    for _ in 0..5 {
        assert!(timeout(ms(300), items.next()).await.is_err());
    }
    assert_eq!(items.next().await.map(Result::ok), Some(Some(3)));
    assert_eq!(calls.get(), 3);
}

#[tokio::test]
async fn r13_a_sleeper_that_is_ready_at_once_yields() {
    // This test runs for the few milliseconds of the timeouts.
    let policy = RetryPolicy::forever().with_logging(false);
    let endless = stream::repeat_with(|| failed(1));
    let mut busy = pin!(endless.sleep_with(|_| ready(())).retry_with(policy));
    assert!(timeout(ms(5), busy.next()).await.is_err());
    let mut zero = pin!(
        stream::repeat_with(|| failed(1)).retry_with(policy.with_initial_delay(Duration::ZERO))
    );
    assert!(timeout(ms(5), zero.next()).await.is_err());
    let subscribe = || stream::iter([failed(1)]);
    let mut busy = pin!(subscribe.sleep_with(|_| ready(())).retry_with(policy));
    assert!(timeout(ms(5), busy.next()).await.is_err());
    // A pause that is over at once yields as well.
    let empty = RetryBudget::new().with_min_retries(0);
    let refused = stream::repeat_with(|| failed(1)).budget(&empty).sleep_with(|_| ready(()));
    let mut refused = pin!(refused.retry_with(policy));
    assert!(timeout(ms(5), async { while refused.next().await.is_some() {} }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn r14_a_broken_subscription_and_its_error_are_dropped_before_the_wait() {
    let (subscriptions, errors) = (Cell::new(0), Cell::new(0));
    let subscribe = || {
        let guard = Counted::new(&subscriptions);
        let mut items = VecDeque::from([Ok(1), Err(Counted::new(&errors))]);
        stream::poll_fn(move |_| {
            let _subscribed = &guard;
            std::task::Poll::Ready(items.pop_front())
        })
    };
    let mut waits = 0;
    let items = subscribe
        .sleep_with(|_| {
            assert_eq!((subscriptions.get(), errors.get()), (0, 0));
            waits += 1;
            ready(())
        })
        .retry_with(RetryPolicy::new());
    assert_eq!(items.take(4).filter(|item| ready(item.is_ok())).count().await, 4);
    assert_eq!(waits, 3);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_steady_at_its_first_item() {
    let (stats, budget) = (RetryStats::new(), RetryBudget::new().with_ratio(1.0));
    let mut left = 9;
    let subscribe = || {
        left -= 1;
        let end = if left == 0 { Err(ScriptError::Permanent) } else { failed(1) };
        stream::iter([Ok(1), Ok(2), end])
    };
    let items = subscribe.observe(&stats).budget(&budget).retry_with(RetryPolicy::new());
    let items = seen(items).await;
    assert_eq!(items.len(), 9 * 2 + 1);
    assert_eq!(items.last(), Some(&Err((1, StopReason::Permanent))));
    let counted = stats.snapshot();
    // Each subscription is one success, and the first one needed no retry.
    assert_eq!((counted.succeeded_at_first, counted.succeeded_after_retry), (1, 8));
    assert_eq!(counted.retries, 8);
    // The break of a steady subscription is the first attempt of the operation that follows.
    assert_eq!(counted.calls, 1 + 8 * 2 + 1);
}

/// Returns a closure that makes subscriptions, which yield `first`, last for `stands`, and fail.
/// The ninth one fails for good.
fn standing(
    made: &Cell<usize>,
    first: Option<u32>,
    stands: Duration,
) -> impl FnMut() -> stream::BoxStream<'static, Item> {
    move || {
        made.set(made.get() + 1);
        let end = if made.get() == 9 { Err(ScriptError::Permanent) } else { failed(1) };
        let end = sleep(stands).map(|()| end).into_stream();
        stream::iter(first.map(Ok)).chain(end).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_steady_after_a_minute_without_an_item() {
    for (stands, subscriptions) in [(59, 3), (60, 9)] {
        let made = Cell::new(0);
        let items = standing(&made, None, secs(stands)).retry_with(RetryPolicy::new());
        assert_eq!((seen(items).await.len(), made.get()), (1, subscriptions), "{stands} s");
    }
}

#[tokio::test(start_paused = true)]
async fn with_steady_after_its_time_alone_counts() {
    for (stands, subscriptions) in [(4, 3), (5, 9)] {
        let made = Cell::new(0);
        let subscribe = standing(&made, Some(1), secs(stands));
        let items = seen(subscribe.steady_after(secs(5)).retry_with(RetryPolicy::new())).await;
        assert_eq!((items.len(), made.get()), (subscriptions + 1, subscriptions), "{stands} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_subscription_is_a_success_and_ends_the_stream() {
    let stats = RetryStats::new();
    let mut made = 0;
    let subscribe = || {
        made += 1;
        stream::iter(if made < 3 { vec![failed(1)] } else { vec![] })
    };
    assert_eq!(seen(subscribe.observe(&stats).retry_with(RetryPolicy::new())).await, []);
    let counted = stats.snapshot();
    assert_eq!((counted.calls, counted.succeeded_after_retry), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_future_of_a_stream_and_an_end_that_is_a_failure() {
    async fn connect(number: u32) -> Result<impl Stream<Item = Item>, ScriptError> {
        tokio::task::yield_now().await;
        if number == 1 {
            return Err(ScriptError::Transient(1));
        }
        Ok(stream::iter([Ok(number)]))
    }
    let mut number = 0;
    let subscribe = || {
        number += 1;
        let closed =
            stream::iter([if number < 3 { failed(0) } else { Err(ScriptError::Permanent) }]);
        connect(number).try_flatten_stream().chain(closed)
    };
    let items = seen(subscribe.retry_with(RetryPolicy::new())).await;
    assert_eq!(items, [Ok(2), Ok(3), Err((1, StopReason::Permanent))]);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_a_failure_if_an_error_is_chained_to_it() {
    async fn connect(number: u32) -> io::Result<impl Stream<Item = io::Result<u32>>> {
        tokio::task::yield_now().await;
        if number > 2 {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(stream::iter([Ok(number)]))
    }
    let mut number = 0;
    let subscribe = || {
        number += 1;
        let closed = stream::once(ready(Err(ErrorKind::UnexpectedEof.into())));
        connect(number).try_flatten_stream().chain(closed)
    };
    let mut retried = Vec::new();
    let items =
        subscribe.on_retry(|retry| retried.push(retry.error.kind())).retry_with(RetryPolicy::new());
    // The last end of a subscription is the first of three failures.
    assert_eq!(seen(items).await, [Ok(1), Ok(2), Err((3, StopReason::AttemptsExhausted))]);
    let (ended, refused) = (ErrorKind::UnexpectedEof, ErrorKind::ConnectionRefused);
    assert_eq!(retried, [ended, ended, refused]);
}

#[tokio::test(start_paused = true)]
async fn the_compiler_tells_results_futures_and_streams_apart() {
    // All five traits are in scope, by the prelude.
    let policy = RetryPolicy::new();
    assert_eq!((|| Ok::<_, ScriptError>(1)).retry_with(policy), Ok(1));
    assert_eq!((|| ready(Ok::<_, ScriptError>(1))).retry_with(policy).await, Ok(1));
    assert_eq!((async || Ok::<_, ScriptError>(1)).retry_with(policy).await, Ok(1));
    assert_eq!((|| ready(Ok::<_, ScriptError>(1)).boxed()).retry_with(policy).await, Ok(1));
    assert_eq!([Ok::<_, ScriptError>(1)].into_iter().retry_with(policy).count(), 1);
    assert_eq!(stream::iter([Ok::<_, ScriptError>(1)]).retry_with(policy).count().await, 1);
    assert_eq!((|| stream::iter([Ok::<_, ScriptError>(1)])).retry_with(policy).count().await, 1);
    let boxed = || stream::iter([Ok::<_, ScriptError>(1)]).boxed();
    assert_eq!(boxed().retry_with(policy).count().await, 1);
    assert_eq!(boxed.retry_with(policy).count().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_streams_can_be_spawned() {
    // This test really waits: 1 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(1));
    let task = tokio::spawn(async move {
        let topic = String::from("news");
        let mut made = 0;
        let subscribe = || {
            made += 1;
            let (first, topic) = (made == 1, &topic);
            stream::once(async move {
                tokio::task::yield_now().await;
                if first { failed(1) } else { Ok(u32::try_from(topic.len()).expect("short")) }
            })
        };
        let subscribed = pin!(subscribe.retry_with(policy)).next().await;
        let source = stream::iter([failed(1), Ok(7)]);
        let recovered = pin!(source.retry_with(policy)).next().await;
        let mut left = VecDeque::from([failed(1), Ok(8)]);
        let subscribe = || stream::iter(left.pop_front()).boxed();
        let boxed = pin!(subscribe.retry_with(policy)).next().await;
        [subscribed, recovered, boxed].map(|item| item.and_then(Result::ok))
    });
    assert_eq!(task.await.expect("it does not panic"), [Some(4), Some(7), Some(8)]);
}

#[test]
fn their_debug_texts_show_the_attempt() {
    let source = stream::repeat_with(|| failed(1)).retry_with(RetryPolicy::new());
    let text = format!("{source:?}");
    assert!(text.starts_with("RetryStream { ") && text.contains("attempt: 1"), "{text}");
    let subscribe = || stream::repeat_with(|| failed(1));
    let text = format!("{:?}", subscribe.retry_with(RetryPolicy::new()));
    assert!(text.starts_with("Resubscribed { ") && text.contains("attempt: 1"), "{text}");
}

#[test]
fn sizes_on_the_timer_of_tokio() {
    static POLICY: RetryPolicy = RetryPolicy::new();
    let source = stream::repeat_with(|| failed(1));
    let empty = size_of_val(&source);
    let items = source.retry_with(&POLICY);
    assert!(size_of_val(&items) - empty <= 176);
    let subscribe = || stream::repeat_with(|| failed(1));
    let items = subscribe.retry_with(&POLICY);
    assert!(size_of_val(&items) <= 176);
}

#[tokio::test(start_paused = true)]
async fn r07_hooks_delays_and_observers_serve_streams_too() {
    let heard = RefCell::new(Vec::new());
    let stats = RetryStats::new();
    let source = stream::iter([failed(1), failed(2), Ok(3)]);
    let items = source
        .retry_if(|_| true)
        .delay_with(|retry, _| ms(retry.into()))
        .on_retry(|retry| heard.borrow_mut().push((retry.attempt, retry.delay)))
        .observe(&stats)
        .retry_with(RetryPolicy::new());
    assert_eq!(seen(items).await, [Ok(3)]);
    assert_eq!(heard.into_inner(), [(1, ms(1)), (2, ms(2))]);
    assert_eq!(stats.snapshot().succeeded_after_retry, 1);
}

#[tokio::test(start_paused = true)]
async fn r15_a_panic_in_a_hook_leaves_a_charged_retry_and_the_next_item() {
    let panics = Rc::new(Cell::new(true));
    let source = stream::iter([failed(1), Ok(2)]);
    let mut items = pin!(
        source.on_retry(|_| assert!(!panics.replace(false), "once")).retry_with(RetryPolicy::new())
    );
    let polled = std::panic::AssertUnwindSafe(items.next()).catch_unwind().await;
    assert!(polled.is_err());
    assert_eq!(items.next().await.and_then(Result::ok), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_quiet_is_pending() {
    let quiet = stream::once(pending::<Item>());
    assert!(timeout(secs(9_999), pin!(quiet.retry_with(RetryPolicy::new())).next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn r15_after_a_panic_in_a_hook_a_closure_subscribes_again() {
    let (panics, made) = (Cell::new(true), Cell::new(0));
    let subscribe = || {
        made.set(made.get() + 1);
        stream::iter([if made.get() == 1 { failed(1) } else { Ok(2) }])
    };
    let hooked = subscribe.on_retry(|_| assert!(!panics.replace(false), "once"));
    let mut items = pin!(hooked.retry_with(RetryPolicy::new()));
    assert!(std::panic::AssertUnwindSafe(items.next()).catch_unwind().await.is_err());
    assert_eq!(items.next().await.and_then(Result::ok), Some(2));
    assert!(items.next().await.is_none());
}

#[test]
#[should_panic(expected = "steady_after must be above zero")]
fn r11_a_time_of_zero_is_refused() {
    let subscribe = || stream::iter([failed(1)]);
    drop(subscribe.steady_after(Duration::ZERO));
}
