//! Retries with one verb, `.retry_with(policy)`: on [closures and functions](RetryExt) that return a
//! `Result`, on [those that return a future](#async) of one, and on [iterators](RetryIteratorExt) and
//! [streams](#features) of `Result`s. Blocks that need `?`, `break` or `&mut` state use a [retry loop](RetryContext) and its `step`.
//!
//! ```
//! use retry_ext::{RetryExt, RetryPolicy};
//!
//! let manifest = (|| std::fs::read_to_string("Cargo.toml")).retry_with(RetryPolicy::new())?;
//! # assert!(manifest.contains("[package]"));
//! # Ok::<(), retry_ext::RetryError<std::io::Error>>(())
//! ```
//!
//! Optional settings come before `retry_with`, with the same names on every form and in any order, except that
//! `classify` comes first:
//!
//! | setting | effect |
//! |---|---|
//! | [`.retry_if(\|error\| ..)`](RetryExt::retry_if) | classifies errors at the call, in the place of [`IsTransient`] |
//! | [`.classify(\|outcome\| ..)`](RetryExt::classify) | judges whole outcomes, `Ok` values included, by a [`Verdict`]; on iterators, use `.map(check)` |
//! | [`.delay_with(\|retry, error\| ..)`](RetryExt::delay_with) | computes the nominal delay in the place of the backoff |
//! | `.timeout_each(limit)` | async only: ends an attempt after `limit`, or at the deadline if that is sooner |
//! | [`.budget(&budget)`](RetryExt::budget) | shares a budget that is known only at run time, such as one per host |
//! | [`.on_retry(\|retry\| ..)`](RetryExt::on_retry) | calls a hook once per retry, before the wait |
//! | [`.observe(&observer)`](RetryExt::observe) | reports retries, successes and failures, for metrics |
//! | [`.sleep_with(sleeper)`](RetryExt::sleep_with) | replaces the timer, and can cancel or shorten a wait |
//!
//! [`attempts(|attempt| ..)`](attempts) in the place of the closure passes it the number of the attempt and the time
//! that is left until the deadline.
//!
//! # What a retry can make worse
//!
//! A retry is a bet that the same call will do better a little later. It loses, and does harm,
//!
//! * **where the operation is not idempotent.** The answer that was lost may have been "done". Retry
//!   reads, and writes that carry an idempotency key; leave the rest to a person.
//! * **where the other side is overloaded.** Three attempts are up to three times the load, at the
//!   worst moment. Spread them with [`Jitter::Full`], set a
//!   [deadline](RetryPolicy::with_max_elapsed) after which the answer is no longer awaited, and
//!   share a [budget](RetryBudget) among all calls of one service.
//! * **where it is nested.** Three layers of three attempts are 27 calls. Retry at one layer, the
//!   one that knows what is idempotent. A [`RetryError`] is never transient, so that passing it on
//!   does not multiply the calls.
//! * **where the error is permanent.** A wrong password does not become right. Nothing is retried
//!   here unless the error says that it is [transient](IsTransient), or the caller says so at the
//!   call.
//!
//! # The rules
//!
//! 1. **Attempts are calls.** [`max_attempts`](RetryPolicy::with_max_attempts) counts every call, the
//!    first included, and numbers start at 1. A retry is an attempt after the first. Three attempts
//!    are at most three calls and two waits.
//! 2. **No idle wait.** Every wait is followed by an attempt.
//! 3. **Permanent by default.** Only an error that is [transient](IsTransient), or for which
//!    [`retry_if`](RetryExt::retry_if) returns `true`, is retried; after [`classify`](RetryExt::classify), only an
//!    outcome with a transient [`Verdict`].
//! 4. **The cap is hard and jitter stays below it.** No computed delay is ever above
//!    [`max_delay`](Backoff::with_max_delay): the nominal delay is capped first, then jitter draws
//!    downwards. At the cap the draws still differ. Arithmetic saturates; 100 ms doubled is exactly
//!    200 ms.
//! 5. **A hint is a floor that spreads.** After an error with a [`retry_after`](IsTransient::retry_after),
//!    the wait is at least that long, and jitter draws from a range above it that is at least a quarter of the
//!    hint wide ([details](Jitter)). A hint above [`max_retry_after`](RetryPolicy::with_max_retry_after) stops the
//!    retry. `retry_if` replaces the error's own classification, including its hint.
//! 6. **A deadline refuses.** [`max_elapsed`](RetryPolicy::with_max_elapsed) runs from the start of
//!    the first attempt on a monotonic clock; for streams, which may be quiet for long, from the first failure. A wait
//!    that would end after it is not started and not shortened. The clock is read only if there is a deadline or a
//!    budget, for unseeded jitter, and for the age of subscriptions.
//! 7. **Events tell the truth.** [`on_retry`](RetryExt::on_retry) is called once per retry, before
//!    its wait, with the exact delay; not on the last failure, not on a permanent one.
//! 8. **Reasons have an order.** [`StopReason`] is the first that applies.
//! 9. **A budget is fed by success, and a refusal never turns a loop into a busy loop.** Each success deposits a share
//!    of a retry, which expires with the window, into the [`RetryBudget`] of the chain or the policy. A retry withdraws 1
//!    when it is scheduled, before its wait. Iterators and streams pause after a refused retry; your own loops pause for
//!    [`RetryError::next_delay`]. The last real error always reaches the caller, in a [`RetryError`].
//! 10. **Logs carry no data.** Records name the place, the numbers and the error's type, never its
//!     text. See [below](#logs). A retry within one of these records, or within an observer, is not reported:
//!     a logger that retries does not recurse.
//! 11. **Bad values fail early.** In a constant they do not compile; at run time the setter panics
//!     with a plain sentence.
//! 12. **Two runs differ.** Two retries of one policy draw different jitter, in two threads and in
//!     two processes forked from one ([details](Jitter)); equal [seeds](Backoff::with_seed) draw equal jitter.
//! 13. **Async is lazy and fair.** Nothing runs before the first poll; a zero delay still yields;
//!     dropping the future stops at once; it is `Send` if operation, error and hooks are.
//! 14. **A failed outcome is not kept.** It may own the connection, lock or permit that the next attempt needs. It is
//!     dropped before the wait, or when the wait ends if the sleeper can cancel. Only
//!     [iterators](RetryIteratorExt) keep it until the next item, because the source may end.
//! 15. **State first, then reports.** If a hook, an observer, a classifier or a logger panics, a granted retry stays
//!     charged, a [`RetryContext`] stands before the next attempt, and nothing is counted twice.
//!
//! What the defaults give:
//!
//! | | attempts | delays |
//! |---|---|---|
//! | [`RetryPolicy::new()`] | 3 | 1, 2 s |
//! | [`Backoff::exponential()`] | | 1, 2, 4, 8, 16, 32, 60, 60 s … |
//! | [`Backoff::linear()`] | | 1, 2, 3, 4, 5 … 59, 60, 60 s … |
//! | [`Backoff::constant(d)`](Backoff::constant) | | d, d, d … |
//!
//! # The smallest example
//!
//! An error type declares its transient variants, here with the feature `macros`, and a policy is a constant:
//!
//! ```
//! use std::time::Duration;
//! use retry_ext::{IsTransient, Jitter, RetryExt, RetryPolicy};
//!
//! #[derive(Debug, thiserror::Error, IsTransient)]
//! enum FetchError {
//!     #[error("the server is busy")]
//!     #[transient(after)]
//!     Busy { retry_after: Option<Duration> },
//!     #[error("no such page")]
//!     NotFound,
//! }
//!
//! const POLICY: RetryPolicy = RetryPolicy::new()
//!     .with_max_attempts(5)
//!     .with_initial_delay(Duration::from_millis(2))
//!     .with_jitter(Jitter::Full)
//!     .with_name("fetch");
//!
//! # let mut busy = 2;
//! # let mut fetch = |url: &str| match busy {
//! #     _ if url.is_empty() => Err(FetchError::NotFound),
//! #     0 => Ok("page"),
//! #     _ => { busy -= 1; Err(FetchError::Busy { retry_after: None }) }
//! # };
//! let page = (|| fetch("/")).retry_with(POLICY)?;
//! assert_eq!(page, "page");
//! # Ok::<(), retry_ext::RetryError<FetchError>>(())
//! ```
//!
//! # Async
//!
//! The same call, awaited: `AsyncRetryExt`. With the feature `tokio` it sleeps on tokio's timer:
//!
//! ```
//! use std::time::Duration;
//! use retry_ext::{AsyncRetryExt, RetryPolicy};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! static POLICY: RetryPolicy = RetryPolicy::new().with_initial_delay(Duration::from_millis(5));
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! let stream = (|| TcpStream::connect(address)).retry_with(&POLICY).await?;
//! # drop((stream, listener));
//! # Ok(()) }
//! ```
//!
//! With the feature `async` alone, `sleep_with` takes the timer of any runtime, as a function from the
//! delay to a future: `.sleep_with(smol::Timer::after)`.
//!
//! A closure may borrow from the task that awaits it, also inside `tokio::spawn`. It cannot lend `&mut` state to its
//! futures. Use a [retry loop](RetryContext) and its `step_async` for that:
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! use retry_ext::{RetryError, RetryPolicy};
//!
//! # struct Connection(u32);
//! # impl Connection {
//! #     async fn send(&mut self, line: &str) -> Result<usize, Error> {
//! #         self.0 += 1;
//! #         if self.0 < 3 { Err(ErrorKind::ConnectionReset.into()) } else { Ok(line.len()) }
//! #     }
//! # }
//! async fn deliver(connection: &mut Connection, line: &str) -> Result<usize, RetryError<Error>> {
//!     let mut retry = RetryPolicy::new().start();
//!     loop {
//!         if let Some(length) = retry.step_async(connection.send(line).await).await? {
//!             return Ok(length);
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # assert_eq!(deliver(&mut Connection(0), "hello").await.unwrap(), 5);
//! # }
//! ```
//!
//! `timeout_each` gives each attempt a time limit, and the deadline then holds even if an attempt hangs. This pool
//! connects within 30 s or gives up:
//!
//! ```
//! use std::time::Duration;
//! use retry_ext::{AsyncRetryExt, RetryPolicy};
//!
//! const CONNECT: RetryPolicy = RetryPolicy::within(Duration::from_secs(30));
//!
//! # async fn connect() -> Result<&'static str, std::io::Error> { Ok("connection") }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), retry_ext::RetryError<std::io::Error>> {
//! let connection = connect.timeout_each(Duration::from_secs(5)).retry_with(&CONNECT).await?;
//! # assert_eq!(connection, "connection");
//! # Ok(()) }
//! ```
//!
//! # Why budgets
//!
//! Attempts and jitter bound what one caller does. They do not bound what all callers do together.
//! When a service slows down, calls time out; each becomes three; the service, which still works on
//! what its clients have abandoned, slows down further. After the cause has gone, the retries alone
//! keep it down. That is a metastable failure (Bronson et al., "Metastable Failures in Distributed
//! Systems", Workshop on Hot Topics in Operating Systems, 2021), and no jitter cures it: jitter moves
//! calls, it does not remove any.
//!
//! A [`RetryBudget`] removes them. In good times a fifth of the calls may be retried, far more than is
//! ever needed. When most calls fail there is nothing to withdraw, and the load on the service is
//! nearly what its clients ask for in the first place; so it recovers as it would without retries.
//!
//! ```
//! use retry_ext::{Jitter, RetryBudget, RetryExt, RetryPolicy};
//!
//! static BUDGET: RetryBudget = RetryBudget::new();
//! static SEARCH: RetryPolicy =
//!     RetryPolicy::new().with_name("search").with_jitter(Jitter::Full).with_budget(&BUDGET);
//!
//! # fn ask() -> Result<u8, std::io::Error> { Ok(7) }
//! let answer = ask.retry_with(SEARCH);
//! # assert_eq!(answer.unwrap(), 7);
//! ```
//!
//! Share one as widely as possible: by all calls that go to one service, in a `static`, from every
//! client, thread and task of the process. A budget for each connection or each user is none, since
//! each has its minimum. Two services want two budgets: the failure of one must not spend what the
//! other's calls need.
//!
//! What it does, measured by the example `fleet`, a simulation of clients that use this crate against a
//! service whose answers slow down with the requests in flight; 30 seeds each, three attempts, 1 s
//! doubled, full jitter. *Spike*: a load of 40 requests a second, doubled for five seconds. *Ramp*: up to
//! 80 a second and slowly down to nothing. *Recovered*: nine tenths of the requests succeed for ten seconds.
//!
//! | | spike: recovered | ramp: recovered |
//! |---|---|---|
//! | no retry | 30 of 30, after 2 s | 30 of 30, after 17 s |
//! | full jitter, no budget | 11 of 30 | 0 of 30 |
//! | full jitter, default budget, 1 process | 30 of 30, after 5 s | 30 of 30, after 18 s |
//! | 20 processes, a budget each | 30 of 30, after 6 s | 30 of 30, after 22 s |
//! | 100 processes, a budget each | 30 of 30, after 9 s | 30 of 30, after 31 s |
//!
//! The minimum has its price: a hundred processes have two hundred free retries in each window. With ten
//! requests a second each, a full outage has 1.02 calls for each request with the budget, once the
//! successes before it have expired, and 3.00 without; and where a tenth of the calls fails for reasons
//! of their own, 99.85 % of the requests succeed with it, and 99.90 % without.
//!
//! A refusal returns at once, so a loop that starts over must pause for [`RetryError::next_delay`];
//! [`RetryBudget`] shows how. A hundred workers in a full outage of 10 s, whose calls fail after 10 ms:
//!
//! | three attempts, no jitter | calls |
//! |---|---|
//! | no budget, each starts over at once | 1,000 |
//! | budget, each starts over at once | 99,680 |
//! | budget, each pauses for `next_delay` | 998 |
//!
//! A crowd that is told one `Retry-After` spreads over a quarter of it: of 1,000 clients with a first delay
//! of 10 ms, full jitter and a hint of 30 s, at most 9 call within the same 10 ms. A hint that equals
//! `max_delay` leaves no room for a spread, and all 1,000 call at once.
//!
//! # Recipes
//!
//! ## Third-party error types
//!
//! ```
//! use std::io::ErrorKind;
//! use std::net::TcpListener;
//! use retry_ext::{RetryExt, RetryPolicy};
//!
//! let listener = (|| TcpListener::bind("127.0.0.1:0"))
//!     .retry_if(|error| error.kind() == ErrorKind::AddrInUse)
//!     .retry_with(RetryPolicy::new())?;
//! # drop(listener);
//! # Ok::<(), retry_ext::RetryError<std::io::Error>>(())
//! ```
//!
//! `retry_if` replaces what the error says of itself, its hint too. To narrow it down and keep the
//! hint, wrap the error in a type of your own that implements [`IsTransient`].
//!
//! ## Get notified of each retry
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! use retry_ext::{RetryExt, RetryPolicy};
//!
//! # let mut failures = 1;
//! # let mut fetch = || match failures {
//! #     0 => Ok("page"),
//! #     _ => { failures -= 1; Err(Error::from(ErrorKind::TimedOut)) }
//! # };
//! # let policy = RetryPolicy::new().with_initial_delay(std::time::Duration::from_millis(1));
//! let page = (|| fetch())
//!     .on_retry(|retry| eprintln!("{retry}: {}", retry.error))
//!     .retry_with(policy)?;
//! // attempt 1 of 3 failed, retrying in 1ms: timed out
//! # assert_eq!(page, "page");
//! # Ok::<(), retry_ext::RetryError<Error>>(())
//! ```
//!
//! ## Test without sleeping
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! # use std::time::Duration;
//! use retry_ext::{RetryExt, RetryPolicy};
//!
//! let mut waits = Vec::new();
//! let error = (|| Err::<(), _>(Error::from(ErrorKind::TimedOut)))
//!     .sleep_with(|delay| waits.push(delay))
//!     .retry_with(RetryPolicy::new())
//!     .unwrap_err();
//! assert_eq!(error.attempts(), 3);
//! assert_eq!(waits, [Duration::from_secs(1), Duration::from_secs(2)]);
//! ```
//!
//! Deadlines hold too: where the clock shows less than the waits asked for, the waits count. With
//! jitter, give the policy a [seed](RetryPolicy::with_seed). Async code needs no sleeper of its own:
//! tokio's clock can be paused. For blocking code that one cannot edit, the feature `test-util` has
//! `testing::without_waits`. See [the page on tests](guide::testing).
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! use retry_ext::{AsyncRetryExt, RetryPolicy};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // #[tokio::test(start_paused = true)]
//! let start = tokio::time::Instant::now();
//! let fails = async || Err::<(), _>(Error::from(ErrorKind::TimedOut));
//! assert!(fails.retry_with(RetryPolicy::new()).await.is_err());
//! assert_eq!(start.elapsed().as_secs(), 3);
//! # }
//! ```
//!
//! ## Metrics
//!
//! [`.observe(&observer)`](RetryExt::observe) reports every retry, success and failure to an [`Observer`].
//! [`RetryStats`] counts them. With the feature `metrics`, `MetricsObserver` writes them to the facade of the `metrics`
//! crate, as [the page on observability](guide::observability) shows. For anything else, implement the trait:
//!
//! ```
//! use std::time::Duration;
//! use retry_ext::{Observation, Observer, RetryExt, RetryPolicy};
//!
//! struct SlowDown;
//!
//! impl Observer for SlowDown {
//!     fn on_retry(&self, seen: &Observation, delay: Duration) {
//!         println!("{} waits for {delay:?}", seen.name.unwrap_or("an operation"));
//!     }
//! }
//!
//! let manifest = (|| std::fs::read("Cargo.toml")).observe(&SlowDown).retry_with(RetryPolicy::new());
//! assert!(manifest.is_ok());
//! ```
//!
//! ## Shut down during a wait
//!
//! A sleeper that returns [`ControlFlow::Break`](std::ops::ControlFlow::Break) ends the retry with
//! [`StopReason::Cancelled`] and the last error; [`sleep_with`](RetryExt::sleep_with) shows it with a
//! channel, and [`RetryContext::delay_after`] with [`RetryContext::cancelled`] the same in a loop. In async code the sleeper's future
//! selects between its timer and the shutdown (example `async_shutdown`); or the whole retry is dropped,
//! where its last error does not matter.
//!
//! ## A fast first retry
//!
//! Most short failures are over at once. [`Backoff::custom`] may send the first retry without a wait
//! and begin the curve at the second:
//!
//! ```
//! use std::time::Duration;
//! use retry_ext::{Backoff, RetryPolicy};
//!
//! fn fast_first(retry: u32) -> Duration {
//!     Backoff::exponential().delay(retry - 1) // no delay has the number 0
//! }
//!
//! const POLICY: RetryPolicy =
//!     RetryPolicy::new().with_backoff(Backoff::custom(fast_first)).with_max_attempts(5);
//!
//! assert!(POLICY.delays().eq([0, 1, 2, 4].map(Duration::from_secs)));
//! ```
//!
//! ## The number of the attempt inside the closure
//!
//! ```
//! use std::io::{Error, ErrorKind};
//! use retry_ext::{RetryExt, RetryPolicy, attempts};
//!
//! let mirrors = ["first.example", "second.example", "third.example"];
//! # let fetch = |mirror: &str| if mirror.starts_with("third") { Ok("page") } else { Err(Error::from(ErrorKind::TimedOut)) };
//! let page = attempts(|attempt| fetch(mirrors[(attempt.number() - 1) as usize % mirrors.len()]))
//! # .sleep_with(|_| ())
//!     .retry_with(RetryPolicy::new())?;
//! assert_eq!(page, "page");
//! # Ok::<(), retry_ext::RetryError<Error>>(())
//! ```
//!
//! ## A client whose answers are values
//!
//! `classify` judges `Ok` values too. If the retry gives up, the caller gets the last response and not an error:
//!
//! ```
//! use std::io::Error;
//! use std::time::Duration;
//! use retry_ext::{RetryExt, RetryPolicy, Verdict};
//!
//! # struct Response { status: u16, retry_after: Option<Duration> }
//! # let mut statuses = [429, 503, 404].into_iter();
//! # let mut get = || Ok(Response { status: statuses.next().unwrap_or(200), retry_after: None });
//! let response = (|| get())
//!     .classify(|outcome: &Result<Response, Error>| match outcome {
//!         Ok(Response { status: 429 | 503, retry_after: Some(hint) }) => Verdict::TransientAfter(*hint),
//!         Ok(Response { status: 429 | 503, .. }) => Verdict::Transient,
//!         Ok(_) => Verdict::Success,
//!         Err(error) => Verdict::of(error),
//!     })
//! #   .sleep_with(|_| ())
//!     .retry_with(RetryPolicy::new())?;
//! assert_eq!(response.status, 404);
//! # Ok::<(), retry_ext::RetryError<Error>>(())
//! ```
//!
//! ## Poll until something is ready
//!
//! "Not yet" is a transient outcome. A constant backoff polls, a deadline ends it, and the log has no use for it:
//!
//! ```
//! use std::io::Error;
//! use std::time::Duration;
//! use retry_ext::{Backoff, RetryExt, RetryPolicy, Verdict};
//!
//! const POLL: RetryPolicy = RetryPolicy::within(Duration::from_secs(30))
//!     .with_backoff(Backoff::constant(Duration::from_millis(1)))
//!     .with_logging(false);
//!
//! # let mut states = ["running", "running", "done"].into_iter();
//! # let mut state = || Ok(states.next().unwrap_or("lost"));
//! let state = (|| state())
//!     .classify(|state: &Result<&str, Error>| match state {
//!         Ok("running") => Verdict::Transient,
//!         Ok(_) => Verdict::Success,
//!         Err(error) => Verdict::of(error),
//!     })
//!     .retry_with(POLL)?;
//! assert_eq!(state, "done");
//! # Ok::<(), retry_ext::RetryError<Error>>(())
//! ```
//!
//! ## Around a circuit breaker
//!
//! The breaker goes inside, so that it counts every attempt, and its "open" is permanent: once the
//! circuit is open, no retry waits. Here with the `recloser` crate:
//!
//! ```
//! use std::io::{Error, ErrorKind};
//! use recloser::{Error as BreakerError, Recloser};
//! use retry_ext::{RetryExt, RetryPolicy, StopReason};
//!
//! let breaker = Recloser::custom().error_rate(0.5).closed_len(2).build();
//! let mut calls = 0;
//! let mut fetch = || { calls += 1; Err::<(), _>(Error::from(ErrorKind::TimedOut)) };
//!
//! let error = (|| breaker.call(&mut fetch))
//!     .retry_if(|error| match error {
//!         BreakerError::Inner(error) => error.kind() == ErrorKind::TimedOut,
//!         BreakerError::Rejected => false,
//!     })
//!     # .sleep_with(|_| ())
//!     .retry_with(RetryPolicy::new().with_max_attempts(10))
//!     .unwrap_err();
//! assert_eq!(error.reason(), StopReason::Permanent);
//! assert!(matches!(error.error(), BreakerError::Rejected));
//! assert_eq!((calls, error.attempts()), (3, 4)); // the fourth never reached the server
//! ```
//!
//! ## Five common cases
//!
//! Each is an example in the repository to copy from.
//!
//! * **A call of an API** (`api_call`): a reset, half a body and a timeout are transient. Give one call
//!   a timeout in the client, and all of them a deadline in the policy.
//! * **A rate limit** (`rate_limit`): carry `Retry-After` in the error and return it from
//!   [`retry_after`](IsTransient::retry_after). [`max_delay`](RetryPolicy::with_max_delay) is the
//!   longest hint that is worth waiting for.
//! * **A command** (`retry_command`): an exit code says what is transient, "not found" is not. The
//!   example is a tool that reads its policy from the environment.
//! * **A database** (`sqlite_locked` and `postgres_start`, in `examples/database`): a lock, a server
//!   that starts, a serialization failure. Retry the whole transaction, not its last statement.
//! * **A locked file** (`locked_file`): [`TryLockError`](std::fs::TryLockError) tells a held lock from a
//!   file that cannot be locked. Add `.retry_if(|error| matches!(error, TryLockError::WouldBlock))`.
//!
//! ## Delays for a loop of your own
//!
//! ```
//! use retry_ext::RetryPolicy;
//!
//! # let attempt = || Err::<(), &str>("failed");
//! let mut delays = RetryPolicy::new().delays();
//! let result = loop {
//!     match attempt() {
//!         Ok(value) => break Ok(value),
//!         Err(error) => match delays.next() {
//!             Some(delay) => println!("wait for {delay:?} in your own way"),
//!             None => break Err(error),
//!         },
//!     }
//! };
//! # assert_eq!(result, Err("failed"));
//! ```
//!
//! # Logs
//!
//! With the `log` crate, under the target `retry_ext`: one `warn` record for each retry and one for
//! giving up on a transient error, one `debug` record when an operation recovers. A first success
//! and a permanent error are not logged: the first is no news, and the second the caller has.
//!
//! ```text
//! WARN  retry_ext  src/main.rs:12: attempt 1 of 3 failed with app::FetchError, retrying in 1s
//! WARN  retry_ext  fetch: gave up on app::FetchError after 3 attempts and 3s of waiting: attempts exhausted
//! DEBUG retry_ext  fetch: succeeded after 2 attempts and 1s of waiting
//! ```
//!
//! A logger that itself retries, to ship its records, should do so [without logging](RetryPolicy::with_logging): within a
//! record of this crate its retries are not logged, but within one of your program they are.
//!
//! The place is the policy's [name](RetryPolicy::with_name), or the line that called `retry_with`.
//! The same is there as key-values: `operation`, `attempt`, `max_attempts`, and `delay`, or `waited`
//! and `reason` (times in seconds), and `error_type`. After [`classify`](RetryExt::classify), `error_type` is the type of
//! the value if the outcome is `Ok`. The error's own text is left out, so a token in a URL cannot leak into your logs.
//! If the error text is safe to log, log it from `on_retry`.
//!
//! The feature `tracing` emits events in place of log records as soon as the program has a subscriber, and a span for each
//! operation if the subscriber wants one. The page `docs/tracing.md` lists their fields.
//!
//! # Features
//!
//! `std` is on by default, and no other.
//!
//! | feature | adds | depends on |
//! |---|---|---|
//! | `async` | `AsyncRetryExt` and `RetryContext::step_async`, on any runtime through `sleep_with` and `timeout_each_with` | `pin-project-lite` |
//! | `config` | `RetryConfig`, from files and the environment | `serde`, `humantime` |
//! | `http` | `StatusError`, `CheckStatus`, `HttpError`: statuses and hints of responses | `http` |
//! | `macros` | `#[derive(IsTransient)]`, `#[retry_with(POLICY)]` | `retry-ext-macros` (`syn`, `quote`, `proc-macro2`) |
//! | `metrics` | `MetricsObserver`, which writes to the facade of the `metrics` crate | `metrics` 0.24 |
//! | `reqwest013` | `http`, and `IsTransient` for `reqwest::Error` | `reqwest` 0.13, `hyper` (except in browsers) |
//! | `std` | the clock, sleeping, budgets, counters, fresh jitter and the types of `std`; [without it](guide::platforms), the crate is `no_std` | `portable-atomic` (where atomics have 32 bits) |
//! | `stream` | `async`, and `RetryStreamExt` and `ResubscribeExt` for streams of results | `futures-core` |
//! | `test-util` | `testing::without_waits`, for tests of code that one cannot edit | |
//! | `tokio` | the default sleeper of `AsyncRetryExt` and `RetryContext::step_async`, `timeout_each` | `tokio` (its timer) |
//! | `tracing` | retries as events, and a span for each operation; log records only while no subscriber has been set | `tracing` |
//! | `ureq3` | `http`, and `IsTransient` for `ureq::Error` | `ureq` 3 |
//! | `web` | in a browser: the clock, the entropy, and with `async` the default sleeper and `timeout_each`; elsewhere nothing | `web-time`, `js-sys`, `gloo-timers`, in a browser only |
//!
//! # Mistakes
//!
//! ❌ Retrying everything:
//!
//! ```
//! # use retry_ext::{RetryExt, RetryPolicy};
//! # let policy = RetryPolicy::new().with_initial_delay(std::time::Duration::ZERO);
//! let port = (|| "eighty".parse::<u16>()).retry_if(|_| true).retry_with(policy);
//! # assert!(port.is_err());
//! ```
//!
//! ✅ Naming what may pass, and letting the rest through at once:
//!
//! ```
//! # use std::io::ErrorKind;
//! # use retry_ext::{RetryExt, RetryPolicy};
//! # let policy = RetryPolicy::new();
//! let text = (|| std::fs::read_to_string("Cargo.toml"))
//!     .retry_if(|error| error.kind() == ErrorKind::Interrupted)
//!     .retry_with(policy);
//! # assert!(text.is_ok());
//! ```
//!
//! ❌ Retrying the outer one of two nested results. `timeout` and `spawn_blocking` return their own `Result` around that
//! of the operation, so a failure of the operation is `Ok(Err(..))`, which counts as a success:
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! # use std::time::Duration;
//! # use retry_ext::{AsyncRetryExt, RetryPolicy};
//! # use tokio::time::timeout;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let limit = Duration::from_secs(1);
//! # let mut calls = 0;
//! # let mut fetch = || { calls += 1; async { Err::<(), _>(Error::from(ErrorKind::ConnectionReset)) } };
//! let result = (|| timeout(limit, fetch())).retry_if(|_| true).retry_with(RetryPolicy::new()).await;
//! assert!(matches!(result, Ok(Err(_))));
//! # assert_eq!(calls, 1);
//! # }
//! ```
//!
//! ✅ Flattening them first, with `?`:
//!
//! ```
//! # use std::cell::Cell;
//! # use std::io::{Error, ErrorKind};
//! # use std::time::Duration;
//! # use retry_ext::{AsyncRetryExt, RetryPolicy};
//! # use tokio::time::timeout;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let limit = Duration::from_secs(1);
//! # let calls = Cell::new(0);
//! # let fetch = || { calls.set(calls.get() + 1); async { Err::<(), _>(Error::from(ErrorKind::ConnectionReset)) } };
//! let result = (async || timeout(limit, fetch()).await?).retry_with(RetryPolicy::new()).await;
//! assert_eq!(result.unwrap_err().attempts(), 3);
//! # assert_eq!(calls.get(), 3);
//! # }
//! ```
//!
//! ❌ Retrying the items of a source that goes on: the failed one is lost.
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! # use retry_ext::{RetryIteratorExt, RetryPolicy};
//! # let policy = RetryPolicy::new().with_initial_delay(std::time::Duration::ZERO);
//! # let mut failures = 1;
//! # let fetch = |url| if url == "b" && failures > 0 { failures -= 1; Err(Error::from(ErrorKind::TimedOut)) } else { Ok(url) };
//! let pages = ["a", "b", "c"].into_iter().map(fetch).retry_with(policy);
//! assert!(pages.flatten().eq(["a", "c"]));
//! ```
//!
//! ✅ Retrying each one:
//!
//! ```
//! # use std::io::{Error, ErrorKind};
//! # use retry_ext::{RetryExt, RetryPolicy};
//! # let policy = RetryPolicy::new().with_initial_delay(std::time::Duration::ZERO);
//! # let mut failures = 1;
//! # let mut fetch = |url| if url == "b" && failures > 0 { failures -= 1; Err(Error::from(ErrorKind::TimedOut)) } else { Ok(url) };
//! let pages = ["a", "b", "c"].into_iter().map(|url| (|| fetch(url)).retry_with(policy));
//! assert!(pages.flatten().eq(["a", "b", "c"]));
//! ```
//!
//! ❌ Retrying a block that has done half of its work, which is then done twice:
//!
//! ```
//! # use retry_ext::{RetryExt, RetryPolicy};
//! # let policy = RetryPolicy::new().with_initial_delay(std::time::Duration::ZERO);
//! # let (mut booked, mut mailed) = (0, 0);
//! # let mut book = || booked += 1;
//! # let mut mail = || { mailed += 1; if mailed < 2 { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) } else { Ok(()) } };
//! let result = (|| {
//!     book();
//!     mail()
//! })
//! .retry_with(policy);
//! # assert_eq!((result.is_ok(), booked), (true, 2));
//! ```
//!
//! ✅ Retrying only what failed:
//!
//! ```
//! # use retry_ext::{RetryExt, RetryPolicy};
//! # let policy = RetryPolicy::new().with_initial_delay(std::time::Duration::ZERO);
//! # let (mut booked, mut mailed) = (0, 0);
//! # let mut book = || booked += 1;
//! # let mut mail = || { mailed += 1; if mailed < 2 { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) } else { Ok(()) } };
//! book();
//! let result = (|| mail()).retry_with(policy);
//! # assert_eq!((result.is_ok(), booked), (true, 1));
//! ```

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]

