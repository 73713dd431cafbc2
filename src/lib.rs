//! Call `.retry_with(policy)` on any closure, async closure, iterator or stream that returns `Result`s. Your error types
//! decide which failures are retried, delays never exceed their cap, and you always get the last real error back.
//!
//! ```
//! use retry_ext::{RetryExt, RetryPolicy};
//!
//! let manifest = (|| std::fs::read_to_string("Cargo.toml")).retry_with(RetryPolicy::new())?;
//! # assert!(manifest.contains("[package]"));
//! # Ok::<(), retry_ext::RetryError<std::io::Error>>(())
//! ```
//!
//! This makes up to three attempts, waiting 1 s and then 2 s, as long as the error is transient (a timeout, for example). A
//! missing file is reported at once.
//!
//! # Forms
//!
//! | to retry | write |
//! |---|---|
//! | a closure or function | [`operation.retry_with(POLICY)?`](RetryExt) |
//! | one that returns a future | `operation.retry_with(&POLICY).await?` with `AsyncRetryExt`; features `tokio` or `async` |
//! | an iterator of results | [`for item in items.retry_with(POLICY)`](RetryIteratorExt) |
//! | a stream of results | `RetryStreamExt` if it recovers, `ResubscribeExt` if it must be made again; feature `stream` |
//! | a block with `?`, `break` or `&mut` state | [`POLICY.start()`](RetryContext) and `step` in a loop |
//! | a whole function | `#[retry_with(POLICY)]` above it; feature `macros` |
//!
//! # Settings
//!
//! Optional settings come before `retry_with`. They have the same names on every form, and any order, except that
//! `classify` comes first:
//!
//! | setting | effect |
//! |---|---|
//! | [`.retry_if(\|error\| ..)`](RetryExt::retry_if) | classifies errors at the call, instead of [`IsTransient`] |
//! | [`.classify(\|outcome\| ..)`](RetryExt::classify) | judges whole outcomes, `Ok` values included, by a [`Verdict`]; on iterators, use `.map(check)` |
//! | [`.delay_with(\|retry, error\| ..)`](RetryExt::delay_with) | computes the nominal delay, instead of the backoff |
//! | `.timeout_each(limit)` | async only: ends an attempt after `limit`, or at the deadline if that is sooner |
//! | [`.budget(&budget)`](RetryExt::budget) | shares a budget that is known only at run time, such as one per host |
//! | [`.on_retry(\|retry\| ..)`](RetryExt::on_retry) | calls a hook once per retry, before the wait |
//! | [`.observe(&observer)`](RetryExt::observe) | reports retries, successes and failures, for metrics |
//! | [`.sleep_with(sleeper)`](RetryExt::sleep_with) | replaces the timer, and can cancel or shorten a wait |
//!
//! [`attempts(|attempt| ..)`](attempts) instead of the closure passes it the number of the attempt and the time left until
//! the deadline.
//!
//! [`RetryPolicy`] has the limits: attempts, deadline, budget, name. [`Backoff`] has the delays, and [`Jitter`] spreads
//! them. The error that comes back is a [`RetryError`], with the last error and the [reason](StopReason).
//!
//! # A policy and an error type
//!
//! A policy is a constant. An error type declares its transient variants, here with the feature `macros`:
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
//! # Why budgets
//!
//! Three attempts are up to three times the load, at the worst moment. The retries of all callers together can keep a
//! service down after the cause of its failure is gone. A [`RetryBudget`] that all calls of one service share bounds
//! them by their successes. See [Why retries hurt](guide::dangers) and [Budgets](guide::budgets), which have the
//! numbers.
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
//! | `std` | the clock, sleeping, budgets, counters, fresh jitter and the types of `std`; [without it](guide::platforms), the crate is `no_std` | `portable-atomic` (on targets with 32-bit atomics) |
//! | `stream` | `async`, and `RetryStreamExt` and `ResubscribeExt` for streams of results | `futures-core` |
//! | `test-util` | `testing::without_waits`, for tests of code that one cannot edit | |
//! | `tokio` | the default sleeper of `AsyncRetryExt` and `RetryContext::step_async`, `timeout_each` | `tokio` (its timer) |
//! | `tracing` | retries as events, and a span for each operation; log records only while no subscriber has been set | `tracing` |
//! | `ureq3` | `http`, and `IsTransient` for `ureq::Error` | `ureq` 3 |
//! | `web` | in a browser: the clock, the entropy, and with `async` the default sleeper and `timeout_each`; elsewhere nothing | `web-time`, `js-sys`, `gloo-timers`, in a browser only |
//!
//! # Guide
//!
//! * **Before you retry:** [Why retries hurt](guide::dangers), the fifteen [Rules](guide::rules),
//!   [Budgets](guide::budgets), [Mistakes](guide::mistakes).
//! * **By kind of program:** [Async](guide::async_code), [HTTP](guide::http), [Databases](guide::clients),
//!   [Streams](guide::streams), [Hedged requests](guide::hedging), [More than one machine](guide::durable),
//!   [Recipes](guide::recipes), [Twelve shapes](guide::shapes).
//! * **In production:** [Configuration](guide::configuration), [Observability](guide::observability), [Tracing](guide::tracing),
//!   [Testing](guide::testing), [Performance](guide::performance), [Platforms](guide::platforms),
//!   [Questions](guide::faq), [Evidence](guide::evidence).
//! * **Coming from** [a Python decorator](guide::from_python), [`backon`](guide::from_backon),
//!   [`tokio-retry`](guide::from_tokio_retry), [`backoff`](guide::from_backoff), [`retry`](guide::from_retry) or
//!   [`reqwest-retry`](guide::from_reqwest_retry).

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

