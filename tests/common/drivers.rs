//! Every driver behind one signature. Each takes an operation and a sleeper, and returns a trace.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use retry_ext::chain::Hooks;
use retry_ext::{
    Jitter, Observation, Observer, RetryContext, RetryError, RetryEvent, RetryExt,
    RetryIteratorExt, RetryPolicy, SleepOutcome, StopReason, Verdict, attempts,
};

use super::{Heard, ScriptError, Step};

#[cfg(feature = "tokio")]
pub mod awaited;

/// The operation and the sleeper that a driver runs.
pub trait World {
    /// Calls the operation once. Returns `None` if the source has ended.
    fn call(&mut self) -> Option<Result<(), ScriptError>>;
    /// Performs one wait or pause, which may end early.
    fn wait(&mut self, delay: Duration) -> SleepOutcome;
}

/// A script whose last step repeats forever, and a sleeper that does not sleep.
pub struct Endless<'a> {
    script: &'a [Step],
    calls: usize,
    ends: &'a [SleepOutcome],
    waits: usize,
}

impl<'a> Endless<'a> {
    pub fn new(script: &'a [Step]) -> Self {
        Self { script, calls: 0, ends: &[SleepOutcome::Elapsed], waits: 0 }
    }

    /// Sets the outcomes of the waits. The last outcome repeats.
    pub fn with_ends(self, ends: &'a [SleepOutcome]) -> Self {
        Self { ends, ..self }
    }
}

impl World for Endless<'_> {
    fn call(&mut self) -> Option<Result<(), ScriptError>> {
        let step = self.script.get(self.calls).or(self.script.last()).expect("a step");
        self.calls += 1;
        Some(step.play())
    }

    fn wait(&mut self, _delay: Duration) -> SleepOutcome {
        self.waits += 1;
        *self.ends.get(self.waits - 1).or(self.ends.last()).expect("an end")
    }
}

/// The observable behaviour of a retry, in a form that every driver can return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The pauses of an iterator before its first call.
    pub pauses: Vec<Duration>,
    pub calls: u32,
    pub waits: Vec<Duration>,
    pub heard: Vec<Heard>,
    pub end: Result<(), Stop>,
}

impl Trace {
    pub const NOTHING: Self =
        Self { pauses: Vec::new(), calls: 0, waits: Vec::new(), heard: Vec::new(), end: Ok(()) };

    pub fn reason(&self) -> Option<StopReason> {
        self.end.as_ref().err().map(|stop| stop.reason)
    }

    pub fn last_error(&self) -> Option<&ScriptError> {
        self.end.as_ref().err().map(|stop| &stop.error)
    }

    pub fn next_delay(&self) -> Option<Duration> {
        self.end.as_ref().err().and_then(|stop| stop.next_delay)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub error: ScriptError,
    pub attempts: u32,
    pub waited: Duration,
    pub reason: StopReason,
    pub next_delay: Option<Duration>,
}

impl From<RetryError<ScriptError>> for Stop {
    fn from(stopped: RetryError<ScriptError>) -> Self {
        Self {
            attempts: stopped.attempts(),
            waited: stopped.waited(),
            reason: stopped.reason(),
            next_delay: stopped.next_delay(),
            error: stopped.into_error(),
        }
    }
}

/// Records the calls and waits between a driver and its world.
pub struct Watch<'a> {
    world: RefCell<&'a mut dyn World>,
    seen: RefCell<Trace>,
}

impl<'a> Watch<'a> {
    pub fn over(world: &'a mut dyn World) -> Self {
        Self { world: RefCell::new(world), seen: RefCell::new(Trace::NOTHING) }
    }

    fn next(&self) -> Option<Result<(), ScriptError>> {
        let result = self.world.borrow_mut().call()?;
        self.seen.borrow_mut().calls += 1;
        Some(result)
    }

    fn call(&self) -> Result<(), ScriptError> {
        self.next().expect("an endless script")
    }

    fn hear(&self, retry: &RetryEvent<'_, ScriptError>) {
        self.note(Heard::from(retry));
    }

    /// Notes an event after `classify`, which holds the whole outcome.
    fn hear_outcome<T>(&self, retry: &RetryEvent<'_, Result<T, ScriptError>>) {
        self.note(Heard::of(retry, retry.error.as_ref().err().expect("a failure")));
    }

    fn note(&self, heard: Heard) {
        let mut seen = self.seen.borrow_mut();
        assert_eq!(seen.waits.len() + 1, heard.attempt as usize, "an event before its wait");
        seen.heard.push(heard);
    }

    fn wait(&self, delay: Duration) -> SleepOutcome {
        self.waited(delay);
        self.world.borrow_mut().wait(delay)
    }

    /// Sleeps for an iterator: for a wait after an event, or for a pause without an event.
    fn wait_or_pause(&self, delay: Duration) -> SleepOutcome {
        let mut seen = self.seen.borrow_mut();
        if seen.heard.len() > seen.waits.len() {
            drop(seen);
            return self.wait(delay);
        }
        assert_eq!(seen.calls, 0, "a pause comes before the first call");
        seen.pauses.push(delay);
        drop(seen);
        self.world.borrow_mut().wait(delay)
    }

