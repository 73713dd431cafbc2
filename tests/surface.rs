//! The public surface: every type can be named, and is `Send`, `Sync` and `Unpin` where it should be.

use std::rc::Rc;
use std::time::Duration;

use retry_ext::{
    Backoff, ConfigError, IsTransient, Items, Jitter, Observation, Retry, RetryBudget, RetryConfig,
    RetryContext, RetryError, RetryEvent, RetryExt, RetryItems, RetryIter, RetryPolicy,
    RetrySnapshot, RetryStats, SleepOutcome, StopReason,
};

fn plain<T: Send + Sync + Unpin + std::fmt::Debug>() {}
fn value<T: Copy + Send + Sync + Unpin + 'static>() {}

#[test]
fn values_are_copy_send_and_sync() {
    value::<Backoff>();
    value::<Jitter>();
    value::<RetryPolicy>();
    value::<SleepOutcome>();
    value::<StopReason>();
    plain::<Backoff>();
    plain::<Jitter>();
    plain::<RetryIter>();
    plain::<RetryPolicy>();
    plain::<RetryError<String>>();
    plain::<RetryEvent<'_, String>>();
    plain::<Retry<fn() -> Result<u8, String>, u8, String>>();
    plain::<SleepOutcome>();
    plain::<ConfigError>();
    plain::<RetryBudget>();
    plain::<RetryStats>();
    value::<RetrySnapshot>();
    plain::<Observation>();
    plain::<RetryConfig>();
    plain::<RetryContext>();
    plain::<RetryItems<std::vec::IntoIter<Result<u8, String>>, u8, String, RetryPolicy>>();
    plain::<Items<std::vec::IntoIter<Result<u8, String>>>>();
    plain::<StopReason>();
}

#[test]
fn a_chain_is_send_even_where_its_value_and_error_are_not() {
    fn is_send<T: Send>(_: &T) {}
    type Hook = fn(&RetryEvent<'_, Rc<u8>>);
    type Chain = Retry<
        fn() -> Result<Rc<u8>, Rc<u8>>,
        Rc<u8>,
        Rc<u8>,
        fn(&Rc<u8>) -> bool,
        Hook,
        fn(Duration),
    >;
    let chain: Chain = ((|| Ok(Rc::new(1))) as fn() -> Result<Rc<u8>, Rc<u8>>)
        .retry_if((|_| true) as fn(&Rc<u8>) -> bool)
        .on_retry((|_| ()) as Hook)
        .sleep_with((|_| ()) as fn(Duration));
    is_send(&chain);
    assert_eq!(format!("{chain:?}"), "Retry { .. }");
    assert_eq!(*chain.retry_with(RetryPolicy::new()).expect("it succeeds"), 1);
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
