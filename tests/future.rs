//! Async `retry_with`: the behaviour that its parity with the other drivers does not show.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::io::{Error, ErrorKind};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Counted, ScriptError, ms, poll_to_end, secs};
// Both extension traits are in scope, and the compiler distinguishes their methods.
use retry_ext::{
    AsyncRetryExt, Jitter, RetryBudget, RetryError, RetryEvent, RetryExt, RetryPolicy,
    SleepOutcome, StopReason, Verdict, attempts,
};

static POLICY: RetryPolicy = RetryPolicy::new();

fn transient() -> ScriptError {
    ScriptError::Transient(1)
}

#[test]
fn p18_nothing_runs_before_the_first_poll() {
    let calls = Cell::new(0);
    let future = (|| {
        calls.set(calls.get() + 1);
        ready(Ok::<_, ScriptError>(7))
    })
    .retry_with(&POLICY);
    assert_eq!(calls.get(), 0);
    let mut future = pin!(future);
    assert_eq!(calls.get(), 0);
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!((polled, calls.get()), (Poll::Ready(Ok(7)), 1));
}

#[test]
fn without_a_runtime_it_works_by_hand() {
    let waits = RefCell::new(Vec::new());
    let mut failures = 2;
    let (result, polls) = poll_to_end(
        (|| {
            failures -= 1;
            ready(if failures < 0 { Ok("done") } else { Err(transient()) })
        })
        .sleep_with(|delay| {
            waits.borrow_mut().push(delay);
            ready(())
        })
        .retry_with(&POLICY),
    );
    // Each of two waits is over at once, and yields to the scheduler once.
    assert_eq!((result, polls), (Ok("done"), 3));
    assert_eq!(waits.take(), [secs(1), secs(2)]);
}

#[test]
fn on_smol_it_sleeps_on_its_timer() {
    // This test really sleeps: 2 ms and 4 ms.
    let started = std::time::Instant::now();
    let result = smol::block_on(
        (async || Err::<(), _>(transient()))
            .sleep_with(smol::Timer::after)
            .retry_with(RetryPolicy::new().with_initial_delay(ms(2))),
    );
    assert_eq!(result.expect_err("it fails").attempts(), 3);
    assert!(started.elapsed() >= ms(6));
}

#[tokio::test(start_paused = true)]
async fn on_tokio_the_default_sleeper_takes_exactly_the_delays() {
    let started = tokio::time::Instant::now();
    let result = (async || Err::<(), _>(transient())).retry_with(&POLICY).await;
    assert_eq!(result.expect_err("it fails").waited(), secs(3));
    assert_eq!(started.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn r06_deadlines_are_on_the_clock_of_tokio() {
    // 80 ms of work and a delay of 50 ms do not fit into 100 ms. No real time passes.
    let policy = RetryPolicy::new().with_initial_delay(ms(50)).with_max_elapsed(ms(100));
    let slow = async || {
        tokio::time::sleep(ms(80)).await;
        Err::<(), _>(transient())
    };
    let error = slow.retry_with(policy).await.expect_err("it fails");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::DeadlineExceeded));

    let mut retry = policy.start();
    tokio::time::sleep(ms(80)).await;
    let error = retry.wait_after_async(transient()).await.expect_err("too late");
    assert_eq!(error.reason(), StopReason::DeadlineExceeded);

    let long = policy.with_max_elapsed(ms(131));
    let error = slow.retry_with(long).await.expect_err("it fails");
    assert_eq!((error.attempts(), error.reason()), (2, StopReason::DeadlineExceeded));
}

#[tokio::test(start_paused = true)]
async fn p14_the_deadline_counts_from_the_first_poll_and_not_from_the_making_of_the_future() {
    let policy = RetryPolicy::new().with_max_elapsed(secs(4));
    let future = (async || Err::<(), _>(transient())).retry_with(policy);
    tokio::time::sleep(secs(60)).await;
    let error = future.await.expect_err("it fails");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
}

#[tokio::test(start_paused = true)]
async fn the_loop_form_waits_on_the_clock_of_tokio() {
    let started = tokio::time::Instant::now();
    let mut retry = POLICY.start();
    let error = loop {
        if let Err(error) = retry.wait_after_async(transient()).await {
            break error;
        }
    };
    assert_eq!((error.attempts(), error.waited()), (3, secs(3)));
    assert_eq!(started.elapsed(), secs(3));
}