/// Declares a page of the guide, and the pages below it.
///
/// A page links to others by reference, as in `[Budgets][budgets]`, and defines `[budgets]: budgets.md` at its end. In
/// the documentation, the definitions here come first and win. `tests/documentation.rs` compares both.
#[cfg(doc)]
macro_rules! page {
    ($name:ident, $($text:expr),+ $(; $($below:tt)*)?) => {
        /// [async]: crate::guide::async_code
        /// [budgets]: crate::guide::budgets
        /// [clients]: crate::guide::clients
        /// [configuration]: crate::guide::configuration
        /// [dangers]: crate::guide::dangers
        /// [durable]: crate::guide::durable
        /// [evidence]: crate::guide::evidence
        /// [faq]: crate::guide::faq
        /// [from-backoff]: crate::guide::from_backoff
        /// [from-backon]: crate::guide::from_backon
        /// [from-python]: crate::guide::from_python
        /// [from-reqwest-retry]: crate::guide::from_reqwest_retry
        /// [from-retry]: crate::guide::from_retry
        /// [from-tokio-retry]: crate::guide::from_tokio_retry
        /// [hedging]: crate::guide::hedging
        /// [http]: crate::guide::http
        /// [mistakes]: crate::guide::mistakes
        /// [nested]: crate::guide::dangers#nested-retries
        /// [observability]: crate::guide::observability
        /// [performance]: crate::guide::performance
        /// [platforms]: crate::guide::platforms
        /// [polling]: crate::guide::recipes#polling
        /// [recipes]: crate::guide::recipes
        /// [refusal]: crate::guide::budgets#after-a-refusal
        /// [rules]: crate::guide::rules
        /// [shapes]: crate::guide::shapes
        /// [sqlstates]: crate::codes::is_transient_sqlstate
        /// [streams]: crate::guide::streams
        /// [testing]: crate::guide::testing
        /// [tracing]: crate::guide::tracing
        /// [tonic]: crate::guide::clients#tonic
        /// [database-rules]: crate::guide::clients#three-rules-for-databases
        // Links to items that a feature adds.
        #[cfg_attr(feature = "metrics", doc = "[metric-names]: crate::MetricsObserver#names")]
        #[cfg_attr(feature = "config", doc = "[configuration-keys]: crate::RetryConfig#keys")]
        #[cfg_attr(
            feature = "http",
            doc = "[http-classification]: crate::HttpError#which-failures-are-transient"
        )]
        ///
        $(#[doc = $text])+
        pub mod $name { $($($below)*)? }
    };
}

#[cfg(doc)]
page! {
    guide, include_str!("../docs/README.md");

    page!(async_code, include_str!("../docs/async-code.md"));
    page!(
        budgets,
        include_str!("../docs/budgets.md"),
        // Rustdoc has no file beside the page, so the pictures at its end are in the page.
        "<style>img[src^='fleet/'] { display: none }</style>",
        include_str!("../docs/fleet/spike.svg"),
        include_str!("../docs/fleet/ramp.svg"),
        include_str!("../docs/fleet/callers.svg"),
        include_str!("../docs/fleet/retry_after.svg"),
        include_str!("../docs/fleet/contention.svg")
    );
    page!(clients, include_str!("../docs/clients.md"));
    page!(configuration, include_str!("../docs/configuration.md"));
    page!(dangers, include_str!("../docs/dangers.md"));
    page!(durable, include_str!("../docs/durable.md"));
    page!(evidence, include_str!("../docs/evidence.md"));
    page!(faq, include_str!("../docs/faq.md"));
    page!(from_backoff, include_str!("../docs/from-backoff.md"));
    page!(from_backon, include_str!("../docs/from-backon.md"));
    page!(from_python, include_str!("../docs/from-python.md"));
    page!(from_reqwest_retry, include_str!("../docs/from-reqwest-retry.md"));
    page!(from_retry, include_str!("../docs/from-retry.md"));
    page!(from_tokio_retry, include_str!("../docs/from-tokio-retry.md"));
    page!(hedging, include_str!("../docs/hedging.md"));
    page!(http, include_str!("../docs/http.md"));
    page!(mistakes, include_str!("../docs/mistakes.md"));
    page!(
        observability,
        include_str!("../docs/observability.md"),
        "<style>img[src='monitor.svg'] { display: none }</style>",
        include_str!("../docs/monitor.svg")
    );
    page!(performance, include_str!("../docs/performance.md"));
    page!(platforms, include_str!("../docs/platforms.md"));
    page!(recipes, include_str!("../docs/recipes.md"));
    page!(rules, include_str!("../docs/rules.md"));
    page!(shapes, include_str!("../docs/shapes.md"));
    page!(streams, include_str!("../docs/streams.md"));
    page!(testing, include_str!("../docs/testing.md"));
    page!(tracing, include_str!("../docs/tracing.md"));
}

/// Compiles every block of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
