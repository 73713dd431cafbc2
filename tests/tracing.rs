//! Feature `tracing`: events, and the span of an operation, as a subscriber receives them.

mod common;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::future::{Future, poll_fn, ready};
use std::io::{Error, ErrorKind, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Break, Fail, failing, play};
use futures_util::{StreamExt, stream};
use log::{LevelFilter, Log};
use retry_ext::{
    AsyncRetryExt, Observation, Observer, RetryBudget, RetryError, RetryExt, RetryIteratorExt,
    RetryPolicy, RetryStats, RetryStreamExt, retry_with,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, with_default};
use tracing::{Event, Level, Metadata, Subscriber};

const LOAD: RetryPolicy = RetryPolicy::new().with_name("load");

// A subscriber that notes each call.

/// A value, by the visitor's method that received it.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    I64(i64),
    F64(f64),
    Str(String),
    Debug(String),
}

use Value::{F64, I64, Str};

fn shown(text: &str) -> Value {
    Value::Debug(text.to_owned())
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), Value::Debug(format!("{value:?}"))));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), F64(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), I64(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), Str(value.to_owned())));
    }
}

/// A call of the subscriber. Spans count from 1.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Event { name: &'static str, level: Level, span: Option<u64>, fields: Fields },
    Open { span: u64, name: &'static str, level: Level, parent: Option<u64>, fields: Fields },
    Enter(u64),
    Exit(u64),
    Recorded(u64, Fields),
    Close(u64),
}

/// The callbacks of a subscriber that may panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Open,
    Enter,
    Exit,
    Recorded,
    Close,
    Event,
}

#[derive(Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    spans: AtomicU64,
    /// The number of calls of `enabled`.
    asked: AtomicU64,
}

/// A subscriber that calls `on` in each callback, after the note.
struct Recorder<F> {
    notes: Arc<Notes>,
    max_level: Level,
    on: F,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn current() -> Option<u64> {
    ENTERED.with_borrow(|entered| entered.last().copied())
}

impl<F: Fn(At) + 'static> Recorder<F> {
    fn note(&self, seen: Seen, at: At) {
        self.notes.seen.lock().expect("no panic within").push(seen);
        (self.on)(at);
    }
}

impl<F: Fn(At) + 'static> Subscriber for Recorder<F> {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.max_level.into())
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.target() != "retry_ext" {
            return metadata.target() == "test";
        }
        self.notes.asked.fetch_add(1, Ordering::Relaxed);
        *metadata.level() <= self.max_level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.notes.spans.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::default();
        span.record(&mut fields);
        let (name, level) = (span.metadata().name(), *span.metadata().level());
        self.note(Seen::Open { span: id, name, level, parent: current(), fields }, At::Open);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if !fields.0.is_empty() {
            self.note(Seen::Recorded(span.into_u64(), fields), At::Recorded);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (name, level) = (event.metadata().name(), *event.metadata().level());
        self.note(Seen::Event { name, level, span: current(), fields }, At::Event);
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
        self.note(Seen::Enter(span.into_u64()), At::Enter);
    }

    fn exit(&self, span: &Id) {
        assert_eq!(ENTERED.with_borrow_mut(Vec::pop), Some(span.into_u64()));
        self.note(Seen::Exit(span.into_u64()), At::Exit);
    }

    fn try_close(&self, span: Id) -> bool {
        self.note(Seen::Close(span.into_u64()), At::Close);
        true
    }
}

/// Locks the tests against each other, since the highest level of all subscribers is global.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `run` under a subscriber up to `max_level`, and returns the calls of the subscriber.
fn seen_with(
    max_level: Level,
    on: impl Fn(At) + Send + Sync + 'static,
    run: impl FnOnce(),
) -> Vec<Seen> {
    let _alone = alone();
    let notes = Arc::new(Notes::default());
    with_default(Recorder { notes: Arc::clone(&notes), max_level, on }, run);
    std::mem::take(&mut notes.seen.lock().expect("no panic within"))
}

