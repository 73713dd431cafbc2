//! The checks that `tests/chromium.rs` calls in the browser, one by one. Each returns its figures as JSON.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::panic;
use std::time::Duration;

use futures_util::StreamExt;
use js_sys::Date;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use retry_ext::{
    AsyncRetryExt, Backoff, CheckStatus, HttpError, Jitter, RetryBudget, RetryError, RetryExt,
    RetryPolicy, RetryStreamExt, StatusError,
};
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::window;

type FetchError = HttpError<reqwest::Error>;

const MS: Duration = Duration::from_millis(1);
const NO_DELAY: RetryPolicy = RetryPolicy::new().with_initial_delay(Duration::ZERO);

/// Shows panics in an attribute of the page, where the test reads them.
#[wasm_bindgen]
pub fn show_panics() {
    panic::set_hook(Box::new(|info| {
        let document = window().and_then(|window| window.document());
        if let Some(body) = document.and_then(|document| document.body()) {
            drop(body.dataset().set("panic", &info.to_string()));
        }
    }));
}

/// Returns the time in milliseconds, from another clock than the crate's, which is under test.
fn since(start: f64) -> f64 {
    Date::now() - start
}

fn timed_out() -> io::Error {
    ErrorKind::TimedOut.into()
}

async fn get(path: &str) -> Result<String, FetchError> {
    let origin = window().and_then(|window| window.location().origin().ok());
    let url = format!("{}{path}", origin.expect("a page has an origin"));
    Ok(reqwest::Client::new().get(url).send().await?.check_status()?.text().await?)
}

/// Uses a policy with a deadline and a budget, and shows it.
#[wasm_bindgen]
pub async fn first_success(path: &str) -> String {
    static BUDGET: RetryBudget = RetryBudget::new().with_ratio(1.0);

    let policy = RetryPolicy::within(Duration::from_secs(10)).with_budget(&BUDGET);
    let text = (|| get(path)).retry_with(policy).await.map_err(RetryError::into_error);
    format!(
        r#"{{"text":{:?},"available":{},"policy":{:?}}}"#,
        text.unwrap_or_else(|error| error.to_string()),
        BUDGET.available(),
        format!("{policy:?}"),
    )
}

