//! `#[retry_with(POLICY)]` on every shape of function, with the results of `.retry_with(policy)`.
//! The crate's lints apply to the generated code.
#![deny(warnings)]
#![allow(clippy::items_after_statements, reason = "each function stands beside its checks")]

mod common;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::num::{IntErrorKind, ParseIntError};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::drivers::awaited::paused;
use common::{Break, Busy, Counted, Fail, Heard, ScriptError, Step, Succeed, failing, ms, secs};
use log::{LevelFilter, Log, Metadata, Record};
use retry_ext::{
    AsyncRetryExt, IsTransient, RetryBudget, RetryError, RetryExt, RetryPolicy, StopReason,
    retry_with,
};

/// A policy for blocking functions, which really sleep.
const QUICK: RetryPolicy =
    RetryPolicy::new().with_initial_delay(Duration::from_micros(10)).with_name("quick");
const SLOW: RetryPolicy = RetryPolicy::new().with_name("slow");

/// An operation that fails with `failures` transient errors, and then succeeds.
#[derive(Debug, Default)]
struct Flaky {
    failures: Cell<u32>,
    calls: Cell<u32>,
}

impl Flaky {
    fn new(failures: u32) -> Self {
        Self { failures: Cell::new(failures), calls: Cell::new(0) }
    }

    fn call(&self) -> io::Result<u32> {
        self.calls.set(self.calls.get() + 1);
        match self.failures.get() {
            0 => Ok(self.calls.get()),
            left => {
                self.failures.set(left - 1);
                Err(ErrorKind::TimedOut.into())
            }
        }
    }
}

#[test]
fn the_body_is_one_attempt() {
    #[retry_with(QUICK)]
    fn call(flaky: &Flaky) -> Result<u32, RetryError<io::Error>> {
        flaky.call()
    }
    assert_eq!(call(&Flaky::new(2)).expect("the third attempt succeeds"), 3);
    let stopped = call(&Flaky::new(3)).expect_err("there is no fourth attempt");
    assert_eq!((stopped.attempts(), stopped.reason()), (3, StopReason::AttemptsExhausted));
    assert_eq!(stopped.waited(), Duration::from_micros(10 + 20));
}

#[test]
fn return_and_question_mark_end_the_attempt() {
    #[derive(Debug, IsTransient)]
    enum Error {
        #[transient(forward)]
        Io(io::Error),
        #[transient]
        Odd,
        Large,
    }
    impl From<io::Error> for Error {
        fn from(error: io::Error) -> Self {
            Self::Io(error)
        }
    }

    #[retry_with(QUICK.with_max_attempts(5))]
    fn even(flaky: &Flaky, limit: u32) -> Result<u32, RetryError<Error>> {
        let number = flaky.call()?;
        if number > limit {
            return Err(Error::Large);
        }
        if number % 2 == 1 {
            return Err(Error::Odd);
        }
        Ok(number)
    }
    assert_eq!(even(&Flaky::new(2), 9).expect("3 is odd, 4 is even"), 4);
    let stopped = even(&Flaky::new(2), 2).expect_err("3 is too large");
    assert!(matches!(stopped.error(), Error::Large));
    assert_eq!((stopped.attempts(), stopped.reason()), (3, StopReason::Permanent));

    #[retry_with(SLOW.with_max_attempts(5))]
    async fn even_async(flaky: &Flaky, limit: u32) -> Result<u32, RetryError<Error>> {
        let number = flaky.call()?;
        if number > limit {
            return Err(Error::Large);
        }
        tokio::task::yield_now().await;
        if number % 2 == 1 { Err(Error::Odd) } else { Ok(number) }
    }
    paused(async {
        assert_eq!(even_async(&Flaky::new(2), 9).await.expect("3 is odd, 4 is even"), 4);
        let stopped = even_async(&Flaky::new(2), 2).await.expect_err("3 is too large");
        assert_eq!((stopped.attempts(), stopped.reason()), (3, StopReason::Permanent));
    });
}

