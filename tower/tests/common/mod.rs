//! A scripted service that checks the contract of `Service`, and a sleeper that does not sleep.
#![allow(dead_code, unreachable_pub, reason = "each program with this module uses a part of it")]

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use retry_ext::IsTransient;
use tower::Service;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("failure number {0}")]
    Transient(u32),
    #[error("busy for {0:?}")]
    Busy(Duration),
    #[error("broken")]
    Permanent,
    #[error("the service is gone")]
    Gone,
}

impl IsTransient for ScriptError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::Busy(_))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy(pause) => Some(*pause),
            _ => None,
        }
    }
}

pub type Outcome = Result<u32, ScriptError>;

/// The call of one attempt: the request, and the number of the instance that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    pub request: u32,
    pub instance: usize,
}

#[derive(Debug, Default)]
struct Shared {
    outcomes: VecDeque<Outcome>,
    readiness: VecDeque<Poll<Result<(), ScriptError>>>,
    calls: Vec<Called>,
    instances: usize,
}

/// A service that answers from a script, whose last outcome repeats. Panics if it is called before this instance's
/// `poll_ready` has returned `Ready(Ok(()))`.
#[derive(Debug)]
pub struct Scripted {
    shared: Arc<Mutex<Shared>>,
    instance: usize,
    is_ready: bool,
}

impl Scripted {
    pub fn new(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let shared =
            Shared { outcomes: outcomes.into_iter().collect(), instances: 1, ..Shared::default() };
        Self { shared: Arc::new(Mutex::new(shared)), instance: 0, is_ready: false }
    }

    /// Sets the answers to the next calls of `poll_ready` on any clone. After these answers, every clone is ready.
    pub fn with_readiness(
        self,
        readiness: impl IntoIterator<Item = Poll<Result<(), ScriptError>>>,
    ) -> Self {
        self.lock().readiness = readiness.into_iter().collect();
        self
    }

    /// Returns another handle on the script, which shows the calls.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
pub struct Watch(Arc<Mutex<Shared>>);

impl Watch {
    pub fn calls(&self) -> Vec<Called> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    pub fn instances(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).instances
    }
}

impl Clone for Scripted {
    fn clone(&self) -> Self {
        let mut shared = self.lock();
        let instance = shared.instances;
        shared.instances += 1;
        drop(shared);
        Self { shared: Arc::clone(&self.shared), instance, is_ready: false }
    }
}

impl Service<u32> for Scripted {
    type Response = u32;
    type Error = ScriptError;
    type Future = Ready<Outcome>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ScriptError>> {
        let next = self.lock().readiness.pop_front().unwrap_or(Poll::Ready(Ok(())));
        self.is_ready = next == Poll::Ready(Ok(()));
        if next.is_pending() {
            cx.waker().wake_by_ref();
        }
        next
    }

    fn call(&mut self, request: u32) -> Ready<Outcome> {
        assert!(mem::take(&mut self.is_ready), "instance {} is not ready", self.instance);
        let instance = self.instance;
        let mut shared = self.lock();
        shared.calls.push(Called { request, instance });
        let outcome = match shared.outcomes.len() {
            1 => shared.outcomes[0].clone(),
            _ => shared.outcomes.pop_front().expect("an outcome"),
        };
        ready(outcome)
    }
}

/// The delays that a sleeper received.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<Mutex<Vec<Duration>>>);

impl Waits {
    pub fn seen(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a sleeper that records the delay and returns at once.
    pub fn sleeper(&self) -> impl Fn(Duration) -> Ready<()> + Clone + Send + use<> {
        let waits = self.clone();
        move |delay| {
            waits.0.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
            ready(())
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the type that `clone_requests` takes"
)]
pub fn copy(request: &u32) -> Option<u32> {
    Some(*request)
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
