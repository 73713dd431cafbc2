//! `timeout_each` and `attempts`: attempts that know their number, their limit and their deadline.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::io::{Error, ErrorKind};
use std::task::Poll;
use std::time::Duration;

use common::{ms, poll_to_end, secs};
use retry_ext::{
    AsyncRetryExt, AttemptTimedOut, IsTransient, RetryError, RetryExt, RetryPolicy, StopReason,
    attempts,
};
use tokio::time::{Instant, sleep};

async fn hang() -> Result<(), Error> {
    pending().await
}

fn times_out(result: Result<(), RetryError<Error>>) -> (u32, StopReason) {
    let stopped = result.expect_err("it hangs");
    assert_eq!(stopped.error().kind(), ErrorKind::TimedOut);
    (stopped.attempts(), stopped.reason())
}

#[tokio::test(start_paused = true)]
async fn each_attempt_ends_after_its_limit_and_is_retried() {
    let start = Instant::now();
    let result = hang.timeout_each(secs(4)).retry_with(RetryPolicy::new()).await;
    assert_eq!(times_out(result), (3, StopReason::AttemptsExhausted));
    assert_eq!(start.elapsed(), secs(4 + 1 + 4 + 2 + 4));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_the_deadline_if_that_is_sooner() {
    for (limit, deadline, attempts) in [(4, 7, 2), (10, 7, 1), (3, 7, 2), (1, 7, 3)] {
        let start = Instant::now();
        let result =
            hang.timeout_each(secs(limit)).retry_with(RetryPolicy::within(secs(deadline))).await;
        assert_eq!(times_out(result), (attempts, StopReason::DeadlineExceeded), "{limit}");
        assert!(start.elapsed() <= secs(deadline), "{limit}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_says_how_long_the_attempt_had() {
    let timed_out = || async { pending::<Result<(), AttemptTimedOut>>().await };
    let stopped = timed_out
        .timeout_each(secs(60))
        .retry_with(RetryPolicy::within(ms(2_500)))
        .await
        .expect_err("it hangs");
    assert_eq!(stopped.error().limit(), ms(2_500));
    assert_eq!(stopped.error().to_string(), "the attempt timed out after 2.5s");
    assert!(stopped.error().is_transient());
    let error = Error::from(stopped.into_error());
    assert!(error.is_transient());
    assert_eq!(error.to_string(), "the attempt timed out after 2.5s");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_ready_in_time_is_not_thrown_away() {
    // Both become ready at the same time, and the operation is polled first.
    let slow = || async {
        sleep(secs(4)).await;
        Ok::<_, Error>(())
    };
    let result = slow.timeout_each(secs(4)).retry_with(RetryPolicy::new()).await;
    assert!(result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_future_of_an_attempt_is_dropped_when_it_times_out() {
    struct Held<'a>(&'a Cell<u32>);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let alive = Cell::new(0);
    let attempt = || {
        assert_eq!(alive.replace(1), 0, "one at a time");
        let held = Held(&alive);
        async move {
            let _held = held;
            hang().await
        }
    };
    let in_the_wait = RefCell::new(Vec::new());
    let result = attempt
        .timeout_each(secs(1))
        .sleep_with(|delay| {
            in_the_wait.borrow_mut().push(alive.get());
            sleep(delay)
        })
        .retry_with(RetryPolicy::new())
        .await;
    assert_eq!(times_out(result).0, 3);
    assert_eq!((alive.get(), in_the_wait.into_inner()), (0, vec![0, 0]));
}

#[tokio::test(start_paused = true)]
async fn of_two_limits_the_shorter_one_ends_the_attempt() {
    for (inner, outer) in [(1, 5), (5, 1)] {
        let start = Instant::now();
        let once = RetryPolicy::new().with_max_attempts(1);
        let result =
            hang.timeout_each(secs(inner)).timeout_each(secs(outer)).retry_with(once).await;
        assert_eq!(times_out(result).0, 1);
        assert_eq!(start.elapsed(), secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn settings_apply_before_and_after_it() {
    let mut heard = 0;
    let result = hang
        .retry_if(|error| error.kind() == ErrorKind::TimedOut)
        .timeout_each(secs(1))
        .on_retry(|_| heard += 1)
        .delay_with(|_, _| ms(1))
        .retry_with(RetryPolicy::new())
        .await;
    assert_eq!((times_out(result).0, heard), (3, 2));
}

#[test]
fn another_timer_serves_without_a_runtime() {
    let mut asked = Vec::new();
    let (result, _polls) = poll_to_end(
        hang.timeout_each_with(secs(30), |limit| {
            asked.push(limit);
            ready(())
        })
        .sleep_with(|_| ready(()))
        .retry_with(RetryPolicy::new()),
    );
    assert_eq!(times_out(result).0, 3);
    assert_eq!(asked, [secs(30); 3]);
}

#[test]
fn a_limit_of_nothing_still_polls_the_attempt_once() {
    let polls = Cell::new(0);
    let attempt = || {
        poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<Result<(), Error>>::Pending
        })
    };
    let (result, _) = poll_to_end(
        attempt
            .timeout_each_with(Duration::ZERO, |_| ready(()))
            .sleep_with(|_| ready(()))
            .retry_with(RetryPolicy::new()),
    );
    assert_eq!((times_out(result).0, polls.get()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_spawned() {
    // This test really waits: three times 1 ms.
    let url = String::from("here");
    let task = tokio::spawn(async move {
        let attempt = attempts(|attempt| {
            let url = &url;
            async move { if attempt.number() == 3 { Ok(url.len()) } else { pending().await } }
        });
        let policy = RetryPolicy::within(secs(60)).with_initial_delay(Duration::ZERO);
        attempt.timeout_each(ms(1)).retry_with(policy).await
    });
    let length: Result<usize, RetryError<Error>> = task.await.expect("it does not panic");
    assert_eq!(length.expect("the third attempt succeeds"), 4);
}

#[tokio::test(start_paused = true)]
async fn attempts_know_their_number_and_the_time_that_is_left() {
    let seen = RefCell::new(Vec::new());
    let slow = attempts(async |attempt| {
        seen.borrow_mut().push((attempt.number(), attempt.remaining()));
        let left = attempt.remaining();
        sleep(secs(2)).await;
        assert_eq!(attempt.remaining(), left.and_then(|left| left.checked_sub(secs(2))));
        Err::<(), _>(Error::from(ErrorKind::TimedOut))
    });
    let result = slow.retry_with(RetryPolicy::within(secs(9))).await;
    assert!(result.is_err());
    // Attempts at 0, 3 and 7 s; the next one would be at 13 s.
    let left = [(1, Some(secs(9))), (2, Some(secs(6))), (3, Some(secs(2)))];
    assert_eq!(seen.into_inner(), left);
}

#[test]
fn requested_waits_count_for_the_time_that_is_left() {
    let mut left = Vec::new();
    let result = attempts(|attempt| {
        left.push(attempt.remaining().expect("a deadline").as_secs_f64().round());
        Err::<(), _>(Error::from(ErrorKind::TimedOut))
    })
    .sleep_with(|_| ())
    .retry_with(RetryPolicy::within(secs(10)));
    assert_eq!(result.expect_err("it fails").attempts(), 4);
    assert_eq!(left, [10.0, 9.0, 7.0, 3.0]);
}

#[tokio::test(start_paused = true)]
async fn no_time_is_left_after_the_deadline_and_none_is_told_without_one() {
    let late = RetryPolicy::new().with_max_elapsed(secs(1));
    let left = attempts(async |attempt| {
        sleep(secs(5)).await;
        Ok::<_, Error>(attempt.remaining())
    });
    assert_eq!(left.retry_with(late).await.expect("it succeeds"), Some(Duration::ZERO));
    let left = attempts(|attempt| Ok::<_, Error>(attempt.remaining()));
    assert_eq!(left.retry_with(RetryPolicy::new()).expect("it succeeds"), None);
}

#[tokio::test(start_paused = true)]
async fn a_loop_knows_the_time_that_is_left() {
    let mut retry = RetryPolicy::within(secs(10)).start();
    assert_eq!(retry.remaining(), Some(secs(10)));
    sleep(secs(2)).await;
    assert_eq!(retry.remaining(), Some(secs(8)));
    assert!(retry.step_async(Err::<(), _>(Error::from(ErrorKind::TimedOut))).await.is_ok());
    assert_eq!(retry.remaining(), Some(secs(7)));
    sleep(secs(70)).await;
    assert_eq!(retry.remaining(), Some(Duration::ZERO));
    retry.reset();
    assert_eq!(retry.remaining(), Some(secs(10)));
    sleep(secs(70)).await;
    assert_eq!(retry.remaining(), Some(secs(10))); // the deadline counts from the next failure
    assert_eq!(RetryPolicy::new().start().remaining(), None);
}