fn seen(run: impl FnOnce()) -> Vec<Seen> {
    seen_with(Level::TRACE, |_| {}, run)
}

fn events(seen: &[Seen]) -> Vec<(&'static str, Level, &Fields)> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Event { name, level, fields, .. } => Some((*name, *level, fields)),
            _ => None,
        })
        .collect()
}

/// Returns the spans in which the events were, in their order.
fn spans_of_events(seen: &[Seen]) -> Vec<Option<u64>> {
    seen.iter()
        .filter_map(|seen| if let Seen::Event { span, .. } = seen { Some(*span) } else { None })
        .collect()
}

fn opened(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| matches!(seen, Seen::Open { .. })).count()
}

/// Returns the fields that were recorded on a span when its operation ended.
fn recorded(seen: &[Seen], of: u64) -> Vec<(&'static str, Value)> {
    seen.iter()
        .filter_map(|seen| {
            if let Seen::Recorded(span, fields) = seen { Some((span, fields)) } else { None }
        })
        .filter(|(span, _)| **span == of)
        .flat_map(|(_, fields)| fields.0.clone())
        .collect()
}

// Programs that print.

#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic within").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the lines that a formatting subscriber prints.
fn printed(max_level: Level, run: impl FnOnce()) -> Vec<String> {
    let _alone = alone();
    let buffer = Printed::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(max_level)
        .with_writer(move || writer.clone())
        .without_time()
        .with_ansi(false)
        .finish();
    with_default(subscriber, run);
    let bytes = buffer.0.lock().expect("no panic within");
    String::from_utf8(bytes.clone()).expect("text").lines().map(str::to_owned).collect()
}

const SCRIPT_ERROR: &str = "tracing::common::ScriptError";

fn refused() -> Result<(), Error> {
    Err(ErrorKind::ConnectionRefused.into())
}

#[test]
fn r10_each_event_is_one_readable_line() {
    let at = Location::caller().line();
    let lines = printed(Level::DEBUG, || {
        assert!(refused.sleep_with(|_| ()).retry_with(LOAD.with_max_attempts(2)).is_err());
        let mut failures = 1;
        let recovers = || {
            failures -= 1;
            if failures < 0 { Ok(()) } else { refused() }
        };
        assert!(recovers.sleep_with(|_| ()).retry_with(RetryPolicy::forever()).is_ok());
        assert!(LOAD.resume(4, Duration::ZERO).is_err());
    });
    let (file, error) = (file!(), "std::io::error::Error");
    let place = |line| format!("caller.file=\"{file}\" caller.line={}", at + line);
    let span = |operation: &str, max_attempts: &str, line| {
        format!("retry{{operation={operation}{max_attempts} {}}}", place(line))
    };
    let load = span("load", " max_attempts=2", 2);
    let unnamed = format!("{file}:{}", at + 8);
    let reconnect = span(&unnamed, "", 8);
    assert_eq!(
        lines,
        [
            format!(
                " WARN {load}: retry_ext: load: attempt 1 of 2 failed with {error}, retrying in 1s operation=load \
                 attempt=1 max_attempts=2 delay=1.0 error_type=\"{error}\" {}",
                place(2)
            ),
            format!(
                " WARN {load}: retry_ext: load: gave up on {error} after 2 attempts and 1s of waiting: attempts exhausted \
                 operation=load attempt=2 max_attempts=2 waited=1.0 reason=AttemptsExhausted error_type=\"{error}\" {}",
                place(2)
            ),
            format!(
                " WARN {reconnect}: retry_ext: {unnamed}: attempt 1 failed with {error}, retrying in 1s \
                 operation={unnamed} attempt=1 delay=1.0 error_type=\"{error}\" {}",
                place(8)
            ),
            format!(
                "DEBUG {reconnect}: retry_ext: {unnamed}: succeeded after 2 attempts and 1s of waiting \
                 operation={unnamed} attempt=2 waited=1.0 {}",
                place(8)
            ),
            format!(
                " WARN retry_ext: load: gave up after 3 attempts: attempts exhausted operation=load attempt=3 \
                 max_attempts=3 reason=AttemptsExhausted {}",
                place(9)
            ),
        ]
    );
}