#[test]
fn methods_lend_themselves_to_their_attempts() {
    struct Client {
        policy: RetryPolicy,
        shared: Arc<RetryPolicy>,
        flaky: Flaky,
        log: Vec<String>,
    }

    impl Client {
        #[retry_with(self.policy)]
        fn read(&self) -> Result<&[String], RetryError<io::Error>> {
            self.flaky.call()?;
            Ok(&self.log)
        }

        #[retry_with(&self.policy)]
        fn write(&mut self, line: &str) -> Result<usize, RetryError<io::Error>> {
            self.log.push(format!("{line} {}", self.flaky.calls.get()));
            self.flaky.call()?;
            Ok(self.log.len())
        }

        #[retry_with(self.shared)]
        async fn write_async(&mut self, line: &str) -> Result<usize, RetryError<io::Error>> {
            self.log.push(format!("{line} {}", self.flaky.calls.get()));
            tokio::task::yield_now().await;
            self.flaky.call()?;
            Ok(self.log.len())
        }

        #[retry_with(self.policy)]
        fn boxed(self: Box<Self>) -> Result<u32, RetryError<io::Error>> {
            self.flaky.call()
        }

        #[retry_with(QUICK)]
        fn new(flaky: &Flaky) -> Result<Self, RetryError<io::Error>> {
            let flaky = Flaky::new(flaky.call()? - 1);
            Ok(Self { policy: QUICK, shared: Arc::new(SLOW), flaky, log: Vec::new() })
        }
    }

    let mut client = Client::new(&Flaky::new(2)).expect("the third attempt succeeds");
    assert_eq!(client.write("a").expect("the third attempt succeeds"), 3);
    assert_eq!(client.read().expect("it succeeds"), ["a 0", "a 1", "a 2"]);
    client.flaky = Flaky::new(1);
    paused(async { assert_eq!(client.write_async("b").await.expect("it recovers"), 5) });
    client.flaky = Flaky::new(2);
    assert_eq!(Box::new(client).boxed().expect("the third attempt succeeds"), 3);
}

#[test]
fn signatures_stay_as_they_are() {
    type Answer<T> = Result<T, RetryError<io::Error>>;

    #[retry_with(QUICK)]
    fn longest<'a, T, const N: usize>(
        flaky: &Flaky,
        words: &'a [T; N],
        fallback: &'a T,
        by: impl Fn(&T) -> usize,
    ) -> Result<&'a T, RetryError<io::Error>>
    where
        T: Display,
    {
        flaky.call()?;
        Ok(words.iter().max_by_key(|word| by(word)).unwrap_or(fallback))
    }
    let words = ["a", "ccc", "bb"];
    let longest = longest(&Flaky::new(2), &words, &"", |word| word.len());
    assert_eq!(longest.expect("it recovers"), &"ccc");

    #[retry_with(QUICK)]
    fn alias(flaky: &Flaky) -> Answer<u32> {
        flaky.call()
    }
    assert_eq!(alias(&Flaky::new(1)).expect("it recovers"), 2);

    #[retry_with(QUICK)]
    fn elided(words: &[Flaky]) -> Answer<(Cow<'_, [Cell<u32>]>, Box<dyn Display>)> {
        let number = words[0].call()?;
        Ok((Cow::from(std::slice::from_ref(&words[0].calls)), Box::new(number)))
    }
    let words = [Flaky::new(1)];
    let (calls, number) = elided(&words).expect("it recovers");
    assert_eq!((calls[0].get(), number.to_string().as_str()), (2, "2"));

    #[retry_with(SLOW)]
    async fn lent<'a>(flaky: &Flaky, text: &'a str) -> Answer<&'a str> {
        flaky.call()?;
        Ok(text.trim())
    }
    paused(async { assert_eq!(lent(&Flaky::new(1), " a ").await.expect("it recovers"), "a") });

    #[retry_with(QUICK)]
    fn generic<F: FnMut(u32) -> io::Result<T>, T>(mut call: F) -> Answer<Vec<T>> {
        let mut inner = |times: u32| -> io::Result<Vec<T>> {
            let mut all = Vec::new();
            for time in 0..times {
                if time == 7 {
                    return Ok(all);
                }
                all.push(call(time)?);
            }
            Ok(all)
        };
        inner(2)
    }
    let flaky = Flaky::new(2);
    assert_eq!(generic(|time| Ok(flaky.call()? + time)).expect("it recovers"), [3, 5]);

    #[retry_with(QUICK)]
    fn patterns((flaky, more): (&Flaky, u32), [a, b]: [u32; 2]) -> Answer<u32> {
        Ok(flaky.call()? + more + a + b)
    }
    assert_eq!(patterns((&Flaky::new(1), 10), [100, 1000]).expect("it recovers"), 1112);

    #[retry_with(QUICK)]
    pub(crate) unsafe extern "Rust" fn qualified(flaky: &Flaky) -> Answer<u32> {
        #![expect(unused_variables, reason = "an attribute within the body")]
        let unused = 0;
        flaky.call()
    }
    let _: unsafe extern "Rust" fn(&Flaky) -> Answer<u32> = qualified;

    #[retry_with(QUICK)]
    fn r#match<'r#if>(r#type: &'r#if Flaky) -> Answer<u32> {
        r#type.call()
    }
    assert_eq!(r#match(&Flaky::new(1)).expect("it recovers"), 2);
}

