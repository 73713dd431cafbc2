//! An observer that writes to the `metrics` facade; feature `metrics`.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::budget::RetryBudget;
use crate::error::StopReason;
use crate::event::{Observation, Observer};

/// Writes counts and waits to the recorder of the [`metrics`](https://docs.rs/metrics/0.24) crate. Attach it with
/// [`.observe(&METRICS)`](crate::RetryExt::observe).
///
/// ```
/// use retry_ext::{MetricsObserver, RetryExt, RetryPolicy};
///
/// static METRICS: MetricsObserver = MetricsObserver::new();
/// const FETCH: RetryPolicy = RetryPolicy::new().with_name("fetch");
///
/// # use metrics_exporter_prometheus::PrometheusBuilder;
/// # let recorder = PrometheusBuilder::new().build_recorder();
/// # let page = recorder.handle();
/// # metrics::with_local_recorder(&recorder, || {
/// MetricsObserver::register(["fetch"]); // once, after the recorder has been installed
///
/// let manifest = (|| std::fs::read("Cargo.toml")).observe(&METRICS).retry_with(FETCH);
/// assert!(manifest.is_ok());
/// # });
/// # let sample = r#"retry_operations_total{operation="fetch",outcome="first_try",reason="none"} 1"#;
/// # assert!(page.render().contains(sample));
/// # assert!(page.render().contains(r#"retry_retries_total{operation="fetch"} 0"#));
/// ```
///
/// The waits count as they were requested. Some operations [end without an outcome](Observer); only their attempts before a
/// retry and their retries are counted. Everything is written to the recorder that is installed at that time, so
/// the observer can be made first.
///
/// # Names
///
#[doc = include_str!("../docs/metric-names.md")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MetricsObserver;

const ATTEMPTS: &str = "retry_attempts_total";
const RETRIES: &str = "retry_retries_total";
const OPERATIONS: &str = "retry_operations_total";
const WAITED: &str = "retry_waited_seconds";
const AVAILABLE: &str = "retry_budget_available";

const FIRST_TRY: (&str, &str) = ("first_try", "none");
const RECOVERED: (&str, &str) = ("recovered", "none");

/// Returns the labels `outcome` and `reason` of an operation that gave up.
const fn gave_up(reason: StopReason) -> (&'static str, &'static str) {
    let reason = match reason {
        StopReason::Permanent => "permanent",
        StopReason::AttemptsExhausted => "attempts_exhausted",
        StopReason::RetryAfterTooLong => "retry_after_too_long",
        StopReason::DeadlineExceeded => "deadline_exceeded",
        StopReason::BudgetExhausted => "budget_exhausted",
        StopReason::Cancelled => "cancelled",
        StopReason::SourceEnded => "source_ended",
    };
    ("gave_up", reason)
}

const ENDS: [(&str, &str); 9] = [
    FIRST_TRY,
    RECOVERED,
    gave_up(StopReason::Permanent),
    gave_up(StopReason::AttemptsExhausted),
    gave_up(StopReason::RetryAfterTooLong),
    gave_up(StopReason::DeadlineExceeded),
    gave_up(StopReason::BudgetExhausted),
    gave_up(StopReason::Cancelled),
    gave_up(StopReason::SourceEnded),
];