#[test]
fn r10_an_event_has_typed_fields_and_no_text_of_the_error() {
    let seen = seen_with(Level::WARN, |_| {}, || assert!(play(LOAD, &[Fail(7)]).end.is_err()));
    let events = events(&seen);
    let names: Vec<_> = events.iter().map(|(name, level, _)| (*name, *level)).collect();
    assert_eq!(names, [("retry", Level::WARN), ("retry", Level::WARN), ("gave_up", Level::WARN)]);
    let (_, _, retry) = events[1];
    let (_, _, last) = events[2];
    for (fields, name, value) in [
        (retry, "operation", shown("load")),
        (retry, "attempt", I64(2)),
        (retry, "max_attempts", I64(3)),
        (retry, "delay", F64(2.0)),
        (retry, "error_type", Str(SCRIPT_ERROR.into())),
        (last, "operation", shown("load")),
        (last, "attempt", I64(3)),
        (last, "max_attempts", I64(3)),
        (last, "waited", F64(3.0)),
        (last, "reason", shown("AttemptsExhausted")),
        (last, "error_type", Str(SCRIPT_ERROR.into())),
    ] {
        assert_eq!(fields.get(name), Some(&value), "{name}");
    }
    let of_all = ["message", "operation", "attempt", "max_attempts"];
    let place = ["caller.file", "caller.line"];
    assert_eq!(retry.names(), [&of_all[..], &["delay", "error_type"], &place].concat());
    assert_eq!(last.names(), [&of_all[..], &["waited", "reason", "error_type"], &place].concat());
    assert!(!format!("{seen:?}").contains("failure number"), "{seen:?}");
}

#[test]
fn without_a_limit_there_is_no_max_attempts() {
    let seen = seen(|| assert!(play(RetryPolicy::forever(), &failing(1)).end.is_ok()));
    assert_eq!(events(&seen).len(), 2);
    for fields in seen.iter().filter_map(|seen| match seen {
        Seen::Event { fields, .. } | Seen::Open { fields, .. } => Some(fields),
        _ => None,
    }) {
        assert_eq!(fields.get("max_attempts"), None, "{fields:?}");
    }
}

#[test]
fn r10_a_name_cannot_forge_a_second_line() {
    let name = "a\n WARN b\u{202e}\u{1b}[31m";
    let lines = printed(Level::TRACE, || {
        assert!(play(LOAD.with_name(name), &[Fail(1)]).end.is_err());
    });
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!(line.contains(r"operation=a\u{a} WARN b\u{202e}\u{1b}[31m "), "{line}");
    }
}

#[test]
fn r10_a_first_success_and_a_permanent_error_emit_nothing() {
    let seen = seen(|| {
        assert!(play(LOAD, &failing(0)).end.is_ok());
        assert!(play(LOAD, &[Break]).end.is_err());
    });
    assert_eq!(events(&seen), []);
}

#[test]
fn without_logging_there_is_neither_an_event_nor_a_span() {
    let seen = seen(|| {
        assert!(play(LOAD.with_logging(false), &[Fail(1)]).end.is_err());
        assert!(play(LOAD.with_logging(false), &failing(1)).end.is_ok());
        assert!(LOAD.with_logging(false).resume(4, Duration::ZERO).is_err());
    });
    assert_eq!(seen, []);
}

