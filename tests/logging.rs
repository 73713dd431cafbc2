//! The log records, as a logger receives them. The tests share one logger, and run one after
//! another.

mod common;

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::{Break, Fail, ScriptError, failing, play};
use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use retry_ext::{Observation, Observer, RetryExt, RetryPolicy, Verdict};

#[derive(Clone, Debug, PartialEq)]
struct Line {
    level: Level,
    target: String,
    text: String,
    values: Vec<(String, String)>,
    file: Option<String>,
    number: Option<u32>,
}

impl Line {
    fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
/// Whether the logger itself retries something, such as a connection.
static LOGGER_RETRIES: AtomicBool = AtomicBool::new(false);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Recorder;

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        struct Pairs(Vec<(String, String)>);
        impl<'kvs> VisitSource<'kvs> for Pairs {
            fn visit_pair(
                &mut self,
                key: Key<'kvs>,
                value: Value<'kvs>,
            ) -> Result<(), log::kv::Error> {
                self.0.push((key.to_string(), value.to_string()));
                Ok(())
            }
        }
        if LOGGER_RETRIES.load(Ordering::Relaxed) {
            assert!(play(LOAD, &[Fail(1)]).end.is_err());
        }
        let mut pairs = Pairs(Vec::new());
        record.key_values().visit(&mut pairs).expect("the visitor takes everything");
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(Line {
            level: record.level(),
            target: record.target().into(),
            text: record.args().to_string(),
            values: pairs.0,
            file: record.file().map(Into::into),
            number: record.line(),
        });
    }

    fn flush(&self) {}
}

fn alone() -> MutexGuard<'static, ()> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _already_set = log::set_logger(&Recorder);
    log::set_max_level(LevelFilter::Trace);
    taken();
    guard
}

fn taken() -> Vec<Line> {
    std::mem::take(&mut LINES.lock().unwrap_or_else(PoisonError::into_inner))
}

const LOAD: RetryPolicy = RetryPolicy::new().with_name("load");

#[test]
fn r10_one_warning_for_each_retry_and_one_for_giving_up() {
    let _alone = alone();
    assert!(play(LOAD, &[Fail(1)]).end.is_err());
    let lines = taken();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let error_type = std::any::type_name::<ScriptError>();
    assert_eq!(
        texts,
        [
            format!("load: attempt 1 of 3 failed with {error_type}, retrying in 1s"),
            format!("load: attempt 2 of 3 failed with {error_type}, retrying in 2s"),
            format!(
                "load: gave up on {error_type} after 3 attempts and 3s of waiting: attempts exhausted"
            ),
        ]
    );
    assert!(lines.iter().all(|line| line.level == Level::Warn && line.target == "retry_ext"));

    let retry = &lines[1];
    let last = &lines[2];
    for (line, key, value) in [
        (retry, "operation", "load"),
        (retry, "attempt", "2"),
        (retry, "max_attempts", "3"),
        (retry, "delay", "2"),
        (retry, "error_type", error_type),
        (last, "operation", "load"),
        (last, "attempt", "3"),
        (last, "max_attempts", "3"),
        (last, "waited", "3"),
        (last, "reason", "AttemptsExhausted"),
        (last, "error_type", error_type),
    ] {
        assert_eq!(line.value(key), Some(value), "{key}");
    }
    assert_eq!((retry.values.len(), last.values.len()), (5, 6));
}

#[test]
fn r10_after_classify_a_record_names_the_type_of_the_value_or_of_the_error() {
    struct Page;

    let _alone = alone();
    let mut failures = [Ok(Page), Err(ScriptError::Transient(1)), Ok(Page)].into_iter();
    let result = (|| failures.next().expect("an outcome"))
        .classify(|_| Verdict::Transient)
        .sleep_with(|_| ())
        .retry_with(LOAD);
    assert!(result.is_ok());
    let lines = taken();
    let (page, error) = (std::any::type_name::<Page>(), std::any::type_name::<ScriptError>());
    let types: Vec<_> =
        lines.iter().map(|line| line.value("error_type").expect("a type")).collect();
    assert_eq!(types, [page, error, page]);
    assert!(lines[2].text.starts_with(&format!("load: gave up on {page} after 3 attempts")));
}

#[test]
fn r10_a_cancelled_outcome_is_named_by_the_type_of_its_error() {
    let _alone = alone();
    let mut retry = LOAD.start().classify(|_: &Result<u8, ScriptError>| Verdict::Transient);
    let outcome = Err(ScriptError::Transient(1));
    assert!(retry.delay_after_outcome(&outcome).is_ok());
    assert!(retry.cancelled(outcome).into_error().is_err());
    let error = std::any::type_name::<ScriptError>();
    let lines = taken();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.value("error_type") == Some(error)), "{lines:?}");
}