impl MetricsObserver {
    /// Returns the observer. It has no state, so several are one.
    ///
    /// ```
    /// # use retry_ext::MetricsObserver;
    /// static METRICS: MetricsObserver = MetricsObserver::new();
    /// # assert_eq!(format!("{METRICS:?}"), "MetricsObserver");
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Describes the metrics to the recorder, with their units, and begins all series of these operations with zero. Call it
    /// once, after the recorder has been installed.
    ///
    /// Without a zero, the first give-up of an operation shows as a series that begins with 1, and Prometheus' `rate` and
    /// `increase` do not count it.
    ///
    /// ```
    /// # use retry_ext::MetricsObserver;
    /// # use metrics_exporter_prometheus::PrometheusBuilder;
    /// # let recorder = PrometheusBuilder::new().build_recorder();
    /// # let page = recorder.handle();
    /// # metrics::with_local_recorder(&recorder, || {
    /// MetricsObserver::register(["fetch", "search"]); // the names of the policies
    /// # });
    /// # assert!(page.render().contains("# HELP retry_retries_total Retries that were scheduled.\n"));
    /// # assert!(page.render().contains(r#"reason="deadline_exceeded"} 0"#));
    /// ```
    pub fn register<I>(operations: I)
    where
        I: IntoIterator<Item = &'static str>,
    {
        describe_counter!(ATTEMPTS, Unit::Count, "Calls that ended, first attempts and retries.");
        describe_counter!(RETRIES, Unit::Count, "Retries that were scheduled.");
        describe_counter!(OPERATIONS, Unit::Count, "Operations that ended, by outcome.");
        describe_histogram!(WAITED, Unit::Seconds, "Waits of each operation that ended, summed.");
        describe_gauge!(AVAILABLE, Unit::Count, "Retries that the budget would grant now.");
        for operation in operations {
            add(ATTEMPTS, operation, 0);
            add(RETRIES, operation, 0);
            let _without_a_wait = histogram!(target: TARGET, WAITED, "operation" => operation);
            for end in ENDS {
                add_operations(operation, end, 0);
            }
        }
    }

    /// Sets the gauge of a budget to the retries that it would grant now.
    ///
    /// The content of a budget also changes without any call, because deposits expire. So call this when the metrics are
    /// read, such as before the page for Prometheus is rendered, or from a timer.
    ///
    /// ```
    /// use retry_ext::{MetricsObserver, RetryBudget};
    ///
    /// static SEARCH: RetryBudget = RetryBudget::new();
    ///
    /// # use metrics_exporter_prometheus::PrometheusBuilder;
    /// # let recorder = PrometheusBuilder::new().build_recorder();
    /// # let page = recorder.handle();
    /// # metrics::with_local_recorder(&recorder, || {
    /// MetricsObserver::record_budget("search", &SEARCH);
    /// # });
    /// # assert!(page.render().contains(r#"retry_budget_available{budget="search"} 2"#));
    /// ```
    pub fn record_budget(name: &'static str, budget: &RetryBudget) {
        gauge!(target: TARGET, AVAILABLE, "budget" => name).set(f64::from(budget.available()));
    }
}

/// The target of all metrics, as of the log records.
const TARGET: &str = "retry_ext";

fn add(counter: &'static str, operation: &'static str, number: u64) {
    counter!(target: TARGET, counter, "operation" => operation).increment(number);
}

fn add_operations(
    operation: &'static str,
    (outcome, reason): (&'static str, &'static str),
    number: u64,
) {
    let labels = [("operation", operation), ("outcome", outcome), ("reason", reason)];
    counter!(target: TARGET, OPERATIONS, &labels).increment(number);
}

fn name_of(observation: &Observation) -> &'static str {
    observation.name.unwrap_or("unnamed")
}

fn ended(observation: &Observation, end: (&'static str, &'static str)) {
    let operation = name_of(observation);
    add_operations(operation, end, 1);
    let waited = observation.waited.as_secs_f64();
    histogram!(target: TARGET, WAITED, "operation" => operation).record(waited);
}

impl Observer for MetricsObserver {
    fn on_retry(&self, observation: &Observation, _delay: Duration) {
        let operation = name_of(observation);
        add(ATTEMPTS, operation, 1);
        add(RETRIES, operation, 1);
    }

    fn on_success(&self, observation: &Observation) {
        add(ATTEMPTS, name_of(observation), 1);
        ended(observation, if observation.attempt == 1 { FIRST_TRY } else { RECOVERED });
    }

    fn on_give_up(&self, observation: &Observation, reason: StopReason) {
        if observation.is_new {
            add(ATTEMPTS, name_of(observation), 1);
        }
        ended(observation, gave_up(reason));
    }
}
