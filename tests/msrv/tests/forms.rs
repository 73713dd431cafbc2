//! Every form of the crate does its work.

use std::cell::RefCell;
use std::future::{poll_fn, ready};
use std::io::{Error, ErrorKind};
use std::iter;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record, kv};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Recorder, SharedString, Unit};
use retry_ext::testing::without_waits;
use retry_ext::{
    AsyncRetryExt, Backoff, CheckStatus, HttpError, IsTransient, Jitter, MetricsObserver,
    Observation, Observer, ResubscribeExt, RetryBudget, RetryConfig, RetryError, RetryEvent,
    RetryExt, RetryIteratorExt, RetryPolicy, RetryStats, RetryStreamExt, StopReason, Verdict,
    attempts, retry_with,
};
use serde::Deserialize;
use serde::de::value::{Error as ValueError, MapDeserializer};

const MILLISECOND: Duration = Duration::from_millis(1);

const POLICY: RetryPolicy = RetryPolicy::new().with_backoff(Backoff::constant(MILLISECOND));

/// An operation that times out this many times, then returns its number of calls.
fn failing(failures: u32) -> impl FnMut() -> Result<u32, Error> {
    let mut calls = 0;
    move || {
        calls += 1;
        if calls > failures { Ok(calls) } else { Err(ErrorKind::TimedOut.into()) }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_closure_is_retried() {
    let mut hooked = Vec::new();
    let value = failing(2)
        .on_retry(|retry| hooked.push((retry.attempt, retry.delay)))
        .retry_with(POLICY)
        .expect("the third attempt succeeds");
    assert_eq!(value, 3);
    assert_eq!(hooked, [(1, MILLISECOND), (2, MILLISECOND)]);
}

#[test]
fn a_closure_gives_up_with_the_last_error() {
    let error = failing(3).retry_with(POLICY).expect_err("three attempts are allowed");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
    assert_eq!(error.waited(), 2 * MILLISECOND);
    assert!(error.to_string().starts_with("gave up after 3 attempts"), "{error}");
    assert_eq!(error.into_error().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_derived_error_declares_what_is_transient() {
    #[derive(IsTransient)]
    enum DerivedError {
        #[transient(if = *code == 503, after = hint)]
        Status {
            code: u16,
            hint: Option<Duration>,
        },
        #[transient(forward)]
        Io(Error),
        Wrong,
    }
    let busy = DerivedError::Status { code: 503, hint: Some(MILLISECOND) };
    assert_eq!((busy.is_transient(), busy.retry_after()), (true, Some(MILLISECOND)));
    assert!(DerivedError::Io(ErrorKind::TimedOut.into()).is_transient());
    assert!(!DerivedError::Wrong.is_transient());
}

#[test]
fn a_function_and_an_async_method_are_retried() {
    struct Client {
        policy: RetryPolicy,
        calls: u32,
    }

    impl Client {
        fn call(&mut self) -> Result<u32, Error> {
            self.calls += 1;
            if self.calls % 3 == 0 { Ok(self.calls) } else { Err(ErrorKind::TimedOut.into()) }
        }

        #[retry_with(self.policy, clone(text))]
        async fn send(&mut self, mut text: String) -> Result<String, RetryError<Error>> {
            text.push_str(&self.call()?.to_string());
            Ok(text)
        }
    }

    #[retry_with(POLICY, plain, retry_if = |error| error.kind() == ErrorKind::TimedOut)]
    fn call(client: &mut Client) -> Result<u32, Error> {
        client.call()
    }

    let mut client = Client { policy: POLICY, calls: 0 };
    assert_eq!(call(&mut client).expect("the third attempt succeeds"), 3);
    let sent = block_on(client.send("call ".into()));
    assert_eq!(sent.expect("the third attempt succeeds"), "call 6");
}

#[test]
fn metrics_are_written_to_a_recorder() {
    /// A recorder that notes the names of the metrics.
    #[derive(Default)]
    struct Names(RefCell<Vec<String>>);

    impl Names {
        fn note(&self, key: &Key) {
            self.0.borrow_mut().push(key.name().to_owned());
        }
    }

    impl Recorder for Names {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &metrics::Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &metrics::Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &metrics::Metadata<'_>) -> Histogram {
            self.note(key);
            Histogram::noop()
        }
    }

    static METRICS: MetricsObserver = MetricsObserver::new();
    let names = Names::default();
    metrics::with_local_recorder(&names, || {
        MetricsObserver::register([]);
        assert!(failing(1).observe(&METRICS).sleep_with(|_| ()).retry_with(POLICY).is_ok());
        MetricsObserver::record_budget("peer", &RetryBudget::new());
    });
    let names = names.0.into_inner();
    assert_eq!(names.first().map(String::as_str), Some("retry_attempts_total"));
    assert_eq!(names.last().map(String::as_str), Some("retry_budget_available"));
    assert!(names.iter().any(|name| name == "retry_waited_seconds"));
}

#[test]
fn waits_are_skipped_in_a_test() {
    let slow = RetryPolicy::new().with_initial_delay(Duration::from_secs(60));
    let (value, waits) = without_waits(|| failing(2).retry_with(slow));
    assert_eq!(value.expect("the third attempt succeeds"), 3);
    assert_eq!(waits, [Duration::from_secs(60); 2]);
}

#[test]
fn a_predicate_classifies_a_third_party_error() {
    let mut texts = ["", "7"].into_iter();
    let number = (|| texts.next().expect("two calls").parse::<u8>())
        .retry_if(|error| *error.kind() == std::num::IntErrorKind::Empty)
        .sleep_with(|_| ())
        .retry_with(POLICY);
    assert_eq!(number.ok(), Some(7));
}

#[test]
fn an_async_closure_is_retried_on_the_timer_of_tokio() {
    let mut attempts = failing(2);
    let value = block_on((|| ready(attempts())).retry_with(POLICY));
    assert_eq!(value.expect("the third attempt succeeds"), 3);

    let error = block_on(async {
        let times_out = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
        times_out.retry_with(POLICY).await.expect_err("every attempt times out")
    });
    assert_eq!((error.attempts(), error.waited()), (3, 2 * MILLISECOND));
}

#[test]
fn an_async_closure_is_retried_with_another_timer() {
    let mut waits = Vec::new();
    let mut attempts = failing(2);
    let chain = (|| ready(attempts())).sleep_with(|delay| {
        waits.push(delay);
        ready(())
    });
    assert_eq!(block_on(chain.retry_with(POLICY)).ok(), Some(3));
    assert_eq!(waits, [MILLISECOND; 2]);
}

#[test]
fn an_iterator_of_results_is_retried() {
    let items: Result<Vec<_>, RetryError<Error>> =
        iter::repeat_with(failing(2)).retry_with(POLICY).take(3).collect();
    assert_eq!(items.expect("the source recovers"), [3, 4, 5]);
}

/// A stream of the results of an operation.
struct Calls<F>(F);

impl<T, F: FnMut() -> T + Unpin> futures_core::Stream for Calls<F> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(Some((self.0)()))
    }
}

async fn next<S: futures_core::Stream>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    poll_fn(|cx| stream.as_mut().poll_next(cx)).await
}

