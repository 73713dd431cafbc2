//! What holds for every configuration, and for every file that one is read from.

use std::fmt::{self, Debug};
use std::ops::RangeInclusive;
use std::time::Duration;

use retry_ext::{Jitter, RetryConfig, RetryPolicy};
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A file format.
trait Format {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String>;
    fn write<T: Serialize>(value: &T) -> String;
}

struct Toml;
struct Json;
struct Yaml;

impl Format for Toml {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn write<T: Serialize>(value: &T) -> String {
        toml::to_string(value).expect("what can be read can be written")
    }
}

impl Format for Json {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn write<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).expect("what can be read can be written")
    }
}

impl Format for Yaml {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    fn write<T: Serialize>(value: &T) -> String {
        serde_saphyr::to_string(value).expect("what can be read can be written")
    }
}

pub fn toml(data: &[u8]) {
    file::<Toml>(data);
}

pub fn json(data: &[u8]) {
    file::<Json>(data);
}

pub fn yaml(data: &[u8]) {
    file::<Yaml>(data);
}

const ATTEMPTS: &str = "a whole number from 1 to 1000";
const FACTOR: &str = "a number from 1 to 100";
const DURATION: &str = "seconds (1.5) or a duration with units (250ms, 1m 30s), from 0 to 24h";
const JITTER: &str = "none, full, equal or decorrelated";
const BOOL: &str = "true or false";

pub(crate) struct Setting {
    pub(crate) key: &'static str,
    /// Its name in the environment, after the prefix.
    pub(crate) variable: &'static str,
    pub(crate) allowed: &'static str,
}

const fn setting(key: &'static str, variable: &'static str, allowed: &'static str) -> Setting {
    Setting { key, variable, allowed }
}

pub(crate) const SETTINGS: [Setting; 7] = [
    setting("max_attempts", "MAX_ATTEMPTS", ATTEMPTS),
    setting("backoff_factor", "BACKOFF_FACTOR", FACTOR),
    setting("initial_delay", "INITIAL_DELAY", DURATION),
    setting("max_delay", "MAX_DELAY", DURATION),
    setting("max_elapsed", "MAX_ELAPSED", DURATION),
    setting("jitter", "JITTER", JITTER),
    setting("log_retries", "LOG", BOOL),
];

/// Reads the text twice, as a configuration and as whatever it is; the second shows what is to be
/// expected of the first.
fn file<F: Format>(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let config: Result<RetryConfig, String> = F::read(text);
    if let Ok(config) = config {
        holds(config);
    }
    let Ok(value) = F::read::<Value>(text) else { return };
    let entries = match F::read(text) {
        Ok(Table(entries)) => entries,
        Err(_) if value.is_null() => Vec::new(),
        Err(_) => {
            let error = config.expect_err("it is not a table");
            return assert!(error.contains("expected a table of retry settings"), "{error}");
        }
    };
    if entries.iter().any(|(_, value)| tells_a_number_as_serde_json_does(value)) {
        return;
    }
    let wrong = complaints(&entries);
    match config {
        Ok(config) => {
            assert!(wrong.is_empty(), "{wrong:?}, but it is read as {config:?}");
            for (key, value) in &entries {
                assert!(says(config, key, value), "{key} is {value} in {config:?}");
            }
            let same = serde_json::from_value(Map::from_iter(entries).into());
            assert_eq!(same.ok(), Some(config), "as JSON");
        }
        Err(error) => assert!(
            wrong.iter().any(|complaint| complaint.iter().all(|part| tells(&error, part)))
                || cannot_be_told_in_json(&error),
            "none of {wrong:?} is in: {error}"
        ),
    }
}

fn tells(error: &str, part: &str) -> bool {
    // The reader of YAML does not repeat control characters as they are.
    let harmless = part.chars().map(|char| match char {
        '\u{2028}' | '\u{2029}' => char.escape_debug().to_string(),
        char if char.is_control() => char.escape_debug().to_string(),
        char => char.to_string(),
    });
    error.contains(part) || error.contains(&harmless.collect::<String>())
}

