//! `RetryConfig`: files, environment, precedence, and every kind of wrong setting.

mod common;

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use common::{ms, secs};
use retry_ext::{Jitter, RetryBudget, RetryConfig, RetryExt, RetryPolicy, StopReason};
use serde::Deserialize;
use serde::de::value::{BytesDeserializer, Error, MapDeserializer, U32Deserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};

#[derive(Debug, serde::Deserialize)]
struct Settings {
    retry: RetryConfig,
}

fn toml(text: &str) -> Result<RetryConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn json(text: &str) -> Result<RetryConfig, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn yaml(text: &str) -> Result<RetryConfig, String> {
    let settings: Result<Settings, _> = serde_saphyr::from_str(text);
    settings.map(|settings| settings.retry).map_err(|error| error.to_string())
}

const EVERYTHING: RetryConfig = RetryConfig {
    max_attempts: Some(7),
    backoff_factor: Some(1.5),
    initial_delay: Some(Duration::from_millis(250)),
    max_delay: Some(Duration::from_secs(90)),
    max_retry_after: Some(Duration::from_secs(120)),
    max_elapsed: Some(Duration::from_secs(3_600)),
    jitter: Some(Jitter::Equal),
    log_retries: Some(false),
};

#[test]
fn the_yaml_of_the_specification_works_unchanged() {
    let settings: Settings = serde_saphyr::from_str(
        "retry:\n  max_attempts: 3\n  backoff_factor: 2.0\n  initial_delay: 1.0\n  max_delay: 60.0\n  log_retries: true\n",
    )
    .expect("the example of the specification");
    let policy = settings.retry.into_policy().expect("the defaults");
    assert_eq!(policy.max_attempts(), 3);
    assert!(policy.delays().eq([secs(1), secs(2)]));
    assert_eq!((policy.max_delay(), policy.logging()), (secs(60), true));
}

