//! Pitfall 37 and rule 10: loggers and observers that retry by themselves.
//!
//! A logger is global, so these tests run in a separate process.

mod common;

use std::cell::Cell;
use std::future::ready;
use std::io::{Error, ErrorKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::poll_to_end;
use log::{LevelFilter, Log, Metadata, Record};
use retry_ext::{
    AsyncRetryExt, Observation, Observer, RetryExt, RetryIteratorExt, RetryPolicy, RetryStats,
    StopReason,
};

const POLICY: RetryPolicy = RetryPolicy::new();

fn refused() -> Result<(), Error> {
    Err(ErrorKind::ConnectionRefused.into())
}

/// A logger that ships each record with retries, and holds a lock meanwhile.
struct Shipper;

static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static SHIPMENTS: AtomicU32 = AtomicU32::new(0);

impl Log for Shipper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // This blocks forever if a record of a retry is logged from within another record.
        let records = (record.target() == "retry_ext").then(|| RECORDS.lock().expect("no panic"));
        let shipped = (|| {
            SHIPMENTS.fetch_add(1, Ordering::Relaxed);
            refused()
        })
        .sleep_with(|_| ())
        .retry_with(POLICY);
        assert_eq!(shipped.expect_err("refused").attempts(), 3);
        if let Some(mut records) = records {
            let text = record.args().to_string();
            records.push(text.split_once(": ").map_or("", |(_place, text)| text).to_owned());
        }
    }

    fn flush(&self) {}
}

/// An observer that reports each of its calls by retrying.
#[derive(Default)]
struct Reporter {
    stats: RetryStats,
    sent: AtomicU32,
}

impl Reporter {
    fn send(&self) {
        let sent = (|| {
            self.sent.fetch_add(1, Ordering::Relaxed);
            refused()
        })
        .observe(self)
        .sleep_with(|_| ())
        .retry_with(POLICY);
        assert_eq!(sent.expect_err("refused").attempts(), 3);
    }
}

impl Observer for Reporter {
    fn on_retry(&self, observation: &Observation, delay: Duration) {
        self.stats.on_retry(observation, delay);
        self.send();
    }

    fn on_success(&self, observation: &Observation) {
        self.stats.on_success(observation);
        self.send();
    }

    fn on_give_up(&self, observation: &Observation, reason: StopReason) {
        self.stats.on_give_up(observation, reason);
        self.send();
    }
}

fn records() -> Vec<String> {
    std::mem::take(&mut *RECORDS.lock().expect("no panic within"))
}

/// Fails twice, then succeeds.
fn recovering() -> impl FnMut() -> Result<(), Error> {
    let failures = Cell::new(2);
    move || {
        failures.set(failures.get() - 1);
        if failures.get() >= 0 { refused() } else { Ok(()) }
    }
}

const OF_A_RECOVERY: [&str; 3] = [
    "attempt 1 of 3 failed with std::io::error::Error, retrying in 1s",
    "attempt 2 of 3 failed with std::io::error::Error, retrying in 2s",
    "succeeded after 3 attempts and 3s of waiting",
];

/// The only test, since a process has one logger.
#[test]
fn p37_a_logger_and_an_observer_that_retry_report_once_and_lose_nothing() {
    log::set_boxed_logger(Box::new(Shipper)).expect("the only logger");
    log::set_max_level(LevelFilter::Trace);

    // The program's record is shipped, and so are the three records of that retry, and no more.
    log::info!("hello");
    assert_eq!((SHIPMENTS.swap(0, Ordering::Relaxed), records().len()), (3 + 3 * 3, 3));

    // In every form, exactly the records of the outer operation are there.
    let policy = POLICY.with_name("outer");
    recovering().sleep_with(|_| ()).retry_with(policy).expect("a recovery");
    assert_eq!(records(), OF_A_RECOVERY);
    let mut operation = recovering();
    let future = (|| ready(operation())).sleep_with(|_| ready(())).retry_with(policy);
    poll_to_end(future).0.expect("a recovery");
    assert_eq!(records(), OF_A_RECOVERY);
    let mut operation = recovering();
    let source = std::iter::from_fn(|| Some(operation()));
    source.sleep_with(|_| ()).retry_with(policy).next().expect("an item").expect("a recovery");
    assert_eq!(records(), OF_A_RECOVERY);
    let (mut operation, mut retry) = (recovering(), policy.start());
    while let Err(error) = operation() {
        retry.delay_after(&error).expect("a retry");
    }
    retry.succeeded();
    assert_eq!(records(), OF_A_RECOVERY);
    assert_eq!(SHIPMENTS.swap(0, Ordering::Relaxed), 4 * 3 * 3);

    // The observer sees the outer operation alone, and the observer's retries are not logged
    // either.
    let reporter = Reporter::default();
    recovering().observe(&reporter).sleep_with(|_| ()).retry_with(policy).expect("a recovery");
    let seen = reporter.stats.snapshot();
    assert_eq!((seen.retries, seen.calls, seen.succeeded_after_retry), (2, 3, 1));
    assert_eq!(reporter.sent.load(Ordering::Relaxed), 3 * 3);
    assert_eq!(records(), OF_A_RECOVERY);

    // On another thread, another operation is reported as usual.
    std::thread::scope(|scope| {
        scope.spawn(|| refused.sleep_with(|_| ()).retry_with(policy).expect_err("refused"));
    });
    assert_eq!(records().len(), 3);
}
