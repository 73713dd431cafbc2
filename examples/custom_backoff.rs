//! `cargo run --example custom_backoff`
//!
//! Prints the delays of each backoff and of each jitter, and then waits along a custom curve.

use std::time::{Duration, Instant};

use retry_ext::{Backoff, Jitter, RetryExt, RetryPolicy, attempts};

const SCHEDULE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(30)];

/// Returns 10, 10, 20, 30, 50, 80 … ms, a series that grows more gently than doubling.
fn fibonacci(retry: u32) -> Duration {
    let step = |(a, b): (u32, u32), _| (b, a.saturating_add(b));
    let (number, _) = (1..retry.min(50)).fold((1, 1), step);
    Duration::from_millis(10).saturating_mul(number)
}

fn series(backoff: Backoff) -> String {
    let seconds: Vec<String> =
        backoff.iter().take(8).map(|delay| format!("{:>8.3}", delay.as_secs_f64())).collect();
    seconds.concat()
}

fn main() {
    println!("nominal delays before retry 1 to 8, in seconds");
    for (name, backoff) in [
        ("exponential", Backoff::exponential()),
        ("gentle", Backoff::exponential().with_factor(1.5)),
        ("linear", Backoff::linear()),
        ("constant", Backoff::constant(Duration::from_secs(5))),
        ("schedule", Backoff::schedule(&SCHEDULE)),
        ("fibonacci", Backoff::custom(fibonacci)),
    ] {
        println!("  {name:13}{}", series(backoff));
    }

    println!("exponential, capped at 10 s, with jitter: different at each run");
    let capped = Backoff::exponential().with_max_delay(Duration::from_secs(10));
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        println!("  {:13}{}", format!("{jitter:?}"), series(capped.with_jitter(jitter)));
    }

    println!("a search that succeeds at the sixth attempt, along the fibonacci curve");
    let policy = RetryPolicy::from(Backoff::custom(fibonacci)).with_max_attempts(10);
    let started = Instant::now();
    let search = |number| if number == 6 { Ok("found") } else { Err("not there yet") };
    let found = attempts(|attempt| search(attempt.number()))
        .retry_if(|_| true)
        .on_retry(|retry| println!("  {retry}: {}", retry.error))
        .retry_with(policy);
    match found {
        Ok(found) => println!("  {found} after {:.1?}", started.elapsed()),
        Err(error) => println!("  {error}: {}", error.error()),
    }
}
