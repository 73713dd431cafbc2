//! `Observer` and `RetryStats`: their reports, through every driver.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Break, Busy, Fail, ScriptError, Step, Succeed, secs};
use retry_ext::{
    AsyncRetryExt, Observation, Observer, RetryExt, RetryIteratorExt, RetryPolicy, RetryStats,
    StopReason,
};

/// An observer that writes down its reports.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, observation: &Observation, what: &str) {
        let Observation { name, attempt, max_attempts, waited, .. } = observation;
        let line = format!("{} {attempt}/{max_attempts} {waited:?}: {what}", name.unwrap_or("-"));
        self.0.lock().expect("the lock is not poisoned").push(line);
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("the lock is not poisoned"))
    }
}

impl Observer for Diary {
    fn on_retry(&self, observation: &Observation, delay: Duration) {
        self.note(observation, &format!("retry in {delay:?}"));
    }

    fn on_success(&self, observation: &Observation) {
        self.note(observation, "success");
    }

    fn on_give_up(&self, observation: &Observation, reason: StopReason) {
        self.note(observation, &reason.to_string());
    }
}

const POLICY: RetryPolicy = RetryPolicy::new().with_name("load");

fn steps(script: &[Step]) -> impl FnMut() -> Result<(), ScriptError> + '_ {
    let mut script = script.iter();
    move || script.next().expect("the script is long enough").play()
}

/// Plays the script through every driver. Returns the reports, which must be the same for all.
fn heard(script: &[Step]) -> Vec<String> {
    let diary = Diary::default();
    let _end = steps(script).observe(&diary).sleep_with(|_| ()).retry_with(POLICY);
    let by_closure = diary.read();

    let _end = script
        .iter()
        .map(|s| s.play())
        .observe(&diary)
        .sleep_with(|_| ())
        .retry_with(POLICY)
        .next();
    assert_eq!(diary.read(), by_closure, "iterator");

    let mut operation = steps(script);
    let future = (|| std::future::ready(operation()))
        .observe(&diary)
        .sleep_with(|_| std::future::ready(()))
        .retry_with(POLICY);
    let _end = smol::block_on(future);
    assert_eq!(diary.read(), by_closure, "future");

    let leaked: &'static Diary = Box::leak(Box::new(Diary::default()));
    let mut retry = POLICY.start().observe(leaked);
    let mut operation = steps(script);
    loop {
        match operation() {
            Ok(()) => break retry.succeeded(),
            Err(error) if retry.delay_after(&error).is_err() => break,
            Err(_) => {}
        }
    }
    assert_eq!(leaked.read(), by_closure, "loop");
    by_closure
}

#[test]
fn a_first_success_is_heard() {
    assert_eq!(heard(&[Succeed]), ["load 1/3 0ns: success"]);
}

#[test]
fn retries_and_a_recovery_are_heard() {
    assert_eq!(
        heard(&[Fail(1), Busy(secs(5)), Succeed]),
        ["load 1/3 0ns: retry in 1s", "load 2/3 1s: retry in 5s", "load 3/3 6s: success"]
    );
}

#[test]
fn every_giving_up_is_heard_once_also_the_permanent() {
    assert_eq!(heard(&[Break]), ["load 1/3 0ns: permanent error"]);
    assert_eq!(
        heard(&[Fail(1), Fail(2), Fail(3)]),
        [
            "load 1/3 0ns: retry in 1s",
            "load 2/3 1s: retry in 2s",
            "load 3/3 3s: attempts exhausted",
        ]
    );
    assert_eq!(heard(&[Busy(secs(61))]), ["load 1/3 0ns: retry-after too long"]);
}

#[test]
fn a_cancelled_wait_and_an_ended_source_are_heard() {
    let diary = Diary::default();
    let cancel = |_| std::ops::ControlFlow::Break(());
    assert!(steps(&[Fail(1)]).observe(&diary).sleep_with(cancel).retry_with(POLICY).is_err());
    assert_eq!(diary.read(), ["load 1/3 0ns: retry in 1s", "load 1/3 0ns: cancelled"]);

    let source = [Fail(1).play()].into_iter().observe(&diary).sleep_with(|_| ());
    assert_eq!(source.retry_with(POLICY).count(), 1);
    assert_eq!(diary.read(), ["load 1/3 0ns: retry in 1s", "load 2/3 1s: the source ended"]);
}

#[test]
fn logging_off_does_not_silence_the_observer() {
    let diary = Diary::default();
    let quiet = POLICY.with_logging(false);
    assert!(steps(&[Fail(1), Break]).observe(&diary).sleep_with(|_| ()).retry_with(quiet).is_err());
    assert_eq!(diary.read().len(), 2);
}

