//! Events and spans reach a subscriber. This test is a separate process, because a subscriber
//! replaces the log records.

use std::io::{Error, ErrorKind};
use std::sync::{Mutex, PoisonError};

use retry_ext::{AsyncRetryExt, RetryExt, RetryPolicy};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, dispatcher};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn see(what: &str, metadata: &Metadata<'_>) {
    let seen = format!("{what} {} {} of {}", metadata.level(), metadata.name(), metadata.target());
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
}

fn seen() -> Vec<String> {
    std::mem::take(&mut SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Names;

impl Subscriber for Names {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "retry_ext"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        see("span", span.metadata());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        see("event", event.metadata());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_closure_and_a_future_emit_events_in_a_span() {
    const SEEN: [&str; 3] = [
        "span DEBUG retry of retry_ext",
        "event WARN retry of retry_ext",
        "event WARN gave_up of retry_ext",
    ];
    dispatcher::set_global_default(Names.into()).expect("the only subscriber");
    let policy = RetryPolicy::new().with_max_attempts(2);
    let fail = || Err::<(), _>(Error::from(ErrorKind::TimedOut));
    assert!(fail.sleep_with(|_| ()).retry_with(policy).is_err());
    assert_eq!(seen(), SEEN);

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let fails = async || fail();
    let future = fails.sleep_with(|_| std::future::ready(())).retry_with(policy);
    assert!(runtime.block_on(future).is_err());
    assert_eq!(seen(), SEEN);
}