#[test]
fn a_level_that_is_off_costs_no_call_of_the_subscriber() {
    // Each row has the level, the calls of `enabled`, the events, and the spans.
    for (max_level, asked, emitted, spans) in [
        (Level::ERROR, 0, 0, 0),
        (Level::WARN, 1, 1, 0),
        (Level::INFO, 1, 1, 0),
        (Level::DEBUG, 3, 2, 1),
    ] {
        let notes = Arc::new(Notes::default());
        let recorder = Recorder { notes: Arc::clone(&notes), max_level, on: |_| {} };
        let _alone = alone();
        with_default(recorder, || assert!(play(LOAD, &failing(1)).end.is_ok()));
        let seen = notes.seen.lock().expect("no panic within");
        let calls = (notes.asked.load(Ordering::Relaxed), events(&seen).len(), opened(&seen));
        assert_eq!(calls, (asked, emitted, spans), "{max_level}: {seen:?}");
    }
}

#[test]
fn r10_every_form_emits_the_same_events_and_names_its_line() {
    let policy = RetryPolicy::new().with_initial_delay(Duration::ZERO);
    let failures = || [refused(), refused(), Ok(())].into_iter();
    let checked = |form: &str, line: u32, spans: usize, run: &mut dyn FnMut()| {
        let seen = seen(run);
        let events = events(&seen);
        let names: Vec<_> = events.iter().map(|(name, level, _)| (*name, *level)).collect();
        let expected =
            [("retry", Level::WARN), ("retry", Level::WARN), ("recovered", Level::DEBUG)];
        assert_eq!(names, expected, "{form}");
        for (_, _, fields) in events {
            assert_eq!(fields.get("caller.file"), Some(&Str(file!().into())), "{form}");
            assert_eq!(fields.get("caller.line"), Some(&I64(line.into())), "{form}");
        }
        assert_eq!(opened(&seen), spans, "{form}");
    };
    let at = Location::caller().line();
    checked("closure", at + 3, 1, &mut || {
        let mut outcomes = failures();
        assert!((|| outcomes.next().expect("an outcome")).retry_with(policy).is_ok());
    });
    checked("future", at + 9, 1, &mut || {
        let mut outcomes = failures();
        let operation = || ready(outcomes.next().expect("an outcome"));
        let chain = operation.sleep_with(|_| ready(()));
        let future = chain.retry_with(policy);
        assert!(smol::block_on(future).is_ok());
    });
    checked("loop", at + 13, 0, &mut || {
        let mut retry = policy.start();
        assert!(failures().any(|outcome| retry.step(outcome).expect("a retry").is_some()));
    });
    checked("iterator", at + 17, 0, &mut || {
        assert_eq!(failures().retry_with(policy).count(), 1);
    });
    checked("stream", at + 21, 0, &mut || {
        let chain = stream::iter(failures()).sleep_with(|_| ready(()));
        let items = chain.retry_with(policy);
        assert_eq!(smol::block_on(items.count()), 1);
    });
    checked("attribute", at + 29, 0, &mut || {
        thread_local! {
            static FAILURES: Cell<u32> = const { Cell::new(2) };
        }

        #[retry_with(RetryPolicy::new().with_initial_delay(Duration::ZERO))]
        fn fetch() -> Result<(), RetryError<Error>> {
            FAILURES.set(FAILURES.get().wrapping_sub(1));
            if FAILURES.get() < 2 {
                refused()?;
            }
            Ok(())
        }

        assert!(fetch().is_ok());
    });
}

