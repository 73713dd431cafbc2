//! Rule 14: a failed outcome is not kept, because it may own the connection, lock or permit of the
//! next attempt.

mod common;

use std::cell::RefCell;
use std::future::{Future, ready};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use common::{ms, poll_to_end, secs};
use retry_ext::{
    AsyncRetryExt, IsTransient, RetryExt, RetryIteratorExt, RetryPolicy, SleepOutcome, StopReason,
};

const POLICY: RetryPolicy = RetryPolicy::new().with_logging(false);

type Journal = RefCell<Vec<String>>;

/// An error that records when it is dropped.
#[derive(IsTransient)]
#[transient]
struct Failure<'a> {
    number: u32,
    journal: &'a Journal,
}

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        self.journal.borrow_mut().push(format!("drop {}", self.number));
    }
}

/// An operation that always fails, and a sleeper that does not sleep.
struct World<'a> {
    journal: &'a Journal,
    calls: u32,
}

impl<'a> World<'a> {
    fn call(&mut self) -> Result<(), Failure<'a>> {
        self.calls += 1;
        self.journal.borrow_mut().push(format!("call {}", self.calls));
        Err(Failure { number: self.calls, journal: self.journal })
    }
}

fn wait<W>(journal: &Journal, answer: W) -> W {
    journal.borrow_mut().push("wait".into());
    answer
}

/// Returns the journal of a run. The final error is dropped at the end of the run.
fn journal(run: impl FnOnce(&Journal, &mut World<'_>)) -> Vec<String> {
    let journal = Journal::default();
    run(&journal, &mut World { journal: &journal, calls: 0 });
    journal.into_inner()
}

const BEFORE_THE_WAIT: [&str; 8] =
    ["call 1", "drop 1", "wait", "call 2", "drop 2", "wait", "call 3", "drop 3"];
const AFTER_THE_WAIT: [&str; 8] =
    ["call 1", "wait", "drop 1", "call 2", "wait", "drop 2", "call 3", "drop 3"];
const AFTER_THE_NEXT_ITEM: [&str; 8] =
    ["call 1", "wait", "call 2", "drop 1", "wait", "call 3", "drop 2", "drop 3"];

#[test]
fn p29_a_closure_drops_its_failure_before_a_wait_that_cannot_be_cancelled() {
    let seen = journal(|journal, world| {
        drop((|| world.call()).sleep_with(|_| wait(journal, ())).retry_with(POLICY));
    });
    assert_eq!(seen, BEFORE_THE_WAIT);
    let seen = journal(|journal, world| {
        let sleeper = |_| wait(journal, Instant::now());
        drop((|| world.call()).sleep_with(sleeper).retry_with(POLICY));
    });
    assert_eq!(seen, BEFORE_THE_WAIT);
}

#[test]
fn p29_a_closure_drops_its_failure_after_a_wait_that_can_be_cancelled_and_before_the_call() {
    let seen = journal(|journal, world| {
        let sleeper = |_| wait(journal, ControlFlow::Continue(()));
        drop((|| world.call()).sleep_with(sleeper).retry_with(POLICY));
    });
    assert_eq!(seen, AFTER_THE_WAIT);
    for outcome in [SleepOutcome::Elapsed, SleepOutcome::Woken] {
        let seen = journal(|journal, world| {
            drop((|| world.call()).sleep_with(|_| wait(journal, outcome)).retry_with(POLICY));
        });
        assert_eq!(seen, AFTER_THE_WAIT, "{outcome:?}");
    }
}

#[test]
fn p29_a_future_drops_its_failure_as_a_closure_does() {
    fn run<W: Future<Output: retry_ext::chain::Wake>>(answer: impl Fn() -> W) -> Vec<String> {
        journal(|journal, world| {
            let sleeper = |_| {
                wait(journal, ());
                answer()
            };
            let retry = (|| ready(world.call())).sleep_with(sleeper).retry_with(POLICY);
            drop(poll_to_end(retry));
        })
    }
    assert_eq!(run(|| ready(())), BEFORE_THE_WAIT);
    assert_eq!(run(|| ready(Instant::now())), BEFORE_THE_WAIT);
    assert_eq!(run(|| ready(ControlFlow::Continue(()))), AFTER_THE_WAIT);
    assert_eq!(run(|| ready(SleepOutcome::Elapsed)), AFTER_THE_WAIT);
    assert_eq!(run(|| ready(SleepOutcome::Woken)), AFTER_THE_WAIT);
}

#[test]
fn p29_a_future_on_a_real_timer_drops_its_failure_before_the_next_call() {
    let policy = POLICY.with_initial_delay(ms(1));
    let seen = journal(|_, world| {
        let retry = (|| ready(world.call())).retry_with(policy);
        drop(common::drivers::awaited::paused(retry));
    });
    assert_eq!(seen, ["call 1", "drop 1", "call 2", "drop 2", "call 3", "drop 3"]);
}

/// This test calls the real sleep with a delay of zero.
#[test]
fn p29_a_loop_drops_its_failure_before_the_wait() {
    let seen = journal(|journal, world| {
        let mut retry = POLICY.with_initial_delay(Duration::ZERO).start();
        loop {
            let Err(error) = world.call() else { continue };
            if let Err(stopped) = retry.wait_after(error) {
                break drop(stopped);
            }
            wait(journal, ());
        }
    });
    assert_eq!(seen, BEFORE_THE_WAIT);
}

#[test]
fn p29_an_iterator_keeps_its_failure_until_the_next_item() {
    let seen = journal(|journal, world| {
        let source = std::iter::from_fn(|| Some(world.call()));
        drop(source.sleep_with(|_| wait(journal, ())).retry_with(POLICY).next());
    });
    assert_eq!(seen, AFTER_THE_NEXT_ITEM);
    let seen = journal(|journal, world| {
        let source = std::iter::from_fn(|| Some(world.call()));
        let sleeper = |_| wait(journal, ControlFlow::Continue(()));
        drop(source.sleep_with(sleeper).retry_with(POLICY).next());
    });
    assert_eq!(seen, AFTER_THE_NEXT_ITEM);
}

#[test]
fn p29_a_cancelled_wait_gives_the_failure_back_in_every_form() {
    let cancel = |journal: &Journal| wait(journal, ControlFlow::Break(()));
    let expected = ["call 1", "wait", "drop 1"];
    let seen = journal(|journal, world| {
        let result = (|| world.call()).sleep_with(|_| cancel(journal)).retry_with(POLICY);
        let stopped = result.expect_err("cancelled");
        assert_eq!((stopped.reason(), stopped.attempts()), (StopReason::Cancelled, 1));
        assert_eq!(stopped.next_delay(), Some(secs(1)));
    });
    assert_eq!(seen, expected);
    let seen = journal(|journal, world| {
        let retry =
            (|| ready(world.call())).sleep_with(|_| ready(cancel(journal))).retry_with(POLICY);
        let stopped = poll_to_end(retry).0.expect_err("cancelled");
        assert_eq!((stopped.reason(), stopped.attempts()), (StopReason::Cancelled, 1));
        assert_eq!(stopped.next_delay(), Some(secs(1)));
    });
    assert_eq!(seen, expected);
    let seen = journal(|journal, world| {
        let source = std::iter::from_fn(|| Some(world.call()));
        let item = source.sleep_with(|_| cancel(journal)).retry_with(POLICY).next();
        let stopped = item.expect("an item").expect_err("cancelled");
        assert_eq!((stopped.reason(), stopped.attempts()), (StopReason::Cancelled, 1));
    });
    assert_eq!(seen, expected);
}

/// An error that owns a lock. Taking the lock again while the error lives fails the test instead of
/// blocking it.
#[derive(IsTransient)]
#[transient]
struct Busy<'a>(#[expect(dead_code, reason = "it is held")] MutexGuard<'a, ()>);

