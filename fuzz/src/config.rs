//! Invariants of every configuration, and of every file from which one is read.

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
        toml::to_string(value).expect("every readable value can be written")
    }
}

impl Format for Json {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn write<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).expect("every readable value can be written")
    }
}

impl Format for Yaml {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    fn write<T: Serialize>(value: &T) -> String {
        serde_saphyr::to_string(value).expect("every readable value can be written")
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
const DURATION: &str =
    "seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and up to 24h";
const DEADLINE: &str = "seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and up to \
                        24h, or none for no deadline";
const JITTER: &str = "none, full, equal or decorrelated";
const BOOL: &str = "true or false";

pub(crate) struct Setting {
    pub(crate) key: &'static str,
    /// The setting's name in the environment, after the prefix.
    pub(crate) variable: &'static str,
    pub(crate) allowed: &'static str,
}

const fn setting(key: &'static str, variable: &'static str, allowed: &'static str) -> Setting {
    Setting { key, variable, allowed }
}

pub(crate) const SETTINGS: [Setting; 8] = [
    setting("max_attempts", "MAX_ATTEMPTS", ATTEMPTS),
    setting("backoff_factor", "BACKOFF_FACTOR", FACTOR),
    setting("initial_delay", "INITIAL_DELAY", DURATION),
    setting("max_delay", "MAX_DELAY", DURATION),
    setting("max_retry_after", "MAX_RETRY_AFTER", DURATION),
    setting("max_elapsed", "MAX_ELAPSED", DEADLINE),
    setting("jitter", "JITTER", JITTER),
    setting("log_retries", "LOG", BOOL),
];

/// Reads the text twice: as a configuration, and as any value. The value determines the expected
/// result for the configuration.
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
            assert!(error.contains("expected a table of retry settings"), "{error}");
            if let Value::String(text) = value {
                let shown = cut(&text, |text| format!("{text:?}"));
                assert!(tells(&error, &format!("string {shown}, expected ")), "{error}");
            }
            return;
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
    // The YAML reader escapes control characters in its messages.
    let harmless = part.chars().map(|char| match char {
        '\u{2028}' | '\u{2029}' => char.escape_debug().to_string(),
        char if char.is_control() => char.escape_debug().to_string(),
        char => char.to_string(),
    });
    error.contains(part) || error.contains(&harmless.collect::<String>())
}

/// Returns a text as messages show it: escaped, and cut to at most 64 characters.
pub(crate) fn cut(text: &str, escape: impl Fn(&str) -> String) -> String {
    let shown = |text: &str| {
        let escaped = escape(text);
        (escaped.chars().count(), escaped)
    };
    // Longer texts are cut to at most 64 characters in any case.
    let start: String = text.chars().take(65).collect();
    let (length, whole) = shown(&start);
    if start.len() == text.len() && length <= 64 {
        return whole;
    }
    let mut start = start;
    loop {
        start.pop();
        let (length, whole) = shown(&start);
        if length < 64 {
            return whole + "…";
        }
    }
}

/// Returns whether the error shows a number that JSON cannot represent.
fn cannot_be_told_in_json(error: &str) -> bool {
    ["`NaN`", "`inf`", "`-inf`"].iter().any(|number| error.contains(number))
}

/// Returns whether the value is a table that `serde_json` reads as a number.
fn tells_a_number_as_serde_json_does(value: &Value) -> bool {
    value.as_object().is_some_and(|table| table.contains_key("$serde_json::private::Number"))
}

/// The entries of a table in their order, including repeated keys.
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

/// Returns the expected messages, one for each wrong entry. A message is a list of its parts.
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
            // Each format has a different message for an unknown key.
            (Err(_), None) => {
                let known = SETTINGS.iter().map(|setting| setting.key.to_owned());
                let shown = cut(key, |key| key.escape_debug().to_string());
                assert!(!shown.chars().any(char::is_control) && shown.chars().count() <= 64);
                complaints.push(known.chain([shown]).collect());
            }
        }
        if entries[..index].iter().any(|(before, _)| before == key) {
            complaints.push(vec![format!("duplicate field `{key}`")]);
        }
    }
    complaints
}

/// Returns whether the value is certainly allowed: within the limits, and in an unambiguous form.
fn is_surely_allowed(key: &str, value: &Value) -> bool {
    let text = value.as_str().map(str::trim);
    let is_number_within = |limits: RangeInclusive<f64>| {
        let number = value.as_f64().or_else(|| text?.parse().ok());
        number.is_some_and(|number| limits.contains(&number))
    };
    let is_one_of = |known: &[&str]| text.is_some_and(|text| known.contains(&text));
    value.is_null()
        || match key {
            "max_attempts" => {
                let is_whole = |text: &str| text.parse::<u32>().is_ok();
                (value.is_u64() || text.is_some_and(is_whole)) && is_number_within(1.0..=1000.0)
            }
            "backoff_factor" => is_number_within(1.0..=100.0),
            "jitter" => is_one_of(&["none", "full", "equal", "decorrelated"]),
            "log_retries" => {
                value.is_boolean()
                    || is_one_of(&["true", "1", "yes", "on", "false", "0", "no", "off"])
            }
            "max_elapsed" if is_one_of(&["none", "None", "NONE"]) => true,
            _ => is_number_within(1e-9..=86_400.0),
        }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_i128() {
            Some(number) => number.to_string(),
            None => format!("{:?}", number.as_f64().expect("any number is a float")),
        },
        Value::String(text) => cut(text, |text| format!("{text:?}")),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}