#[cfg(feature = "tracing")]
extern crate alloc;

mod backoff;
#[cfg_attr(not(feature = "std"), path = "no_budget.rs")]
mod budget;
#[cfg(any(feature = "reqwest013", feature = "ureq3"))]
mod clients {
    #[cfg(feature = "reqwest013")]
    mod reqwest;
    #[cfg(feature = "ureq3")]
    mod ureq;
}
mod clock;
pub mod codes;
#[cfg(feature = "config")]
mod config;
mod decision;
mod drivers {
    pub(crate) mod closure;
    pub(crate) mod context;
    #[cfg(feature = "async")]
    pub(crate) mod future;
    pub(crate) mod iterator;
    #[cfg(feature = "stream")]
    pub(crate) mod stream;
}
mod error;
mod event;
#[cfg(feature = "macros")]
mod expansion;
mod hooks;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "std")]
mod http_date;
mod jitter;
#[cfg(feature = "metrics")]
mod metrics;
mod nanos;
mod nested;
mod operation;
mod policy;
mod report;
mod sealed;
mod seed;
mod sleep;
#[cfg_attr(not(feature = "tracing"), path = "no_span.rs")]
mod span;
#[cfg(feature = "std")]
mod stats;
#[cfg(feature = "test-util")]
pub mod testing;
mod text;
#[cfg(feature = "async")]
mod timeout;
mod transient;
#[cfg(all(feature = "web", target_arch = "wasm32", target_os = "unknown"))]
mod web;

