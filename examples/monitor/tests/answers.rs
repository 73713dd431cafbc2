//! A real Prometheus answers the four questions as the callers counted.
//!
//! The test really waits for about ten seconds. Without Prometheus, it prints "not checked" and passes.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use monitor_example::client::{self, OPERATION, Run};
use monitor_example::dashboard::Dashboard;
use monitor_example::page::{BUCKETS, Page};
use monitor_example::prometheus::{Prometheus, Series};
use monitor_example::questions::{BUDGET, GIVE_UPS, RETRIES, WAITS};
use retry_ext::StopReason;

/// Reports a missing program. The test harness hides `println`, but not this line.
fn not_checked(program: &str) {
    writeln!(std::io::stderr(), "not checked: {program} is not installed").expect("stderr");
}

#[test]
fn prometheus_answers_what_the_callers_counted() {
    let page = Page::serve().expect("a page");
    let Some(prometheus) = Prometheus::start(page.address).expect("Prometheus starts") else {
        return not_checked("Prometheus");
    };
    let run = client::run().expect("a run");
    let at = prometheus.wait_for_read_after(run.end).expect("Prometheus reads the last counts");
    let ask = |query: &str| prometheus.query(query, at).expect("an answer");

    // The raw counters are equal to the counts of the callers.
    let count = |query: &str| value(&ask(query));
    assert_equal(count("sum(retry_operations_total)"), number(run.count()));
    assert_equal(count("sum(retry_retries_total)"), f64::from(run.retries()));
    let attempts = f64::from(run.retries()) + number(run.count());
    assert_equal(count("sum(retry_attempts_total)"), attempts);

    // The exporter can lose waits that are recorded while it drains the histogram for the page: one, or a block of 64.
    let lost = number(run.count()) - count("sum(retry_waited_seconds_count)");
    assert!((0.0..=0.05 * number(run.count())).contains(&lost), "{lost} waits are lost");
    let waits = || run.operations.iter().map(|ended| ended.waited);
    let waited = count("sum(retry_waited_seconds_sum)");
    let longest = waits().max().expect("operations").as_secs_f64();
    let missing = waits().sum::<Duration>().as_secs_f64() - waited;
    assert!((-1e-6..=lost * longest + 1e-6).contains(&missing), "{missing} s of {lost} waits");

    // How often do we retry?
    let retries = ask(RETRIES);
    assert_eq!(retries[0].label("operation"), OPERATION);
    assert_near(value(&retries), f64::from(run.retries()) / number(run.count()));
    assert!(run.retries() > 0, "there were retries");

    // What do we give up on?
    let mut given_up = 0;
    for series in ask(GIVE_UPS) {
        let reason = reason(series.label("reason"));
        assert_near(series.value(), number(run.gave_up(reason)) / number(run.count()));
        given_up += run.gave_up(reason);
    }
    let unsuccessful = run.operations.iter().filter(|ended| ended.gave_up.is_some()).count();
    assert_eq!(given_up, unsuccessful, "every reason has a series");
    assert!(run.gave_up(StopReason::BudgetExhausted) > 0, "the outage spends the budget");

    // How long do callers wait? The answer is as exact as the buckets.
    let answer = value(&ask(WAITS));
    let upper = BUCKETS.into_iter().find(|upper| answer <= *upper).expect("a bucket");
    let lower = BUCKETS.into_iter().rev().find(|lower| answer > *lower).expect("callers waited");
    let lost = lost / number(run.count()) + 1e-9;
    assert!(waited_at_most(&run, upper) >= 0.99 - lost, "{answer}");
    assert!(waited_at_most(&run, lower) < 0.99 + lost, "{answer}");

    // How full is the budget?
    let least = page.budget().into_iter().min().expect("the page was read");
    assert_equal(value(&ask(BUDGET)), least.into());
    assert_eq!(least, 0, "the outage spends the budget");

    // The dashboard states the finding, and draws it.
    let dashboard = Dashboard::of(&prometheus, run.start).expect("answers");
    let file = tempfile::NamedTempFile::new().expect("a file");
    dashboard.draw(file.path()).expect("a picture");
    let picture = std::fs::read_to_string(file.path()).expect("a picture");
    assert!(dashboard.finding().starts_with("The budget is spent "), "{}", dashboard.finding());
    for text in [&dashboard.finding(), "retries", "budget exhausted", "99 of 100", "available"] {
        assert!(picture.contains(text), "{text}");
    }

    check_with_promtool(&page.text());
}