#[test]
fn cloned_arguments_are_used_up_by_each_attempt() {
    #[retry_with(QUICK, clone(body, suffix))]
    fn send(
        flaky: &Flaky,
        mut body: String,
        suffix: Rc<str>,
    ) -> Result<String, RetryError<io::Error>> {
        body.push_str(&suffix);
        drop(suffix);
        flaky.call()?;
        Ok(body)
    }
    assert_eq!(send(&Flaky::new(2), "a".into(), "b".into()).expect("it recovers"), "ab");

    #[retry_with(SLOW, clone(body))]
    async fn send_async(flaky: &Flaky, mut body: String) -> Result<String, RetryError<io::Error>> {
        body.push('b');
        tokio::task::yield_now().await;
        flaky.call()?;
        Ok(body)
    }
    paused(async {
        let sent = send_async(&Flaky::new(2), "a".into()).await;
        assert_eq!(sent.expect("it recovers"), "ab");
    });

    // Without `clone`, the attempts share an argument.
    #[retry_with(QUICK)]
    fn collect(flaky: &Flaky, mut body: String) -> Result<String, RetryError<io::Error>> {
        body.push('b');
        flaky.call()?;
        Ok(body.clone())
    }
    assert_eq!(collect(&Flaky::new(2), "a".into()).expect("it recovers"), "abbb");
}

trait Source {
    fn load(&mut self) -> io::Result<u32>;
    fn load_async(&self) -> impl Future<Output = io::Result<u32>>;
}

impl Source for Flaky {
    #[retry_with(QUICK, plain)]
    fn load(&mut self) -> io::Result<u32> {
        self.call()
    }

    #[retry_with(SLOW, plain)]
    async fn load_async(&self) -> io::Result<u32> {
        self.call()
    }
}

