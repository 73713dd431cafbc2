//! `classify` and `Verdict`, which judge whole outcomes, in every form.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Ready, ready};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use common::{Counted, ScriptError, ms, poll_to_end, secs};
use retry_ext::{
    AsyncRetryExt, IsTransient, Observation, Observer, RetryBudget, RetryError, RetryEvent,
    RetryExt, RetryPolicy, RetryStats, StopReason, Verdict,
};

type Outcome = Result<u16, ScriptError>;

/// Judges a status, which is a value, as in an HTTP client.
fn judge(outcome: &Outcome) -> Verdict {
    match outcome {
        Ok(200) => Verdict::Success,
        Ok(429) => Verdict::TransientAfter(secs(9)),
        Ok(500..=599) => Verdict::Transient,
        Ok(_) => Verdict::Permanent,
        Err(error) => Verdict::of(error),
    }
}

#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.lock().expect("the lock is not poisoned").push(line);
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("the lock is not poisoned"))
    }
}

impl Observer for Diary {
    fn on_retry(&self, seen: &Observation, delay: Duration) {
        self.note(format!("{}: retry in {delay:?}", seen.attempt));
    }

    fn on_success(&self, seen: &Observation) {
        self.note(format!("{}: success", seen.attempt));
    }

    fn on_give_up(&self, seen: &Observation, reason: StopReason) {
        self.note(format!("{}: {reason}", seen.attempt));
    }
}

/// The result, the calls, the waits and the reports of a run.
#[derive(Debug, PartialEq)]
struct Run {
    result: Result<u16, (ScriptError, StopReason)>,
    calls: usize,
    waits: Vec<Duration>,
    reports: Vec<String>,
}

type Judge<'a> = &'a mut dyn FnMut(&Outcome) -> Verdict;
type Form = fn(RetryPolicy, &RetryBudget, &[Outcome], Judge<'_>) -> Run;

const FORMS: [(&str, Form); 4] = [
    ("closure", by_closure),
    ("future", by_future),
    ("step", by_step),
    ("awaited step", by_awaited),
];

struct World<'a> {
    script: &'a [Outcome],
    calls: Cell<usize>,
    waits: RefCell<Vec<Duration>>,
    diary: Diary,
}

impl<'a> World<'a> {
    fn of(script: &'a [Outcome]) -> Self {
        let (calls, waits) = (Cell::default(), RefCell::default());
        Self { script, calls, waits, diary: Diary::default() }
    }

    /// Returns the next outcome. The last outcome repeats.
    fn call(&self) -> Outcome {
        let call = self.calls.replace(self.calls.get() + 1);
        self.script.get(call).or(self.script.last()).expect("an outcome").clone()
    }

    fn wait(&self, delay: Duration) {
        self.waits.borrow_mut().push(delay);
    }

    fn awaited(&self, delay: Duration) -> Ready<()> {
        self.wait(delay);
        ready(())
    }

    fn run(self, result: Result<u16, RetryError<ScriptError>>) -> Run {
        let result = result.map_err(|stopped| {
            let reason = stopped.reason();
            (stopped.into_error(), reason)
        });
        let reports = self.diary.read();
        Run { result, calls: self.calls.get(), waits: self.waits.into_inner(), reports }
    }
}

fn by_closure(
    policy: RetryPolicy,
    budget: &RetryBudget,
    script: &[Outcome],
    judge: Judge<'_>,
) -> Run {
    let world = World::of(script);
    let result = (|| world.call())
        .classify(judge)
        .budget(budget)
        .observe(&world.diary)
        .sleep_with(|delay| world.wait(delay))
        .retry_with(policy);
    world.run(result)
}

fn by_future(
    policy: RetryPolicy,
    budget: &RetryBudget,
    script: &[Outcome],
    judge: Judge<'_>,
) -> Run {
    let world = World::of(script);
    let future = (|| ready(world.call()))
        .classify(judge)
        .budget(budget)
        .observe(&world.diary)
        .sleep_with(|delay| world.awaited(delay))
        .retry_with(policy);
    let (result, _polls) = poll_to_end(future);
    world.run(result)
}

fn by_step(policy: RetryPolicy, budget: &RetryBudget, script: &[Outcome], judge: Judge<'_>) -> Run {
    let world = World::of(script);
    let mut retry = policy
        .start()
        .classify(judge)
        .budget(budget)
        .observe(&world.diary)
        .sleep_with(|delay| world.wait(delay));
    let result = loop {
        match retry.step(world.call()) {
            Ok(None) => {}
            Ok(Some(status)) => break Ok(status),
            Err(stopped) => break Err(stopped),
        }
    };
    drop(retry);
    world.run(result)
}