/// JSON has nothing in the place of these numbers.
fn cannot_be_told_in_json(error: &str) -> bool {
    ["`NaN`", "`inf`", "`-inf`"].iter().any(|number| error.contains(number))
}

/// A table that `serde_json` itself may mean a number by is read as one.
fn tells_a_number_as_serde_json_does(value: &Value) -> bool {
    value.as_object().is_some_and(|table| table.contains_key("$serde_json::private::Number"))
}

/// The entries of a table in their order, also those that repeat a key.
struct Table(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Table(entries))
            }
        }

        deserializer.deserialize_any(Entries)
    }
}

/// What an error may say, in parts: one for each entry that is wrong.
fn complaints(entries: &[(String, Value)]) -> Vec<Vec<String>> {
    let mut complaints = Vec::new();
    for (index, (key, value)) in entries.iter().enumerate() {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        let read = serde_json::from_value::<RetryConfig>(alone.into());
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        match (read, setting) {
            (Ok(_), setting) => assert!(setting.is_some(), "there is no {key}"),
            (Err(error), Some(setting)) => {
                assert!(!is_surely_allowed(key, value), "{error}");
                let (shown, allowed) = (shown(value), setting.allowed);
                let complaint = format!("{key}: `{shown}` is not allowed; use {allowed}");
                assert_eq!(error.to_string(), complaint);
                complaints.push(vec![complaint]);
            }
            // Every format has words of its own for that.
            (Err(_), None) => {
                let known = SETTINGS.iter().map(|setting| setting.key.to_owned());
                complaints.push(known.chain([key.clone()]).collect());
            }
        }
        if entries[..index].iter().any(|(before, _)| before == key) {
            complaints.push(vec![format!("duplicate field `{key}`")]);
        }
    }
    complaints
}

/// Within the limits, and in a form that leaves no doubt.
fn is_surely_allowed(key: &str, value: &Value) -> bool {
    let is_within =
        |limits: RangeInclusive<f64>| value.as_f64().is_some_and(|number| limits.contains(&number));
    value.is_null()
        || match key {
            "max_attempts" => value.is_u64() && is_within(1.0..=1000.0),
            "backoff_factor" => is_within(1.0..=100.0),
            "jitter" => {
                let known = ["none", "full", "equal", "decorrelated"];
                value.as_str().is_some_and(|text| known.contains(&text))
            }
            "log_retries" => value.is_boolean(),
            _ => is_within(0.0..=0.0) || is_within(1e-9..=86_400.0),
        }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_i128() {
            Some(number) => number.to_string(),
            None => format!("{:?}", number.as_f64().expect("any number is a float")),
        },
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}

/// What was set to this value is this value.
pub(crate) fn says(config: RetryConfig, key: &str, value: &Value) -> bool {
    let is_time = |time: Option<Duration>| {
        let number = || value.as_str()?.trim().parse().ok();
        match (time, value.as_f64().or_else(number)) {
            // What is rounded to a nanosecond is not rounded to nothing.
            (Some(time), Some(seconds)) => {
                (time.as_secs_f64() - seconds).abs() < 1e-9 && time.is_zero() == (seconds == 0.0)
            }
            (time, _) => time.is_some() == value.is_string(),
        }
    };
    match key {
        "max_attempts" => config.max_attempts.map(u64::from) == value.as_u64(),
        "backoff_factor" => config.backoff_factor == value.as_f64(),
        "initial_delay" => is_time(config.initial_delay),
        "max_delay" => is_time(config.max_delay),
        "max_elapsed" => is_time(config.max_elapsed),
        "jitter" => match (entries(config).get(key), value) {
            (Some(Value::String(jitter)), Value::String(text)) => jitter.eq_ignore_ascii_case(text),
            (jitter, value) => jitter.is_none() && value.is_null(),
        },
        "log_retries" => config.log_retries == value.as_bool(),
        _ => false,
    }
}

