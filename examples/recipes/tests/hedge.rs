//! Hedged requests on a paused clock: the number of calls, and the times of the requests.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use recipes_example::hedge::hedged;
use retry_ext::{AsyncRetryExt, RetryBudget, RetryPolicy};
use tokio::time::{Instant, sleep};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const AFTER: Duration = ms(50);

const REQUESTS: u32 = 10_000;

/// The calls per request, and the times of the requests.
struct Measured {
    calls: f64,
    took: Vec<Duration>,
}

impl Measured {
    /// Returns the time within which 99 of 100 requests were answered.
    fn p99(&self) -> Duration {
        self.took[self.took.len() / 100 * 99]
    }
}

/// Lets 20 clients make requests to a service. The time of a call is computed from its number. Successes feed the
/// budget.
async fn measure(takes: impl Fn(u32) -> u64, budget: RetryBudget) -> Measured {
    let (calls, budget) = (Cell::new(0), &budget);
    let call = || {
        calls.set(calls.get() + 1);
        let time = ms(takes(calls.get()));
        async move {
            sleep(time).await;
            Ok::<_, std::io::Error>(())
        }
    };
    let client = async |_| {
        let mut took = Vec::new();
        for _ in 0..REQUESTS / 20 {
            let start = Instant::now();
            let request = || hedged(call, AFTER, budget);
            request.budget(budget).retry_with(RetryPolicy::new()).await.expect("a success");
            took.push(start.elapsed());
        }
        took
    };
    let mut took = join_all((0..20).map(client)).await.concat();
    took.sort_unstable();
    Measured { calls: f64::from(calls.get()) / f64::from(REQUESTS), took }
}

/// Returns the page that shows the figures.
fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hedging.md");
    std::fs::read_to_string(path).expect("a file of the repository")
}

fn boundless() -> RetryBudget {
    RetryBudget::new().with_min_retries(u32::MAX)
}

fn nothing() -> RetryBudget {
    RetryBudget::new().with_ratio(0.0).with_min_retries(0)
}

#[tokio::test(start_paused = true)]
async fn if_all_calls_are_slow_a_budget_keeps_the_calls_near_one_plus_its_ratio() {
    let budgets = [
        ("no second call", nothing(), "1.00"),
        ("`RetryBudget::new().with_ratio(0.1)`", RetryBudget::new().with_ratio(0.1), "1.10"),
        ("`RetryBudget::new()`", RetryBudget::new(), "1.20"),
        ("without limit", boundless(), "2.00"),
    ];
    for (name, budget, expected) in budgets {
        let calls = format!("{:.2}", measure(|_| 200, budget).await.calls);
        assert_eq!(calls, expected, "{name}");
        let row = format!("| {name} | {calls} |\n");
        assert!(page().contains(&row), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn if_a_few_calls_are_slow_the_hedge_answers_for_them() {
    let a_few = |number| if number % 50 == 0 { 1_000 } else { 10 };
    let single = measure(a_few, nothing()).await;
    assert_eq!((single.calls, single.p99()), (1.0, ms(1_000)));
    let hedged = measure(a_few, RetryBudget::new()).await;
    assert_eq!((format!("{:.2}", hedged.calls).as_str(), hedged.p99()), ("1.02", ms(60)));
    for (name, measured) in [("one call", single), ("hedged", hedged)] {
        let row = format!("| {name} | {:.2} | {} ms |", measured.calls, measured.p99().as_millis());
        assert!(page().contains(&row), "{row}");
    }
}

/// Makes one request whose calls take these times and have these outcomes, and returns the outcome and the time.
async fn request(
    calls: [(u64, Result<u32, u32>); 2],
    budget: &RetryBudget,
) -> (Result<u32, u32>, Duration) {
    let (start, mut calls) = (Instant::now(), calls.into_iter());
    let call = || {
        let (takes, outcome) = calls.next().expect("two calls at most");
        async move {
            sleep(ms(takes)).await;
            outcome
        }
    };
    (hedged(call, AFTER, budget).await, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_first_success_wins_and_if_both_fail_the_last_failure() {
    let granted = boundless();
    for (calls, expected) in [
        ([(20, Ok(1)), (0, Ok(2))], (Ok(1), 20)),
        ([(20, Err(1)), (0, Ok(2))], (Err(1), 20)), // a failure is for the retry
        ([(90, Ok(1)), (90, Ok(2))], (Ok(1), 90)),
        ([(90, Ok(1)), (20, Ok(2))], (Ok(2), 70)),
        ([(90, Ok(1)), (20, Err(2))], (Ok(1), 90)),
        ([(90, Err(1)), (70, Ok(2))], (Ok(2), 120)),
        ([(90, Err(1)), (70, Err(2))], (Err(2), 120)),
    ] {
        let (outcome, time) = expected;
        assert_eq!(request(calls, &granted).await, (outcome, ms(time)), "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_the_first_call_goes_on_and_a_fast_call_withdraws_nothing() {
    let budget = RetryBudget::new().with_min_retries(1);
    let calls = [(90, Ok(1)), (0, Ok(2))];
    assert_eq!(request([(20, Ok(1)), (0, Ok(2))], &budget).await, (Ok(1), ms(20)));
    assert_eq!(budget.available(), 1);
    assert_eq!(request(calls, &budget).await, (Ok(2), ms(50)));
    assert_eq!(budget.available(), 0);
    assert_eq!(request(calls, &budget).await, (Ok(1), ms(90)));
}

#[tokio::test]
async fn a_hedged_and_retried_call_can_be_spawned() {
    let task = tokio::spawn(async {
        let budget = RetryBudget::new();
        let call = || std::future::ready(Ok::<_, std::io::Error>(7));
        (|| hedged(call, AFTER, &budget)).budget(&budget).retry_with(RetryPolicy::new()).await
    });
    assert_eq!(task.await.expect("it does not panic").expect("an answer"), 7);
}