/// An observer that retries, and is attached to its own retries.
#[derive(Default)]
struct Retrying(AtomicU32);

impl Observer for Retrying {
    fn on_retry(&self, _observation: &Observation, _delay: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let fails = steps(&[Fail(1), Fail(2), Fail(3)]);
        let end = fails.observe(self).sleep_with(|_| ()).retry_with(POLICY);
        assert_eq!(end.map_err(|stopped| stopped.attempts()), Err(3), "it retries, unobserved");
    }
}

#[test]
fn r10_nothing_is_observed_from_within_an_observation() {
    let observer = Retrying::default();
    for operation in 1..=2 {
        let fails = steps(&[Fail(1), Fail(2), Fail(3)]);
        assert!(fails.observe(&observer).sleep_with(|_| ()).retry_with(POLICY).is_err());
        assert_eq!(observer.0.load(Ordering::Relaxed), 2 * operation);
    }
}

#[test]
fn r10_r15_after_an_observer_has_panicked_its_thread_is_observed_again() {
    struct Fragile;
    impl Observer for Fragile {
        fn on_retry(&self, _observation: &Observation, _delay: Duration) {
            panic!("fragile");
        }
    }

    let panics = || steps(&[Fail(1)]).observe(Fragile).sleep_with(|_| ()).retry_with(POLICY);
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(heard(&[Fail(1), Succeed]).len(), 2);
}

#[test]
fn an_observer_may_be_shared_in_an_arc_and_the_last_one_counts() {
    let (first, last) = (Arc::new(RetryStats::new()), Arc::new(RetryStats::new()));
    let chain =
        steps(&[Succeed]).observe(Arc::clone(&first)).on_retry(|_| ()).observe(Arc::clone(&last));
    assert!(chain.retry_if(|_| true).sleep_with(|_| ()).retry_with(POLICY).is_ok());
    assert_eq!((first.snapshot().calls, last.snapshot().calls), (0, 1));
    let boxed: Box<dyn Observer> = Box::new(Arc::clone(&last));
    assert!(steps(&[Succeed]).observe(&boxed).retry_with(POLICY).is_ok());
    assert_eq!(last.snapshot().calls, 2);
}

#[test]
fn stats_count_everything_once() {
    let stats = RetryStats::new();
    for script in [
        &[Succeed][..],
        &[Succeed],
        &[Fail(1), Succeed],
        &[Fail(1), Fail(2), Fail(3)],
        &[Fail(1), Break],
        &[Busy(secs(61))],
    ] {
        let _end = steps(script).observe(&stats).sleep_with(|_| ()).retry_with(POLICY);
    }
    let seen = stats.snapshot();
    assert_eq!((seen.succeeded_at_first, seen.succeeded_after_retry), (2, 1));
    assert_eq!((seen.calls, seen.retries), (10, 4));
    assert_eq!(seen.waited, secs(1 + 3 + 1));
    let reasons: Vec<_> = seen.reasons().filter(|(_, number)| *number > 0).collect();
    assert_eq!(
        reasons,
        [
            (StopReason::Permanent, 1),
            (StopReason::AttemptsExhausted, 1),
            (StopReason::RetryAfterTooLong, 1),
        ]
    );
    for (reason, number) in seen.reasons() {
        assert_eq!(seen.gave_up(reason), number);
    }
    assert_eq!(
        stats.to_string(),
        "10 attempts, 4 retries, 5s of waiting; 2 first-try successes, 1 recovery, 3 failures \
         (permanent error: 1, attempts exhausted: 1, retry-after too long: 1)"
    );
}

#[test]
fn stats_say_so_where_nothing_has_happened() {
    assert_eq!(
        RetryStats::new().to_string(),
        "0 attempts, 0 retries, 0s of waiting; 0 first-try successes, 0 recoveries, 0 failures"
    );
}

#[test]
fn threads_lose_no_count() {
    static STATS: RetryStats = RetryStats::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let script = [Fail(1), Succeed];
                    assert!(
                        steps(&script)
                            .observe(&STATS)
                            .sleep_with(|_| ())
                            .retry_with(POLICY)
                            .is_ok()
                    );
                }
            });
        }
    });
    let seen = STATS.snapshot();
    assert_eq!((seen.calls, seen.succeeded_after_retry, seen.retries), (8_000, 4_000, 4_000));
}

#[test]
fn an_observer_that_writes_nothing_hears_nothing() {
    struct Silent;
    impl Observer for Silent {}
    assert!(
        steps(&[Fail(1), Succeed]).observe(Silent).sleep_with(|_| ()).retry_with(POLICY).is_ok()
    );
    assert!(steps(&[Break]).observe(Silent).retry_with(POLICY).is_err());
}
