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
    let at = prometheus.wait_for_operations(run.count()).expect("Prometheus reads the last counts");
    let ask = |query: &str| prometheus.query(query, at).expect("an answer");

    // The raw counters are equal to the counts of the callers.
    let count = |query: &str| value(&ask(query));
    assert_equal(count("sum(retry_retries_total)"), f64::from(run.retries()));
    let attempts = f64::from(run.retries()) + number(run.count());
    assert_equal(count("sum(retry_attempts_total)"), attempts);
    assert_equal(count("sum(retry_waited_seconds_count)"), number(run.count()));
    let waited: Duration = run.operations.iter().map(|ended| ended.waited).sum();
    assert_near(count("sum(retry_waited_seconds_sum)"), waited.as_secs_f64());

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
    assert!(waited_at_most(&run, upper) >= 0.99, "{answer}");
    assert!(waited_at_most(&run, lower) < 0.99, "{answer}");

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