#[test]
fn the_guide_has_these_queries() {
    let guide = include_str!("../../../docs/observability.md");
    for query in [RETRIES, GIVE_UPS, WAITS, BUDGET] {
        assert!(guide.contains(&format!("```promql\n{query}\n```")), "{query}");
    }
}

/// The inputs of the alerts, and the alerts that are expected of them. `broken` gives up on a twentieth of
/// its operations, and `slow` retries a fifth. `healthy` does neither, although a few requests are wrong.
const EXPECTED_ALERTS: &str = r#"
rule_files: [alerts.yml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - series: retry_operations_total{operation="broken",outcome="gave_up",reason="attempts_exhausted"}
        values: 0+5x60
      - series: retry_operations_total{operation="broken",outcome="first_try",reason="none"}
        values: 0+95x60
      - series: retry_retries_total{operation="broken"}
        values: 0+10x60
      - series: retry_operations_total{operation="slow",outcome="first_try",reason="none"}
        values: 0+80x60
      - series: retry_operations_total{operation="slow",outcome="recovered",reason="none"}
        values: 0+20x60
      - series: retry_retries_total{operation="slow"}
        values: 0+20x60
      - series: retry_operations_total{operation="healthy",outcome="gave_up",reason="permanent"}
        values: 0+5x60
      - series: retry_operations_total{operation="healthy",outcome="first_try",reason="none"}
        values: 0+95x60
      - series: retry_retries_total{operation="healthy"}
        values: 0+1x60
    alert_rule_test:
      - eval_time: 2m
        alertname: RetriesGiveUp
      - eval_time: 4m
        alertname: RetriesGiveUp
        exp_alerts: [{ exp_labels: { operation: broken, severity: page } }]
      - eval_time: 8m
        alertname: RetriesRise
      - eval_time: 16m
        alertname: RetriesRise
        exp_alerts: [{ exp_labels: { operation: slow, severity: ticket } }]
"#;

#[test]
fn the_alerts_of_the_guide_fire_for_broken_and_slow_services_alone() {
    let guide = include_str!("../../../docs/observability.md");
    let (_, alerts) = guide.split_once("```yaml\n").expect("the alerts");
    let (alerts, _) = alerts.split_once("```\n").expect("their end");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("alerts.yml"), alerts).expect("written");
    std::fs::write(folder.path().join("tests.yml"), EXPECTED_ALERTS).expect("written");
    let promtool = Command::new("promtool")
        .args(["test", "rules", "tests.yml"])
        .current_dir(folder.path())
        .output();
    let output = match promtool {
        Err(error) if error.kind() == ErrorKind::NotFound => return not_checked("promtool"),
        promtool => promtool.expect("promtool starts"),
    };
    assert!(output.status.success(), "{output:?}");
}

/// Returns the share of operations that waited for at most these seconds.
fn waited_at_most(run: &Run, seconds: f64) -> f64 {
    number(run.waited_at_most(Duration::from_secs_f64(seconds))) / number(run.count())
}

fn reason(label: &str) -> StopReason {
    match label {
        "permanent" => StopReason::Permanent,
        "attempts_exhausted" => StopReason::AttemptsExhausted,
        "retry_after_too_long" => StopReason::RetryAfterTooLong,
        "deadline_exceeded" => StopReason::DeadlineExceeded,
        "budget_exhausted" => StopReason::BudgetExhausted,
        "cancelled" => StopReason::Cancelled,
        "source_ended" => StopReason::SourceEnded,
        other => panic!("the reason {other}"),
    }
}

/// Returns the value of an answer with one series.
fn value(answer: &[Series]) -> f64 {
    assert_eq!(answer.len(), 1, "{answer:?}");
    answer[0].value()
}

fn number(count: usize) -> f64 {
    u32::try_from(count).expect("a small count").into()
}

fn assert_equal(answer: f64, truth: f64) {
    assert!((answer - truth).abs() < f64::EPSILON, "{answer} is not {truth}");
}

/// Checks equality, except for the rounding of divisions and sums.
fn assert_near(answer: f64, truth: f64) {
    assert!((answer - truth).abs() <= 1e-9 * truth.max(1.0), "{answer} is not {truth}");
}

fn check_with_promtool(page: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Err(error) if error.kind() == ErrorKind::NotFound => return not_checked("promtool"),
        promtool => promtool.expect("promtool starts"),
    };
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(page.as_bytes()).expect("promtool reads the page");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}
