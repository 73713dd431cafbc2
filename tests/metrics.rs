//! `MetricsObserver`: names, labels, units and counts, as an exporter's page shows them.

mod common;

use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};

use common::{Break, Busy, Fail, ScriptError, Step, Succeed, secs};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use retry_ext::{
    MetricsObserver, RetryBudget, RetryExt, RetryIteratorExt, RetryPolicy, RetryStats,
};

static METRICS: MetricsObserver = MetricsObserver::new();
const LOAD: RetryPolicy = RetryPolicy::new().with_name("load");

fn steps(script: &[Step]) -> impl FnMut() -> Result<(), ScriptError> + '_ {
    let mut script = script.iter();
    move || script.next().expect("the script is long enough").play()
}

fn run(script: &[Step], policy: RetryPolicy) {
    let _end = steps(script).observe(&METRICS).sleep_with(|_| ()).retry_with(policy);
}

/// Returns the exporter's page after these reports.
fn page(reports: impl FnOnce()) -> String {
    let name = Matcher::Full("retry_waited_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(name, &[0.0, 1.0, 5.0]);
    let recorder = builder.expect("there are buckets").build_recorder();
    metrics::with_local_recorder(&recorder, reports);
    recorder.handle().render()
}

/// Returns the samples, without comments, in their order.
fn samples(page: &str) -> Vec<&str> {
    let mut samples: Vec<_> =
        page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    samples.sort_unstable();
    samples
}

#[test]
fn every_metric_has_its_documented_name_labels_type_unit_and_help() {
    let page = page(|| {
        MetricsObserver::register([]);
        run(&[Succeed], LOAD);
        run(&[Fail(1), Busy(secs(5)), Succeed], LOAD);
        run(&[Fail(1), Break], RetryPolicy::new());
        MetricsObserver::record_budget("peer", &RetryBudget::new());
    });
    assert_eq!(
        samples(&page),
        [
            r#"retry_attempts_total{operation="load"} 4"#,
            r#"retry_attempts_total{operation="unnamed"} 2"#,
            r#"retry_budget_available{budget="peer"} 2"#,
            r#"retry_operations_total{operation="load",outcome="first_try",reason="none"} 1"#,
            r#"retry_operations_total{operation="load",outcome="recovered",reason="none"} 1"#,
            r#"retry_operations_total{operation="unnamed",outcome="gave_up",reason="permanent"} 1"#,
            r#"retry_retries_total{operation="load"} 2"#,
            r#"retry_retries_total{operation="unnamed"} 1"#,
            r#"retry_waited_seconds_bucket{operation="load",le="+Inf"} 2"#,
            r#"retry_waited_seconds_bucket{operation="load",le="0"} 1"#,
            r#"retry_waited_seconds_bucket{operation="load",le="1"} 1"#,
            r#"retry_waited_seconds_bucket{operation="load",le="5"} 1"#,
            r#"retry_waited_seconds_bucket{operation="unnamed",le="+Inf"} 1"#,
            r#"retry_waited_seconds_bucket{operation="unnamed",le="0"} 0"#,
            r#"retry_waited_seconds_bucket{operation="unnamed",le="1"} 1"#,
            r#"retry_waited_seconds_bucket{operation="unnamed",le="5"} 1"#,
            r#"retry_waited_seconds_count{operation="load"} 2"#,
            r#"retry_waited_seconds_count{operation="unnamed"} 1"#,
            r#"retry_waited_seconds_sum{operation="load"} 6"#,
            r#"retry_waited_seconds_sum{operation="unnamed"} 1"#,
        ]
    );
    let mut comments: Vec<_> = page.lines().filter(|line| line.starts_with('#')).collect();
    comments.sort_unstable();
    assert_eq!(
        comments,
        [
            "# HELP retry_attempts_total Calls that ended, first attempts and retries.",
            "# HELP retry_budget_available Retries that the budget would grant now.",
            "# HELP retry_operations_total Operations that ended, by outcome.",
            "# HELP retry_retries_total Retries that were scheduled.",
            "# HELP retry_waited_seconds Waits of each operation that ended, summed.",
            "# TYPE retry_attempts_total counter",
            "# TYPE retry_budget_available gauge",
            "# TYPE retry_operations_total counter",
            "# TYPE retry_retries_total counter",
            "# TYPE retry_waited_seconds histogram",
        ]
    );
    check_with_promtool(&page);
}

/// Runs `promtool check metrics` on the page, if it is installed.
fn check_with_promtool(page: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("not checked: promtool is not installed");
            return;
        }
        promtool => promtool.expect("promtool starts"),
    };
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(page.as_bytes()).expect("promtool reads the page");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn an_exporter_that_completes_names_leaves_these_as_they_are() {
    let recorder = PrometheusBuilder::new().with_recommended_naming(true).build_recorder();
    metrics::with_local_recorder(&recorder, || {
        MetricsObserver::register(["load"]);
        run(&[Succeed], LOAD);
        MetricsObserver::record_budget("peer", &RetryBudget::new());
    });
    let page = recorder.handle().render();
    let mut names: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "retry_attempts_total",
            "retry_budget_available",
            "retry_operations_total",
            "retry_retries_total",
            "retry_waited_seconds",
        ]
    );
}

