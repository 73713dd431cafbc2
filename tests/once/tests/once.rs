//! Each report is one log record or one event, with any features of tracing.

use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log};
use retry_ext::{RetryExt, RetryPolicy};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn add(list: &Mutex<Vec<String>>, text: String) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

fn taken(list: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut list.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // With `log-always`, the spans of every program write records. Those do not count here.
        let text = record.args().to_string();
        if text.starts_with("load: ") {
            add(&RECORDS, text);
        }
    }

    fn flush(&self) {}
}

struct Events;

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Events {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut Message(&mut text));
        add(&EVENTS, text);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs an operation that fails twice, then succeeds.
fn recover() {
    let mut failures = 2;
    let operation = || {
        failures -= 1;
        if failures < 0 { Ok(()) } else { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) }
    };
    let policy = RetryPolicy::new().with_name("load");
    assert!(operation.sleep_with(|_| ()).retry_with(policy).is_ok());
}

const LINES: [&str; 3] = [
    "load: attempt 1 of 3 failed with std::io::error::Error, retrying in 1s",
    "load: attempt 2 of 3 failed with std::io::error::Error, retrying in 2s",
    "load: succeeded after 3 attempts and 3s of waiting",
];

/// The only test, since a process has one logger and one subscriber.
#[test]
fn r10_each_report_is_one_record_or_one_event() {
    log::set_logger(&Logger).expect("the only logger");
    log::set_max_level(LevelFilter::Trace);
    recover();
    assert_eq!((taken(&RECORDS), taken(&EVENTS)), (LINES.map(str::to_owned).to_vec(), vec![]));

    tracing::subscriber::set_global_default(Events).expect("the only subscriber");
    recover();
    assert_eq!(taken(&EVENTS), LINES);
    let records = taken(&RECORDS);
    if cfg!(feature = "log-always") {
        // Tracing writes the records, with the fields after the line.
        assert_eq!(records.len(), LINES.len(), "{records:?}");
        assert!(records.iter().zip(LINES).all(|(record, line)| record.starts_with(line)));
    } else {
        assert_eq!(records, [""; 0]);
    }
}
