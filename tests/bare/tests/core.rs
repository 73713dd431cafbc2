//! The core without the standard library: the rules that need no system clock.

use std::collections::HashSet;
use std::future::ready;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bare::{BusError, Reader, policy, read, read_async};
use futures_core::Stream;
use retry_ext::{
    Backoff, Jitter, ResubscribeExt, RetryExt, RetryIteratorExt, RetryPolicy, RetryStreamExt,
    StopReason, Verdict, attempts, codes,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return end;
        }
    }
}

#[test]
fn a_closure_is_retried_with_a_sleeper() {
    let answers = [Err(BusError::NoAnswer), Err(BusError::Busy { ready_in: ms(20) }), Ok(7)];
    let (mut next, mut waits) = (answers.into_iter(), Vec::new());
    let value = read(&policy(1), || next.next().expect("three answers"), |wait| waits.push(wait));
    assert_eq!(value, Ok(7));
    assert!(waits[0] >= ms(1) && waits[0] <= ms(2) && waits[1] >= ms(20), "{waits:?}");
}

#[test]
fn a_future_is_retried_with_a_sleeper() {
    let mut answers = [Err(BusError::NoAnswer), Ok(7)].into_iter();
    let bus = || ready(answers.next().expect("two answers"));
    assert_eq!(run(read_async(&policy(1), bus, |_| ready(()))), Ok(7));
    let gone = run(read_async(&policy(1), || ready(Err(BusError::NoDevice)), |_| ready(())));
    assert_eq!(gone.expect_err("permanent").reason(), StopReason::Permanent);
}

#[test]
fn r06_a_deadline_counts_the_waits() {
    let policy = RetryPolicy::within(ms(100)).with_backoff(Backoff::constant(ms(30)));
    let mut waits = 0;
    let error = (|| Err::<(), _>(BusError::NoAnswer)).sleep_with(|_| waits += 1).retry_with(policy);
    let error = error.expect_err("it always fails");
    assert_eq!((error.reason(), error.attempts()), (StopReason::DeadlineExceeded, 4));
    assert_eq!((error.waited(), error.next_delay()), (ms(90), Some(ms(30))));
    let mut left = Vec::new();
    let _error = attempts(|attempt| {
        left.push(attempt.remaining().expect("a deadline"));
        Err::<(), _>(BusError::NoAnswer)
    })
    .sleep_with(|_| ())
    .retry_with(policy);
    assert_eq!(left, [ms(100), ms(70), ms(40), ms(10)]);
}

#[test]
fn r06_a_resumed_deadline_counts_on() {
    let policy = RetryPolicy::within(ms(100)).with_backoff(Backoff::constant(ms(30)));
    let mut retry = policy.resume(3, ms(50)).expect("half of the time is left");
    assert_eq!(retry.delay_after(&BusError::NoAnswer), Ok(ms(30)));
    assert_eq!(retry.delay_after(&BusError::NoAnswer), Err(StopReason::DeadlineExceeded));
}

#[test]
fn a_loop_decides_without_a_sleeper() {
    let mut reader = Reader::new(&policy(1));
    assert!(reader.answer(Err(BusError::NoAnswer)).is_ok_and(|delay| delay.is_some()));
    assert_eq!(reader.answer(Ok(7)), Ok(None));
    assert_eq!(reader.answer(Err(BusError::NoDevice)), Err(StopReason::Permanent));
}

#[test]
fn outcomes_are_judged_and_items_are_retried() {
    let mut statuses = [503_u16, 200].into_iter();
    let status = (|| Ok::<_, BusError>(statuses.next().unwrap_or(404)))
        .classify(|outcome: &Result<u16, BusError>| match outcome {
            Ok(status) if codes::is_transient_http_status(*status) => Verdict::Transient,
            Ok(_) => Verdict::Success,
            Err(error) => Verdict::of(error),
        })
        .sleep_with(|_| ())
        .retry_with(RetryPolicy::new());
    assert_eq!(status, Ok(200));

    let items = [Ok(1), Err(BusError::NoAnswer), Ok(2)].into_iter();
    let items: Vec<_> = items.sleep_with(|_| ()).retry_with(RetryPolicy::new()).collect();
    assert_eq!(items, [Ok(1), Ok(2)]);
}

#[test]
fn streams_are_retried() {
    struct Items(std::vec::IntoIter<Result<u16, BusError>>);

    impl Stream for Items {
        type Item = Result<u16, BusError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next())
        }
    }

    fn all<S: Stream>(stream: S) -> Vec<S::Item> {
        let mut stream = pin!(stream);
        let mut items = Vec::new();
        while let Some(item) = run(std::future::poll_fn(|cx| stream.as_mut().poll_next(cx))) {
            items.push(item);
        }
        items
    }

    let items = || Items(vec![Ok(1), Err(BusError::NoAnswer), Ok(2)].into_iter());
    let by_itself = items().sleep_with(|_| ready(())).retry_with(RetryPolicy::new());
    assert_eq!(all(by_itself), [Ok(1), Ok(2)]);

    let mut first = true;
    let subscribe = || {
        let items = if std::mem::take(&mut first) {
            vec![Ok(1), Err(BusError::NoAnswer)]
        } else {
            vec![Ok(2)]
        };
        Items(items.into_iter())
    };
    let again = subscribe.sleep_with(|_| ready(())).retry_with(RetryPolicy::new());
    assert_eq!(all(again), [Ok(1), Ok(2)]);
}

#[test]
fn r12_jitter_repeats_with_a_seed_and_differs_without_one_in_one_run() {
    let jitter = |backoff: Backoff| backoff.with_jitter(Jitter::Full).iter().nth(6);
    let seeded = || jitter(Backoff::exponential().with_seed(7));
    assert_eq!(seeded(), seeded());
    let unseeded: HashSet<_> = (0..100).map(|_| jitter(Backoff::exponential())).collect();
    assert_eq!(unseeded.len(), 100);
}