#[test]
fn every_key_is_read_from_yaml_toml_and_json() {
    let yaml = yaml(
        "retry:\n  max_attempts: 7\n  backoff_factor: 1.5\n  initial_delay: 250ms\n  max_delay: 1m 30s\n  max_retry_after: 2m\n  max_elapsed: 3600\n  jitter: equal\n  log_retries: false\n",
    );
    let toml = toml(
        "max_attempts = 7\nbackoff_factor = 1.5\ninitial_delay = 0.25\nmax_delay = '1m 30s'\nmax_retry_after = 120.0\nmax_elapsed = '1h'\njitter = 'Equal'\nlog_retries = false\n",
    );
    let json = json(
        r#"{"max_attempts":7,"backoff_factor":1.5,"initial_delay":"250ms","max_delay":90,"max_retry_after":"120","max_elapsed":"3600.0","jitter":"EQUAL","log_retries":false}"#,
    );
    for (format, config) in [("yaml", yaml), ("toml", toml), ("json", json)] {
        assert_eq!(config, Ok(EVERYTHING), "{format}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let json = serde_json::to_string(&EVERYTHING).expect("it serializes");
    assert_eq!(
        json,
        r#"{"max_attempts":7,"backoff_factor":1.5,"initial_delay":"250ms","max_delay":"1m 30s","max_retry_after":"2m","max_elapsed":"1h","jitter":"equal","log_retries":false}"#
    );
    assert_eq!(serde_json::from_str::<RetryConfig>(&json).expect("its own"), EVERYTHING);
    let toml = toml::to_string(&EVERYTHING).expect("it serializes");
    assert_eq!(toml::from_str::<RetryConfig>(&toml).expect("its own"), EVERYTHING);
    assert_eq!(serde_json::to_string(&RetryConfig::default()).expect("it serializes"), "{}");
}

#[test]
fn missing_keys_and_null_are_not_set() {
    assert_eq!(toml(""), Ok(RetryConfig::default()));
    assert_eq!(json("{}"), Ok(RetryConfig::default()));
    assert_eq!(json(r#"{"max_attempts":null,"max_delay":null}"#), Ok(RetryConfig::default()));
    let policy = RetryConfig::default().into_policy().expect("the defaults");
    assert_eq!((policy.max_attempts(), policy.max_elapsed()), (3, None));
    assert!(policy.delays().eq(RetryPolicy::new().delays()));
}

#[test]
fn a_policy_has_every_value() {
    let policy = RetryPolicy::try_from(EVERYTHING).expect("all within their limits");
    assert_eq!(policy.max_attempts(), 7);
    assert!((policy.factor() - 1.5).abs() < f64::EPSILON);
    assert_eq!((policy.initial_delay(), policy.max_delay()), (ms(250), secs(90)));
    assert_eq!(policy.max_retry_after(), secs(120));
    assert_eq!(policy.max_elapsed(), Some(secs(3_600)));
    assert_eq!((policy.jitter(), policy.logging()), (Jitter::Equal, false));
}

#[test]
fn precedence_is_per_field_code_then_environment_then_file_then_default() {
    let code = RetryConfig { max_attempts: Some(9), ..RetryConfig::default() };
    let environment =
        RetryConfig { max_attempts: Some(8), max_delay: Some(secs(8)), ..RetryConfig::default() };
    let file = EVERYTHING;
    let all = code.or(environment).or(file);
    let expected = RetryConfig { max_attempts: Some(9), max_delay: Some(secs(8)), ..file };
    assert_eq!(all, expected);
    assert_eq!(RetryConfig::default().or(EVERYTHING), EVERYTHING);
    assert_eq!(EVERYTHING.or(RetryConfig::default()), EVERYTHING);
    let mut other = EVERYTHING;
    other.log_retries = Some(true);
    other.jitter = Some(Jitter::None);
    assert_eq!(EVERYTHING.or(other), EVERYTHING);
}

#[test]
fn the_limits_themselves_are_allowed() {
    for (key, values) in [
        ("max_attempts", &["1", "1000"][..]),
        ("backoff_factor", &["1", "1.0", "100", "100.0"]),
        ("initial_delay", &["1e-9", "'1ns'", "60", "'60s'"]),
        ("max_delay", &["1", "86400", "86400.0", "'24h'", "'1day'", "'1d'"]),
        ("max_retry_after", &["1e-9", "86400", "'24h'"]),
        ("max_elapsed", &["1e-9", "86400", "'24h'", "'none'"]),
    ] {
        for value in values {
            let config = toml(&format!("{key} = {value}")).expect("within the limits");
            assert!(config.into_policy().is_ok(), "{key} = {value}");
        }
    }
}

const ATTEMPTS: &str = "a whole number from 1 to 1000";
const FACTOR: &str = "a number from 1 to 100";
const DURATION: &str =
    "seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and up to 24h";
const DEADLINE: &str = "seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and up to \
                        24h, or none for no deadline";
const JITTER: &str = "none, full, equal or decorrelated";
const BOOL: &str = "true or false";

#[test]
fn p22_wrong_values_in_toml_are_errors_that_name_key_value_and_what_is_allowed() {
    for (key, value, shown, allowed) in [
        ("max_attempts", "0", "0", ATTEMPTS),
        ("max_attempts", "-1", "-1", ATTEMPTS),
        ("max_attempts", "1001", "1001", ATTEMPTS),
        ("max_attempts", "4294967299", "4294967299", ATTEMPTS),
        ("max_attempts", "3.0", "3.0", ATTEMPTS),
        ("max_attempts", "'0'", "\"0\"", ATTEMPTS),
        ("max_attempts", "'3.0'", "\"3.0\"", ATTEMPTS),
        ("max_attempts", "''", "\"\"", ATTEMPTS),
        ("max_attempts", "'three'", "\"three\"", ATTEMPTS),
        ("max_attempts", "true", "true", ATTEMPTS),
        ("max_attempts", "[3]", "a list", ATTEMPTS),
        ("max_attempts", "{ is = 3 }", "a table", ATTEMPTS),
        ("backoff_factor", "0.99", "0.99", FACTOR),
        ("backoff_factor", "0", "0", FACTOR),
        ("backoff_factor", "-2.0", "-2.0", FACTOR),
        ("backoff_factor", "100.01", "100.01", FACTOR),
        ("backoff_factor", "nan", "NaN", FACTOR),
        ("backoff_factor", "inf", "inf", FACTOR),
        ("backoff_factor", "-inf", "-inf", FACTOR),
        ("backoff_factor", "'0.5'", "\"0.5\"", FACTOR),
        ("backoff_factor", "'NaN'", "\"NaN\"", FACTOR),
        ("backoff_factor", "'two'", "\"two\"", FACTOR),
        ("backoff_factor", "true", "true", FACTOR),
        ("initial_delay", "-1", "-1", DURATION),
        ("initial_delay", "-0.5", "-0.5", DURATION),
        ("initial_delay", "nan", "NaN", DURATION),
        ("initial_delay", "inf", "inf", DURATION),
        ("initial_delay", "1e300", "1e300", DURATION),
        ("initial_delay", "1e-10", "1e-10", DURATION),
        ("initial_delay", "'soon'", "\"soon\"", DURATION),
        ("initial_delay", "''", "\"\"", DURATION),
        ("initial_delay", "'10 parsecs'", "\"10 parsecs\"", DURATION),
        ("initial_delay", "false", "false", DURATION),
        ("max_delay", "86401", "86401", DURATION),
        ("max_delay", "'1M'", "\"1M\"", DURATION),
        ("max_delay", "'-5s'", "\"-5s\"", DURATION),
        ("max_delay", "9223372036854775807", "9223372036854775807", DURATION),
        ("max_delay", "'none'", "\"none\"", DURATION),
        ("max_retry_after", "86401", "86401", DURATION),
        ("max_retry_after", "'none'", "\"none\"", DURATION),
        ("max_elapsed", "'25h'", "\"25h\"", DEADLINE),
        ("max_elapsed", "'infinity'", "\"infinity\"", DEADLINE),
        ("max_elapsed", "'never'", "\"never\"", DEADLINE),
        ("max_elapsed", "false", "false", DEADLINE),
        ("jitter", "'fullish'", "\"fullish\"", JITTER),
        ("jitter", "''", "\"\"", JITTER),
        ("jitter", "true", "true", JITTER),
        ("jitter", "1", "1", JITTER),
        ("log_retries", "'maybe'", "\"maybe\"", BOOL),
        ("log_retries", "''", "\"\"", BOOL),
        ("log_retries", "1", "1", BOOL),
    ] {
        let text = toml(&format!("{key} = {value}")).expect_err("not allowed");
        let start = format!("{key}: `{shown}");
        let end = format!("` is not allowed; use {allowed}");
        assert!(text.contains(&start) && text.contains(&end), "{key} = {value} fails:\n{text}");
        assert!(text.contains("line 1"), "{key} = {value} fails without a line:\n{text}");
    }
}

#[test]
fn p22_misspelt_and_repeated_keys_are_errors_in_every_format() {
    for text in [
        toml("max_attempt = 3").expect_err("misspelt"),
        json(r#"{"max_attempt": 3}"#).expect_err("misspelt"),
        yaml("retry:\n  max_attempt: 3\n").expect_err("misspelt"),
    ] {
        assert!(text.contains("max_attempt") && text.contains("log_retries"), "{text}");
    }
    assert!(json(r#"{"jitter": "full", "jitter": "none"}"#).expect_err("twice").contains("jitter"));
    assert!(toml("jitter = 'full'\njitter = 'none'").is_err());
    for wrong in ["[]", "[3]", "3", "\"full\""] {
        let text = json(wrong).expect_err("no table");
        assert!(text.contains("expected a table of retry settings"), "{wrong} fails with: {text}");
    }
}

#[test]
fn wrong_values_in_json_and_yaml_say_the_same() {
    let expected = "max_attempts: `0` is not allowed; use a whole number from 1 to 1000";
    assert!(json(r#"{"max_attempts": 0}"#).expect_err("zero").starts_with(expected));
    let text = yaml("retry:\n  max_attempts: 0\n").expect_err("zero");
    assert!(text.contains(expected), "{text}");
    // The YAML reader refuses this value by itself.
    assert!(yaml("retry:\n  backoff_factor: .nan\n").expect_err("not a number").contains(".nan"));
    let text = yaml("retry:\n  max_delay: soon\n").expect_err("no duration");
    assert!(text.contains("max_delay: `\"soon\"` is not allowed"), "{text}");
}

#[test]
fn wrong_values_in_code_are_errors_of_into_policy() {
    let nothing = RetryConfig::default();
    for (config, text) in [
        (
            RetryConfig { max_attempts: Some(0), ..nothing },
            "max_attempts: `0` is not allowed; use a whole number from 1 to 1000",
        ),
        (
            RetryConfig { max_attempts: Some(u32::MAX), ..nothing },
            "max_attempts: `4294967295` is not allowed; use a whole number from 1 to 1000",
        ),
        (
            RetryConfig { backoff_factor: Some(f64::NAN), ..nothing },
            "backoff_factor: `NaN` is not allowed; use a number from 1 to 100",
        ),
        (
            RetryConfig { backoff_factor: Some(f64::NEG_INFINITY), ..nothing },
            "backoff_factor: `-inf` is not allowed; use a number from 1 to 100",
        ),
        (
            RetryConfig { max_delay: Some(secs(86_401)), ..nothing },
            "max_delay: `1day 1s` is not allowed; use seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and up to 24h",
        ),
        (
            RetryConfig { initial_delay: Some(secs(61)), ..nothing },
            "initial_delay: `1m 1s` is not allowed; use at most max_delay, which is 1m",
        ),
        (
            RetryConfig { initial_delay: Some(secs(2)), max_delay: Some(secs(1)), ..nothing },
            "initial_delay: `2s` is not allowed; use at most max_delay, which is 1s",
        ),
    ] {
        let error = config.into_policy().expect_err("not allowed");
        assert_eq!(error.to_string(), format!("retry configuration, {text}"));
    }
    let above = RetryConfig { max_elapsed: Some(secs(86_401)), ..nothing };
    let error = above.into_policy().expect_err("longer than a day");
    assert_eq!((error.key(), error.allowed()), ("max_elapsed", DEADLINE));
    let above = RetryConfig { max_retry_after: Some(Duration::MAX), ..nothing };
    let error = above.into_policy().expect_err("longer than a day");
    assert_eq!((error.key(), error.allowed()), ("max_retry_after", DURATION));
}

#[test]
fn p32_text_in_a_file_is_read_as_in_the_environment() {
    let nothing = RetryConfig::default();
    let attempts = RetryConfig { max_attempts: Some(5), ..nothing };
    let factor = RetryConfig { backoff_factor: Some(2.0), ..nothing };
    let delay = RetryConfig { initial_delay: Some(ms(1_500)), ..nothing };
    let jitter = RetryConfig { jitter: Some(Jitter::Full), ..nothing };
    let on = RetryConfig { log_retries: Some(true), ..nothing };
    let off = RetryConfig { log_retries: Some(false), ..nothing };
    for (key, variable, text, expected) in [
        ("max_attempts", "RETRY_MAX_ATTEMPTS", "5", attempts),
        ("max_attempts", "RETRY_MAX_ATTEMPTS", "  5 ", attempts),
        ("backoff_factor", "RETRY_BACKOFF_FACTOR", "2.0", factor),
        ("backoff_factor", "RETRY_BACKOFF_FACTOR", " 2 ", factor),
        ("initial_delay", "RETRY_INITIAL_DELAY", " 1.5 ", delay),
        ("initial_delay", "RETRY_INITIAL_DELAY", "1s 500ms", delay),
        ("jitter", "RETRY_JITTER", " Full ", jitter),
        ("log_retries", "RETRY_LOG", "true", on),
        ("log_retries", "RETRY_LOG", " YES ", on),
        ("log_retries", "RETRY_LOG", "on", on),
        ("log_retries", "RETRY_LOG", "1", on),
        ("log_retries", "RETRY_LOG", "false", off),
        ("log_retries", "RETRY_LOG", "No", off),
        ("log_retries", "RETRY_LOG", "off", off),
        ("log_retries", "RETRY_LOG", "0", off),
    ] {
        assert_eq!(toml(&format!("{key} = '{text}'")), Ok(expected), "{key} = '{text}'");
        assert_eq!(json(&format!(r#"{{"{key}":"{text}"}}"#)), Ok(expected), "{key}: {text}");
        assert_eq!(yaml(&format!("retry:\n  {key}: '{text}'\n")), Ok(expected), "{key}: {text}");
        let answer = with(&[(variable, text)]);
        assert_eq!(json(&answer), Ok(expected), "{variable}={text}");
    }
}

#[test]
fn p42_zero_is_refused_for_every_time_in_every_source() {
    let nothing = RetryConfig::default();
    let zero = Some(Duration::ZERO);
    for (key, variable, allowed, in_code) in [
        (
            "initial_delay",
            "INITIAL_DELAY",
            DURATION,
            RetryConfig { initial_delay: zero, ..nothing },
        ),
        ("max_delay", "MAX_DELAY", DURATION, RetryConfig { max_delay: zero, ..nothing }),
        (
            "max_retry_after",
            "MAX_RETRY_AFTER",
            DURATION,
            RetryConfig { max_retry_after: zero, ..nothing },
        ),
        ("max_elapsed", "MAX_ELAPSED", DEADLINE, RetryConfig { max_elapsed: zero, ..nothing }),
    ] {
        for value in ["0", "0.0", "-0.0", "1e-10", "'0'", "'0s'", "' 0ms '"] {
            let text = toml(&format!("{key} = {value}")).expect_err("zero");
            assert!(text.contains(&format!("` is not allowed; use {allowed}")), "{text}");
        }
        for value in ["0", "0.0", "0s", "1e-10"] {
            let variable = format!("RETRY_{variable}");
            assert_eq!(
                with(&[(&variable, value)]),
                format!("environment variable {variable}: `{value}` is not allowed; use {allowed}")
            );
        }
        assert_eq!(
            in_code.into_policy().expect_err("zero").to_string(),
            format!("retry configuration, {key}: `0s` is not allowed; use {allowed}")
        );
    }
}

#[test]
fn p42_none_removes_the_deadline_of_the_programs_policy() {
    static BUDGET: RetryBudget = RetryBudget::new();
    let none = RetryConfig { max_elapsed: Some(Duration::MAX), ..RetryConfig::default() };
    for text in ["none", "None", " NONE "] {
        assert_eq!(toml(&format!("max_elapsed = '{text}'")), Ok(none));
        assert_eq!(with(&[("RETRY_MAX_ELAPSED", text)]), r#"{"max_elapsed":"none"}"#);
    }
    assert_eq!(yaml("retry:\n  max_elapsed: none\n"), Ok(none));
    assert_eq!(serde_json::to_string(&none).expect("it serializes"), r#"{"max_elapsed":"none"}"#);
    let file = RetryConfig { max_elapsed: Some(secs(5)), ..RetryConfig::default() };
    assert_eq!(none.or(file), none);

    let ours = RetryPolicy::new().with_max_elapsed(secs(2)).with_max_attempts(4);
    let attempts = |policy: RetryPolicy| {
        let always = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let error = always.sleep_with(|_| ()).retry_with(policy).expect_err("it always fails");
        (error.attempts(), error.reason())
    };
    assert_eq!(attempts(ours), (2, StopReason::DeadlineExceeded));
    let without = none.apply_to(ours).expect("four attempts");
    assert_eq!(without.max_elapsed(), None);
    assert_eq!(attempts(without), (4, StopReason::AttemptsExhausted));

    // The policy's budget stays.
    let ours = ours.with_budget(&BUDGET).with_max_attempts(1_000);
    let without = none.apply_to(ours).expect("a thousand attempts");
    assert_eq!((without.max_elapsed(), without.budget().is_some()), (None, true));
    assert_eq!(attempts(without).1, StopReason::BudgetExhausted);
}

#[test]
fn p42_none_is_refused_if_attempts_are_unlimited() {
    let none = RetryConfig { max_elapsed: Some(Duration::MAX), ..RetryConfig::default() };
    let unlimited = RetryPolicy::new().with_max_attempts(u32::MAX).with_max_elapsed(secs(5));
    let error = none.apply_to(unlimited).expect_err("it would never end");
    assert_eq!((error.key(), error.value()), ("max_elapsed", Some("none")));
    assert_eq!(error.allowed(), "a duration, or set max_attempts: attempts are unlimited");

    let limited = RetryConfig { max_attempts: Some(1_000), ..none };
    assert_eq!(limited.apply_to(unlimited).expect("a thousand").max_elapsed(), None);
    let one_less = unlimited.with_max_attempts(u32::MAX - 1);
    assert_eq!(none.apply_to(one_less).expect("a limit").max_elapsed(), None);
    let deadline = RetryConfig { max_elapsed: Some(secs(9)), ..RetryConfig::default() };
    assert_eq!(deadline.apply_to(unlimited).expect("a deadline").max_elapsed(), Some(secs(9)));
}

#[test]
fn the_longest_hint_is_set_apart_from_the_cap() {
    let config = toml("max_delay = 5\nmax_retry_after = '2m'").expect("both within their limits");
    let policy = config.into_policy().expect("both within their limits");
    assert_eq!((policy.max_delay(), policy.max_retry_after()), (secs(5), secs(120)));
    let ours = RetryPolicy::new().with_max_retry_after(secs(7));
    let kept = RetryConfig::default().apply_to(ours).expect("nothing is set");
    assert_eq!(kept.max_retry_after(), secs(7));
}

/// Returns texts longer than 64 characters, with the part of each that is shown between the quotes.
fn long_texts() -> [(String, String); 4] {
    [
        ("x".repeat(65), "x".repeat(63) + "…"),
        ("é".repeat(1 << 20), "é".repeat(63) + "…"),
        // Each escape has six characters, and no escape is cut in two.
        ("\u{1b}".repeat(65), r"\u{1b}".repeat(10) + "…"),
        ("x".repeat(60) + "\n\nforged", "x".repeat(60) + r"\n…"),
    ]
}

#[test]
fn p50_a_long_value_in_the_environment_is_cut() {
    for (text, shown) in long_texts() {
        // The longest text exceeds the system's limit for a variable.
        let text: String = text.chars().take(10_000).collect();
        let answer = with(&[("RETRY_MAX_ATTEMPTS", &text)]);
        assert_eq!(
            answer,
            format!(
                "environment variable RETRY_MAX_ATTEMPTS: `{shown}` is not allowed; use {ATTEMPTS}"
            )
        );
    }
    let whole = "x".repeat(64);
    let answer = with(&[("RETRY_JITTER", &whole)]);
    assert_eq!(
        answer,
        format!("environment variable RETRY_JITTER: `{whole}` is not allowed; use {JITTER}")
    );
}

#[test]
fn p50_a_long_value_in_a_file_is_cut() {
    for (text, shown) in [
        ("x".repeat(62), format!("\"{}\"", "x".repeat(62))),
        ("x".repeat(63), format!("\"{}\"…", "x".repeat(61))),
        ("é".repeat(1 << 20), format!("\"{}\"…", "é".repeat(61))),
        ("\u{1b}".repeat(65), format!("\"{}\"…", r"\u{1b}".repeat(10))),
    ] {
        let file = serde_json::to_string(&HashMap::from([("jitter", &text)])).expect("text");
        let error = json(&file).expect_err("no jitter");
        assert!(
            error.starts_with(&format!("jitter: `{shown}` is not allowed; use {JITTER} at line 1")),
            "{error}"
        );
        let section = serde_json::to_string(&text).expect("text");
        let error = json(&section).expect_err("no table");
        let start =
            format!("invalid type: string {shown}, expected a table of retry settings at line 1");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn p50_a_long_value_in_code_is_cut() {
    let config = RetryConfig { backoff_factor: Some(f64::MAX), ..RetryConfig::default() };
    let error = config.into_policy().expect_err("above 100");
    let value = error.value().expect("a value");
    assert_eq!((value.chars().count(), value.ends_with('…')), (64, true));
    assert!(value.starts_with("17976931348623157"), "{value}");
    assert!(error.to_string().contains(&format!("`{value}` is not allowed")));
}

#[test]
fn p50_an_unknown_key_of_a_file_is_escaped_and_cut() {
    for (key, shown) in long_texts()
        .into_iter()
        .chain([("a\nb".to_owned(), r"a\nb".to_owned()), ("x".repeat(64), "x".repeat(64))])
    {
        let file = serde_json::to_string(&HashMap::from([(&key, 3)])).expect("text");
        let error = json(&file).expect_err("no such key");
        let start = format!("unknown field `{shown}`, expected one of `max_attempts`, ");
        assert!(error.starts_with(&start) && error.contains("`max_retry_after`"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn p50_the_name_of_an_unknown_variable_is_escaped_and_cut() {
    let forged = "RETRY_X\nERROR everything is lost";
    let answer = with(&[(forged, "x")]);
    assert!(
        answer.starts_with(r"environment variable RETRY_X\nERROR everything is lost: there is no"),
        "{answer}"
    );
    let answer = with(&[(&format!("RETRY_{}", "X".repeat(1_000)), "x")]);
    let shown = format!("environment variable RETRY_{}…: there is no such", "X".repeat(57));
    assert!(answer.starts_with(&shown), "{answer}");
    // A prefix is escaped too, although the program chose it.
    let answer = environment("A\nB", &[("A\nB_X", "x".as_ref())]);
    assert!(answer.contains(r"use one of A\nB_MAX_ATTEMPTS, A\nB_"), "{answer}");
}

/// Runs `in_the_environment` in a separate process with these variables, and returns its output.
fn environment(prefix: &str, variables: &[(&str, &std::ffi::OsStr)]) -> String {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "in_the_environment", "--nocapture"])
        .env_clear()
        .env("CONFIG_TEST_PREFIX", prefix)
        .envs(variables.iter().copied())
        .output()
        .expect("this test runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let (_, answer) = text.split_once("answer: ").expect("an answer");
    answer.lines().next().expect("a line").to_owned()
}

#[test]
fn in_the_environment() {
    let Some(prefix) = std::env::var("CONFIG_TEST_PREFIX").ok() else { return };
    let config = match prefix.as_str() {
        "default" => RetryConfig::from_env(),
        prefix => RetryConfig::from_env_prefixed(prefix),
    };
    match config {
        Ok(config) => {
            println!("answer: {}", serde_json::to_string(&config).expect("it serializes"));
        }
        Err(error) => println!("answer: {error}"),
    }
}

fn with(variables: &[(&str, &str)]) -> String {
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (*name, std::ffi::OsStr::new(*value))).collect();
    environment("default", &variables)
}

#[test]
fn every_variable_is_read() {
    let answer = with(&[
        ("RETRY_MAX_ATTEMPTS", " 7 "),
        ("RETRY_BACKOFF_FACTOR", "\t1.5"),
        ("RETRY_INITIAL_DELAY", "250ms"),
        ("RETRY_MAX_DELAY", " 1m 30s "),
        ("RETRY_MAX_RETRY_AFTER", "2m"),
        ("RETRY_MAX_ELAPSED", "3600.0"),
        ("RETRY_JITTER", "Equal"),
        ("RETRY_LOG", "off"),
    ]);
    assert_eq!(serde_json::from_str::<RetryConfig>(&answer).expect(&answer), EVERYTHING);
    assert_eq!(with(&[]), "{}");
    for (text, log) in
        [("true", true), ("1", true), ("YES", true), ("on", true), ("0", false), ("no", false)]
    {
        assert_eq!(with(&[("RETRY_LOG", text)]), format!(r#"{{"log_retries":{log}}}"#));
    }
}

#[test]
fn the_prefix_is_the_callers_with_or_without_its_underscore() {
    for prefix in ["MYAPP_RETRY_", "MYAPP_RETRY"] {
        let variables = [
            ("MYAPP_RETRY_MAX_ATTEMPTS", std::ffi::OsStr::new("7")),
            ("RETRY_MAX_ATTEMPTS", std::ffi::OsStr::new("8")),
            ("MYAPP_RETRYING", std::ffi::OsStr::new("x")),
        ];
        assert_eq!(environment(prefix, &variables), r#"{"max_attempts":7}"#);
    }
    let variables = [("MAX_ATTEMPTS", "4".as_ref()), ("HOME", "x".as_ref())];
    assert_eq!(environment("", &variables), r#"{"max_attempts":4}"#);
}

#[test]
fn p22_wrong_variables_are_errors_that_name_variable_value_and_what_is_allowed() {
    for (name, value, allowed) in [
        ("RETRY_MAX_ATTEMPTS", "", ATTEMPTS),
        ("RETRY_MAX_ATTEMPTS", "0", ATTEMPTS),
        ("RETRY_MAX_ATTEMPTS", "-3", ATTEMPTS),
        ("RETRY_MAX_ATTEMPTS", "3.5", ATTEMPTS),
        ("RETRY_MAX_ATTEMPTS", "three", ATTEMPTS),
        ("RETRY_MAX_ATTEMPTS", "99999999999999999999", ATTEMPTS),
        ("RETRY_BACKOFF_FACTOR", "NaN", FACTOR),
        ("RETRY_BACKOFF_FACTOR", "inf", FACTOR),
        ("RETRY_BACKOFF_FACTOR", "-inf", FACTOR),
        ("RETRY_BACKOFF_FACTOR", "0.5", FACTOR),
        ("RETRY_BACKOFF_FACTOR", "2,0", FACTOR),
        ("RETRY_BACKOFF_FACTOR", "1e300", FACTOR),
        ("RETRY_INITIAL_DELAY", "", DURATION),
        ("RETRY_INITIAL_DELAY", "-1", DURATION),
        ("RETRY_INITIAL_DELAY", "nan", DURATION),
        ("RETRY_INITIAL_DELAY", "1 fortnight", DURATION),
        ("RETRY_MAX_DELAY", "inf", DURATION),
        ("RETRY_MAX_DELAY", "2 days", DURATION),
        ("RETRY_MAX_RETRY_AFTER", "none", DURATION),
        ("RETRY_MAX_ELAPSED", "1e30", DEADLINE),
        ("RETRY_MAX_ELAPSED", "18446744073709551615s 999999999ns", DEADLINE),
        ("RETRY_JITTER", "", JITTER),
        ("RETRY_JITTER", "half", JITTER),
        ("RETRY_LOG", "", BOOL),
        ("RETRY_LOG", "maybe", BOOL),
    ] {
        assert_eq!(
            with(&[(name, value)]),
            format!("environment variable {name}: `{value}` is not allowed; use {allowed}")
        );
    }
}

#[test]
fn the_name_of_an_unknown_variable_cannot_colour_a_terminal() {
    let answer = with(&[("RETRY_\u{1b}[31m", "x")]);
    assert!(answer.starts_with(r"environment variable RETRY_\u{1b}[31m: there is no"), "{answer}");
}

#[test]
fn an_unknown_variable_is_an_error_that_does_not_repeat_its_value() {
    let answer = with(&[("RETRY_MAX_ATTEMPT", "hunter2")]);
    assert_eq!(
        answer,
        "environment variable RETRY_MAX_ATTEMPT: there is no such setting; use one of \
         RETRY_MAX_ATTEMPTS, RETRY_BACKOFF_FACTOR, RETRY_INITIAL_DELAY, RETRY_MAX_DELAY, \
         RETRY_MAX_RETRY_AFTER, RETRY_MAX_ELAPSED, RETRY_JITTER, RETRY_LOG"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"3\xff");
    let answer = environment("default", &[("RETRY_MAX_ATTEMPTS", value)]);
    assert_eq!(
        answer,
        "environment variable RETRY_MAX_ATTEMPTS: `3\u{fffd}` is not allowed; use a whole number from 1 to 1000"
    );
    // A variable of another program is ignored, even if it is not UTF-8.
    assert_eq!(environment("default", &[("OTHER", value)]), "{}");
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_is_not_overlooked() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"RETRY_MAX_ATTEMPTS\xff");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "in_the_environment", "--nocapture"])
        .env_clear()
        .env("CONFIG_TEST_PREFIX", "default")
        .env(name, "3")
        .output()
        .expect("this test runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("there is no such setting"));
}

#[test]
fn control_characters_of_a_value_are_not_repeated_as_they_are() {
    let answer = with(&[("RETRY_JITTER", "a\u{1b}[31mb")]);
    assert!(answer.starts_with("environment variable RETRY_JITTER: `a\\u{1b}[31mb`"), "{answer}");
}

#[test]
fn an_empty_section_is_a_configuration_in_which_nothing_is_set() {
    assert_eq!(yaml("retry:\n  # max_attempts: 3\n"), Ok(RetryConfig::default()));
    assert_eq!(json("null"), Ok(RetryConfig::default()));
}

/// A value of a format that has an option type, such as RON.
struct Optional<D>(Option<D>);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Optional<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        match self.0 {
            Some(value) => visitor.visit_some(value),
            None => visitor.visit_none(),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de>> IntoDeserializer<'de, D::Error> for Optional<D> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[test]
fn formats_with_options_of_their_own_are_read() {
    type Number = U32Deserializer<Error>;

    let read = |value: Optional<Number>| {
        let table = MapDeserializer::new([("max_attempts", value)].into_iter());
        RetryConfig::deserialize(Optional(Some(table)))
    };
    let seven = RetryConfig { max_attempts: Some(7), ..RetryConfig::default() };
    assert_eq!(read(Optional(Some(7_u32.into_deserializer()))), Ok(seven));
    assert_eq!(read(Optional(None)), Ok(RetryConfig::default()));
    let wrong = read(Optional(Some(0_u32.into_deserializer()))).expect_err("zero").to_string();
    assert_eq!(wrong, format!("max_attempts: `0` is not allowed; use {ATTEMPTS}"));
    assert_eq!(RetryConfig::deserialize(Optional::<Number>(None)), Ok(RetryConfig::default()));
}

#[test]
fn what_is_no_value_of_a_settings_file_is_refused() {
    let bytes = BytesDeserializer::<Error>::new(b"7");
    let table = MapDeserializer::new([("max_attempts", bytes)].into_iter());
    let error = RetryConfig::deserialize(table).expect_err("bytes").to_string();
    assert_eq!(error, "invalid type: byte array, expected a value");
}

#[test]
fn a_lower_cap_alone_is_no_error() {
    let config = RetryConfig { max_delay: Some(ms(500)), ..RetryConfig::default() };
    assert!(config.into_policy().expect("a cap below the first delay").delays().eq([ms(500); 2]));
}

#[test]
fn it_is_laid_over_a_policy_of_the_programs_own() {
    let ours = RetryPolicy::from(retry_ext::Backoff::linear().with_max_delay(secs(2)))
        .with_name("ours")
        .with_max_attempts(9);
    let config = RetryConfig { max_attempts: Some(5), ..RetryConfig::default() };
    let policy = config.apply_to(ours).expect("five attempts");
    assert!(policy.delays().eq([1, 2, 2, 2].map(secs)));
    assert_eq!(policy.name(), Some("ours"));
    let above = RetryConfig { initial_delay: Some(secs(3)), ..RetryConfig::default() };
    let error = above.apply_to(ours).expect_err("above our cap").to_string();
    assert!(
        error.ends_with("initial_delay: `3s` is not allowed; use at most max_delay, which is 2s")
    );
}