#[test]
fn a_recovery_is_told_at_debug() {
    let _alone = alone();
    assert!(play(LOAD, &failing(2)).end.is_ok());
    let last = taken().pop().expect("a record");
    assert_eq!(last.level, Level::Debug);
    assert_eq!(last.text, "load: succeeded after 3 attempts and 3s of waiting");
    assert_eq!((last.value("attempt"), last.value("waited")), (Some("3"), Some("3")));
}

#[test]
fn a_first_success_and_a_permanent_error_are_not_told() {
    let _alone = alone();
    assert!(play(LOAD, &failing(0)).end.is_ok());
    assert!(play(LOAD, &[Break]).end.is_err());
    assert_eq!(taken(), []);
}

#[test]
fn a_permanent_error_after_a_retry_adds_no_second_warning() {
    let _alone = alone();
    assert!(play(LOAD, &[Fail(1), Break]).end.is_err());
    assert_eq!(taken().len(), 1);
}

#[test]
fn a_cancelled_wait_is_told_as_giving_up() {
    let _alone = alone();
    let result = (|| Err::<(), _>(ScriptError::Transient(1)))
        .sleep_with(|_| std::ops::ControlFlow::Break(()))
        .retry_with(LOAD);
    assert!(result.is_err());
    let last = taken().pop().expect("a record");
    assert_eq!(last.value("reason"), Some("Cancelled"));
}

#[test]
fn without_a_name_the_record_names_the_line_of_the_caller() {
    let _alone = alone();
    let policy = RetryPolicy::new().with_max_attempts(2);
    let fail = || Err::<(), _>(ScriptError::Transient(1));
    let before = Location::caller().line();
    let by_the_trait = fail.retry_with(policy.with_initial_delay(Duration::ZERO));
    let by_the_chain = fail.sleep_with(|_| ()).retry_with(policy);
    assert!(by_the_trait.is_err() && by_the_chain.is_err());
    let places: Vec<_> =
        taken().into_iter().map(|line| (line.file, line.number, line.text)).collect();
    assert_eq!(places.len(), 4);
    for (place, line) in places.iter().zip([1, 1, 2, 2]) {
        assert_eq!(place.0.as_deref(), Some(file!()));
        assert_eq!(place.1, Some(before + line));
        assert!(place.2.starts_with(&format!("{}:{}: ", file!(), before + line)), "{}", place.2);
    }
}

#[test]
fn logging_can_be_turned_off_and_follows_the_level() {
    let _alone = alone();
    assert!(play(LOAD.with_logging(false), &[Fail(1)]).end.is_err());
    assert!(play(LOAD.with_logging(false), &failing(1)).end.is_ok());
    assert_eq!(taken(), []);

    log::set_max_level(LevelFilter::Info);
    assert!(play(LOAD, &failing(1)).end.is_ok());
    assert_eq!(taken().len(), 1, "the warning, and not the recovery");

    log::set_max_level(LevelFilter::Error);
    assert!(play(LOAD, &[Fail(1)]).end.is_err());
    assert_eq!(taken(), []);
}

#[test]
fn the_loop_the_iterator_and_the_future_write_the_same_records_and_name_their_line() {
    use retry_ext::{AsyncRetryExt, RetryIteratorExt};

    let _alone = alone();
    let policy = RetryPolicy::new().with_initial_delay(Duration::ZERO);
    let error = || ScriptError::Transient(1);
    let checked = |name: &str, line: u32| {
        let records = taken();
        let texts: Vec<&str> = records
            .iter()
            .filter_map(|record| record.text.split_once(": ").map(|(_, text)| text))
            .collect();
        let error_type = std::any::type_name::<ScriptError>();
        let expected = [
            format!("attempt 1 of 3 failed with {error_type}, retrying in 0s"),
            format!("attempt 2 of 3 failed with {error_type}, retrying in 0s"),
            "succeeded after 3 attempts".to_owned(),
        ];
        assert_eq!(texts, expected, "{name}");
        assert!(records.iter().all(|record| record.number == Some(line)), "{name}: {records:?}");
    };
    let mut failures = 3;
    let operation = move || {
        failures -= 1;
        if failures == 0 { Ok(()) } else { Err(error()) }
    };
    let at = Location::caller().line();
    assert!(operation.retry_with(policy).is_ok());
    checked("closure", at + 1);

    let at = Location::caller().line();
    let mut retry = policy.start();
    assert!(retry.wait_after(error()).is_ok() && retry.wait_after(error()).is_ok());
    retry.succeeded();
    checked("loop", at + 1);

    let items = [Err(error()), Err(error()), Ok(())].into_iter();
    let at = Location::caller().line();
    assert_eq!(items.retry_with(policy).count(), 1);
    checked("iterator", at + 1);

    let mut failures = 3;
    let operation = move || {
        failures -= 1;
        std::future::ready(if failures == 0 { Ok(()) } else { Err(error()) })
    };
    let chain = operation.sleep_with(|_| std::future::ready(()));
    let at = Location::caller().line();
    assert!(smol::block_on(chain.retry_with(policy)).is_ok());
    checked("future", at + 1);
}