#[test]
fn every_way_of_giving_up_on_a_transient_error_is_one_event_and_ends_the_span() {
    static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);
    let too_long = common::Busy(Duration::MAX);
    let by_closure =
        |policy: RetryPolicy, step| move || assert!(play(policy, &[step]).end.is_err());
    let cancelled = || {
        let cancel = |_| ControlFlow::Break(());
        assert!(refused.sleep_with(cancel).retry_with(LOAD).is_err());
    };
    let ways: [(&str, &dyn Fn()); 5] = [
        ("AttemptsExhausted", &by_closure(LOAD.with_max_attempts(1), Fail(1))),
        ("RetryAfterTooLong", &by_closure(LOAD, too_long)),
        ("DeadlineExceeded", &by_closure(LOAD.with_max_elapsed(Duration::ZERO), Fail(1))),
        ("BudgetExhausted", &by_closure(LOAD.with_budget(&SPENT), Fail(1))),
        ("Cancelled", &cancelled),
    ];
    for (reason, give_up) in ways {
        let seen = seen(give_up);
        let events = events(&seen);
        let (name, level, fields) = events.last().expect("an event");
        assert_eq!((*name, *level), ("gave_up", Level::WARN), "{reason}");
        assert_eq!(fields.get("reason"), Some(&shown(reason)));
        assert!(events[..events.len() - 1].iter().all(|(name, ..)| *name == "retry"), "{reason}");
        let end = [("attempts", I64(1)), ("waited", F64(0.0)), ("reason", shown(reason))];
        assert_eq!(recorded(&seen, 1), end);
    }
}