#[test]
fn a_stream_is_retried_and_subscribed_again() {
    block_on(async {
        let mut items = pin!(Calls(failing(2)).retry_with(POLICY));
        assert_eq!(next(items.as_mut()).await.and_then(Result::ok), Some(3));

        let mut subscriptions = 0;
        let subscribe = || {
            subscriptions += 1;
            let fails = subscriptions == 1;
            Calls(move || if fails { Err(Error::from(ErrorKind::TimedOut)) } else { Ok(7) })
        };
        let mut items = pin!(subscribe.retry_with(POLICY));
        assert_eq!(next(items.as_mut()).await.and_then(Result::ok), Some(7));
    });
}

#[test]
fn a_loop_waits_by_itself() {
    let mut operation = failing(2);
    let mut retry = POLICY.start();
    let value = loop {
        match operation() {
            Ok(value) => break value,
            Err(error) => retry.wait_after(error).expect("two retries are allowed"),
        }
    };
    retry.succeeded();
    assert_eq!(value, 3);
}

#[test]
fn an_async_loop_waits_by_itself() {
    let mut operation = failing(9);
    let error = block_on(async {
        let mut retry = POLICY.start();
        loop {
            let Err(error) = operation() else { panic!("it fails nine times") };
            if let Err(stopped) = retry.wait_after_async(error).await {
                break stopped;
            }
        }
    });
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));
}