pub use backoff::{Backoff, RetryIter};
#[cfg(feature = "std")]
pub use budget::RetryBudget;
#[cfg(feature = "config")]
pub use config::{ConfigError, RetryConfig};
pub use drivers::closure::RetryExt;
pub use drivers::context::RetryContext;
#[cfg(feature = "async")]
pub use drivers::future::AsyncRetryExt;
pub use drivers::iterator::RetryIteratorExt;
#[cfg(feature = "stream")]
pub use drivers::stream::{ResubscribeExt, RetryStreamExt};
pub use error::{RetryError, RetryResultExt, StopReason};
pub use event::{Observation, Observer, RetryEvent};
#[cfg(feature = "http")]
pub use http::{CheckStatus, HttpError, StatusError};
pub use jitter::Jitter;
#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
pub use operation::{Attempt, attempts};
pub use policy::RetryPolicy;
#[cfg(feature = "macros")]
#[doc(inline)]
pub use retry_ext_macros::{IsTransient, retry_with};
pub use sleep::SleepOutcome;
#[cfg(feature = "std")]
pub use stats::{RetrySnapshot, RetryStats};
#[cfg(feature = "async")]
pub use timeout::AttemptTimedOut;
pub use transient::{IsTransient, Verdict};

/// The types of chains, and the bounds on their parts.
///
/// Programs rarely need these names. They appear in compiler messages, and in the type of a chain that is stored.
///
/// | letter | meaning |
/// |---|---|
/// | `F`, `I`, `Fut` | the operation: a closure, an iterator; the future that a closure returns |
/// | `T`, `E` | the value and the error of the operation |
/// | `P` | the policy: [`RetryPolicy`], a reference to one, or an `Arc` |
/// | `H` | the [`Hooks`](chain::Hooks): all optional settings of a chain |
/// | `C`, `N`, `S`, `O`, `D`, `B` | the parts of the hooks: classifier, hook, sleeper, observer, computed delays, budget |
/// | `Q`, `J` | the predicate of `retry_if`, the judge of `classify` |
/// | `W` | the value, or the future, that a sleeper or a timer returns |
/// | `X` | the timer of `timeout_each_with`; in events and hooks, the failure: an error, or a whole outcome |
/// | `M`, `R`, `V`, `L`, `A` | the new part that replaces `N`, `S`, `O`, `D` or `B` |
pub mod chain {
    pub use crate::drivers::closure::Retry;
    #[cfg(feature = "async")]
    pub use crate::drivers::future::{AsyncRetry, RetryFuture};
    pub use crate::drivers::iterator::{Items, RetryItems};
    #[cfg(feature = "stream")]
    pub use crate::drivers::stream::{Resubscribed, RetryStream, Subscribed};
    #[cfg(feature = "async")]
    pub use crate::hooks::AsyncHooks;
    pub use crate::hooks::{
        Budgeted, ByError, ByOutcome, ChainBudget, Classify, ClassifyError, ComputeDelay, Hooks,
        NotSet, Notify, Observe, Observed, Shape,
    };
    #[cfg(feature = "async")]
    pub use crate::operation::AsyncOperation;
    pub use crate::operation::{Attempts, Operation};
    #[cfg(feature = "async")]
    pub use crate::sleep::{AsyncSleep, DefaultSleeper};
    pub use crate::sleep::{Sleep, Wake};
    #[cfg(feature = "async")]
    pub use crate::timeout::{Timed, TimedAttempt};
    #[cfg(all(
        feature = "async",
        feature = "web",
        target_arch = "wasm32",
        target_os = "unknown"
    ))]
    pub use crate::web::WebSleep;
}