    fn waited(&self, delay: Duration) {
        self.seen.borrow_mut().waits.push(delay);
    }

    /// Records a wait that the driver made by itself, and that may have taken up to `more` longer.
    fn slept(&self, delay: Duration, slept: Duration, more: Duration) {
        assert!(slept >= delay && slept <= delay.saturating_add(more), "{slept:?} for {delay:?}");
        self.waited(delay);
    }

    /// Returns the trace since the start or the previous call.
    pub fn take(&self) -> Trace {
        self.seen.replace(Trace::NOTHING)
    }

    fn end(&self, end: Result<(), impl Into<Stop>>) -> Trace {
        Trace { end: end.map_err(Into::into), ..self.take() }
    }
}

pub type Driver = fn(RetryPolicy, &mut dyn World) -> Trace;

pub fn verb(watch: &Watch<'_>, policy: RetryPolicy) -> Result<(), RetryError<ScriptError>> {
    (|| watch.call())
        .on_retry(|retry| watch.hear(retry))
        .sleep_with(|delay| watch.wait(delay))
        .retry_with(policy)
}

pub fn by_closure(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    watch.end(verb(&watch, policy))
}

/// Returns the same delay as the policy's own backoff, so the trace does not change. Decorrelated
/// jitter takes this delay as the initial one.
pub fn same_delay(policy: RetryPolicy) -> impl FnMut(u32, &ScriptError) -> Duration {
    move |retry, _error| match policy.jitter() {
        Jitter::Decorrelated => policy.backoff().delay(1),
        _ => policy.backoff().delay(retry),
    }
}

pub fn by_closure_with_delays(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let end = (|| watch.call())
        .delay_with(same_delay(policy))
        .on_retry(|retry| watch.hear(retry))
        .sleep_with(|delay| watch.wait(delay))
        .retry_with(policy);
    watch.end(end)
}

/// Classifies an outcome by its own error, so the trace does not change either.
pub fn verdict<T>(outcome: &Result<T, ScriptError>) -> Verdict {
    match outcome {
        Ok(_) => Verdict::Success,
        Err(error) => Verdict::of(error),
    }
}

pub fn by_verdicts(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let end = (|| watch.call())
        .classify(verdict)
        .sleep_with(|delay| watch.wait(delay))
        .on_retry(|retry| watch.hear_outcome(retry))
        .retry_with(policy);
    watch.end(end)
}

pub fn by_attempts(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let end = attempts(|attempt| {
        assert_eq!(attempt.number(), watch.seen.borrow().calls + 1);
        assert_eq!(attempt.remaining().is_some(), policy.max_elapsed().is_some());
        assert!(attempt.remaining() <= policy.max_elapsed());
        watch.call()
    })
    .on_retry(|retry| watch.hear(retry))
    .sleep_with(|delay| watch.wait(delay))
    .retry_with(policy);
    watch.end(end)
}

