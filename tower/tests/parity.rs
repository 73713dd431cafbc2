//! With any policy and any script, the layer and the policy for tower's own retry behave like a closure with
//! `retry_with`.

mod common;

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Outcome, ScriptError, Scripted, Waits, copy, ms, secs};
use proptest::prelude::*;
use retry_ext::{
    AsyncRetryExt, Jitter, RetryBudget, RetryEvent, RetryPolicy, RetryResultExt, RetrySnapshot,
    RetryStats, Verdict,
};
use retry_ext_tower::RetryLayer;
use tower::{Layer, ServiceExt};

/// The observable events of one operation.
#[derive(Debug, PartialEq)]
struct Trace {
    outcome: Outcome,
    calls: usize,
    waits: Vec<Duration>,
    heard: Vec<(u32, Duration, Duration)>,
    reports: RetrySnapshot,
    budget: u32,
}

/// The receivers of one operation.
#[derive(Default)]
struct World {
    waits: Waits,
    heard: Arc<Mutex<Vec<(u32, Duration, Duration)>>>,
    stats: Arc<RetryStats>,
    budget: Arc<RetryBudget>,
}

impl World {
    fn hook<X>(&self) -> impl Fn(&RetryEvent<'_, X>) + Clone + use<X> {
        let heard = Arc::clone(&self.heard);
        move |retry| heard.lock().unwrap().push((retry.attempt, retry.delay, retry.waited))
    }

    fn trace(self, outcome: Outcome, calls: usize) -> Trace {
        Trace {
            outcome,
            calls,
            waits: self.waits.seen(),
            heard: self.heard.lock().unwrap().clone(),
            reports: self.stats.snapshot(),
            budget: self.budget.available(),
        }
    }
}

/// Returns the verdict on an outcome. Values below 10 are successes, and so on.
fn judge(outcome: &Outcome) -> Verdict {
    match outcome {
        Ok(0..10) => Verdict::Success,
        Ok(10..20) => Verdict::Permanent,
        Ok(20..30) => Verdict::Transient,
        Ok(seconds) => Verdict::TransientAfter(secs(u64::from(*seconds) - 30)),
        Err(error) => Verdict::of(error),
    }
}

async fn closure(policy: RetryPolicy, script: &[Outcome], judged: bool) -> Trace {
    let world = World::default();
    let mut calls = 0;
    let operation = || -> Ready<Outcome> {
        calls += 1;
        ready(script[(calls - 1).min(script.len() - 1)].clone())
    };
    let (waits, stats) = (world.waits.sleeper(), Arc::clone(&world.stats));
    let outcome = if judged {
        operation
            .classify(judge)
            .on_retry(world.hook())
            .observe(stats)
            .budget(Arc::clone(&world.budget))
            .sleep_with(waits)
            .retry_with(policy)
            .await
    } else {
        operation
            .on_retry(world.hook())
            .observe(stats)
            .budget(Arc::clone(&world.budget))
            .sleep_with(waits)
            .retry_with(policy)
            .await
    };
    world.trace(outcome.plain(), calls)
}

/// Calls a service made by the layer, or by tower's own layer with its policy.
macro_rules! ask {
    ($layer:expr, $script:expr, $world:expr, $own:expr) => {{
        let (service, layer) = (Scripted::new($script.to_vec()), $layer);
        let watch = service.watch();
        let outcome = if $own {
            layer.layer(service).oneshot(5).await
        } else {
            tower::retry::RetryLayer::new(layer.into_policy()).layer(service).oneshot(5).await
        };
        $world.trace(outcome, watch.calls().len())
    }};
}

async fn service(policy: RetryPolicy, script: &[Outcome], judged: bool, own: bool) -> Trace {
    let world = World::default();
    let layer = RetryLayer::new(policy)
        .clone_requests(copy)
        .sleep_with(world.waits.sleeper())
        .observe(Arc::clone(&world.stats))
        .budget(Arc::clone(&world.budget));
    if judged {
        ask!(layer.classify(judge).on_retry(world.hook()), script, world, own)
    } else {
        ask!(layer.on_retry(world.hook()), script, world, own)
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        1 => (0..10_u32).prop_map(Ok),
        1 => (10..20_u32).prop_map(Ok),
        4 => (20..80_u32).prop_map(Ok),
        6 => (0..9_u32).prop_map(|number| Err(ScriptError::Transient(number))),
        3 => (0..40_u64).prop_map(|seconds| Err(ScriptError::Busy(secs(seconds)))),
        1 => Just(Err(ScriptError::Permanent)),
    ]
}

prop_compose! {
    /// Makes a policy. The jitter has a seed, so that all forms draw equal delays. Delays are whole milliseconds before
    /// jitter and deadlines are not, so that the clock's microseconds change no decision.
    fn policy()(
        attempts in 1..8_u32,
        first in 0..3_000_u64,
        factor in 1..4_u8,
        cap in 1..30_u64,
        jitter in 0..4_usize,
        seed: u64,
        deadline in prop::option::of(0..60_u64),
    ) -> RetryPolicy {
        let jitter = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated][jitter];
        let policy = RetryPolicy::new()
            .with_max_attempts(attempts)
            .with_initial_delay(ms(first))
            .with_factor(f64::from(factor))
            .with_max_delay(secs(cap))
            .with_jitter(jitter)
            .with_seed(seed);
        match deadline {
            Some(deadline) => policy.with_max_elapsed(ms(deadline * 1000 + 500) + Duration::from_micros(500)),
            None => policy,
        }
    }
}

proptest! {
    #[test]
    fn every_form_does_the_same(
        policy in policy(),
        script in prop::collection::vec(outcome(), 1..9),
        judged: bool,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        let expected = runtime.block_on(closure(policy, &script, judged));
        for own in [true, false] {
            let seen = runtime.block_on(service(policy, &script, judged, own));
            prop_assert_eq!(&seen, &expected, "own: {}", own);
        }
    }
}
