//! What a call allocates: nothing, neither on success nor on failure, while nobody logs.

use std::time::Duration;

use allocation_counter::measure;
use retry_ext::{Backoff, IsTransient, Jitter, RetryExt, RetryPolicy};

#[derive(Debug)]
struct Plain;

impl IsTransient for Plain {
    fn is_transient(&self) -> bool {
        true
    }
}

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