/// A value that sets a flag when it is dropped.
struct Dropped<'a>(&'a Cell<bool>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn dropping_it_in_an_attempt_or_in_a_wait_stops_at_once_and_leaves_nothing() {
    for in_the_wait in [false, true] {
        let (calls, attempt_dropped, wait_dropped) =
            (Cell::new(0), Cell::new(false), Cell::new(false));
        let future = (|| {
            calls.set(calls.get() + 1);
            let guard = Dropped(&attempt_dropped);
            async move {
                if !in_the_wait {
                    pending::<()>().await;
                }
                drop(guard);
                Err::<(), _>(transient())
            }
        })
        .sleep_with(|_| {
            let guard = Dropped(&wait_dropped);
            async move {
                pending::<()>().await;
                drop(guard);
            }
        })
        .retry_with(&POLICY);
        {
            let mut future = pin!(future);
            let mut context = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
            assert!(future.as_mut().poll(&mut context).is_pending());
            assert_eq!((attempt_dropped.get(), wait_dropped.get()), (in_the_wait, false));
        }
        assert_eq!((calls.get(), attempt_dropped.get()), (1, true));
        assert_eq!(wait_dropped.get(), in_the_wait);
    }
}

#[tokio::test]
async fn r13_a_zero_delay_yields_so_that_a_timeout_around_it_fires() {
    // This test runs for the few milliseconds of the timeout.
    let policy = RetryPolicy::new()
        .with_initial_delay(Duration::ZERO)
        .with_max_attempts(u32::MAX)
        .with_logging(false);
    let forever = (async || Err::<(), _>(transient())).retry_with(policy);
    assert!(tokio::time::timeout(ms(5), forever).await.is_err());

    let mut retry = policy.start();
    let by_loop = async { while retry.wait_after_async(transient()).await.is_ok() {} };
    assert!(tokio::time::timeout(ms(5), by_loop).await.is_err());
}