#[test]
fn plain_returns_the_last_error_itself() {
    assert_eq!(Flaky::new(2).load().expect("it recovers"), 3);
    let error = Flaky::new(3).load().expect_err("there is no fourth attempt");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    paused(async {
        assert_eq!(Flaky::new(2).load_async().await.expect("it recovers"), 3);
        let error = Flaky::new(3).load_async().await.expect_err("there is no fourth attempt");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn retry_if_classifies_third_party_errors() {
    #[retry_with(QUICK, retry_if = |error| *error.kind() == IntErrorKind::Empty)]
    fn parse(texts: &mut Vec<&str>) -> Result<u8, RetryError<ParseIntError>> {
        texts.pop().unwrap_or_default().parse()
    }
    assert_eq!(parse(&mut vec!["7", "", ""]).expect("the third attempt succeeds"), 7);
    let stopped = parse(&mut vec!["7", "x", ""]).expect_err("`x` is no number");
    assert_eq!((stopped.attempts(), stopped.reason()), (2, StopReason::Permanent));

    fn is_empty(error: &ParseIntError) -> bool {
        *error.kind() == IntErrorKind::Empty
    }
    struct Parser(u32);
    impl Parser {
        #[retry_with(SLOW, plain, retry_if = is_empty)]
        async fn parse(&mut self, texts: &[&str]) -> Result<u8, ParseIntError> {
            self.0 += 1;
            tokio::task::yield_now().await;
            texts[self.0 as usize - 1].parse()
        }
    }
    paused(async {
        let mut parser = Parser(0);
        assert_eq!(parser.parse(&["", "", "7"]).await, Ok(7));
        assert_eq!(parser.0, 3);
    });
}

#[test]
fn on_retry_is_called_before_each_wait() {
    #[retry_with(
        QUICK,
        on_retry = |retry| delays.push((retry.attempt, retry.delay, retry.error.kind())),
        retry_if = |error| error.kind() == ErrorKind::TimedOut,
    )]
    fn call(
        flaky: &Flaky,
        delays: &mut Vec<(u32, Duration, ErrorKind)>,
    ) -> Result<u32, RetryError<io::Error>> {
        flaky.call()
    }
    let mut delays = Vec::new();
    assert!(call(&Flaky::new(9), &mut delays).is_err());
    let micros = |attempt, delay| (attempt, Duration::from_micros(delay), ErrorKind::TimedOut);
    assert_eq!(delays, [micros(1, 10), micros(2, 20)]);
}

#[test]
fn a_retried_function_can_be_spawned() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static RETRIES: AtomicU32 = AtomicU32::new(0);

    struct Client {
        policy: RetryPolicy,
        log: Mutex<Vec<u32>>,
        sent: u32,
    }

    impl Client {
        #[retry_with(self.policy, clone(body), on_retry = |_| _ = RETRIES.fetch_add(1, Ordering::Relaxed))]
        async fn send(&mut self, body: Cell<u32>) -> Result<u32, RetryError<io::Error>> {
            let call = CALLS.fetch_add(1, Ordering::Relaxed);
            self.log.lock().expect("it is not poisoned").push(call);
            self.sent += 1;
            tokio::task::yield_now().await;
            if call < 2 { Err(ErrorKind::TimedOut.into()) } else { Ok(self.sent + body.take()) }
        }
    }

    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build();
    runtime.expect("a runtime with a timer").block_on(async {
        let task = tokio::spawn(async {
            let mut client = Client { policy: QUICK, log: Mutex::default(), sent: 0 };
            let sent = client.send(Cell::new(10)).await;
            (sent, client.log.into_inner().expect("it is not poisoned"))
        });
        let (sent, log) = task.await.expect("no panic");
        assert_eq!((sent.expect("it recovers"), log), (13, vec![0, 1, 2]));
        assert_eq!(RETRIES.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn r13_an_async_function_starts_at_its_first_poll() {
    #[retry_with(SLOW)]
    async fn call(flaky: &Flaky) -> Result<u32, RetryError<io::Error>> {
        flaky.call()
    }
    paused(async {
        let flaky = Flaky::new(2);
        let future = call(&flaky);
        assert_eq!(flaky.calls.get(), 0);
        drop(future);
        assert_eq!(flaky.calls.get(), 0);
    });
}

#[test]
fn r14_a_failure_is_dropped_before_the_next_attempt() {
    #[retry_with(QUICK)]
    fn call<'a>(alive: &'a Cell<u32>) -> Result<(), RetryError<Counted<'a>>> {
        assert_eq!(alive.get(), 0);
        Err(Counted::new(alive))
    }
    #[retry_with(SLOW)]
    async fn call_async<'a>(alive: &'a Cell<u32>) -> Result<(), RetryError<Counted<'a>>> {
        assert_eq!(alive.get(), 0);
        Err(Counted::new(alive))
    }
    let alive = Cell::new(0);
    assert!(call(&alive).is_err_and(|stopped| stopped.attempts() == 3));
    paused(async {
        assert!(call_async(&alive).await.is_err_and(|stopped| stopped.attempts() == 3));
    });
}

#[test]
fn retried_functions_that_call_one_another_do_not_multiply() {
    #[retry_with(QUICK)]
    fn inner(flaky: &Flaky) -> Result<u32, RetryError<io::Error>> {
        flaky.call()
    }
    #[retry_with(QUICK)]
    fn outer(flaky: &Flaky) -> Result<u32, RetryError<RetryError<io::Error>>> {
        inner(flaky)
    }
    let flaky = Flaky::new(9);
    assert!(outer(&flaky).is_err());
    assert_eq!(flaky.calls.get(), 3);
}

#[test]
fn a_budget_is_fed_by_a_retried_function() {
    static BUDGET: RetryBudget = RetryBudget::new().with_min_retries(0).with_ratio(1.0);

    #[retry_with(QUICK.with_budget(&BUDGET))]
    fn call(flaky: &Flaky) -> Result<u32, RetryError<io::Error>> {
        flaky.call()
    }
    let stopped = call(&Flaky::new(1)).expect_err("the budget is empty");
    assert_eq!(stopped.reason(), StopReason::BudgetExhausted);
    assert!(call(&Flaky::new(0)).is_ok());
    assert_eq!(call(&Flaky::new(1)).expect("the success before has paid for it"), 2);
}