#[test]
fn the_span_of_a_closure_holds_its_attempts_its_events_and_its_end() {
    let seen = seen(|| {
        let mut failures = 1;
        let operation = || {
            tracing::info!(target: "test", "an attempt");
            failures -= 1;
            if failures < 0 { Ok(()) } else { refused() }
        };
        assert!(operation.sleep_with(|_| assert_eq!(current(), Some(1))).retry_with(LOAD).is_ok());
        assert_eq!(current(), None);
    });
    let [
        Seen::Open { span: 1, name: "retry", level: Level::DEBUG, parent: None, fields },
        Seen::Enter(1),
        ..,
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!(fields.names(), ["operation", "max_attempts", "caller.file", "caller.line"]);
    assert_eq!(fields.get("operation"), Some(&shown("load")));
    assert_eq!(fields.get("max_attempts"), Some(&I64(3)));
    assert_eq!(spans_of_events(&seen), [Some(1); 4], "two attempts, a retry, a recovery");
    assert_eq!(recorded(&seen, 1), [("attempts", I64(2)), ("waited", F64(1.0))]);
    assert_eq!(seen[seen.len() - 2..], [Seen::Exit(1), Seen::Close(1)]);
}

#[test]
fn the_span_of_a_first_success_and_of_a_permanent_error_has_its_end() {
    let first = seen(|| assert!(play(LOAD, &failing(0)).end.is_ok()));
    assert_eq!(recorded(&first, 1), [("attempts", I64(1)), ("waited", F64(0.0))]);
    let permanent = seen(|| assert!(play(LOAD, &[Fail(1), Break]).end.is_err()));
    let end = [("attempts", I64(2)), ("waited", F64(1.0)), ("reason", shown("Permanent"))];
    assert_eq!(recorded(&permanent, 1), end);
}

#[test]
fn operations_within_an_operation_have_spans_within_its_span() {
    let seen = seen(|| {
        let inner = || play(LOAD, &failing(0)).end;
        assert!(inner.retry_if(|_| true).retry_with(LOAD).is_ok());
    });
    let parents: Vec<_> = seen
        .iter()
        .filter_map(|seen| if let Seen::Open { parent, .. } = seen { Some(*parent) } else { None })
        .collect();
    assert_eq!(parents, [None, Some(1)]);
    for span in [1, 2] {
        assert_eq!(recorded(&seen, span), [("attempts", I64(1)), ("waited", F64(0.0))]);
    }
}

/// Returns a future that is pending once, and then fails or succeeds. It emits an event in each
/// poll.
fn slow(failures: &Cell<i32>) -> impl Future<Output = Result<(), Error>> {
    let mut polled = false;
    poll_fn(move |_| {
        tracing::info!(target: "test", "a poll");
        if !std::mem::replace(&mut polled, true) {
            return Poll::Pending;
        }
        failures.set(failures.get() - 1);
        Poll::Ready(if failures.get() < 0 { Ok(()) } else { refused() })
    })
}

#[test]
fn the_span_of_a_future_is_entered_in_each_poll_and_never_across_an_await() {
    let seen = seen(|| {
        let counts = [Cell::new(1), Cell::new(1)];
        let futures = counts.each_ref().map(|failures| {
            (move || slow(failures)).sleep_with(|_| smol::future::yield_now()).retry_with(LOAD)
        });
        let [mut one, mut two] = futures.map(Box::pin);
        let mut context = Context::from_waker(Waker::noop());
        let mut done = [false; 2];
        while done != [true; 2] {
            for (future, done) in [&mut one, &mut two].into_iter().zip(&mut done) {
                if !*done {
                    *done = future.as_mut().poll(&mut context).is_ready();
                }
                assert_eq!(current(), None, "between two polls");
            }
        }
    });
    for span in [1, 2] {
        let of_span = spans_of_events(&seen).into_iter().filter(|of| *of == Some(span)).count();
        assert_eq!(of_span, 4 + 2, "two polls of two attempts, a retry, a recovery");
        assert_eq!(recorded(&seen, span), [("attempts", I64(2)), ("waited", F64(1.0))]);
        assert!(seen.contains(&Seen::Close(span)));
        let entered = seen.iter().filter(|seen| **seen == Seen::Enter(span)).count();
        let exited = seen.iter().filter(|seen| **seen == Seen::Exit(span)).count();
        assert_eq!((entered, exited), (4, 4));
    }
    assert_eq!(spans_of_events(&seen).len(), 2 * (4 + 2));
}

#[test]
fn a_future_opens_no_span_before_its_first_poll_and_closes_it_when_it_is_dropped() {
    let hangs = || std::future::pending::<Result<(), Error>>();
    let unpolled = seen(|| drop(hangs.sleep_with(|_| ready(())).retry_with(LOAD)));
    assert_eq!(unpolled, []);
    let dropped = seen(|| {
        let mut future = Box::pin(hangs.sleep_with(|_| ready(())).retry_with(LOAD));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    let [Seen::Open { .. }, Seen::Enter(1), Seen::Exit(1), Seen::Close(1)] = &dropped[..] else {
        panic!("{dropped:?}");
    };
}

#[test]
fn r10_with_a_subscriber_no_record_is_logged() {
    static LOGGED: AtomicU64 = AtomicU64::new(0);

    struct Counter;

    impl Log for Counter {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            LOGGED.fetch_add(u64::from(record.target() == "retry_ext"), Ordering::Relaxed);
        }
        fn flush(&self) {}
    }

    log::set_logger(&Counter).expect("the only logger");
    log::set_max_level(LevelFilter::Trace);
    let seen = seen(|| assert!(play(LOAD, &failing(2)).end.is_ok()));
    assert_eq!((events(&seen).len(), LOGGED.load(Ordering::Relaxed)), (3, 0));
}

#[test]
fn r10_a_subscriber_that_retries_is_not_called_from_within_itself() {
    static RETRIED: AtomicU64 = AtomicU64::new(0);
    let retries = |_| {
        RETRIED.fetch_add(1, Ordering::Relaxed);
        assert_eq!(refused.sleep_with(|_| ()).retry_with(LOAD).expect_err("refused").attempts(), 3);
    };
    let seen = seen_with(Level::TRACE, retries, || {
        assert!(play(LOAD, &failing(1)).end.is_ok());
        let mut outcomes = [refused(), Ok(())].into_iter();
        let operation = || ready(outcomes.next().expect("an outcome"));
        let future = operation.sleep_with(|_| ready(())).retry_with(LOAD);
        assert!(smol::block_on(future).is_ok());
    });
    assert_eq!((opened(&seen), events(&seen).len()), (2, 2 + 2), "{seen:?}");
    assert_eq!(RETRIED.load(Ordering::Relaxed), u64::try_from(seen.len()).expect("a few"));
}

#[test]
fn r10_an_observer_is_called_before_the_event() {
    struct First(Arc<Mutex<Vec<&'static str>>>);
    impl Observer for First {
        fn on_retry(&self, _: &Observation, _: Duration) {
            self.0.lock().expect("no panic within").push("observer");
        }
    }

    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let on = move |at| {
        if at == At::Event {
            noted.lock().expect("no panic within").push("event");
        }
    };
    let first = First(Arc::clone(&order));
    seen_with(Level::WARN, on, || {
        let result =
            refused.observe(&first).sleep_with(|_| ()).retry_with(LOAD.with_max_attempts(2));
        assert!(result.is_err());
    });
    assert_eq!(*order.lock().expect("no panic within"), ["observer", "event", "event"]);
}

/// The state after a panic: the retries charged to the budget, and the counters.
#[derive(Debug, PartialEq)]
struct Left {
    charged: u32,
    retries: u64,
    succeeded: u64,
    gave_up: u64,
}

type Form = fn(RetryPolicy, &RetryStats, &mut dyn FnMut() -> Result<(), Error>);

#[test]
fn r15_a_subscriber_that_panics_finds_the_state_right() {
    let left = |charged, retries, succeeded, gave_up| Left { charged, retries, succeeded, gave_up };
    // Each row has the failures before a success, the callback, the number of its panicking call,
    // and the state afterwards.
    let table = [
        (9, At::Open, 1, left(0, 0, 0, 0)),
        (9, At::Enter, 1, left(0, 0, 0, 0)),
        (9, At::Event, 1, left(1, 1, 0, 0)),
        (9, At::Event, 3, left(2, 2, 0, 1)),
        (9, At::Recorded, 1, left(2, 2, 0, 1)),
        (1, At::Event, 2, left(1, 1, 1, 0)),
        (1, At::Recorded, 1, left(1, 1, 1, 0)),
        (0, At::Recorded, 1, left(0, 0, 1, 0)),
        (0, At::Exit, 1, left(0, 0, 1, 0)),
        (0, At::Close, 1, left(0, 0, 1, 0)),
    ];
    let by_closure: Form = |policy, stats, operation| {
        let _end = operation.observe(stats).sleep_with(|_| ()).retry_with(policy);
    };
    let by_future: Form = |policy, stats, operation| {
        let operation = || ready(operation());
        let chain = operation.observe(stats).sleep_with(|_| ready(()));
        let _end = smol::block_on(chain.retry_with(policy));
    };
    for (form, run) in [("closure", by_closure), ("future", by_future)] {
        for (failures, at, call, expected) in &table {
            let budget: &'static RetryBudget =
                Box::leak(Box::new(RetryBudget::new().with_min_retries(10).with_ratio(0.0)));
            let stats = RetryStats::new();
            let (panicking, calls) = (*at, AtomicU64::new(0));
            let nth = *call;
            let on = move |at| {
                let is_due = at == panicking && calls.fetch_add(1, Ordering::Relaxed) + 1 == nth;
                assert!(!is_due, "in a subscriber");
            };
            seen_with(Level::TRACE, on, || {
                let mut calls = 0;
                let mut operation = || {
                    calls += 1;
                    if calls <= *failures { refused() } else { Ok(()) }
                };
                let run = || run(LOAD.with_budget(budget), &stats, &mut operation);
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "{at:?} {call} in a {form}");
                ENTERED.with_borrow_mut(Vec::clear);
            });
            let seen = stats.snapshot();
            let found = left(
                10 - budget.available(),
                seen.retries,
                seen.succeeded_at_first + seen.succeeded_after_retry,
                seen.reasons().map(|(_, count)| count).sum(),
            );
            assert_eq!(found, *expected, "{at:?} {call} in a {form}");
            // The thread reports again.
            let seen = self::seen(|| assert!(play(LOAD, &[Fail(1)]).end.is_err()));
            assert_eq!((opened(&seen), events(&seen).len()), (1, 3));
        }
    }
}