/// Fetches up to four times, with delays that double from 50 ms.
#[wasm_bindgen]
pub async fn doubling(path: &str) -> String {
    let (start, delays) = (Date::now(), RefCell::new(Vec::new()));
    let policy = RetryPolicy::new().with_max_attempts(4).with_initial_delay(50 * MS);
    let result = (|| get(path))
        .on_retry(|retry| delays.borrow_mut().push(retry.delay.as_millis()))
        .retry_with(policy)
        .await;
    let error = result.err().map(|error| error.error().to_string()).unwrap_or_default();
    format!(r#"{{"error":{error:?},"delays":{:?},"elapsed":{}}}"#, delays.borrow(), since(start))
}

/// Fetches without waits until the deadline of 600 ms: the time of the attempts alone ends it.
#[wasm_bindgen]
pub async fn deadline(path: &str) -> String {
    let start = Date::now();
    let policy = RetryPolicy::within(600 * MS).with_initial_delay(Duration::ZERO);
    outcome(&(|| get(path)).retry_with(policy).await, start)
}

/// Waits 40 ms before each retry, with a deadline of 100 ms.
#[wasm_bindgen]
pub async fn deadline_of_waits() -> String {
    let start = Date::now();
    let policy = RetryPolicy::within(100 * MS).with_backoff(Backoff::constant(40 * MS));
    let fail = async || Err::<(), _>(timed_out());
    let wait = |delay: Duration| {
        let millis = u32::try_from(delay.as_millis()).expect("the delays are short");
        gloo_timers::future::TimeoutFuture::new(millis)
    };
    outcome(&fail.sleep_with(wait).retry_with(policy).await, start)
}

/// Retries until the budget refuses, and shows the budget before and after its window, which is `window` milliseconds
/// long.
#[wasm_bindgen]
pub async fn budget(window: u32) -> String {
    let budget = RetryBudget::new().with_min_retries(3).with_window(window * MS);
    let start = Date::now();
    let fail = async || Err::<(), _>(timed_out());
    let result = fail.budget(&budget).retry_with(NO_DELAY.with_max_attempts(10)).await;
    let left = budget.available();
    gloo_timers::future::TimeoutFuture::new(window + 500).await;
    let outcome = outcome(&result, start);
    format!(r#"{{"outcome":{outcome},"left":{left},"later":{}}}"#, budget.available())
}

/// Makes two attempts of an operation that hangs, with a limit of 50 ms each.
#[wasm_bindgen]
pub async fn timeout() -> String {
    let start = Date::now();
    let hang = async || pending::<Result<(), io::Error>>().await;
    let policy = NO_DELAY.with_max_attempts(2);
    let result = hang.timeout_each(50 * MS).retry_with(policy).await;
    outcome(&result, start)
}

/// Runs a loop that fails twice, with waits of 20 and 40 ms.
#[wasm_bindgen]
pub async fn a_loop() -> String {
    let (start, mut calls) = (Date::now(), 0);
    let mut retry = RetryPolicy::new().with_initial_delay(20 * MS).start();
    let result = loop {
        calls += 1;
        let outcome = if calls < 3 { Err(timed_out()) } else { Ok(()) };
        match retry.step_async(outcome).await {
            Ok(None) => {}
            Ok(Some(())) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    format!(r#"{{"calls":{calls},"outcome":{}}}"#, outcome(&result, start))
}

/// Reads a stream whose first item fails, with a wait of 20 ms.
#[wasm_bindgen]
pub async fn stream() -> String {
    let start = Date::now();
    let source = futures_util::stream::iter([Err(timed_out()), Ok(7)]);
    let retried = source.retry_with(RetryPolicy::new().with_initial_delay(20 * MS));
    let items: Vec<_> = retried.map(|item| item.unwrap_or(0)).collect().await;
    format!(r#"{{"items":{items:?},"elapsed":{}}}"#, since(start))
}

/// Draws the delays of two clients.
#[wasm_bindgen]
pub fn jitter() -> String {
    let backoff = Backoff::exponential().with_jitter(Jitter::Full);
    let draw = || backoff.iter().take(4).map(|delay| delay.as_nanos()).collect::<Vec<_>>();
    format!("[{:?},{:?}]", draw(), draw())
}

/// Fails, waits this many microseconds, and succeeds. Returns the number of calls.
#[wasm_bindgen]
pub async fn wait(micros: u64) -> u32 {
    let calls = Cell::new(0);
    let delay = Duration::from_micros(micros);
    let policy = RetryPolicy::new().with_max_delay(delay).with_initial_delay(delay);
    let fail_once = async || {
        calls.set(calls.get() + 1);
        if calls.get() > 1 { Ok(()) } else { Err(timed_out()) }
    };
    drop(fail_once.retry_with(policy).await);
    calls.get()
}

/// Runs a blocking retry with a zero delay, and then with a longer delay, which panics.
#[wasm_bindgen]
pub fn blocking() {
    let fail = || Err::<(), _>(timed_out());
    let attempts = fail.retry_with(NO_DELAY).map_or_else(|error| error.attempts(), |()| 0);
    assert_eq!(attempts, 3);
    drop(fail.retry_with(RetryPolicy::new()));
}

/// Returns the hint of a date in seconds, without a server's `Date`.
#[wasm_bindgen]
pub fn hint(date: &str) -> Option<f64> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(date).expect("a date is ASCII"));
    let error = StatusError::check(StatusCode::SERVICE_UNAVAILABLE, &headers).err()?;
    error.retry_after().map(|hint| hint.as_secs_f64())
}

fn outcome<T, E: std::fmt::Display>(result: &Result<T, RetryError<E>>, start: f64) -> String {
    let elapsed = since(start);
    match result {
        Ok(_) => format!(r#"{{"reason":null,"elapsed":{elapsed}}}"#),
        Err(error) => format!(
            r#"{{"reason":"{:?}","attempts":{},"error":{:?},"waited":{},"elapsed":{elapsed}}}"#,
            error.reason(),
            error.attempts(),
            error.error().to_string(),
            error.waited().as_millis(),
        ),
    }
}
