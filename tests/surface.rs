//! The public surface: every type can be named, and has exactly the auto traits that it should
//! have.

mod common;

use std::error::Error;
use std::fmt::Debug;
use std::future::{Future, Ready, ready};
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;
use std::vec::IntoIter;

use common::{ScriptError, Succeed};
use retry_ext::chain::{
    AsyncRetry, Budgeted, ByError, ByOutcome, Hooks, Items, Observed, Retry, RetryFuture,
    RetryItems,
};
use retry_ext::{
    AsyncRetryExt, Backoff, ConfigError, HttpError, IsTransient, Jitter, MetricsObserver,
    Observation, Observer, RetryBudget, RetryConfig, RetryContext, RetryError, RetryEvent,
    RetryExt, RetryIter, RetryIteratorExt, RetryPolicy, RetrySnapshot, RetryStats, SleepOutcome,
    StatusError, StopReason,
};

/// Returns whether a type has a trait. A constant of the type itself precedes a constant of a
/// trait, and exists only if its bound holds.
macro_rules! has {
    ($type:ty: $trait:path) => {{
        #[allow(dead_code, reason = "which of the two constants is used depends on the type")]
        const fn answer() -> bool {
            struct Probe<T>(T);
            trait Otherwise {
                const HAS: bool = false;
            }
            impl<T> Otherwise for Probe<T> {}
            impl<T: $trait> Probe<T> {
                const HAS: bool = true;
            }
            Probe::<$type>::HAS
        }
        answer()
    }};
}

/// The auto traits of a type.
macro_rules! auto_traits {
    ($type:ty) => {
        [
            ("Send", has!($type: Send)),
            ("Sync", has!($type: Sync)),
            ("Unpin", has!($type: Unpin)),
            ("UnwindSafe", has!($type: UnwindSafe)),
            ("RefUnwindSafe", has!($type: RefUnwindSafe)),
        ]
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect::<Vec<_>>()
        .join(" ")
    };
}

const ALL: &str = "Send Sync Unpin UnwindSafe RefUnwindSafe";

/// A type that stays on its thread, in the place of any part.
type Local = Rc<u8>;
/// The auto traits of a type that has such a part.
const LOCAL: &str = "Unpin UnwindSafe RefUnwindSafe";

#[test]
fn values_and_what_is_shared_have_every_auto_trait() {
    assert_eq!(auto_traits!(Backoff), ALL);
    assert_eq!(auto_traits!(Jitter), ALL);
    assert_eq!(auto_traits!(RetryIter), ALL);
    assert_eq!(auto_traits!(RetryPolicy), ALL);
    assert_eq!(auto_traits!(RetryBudget), ALL);
    assert_eq!(auto_traits!(RetryStats), ALL);
    assert_eq!(auto_traits!(MetricsObserver), ALL);
    assert_eq!(auto_traits!(RetrySnapshot), ALL);
    assert_eq!(auto_traits!(RetryConfig), ALL);
    assert_eq!(auto_traits!(StatusError), ALL);
    assert_eq!(auto_traits!(HttpError<u8>), ALL);
    assert_eq!(auto_traits!(ConfigError), ALL);
    assert_eq!(auto_traits!(Observation), ALL);
    assert_eq!(auto_traits!(SleepOutcome), ALL);
    assert_eq!(auto_traits!(StopReason), ALL);
}

#[test]
fn hooks_and_their_parts_are_what_was_given() {
    assert_eq!(auto_traits!(Hooks), ALL);
    assert_eq!(auto_traits!(Hooks<Local>), LOCAL);
    assert_eq!(auto_traits!(Hooks<(), Local>), LOCAL);
    assert_eq!(auto_traits!(Hooks<(), (), Local>), LOCAL);
    assert_eq!(auto_traits!(Hooks<(), (), (), Local>), LOCAL);
    assert_eq!(auto_traits!(Hooks<(), (), (), (), Local>), LOCAL);
    assert_eq!(auto_traits!(Hooks<(), (), (), (), (), Local>), LOCAL);
    assert_eq!(auto_traits!(ByOutcome<u8>), ALL);
    assert_eq!(auto_traits!(ByOutcome<Local>), LOCAL);
    assert_eq!(auto_traits!(Budgeted<u8>), ALL);
    assert_eq!(auto_traits!(Budgeted<Local>), LOCAL);
    assert_eq!(auto_traits!(ByError<u8>), ALL);
    assert_eq!(auto_traits!(ByError<Local>), LOCAL);
    assert_eq!(auto_traits!(Observed<u8>), ALL);
    assert_eq!(auto_traits!(Observed<Local>), LOCAL);
}