fn by_awaited(
    policy: RetryPolicy,
    budget: &RetryBudget,
    script: &[Outcome],
    judge: Judge<'_>,
) -> Run {
    let world = World::of(script);
    let mut retry = policy
        .start()
        .classify(judge)
        .budget(budget)
        .observe(&world.diary)
        .sleep_with(|delay| world.awaited(delay));
    let (result, _polls) = poll_to_end(async {
        loop {
            match retry.step_async(world.call()).await {
                Ok(None) => {}
                Ok(Some(status)) => break Ok(status),
                Err(stopped) => break Err(stopped),
            }
        }
    });
    drop(retry);
    world.run(result)
}

const FAILED: Outcome = Err(ScriptError::Transient(1));
const BROKEN: Outcome = Err(ScriptError::Permanent);

/// Runs a script in every form. Returns the run, which is the same in all forms, and the gain of
/// the budget.
fn run(policy: RetryPolicy, script: &[Outcome]) -> (Run, u64) {
    let mut runs = FORMS.map(|(name, form)| {
        let budget = RetryBudget::new().with_ratio(1.0).with_min_retries(100);
        let run = form(policy, &budget, script, &mut judge);
        let spent = run.waits.len() as u64;
        (name, run, u64::from(budget.available()) + spent - 100)
    });
    runs.reverse();
    let mut runs = runs.into_iter();
    let (reference, expected, gained) = runs.next().expect("a form");
    for (name, run, gains) in runs {
        assert_eq!((&run, gains), (&expected, gained), "{name} and {reference}");
    }
    (expected, gained)
}

#[test]
fn success_of_a_value_is_returned_and_feeds_the_budget() {
    let (run, gained) = run(RetryPolicy::new(), &[Ok(200)]);
    assert_eq!((run.result, run.calls, gained), (Ok(200), 1, 1));
    assert_eq!(run.reports, ["1: success"]);
}

#[test]
fn permanent_of_a_value_is_returned_as_a_give_up_that_feeds_no_budget() {
    let (run, gained) = run(RetryPolicy::new(), &[Ok(404)]);
    assert_eq!((run.result, run.calls, gained), (Ok(404), 1, 0));
    assert_eq!(run.reports, ["1: permanent error"]);
}

#[test]
fn transient_of_a_value_is_retried_and_the_last_value_is_returned() {
    let (recovers, gained) = run(RetryPolicy::new(), &[Ok(503), Ok(502), Ok(200)]);
    assert_eq!((recovers.result, recovers.calls, gained), (Ok(200), 3, 1));
    assert_eq!(recovers.waits, [secs(1), secs(2)]);
    assert_eq!(recovers.reports, ["1: retry in 1s", "2: retry in 2s", "3: success"]);

    let (gives_up, gained) = run(RetryPolicy::new(), &[Ok(503), Ok(502), Ok(504)]);
    assert_eq!((gives_up.result, gives_up.calls, gained), (Ok(504), 3, 0));
    let reports = ["1: retry in 1s", "2: retry in 2s", "3: attempts exhausted"];
    assert_eq!(gives_up.reports, reports);
}

#[test]
fn errors_and_values_mix_and_the_last_outcome_decides_the_result() {
    let (ends_with_a_value, _) = run(RetryPolicy::new(), &[FAILED, FAILED, Ok(503)]);
    assert_eq!(ends_with_a_value.result, Ok(503));
    let (ends_with_an_error, _) = run(RetryPolicy::new(), &[Ok(503), Ok(503), FAILED]);
    let stopped = (ScriptError::Transient(1), StopReason::AttemptsExhausted);
    assert_eq!(ends_with_an_error.result, Err(stopped));
    let (breaks, gained) = run(RetryPolicy::new(), &[Ok(503), BROKEN]);
    assert_eq!(breaks.result, Err((ScriptError::Permanent, StopReason::Permanent)));
    assert_eq!((breaks.calls, gained), (2, 0));
}