/// What holds for every configuration that was read from anywhere.
pub(crate) fn holds(config: RetryConfig) {
    is_within_limits(config);
    makes_a_policy(config);
    precedence_is_per_field(config);
    reads_the_same_when_written::<Toml, _>(&config);
    reads_the_same_when_written::<Json, _>(&config);
    // To read YAML takes most of the time, so it is done once, for a section as in the README.
    reads_the_same_when_written::<Yaml, _>(&Settings { retry: config });
}

fn is_within_limits(config: RetryConfig) {
    const DAY: Duration = Duration::from_hours(24);

    assert!(config.max_attempts.is_none_or(|attempts| (1..=1000).contains(&attempts)));
    assert!(config.backoff_factor.is_none_or(|factor| (1.0..=100.0).contains(&factor)));
    for delay in [config.initial_delay, config.max_delay, config.max_elapsed] {
        assert!(delay.is_none_or(|delay| delay <= DAY), "{delay:?}");
    }
}

fn makes_a_policy(config: RetryConfig) {
    let default = RetryPolicy::new();
    let max_delay = config.max_delay.unwrap_or(default.max_delay());
    match config.into_policy() {
        Ok(policy) => {
            assert!(config.initial_delay.is_none_or(|delay| delay <= max_delay));
            let set = RetryConfig {
                max_attempts: Some(policy.max_attempts()),
                backoff_factor: Some(policy.factor()),
                initial_delay: Some(policy.initial_delay()),
                max_delay: Some(policy.max_delay()),
                max_elapsed: policy.max_elapsed(),
                jitter: Some(policy.jitter()),
                log_retries: Some(policy.logging()),
            };
            let expected = RetryConfig {
                max_attempts: config.max_attempts.or(Some(default.max_attempts())),
                backoff_factor: config.backoff_factor.or(Some(default.factor())),
                initial_delay: config.initial_delay.or(Some(default.initial_delay())),
                max_delay: Some(max_delay),
                max_elapsed: config.max_elapsed,
                jitter: config.jitter.or(Some(default.jitter())),
                log_retries: config.log_retries.or(Some(default.logging())),
            };
            assert_eq!(set, expected);
        }
        Err(error) => {
            assert_eq!(error.key(), "initial_delay");
            assert!(config.initial_delay.is_some_and(|delay| delay > max_delay), "{error}");
            assert_eq!(error.value(), entries(config)["initial_delay"].as_str());
            assert!(error.allowed().starts_with("at most max_delay, which is "), "{error}");
        }
    }
}

/// A configuration in which everything is set, and nothing to its default.
const FULL: RetryConfig = RetryConfig {
    max_attempts: Some(7),
    backoff_factor: Some(1.5),
    initial_delay: Some(Duration::from_millis(250)),
    max_delay: Some(Duration::from_secs(90)),
    max_elapsed: Some(Duration::from_hours(1)),
    jitter: Some(Jitter::Equal),
    log_retries: Some(false),
};

/// The entries of a configuration as a file has them.
pub(crate) fn entries(config: RetryConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(entries)) => entries,
        other => panic!("a configuration is a table, and not {other:?}"),
    }
}

fn precedence_is_per_field(config: RetryConfig) {
    let nothing = RetryConfig::default();
    for (first, second) in [(config, FULL), (FULL, config), (config, nothing), (nothing, config)] {
        let mut expected = entries(second);
        expected.extend(entries(first));
        assert_eq!(entries(first.or(second)), expected, "{first:?} or {second:?}");
    }
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Settings {
    retry: RetryConfig,
}

fn reads_the_same_when_written<F: Format, T>(value: &T)
where
    T: Debug + PartialEq + DeserializeOwned + Serialize,
{
    let text = F::write(value);
    assert_eq!(F::read::<T>(&text).as_ref(), Ok(value), "written as {text}");
}
