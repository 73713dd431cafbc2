//! Dropping a value that is pointless without use causes a warning.
//!
//! Each line below drops one value and expects the warning. Without the warning, the expectation is
//! unfulfilled, and this file does not compile.

#![deny(unfulfilled_lint_expectations)]

mod common;

use std::time::{Duration, SystemTime};

use common::ScriptError;
use http::{HeaderMap, Response, StatusCode};
use retry_ext::{
    AsyncRetryExt, Backoff, CheckStatus, ConfigError, IsTransient, Jitter, MetricsObserver,
    RetryBudget, RetryConfig, RetryError, RetryExt, RetryIteratorExt, RetryPolicy, RetryStats,
    SleepOutcome, StatusError, StopReason, codes,
};

/// Drops a value and expects the warning. Each use is one line, so that the compiler points to it.
macro_rules! warns {
    ($dropped:expr) => {
        #[expect(unused_must_use, reason = "the test expects this warning")]
        {
            $dropped;
        }
    };
}

static STATS: RetryStats = RetryStats::new();
static BUDGET: RetryBudget = RetryBudget::new();

const SECOND: Duration = Duration::from_secs(1);

fn fails() -> Result<u8, ScriptError> {
    Err(ScriptError::Permanent)
}

async fn fails_later() -> Result<u8, ScriptError> {
    fails()
}

fn cut_short() -> SleepOutcome {
    SleepOutcome::Cancelled
}

fn items() -> std::vec::IntoIter<Result<u8, ScriptError>> {
    vec![fails()].into_iter()
}

#[test]
fn p11_a_backoff_its_setters_and_its_getters() {
    let backoff = Backoff::exponential();
    warns!(Backoff::exponential());
    warns!(Backoff::linear());
    warns!(Backoff::constant(SECOND));
    warns!(Backoff::custom(|_| SECOND));
    warns!(Backoff::default());
    warns!(backoff.with_initial_delay(SECOND));
    warns!(backoff.with_factor(1.5));
    warns!(backoff.with_increment(SECOND));
    warns!(backoff.with_max_delay(SECOND));
    warns!(backoff.with_jitter(Jitter::Full));
    warns!(backoff.with_seed(7));
    warns!(backoff.initial_delay());
    warns!(backoff.factor());
    warns!(backoff.increment());
    warns!(backoff.max_delay());
    warns!(backoff.jitter());
    warns!(backoff.seed());
    warns!(backoff.delay(1));
    warns!(backoff.iter());
    warns!(backoff.into_iter());
    warns!((&backoff).into_iter());
}

#[test]
fn p11_a_policy_its_setters_and_its_getters() {
    let policy = RetryPolicy::new();
    warns!(RetryPolicy::new());
    warns!(RetryPolicy::default());
    warns!(RetryPolicy::from(Backoff::linear()));
    warns!(policy.with_backoff(Backoff::linear()));
    warns!(policy.with_max_attempts(5));
    warns!(policy.with_max_elapsed(SECOND));
    warns!(policy.with_budget(&BUDGET));
    warns!(policy.with_name("name"));
    warns!(policy.with_logging(false));
    warns!(policy.with_initial_delay(SECOND));
    warns!(policy.with_factor(1.5));
    warns!(policy.with_max_delay(SECOND));
    warns!(policy.with_max_retry_after(SECOND));
    warns!(policy.with_jitter(Jitter::Full));
    warns!(policy.with_seed(7));
    warns!(policy.backoff());
    warns!(policy.max_attempts());
    warns!(policy.max_elapsed());
    warns!(policy.budget());
    warns!(policy.name());
    warns!(policy.logging());
    warns!(policy.initial_delay());
    warns!(policy.factor());
    warns!(policy.max_delay());
    warns!(policy.max_retry_after());
    warns!(policy.jitter());
    warns!(policy.seed());
    warns!(policy.delays());
    warns!(policy.start());
}

#[test]
fn p11_a_budget_its_setters_and_the_counters() {
    warns!(RetryBudget::new());
    warns!(RetryBudget::new().with_ratio(0.1));
    warns!(RetryBudget::new().with_min_retries(1));
    warns!(RetryBudget::new().with_window(SECOND));
    warns!(BUDGET.available());
    warns!(RetryStats::new());
    warns!(STATS.snapshot());
    warns!(MetricsObserver::new());
    warns!(STATS.snapshot().gave_up(StopReason::Permanent));
    warns!(STATS.snapshot().reasons());
}

