//! Checks the comparison in the crate's README and facts in `docs/from-*.md` by calling the peers.

use std::cell::Cell;
use std::future::ready;
use std::time::Duration;

use backon::{BackoffBuilder, BlockingRetryable, ExponentialBuilder, FibonacciBuilder};
use relentless::{stop, wait};
use retry_ext::{RetryExt, RetryPolicy};
use tokio::runtime::Builder;
use tokio::time::sleep;
use tokio_retry::strategy::{ExponentialBackoff, FixedInterval};

const README: &str = include_str!("../../README.md");

/// Returns an operation that counts its calls and fails. No condition makes its error transient.
fn failing(calls: &Cell<u32>) -> impl FnMut() -> Result<(), &'static str> {
    || {
        calls.set(calls.get() + 1);
        Err("wrong password")
    }
}

/// Returns the fields of a row of the comparison: this crate, backon, relentless, retry.
fn row(title: &str) -> [&'static str; 4] {
    let begin = format!("| {title} |");
    let line = README.lines().find_map(|line| line.strip_prefix(&begin)).expect("a row");
    let fields: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
    fields.try_into().expect("four crates")
}

#[test]
fn a_limit_of_three_means_as_many_calls_as_the_readme_shows() {
    let calls = [(); 4].map(|()| Cell::new(0));
    let policy = RetryPolicy::new().with_max_attempts(3);
    let ours = failing(&calls[0]).retry_if(|_| true).sleep_with(|_| ()).retry_with(policy);
    assert!(ours.is_err());
    let builder = ExponentialBuilder::default().with_max_times(3);
    assert!(BlockingRetryable::retry(failing(&calls[1]), builder).sleep(|_| ()).call().is_err());
    let wait = wait::fixed(Duration::ZERO);
    assert!(
        relentless::RetryExt::retry(failing(&calls[2]))
            .wait(wait)
            .stop(stop::attempts(3))
            .call()
            .is_err()
    );
    assert!(retry::retry(retry::delay::NoDelay.take(3), failing(&calls[3])).is_err());
    let calls = calls.map(|calls| format!("{} calls", calls.get()));
    assert_eq!(row("a limit of 3 means"), calls.each_ref().map(String::as_str));
    // Without `retry_if`, the first of these chains does not compile. The others have no condition.
    let [ours, peers @ ..] = row("retries by default");
    assert_eq!((ours, peers), ("transient errors", ["every error"; 3]));
}

#[test]
fn the_jitter_of_backon_reaches_twice_the_cap_and_that_of_relentless_stays_below() {
    let cap = Duration::from_secs(10);
    let builder = ExponentialBuilder::default()
        .with_jitter()
        .with_jitter_seed(7)
        .with_max_delay(cap)
        .with_max_times(1_000);
    let longest = builder.build().max().expect("delays");
    assert!(longest > cap.mul_f64(1.9) && longest < cap * 2, "{longest:?}");
    assert_eq!(row("jitter above the cap")[1], "up to twice the cap");
    assert_eq!(row("jitter above the cap")[3], "there is no cap");
    let beyond = retry::delay::Exponential::from_millis(100).nth(40).expect("endless");
    assert!(beyond > Duration::from_secs(100 << 30), "{beyond:?}");
}

#[test]
fn a_first_delay_above_the_cap_of_backon_is_waited_in_full() {
    let builder = ExponentialBuilder::default().with_min_delay(Duration::from_secs(120));
    let seconds: Vec<u64> = builder.build().map(|delay| delay.as_secs()).collect();
    assert_eq!(seconds, [120, 60, 60]);
}

#[test]
fn a_fibonacci_delay_of_backon_may_exceed_the_cap_and_its_jitter_is_below_the_first_delay() {
    let builder = FibonacciBuilder::default().with_max_times(13);
    let seconds: Vec<u64> = builder.build().map(|delay| delay.as_secs()).collect();
    assert_eq!(seconds, [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 89, 89]);
    let drawn = builder.with_jitter().with_jitter_seed(7).build();
    for (drawn, nominal) in drawn.zip(builder.build()) {
        assert!(drawn >= nominal && drawn < nominal + Duration::from_secs(1), "{drawn:?}");
    }
}

#[test]
fn delays_of_backon_are_in_single_precision() {
    let builder = ExponentialBuilder::default().with_min_delay(Duration::from_millis(100));
    assert_eq!(builder.build().nth(1), Some(Duration::from_nanos(200_000_003)));
}

#[test]
fn a_chain_of_backon_without_its_last_word_never_runs() {
    let calls = Cell::new(0);
    drop(BlockingRetryable::retry(failing(&calls), ExponentialBuilder::default()));
    assert_eq!(calls.get(), 0);
}

/// Runs a future on a paused clock.
fn paused<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_total_delay_of_backon_leaves_out_the_attempts() {
    paused(async {
        let start = tokio::time::Instant::now();
        let calls = Cell::new(0);
        let slow = || async {
            calls.set(calls.get() + 1);
            sleep(Duration::from_secs(10)).await;
            Err::<(), _>("failed")
        };
        let builder = ExponentialBuilder::default().with_total_delay(Some(Duration::from_secs(7)));
        assert!(backon::Retryable::retry(slow, builder).sleep(sleep).await.is_err());
        assert_eq!((calls.get(), start.elapsed().as_secs()), (4, 47));
    });
}

#[test]
fn tokio_retry_counts_retries_and_begins_before_the_first_poll() {
    paused(async {
        let calls = Cell::new(0);
        let delays = FixedInterval::from_millis(10).take(3);
        let mut operation = failing(&calls);
        let retry = tokio_retry::Retry::start(delays, || ready(operation()));
        assert_eq!(calls.get(), 1);
        assert!(retry.await.is_err());
        assert_eq!(calls.get(), 4);
    });
}

#[test]
fn delays_of_tokio_retry_are_powers_of_the_base() {
    let delays = |backoff: ExponentialBackoff| {
        backoff.take(3).map(|delay| delay.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(delays(ExponentialBackoff::from_millis(100)), [100, 10_000, 1_000_000]);
    assert_eq!(delays(ExponentialBackoff::from_millis(2).factor(1_000)), [2_000, 4_000, 8_000]);
}

#[test]
fn delays_of_retry_below_a_millisecond_vanish() {
    let delays = retry::delay::Exponential::from(Duration::from_micros(500));
    assert!(delays.take(5).all(|delay| delay.is_zero()));
}