/// Items that the expansions of macros name.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use crate::expansion::{Condition, Hint, Plain, Retried, attempt, never, policy};
}

/// The extension traits without their names, for a scope in which another crate's `RetryExt` lives
/// too.
///
/// ```
/// use retry_ext::{RetryPolicy, prelude::*};
///
/// let manifest = (|| std::fs::read("Cargo.toml")).retry_with(RetryPolicy::new());
/// assert!(manifest.is_ok());
/// ```
pub mod prelude {
    pub use crate::drivers::closure::RetryExt as _;
    #[cfg(feature = "async")]
    pub use crate::drivers::future::AsyncRetryExt as _;
    pub use crate::drivers::iterator::RetryIteratorExt as _;
    #[cfg(feature = "stream")]
    pub use crate::drivers::stream::{ResubscribeExt as _, RetryStreamExt as _};
    pub use crate::error::RetryResultExt as _;
    #[cfg(feature = "http")]
    pub use crate::http::CheckStatus as _;
}

/// Pages on particular uses.
// Not `any(docsrs, doctest)`: rustdoc runs no block below such a condition.
#[cfg(doc)]
pub mod guide {
    #[doc = include_str!("../docs/shapes.md")]
    pub mod shapes {}

    #[doc = include_str!("../docs/clients.md")]
    pub mod clients {}

    #[doc = include_str!("../docs/platforms.md")]
    pub mod platforms {}

    #[doc = include_str!("../docs/streams.md")]
    pub mod streams {}

    #[doc = include_str!("../docs/hedging.md")]
    pub mod hedging {}

    #[doc = include_str!("../docs/durable.md")]
    pub mod durable {}

    #[doc = include_str!("../docs/observability.md")]
    // Rustdoc has no file beside the page, so the picture at its end is in the page.
    #[doc = "<style>img[src='monitor.svg'] { display: none }</style>"]
    #[doc = include_str!("../docs/monitor.svg")]
    pub mod observability {}

    #[doc = include_str!("../docs/testing.md")]
    pub mod testing {}

    #[doc = include_str!("../docs/tracing.md")]
    pub mod tracing {}
}

/// Compiles every block of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