/// Returns whether the setting has this value in the configuration.
pub(crate) fn says(config: RetryConfig, key: &str, value: &Value) -> bool {
    let text = value.as_str().map(str::trim);
    let number = value.as_f64().or_else(|| text?.parse().ok());
    let is_time = |time: Option<Duration>| match (time, number) {
        // Times are rounded to nanoseconds, but not to zero.
        (Some(time), Some(seconds)) => {
            (time.as_secs_f64() - seconds).abs() < 1e-9 && !time.is_zero()
        }
        (time, _) => time.is_some() == value.is_string(),
    };
    let is_none = text.is_some_and(|text| text.eq_ignore_ascii_case("none"));
    match key {
        "max_attempts" => {
            let number = value.as_u64().or_else(|| text?.parse().ok());
            config.max_attempts.map(u64::from) == number
        }
        "backoff_factor" => config.backoff_factor == number,
        "initial_delay" => is_time(config.initial_delay),
        "max_delay" => is_time(config.max_delay),
        "max_retry_after" => is_time(config.max_retry_after),
        "max_elapsed" => {
            (config.max_elapsed == Some(Duration::MAX)) == is_none && is_time(config.max_elapsed)
        }
        "jitter" => match (entries(config).get(key), text) {
            (Some(Value::String(jitter)), Some(text)) => jitter.eq_ignore_ascii_case(text),
            (jitter, _) => jitter.is_none() && value.is_null(),
        },
        "log_retries" => {
            let word = || match &*text?.to_ascii_lowercase() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            };
            config.log_retries == value.as_bool().or_else(word)
        }
        _ => false,
    }
}

/// Checks the invariants of a configuration from any source.
pub(crate) fn holds(config: RetryConfig) {
    is_within_limits(config);
    makes_a_policy(config);
    precedence_is_per_field(config);
    reads_the_same_when_written::<Toml, _>(&config);
    reads_the_same_when_written::<Json, _>(&config);
    // Reading YAML takes most of the time, so it is done once, for a section as in the README.
    reads_the_same_when_written::<Yaml, _>(&Settings { retry: config });
}

fn is_within_limits(config: RetryConfig) {
    const DAY: Duration = Duration::from_hours(24);

    assert!(config.max_attempts.is_none_or(|attempts| (1..=1000).contains(&attempts)));
    assert!(config.backoff_factor.is_none_or(|factor| (1.0..=100.0).contains(&factor)));
    let deadline = config.max_elapsed.filter(|deadline| *deadline != Duration::MAX);
    for time in [config.initial_delay, config.max_delay, config.max_retry_after, deadline] {
        assert!(time.is_none_or(|time| !time.is_zero() && time <= DAY), "{time:?}");
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
                max_retry_after: Some(policy.max_retry_after()),
                max_elapsed: policy.max_elapsed(),
                jitter: Some(policy.jitter()),
                log_retries: Some(policy.logging()),
            };
            let expected = RetryConfig {
                max_attempts: config.max_attempts.or(Some(default.max_attempts())),
                backoff_factor: config.backoff_factor.or(Some(default.factor())),
                initial_delay: config.initial_delay.or(Some(default.initial_delay())),
                max_delay: Some(max_delay),
                max_retry_after: config.max_retry_after.or(Some(max_delay)),
                max_elapsed: config.max_elapsed.filter(|deadline| *deadline != Duration::MAX),
                jitter: config.jitter.or(Some(default.jitter())),
                log_retries: config.log_retries.or(Some(default.logging())),
            };
            assert_eq!(set, expected);
            replaces_a_deadline(config);
        }
        Err(error) => {
            assert_eq!(error.key(), "initial_delay");
            assert!(config.initial_delay.is_some_and(|delay| delay > max_delay), "{error}");
            assert_eq!(error.value(), entries(config)["initial_delay"].as_str());
            assert!(error.allowed().starts_with("at most max_delay, which is "), "{error}");
        }
    }
}

/// Checks that `none` removes the deadline of a policy, unless the policy's attempts are unlimited.
fn replaces_a_deadline(config: RetryConfig) {
    const OURS: RetryPolicy = RetryPolicy::new()
        .with_max_delay(Duration::from_hours(24))
        .with_max_elapsed(Duration::from_secs(77));
    let expected = match config.max_elapsed {
        None => OURS.max_elapsed(),
        Some(Duration::MAX) => None,
        deadline => deadline,
    };
    let policy = config.apply_to(OURS).expect("a valid configuration makes a policy");
    assert_eq!(policy.max_elapsed(), expected);
    let is_none = config.max_elapsed == Some(Duration::MAX);
    match config.apply_to(OURS.with_max_attempts(u32::MAX)) {
        Ok(policy) => {
            assert!(config.max_attempts.is_some() || !is_none);
            assert_eq!(policy.max_elapsed(), expected);
        }
        Err(error) => {
            assert!(config.max_attempts.is_none() && is_none, "{error}");
            assert_eq!((error.key(), error.value()), ("max_elapsed", Some("none")));
        }
    }
}

/// A configuration in which every setting differs from its default.
const FULL: RetryConfig = RetryConfig {
    max_attempts: Some(7),
    backoff_factor: Some(1.5),
    initial_delay: Some(Duration::from_millis(250)),
    max_delay: Some(Duration::from_secs(90)),
    max_retry_after: Some(Duration::from_mins(2)),
    max_elapsed: Some(Duration::from_hours(1)),
    jitter: Some(Jitter::Equal),
    log_retries: Some(false),
};

/// Returns the entries of a configuration as they appear in a file.
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