#[test]
fn p11_a_configuration_laid_over_another() {
    let config = RetryConfig::default();
    let wrong = RetryConfig { max_attempts: Some(0), ..config };
    let error: ConfigError = wrong.into_policy().expect_err("no attempts");
    warns!(config.or(config));
    warns!(config.into_policy());
    warns!(config.apply_to(RetryPolicy::new()));
    warns!(RetryConfig::from_env_prefixed("NOBODY_SETS_THIS_"));
    warns!(RetryPolicy::try_from(config));
    warns!(error.key());
    warns!(error.value());
    warns!(error.allowed());
}

#[test]
fn p11_tables_hints_and_a_status() {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let error = StatusError::check(status, &HeaderMap::new()).expect_err("an error");
    warns!(codes::is_transient_http_status(503));
    warns!(codes::is_transient_grpc_code(14));
    warns!(codes::is_transient_sqlstate("40001"));
    warns!(codes::is_transient_mysql_errno(1213));
    warns!(codes::is_transient_sqlite_code(5));
    warns!(codes::transient_io_within(&error));
    warns!(codes::parse_retry_after("7", SystemTime::UNIX_EPOCH));
    warns!(codes::parse_retry_after_ms("7"));
    warns!(StatusError::check(status, &HeaderMap::new()));
    warns!(Response::new(()).check_status());
    warns!(error.status());
    warns!(error.retry_after());
}

#[test]
fn p12_a_chain_without_its_verb() {
    warns!(fails.retry_if(|_| false));
    warns!(fails.on_retry(|_| ()));
    warns!(fails.sleep_with(|_| ()));
    warns!(fails.observe(&STATS));
    warns!(fails.retry_if(|_| false).retry_if(|_| true));
    warns!(fails.retry_if(|_| false).on_retry(|_| ()));
    warns!(fails.retry_if(|_| false).sleep_with(|_| ()));
    warns!(fails.retry_if(|_| false).observe(&STATS));
    warns!(items().retry_if(|_| false));
    warns!(items().on_retry(|_| ()));
    warns!(items().sleep_with(|_| ()));
    warns!(items().observe(&STATS));
    warns!(fails_later.retry_if(|_| false));
    warns!(fails_later.on_retry(|_| ()));
    warns!(fails_later.sleep_with(|_| std::future::ready(())));
    warns!(fails_later.observe(&STATS));
    warns!(fails_later.retry_if(|_| false).retry_if(|_| true));
    warns!(fails_later.retry_if(|_| false).on_retry(|_| ()));
    warns!(fails_later.retry_if(|_| false).sleep_with(|_| std::future::ready(())));
    warns!(fails_later.retry_if(|_| false).observe(&STATS));
}

#[test]
fn what_the_verb_gives() {
    let policy = RetryPolicy::new();
    warns!(fails.retry_with(policy));
    warns!(fails.retry_if(|_| false).retry_with(policy));
    warns!(items().retry_with(policy));
    warns!(items().retry_if(|_| false).retry_with(policy));
    warns!(fails_later.retry_with(policy));
    warns!(fails_later.retry_if(|_| false).retry_with(policy));
}

#[test]
fn the_loop_form_and_what_it_answers() {
    let mut retry = RetryPolicy::new().start();
    warns!(RetryPolicy::new().start().observe(&STATS));
    warns!(retry.attempt());
    warns!(retry.waited());
    warns!(retry.delay_after(&ScriptError::Permanent));
    warns!(retry.wait_after(ScriptError::Permanent));
    warns!(retry.wait_after_async(ScriptError::Permanent));
}

#[test]
fn errors_and_outcomes() {
    let error = fails.retry_with(RetryPolicy::new()).expect_err("it fails");
    warns!(error.error());
    warns!(error.attempts());
    warns!(error.waited());
    warns!(error.reason());
    warns!(error.next_delay());
    warns!(error.is_transient());
    warns!(error.retry_after());
    warns!(RetryError::into_error(error));
    warns!(cut_short());
}
