//! `testing::without_waits`: on one thread, every blocking driver returns from its waits at once,
//! and the waits are recorded.

mod common;

use std::cell::Cell;
use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::{Break, Busy, Fail, ScriptError, Step, Succeed, ms, secs};
use retry_ext::testing::without_waits;
use retry_ext::{
    AsyncRetryExt, RetryBudget, RetryError, RetryExt, RetryIteratorExt, RetryPolicy, StopReason,
    retry_with,
};

const POLICY: RetryPolicy = RetryPolicy::new();
/// A delay that is long enough to show a wait which is not skipped.
const HOUR: Duration = secs(3_600);

fn steps(script: &[Step]) -> impl FnMut() -> Result<(), ScriptError> + '_ {
    let mut script = script.iter();
    move || script.next().expect("the script is long enough").play()
}

fn refused() -> Result<(), Error> {
    Err(ErrorKind::ConnectionRefused.into())
}

/// Returns the result and the skipped waits. The run must be shorter than the requested waits.
fn at_once<R>(test: impl FnOnce() -> R) -> (R, Vec<Duration>) {
    let start = Instant::now();
    let outcome = without_waits(test);
    assert!(start.elapsed() < outcome.1.iter().sum(), "the waits were not skipped");
    outcome
}

#[test]
fn every_blocking_driver_returns_at_once_and_its_waits_are_recorded() {
    const SCRIPT: &[Step] = &[Fail(1), Busy(secs(5)), Succeed];

    let waits = vec![secs(1), secs(5)];
    assert_eq!(at_once(|| steps(SCRIPT).retry_with(POLICY)), (Ok(()), waits.clone()), "closure");

    let limited = POLICY.with_max_elapsed(HOUR);
    assert_eq!(
        at_once(|| steps(SCRIPT).retry_with(limited)),
        (Ok(()), waits.clone()),
        "with a deadline"
    );

    let items = || SCRIPT.iter().map(|step| step.play()).retry_with(POLICY).collect::<Vec<_>>();
    assert_eq!(at_once(items), (vec![Ok(())], waits.clone()), "iterator");

    let looped = || {
        let (mut operation, mut retry) = (steps(SCRIPT), POLICY.start());
        loop {
            if let Some(value) = retry.step(operation())? {
                return Ok::<_, RetryError<ScriptError>>(value);
            }
        }
    };
    assert_eq!(at_once(looped), (Ok(()), waits.clone()), "step");

    let looped = || {
        let (mut operation, mut retry) = (steps(SCRIPT), POLICY.start());
        while let Err(error) = operation() {
            retry.wait_after(error)?;
        }
        Ok::<_, RetryError<ScriptError>>(())
    };
    assert_eq!(at_once(looped), (Ok(()), waits.clone()), "wait_after");

    #[retry_with(POLICY, plain)]
    fn attributed(
        operation: &mut dyn FnMut() -> Result<(), ScriptError>,
    ) -> Result<(), ScriptError> {
        operation()
    }
    assert_eq!(at_once(|| attributed(&mut steps(SCRIPT))), (Ok(()), waits), "attribute");
}

#[test]
fn the_result_is_returned_and_a_first_success_waits_for_nothing() {
    assert_eq!(without_waits(|| "page"), ("page", vec![]));
    assert_eq!(without_waits(|| steps(&[Succeed]).retry_with(POLICY)), (Ok(()), vec![]));
    let (broken, waits) = without_waits(|| steps(&[Break]).retry_with(POLICY));
    assert_eq!(
        (broken.map_err(|error| error.reason()), waits),
        (Err(StopReason::Permanent), vec![])
    );
}

#[test]
fn zero_waits_are_recorded_too() {
    let policy = POLICY.with_initial_delay(Duration::ZERO);
    let (_, waits) = without_waits(|| refused.retry_with(policy).is_err());
    assert_eq!(waits, [Duration::ZERO; 2]);
}

#[test]
fn r6_a_deadline_counts_the_skipped_waits() {
    let policy = RetryPolicy::within(secs(20));
    let (result, waits) = at_once(|| refused.retry_with(policy));
    let error = result.expect_err("always refused");
    assert_eq!(
        (error.reason(), error.next_delay()),
        (StopReason::DeadlineExceeded, Some(secs(16)))
    );
    assert_eq!(waits, [1, 2, 4, 8].map(secs));
    assert_eq!(error.waited(), secs(15));
}

#[test]
fn r9_the_pause_of_an_iterator_after_a_refusal_is_skipped_and_recorded() {
    let budget = RetryBudget::new().with_min_retries(0);
    let script = [Fail(1), Fail(2), Succeed];
    let items = || {
        script
            .iter()
            .map(|step| step.play())
            .budget(&budget)
            .retry_with(POLICY)
            .map(|item| item.is_ok())
            .collect()
    };
    let (items, waits): (Vec<bool>, _) = at_once(items);
    assert_eq!((items, waits), (vec![false, false, true], vec![secs(1), secs(1)]));
}