#[test]
fn a_context_is_what_its_hooks_are() {
    assert_eq!(auto_traits!(RetryContext), ALL);
    assert_eq!(auto_traits!(RetryContext<Local>), LOCAL);
    assert_eq!(auto_traits!(RetryContext<Hooks<(), (), (), Observed<Local>>>), LOCAL);
}

#[test]
fn errors_and_events_are_what_their_error_is() {
    assert_eq!(auto_traits!(RetryError<u8>), ALL);
    assert_eq!(auto_traits!(RetryError<Local>), LOCAL);
    assert_eq!(auto_traits!(RetryEvent<'static, u8>), ALL);
    assert_eq!(auto_traits!(RetryEvent<'static, Local>), LOCAL);
}

#[test]
fn a_chain_is_what_its_parts_are_and_not_what_it_yields() {
    assert_eq!(auto_traits!(Items<u8>), ALL);
    assert_eq!(auto_traits!(Items<Local>), LOCAL);

    assert_eq!(auto_traits!(Retry<u8, Local, Local>), ALL);
    assert_eq!(auto_traits!(Retry<Local, u8, u8>), LOCAL);
    assert_eq!(auto_traits!(Retry<u8, u8, u8, Local>), LOCAL);

    assert_eq!(auto_traits!(AsyncRetry<u8, Local, Local, Local>), ALL);
    assert_eq!(auto_traits!(AsyncRetry<Local, u8, u8, u8>), LOCAL);
    assert_eq!(auto_traits!(AsyncRetry<u8, u8, u8, u8, Local>), LOCAL);
}

#[test]
fn items_are_what_their_source_policy_and_hooks_are() {
    assert_eq!(auto_traits!(RetryItems<u8, Local, Local, u8>), ALL);
    assert_eq!(auto_traits!(RetryItems<Local, u8, u8, u8>), LOCAL);
    assert_eq!(auto_traits!(RetryItems<u8, u8, u8, Local>), LOCAL);
    assert_eq!(auto_traits!(RetryItems<u8, u8, u8, u8, Local>), LOCAL);
}

/// A future that has the auto traits of neither its value nor its error.
struct Makes<T, E>(PhantomData<fn() -> (T, E)>);

impl<T, E> Future for Makes<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Result<T, E>> {
        Poll::Pending
    }
}

/// A sleeper that can cancel. While a future with this sleeper waits, it keeps its last error.
type Cancels = fn(Duration) -> Ready<SleepOutcome>;

#[test]
fn r13_a_future_is_send_where_operation_error_and_hooks_are() {
    type Of<F, P, C = (), N = (), S = Cancels, O = ()> = RetryFuture<F, P, Hooks<C, N, S, O>>;
    type Plain = fn() -> Ready<Result<u8, u8>>;
    type LocalOperation = Box<dyn FnMut() -> Ready<Result<u8, u8>>>;
    type LocalFuture = Pin<Box<dyn Future<Output = Result<u8, u8>>>>;
    type LocalTimer = Box<dyn FnMut(Duration) -> Ready<()>>;
    type TimerOfLocals = fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>;

    assert_eq!(auto_traits!(Of<fn() -> Makes<Local, u8>, u8>), ALL);
    assert_eq!(auto_traits!(Of<LocalOperation, u8>), "Unpin");
    assert_eq!(auto_traits!(Of<fn() -> LocalFuture, u8>), "Unpin");
    assert_eq!(auto_traits!(Of<fn() -> Makes<u8, Local>, u8>), LOCAL);
    assert_eq!(auto_traits!(Of<Plain, Local>), LOCAL);
    assert_eq!(auto_traits!(Of<Plain, u8, ByError<Local>>), LOCAL);
    assert_eq!(auto_traits!(Of<Plain, u8, ByOutcome<Local>>), LOCAL);
    // A whole outcome is kept for a sleeper that can cancel.
    assert_eq!(auto_traits!(Of<fn() -> Makes<Local, u8>, u8, ByOutcome<u8>>), LOCAL);
    assert_eq!(auto_traits!(Of<Plain, u8, (), Local>), LOCAL);
    assert_eq!(auto_traits!(Of<Plain, u8, (), (), LocalTimer>), "Unpin");
    assert_eq!(auto_traits!(Of<Plain, u8, (), (), TimerOfLocals>), "Unpin");
    assert_eq!(auto_traits!(Of<Plain, u8, (), (), Cancels, Local>), LOCAL);
}

#[test]
fn r14_a_future_whose_sleeper_cannot_cancel_keeps_no_error() {
    type Timer = fn(Duration) -> Ready<()>;
    type Of<S> = RetryFuture<fn() -> Makes<u8, Local>, u8, Hooks<(), (), S>>;

    assert_eq!(auto_traits!(Of<Timer>), ALL);
    // Tokio's timer is pinned.
    assert_eq!(auto_traits!(Of<()>), "Send Sync");
}

struct Opaque;

#[test]
fn everything_is_debug_and_values_are_copy() {
    type OpaqueOperation = Box<dyn FnMut() -> Makes<Opaque, Opaque>>;
    type Unshown = Hooks<ByError<Opaque>, Opaque, (), Opaque, Opaque, Opaque>;

    assert!(has!(Backoff: Copy) && has!(Backoff: Debug));
    assert!(has!(Jitter: Copy) && has!(Jitter: Debug) && has!(Jitter: Hash));
    assert!(has!(RetryPolicy: Copy) && has!(RetryPolicy: Debug));
    assert!(has!(RetryConfig: Copy) && has!(RetryConfig: Debug));
    assert!(has!(RetrySnapshot: Copy) && has!(RetrySnapshot: Debug));
    assert!(has!(SleepOutcome: Copy) && has!(SleepOutcome: Debug) && has!(SleepOutcome: Hash));
    assert!(has!(StopReason: Copy) && has!(StopReason: Debug) && has!(StopReason: Hash));
    assert!(has!(RetryIter: Clone) && has!(RetryIter: Debug));
    assert!(has!(Observation: Clone) && has!(Observation: Debug));
    assert!(has!(ConfigError: Clone) && has!(ConfigError: Debug) && has!(ConfigError: Error));
    assert!(has!(RetryError<Failed>: Clone) && has!(RetryError<Failed>: Error));
    assert!(
        has!(RetryBudget: Debug)
            && has!(RetryStats: Debug)
            && has!(MetricsObserver: Debug)
            && has!(RetryContext: Debug)
    );
    assert!(has!(RetryEvent<'static, Failed>: Debug) && has!(Items<Source>: Debug));
    // These types implement `Debug` even if their parts do not.
    assert!(has!(RetryContext<Opaque>: Debug));
    assert!(has!(Retry<Opaque, Opaque, Opaque, Opaque>: Debug));
    assert!(has!(AsyncRetry<Opaque, Opaque, Opaque, Opaque, Opaque>: Debug));
    assert!(has!(RetryItems<Opaque, Opaque, Opaque, Opaque, Opaque>: Debug));
    assert!(has!(RetryFuture<OpaqueOperation, Opaque, Unshown>: Debug));
}

type Failed = ScriptError;
type Read = fn() -> Result<u8, Failed>;
type Source = IntoIter<Result<u8, Failed>>;
type Reading = Ready<Result<u8, Failed>>;
type Judge = fn(&Failed) -> bool;
type Hook = fn(&RetryEvent<'_, Failed>);
type Sleeper = fn(Duration) -> SleepOutcome;

fn read() -> Result<u8, Failed> {
    Succeed.play().map(|()| 7)
}

/// A type that names the type of each of its fields.
struct Keeper {
    chain: Retry<
        Read,
        u8,
        Failed,
        Hooks<ByError<Judge>, Hook, Sleeper, Observed<&'static RetryStats>>,
    >,
    chain_of_items: Retry<Items<Source>, u8, Failed, Hooks<(), Hook>>,
    items: RetryItems<Source, u8, Failed, &'static RetryPolicy>,
    async_chain: AsyncRetry<fn() -> Reading, Reading, u8, Failed, Hooks<(), Hook, Cancels>>,
    future: RetryFuture<fn() -> Reading, RetryPolicy, Hooks<(), Hook, Cancels>>,
    on_tokio: Pin<Box<RetryFuture<fn() -> Reading, &'static RetryPolicy, Hooks>>>,
    context: RetryContext,
    observed: RetryContext<Hooks<(), (), (), Observed<&'static RetryStats>>>,
    delays: RetryIter,
}

#[test]
fn every_type_can_be_a_field_by_its_name() {
    static POLICY: RetryPolicy = RetryPolicy::new();
    static STATS: RetryStats = RetryStats::new();

    let make: fn() -> Reading = || ready(read());
    let hook: Hook = |_| ();
    let keeper = Keeper {
        chain: (read as Read)
            .retry_if((|_| true) as Judge)
            .on_retry(hook)
            .sleep_with((|_| SleepOutcome::Elapsed) as Sleeper)
            .observe(&STATS),
        chain_of_items: vec![read()].into_iter().on_retry(hook),
        items: vec![read()].into_iter().retry_with(&POLICY),
        async_chain: make.on_retry(hook).sleep_with(|_| ready(SleepOutcome::Elapsed)),
        future: make
            .on_retry(hook)
            .sleep_with((|_| ready(SleepOutcome::Elapsed)) as Cancels)
            .retry_with(POLICY),
        on_tokio: Box::pin(make.retry_with(&POLICY)),
        context: POLICY.start(),
        observed: POLICY.start().observe(&STATS),
        delays: POLICY.delays(),
    };

    let Keeper { mut context, mut observed, mut future, mut on_tokio, .. } = keeper;
    assert_eq!(keeper.chain.retry_with(POLICY), Ok(7));
    assert!(keeper.chain_of_items.retry_with(POLICY).chain(keeper.items).eq([Ok(7), Ok(7)]));
    let mut waiting = keeper.async_chain.retry_with(POLICY);
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut waiting).poll(&mut cx), Poll::Ready(Ok(7)));
    assert_eq!(Pin::new(&mut future).poll(&mut cx), Poll::Ready(Ok(7)));
    assert_eq!(on_tokio.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    assert_eq!(context.delay_after(&Failed::Permanent), Err(StopReason::Permanent));
    assert_eq!(observed.delay_after(&Failed::Permanent), Err(StopReason::Permanent));
    assert_eq!(STATS.snapshot().gave_up(StopReason::Permanent), 1);
    assert_eq!(keeper.delays.count(), 2);
}

#[test]
fn debug_shows_the_settings_of_a_value() {
    let backoff = Backoff::linear().with_max_delay(Duration::from_secs(9)).with_seed(7);
    let settings = "Backoff { initial_delay: 1s, factor: 1.0, increment: 1s, max_delay: 9s, \
                    custom: None, seed: Some(7), jitter: None }";
    assert_eq!(format!("{backoff:?}"), settings);
    let policy = RetryPolicy::from(backoff).with_name("load").with_max_elapsed(Duration::ZERO);
    assert_eq!(
        format!("{policy:?}"),
        format!(
            "RetryPolicy {{ backoff: {settings}, max_elapsed: Some(0ns), max_retry_after: None, \
             budget: None, name: Some(\"load\"), max_attempts: 3, logging: true }}"
        )
    );
}

#[test]
fn debug_shows_where_a_retry_stands_and_nothing_of_what_it_calls() {
    let policy = RetryPolicy::new();
    let mut context = policy.start();
    assert_eq!(context.delay_after(&Failed::Transient(1)), Ok(Duration::from_secs(1)));
    assert_eq!(
        format!("{context:?}"),
        format!("RetryContext {{ policy: {policy:?}, attempt: 2, waited: 1s, stopped: None, .. }}")
    );
    let make: fn() -> Reading = || ready(read());
    assert_eq!(format!("{:?}", (read as Read).sleep_with(|_| ())), "Retry { .. }");
    assert_eq!(format!("{:?}", make.observe(())), "AsyncRetry { .. }");
    assert_eq!(format!("{:?}", [read()].into_iter().retry_with(policy)), "RetryItems { .. }");
    let future = format!("{:?}", make.retry_with(policy));
    assert!(future.starts_with("RetryFuture { ") && future.contains("attempt: 1"), "{future}");
}

#[test]
fn the_traits_of_the_verb_can_be_bounds() {
    fn call(operation: impl RetryExt<u8, Failed>) -> Result<u8, RetryError<Failed>> {
        operation.retry_with(RetryPolicy::new())
    }
    fn start(
        operation: impl AsyncRetryExt<Reading, u8, Failed>,
    ) -> impl Future<Output = Result<u8, RetryError<Failed>>> {
        operation.retry_with(RetryPolicy::new())
    }
    fn items(
        source: impl RetryIteratorExt<u8, Failed>,
    ) -> impl Iterator<Item = Result<u8, RetryError<Failed>>> {
        source.retry_with(RetryPolicy::new())
    }

    assert_eq!(call(read), Ok(7));
    let polled = pin!(start(|| ready(read()))).poll(&mut TaskContext::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Ok(7)));
    assert!(items([read()].into_iter()).eq([Ok(7)]));
}

#[test]
fn observers_can_be_trait_objects() {
    let stats = RetryStats::new();
    let observers: [&dyn Observer; 2] = [&stats, &()];
    for observer in observers {
        assert_eq!(read.observe(observer).retry_with(RetryPolicy::new()), Ok(7));
    }
    assert_eq!(stats.snapshot().succeeded_at_first, 1);
}

#[test]
fn is_transient_can_be_a_trait_object() {
    let errors: [Box<dyn IsTransient>; 2] = [
        Box::new(std::io::ErrorKind::TimedOut),
        Box::new(std::sync::mpsc::TryRecvError::Disconnected),
    ];
    assert_eq!(errors.map(|error| error.is_transient()), [true, false]);
}

#[test]
fn everything_can_be_a_constant() {
    const BACKOFF: Backoff = Backoff::linear()
        .with_initial_delay(Duration::from_millis(5))
        .with_factor(1.5)
        .with_increment(Duration::from_millis(7))
        .with_max_delay(Duration::from_secs(9))
        .with_jitter(Jitter::Equal)
        .with_seed(3);
    const POLICY: RetryPolicy = RetryPolicy::new()
        .with_backoff(BACKOFF)
        .with_max_attempts(4)
        .with_max_elapsed(Duration::from_secs(30))
        .with_name("constant")
        .with_logging(false);
    const ATTEMPTS: u32 = POLICY.max_attempts();
    const CAP: Duration = POLICY.backoff().max_delay();
    assert_eq!((ATTEMPTS, CAP), (4, Duration::from_secs(9)));
    assert_eq!(POLICY.max_elapsed(), Some(Duration::from_secs(30)));
    assert_eq!((POLICY.name(), POLICY.logging()), (Some("constant"), false));
    assert_eq!((POLICY.initial_delay(), POLICY.max_delay()), (BACKOFF.initial_delay(), CAP));
    assert_eq!((POLICY.jitter(), POLICY.seed()), (Jitter::Equal, Some(3)));
    assert!((POLICY.factor() - 1.5).abs() < f64::EPSILON);
}

#[test]
fn the_short_cuts_of_the_policy_change_its_backoff() {
    let long = RetryPolicy::new().with_backoff(
        Backoff::exponential()
            .with_initial_delay(Duration::from_millis(3))
            .with_factor(3.0)
            .with_max_delay(Duration::from_millis(20))
            .with_jitter(Jitter::Full)
            .with_seed(5),
    );
    let short = RetryPolicy::default()
        .with_initial_delay(Duration::from_millis(3))
        .with_factor(3.0)
        .with_max_delay(Duration::from_millis(20))
        .with_jitter(Jitter::Full)
        .with_seed(5);
    let (long, short) = (long.with_max_attempts(20), short.with_max_attempts(20));
    assert!(long.delays().eq(short.delays()));
}

#[cfg(target_pointer_width = "64")]
#[test]
fn values_are_as_small_as_their_documentation_says() {
    assert_eq!((size_of::<Backoff>(), size_of::<RetryPolicy>()), (160, 240));
}
