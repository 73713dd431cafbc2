//! `RetryLayer` and its service against a scripted service: the calls, their times, and the reports.

mod common;

use std::future::{self, Future, Ready};
use std::io::{self, ErrorKind};
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use common::{Called, Outcome, ScriptError, Scripted, Waits, copy, ms, secs};
use retry_ext::{
    Backoff, RetryBudget, RetryEvent, RetryPolicy, RetrySnapshot, RetryStats, StopReason, Verdict,
};
use retry_ext_tower::chain::Decide;
use retry_ext_tower::{RetryLayer, RetryService};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

const POLICY: RetryPolicy = RetryPolicy::new();

fn fails(times: u32) -> impl Iterator<Item = Outcome> {
    (1..=times).map(|number| Err(ScriptError::Transient(number))).chain([Ok(7)])
}

/// Returns the numbers of operations and retries, and the snapshot.
fn seen(stats: &RetryStats) -> (u64, u64, RetrySnapshot) {
    let seen = stats.snapshot();
    (seen.calls, seen.retries, seen)
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_retried_after_the_delays_of_the_policy() {
    let service = Scripted::new(fails(2));
    let watch = service.watch();
    let mut service = RetryLayer::new(POLICY).clone_requests(copy).layer(service);
    let started = Instant::now();
    assert_eq!(service.ready().await.unwrap().call(5).await, Ok(7));
    assert_eq!(started.elapsed(), secs(1 + 2));
    assert_eq!(watch.calls().iter().map(|called| called.request).collect::<Vec<_>>(), [5, 5, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_give_up_returns_the_last_error_itself_and_is_observed() {
    let stats = Arc::new(RetryStats::new());
    let layer = RetryLayer::new(POLICY).observe(Arc::clone(&stats)).clone_requests(copy);
    let outcome: Outcome = layer.layer(Scripted::new(fails(9))).oneshot(5).await;
    assert_eq!(outcome, Err(ScriptError::Transient(3)));
    let (calls, retries, snapshot) = seen(&stats);
    assert_eq!((calls, retries, snapshot.gave_up(StopReason::AttemptsExhausted)), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_give_up_returns_the_last_response_itself_and_is_observed() {
    let stats = Arc::new(RetryStats::new());
    let layer = RetryLayer::new(POLICY)
        .classify(|outcome: &Outcome| match outcome {
            Ok(503) => Verdict::Transient,
            Ok(429) => Verdict::TransientAfter(secs(9)),
            Ok(404) => Verdict::Permanent,
            Ok(_) => Verdict::Success,
            Err(error) => Verdict::of(error),
        })
        .observe(Arc::clone(&stats))
        .clone_requests(copy);
    let started = Instant::now();
    let service = Scripted::new([Ok(503), Ok(429), Ok(503)]);
    assert_eq!(layer.layer(service).oneshot(5).await, Ok(503));
    assert_eq!(started.elapsed(), secs(1 + 9));
    assert_eq!(stats.snapshot().gave_up(StopReason::AttemptsExhausted), 1);

    let service = Scripted::new([Ok(503), Ok(404), Ok(200)]);
    assert_eq!(layer.layer(service).oneshot(5).await, Ok(404));
    assert_eq!(stats.snapshot().gave_up(StopReason::Permanent), 1);
    assert_eq!(stats.snapshot().succeeded_after_retry, 0);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_returned_at_once() {
    let service = Scripted::new([Err(ScriptError::Permanent), Ok(7)]);
    let watch = service.watch();
    let layer = RetryLayer::new(POLICY).clone_requests(copy);
    assert_eq!(layer.layer(service).oneshot(5).await, Err(ScriptError::Permanent));
    assert_eq!(watch.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_request_has_all_attempts() {
    let mut service =
        RetryLayer::new(POLICY).clone_requests(copy).layer(Scripted::new(fails(2).chain(fails(2))));
    for _request in 0..2 {
        assert_eq!(service.ready().await.unwrap().call(5).await, Ok(7));
    }
}

#[tokio::test]
async fn a_deadline_counts_from_the_call_and_not_from_the_layer() {
    // Really sleeps for 12 ms. If deadlines counted from the layer's creation, each wait would end too late.
    let policy = POLICY.with_max_elapsed(secs(1)).with_initial_delay(ms(990));
    let waits = Waits::default();
    let layer = RetryLayer::new(policy).clone_requests(copy).sleep_with(waits.sleeper());
    let service = layer.layer(Scripted::new([Err(ScriptError::Transient(1))]));
    let late = service.clone();
    thread::sleep(ms(12));
    for service in [service, late] {
        // A busy machine may take more than 10 ms for one of the requests, but not for all.
        let mut was_granted = false;
        for _request in 0..100 {
            let before = waits.seen().len();
            assert!(service.clone().oneshot(5).await.is_err());
            was_granted |= waits.seen().len() > before;
        }
        assert!(was_granted);
    }
}

#[test]
fn a_clone_of_the_policy_for_towers_retry_is_a_new_operation() {
    use tower::retry::Policy;

    // Really sleeps for 12 ms. If deadlines counted from the policy's creation, each wait would end too late.
    let policy = POLICY.with_max_elapsed(secs(1)).with_initial_delay(ms(990));
    let layer = |policy| {
        RetryLayer::new(policy).clone_requests(copy).sleep_with(|_delay| future::ready(()))
    };
    let failure = || -> Outcome { Err(ScriptError::Transient(1)) };
    let policy = layer(policy).into_policy();
    thread::sleep(ms(12));
    // A busy machine may take more than 10 ms for one of the decisions, but not for all.
    assert!((0..100).any(|_request| policy.clone().retry(&mut 5, &mut failure()).is_some()));

    let mut first = layer(POLICY).into_policy();
    let granted = [(); 3].map(|()| first.retry(&mut 5, &mut failure()).is_some());
    assert_eq!(granted, [true, true, false]);
    let mut second = first.clone();
    assert!(second.retry(&mut 5, &mut failure()).is_some());
    assert!(first.retry(&mut 5, &mut failure()).is_none());
}

#[tokio::test]
async fn the_time_of_an_attempt_counts_for_the_deadline() {
    // Really sleeps for 12 ms.
    let stats = Arc::new(RetryStats::new());
    let layer = RetryLayer::new(POLICY.with_max_elapsed(secs(1)).with_initial_delay(ms(990)))
        .observe(Arc::clone(&stats))
        .clone_requests(copy);
    let service = tower::service_fn(async |_request: u32| {
        thread::sleep(ms(12));
        Err::<(), _>(ScriptError::Transient(1))
    });
    assert!(layer.layer(service).oneshot(5).await.is_err());
    let (calls, _, snapshot) = seen(&stats);
    assert_eq!((calls, snapshot.gave_up(StopReason::DeadlineExceeded)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_refuses_a_wait_that_would_end_after_it() {
    let stats = Arc::new(RetryStats::new());
    let policy = RetryPolicy::within(ms(3500));
    let layer = RetryLayer::new(policy).observe(Arc::clone(&stats)).clone_requests(copy);
    let started = Instant::now();
    let outcome = layer.layer(Scripted::new(fails(99))).oneshot(5).await;
    assert_eq!(outcome, Err(ScriptError::Transient(3)));
    assert_eq!(started.elapsed(), secs(1 + 2));
    assert_eq!(stats.snapshot().gave_up(StopReason::DeadlineExceeded), 1);
}

// The contract of `Service`.

#[tokio::test(start_paused = true)]
async fn no_instance_is_called_before_it_is_ready() {
    let pending = || Poll::Pending;
    let readiness =
        [pending(), pending(), Poll::Ready(Ok(())), pending(), Poll::Ready(Ok(())), pending()];
    let service = Scripted::new(fails(2).chain(fails(2))).with_readiness(readiness);
    let mut service = RetryLayer::new(POLICY).clone_requests(copy).layer(service);
    for _request in 0..2 {
        assert_eq!(service.ready().await.unwrap().call(5).await, Ok(7));
    }
    assert_eq!(service.clone().oneshot(5).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_is_made_by_the_instance_that_was_polled() {
    let service = Scripted::new(fails(1));
    let watch = service.watch();
    let mut service = RetryLayer::new(POLICY).clone_requests(copy).layer(service);
    assert_eq!(service.ready().await.unwrap().call(5).await, Ok(7));
    assert_eq!(service.ready().await.unwrap().call(6).await, Ok(7));
    let calls = [(5, 0), (5, 2), (6, 1)];
    assert_eq!(watch.calls(), calls.map(|(request, instance)| Called { request, instance }));
    // One clone for each request, and one for each retry.
    assert_eq!(watch.instances(), 1 + 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_poll_ready_between_attempts_replaces_the_outcome() {
    let stats = Arc::new(RetryStats::new());
    let readiness = [Poll::Ready(Ok(())), Poll::Pending, Poll::Ready(Err(ScriptError::Gone))];
    let service = Scripted::new(fails(9)).with_readiness(readiness);
    let watch = service.watch();
    let layer = RetryLayer::new(POLICY).observe(Arc::clone(&stats)).clone_requests(copy);
    let mut service = layer.layer(service);
    let mut response = pin!(service.ready().await.unwrap().call(5));
    assert_eq!(response.as_mut().await, Err(ScriptError::Gone));
    assert!(format!("{response:?}").contains("state: done"));
    assert_eq!(watch.calls().len(), 1);
    // There was one call, and its retry could not take place.
    let (calls, retries, snapshot) = seen(&stats);
    assert_eq!((calls, retries, snapshot.gave_up(StopReason::Cancelled)), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_of_poll_ready_is_not_retried() {
    let readiness = [Poll::Ready(Ok(())), Poll::Ready(Err(ScriptError::Transient(99)))];
    let service = Scripted::new(fails(1)).with_readiness(readiness);
    let watch = service.watch();
    let layer = RetryLayer::new(POLICY).clone_requests(copy);
    assert_eq!(layer.layer(service).oneshot(5).await, Err(ScriptError::Transient(99)));
    assert_eq!(watch.calls().len(), 1);
}

#[tokio::test]
async fn an_error_of_poll_ready_before_the_call_is_passed_on_and_not_reported() {
    let stats = Arc::new(RetryStats::new());
    let service =
        Scripted::new(fails(0)).with_readiness([Poll::Ready(Err(ScriptError::Transient(1)))]);
    let layer = RetryLayer::new(POLICY).observe(Arc::clone(&stats)).clone_requests(copy);
    let mut service = layer.layer(service);
    assert_eq!(service.ready().await.err(), Some(ScriptError::Transient(1)));
    assert_eq!(stats.snapshot(), RetryStats::new().snapshot());
}

#[test]
#[should_panic(expected = "polled after completion")]
fn a_response_is_returned_once() {
    let mut service = RetryLayer::new(POLICY).clone_requests(copy).layer(Scripted::new(fails(0)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut response = pin!(service.call(5));
    assert_eq!(response.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    let _again = response.as_mut().poll(&mut cx);
}

#[test]
fn r15_a_response_whose_closure_panicked_has_ended_and_calls_nothing() {
    /// Polls until a closure panics and once more. Returns the second message and the number of calls.
    fn panics<X: Decide<u32, u32, ScriptError>>(
        layer: &impl Layer<Scripted, Service = RetryService<Scripted, X>>,
    ) -> (String, usize) {
        let service = Scripted::new(fails(9));
        let watch = service.watch();
        let mut service = layer.layer(service);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut response = pin!(service.call(5));
        for _panic in 0..2 {
            let polled = panic::catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(&mut cx)));
            if let Err(message) = polled {
                let message = message.downcast_ref::<&str>().copied().unwrap_or_default();
                if message.contains("polled after completion") {
                    return (message.to_owned(), watch.calls().len());
                }
            }
        }
        (String::new(), watch.calls().len())
    }

    let layer = RetryLayer::new(POLICY.with_initial_delay(Duration::ZERO));
    let message = "`ResponseFuture` polled after completion".to_owned();
    let by_hook = layer.clone().clone_requests(copy).on_retry(|_: &RetryEvent<'_, ScriptError>| {
        panic!("a hook");
    });
    let by_predicate = layer.clone().clone_requests(copy).retry_if(|_: &ScriptError| {
        panic!("a predicate");
    });
    let by_sleeper = layer.clone().clone_requests(copy).sleep_with(|_delay| -> Ready<()> {
        panic!("a sleeper");
    });
    for seen in [panics(&by_hook), panics(&by_predicate), panics(&by_sleeper)] {
        assert_eq!(seen, (message.clone(), 1));
    }
}

// Requests without a copy.

#[tokio::test]
async fn a_request_without_a_copy_is_sent_once_and_its_transient_outcome_is_a_give_up() {
    for policy in [POLICY, RetryPolicy::forever(), RetryPolicy::within(secs(60))] {
        let stats = Arc::new(RetryStats::new());
        let service = Scripted::new(fails(9));
        let watch = service.watch();
        let layer = RetryLayer::new(policy)
            .observe(Arc::clone(&stats))
            .clone_requests(|_request: &u32| None);
        assert_eq!(layer.layer(service).oneshot(5).await, Err(ScriptError::Transient(1)));
        assert_eq!(watch.calls().len(), 1);
        let (calls, retries, snapshot) = seen(&stats);
        assert_eq!((calls, retries, snapshot.gave_up(StopReason::AttemptsExhausted)), (1, 0, 1));
    }
}

#[tokio::test]
async fn a_request_without_a_copy_is_reported_by_its_outcome() {
    let stats = Arc::new(RetryStats::new());
    let budget = Arc::new(RetryBudget::new().with_ratio(1.0));
    let layer = RetryLayer::new(POLICY)
        .observe(Arc::clone(&stats))
        .budget(Arc::clone(&budget))
        .clone_requests(|_request: &u32| None);
    let before = budget.available();
    assert_eq!(layer.layer(Scripted::new(fails(0))).oneshot(5).await, Ok(7));
    assert_eq!(budget.available(), before + 1);
    let service = Scripted::new([Err(ScriptError::Permanent)]);
    assert_eq!(layer.layer(service).oneshot(5).await, Err(ScriptError::Permanent));
    let (calls, _, snapshot) = seen(&stats);
    assert_eq!((calls, snapshot.succeeded_at_first), (2, 1));
    assert_eq!(snapshot.gave_up(StopReason::Permanent), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_without_a_further_copy_is_the_last_attempt() {
    let stats = Arc::new(RetryStats::new());
    let copies = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&copies);
    let layer = RetryLayer::new(RetryPolicy::forever()).observe(Arc::clone(&stats)).clone_requests(
        move |request: &u32| (counted.fetch_add(1, Ordering::Relaxed) < 2).then_some(*request),
    );
    let outcome = layer.layer(Scripted::new(fails(9))).oneshot(5).await;
    assert_eq!(outcome, Err(ScriptError::Transient(3)));
    let (calls, retries, snapshot) = seen(&stats);
    assert_eq!((calls, retries, snapshot.gave_up(StopReason::AttemptsExhausted)), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_needs_no_copy() {
    for (max_attempts, expected) in [(1, 0), (2, 1), (3, 2)] {
        let copies = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&copies);
        let layer = RetryLayer::new(POLICY.with_max_attempts(max_attempts)).clone_requests(
            move |request: &u32| {
                counted.fetch_add(1, Ordering::Relaxed);
                Some(*request)
            },
        );
        assert!(layer.layer(Scripted::new(fails(9))).oneshot(5).await.is_err());
        assert_eq!(copies.load(Ordering::Relaxed), expected);
    }
}

// Settings.

#[tokio::test]
async fn a_predicate_replaces_the_errors_own_classification() {
    let service = Scripted::new([Err(ScriptError::Permanent), Err(ScriptError::Transient(1))]);
    let waits = Waits::default();
    let layer = RetryLayer::new(POLICY)
        .retry_if(|error: &ScriptError| *error == ScriptError::Permanent)
        .sleep_with(waits.sleeper())
        .clone_requests(copy);
    assert_eq!(layer.layer(service).oneshot(5).await, Err(ScriptError::Transient(1)));
    assert_eq!(waits.seen(), [secs(1)]);
}

#[tokio::test]
async fn the_hook_is_called_before_each_wait_with_its_delay() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let waits = Waits::default();
    let writer = Arc::clone(&heard);
    let layer = RetryLayer::new(POLICY)
        .on_retry(move |retry: &RetryEvent<'_, ScriptError>| {
            writer.lock().unwrap().push((retry.attempt, retry.delay, retry.error.clone()));
        })
        .clone_requests(copy)
        .sleep_with(waits.sleeper());
    assert!(layer.layer(Scripted::new(fails(9))).oneshot(5).await.is_err());
    assert_eq!(
        *heard.lock().unwrap(),
        [(1, secs(1), ScriptError::Transient(1)), (2, secs(2), ScriptError::Transient(2))]
    );
    assert_eq!(waits.seen(), [secs(1), secs(2)]);
}

#[tokio::test]
async fn delays_can_be_computed() {
    let waits = Waits::default();
    let layer = RetryLayer::new(POLICY)
        .clone_requests(copy)
        .delay_with(|retry, _error: &ScriptError| ms(50) * retry)
        .sleep_with(waits.sleeper());
    assert_eq!(layer.layer(Scripted::new(fails(2))).oneshot(5).await, Ok(7));
    assert_eq!(waits.seen(), [ms(50), ms(100)]);
}

#[tokio::test]
async fn requests_and_clones_share_a_budget_which_successes_feed() {
    let stats = Arc::new(RetryStats::new());
    let budget = Arc::new(RetryBudget::new().with_ratio(1.0));
    let minimum = budget.available();
    let layer = RetryLayer::new(RetryPolicy::forever())
        .budget(Arc::clone(&budget))
        .observe(Arc::clone(&stats))
        .sleep_with(|_delay| future::ready(()))
        .clone_requests(copy);
    let service = layer.layer(Scripted::new(fails(1)));
    // The request withdraws one retry, and deposits one.
    assert_eq!(service.clone().oneshot(5).await, Ok(7));
    assert_eq!(budget.available(), minimum);
    let broken = layer.layer(Scripted::new([Err(ScriptError::Transient(1))]));
    assert!(broken.oneshot(5).await.is_err());
    assert_eq!(budget.available(), 0);
    let snapshot = stats.snapshot();
    assert_eq!(
        (snapshot.retries, snapshot.gave_up(StopReason::BudgetExhausted)),
        (1 + u64::from(minimum), 1)
    );
}

#[tokio::test]
async fn a_policys_own_budget_is_shared_too() {
    static BUDGET: RetryBudget = RetryBudget::new();
    let before = BUDGET.available();
    let policy = RetryPolicy::forever().with_budget(&BUDGET);
    let layer = RetryLayer::new(policy).clone_requests(copy).sleep_with(|_delay| future::ready(()));
    let service = Scripted::new([Err(ScriptError::Transient(1))]);
    let watch = service.watch();
    assert!(layer.layer(service).oneshot(5).await.is_err());
    assert_eq!(watch.calls().len(), 1 + before as usize);
}

// Waits.

#[test]
fn a_zero_delay_and_a_sleeper_that_is_ready_yield() {
    fn polls(response: impl Future<Output = Outcome>) -> u32 {
        let mut response = pin!(response);
        let mut cx = Context::from_waker(Waker::noop());
        (1..99).find(|_poll| response.as_mut().poll(&mut cx).is_ready()).expect("an end")
    }
    let policy = POLICY.with_backoff(Backoff::constant(Duration::ZERO)).with_max_attempts(9);
    let mut timer = RetryLayer::new(policy).clone_requests(copy).layer(Scripted::new(fails(4)));
    let mut ready = RetryLayer::new(POLICY.with_max_attempts(9))
        .clone_requests(copy)
        .sleep_with(|_delay| future::ready(()))
        .layer(Scripted::new(fails(4)));
    // A sleeper that yields by itself does not yield twice.
    let mut fair = RetryLayer::new(POLICY.with_max_attempts(9))
        .clone_requests(copy)
        .sleep_with(|_delay| tokio::task::yield_now())
        .layer(Scripted::new(fails(4)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(timer.poll_ready(&mut cx).is_ready() && ready.poll_ready(&mut cx).is_ready());
    assert!(fair.poll_ready(&mut cx).is_ready());
    let seen = [polls(timer.call(5)), polls(ready.call(5)), polls(fair.call(5))];
    assert_eq!(seen, [1 + 4; 3]);
}

/// Counts the tokens that are alive.
#[derive(Debug)]
struct Token(Arc<AtomicUsize>);

impl Token {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An attempt that fails, and holds a token until it is dropped, like a permit.
struct Attempt(Token);

impl Future for Attempt {
    type Output = Result<(), Token>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Token>> {
        Poll::Ready(Err(Token::new(&self.0.0)))
    }
}

#[tokio::test]
async fn a_failed_outcome_and_its_attempt_are_dropped_before_the_wait() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (counter, observer) = (Arc::clone(&alive), Arc::clone(&alive));
    let during = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&during);
    let service = tower::service_fn(move |_request: u32| Attempt(Token::new(&counter)));
    let layer = RetryLayer::new(POLICY)
        .retry_if(|_error: &Token| true)
        .clone_requests(copy)
        .sleep_with(move |_delay| {
            writer.lock().unwrap().push(observer.load(Ordering::Relaxed));
            future::ready(())
        });
    let mut service = layer.layer(service);
    let mut response = pin!(service.ready().await.unwrap().call(5));
    let last = response.as_mut().await;
    // After it has returned, the future holds no token either.
    assert_eq!((last.is_err(), alive.load(Ordering::Relaxed)), (true, 1));
    assert_eq!(*during.lock().unwrap(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_response_stops() {
    let service = Scripted::new(fails(9));
    let watch = service.watch();
    let mut service = RetryLayer::new(RetryPolicy::forever()).clone_requests(copy).layer(service);
    let mut response = Box::pin(service.ready().await.unwrap().call(5));
    let waited = tokio::time::timeout(ms(3500), &mut response).await;
    assert!(waited.is_err());
    drop(response);
    let calls = watch.calls().len();
    tokio::time::sleep(secs(1000)).await;
    assert_eq!((calls, watch.calls().len()), (3, 3));
}

#[tokio::test]
async fn dropping_the_response_drops_the_running_attempt() {
    let alive = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&alive);
    let service = tower::service_fn(move |_request: u32| {
        let token = Token::new(&counter);
        async move {
            let _token = token;
            future::pending::<Result<(), ScriptError>>().await
        }
    });
    let mut service = RetryLayer::new(POLICY).clone_requests(copy).layer(service);
    let response = service.ready().await.unwrap().call(5);
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    drop(response);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

// Auto traits, texts and reports.

#[test]
fn everything_is_send_where_its_parts_are_and_needs_not_be() {
    fn assert_parts<T: Send + Sync + Clone>(value: T) -> T {
        value
    }
    fn assert_send<T: Send + 'static>(_value: T) {}
    let layer = assert_parts(RetryLayer::new(POLICY).clone_requests(copy));
    let mut service = assert_parts(layer.layer(Scripted::new(fails(0))));
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_send(service.call(5));
    drop(assert_parts(layer.into_policy()));

    // A hook, a service and a request that are not `Send`.
    let alone = Rc::new(());
    let layer = RetryLayer::new(POLICY)
        .on_retry({
            let alone = Rc::clone(&alone);
            move |_retry: &RetryEvent<'_, ScriptError>| assert!(Rc::strong_count(&alone) > 1)
        })
        .clone_requests(|request: &Rc<()>| Some(Rc::clone(request)))
        .sleep_with(|_delay| future::ready(()));
    let service = layer
        .layer(tower::service_fn(async |_request: Rc<()>| Err::<(), _>(ScriptError::Transient(1))));
    let response = pin!(service.oneshot(alone));
    let mut response = response;
    let mut cx = Context::from_waker(Waker::noop());
    let outcome = (0..9).find_map(|_poll| match response.as_mut().poll(&mut cx) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    });
    assert_eq!(outcome, Some(Err(ScriptError::Transient(1))));
}

#[test]
fn a_first_success_allocates_nothing() {
    static STATS: RetryStats = RetryStats::new();
    let layer = RetryLayer::new(POLICY.with_max_elapsed(secs(9)))
        .observe(&STATS)
        .budget(Arc::new(RetryBudget::new()))
        .clone_requests(copy);
    let mut service =
        layer.layer(tower::service_fn(async |request| Ok::<u32, ScriptError>(request)));
    let mut cx = Context::from_waker(Waker::noop());
    let mut ask = || {
        assert!(service.poll_ready(&mut cx).is_ready());
        let response = pin!(service.call(5));
        assert_eq!(response.poll(&mut cx), Poll::Ready(Ok(5)));
    };
    ask(); // the allocations that a thread makes once
    let seen = allocation_counter::measure(&mut ask);
    assert_eq!(seen.count_total, 0);
    assert_eq!(STATS.snapshot().succeeded_at_first, 2);
}

#[test]
fn debug_shows_where_a_request_stands_and_nothing_of_it() {
    let layer = RetryLayer::new(POLICY).clone_requests(|request: &&str| Some(*request));
    let mut service =
        layer.layer(tower::service_fn(async |_request: &str| Ok::<_, ScriptError>(7)));
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    let mut response = pin!(service.call("secret"));
    let text = format!("{response:?}");
    assert!(text.starts_with("ResponseFuture { state: calling, settings: Settings"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert!(response.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert!(format!("{response:?}").contains("state: done"));
    assert!(format!("{layer:?}").starts_with("RetryLayer { settings: Settings"));
    let policy = layer.into_policy();
    assert!(format!("{policy:?}").starts_with("PerRequest { settings: Settings"));
}

#[test]
fn records_name_the_policy_or_the_place_of_the_layer_and_the_errors_type() {
    static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Recorder;
    impl log::Log for Recorder {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            if thread::current().name() == Some("logged") {
                RECORDS.lock().unwrap().push(record.args().to_string());
            }
        }
        fn flush(&self) {}
    }
    async fn ask(layer: impl Layer<Scripted, Service: Service<u32>>) {
        assert!(layer.layer(Scripted::new(fails(9))).oneshot(5).await.is_err());
    }
    log::set_logger(&Recorder).expect("the only logger");
    log::set_max_level(log::LevelFilter::Debug);
    let place = line!() + 1;
    let unnamed = || RetryLayer::new(POLICY.with_max_attempts(2)).clone_requests(copy);
    let once = RetryLayer::new(POLICY.with_name("once")).clone_requests(|_request: &u32| None);
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            ask(unnamed().sleep_with(|_delay| future::ready(()))).await;
            ask(once).await;
        });
    };
    thread::Builder::new().name("logged".into()).spawn(run).unwrap().join().unwrap();
    let error = std::any::type_name::<ScriptError>();
    assert_eq!(
        *RECORDS.lock().unwrap(),
        [
            format!("{}:{place}: attempt 1 of 2 failed with {error}, retrying in 1s", file!()),
            format!(
                "{}:{place}: gave up on {error} after 2 attempts and 1s of waiting: attempts exhausted",
                file!()
            ),
            format!("once: gave up on {error} after 1 attempt: attempts exhausted"),
        ]
    );
}

#[test]
fn an_error_that_is_no_error_type_of_ours_fits() {
    let layer = RetryLayer::new(POLICY)
        .clone_requests(copy)
        .retry_if(|error: &io::Error| error.kind() == ErrorKind::AddrInUse)
        .sleep_with(|_delay| future::ready(()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let error = runtime
        .block_on(
            layer
                .layer(tower::service_fn(async |_request| {
                    Err::<(), _>(io::Error::from(ErrorKind::AddrInUse))
                }))
                .oneshot(5),
        )
        .expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}