#[test]
fn a_loop_steps_with_hooks_and_computed_delays() {
    let mut hooked = Vec::new();
    let mut operation = failing(2);
    let mut retry = POLICY
        .start()
        .on_retry(|retry: &RetryEvent<'_, Error>| hooked.push(retry.delay))
        .delay_with(|retry, _: &Error| MILLISECOND * retry);
    let value = loop {
        if let Some(value) = retry.step(operation()).expect("two retries are allowed") {
            break value;
        }
    };
    assert_eq!(value, 3);
    assert_eq!(hooked, [MILLISECOND, 2 * MILLISECOND]);
}

#[test]
fn an_async_loop_steps() {
    let mut operation = failing(2);
    let value = block_on(async {
        let mut retry = POLICY.start();
        loop {
            match retry.step_async(operation()).await {
                Ok(None) => {}
                Ok(Some(value)) => break value,
                Err(stopped) => panic!("{stopped}"),
            }
        }
    });
    assert_eq!(value, 3);
}

#[test]
fn outcomes_are_judged_and_the_last_value_is_returned() {
    let judge = |outcome: &Result<u32, Error>| match outcome {
        Ok(1 | 2) => Verdict::Transient,
        Ok(_) => Verdict::Success,
        Err(error) => Verdict::of(error),
    };
    let mut calls = 0;
    let mut count = || {
        calls += 1;
        Ok(calls)
    };
    assert_eq!((&mut count).classify(judge).retry_with(POLICY).ok(), Some(3));
    let twice = POLICY.with_max_attempts(2);
    let last = block_on((|| ready(Ok(2))).classify(judge).retry_with(twice));
    assert_eq!(last.ok(), Some(2));
}

#[test]
fn attempts_have_a_number_a_deadline_and_a_time_limit() {
    let number = attempts(|attempt| match attempt.number() {
        3 => Ok(attempt.remaining().is_some()),
        _ => Err(Error::from(ErrorKind::TimedOut)),
    });
    let policy =
        RetryPolicy::within(Duration::from_secs(60)).with_backoff(Backoff::constant(MILLISECOND));
    assert_eq!(number.retry_with(policy).ok(), Some(true));

    let error = block_on(async {
        let hangs = async || std::future::pending::<Result<(), Error>>().await;
        hangs.timeout_each(MILLISECOND).retry_with(POLICY).await.expect_err("it hangs")
    });
    assert_eq!((error.attempts(), error.error().kind()), (3, ErrorKind::TimedOut));
}

#[test]
fn a_budget_of_the_chain_is_shared() {
    let budget = std::sync::Arc::new(RetryBudget::new().with_min_retries(1));
    let error = failing(9).budget(&budget).retry_with(POLICY).expect_err("one retry is allowed");
    assert_eq!((error.attempts(), error.reason()), (2, StopReason::BudgetExhausted));
}

#[test]
fn a_loop_takes_the_delay_and_waits_elsewhere() {
    let timed_out = Error::from(ErrorKind::TimedOut);
    let mut retry = POLICY.start();
    assert_eq!(retry.delay_after(&timed_out), Ok(MILLISECOND));
    assert_eq!(retry.delay_after(&timed_out), Ok(MILLISECOND));
    assert_eq!(retry.delay_after(&timed_out), Err(StopReason::AttemptsExhausted));
}

#[test]
fn delays_are_iterated() {
    const BACKOFF: Backoff = Backoff::exponential().with_initial_delay(Duration::from_millis(100));
    let delays: Vec<u128> = BACKOFF.iter().take(4).map(|delay| delay.as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800]);
    assert_eq!(POLICY.delays().count(), 2);

    let mut seconds = Vec::new();
    for delay in Backoff::linear() {
        if delay > Duration::from_secs(3) {
            break;
        }
        seconds.push(delay.as_secs());
    }
    assert_eq!(seconds, [1, 2, 3]);
}

#[test]
fn jitter_draws_below_the_delay_and_equally_with_equal_seeds() {
    const BACKOFF: Backoff = Backoff::exponential().with_jitter(Jitter::Full);
    let draws = |seed| BACKOFF.with_seed(seed).iter().take(100).collect::<Vec<_>>();
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    assert!(BACKOFF.iter().zip(Backoff::exponential()).take(100).all(|(draw, cap)| draw <= cap));
}

#[test]
fn a_budget_refuses_retries_above_its_share() {
    static BUDGET: RetryBudget = RetryBudget::new().with_ratio(0.0).with_min_retries(1);
    let error = failing(3)
        .sleep_with(|_| ())
        .retry_with(POLICY.with_budget(&BUDGET))
        .expect_err("one retry is allowed");
    assert_eq!((error.attempts(), error.reason()), (2, StopReason::BudgetExhausted));
    assert_eq!(BUDGET.available(), 0);
}