#[test]
fn r10_a_logger_that_retries_is_not_called_from_within_itself() {
    let _alone = alone();
    LOGGER_RETRIES.store(true, Ordering::Relaxed);
    assert!(play(LOAD, &[Fail(1)]).end.is_err());
    LOGGER_RETRIES.store(false, Ordering::Relaxed);
    assert_eq!(taken().len(), 3, "those of the operation, and none of the logger's own retries");
}

#[test]
fn r10_an_observer_is_called_before_the_log() {
    struct First;
    impl Observer for First {
        fn on_retry(&self, _: &Observation, _: Duration) {
            assert_eq!(taken(), []);
        }
        fn on_success(&self, _: &Observation) {
            assert_eq!(taken().len(), 1, "the retry");
        }
    }

    let _alone = alone();
    let mut failures = 1;
    let result = (|| {
        failures -= 1;
        if failures < 0 { Ok(()) } else { Err(ScriptError::Transient(1)) }
    })
    .observe(First)
    .sleep_with(|_| ())
    .retry_with(LOAD);
    assert_eq!(result, Ok(()));
    assert_eq!(taken().len(), 1, "the recovery");
}

#[test]
fn r10_every_way_of_giving_up_on_a_transient_error_is_told_once() {
    use retry_ext::{AsyncRetryExt, RetryBudget, RetryIteratorExt};

    static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);
    let _alone = alone();
    let too_long = common::Busy(Duration::MAX);
    let reason = || {
        let mut records = taken();
        let last = records.pop().expect("a record");
        assert!(records.iter().all(|record| record.value("reason").is_none()));
        last.value("reason").expect("a reason").to_owned()
    };
    assert!(play(LOAD, &[too_long]).end.is_err());
    assert_eq!(reason(), "RetryAfterTooLong");
    assert!(play(LOAD.with_max_elapsed(Duration::ZERO), &[Fail(1)]).end.is_err());
    assert_eq!(reason(), "DeadlineExceeded");
    assert!(play(LOAD.with_budget(&SPENT), &[Fail(1)]).end.is_err());
    assert_eq!(reason(), "BudgetExhausted");
    let items = [Err::<(), _>(ScriptError::Transient(1))].into_iter();
    assert_eq!(items.sleep_with(|_| ()).retry_with(LOAD).count(), 1);
    assert_eq!(reason(), "SourceEnded");
    let mut retry = LOAD.start();
    assert!(retry.delay_after(&ScriptError::Transient(1)).is_ok());
    assert_eq!(retry.cancelled(ScriptError::Transient(1)).attempts(), 1);
    assert_eq!(reason(), "Cancelled");
    let fails = || std::future::ready(Err::<(), _>(ScriptError::Transient(1)));
    let cancelled = || std::future::ready(std::ops::ControlFlow::Break(()));
    assert!(smol::block_on(fails.sleep_with(|_| cancelled()).retry_with(LOAD)).is_err());
    assert_eq!(reason(), "Cancelled");
    // A stopped context does not warn again if it is asked again.
    assert!(retry.delay_after(&ScriptError::Transient(1)).is_err());
    assert_eq!(taken(), []);
}

#[test]
fn r10_a_refused_resume_is_one_warning_without_an_error() {
    let _alone = alone();
    let at = Location::caller().line();
    assert!(RetryPolicy::new().resume(4, Duration::ZERO).is_err());
    assert!(LOAD.with_max_elapsed(Duration::from_secs(9)).resume(1, Duration::MAX).is_err());
    assert!(LOAD.resume(3, Duration::MAX).is_ok());
    assert!(LOAD.with_logging(false).resume(4, Duration::ZERO).is_err());
    let lines = taken();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let place = format!("{}:{}", file!(), at + 1);
    assert_eq!(
        texts,
        [
            format!("{place}: gave up after 3 attempts: attempts exhausted"),
            "load: gave up after 0 attempts: deadline exceeded".to_owned(),
        ]
    );
    assert!(
        lines.iter().all(|line| line.level == Level::Warn && line.value("error_type").is_none())
    );
    assert_eq!((lines[0].value("attempt"), lines[0].number), (Some("3"), Some(at + 1)));
    assert_eq!(lines[1].value("reason"), Some("DeadlineExceeded"));
}
