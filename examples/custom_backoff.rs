//! `cargo run --example custom_backoff`
//!
//! Prints the delays of each strategy and of each jitter, and then waits along a curve of its own.

use std::time::{Duration, Instant};

use retry_ext::{Backoff, Jitter, RetryExt, RetryPolicy};

/// 10, 10, 20, 30, 50, 80 … ms: grows like doubling, but more gently.
fn fibonacci(retry: u32) -> Duration {
    let step = |(a, b): (u64, u64), _| (b, a.saturating_add(b));
    // The 90th number is the last but a few that 64 bits hold; the cap is far below.
    let (number, _) = (1..retry.min(90)).fold((1, 1), step);
    Duration::from_millis(number.saturating_mul(10))
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
        ("fibonacci", Backoff::custom(fibonacci)),
    ] {
        println!("  {name:13}{}", series(backoff));
    }

    println!("exponential, capped at 10 s, with jitter: other numbers at each run");
    let capped = Backoff::exponential().with_max_delay(Duration::from_secs(10));
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        println!("  {:13}{}", format!("{jitter:?}"), series(capped.with_jitter(jitter)));
    }

    println!("a search that succeeds at the sixth attempt, along the fibonacci curve");
    let policy = RetryPolicy::from(Backoff::custom(fibonacci)).with_max_attempts(10);
    let started = Instant::now();
    let mut attempt = 0;
    let found = (|| {
        attempt += 1;
        if attempt == 6 { Ok("found") } else { Err("not there yet") }
    })
    .retry_if(|_| true)
    .on_retry(|retry| println!("  {retry}"))
    .retry_with(policy);
    match found {
        Ok(found) => println!("  {found} after {:?}", started.elapsed()),
        Err(error) => println!("  {error}: {}", error.error()),
    }
}