#[test]
fn r9_the_window_of_a_budget_does_not_pass() {
    let budget = RetryBudget::new().with_window(HOUR).with_min_retries(1);
    let policy = POLICY.with_initial_delay(2 * HOUR).with_max_delay(2 * HOUR);
    let (result, waits) = at_once(|| refused.budget(&budget).retry_with(policy));
    let error = result.expect_err("always refused");
    assert_eq!((error.reason(), waits), (StopReason::BudgetExhausted, vec![2 * HOUR]));
}

#[test]
fn a_sleeper_of_the_chain_is_called_and_records_nothing_here() {
    let mut slept = Vec::new();
    let chain = refused.sleep_with(|delay| slept.push(delay));
    let (_, skipped) = without_waits(|| chain.retry_with(POLICY).is_err());
    assert_eq!((slept, skipped), (vec![secs(1), secs(2)], vec![]));
}

#[test]
fn the_innermost_call_records_a_wait() {
    let fails = || refused.retry_with(POLICY.with_max_attempts(2)).is_err();
    let (inner, outer) = at_once(|| {
        fails();
        let slow = POLICY.with_initial_delay(secs(9));
        let ((), inner) = without_waits(|| assert!(refused.retry_with(slow).is_err()));
        fails();
        inner
    });
    assert_eq!(inner, [secs(9), secs(18)]);
    assert_eq!(outer, [secs(1), secs(1)]);
}

#[test]
fn waits_outside_and_on_other_threads_are_real() {
    const WAIT: Duration = ms(3);

    let fails = || {
        let start = Instant::now();
        assert!(refused.retry_with(POLICY.with_max_attempts(2).with_initial_delay(WAIT)).is_err());
        start.elapsed()
    };
    let (elsewhere, waits) = without_waits(|| thread::spawn(fails).join().expect("no panic"));
    assert!(elsewhere >= WAIT, "{elsewhere:?}");
    assert_eq!(waits, []);
    let afterwards = fails();
    assert!(afterwards >= WAIT, "{afterwards:?}");
}

#[test]
fn r15_a_panic_passes_and_restores_the_state_before() {
    const WAIT: Duration = ms(3);

    let panics = || without_waits(|| -> () { panic!("on purpose") });
    assert!(catch_unwind(panics).is_err());
    let start = Instant::now();
    let quick = POLICY.with_max_attempts(2).with_initial_delay(WAIT);
    assert!(refused.retry_with(quick).is_err());
    assert!(start.elapsed() >= WAIT, "the wait after a panic is real");

    let ((), waits) = at_once(|| {
        let inner = || {
            without_waits(|| refused.on_retry(|_| panic!("on purpose")).retry_with(POLICY).is_ok())
        };
        assert!(catch_unwind(AssertUnwindSafe(inner)).is_err());
        assert!(refused.retry_with(POLICY).is_err());
    });
    assert_eq!(waits, [secs(1), secs(2)], "the outer call still records");
}

#[test]
fn an_outer_retry_and_the_retries_inside_its_operation_record_in_order() {
    let inner = POLICY.with_max_attempts(2);
    let outer = inner.with_initial_delay(secs(30));
    let operation = || refused.retry_with(inner).map_err(RetryError::into_error);
    let (_, waits) = at_once(|| operation.retry_with(outer).is_err());
    assert_eq!(waits, [1, 30, 1].map(secs));
}

#[test]
fn a_retry_in_the_destructor_of_a_thread_local_value_waits() {
    struct Last(Cell<Option<Sender<Result<(), u32>>>>);

    impl Drop for Last {
        fn drop(&mut self) {
            let quick = POLICY.with_initial_delay(ms(1));
            let result = refused.retry_with(quick).map_err(|error| error.attempts());
            if let Some(sender) = self.0.take() {
                sender.send(result).expect("the test listens");
            }
        }
    }

    thread_local! {
        static LAST: Last = const { Last(Cell::new(None)) };
    }

    let (sender, result) = channel();
    let thread = thread::spawn(move || {
        // On Linux, values are destroyed in the reverse order of their first use. This value
        // outlives the record of waits.
        LAST.with(|last| last.0.set(Some(sender)));
        let ((), waits) = without_waits(|| assert!(refused.retry_with(POLICY).is_err()));
        waits.len()
    });
    assert_eq!(thread.join().expect("no panic"), 2);
    assert_eq!(result.recv(), Ok(Err(3)));
}

#[tokio::test(start_paused = true)]
async fn waits_of_async_retries_stay_with_the_clock_of_tokio() {
    let start = tokio::time::Instant::now();
    let (future, waits) = without_waits(|| (async || refused()).retry_with(POLICY));
    assert!(future.await.is_err());
    assert_eq!((start.elapsed(), waits), (secs(3), vec![]));
}

#[test]
fn the_waits_of_an_iterator_belong_to_the_call_that_takes_its_items() {
    let source = || [Fail(1), Succeed].into_iter().map(Step::play);
    let quick = POLICY.with_initial_delay(ms(1));
    let (mut items, waits) = without_waits(|| source().retry_with(quick));
    assert_eq!(waits, []);
    let start = Instant::now();
    assert_eq!(items.next(), Some(Ok(())));
    assert!(start.elapsed() >= ms(1), "the wait is real");
    let mut items = source().retry_with(POLICY);
    assert_eq!(at_once(|| items.next()), (Some(Ok(())), vec![secs(1)]));
}