pub fn by_step(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let mut retry = policy
        .start()
        .on_retry(|retry: &RetryEvent<'_, ScriptError>| watch.hear(retry))
        .sleep_with(|delay| watch.wait(delay));
    let end = loop {
        assert_eq!(retry.attempt(), watch.seen.borrow().calls + 1);
        assert!(retry.remaining() <= policy.max_elapsed());
        match retry.step(watch.call()) {
            Ok(None) => {}
            Ok(Some(())) => break Ok(()),
            Err(stopped) => break Err(stopped),
        }
    };
    watch.end(end)
}

/// Drives a scheduler's loop that judges whole outcomes and computes its delays.
pub fn by_outcomes(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let mut same = same_delay(policy);
    let mut retry = policy.start().classify(verdict::<()>).delay_with(
        |retry, outcome: &Result<(), ScriptError>| {
            same(retry, outcome.as_ref().expect_err("a failure"))
        },
    );
    let end = loop {
        let outcome = watch.call();
        let (attempt, waited) = (retry.attempt(), retry.waited());
        let delay = match (retry.delay_after_outcome(&outcome), outcome) {
            (Ok(delay), Err(error)) => {
                let (max_attempts, name) = (policy.max_attempts(), policy.name());
                watch.note(Heard { attempt, max_attempts, delay, waited, error, name });
                delay
            }
            (Ok(_), Ok(())) => unreachable!("a success is not retried"),
            (Err(reason), Ok(())) => {
                assert_eq!((reason, retry.attempt()), (StopReason::Permanent, 1));
                break Ok(());
            }
            (Err(reason), Err(error)) => {
                let stopped = retry.step(Err(error)).expect_err("it has stopped");
                assert_eq!(stopped.reason(), reason);
                break Err(Stop::from(stopped));
            }
        };
        match watch.wait(delay) {
            SleepOutcome::Elapsed => {}
            SleepOutcome::Woken => retry.woken(),
            SleepOutcome::Cancelled => {
                let error = watch.seen.borrow().heard.last().expect("a retry").error.clone();
                break Err(Stop::from(retry.cancelled(error)));
            }
        }
    };
    watch.end(end)
}

pub fn by_loop(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let mut retry = hearing(&watch, policy);
    until_success(&watch, &mut retry).expect("an endless script")
}

/// Drives a long-lived loop, which continues after each success until it stops or its world ends.
pub fn by_long_loop(policy: RetryPolicy, world: &mut dyn World) -> Vec<Trace> {
    let watch = Watch::over(world);
    let mut retry = hearing(&watch, policy);
    let mut all = Vec::new();
    while let Some(seen) = until_success(&watch, &mut retry) {
        let stopped = seen.end.is_err();
        all.push(seen);
        if stopped {
            break;
        }
    }
    all
}

fn hearing(
    watch: &Watch<'_>,
    policy: RetryPolicy,
) -> RetryContext<Hooks<(), impl FnMut(&RetryEvent<'_, ScriptError>)>> {
    policy.start().on_retry(move |retry: &RetryEvent<'_, ScriptError>| watch.hear(retry))
}

fn until_success<N: FnMut(&RetryEvent<'_, ScriptError>)>(
    watch: &Watch<'_>,
    retry: &mut RetryContext<Hooks<(), N>>,
) -> Option<Trace> {
    let end = loop {
        let Err(error) = watch.next()? else {
            assert_eq!(retry.attempt(), watch.seen.borrow().calls);
            retry.succeeded();
            break Ok(());
        };
        let (attempt, waited) = (retry.attempt(), retry.waited());
        let delay = match retry.delay_after(&error) {
            Ok(delay) => delay,
            Err(reason) => {
                // `wait_after` returns the error without a wait.
                let stopped = Stop::from(retry.wait_after(error).expect_err("it has stopped"));
                assert_eq!(
                    (stopped.attempts, stopped.waited, stopped.reason),
                    (attempt, waited, reason)
                );
                break Err(stopped);
            }
        };
        assert_eq!(watch.seen.borrow().heard.last().map(|heard| heard.delay), Some(delay));
        match watch.wait(delay) {
            SleepOutcome::Elapsed => {}
            SleepOutcome::Woken => retry.woken(),
            SleepOutcome::Cancelled => break Err(Stop::from(retry.cancelled(error))),
        }
    };
    Some(watch.end(end))
}

pub fn by_iterator_with_delays(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let item = std::iter::from_fn(|| watch.next())
        .on_retry(|retry| watch.hear(retry))
        .delay_with(same_delay(policy))
        .sleep_with(|delay| watch.wait_or_pause(delay))
        .retry_with(policy)
        .next();
    watch.end(item.expect("an endless source"))
}

/// Drives a closure whose failures are values: it always returns `Ok`. Only an observer sees the
/// end of the retry.
pub fn by_values(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    let observer = End::default();
    let result = (|| Ok::<_, Infallible>(watch.call()))
        .classify(|outcome| match outcome {
            Ok(Ok(())) => Verdict::Success,
            Ok(Err(error)) => Verdict::of(error),
            Err(never) => match *never {},
        })
        .on_retry(|retry| {
            let outcome = retry.error.as_ref().unwrap_or_else(|never| match *never {});
            watch.note(Heard::of(retry, outcome.as_ref().expect_err("a failure")));
        })
        .observe(&observer)
        .sleep_with(|delay| watch.wait(delay))
        .retry_with(policy);
    let Ok(last) = result.map_err(RetryError::into_error);
    let ended = observer.0.take();
    let end = match (last, ended) {
        (Ok(()), None) => Ok(()),
        (Err(error), Some((attempts, waited, reason))) => {
            Err(Stop { error, attempts, waited, reason, next_delay: None })
        }
        other => panic!("{other:?}: a success that gave up, or a failure that did not"),
    };
    watch.end(end)
}

/// The attempts, the time waited and the reason, if an operation gave up.
#[derive(Default)]
struct End(Cell<Option<(u32, Duration, StopReason)>>);

impl Observer for End {
    fn on_give_up(&self, seen: &Observation, reason: StopReason) {
        assert_eq!(self.0.replace(Some((seen.attempt, seen.waited, reason))), None, "once");
    }

    fn on_success(&self, _seen: &Observation) {
        assert_eq!(self.0.get(), None, "not after giving up");
    }
}

pub fn by_iterator(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    items(&Watch::over(world), policy).next().expect("an endless source")
}

/// Returns the trace of every item of a source that ends, and the trace of the last call of `next`,
/// which returned `None`.
pub fn by_whole_iterator(policy: RetryPolicy, world: &mut dyn World) -> (Vec<Trace>, Trace) {
    let watch = Watch::over(world);
    let traces = items(&watch, policy).collect();
    (traces, watch.take())
}

fn items(watch: &Watch<'_>, policy: RetryPolicy) -> impl Iterator<Item = Trace> {
    std::iter::from_fn(|| watch.next())
        .on_retry(|retry| watch.hear(retry))
        .sleep_with(|delay| watch.wait_or_pause(delay))
        .retry_with(policy)
        .map(|item| watch.end(item))
}