#[test]
fn a_hint_on_a_value_is_obeyed_bounded_and_refused() {
    let (obeyed, _) = run(RetryPolicy::new(), &[Ok(429), Ok(200)]);
    assert_eq!(obeyed.waits, [secs(9)]);
    let (refused, _) = run(RetryPolicy::new().with_max_delay(secs(8)), &[Ok(429), Ok(200)]);
    assert_eq!((refused.result, refused.calls), (Ok(429), 1));
    assert_eq!(refused.reports, ["1: retry-after too long"]);
    let (raised, _) = run(
        RetryPolicy::new().with_max_delay(secs(1)).with_max_retry_after(secs(10)),
        &[Ok(429), Ok(503), Ok(200)],
    );
    assert_eq!(raised.waits, [secs(9), secs(1)]);
}

#[test]
fn every_reason_to_stop_returns_the_last_value() {
    let late = RetryPolicy::new().with_max_elapsed(ms(999));
    let (run, _) = run(late, &[Ok(503)]);
    assert_eq!((run.result, run.reports), (Ok(503), vec!["1: deadline exceeded".into()]));

    for (name, form) in FORMS {
        let empty = RetryBudget::new().with_min_retries(0);
        let run = form(RetryPolicy::new(), &empty, &[Ok(503)], &mut judge);
        assert_eq!((run.result, run.calls), (Ok(503), 1), "{name}");
        assert_eq!(run.reports, ["1: retry budget exhausted"], "{name}");
    }
}

#[test]
fn a_cancelled_wait_returns_the_last_value_and_is_reported() {
    let diary = Diary::default();
    let fetch = || Outcome::Ok(503);
    let last = fetch
        .classify(judge)
        .observe(&diary)
        .sleep_with(|_| ControlFlow::Break(()))
        .retry_with(RetryPolicy::new());
    assert_eq!(last, Ok(503));
    assert_eq!(diary.read(), ["1: retry in 1s", "1: cancelled"]);

    let (last, _polls) = poll_to_end(
        (|| ready(Outcome::Ok(503)))
            .classify(judge)
            .observe(&diary)
            .sleep_with(|_| ready(ControlFlow::Break(())))
            .retry_with(RetryPolicy::new()),
    );
    assert_eq!(last, Ok(503));
    assert_eq!(diary.read(), ["1: retry in 1s", "1: cancelled"]);

    let mut retry = RetryPolicy::new()
        .start()
        .classify(judge)
        .observe(&diary)
        .sleep_with(|_| ControlFlow::Break(()));
    assert_eq!(retry.step(Ok(503)), Ok(Some(503)));
    assert_eq!(diary.read(), ["1: retry in 1s", "1: cancelled"]);
}

#[test]
fn success_of_an_error_counts_as_permanent() {
    for (name, form) in FORMS {
        let budget = RetryBudget::new().with_ratio(1.0);
        let run = form(RetryPolicy::new(), &budget, &[FAILED], &mut |_| Verdict::Success);
        assert_eq!(run.result, Err((ScriptError::Transient(1), StopReason::Permanent)), "{name}");
        assert_eq!((run.calls, budget.available()), (1, 2), "{name}");
        assert_eq!(run.reports, ["1: permanent error"], "{name}");
    }
}

#[test]
fn the_judge_is_called_once_for_each_outcome() {
    for (name, form) in FORMS {
        let mut judged = Vec::new();
        let script = [Ok(503), FAILED, Ok(429), Ok(200)];
        let policy = RetryPolicy::new().with_max_attempts(9);
        let budget = RetryBudget::new().with_min_retries(9);
        let run = form(policy, &budget, &script, &mut |outcome| {
            judged.push(outcome.clone());
            judge(outcome)
        });
        assert_eq!((run.result, run.waits.len()), (Ok(200), 3), "{name}");
        assert_eq!(judged, script, "{name}");
    }
}

#[test]
fn after_classify_hooks_and_computed_delays_receive_the_outcome() {
    let script = [Ok(503), FAILED, Ok(200)];
    let world = World::of(&script);
    let (mut heard, mut computed) = (Vec::new(), Vec::new());
    let result = (|| world.call())
        .classify(judge)
        .on_retry(|retry| heard.push((retry.attempt, retry.error.clone())))
        .delay_with(|retry, outcome| {
            computed.push((retry, outcome.clone()));
            ms(retry.into())
        })
        .sleep_with(|delay| world.wait(delay))
        .retry_with(RetryPolicy::new());
    assert_eq!(result, Ok(200));
    assert_eq!(heard, [(1, Ok(503)), (2, FAILED)]);
    assert_eq!(computed, heard);
    assert_eq!(world.waits.into_inner(), [ms(1), ms(2)]);
}