fn take(slot: &Mutex<()>) -> Result<(), Busy<'_>> {
    Err(Busy(slot.try_lock().expect("no failure holds the lock any more")))
}

#[test]
fn p29_a_failure_that_owns_a_lock_does_not_block_the_next_attempt() {
    let slot = Mutex::new(());
    let policy = POLICY.with_initial_delay(Duration::ZERO);
    let attempts = |result: Result<(), retry_ext::RetryError<Busy<'_>>>| {
        result.expect_err("it always fails").attempts()
    };
    assert_eq!(attempts((|| take(&slot)).retry_with(policy)), 3);
    assert_eq!(attempts((|| take(&slot)).sleep_with(|_| ()).retry_with(policy)), 3);
    let cancels = |_| SleepOutcome::Elapsed;
    assert_eq!(attempts((|| take(&slot)).sleep_with(cancels).retry_with(policy)), 3);
    let retry = (|| ready(take(&slot))).retry_with(policy);
    assert_eq!(attempts(poll_to_end(retry).0), 3);
    let mut retry = policy.start();
    let stopped = loop {
        let Err(error) = take(&slot) else { continue };
        if let Err(stopped) = retry.wait_after(error) {
            break stopped;
        }
    };
    assert_eq!(stopped.attempts(), 3);
}

/// Connections of a pool, which are never broken.
struct Connections;

impl r2d2::ManageConnection for Connections {
    type Connection = ();
    type Error = std::io::Error;

    fn connect(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn is_valid(&self, (): &mut ()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, (): &mut ()) -> bool {
        false
    }
}

#[test]
fn p29_a_failure_that_owns_the_only_connection_of_a_pool_returns_it_in_time() {
    struct Failed(#[expect(dead_code, reason = "it is held")] r2d2::PooledConnection<Connections>);

    let pool = r2d2::Pool::builder().max_size(1).build(Connections).expect("a pool");
    let mut calls = 0;
    let result = (|| {
        calls += 1;
        let connection = pool.try_get().expect("the connection is back");
        if calls < 3 { Err(Failed(connection)) } else { Ok(()) }
    })
    .retry_if(|_| true)
    .retry_with(POLICY.with_initial_delay(Duration::ZERO));
    assert!(result.is_ok());
    assert_eq!(calls, 3);
}

/// Serves one connection at a time, to its end: 503 at first, then 200.
fn one_worker(listener: &TcpListener) {
    let mut requests = 0;
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        'connection: loop {
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break 'connection;
                }
            }
            requests += 1;
            let status = if requests == 1 { "503 Busy" } else { "200 OK" };
            let body = vec![b'x'; 20_000];
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            let answer = [head.as_bytes(), body.as_slice()].concat();
            if stream.write_all(&answer).is_err() {
                break;
            }
        }
    }
}

/// This test really waits, for 1 ms. The response that the error owns keeps its connection busy,
/// and so the worker.
#[test]
fn p29_a_failure_that_owns_a_response_frees_the_only_worker_of_a_server() {
    use ureq::http::Response;

    struct Unavailable(#[expect(dead_code, reason = "it is held")] Box<Response<ureq::Body>>);

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || one_worker(&listener));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(secs(20)))
        .proxy(None)
        .build()
        .into();
    let result = (|| {
        // A held response would make the second call time out.
        let response = agent.get(&url).call().expect("an answer in time");
        if response.status() == 503 {
            Err(Unavailable(response.into()))
        } else {
            Ok(response.status())
        }
    })
    .retry_if(|_| true)
    .retry_with(POLICY.with_initial_delay(ms(1)));
    assert!(result.is_ok_and(|status| status == 200));
}
