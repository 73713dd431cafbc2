//! Every driver behind one signature: an operation and a sleeper go in, what was seen comes out.

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
    /// One wait, which may be cut short.
    fn wait(&mut self, delay: Duration) -> SleepOutcome;
}

/// A script whose last step repeats for ever, and a sleeper that does not sleep.
pub struct Endless<'a> {
    script: &'a [Step],
    calls: usize,
}

impl<'a> Endless<'a> {
    pub fn new(script: &'a [Step]) -> Self {
        Self { script, calls: 0 }
    }
}

impl World for Endless<'_> {
    fn call(&mut self) -> Option<Result<(), ScriptError>> {
        let step = self.script.get(self.calls).or(self.script.last()).expect("a step");
        self.calls += 1;
        Some(step.play())
    }

    fn wait(&mut self, _delay: Duration) -> SleepOutcome {
        SleepOutcome::Elapsed
    }
}

/// What could be seen of a retry from outside, in a form that every driver can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub calls: u32,
    pub waits: Vec<Duration>,
    pub heard: Vec<Heard>,
    pub end: Result<(), Stop>,
}

impl Seen {
    pub const NOTHING: Self = Self { calls: 0, waits: Vec::new(), heard: Vec::new(), end: Ok(()) };

    pub fn reason(&self) -> Option<StopReason> {
        self.end.as_ref().err().map(|stop| stop.reason)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub error: ScriptError,
    pub attempts: u32,
    pub waited: Duration,
    pub reason: StopReason,
}

impl From<RetryError<ScriptError>> for Stop {
    fn from(stopped: RetryError<ScriptError>) -> Self {
        let (attempts, waited, reason) = (stopped.attempts(), stopped.waited(), stopped.reason());
        Self { error: stopped.into_error(), attempts, waited, reason }
    }
}

/// Stands between a driver and its world, and writes down what happens.
pub struct Watch<'a> {
    world: RefCell<&'a mut dyn World>,
    seen: RefCell<Seen>,
}

impl<'a> Watch<'a> {
    pub fn over(world: &'a mut dyn World) -> Self {
        Self { world: RefCell::new(world), seen: RefCell::new(Seen::NOTHING) }
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

    fn waited(&self, delay: Duration) {
        self.seen.borrow_mut().waits.push(delay);
    }

    /// It has waited by itself, and it may have taken so much longer.
    fn slept(&self, delay: Duration, slept: Duration, more: Duration) {
        assert!(slept >= delay && slept <= delay.saturating_add(more), "{slept:?} for {delay:?}");
        self.waited(delay);
    }

    /// What was seen since the beginning, or since it was taken last.
    pub fn take(&self) -> Seen {
        self.seen.replace(Seen::NOTHING)
    }

    fn end(&self, end: Result<(), impl Into<Stop>>) -> Seen {
        Seen { end: end.map_err(Into::into), ..self.take() }
    }
}

pub type Driver = fn(RetryPolicy, &mut dyn World) -> Seen;

pub fn verb(watch: &Watch<'_>, policy: RetryPolicy) -> Result<(), RetryError<ScriptError>> {
    (|| watch.call())
        .on_retry(|retry| watch.hear(retry))
        .sleep_with(|delay| watch.wait(delay))
        .retry_with(policy)
}

pub fn by_closure(policy: RetryPolicy, world: &mut dyn World) -> Seen {
    let watch = Watch::over(world);
    watch.end(verb(&watch, policy))
}

pub fn by_loop(policy: RetryPolicy, world: &mut dyn World) -> Seen {
    let watch = Watch::over(world);
    until_success(&watch, policy, &mut policy.start()).expect("an endless script")
}

/// A loop that lives long: it goes on after each success, until it stops or its world ends.
pub fn by_long_loop(policy: RetryPolicy, world: &mut dyn World) -> Vec<Seen> {
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

fn until_success(watch: &Watch<'_>, policy: RetryPolicy, retry: &mut RetryContext) -> Option<Seen> {
    let end = loop {
        let Err(error) = watch.next()? else {
            assert_eq!(retry.attempt(), watch.seen.borrow().calls);
            retry.succeeded();
            break Ok(());
        };
        let (attempt, waited) = (retry.attempt(), retry.waited());
        let delay = match retry.delay_after(&error) {
            Ok(delay) => delay,
            Err(reason) => break Err(Stop { error, attempts: attempt, waited, reason }),
        };
        let (max_attempts, name) = (policy.max_attempts(), policy.name());
        watch.note(Heard { attempt, max_attempts, delay, waited, error: error.clone(), name });
        if watch.wait(delay) == SleepOutcome::Cancelled {
            break Err(Stop::from(retry.cancelled(error)));
        }
    };
    Some(watch.end(end))
}

pub fn by_iterator(policy: RetryPolicy, world: &mut dyn World) -> Seen {
    items(&Watch::over(world), policy).next().expect("an endless source")
}

/// Every item of a source that ends.
pub fn by_whole_iterator(policy: RetryPolicy, world: &mut dyn World) -> Vec<Seen> {
    items(&Watch::over(world), policy).collect()
}

fn items(watch: &Watch<'_>, policy: RetryPolicy) -> impl Iterator<Item = Seen> {
    std::iter::from_fn(|| watch.next())
        .on_retry(|retry| watch.hear(retry))
        .sleep_with(|delay| watch.wait(delay))
        .retry_with(policy)
        .map(|item| watch.end(item))
}