#[test]
fn a_scheduler_judges_outcomes_that_it_keeps() {
    let stats = RetryStats::new();
    let mut heard = 0;
    let mut retry = RetryPolicy::new()
        .start()
        .classify(judge)
        .on_retry(|_: &RetryEvent<'_, Outcome>| heard += 1)
        .observe(&stats);
    assert_eq!(retry.delay_after_outcome(&Ok(503)), Ok(secs(1)));
    assert_eq!(retry.delay_after_outcome(&FAILED), Ok(secs(2)));
    assert_eq!(retry.delay_after_outcome(&Ok(503)), Err(StopReason::AttemptsExhausted));
    assert_eq!(retry.delay_after_outcome(&Ok(503)), Err(StopReason::AttemptsExhausted));
    // A success after a stop starts a new count, and is final as well.
    assert_eq!(retry.delay_after_outcome(&Ok(200)), Err(StopReason::Permanent));
    assert_eq!(retry.delay_after_outcome(&Ok(429)), Ok(secs(9)));
    let cancelled = retry.cancelled(Outcome::Ok(429));
    assert_eq!((cancelled.attempts(), cancelled.reason()), (1, StopReason::Cancelled));
    assert_eq!(cancelled.into_error(), Ok(429));
    assert_eq!(heard, 3);
    let seen = stats.snapshot();
    assert_eq!((seen.calls, seen.retries, seen.succeeded_at_first), (3 + 1 + 1, 3, 1));
}

#[test]
fn a_scheduler_takes_success_of_an_error_for_permanent() {
    let stats = RetryStats::new();
    let mut retry =
        RetryPolicy::new().start().classify(|_: &Outcome| Verdict::Success).observe(&stats);
    assert_eq!(retry.delay_after_outcome(&FAILED), Err(StopReason::Permanent));
    let seen = stats.snapshot();
    assert_eq!((seen.gave_up(StopReason::Permanent), seen.succeeded_at_first), (1, 0));
}

#[test]
fn without_classify_a_scheduler_passes_outcomes_too() {
    let mut retry = RetryPolicy::new().start();
    assert_eq!(retry.delay_after_outcome(&FAILED), Ok(secs(1)));
    assert_eq!(retry.delay_after_outcome(&Outcome::Ok(503)), Err(StopReason::Permanent));
    assert_eq!(retry.attempt(), 1);
    assert_eq!(retry.delay_after_outcome(&BROKEN), Err(StopReason::Permanent));
}

#[test]
fn a_verdict_of_an_error_has_its_hint() {
    struct Hints(bool);

    impl IsTransient for Hints {
        fn is_transient(&self) -> bool {
            self.0
        }

        fn retry_after(&self) -> Option<Duration> {
            Some(secs(5))
        }
    }

    assert_eq!(Verdict::of(&Hints(true)), Verdict::TransientAfter(secs(5)));
    assert_eq!(Verdict::of(&Hints(false)), Verdict::Permanent);
    let unsized_error: &dyn IsTransient = &Hints(true);
    assert_eq!(Verdict::of(unsized_error), Verdict::TransientAfter(secs(5)));
    assert_eq!(Verdict::of(&ScriptError::Transient(1)), Verdict::Transient);
}

#[test]
fn r14_a_failed_value_is_dropped_before_the_wait_and_before_the_next_call() {
    let alive = Cell::new(0);
    let call = || {
        assert_eq!(alive.get(), 0, "in the next call");
        Ok::<_, ScriptError>(Counted::new(&alive))
    };
    let last = call
        .classify(|_| Verdict::Transient)
        .sleep_with(|_| assert_eq!(alive.get(), 0, "in the wait"))
        .retry_with(RetryPolicy::new());
    assert!(last.is_ok());
    assert_eq!(alive.get(), 1);
    drop(last);

    let (last, _polls) = poll_to_end(
        (|| ready(call()))
            .classify(|_| Verdict::Transient)
            .sleep_with(|_| {
                assert_eq!(alive.get(), 0, "in the wait");
                ready(())
            })
            .retry_with(RetryPolicy::new()),
    );
    assert!(last.is_ok());
    drop(last);

    let mut retry = RetryPolicy::new()
        .start()
        .classify(|_: &Result<Counted<'_>, ScriptError>| Verdict::Transient)
        .sleep_with(|_| assert_eq!(alive.get(), 0, "in the wait"));
    let last = loop {
        if let Some(last) = retry.step(call()).expect("a value") {
            break last;
        }
    };
    drop(last);
    assert_eq!(alive.get(), 0);
}