/// Defines a function whose parts come from two places.
macro_rules! retried {
    ($policy:expr, $name:ident($flaky:ident) -> $output:ty $body:block) => {
        #[retry_with($policy, crate = retry_ext)]
        fn $name($flaky: &Flaky) -> $output $body
    };
    ($policy:expr, $vis:vis async fn $name:ident) => {
        #[retry_with($policy, clone(text))]
        $vis async fn $name(flaky: &Flaky, mut text: String) -> Result<String, RetryError<io::Error>> {
            let retry = flaky.call()?;
            text.push_str(&retry.to_string());
            Ok(text)
        }
    };
}

#[test]
fn functions_from_macro_rules_work() {
    retried!(QUICK.with_max_attempts(4), call(flaky) -> Result<u32, RetryError<io::Error>> {
        let retry = flaky.call()?;
        Ok(retry)
    });
    assert_eq!(call(&Flaky::new(3)).expect("it recovers"), 4);
    retried!(SLOW, pub(crate) async fn call_async);
    paused(async {
        let called = call_async(&Flaky::new(2), "call ".into()).await;
        assert_eq!(called.expect("it recovers"), "call 3");
    });
}

#[test]
fn the_body_sees_its_own_names_only() {
    let calls = Cell::new(0);
    fn policy(retry: u32) -> RetryPolicy {
        QUICK.with_max_attempts(retry)
    }
    // The expansion uses these names too.
    #[retry_with(policy(value))]
    fn call(calls: &Cell<u32>, value: u32, outcome: u32) -> Result<u32, RetryError<io::Error>> {
        let (retry, error, stopped) = (value, outcome, 1);
        calls.set(calls.get() + 1);
        if calls.get() < 3 { Err(ErrorKind::TimedOut.into()) } else { Ok(retry + error + stopped) }
    }
    assert_eq!(call(&calls, 5, 7).expect("it recovers"), 13);
}

#[test]
fn another_path_to_the_crate_is_taken() {
    mod library {
        pub(crate) use retry_ext as retries;
    }
    #[retry_with(QUICK, plain, crate = library::retries)]
    fn call(flaky: &Flaky) -> io::Result<u32> {
        flaky.call()
    }
    assert_eq!(call(&Flaky::new(1)).expect("it recovers"), 2);
}

thread_local! {
    static RECORDS: RefCell<Vec<(Option<u32>, String)>> = const { RefCell::new(Vec::new()) };
}

/// A logger that keeps the records of this thread.
struct Recorder;

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == "retry_ext" {
            let text = format!("{} {}", record.level(), record.args());
            RECORDS.with_borrow_mut(|records| records.push((record.line(), text)));
        }
    }

    fn flush(&self) {}
}

/// Returns the records since the last call, with the lines that they name.
fn records() -> Vec<(Option<u32>, String)> {
    let _already_set = log::set_logger(&Recorder);
    log::set_max_level(LevelFilter::Trace);
    RECORDS.take()
}

/// Returns the texts of the records since the last call.
fn logged() -> Vec<String> {
    records().into_iter().map(|(_, text)| text).collect()
}

#[test]
fn r10_records_name_the_line_of_the_attribute() {
    const NAMELESS: RetryPolicy = RetryPolicy::new().with_initial_delay(Duration::from_micros(10));
    const LINE: u32 = line!();
    #[retry_with(NAMELESS)]
    fn call(flaky: &Flaky) -> Result<u32, RetryError<io::Error>> {
        flaky.call()
    }

    #[retry_with(NAMELESS, clone(more))]
    async fn call_async(flaky: &Flaky, more: u32) -> Result<u32, RetryError<io::Error>> {
        Ok(flaky.call()? + more)
    }

    let check = |line: u32| {
        let place = format!("tests/attribute.rs:{line}");
        let records = records();
        assert_eq!(records.len(), 2);
        for (number, text) in records {
            assert_eq!(number, Some(line), "{text}");
            assert!(text.contains(&place), "{text} without {place}");
        }
    };
    records();
    assert!(call(&Flaky::new(1)).is_ok());
    check(LINE + 1);
    paused(async { assert!(call_async(&Flaky::new(1), 1).await.is_ok()) });
    check(LINE + 6);
}