#[test]
fn every_reason_has_its_own_label() {
    let budget = RetryBudget::new().with_min_retries(0);
    let page = page(|| {
        run(&[Break], LOAD);
        run(&[Fail(1), Fail(2), Fail(3)], LOAD);
        run(&[Busy(secs(61))], LOAD);
        run(&[Fail(1)], LOAD.with_max_elapsed(secs(1) / 2));
        let observed = || steps(&[Fail(1)]).observe(&METRICS);
        assert!(observed().budget(&budget).retry_with(LOAD).is_err());
        let cancel = |_| ControlFlow::Break(());
        assert!(observed().sleep_with(cancel).retry_with(LOAD).is_err());
        let ends = [Fail(1).play()].into_iter().observe(&METRICS).sleep_with(|_| ());
        assert_eq!(ends.retry_with(LOAD).count(), 1);
    });
    let ended: Vec<_> = samples(&page)
        .into_iter()
        .filter_map(|line| {
            line.strip_prefix(r#"retry_operations_total{operation="load",outcome="gave_up","#)
        })
        .collect();
    assert_eq!(
        ended,
        [
            r#"reason="attempts_exhausted"} 1"#,
            r#"reason="budget_exhausted"} 1"#,
            r#"reason="cancelled"} 1"#,
            r#"reason="deadline_exceeded"} 1"#,
            r#"reason="permanent"} 1"#,
            r#"reason="retry_after_too_long"} 1"#,
            r#"reason="source_ended"} 1"#,
        ]
    );
}

#[test]
fn registered_operations_begin_at_zero_with_every_outcome() {
    let page = page(|| MetricsObserver::register(["load", "store"]));
    let samples = samples(&page);
    let histogram = 4 + 2; // its buckets, and count and sum
    assert_eq!(samples.len(), 2 * (1 + 1 + 9 + histogram));
    assert!(samples.iter().all(|sample| sample.ends_with(" 0")), "{samples:?}");
}

/// Returns the value of the sample, which must be there.
fn value(page: &str, sample: &str) -> u64 {
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().expect("a whole number")
}

#[test]
fn r1_attempts_and_retries_are_those_that_the_stats_count() {
    const SCRIPTS: [&[Step]; 6] = [
        &[Succeed],
        &[Fail(1), Succeed],
        &[Fail(1), Fail(2), Fail(3)],
        &[Fail(1), Break],
        &[Busy(secs(61))],
        &[Break],
    ];

    let stats = RetryStats::new();
    let page = page(|| {
        for script in SCRIPTS {
            run(script, LOAD);
            let _end = steps(script).observe(&stats).sleep_with(|_| ()).retry_with(LOAD);
        }
        // One wait is cancelled, and the source of one iterator ends instead of a retry.
        let cancel = |_| ControlFlow::Break(());
        let source = || [Fail(1).play()].into_iter();
        assert!(steps(&[Fail(1)]).observe(&METRICS).sleep_with(cancel).retry_with(LOAD).is_err());
        assert!(steps(&[Fail(1)]).observe(&stats).sleep_with(cancel).retry_with(LOAD).is_err());
        assert_eq!(source().observe(&METRICS).sleep_with(|_| ()).retry_with(LOAD).count(), 1);
        assert_eq!(source().observe(&stats).sleep_with(|_| ()).retry_with(LOAD).count(), 1);
    });
    let seen = stats.snapshot();
    assert_eq!(value(&page, r#"retry_attempts_total{operation="load"}"#), seen.calls);
    assert_eq!(value(&page, r#"retry_retries_total{operation="load"}"#), seen.retries);
    assert_eq!(
        value(&page, r#"retry_waited_seconds_sum{operation="load"}"#),
        seen.waited.as_secs()
    );
}

#[test]
fn r7_attempts_of_an_operation_that_goes_on_are_counted_as_they_end() {
    let page = page(|| {
        let mut retry = LOAD.start().observe(&METRICS);
        assert!(retry.delay_after(&ScriptError::Transient(1)).is_ok());
        assert!(retry.delay_after(&ScriptError::Transient(2)).is_ok());
    });
    assert_eq!(
        samples(&page),
        [
            r#"retry_attempts_total{operation="load"} 2"#,
            r#"retry_retries_total{operation="load"} 2"#
        ]
    );
}

#[test]
fn r1_a_refusal_of_an_operation_from_another_process_is_no_attempt() {
    let policy = LOAD.with_max_elapsed(secs(60));
    let page = page(|| {
        let observed = || policy.start().observe(&METRICS);
        assert!(observed().delay_after(&ScriptError::Transient(1)).is_ok());
        // One operation continues in another process after the deadline, and one never gets an
        // attempt.
        assert!(observed().resume(2, secs(61)).is_err());
        assert!(observed().resume(1, secs(61)).is_err());
    });
    assert_eq!(value(&page, r#"retry_attempts_total{operation="load"}"#), 1);
    let refused = r#"outcome="gave_up",reason="deadline_exceeded"}"#;
    assert_eq!(value(&page, &format!(r#"retry_operations_total{{operation="load",{refused}"#)), 2);
}

#[test]
fn r1_an_attempt_that_is_cancelled_before_a_decision_counts_once() {
    let (stats, error) = (RetryStats::new(), || ScriptError::Transient(1));
    let page = page(|| {
        let mut retry = LOAD.start().observe(&METRICS);
        assert!(retry.delay_after(&error()).is_ok());
        retry.woken();
        assert_eq!(retry.cancelled(error()).attempts(), 2);
        let mut retry = LOAD.start().observe(&stats);
        assert!(retry.delay_after(&error()).is_ok());
        retry.woken();
        assert_eq!(retry.cancelled(error()).attempts(), 2);
    });
    assert_eq!(stats.snapshot().calls, 2);
    assert_eq!(value(&page, r#"retry_attempts_total{operation="load"}"#), 2);
}

#[test]
fn r10_no_text_of_an_error_gets_into_the_page() {
    let page = page(|| {
        let fails = || Err::<(), _>(std::io::Error::other("token 4711"));
        let chain = fails.retry_if(|_| true).observe(&METRICS).sleep_with(|_| ());
        assert!(chain.retry_with(LOAD).is_err());
    });
    assert_eq!(value(&page, r#"retry_attempts_total{operation="load"}"#), 3);
    assert!(!page.contains("4711") && !page.contains("io::"), "{page}");
}

#[test]
fn r9_the_gauge_of_a_budget_follows_each_record() {
    let budget = RetryBudget::new().with_ratio(1.0);
    let available = r#"retry_budget_available{budget="peer"}"#;
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        assert!(steps(&[Succeed]).budget(&budget).retry_with(LOAD).is_ok());
        MetricsObserver::record_budget("peer", &budget);
        assert_eq!(value(&page.render(), available), 3);
        assert!(budget.try_withdraw());
        assert_eq!(value(&page.render(), available), 3, "a gauge is a sample");
        MetricsObserver::record_budget("peer", &budget);
        assert_eq!(value(&page.render(), available), 2);
    });
}

#[test]
fn without_a_recorder_nothing_happens() {
    run(&[Fail(1), Succeed], LOAD);
    MetricsObserver::register(["load"]);
    assert!(samples(&page(|| ())).is_empty());
}

#[test]
fn an_operation_that_was_resumed_too_late_for_a_first_attempt_adds_no_attempt() {
    let page = page(|| {
        let policy = RetryPolicy::within(secs(60)).with_name("load");
        assert!(policy.start().observe(&METRICS).resume(1, secs(60)).is_err());
    });
    let operations = r#"retry_operations_total{operation="load",outcome="gave_up",reason="deadline_exceeded"} 1"#;
    assert!(page.contains(operations), "{page}");
    assert!(!page.contains("retry_attempts_total{"), "{page}");
}