#[test]
fn an_observer_is_called_for_every_outcome() {
    #[derive(Default)]
    struct Calls(RefCell<Vec<String>>);

    impl Observer for Calls {
        fn on_retry(&self, seen: &Observation, delay: Duration) {
            self.0.borrow_mut().push(format!("retry {} in {delay:?}", seen.attempt));
        }

        fn on_success(&self, seen: &Observation) {
            self.0.borrow_mut().push(format!("success {}", seen.attempt));
        }

        fn on_give_up(&self, seen: &Observation, reason: StopReason) {
            self.0.borrow_mut().push(format!("gave up {}: {reason:?}", seen.attempt));
        }
    }

    let (calls, stats) = (Calls::default(), RetryStats::new());
    for failures in [1, 2] {
        let policy = POLICY.with_max_attempts(2);
        let observed = failing(failures).observe(&calls).retry_with(policy);
        assert_eq!(observed.is_ok(), failures == 1);
        let counted = failing(failures).observe(&stats).retry_with(policy);
        assert_eq!(counted.is_ok(), failures == 1);
    }
    let expected =
        ["retry 1 in 1ms", "success 2", "retry 1 in 1ms", "gave up 2: AttemptsExhausted"];
    assert_eq!(calls.0.into_inner(), expected);
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.calls, snapshot.retries, snapshot.succeeded_after_retry), (4, 2, 1));
    assert_eq!(snapshot.gave_up(StopReason::AttemptsExhausted), 1);
}

#[test]
fn a_configuration_becomes_a_policy() {
    fn read<const N: usize>(keys: [(&str, &str); N]) -> Result<RetryConfig, ValueError> {
        RetryConfig::deserialize(MapDeserializer::new(keys.into_iter()))
    }

    let config = read([("initial_delay", "250ms"), ("max_delay", "1m 30s"), ("jitter", "full")]);
    let policy = config.and_then(|config| config.into_policy().map_err(serde::de::Error::custom));
    let policy = policy.expect("every value is allowed");
    assert_eq!(policy.backoff().initial_delay(), Duration::from_millis(250));
    assert_eq!(policy.jitter(), Jitter::Full);
    assert_eq!(policy.max_delay(), Duration::from_secs(90));

    assert!(read([("max_dealy", "5s")]).is_err());
    let delay = Some(Duration::from_secs(48 * 3600));
    let error = RetryConfig { max_delay: delay, ..RetryConfig::default() }.into_policy();
    assert_eq!(error.expect_err("48 hours are too long").key(), "max_delay");
    let unset = RetryConfig::from_env_prefixed("MSRV_TEST_").expect("no such variable is set");
    assert_eq!(unset, RetryConfig::default());
}

#[test]
fn an_error_type_carries_the_hint_of_a_server() {
    #[derive(Debug, IsTransient)]
    #[transient(after = 2 * MILLISECOND)]
    struct Busy;

    let policy = POLICY.with_max_attempts(2).with_max_delay(Duration::from_secs(1));
    let error = (|| Err::<(), _>(Busy)).retry_with(policy).expect_err("it is always busy");
    assert!(error.waited() >= 2 * MILLISECOND, "{:?}", error.waited());
}

#[test]
fn a_status_is_an_error_with_a_hint() {
    let busy = http::Response::builder().status(503).header("retry-after", "0.001").body(());
    let mut responses = [busy, http::Response::builder().body(())].into_iter();
    let mut hooked = Vec::new();
    (|| responses.next().expect("two calls").expect("a response").check_status())
        .on_retry(|retry| hooked.push(retry.error.retry_after()))
        .retry_with(POLICY)
        .expect("the second response is a success");
    assert_eq!(hooked, [Some(MILLISECOND)]);
}

#[test]
fn a_client_that_is_refused_is_retried() {
    // Port 1 (tcpmux) has no server.
    let url = "http://127.0.0.1:1/";
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let get = || Ok(agent.get(url).call()?.check_status()?.status());
    let error: RetryError<HttpError<ureq::Error>> =
        get.retry_with(POLICY).expect_err("the port is closed");
    assert_eq!((error.attempts(), error.reason()), (3, StopReason::AttemptsExhausted));

    let error = block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok::<_, HttpError<reqwest::Error>>(client.get(url).send().await?.check_status()?.status())
    });
    assert!(error.expect_err("the port is closed").is_transient());
}

#[test]
fn a_record_has_key_values() {
    thread_local! {
        static KEYS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    struct Logger;

    impl Log for Logger {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            struct Keys;

            impl<'kvs> kv::VisitSource<'kvs> for Keys {
                fn visit_pair(
                    &mut self,
                    key: kv::Key<'kvs>,
                    value: kv::Value<'kvs>,
                ) -> Result<(), kv::Error> {
                    KEYS.with_borrow_mut(|keys| keys.push(format!("{key}={value}")));
                    Ok(())
                }
            }

            if record.level() == Level::Warn {
                record.key_values().visit(&mut Keys).expect("every value can be formatted");
            }
        }

        fn flush(&self) {}
    }

    log::set_logger(&Logger).expect("there is no other logger");
    log::set_max_level(LevelFilter::Trace);
    let named = POLICY.with_name("fetch");
    assert!(failing(1).sleep_with(|_| ()).retry_with(named).is_ok());
    let keys = KEYS.take();
    assert!(keys.iter().any(|key| key == "attempt=1"), "{keys:?}");
}