/// A script whose last step repeats.
struct Script<'a> {
    steps: &'a [Step],
    calls: usize,
}

impl Script<'_> {
    fn next(&mut self) -> Result<(), ScriptError> {
        let step = self.steps.get(self.calls).or(self.steps.last()).expect("a step");
        self.calls += 1;
        step.play()
    }
}

/// The calls, the end, the events and the log records.
type Seen = (usize, Result<(), RetryError<ScriptError>>, Vec<Heard>, Vec<String>);
type Events = RefCell<Vec<Heard>>;

#[retry_with(policy, on_retry = |retry| heard.borrow_mut().push(retry.into()))]
fn blocking(
    policy: RetryPolicy,
    script: &mut Script<'_>,
    heard: &Events,
) -> Result<(), RetryError<ScriptError>> {
    script.next()
}

#[retry_with(policy, on_retry = |retry| heard.borrow_mut().push(retry.into()))]
async fn awaited(
    policy: RetryPolicy,
    script: &mut Script<'_>,
    heard: &Events,
) -> Result<(), RetryError<ScriptError>> {
    script.next()
}

fn policies(unit: Duration) -> Vec<RetryPolicy> {
    let policy = RetryPolicy::new().with_initial_delay(unit).with_name("script");
    vec![
        policy,
        policy.with_max_attempts(1),
        policy.with_max_attempts(5).with_seed(3).with_jitter(retry_ext::Jitter::Full),
        policy.with_max_delay(unit * 2).with_max_attempts(9),
        policy.with_max_elapsed(Duration::ZERO),
        policy.with_logging(false),
    ]
}

fn scripts(unit: Duration) -> Vec<Vec<Step>> {
    vec![
        vec![Succeed],
        failing(2),
        failing(4),
        vec![Fail(1)],
        vec![Break],
        vec![Fail(1), Break],
        vec![Busy(unit * 3), Busy(unit), Succeed],
        vec![Busy(Duration::MAX)],
    ]
}

#[test]
fn the_attribute_does_what_the_closure_does() {
    let unit = Duration::from_micros(1);
    logged();
    for policy in policies(unit) {
        for steps in scripts(unit) {
            let heard = Events::default();
            let mut script = Script { steps: &steps, calls: 0 };
            let end = (|| script.next())
                .on_retry(|retry| heard.borrow_mut().push(retry.into()))
                .retry_with(policy);
            let expected: Seen = (script.calls, end, heard.take(), logged());

            let mut script = Script { steps: &steps, calls: 0 };
            let end = blocking(policy, &mut script, &heard);
            let seen: Seen = (script.calls, end, heard.take(), logged());
            assert_eq!(seen, expected, "{policy:?} of {steps:?}");
        }
    }
}

#[test]
fn the_attribute_does_what_the_async_closure_does() {
    let unit = secs(1);
    logged();
    for policy in policies(unit) {
        for steps in scripts(unit) {
            let heard = Events::default();
            let script = RefCell::new(Script { steps: &steps, calls: 0 });
            let future = (|| async { script.borrow_mut().next() })
                .on_retry(|retry| heard.borrow_mut().push(retry.into()))
                .retry_with(policy);
            let (end, slept) = timed(future);
            let calls = script.into_inner().calls;
            let expected: (Seen, Duration) = ((calls, end, heard.take(), logged()), slept);

            let mut script = Script { steps: &steps, calls: 0 };
            let (end, slept) = timed(awaited(policy, &mut script, &heard));
            let seen: (Seen, Duration) = ((script.calls, end, heard.take(), logged()), slept);
            assert_eq!(seen, expected, "{policy:?} of {steps:?}");
            if let Err(stopped) = &seen.0.1 {
                assert!(slept.abs_diff(stopped.waited()) < ms(20), "tokio's clock has moved");
            }
        }
    }
}

/// Runs a future, and returns the time that it takes on tokio's clock.
fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    paused(async {
        let start = tokio::time::Instant::now();
        let output = future.await;
        (output, tokio::time::Instant::elapsed(&start))
    })
}