/// A waker that counts its wakes.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn r13_a_wait_that_is_over_at_once_yields_once_and_wakes_once() {
    fn polls_and_wakes(
        future: impl Future<Output = Result<(), RetryError<ScriptError>>>,
    ) -> (u32, u32) {
        let counter = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&counter));
        let mut future = pin!(future);
        let mut polls = 1;
        while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            assert_eq!(counter.0.load(Ordering::SeqCst), polls, "exactly one for each turn");
            polls += 1;
        }
        (polls, counter.0.load(Ordering::SeqCst))
    }
    let five = RetryPolicy::new().with_max_attempts(5);
    let zero = five.with_initial_delay(Duration::ZERO);
    let fails = || ready(Err(transient()));
    assert_eq!(polls_and_wakes(fails.sleep_with(|_| ready(())).retry_with(five)), (5, 4));
    assert_eq!(polls_and_wakes(fails.sleep_with(|_| ready(())).retry_with(zero)), (5, 4));
    // The default sleeper sets no timer for a zero delay, and so needs no runtime for the wait.
    assert_eq!(polls_and_wakes(fails.retry_with(zero)), (5, 4));
    let mut retry = zero.start();
    let by_loop = async {
        loop {
            retry.wait_after_async(transient()).await?;
        }
    };
    assert_eq!(polls_and_wakes(by_loop), (5, 4));
    let mut retry = five.start().sleep_with(|_| ready(()));
    let by_step = async {
        loop {
            retry.step_async(Err::<(), _>(transient())).await?;
        }
    };
    assert_eq!(polls_and_wakes(by_step), (5, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_loop_over_mutable_state_can_be_spawned() {
    // This test really waits: twice 1 ms.
    struct Connection {
        failures: u32,
    }

    impl Connection {
        async fn send(&mut self, line: &str) -> Result<usize, ScriptError> {
            tokio::task::yield_now().await;
            match self.failures.checked_sub(1) {
                None => Ok(line.len()),
                Some(left) => {
                    self.failures = left;
                    Err(transient())
                }
            }
        }

        async fn deliver(&mut self, line: &str) -> Result<usize, RetryError<ScriptError>> {
            let mut retries = 0;
            let mut retry = POLICY
                .with_initial_delay(ms(1))
                .with_factor(1.0)
                .start()
                .on_retry(|_: &RetryEvent<'_, ScriptError>| retries += 1);
            loop {
                if let Some(length) = retry.step_async(self.send(line).await).await? {
                    return Ok(length);
                }
            }
        }
    }

    let task = tokio::spawn(async { Connection { failures: 2 }.deliver("hello").await });
    assert_eq!(task.await.expect("it does not panic"), Ok(5));
}

#[test]
fn a_loop_waits_on_another_runtime() {
    // This test really waits: 1 ms and 2 ms, on smol's timer.
    let mut retry = POLICY.with_initial_delay(ms(1)).start().sleep_with(smol::Timer::after);
    let stopped = smol::block_on(async {
        loop {
            match retry.step_async(Err::<(), _>(transient())).await {
                Ok(_) => {}
                Err(stopped) => break stopped,
            }
        }
    });
    assert_eq!((stopped.attempts(), stopped.waited()), (3, ms(3)));
}

#[tokio::test]
async fn r13_a_sleeper_that_does_not_sleep_starves_nobody() {
    // This test runs for the few milliseconds of the timeout.
    let policy = RetryPolicy::new().with_max_attempts(u32::MAX).with_logging(false);
    let busy = (async || Err::<(), _>(transient())).sleep_with(|_| ready(())).retry_with(policy);
    assert!(tokio::time::timeout(ms(5), busy).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_wait_of_a_loop_counts_the_retry_as_made() {
    let mut retry = POLICY.start();
    drop(retry.wait_after_async(transient())); // never polled
    assert_eq!(retry.attempt(), 1);
    assert!(tokio::time::timeout(ms(1), retry.wait_after_async(transient())).await.is_err());
    assert_eq!((retry.attempt(), retry.waited()), (2, secs(1)));
}

/// Polls the future until it panics, and then once more.
fn assert_panics_and_has_ended(mut future: Pin<&mut impl Future>, message: &str) {
    for message in [message, "a retry was polled after its end"] {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut context = Context::from_waker(Waker::noop());
            while future.as_mut().poll(&mut context).is_pending() {}
        }));
        let payload = panic.expect_err("it panics");
        let literal = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = literal.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a text");
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn what_panics_in_the_operation_leaves_a_future_that_has_ended() {
    let mut calls = 0;
    let future = pin!(
        (|| {
            calls += 1;
            assert_ne!(calls, 2, "the second call panics");
            ready(Err::<(), _>(transient()))
        })
        .sleep_with(|_| ready(()))
        .retry_with(&POLICY)
    );
    assert_panics_and_has_ended(future, "the second call panics");
}

#[test]
fn what_panics_in_a_hook_leaves_a_future_that_has_ended() {
    let fails = || ready(Err::<(), _>(transient()));
    let future = pin!(
        fails.on_retry(|_| panic!("the hook panics")).sleep_with(|_| ready(())).retry_with(&POLICY)
    );
    assert_panics_and_has_ended(future, "the hook panics");
}

#[tokio::test(start_paused = true)]
async fn a_million_immediate_failures_do_not_overflow_the_stack() {
    let policy = RetryPolicy::new()
        .with_initial_delay(Duration::ZERO)
        .with_max_attempts(1_000_000)
        .with_logging(false);
    let mut calls = 0_u32;
    let fails = (|| {
        calls += 1;
        ready(Err::<(), _>(transient()))
    })
    .retry_with(policy);
    let error = tokio::task::unconstrained(fails).await.expect_err("it fails");
    assert_eq!((error.attempts(), calls), (1_000_000, 1_000_000));
}

#[test]
fn a_million_waits_that_are_over_at_once_do_not_either() {
    let policy = RetryPolicy::new().with_max_attempts(1_000_000).with_logging(false);
    let fails = (|| ready(Err::<(), _>(transient()))).sleep_with(|_| ready(())).retry_with(policy);
    assert_eq!(poll_to_end(fails).0.expect_err("it fails").attempts(), 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_that_breaks_cancels_with_the_last_error() {
    let waits = Cell::new(0);
    let error = (async || Err::<(), _>(ScriptError::Transient(4)))
        .sleep_with(|_| {
            waits.set(waits.get() + 1);
            ready(if waits.get() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .retry_with(RetryPolicy::new().with_max_attempts(9))
        .await
        .expect_err("cancelled");
    assert_eq!((error.attempts(), error.waited()), (2, secs(1)));
    assert_eq!(error.reason(), StopReason::Cancelled);
    assert_eq!(error.into_error(), ScriptError::Transient(4));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_during_a_wait_is_heard_at_once() {
    let (speaker, mut shutdown) = tokio::sync::watch::channel(false);
    let started = tokio::time::Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(ms(300)).await;
        speaker.send(true).expect("the retry still waits");
    });
    let error = (async || Err::<(), _>(transient()))
        .sleep_with(|delay| {
            let mut heard = shutdown.clone();
            async move {
                match tokio::time::timeout(delay, heard.wait_for(|down| *down)).await {
                    Ok(_down) => ControlFlow::Break(()),
                    Err(_elapsed) => ControlFlow::Continue(()),
                }
            }
        })
        .retry_with(&POLICY)
        .await
        .expect_err("cancelled");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Cancelled));
    assert_eq!(started.elapsed(), ms(300));
    assert!(*shutdown.borrow_and_update());
}

#[test]
#[should_panic(expected = "a retry was polled after its end")]
fn it_panics_when_it_is_polled_after_its_end() {
    let mut future = pin!((async || Ok::<_, ScriptError>(())).retry_with(&POLICY));
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
    let _polled = future.as_mut().poll(&mut context);
}

/// Every shape of operation that must compile, run on a multi-threaded runtime.
mod shapes {
    use super::*;

    async fn item() -> Result<u32, ScriptError> {
        Ok(1)
    }

    fn item_that_returns_a_future() -> std::future::Ready<Result<u32, ScriptError>> {
        ready(Ok(2))
    }

    #[derive(Clone)]
    struct Client {
        calls: Arc<AtomicU32>,
    }

    impl Client {
        async fn get(&self, url: &str) -> Result<u32, ScriptError> {
            tokio::task::yield_now().await;
            let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            if calls < 3 || url.is_empty() { Err(transient()) } else { Ok(calls) }
        }

        async fn get_by_itself(&self) -> Result<u32, RetryError<ScriptError>> {
            (|| self.get("url")).retry_with(&QUICK).await
        }
    }

    fn client() -> Client {
        Client { calls: Arc::default() }
    }

    static QUICK: RetryPolicy = RetryPolicy::new().with_initial_delay(Duration::ZERO);

    #[tokio::test(flavor = "multi_thread")]
    async fn fn_items_and_async_fn_items() {
        assert_eq!(item.retry_with(&QUICK).await, Ok(1));
        assert_eq!(item_that_returns_a_future.retry_with(&QUICK).await, Ok(2));
        assert_eq!(tokio::spawn(item.retry_with(&QUICK)).await.expect("no panic"), Ok(1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn p19_closures_that_borrow_locals_of_a_spawned_task() {
        let task = tokio::spawn(async {
            let (client, url) = (client(), String::from("url"));
            (|| client.get(&url)).retry_with(&QUICK).await
        });
        assert_eq!(task.await.expect("no panic"), Ok(3));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn p19_async_closures_that_borrow_locals_of_a_spawned_task() {
        let task = tokio::spawn(async {
            let (client, url) = (client(), String::from("url"));
            (async || client.get(&url).await).retry_with(&QUICK).await
        });
        assert_eq!(task.await.expect("no panic"), Ok(3));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn p19_retries_that_a_spawned_task_joins() {
        let task = tokio::spawn(async {
            let (client, url, budget) = (client(), String::from("url"), RetryBudget::new());
            let mut retries = 0;
            tokio::try_join!(
                (|| client.get(&url)).retry_with(&QUICK),
                (async || client.get(&url).await).retry_with(QUICK),
                attempts(|_| client.get(&url)).budget(&budget).retry_with(&QUICK),
                (|| client.get(&url))
                    .classify(|outcome| outcome
                        .as_ref()
                        .map_or_else(Verdict::of, |_| Verdict::Success))
                    .on_retry(|_| retries += 1)
                    .delay_with(|_, _| Duration::from_millis(u64::try_from(url.len()).unwrap_or(1)))
                    .sleep_with(async |delay| tokio::time::sleep(delay.min(secs(1))).await)
                    .retry_with(&QUICK),
            )
        });
        assert!(task.await.expect("no panic").is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn p19_joined_retries_may_return_borrowed_values() {
        struct Names(String);
        impl Names {
            async fn name(&self) -> Result<&str, ScriptError> {
                tokio::task::yield_now().await;
                Ok(&self.0)
            }
        }
        let task = tokio::spawn(async {
            let names = Names(String::from("name"));
            let name = || (|| names.name()).retry_with(&QUICK);
            tokio::try_join!(name(), name()).map(|(first, second)| first.len() + second.len())
        });
        assert_eq!(task.await.expect("no panic"), Ok(8));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_whole_chain_in_a_spawned_task() {
        let task = tokio::spawn(async {
            let (client, url) = (client(), String::from("url"));
            let mut heard = 0;
            let result = (|| client.get(&url))
                .retry_if(|error| *error == transient())
                .on_retry(|_| heard += 1)
                .sleep_with(tokio::time::sleep)
                .retry_with(QUICK)
                .await;
            (result, heard)
        });
        assert_eq!(task.await.expect("no panic"), (Ok(3), 2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn closures_that_move_and_clone() {
        let client = client();
        let future = (move || {
            let client = client.clone();
            async move { client.get("url").await }
        })
        .retry_with(&QUICK);
        assert_eq!(tokio::spawn(future).await.expect("no panic"), Ok(3));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn methods_on_a_shared_self() {
        let task = tokio::spawn(async { client().get_by_itself().await });
        assert_eq!(task.await.expect("no panic"), Ok(3));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mutable_state_goes_through_the_loop() {
        struct Counter(u32);
        impl Counter {
            async fn next(&mut self) -> Result<u32, ScriptError> {
                tokio::task::yield_now().await;
                self.0 += 1;
                if self.0 < 3 { Err(transient()) } else { Ok(self.0) }
            }
        }
        let task = tokio::spawn(async {
            let mut counter = Counter(0);
            let mut retry = QUICK.start();
            loop {
                match counter.next().await {
                    Ok(value) => return Ok(value),
                    Err(error) => retry.wait_after_async(error).await?,
                }
            }
        });
        let result: Result<u32, RetryError<ScriptError>> = task.await.expect("no panic");
        assert_eq!(result, Ok(3));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn boxed_futures_and_closures_by_mutable_reference() {
        type Boxed = Pin<Box<dyn Future<Output = Result<u32, ScriptError>> + Send>>;
        let mut calls = 0;
        let mut make = || -> Boxed {
            calls += 1;
            Box::pin(ready(if calls < 2 { Err(transient()) } else { Ok(calls) }))
        };
        assert_eq!((&mut make).retry_with(&QUICK).await, Ok(2));
        assert_eq!(make.retry_with(Arc::new(QUICK)).await, Ok(3));
    }

    #[test]
    fn blocking_closures_are_still_told_apart() {
        assert_eq!((|| Ok::<_, ScriptError>(1)).retry_with(QUICK), Ok(1));
        let chain = (|| Ok::<_, ScriptError>(1)).on_retry(|_| ()).sleep_with(|_| ());
        assert_eq!(chain.retry_with(QUICK), Ok(1));
    }
}

#[test]
fn it_is_send_where_operation_error_and_hooks_are() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let count = Arc::new(AtomicU32::new(0));
    let future = is_send(
        (|| ready(Err::<(), _>(Error::from(ErrorKind::NotFound))))
            .retry_if(|error| error.kind() == ErrorKind::TimedOut)
            .on_retry(|_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
            .retry_with(&POLICY),
    );
    assert!(format!("{future:?}").starts_with("RetryFuture"));
    assert!(poll_to_end(future).0.is_err());
    let mut retry = POLICY.start();
    let wait = is_send(retry.wait_after_async(Error::from(ErrorKind::NotFound)));
    assert!(poll_to_end(wait).0.is_err());
}

#[test]
fn it_is_as_small_as_a_step_of_a_task_allows() {
    /// An operation of 64 bytes, the size of a small request.
    struct Operation([u64; 8]);
    impl Future for Operation {
        type Output = Result<u64, ScriptError>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(Ok(self.0[0]))
        }
    }
    async fn large() -> Result<u8, ScriptError> {
        let bytes = [7; 1_000];
        tokio::task::yield_now().await;
        Ok(bytes[999])
    }
    fn operation() -> Operation {
        Operation([7; 8])
    }
    let timer = size_of::<tokio::time::Sleep>();
    let span = if cfg!(feature = "tracing") { size_of::<usize>() } else { 0 };
    let first = 7;
    let plain = operation.retry_with(&POLICY);
    let borrowing = (|| Operation([*std::hint::black_box(&first); 8])).retry_with(&POLICY);
    let refined = operation.retry_if(|_| true).on_retry(|_| ()).retry_with(&POLICY);
    // The timer takes 96 bytes on a single-threaded runtime, and 112 with tokio's
    // `rt-multi-thread`.
    assert_eq!(size_of_val(&plain), timer + 40 + span);
    assert_eq!(size_of_val(&refined), timer + 40 + span);
    assert_eq!(size_of_val(&borrowing), timer + 48 + span);
    assert!(size_of_val(&plain) <= 152 + span);
    // A larger operation determines the size itself. One more word distinguishes the operation from
    // a wait.
    assert_eq!(
        size_of_val(&large.retry_with(&POLICY)),
        size_of_val(&large()).next_multiple_of(8) + 48 + span
    );
    assert_eq!(poll_to_end(plain).0, Ok(7));
    assert_eq!(poll_to_end(refined).0, Ok(7));
    assert_eq!(poll_to_end(borrowing).0, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn jitter_differs_between_two_tasks_and_repeats_with_a_seed() {
    let policy = RetryPolicy::new().with_jitter(Jitter::Full).with_max_attempts(5);
    let waited = async |policy: RetryPolicy| {
        let fails = (async || Err::<(), _>(transient())).retry_with(policy);
        fails.await.expect_err("it fails").waited()
    };
    assert_ne!(waited(policy).await, waited(policy).await);
    let seeded = policy.with_seed(3);
    assert_eq!(waited(seeded).await, waited(seeded).await);
    assert_eq!(waited(seeded).await, seeded.delays().sum());
}

/// Counts the errors that are alive in each of two waits. The sleeper's future returns `answer`.
fn alive_in_waits<W: retry_ext::chain::Wake + Copy>(answer: W) -> Vec<u32> {
    let (alive, waits) = (Cell::new(0), RefCell::new(Vec::new()));
    let fails = || {
        assert_eq!(alive.get(), 0, "dropped before the next call in any case");
        ready(Err::<(), _>(Counted::new(&alive)))
    };
    let sleeper = |_| async {
        waits.borrow_mut().push(alive.get());
        answer
    };
    drop(poll_to_end(fails.sleep_with(sleeper).retry_with(POLICY)));
    assert_eq!(alive.get(), 0);
    waits.into_inner()
}

#[test]
fn r14_a_failed_outcome_is_kept_in_a_wait_only_if_the_wait_can_be_cancelled() {
    assert_eq!(alive_in_waits(()), [0, 0]);
    assert_eq!(alive_in_waits(std::time::Instant::now()), [0, 0]);
    assert_eq!(alive_in_waits(ControlFlow::Continue(())), [1, 1]);
    assert_eq!(alive_in_waits(SleepOutcome::Elapsed), [1, 1]);
    assert_eq!(alive_in_waits(SleepOutcome::Woken), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn r14_on_tokio_and_in_the_awaited_loop_a_failed_outcome_is_dropped_before_the_wait() {
    async fn during_a_wait<F: Future>(waiting: F, alive: &Cell<u32>) {
        let mut waiting = pin!(waiting);
        let polled = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
        assert!(polled.await, "it waits");
        assert_eq!(alive.get(), 0);
        drop(waiting.await);
    }

    let alive = Cell::new(0);
    let fails = || ready(Err::<(), _>(Counted::new(&alive)));
    during_a_wait(fails.retry_with(POLICY), &alive).await;
    let mut retry = POLICY.start();
    during_a_wait(retry.wait_after_async(Counted::new(&alive)), &alive).await;
}
