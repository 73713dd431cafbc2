//! A call allocates nothing, on success and on failure, if nothing is logged.

use std::time::Duration;

use allocation_counter::measure;
use retry_ext::{Backoff, IsTransient, Jitter, RetryExt, RetryPolicy};

#[derive(Debug, IsTransient)]
#[transient]
struct Plain;

#[test]
fn a_first_success_allocates_nothing() {
    let counted = measure(|| {
        let value = (|| Ok::<_, Plain>(7)).retry_with(RetryPolicy::new());
        assert!(matches!(value, Ok(7)));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn failures_and_giving_up_allocate_nothing_while_nobody_logs() {
    let policy = RetryPolicy::new()
        .with_max_attempts(50)
        .with_jitter(Jitter::Full)
        .with_max_elapsed(Duration::from_secs(100_000));
    let counted = measure(|| {
        let mut heard = 0;
        let result = (|| Err::<(), _>(Plain))
            .retry_if(|_| true)
            .on_retry(|_| heard += 1)
            .sleep_with(|_| ())
            .retry_with(policy);
        assert_eq!((result.is_err(), heard), (true, 49));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn delays_allocate_nothing() {
    let counted = measure(|| {
        let sum: Duration =
            Backoff::exponential().with_jitter(Jitter::Decorrelated).iter().take(1_000).sum();
        assert!(sum > Duration::ZERO);
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}

#[test]
fn a_future_allocates_nothing_but_what_its_sleeper_does() {
    use std::future::{Future, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use retry_ext::AsyncRetryExt;

    static POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(50).with_jitter(Jitter::Full);
    let counted = measure(|| {
        let mut future = pin!(
            (|| ready(Err::<(), _>(Plain)))
                .on_retry(|_| ())
                .sleep_with(|_| ready(()))
                .retry_with(&POLICY)
        );
        let mut context = Context::from_waker(Waker::noop());
        let result = loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                break result;
            }
        };
        assert!(result.is_err());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn on_the_timer_of_tokio_a_future_allocates_nothing() {
    use retry_ext::AsyncRetryExt;

    static POLICY: RetryPolicy = RetryPolicy::new();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let fails = || std::future::ready(Err::<(), _>(Plain));
    runtime.block_on(async {
        // The runtime allocates for its first timer, and the retry does not.
        assert!(fails.retry_with(&POLICY).await.is_err());
        let mut future = std::pin::pin!(fails.retry_with(&POLICY));
        let mut counted = 0;
        let result = std::future::poll_fn(|cx| {
            let mut polled = std::task::Poll::Pending;
            counted += measure(|| polled = future.as_mut().poll(cx)).count_total;
            polled
        })
        .await;
        assert!(result.is_err());
        assert_eq!(counted, 0);
    });
}
