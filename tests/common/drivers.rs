//! Every driver behind one signature: an operation and a sleeper go in, a trace comes out.

use std::cell::RefCell;
use std::time::Duration;

use retry_ext::{
    RetryContext, RetryError, RetryEvent, RetryExt, RetryIteratorExt, RetryPolicy, SleepOutcome,
    StopReason,
};

use super::{Heard, ScriptError, Step};

#[cfg(feature = "tokio")]
pub mod awaited;

/// What a driver drives.
pub trait World {
    /// One call of the operation; `None` where a source has ended.
    fn call(&mut self) -> Option<Result<(), ScriptError>>;
    /// One wait or pause, which may end early.
    fn wait(&mut self, delay: Duration) -> SleepOutcome;
}

/// A script whose last step repeats for ever, and a sleeper that does not sleep.
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

    /// Its waits end so; the last way repeats.
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

/// What could be seen of a retry from outside, in a form that every driver can give.
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

/// Stands between a driver and its world, and writes down what happens.
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

    fn note(&self, heard: Heard) {
        let mut seen = self.seen.borrow_mut();
        assert_eq!(seen.waits.len() + 1, heard.attempt as usize, "heard before its wait");
        seen.heard.push(heard);
    }

    fn wait(&self, delay: Duration) -> SleepOutcome {
        self.waited(delay);
        self.world.borrow_mut().wait(delay)
    }

    /// The sleeper of an iterator: a wait follows an event, and a pause follows none.
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

    /// It has waited by itself, and it may have taken so much longer.
    fn slept(&self, delay: Duration, slept: Duration, more: Duration) {
        assert!(slept >= delay && slept <= delay.saturating_add(more), "{slept:?} for {delay:?}");
        self.waited(delay);
    }

    /// What was seen since the beginning, or since it was taken last.
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

pub fn by_loop(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    let watch = Watch::over(world);
    until_success(&watch, policy, &mut policy.start()).expect("an endless script")
}

/// A loop that lives long: it goes on after each success, until it stops or its world ends.
pub fn by_long_loop(policy: RetryPolicy, world: &mut dyn World) -> Vec<Trace> {
    let watch = Watch::over(world);
    let mut retry = policy.start();
    let mut all = Vec::new();
    while let Some(seen) = until_success(&watch, policy, &mut retry) {
        let stopped = seen.end.is_err();
        all.push(seen);
        if stopped {
            break;
        }
    }
    all
}

fn until_success(
    watch: &Watch<'_>,
    policy: RetryPolicy,
    retry: &mut RetryContext,
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
                // Does not wait: it gives the error back.
                let stopped = Stop::from(retry.wait_after(error).expect_err("it has stopped"));
                assert_eq!(
                    (stopped.attempts, stopped.waited, stopped.reason),
                    (attempt, waited, reason)
                );
                break Err(stopped);
            }
        };
        let (max_attempts, name) = (policy.max_attempts(), policy.name());
        watch.note(Heard { attempt, max_attempts, delay, waited, error: error.clone(), name });
        match watch.wait(delay) {
            SleepOutcome::Elapsed => {}
            SleepOutcome::Woken => retry.woken(),
            SleepOutcome::Cancelled => break Err(Stop::from(retry.cancelled(error))),
        }
    };
    Some(watch.end(end))
}

pub fn by_iterator(policy: RetryPolicy, world: &mut dyn World) -> Trace {
    items(&Watch::over(world), policy).next().expect("an endless source")
}

/// Every item of a source that ends, and the trace of the call of `next` that returned `None`.
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
