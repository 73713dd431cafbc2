//! A `RetryConfig` as a section of settings, read by `config`, `envy` and `figment`.
//!
//! `config` without `try_parsing` and `envy` return every variable as text. `config` with
//! `try_parsing` and `figment` guess the type of each variable.

#![expect(clippy::result_large_err, reason = "the closures return the error of figment's jail")]

use std::collections::HashMap;
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use retry_ext::{Jitter, RetryConfig, RetryPolicy};
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize)]
struct Settings {
    #[serde(default)]
    retry: RetryConfig,
}

const ATTEMPTS: &str = "a whole number from 1 to 1000";

/// Settings of every type, as an operator writes them.
const VARIABLES: [(&str, &str); 8] = [
    ("MAX_ATTEMPTS", "5"),
    ("BACKOFF_FACTOR", "2.0"),
    ("INITIAL_DELAY", "250ms"),
    ("MAX_DELAY", "90"),
    ("MAX_RETRY_AFTER", "1.5"),
    ("MAX_ELAPSED", "none"),
    ("JITTER", "Full"),
    ("LOG_RETRIES", "false"),
];

const EXPECTED: RetryConfig = RetryConfig {
    max_attempts: Some(5),
    backoff_factor: Some(2.0),
    initial_delay: Some(Duration::from_millis(250)),
    max_delay: Some(Duration::from_secs(90)),
    max_retry_after: Some(Duration::from_millis(1_500)),
    max_elapsed: Some(Duration::MAX),
    jitter: Some(Jitter::Full),
    log_retries: Some(false),
};

/// A reader of the section from variables, whose names are keys.
type Reader = fn(&[(&str, &str)]) -> Result<RetryConfig, String>;

const READERS: [(&str, Reader); 4] = [
    ("config", |variables| with_config(variables, false)),
    ("config with try_parsing", |variables| with_config(variables, true)),
    ("envy", with_envy),
    ("figment", with_figment),
];

fn with_config(variables: &[(&str, &str)], try_parsing: bool) -> Result<RetryConfig, String> {
    let source: HashMap<String, String> = variables
        .iter()
        .map(|(key, value)| (format!("APP__RETRY__{key}"), (*value).to_owned()))
        .collect();
    let environment = Environment::with_prefix("APP").prefix_separator("__").separator("__");
    let environment = environment.try_parsing(try_parsing).source(Some(source));
    let settings = Config::builder().add_source(environment).build().expect("it only gathers");
    let settings: Result<Settings, _> = settings.try_deserialize();
    settings.map(|settings| settings.retry).map_err(|error| error.to_string())
}

fn with_envy(variables: &[(&str, &str)]) -> Result<RetryConfig, String> {
    let variables =
        variables.iter().map(|(key, value)| (format!("RETRY_{key}"), (*value).to_owned()));
    envy::prefixed("RETRY_").from_iter(variables).map_err(|error| error.to_string())
}

/// Sets the variables of this process for a moment.
fn with_figment(variables: &[(&str, &str)]) -> Result<RetryConfig, String> {
    let mut read = Err("not read".to_owned());
    figment::Jail::expect_with(|jail| {
        for (key, value) in variables {
            jail.set_env(format!("APP_RETRY__{key}"), value);
        }
        let figment = Figment::from(Env::prefixed("APP_").split("__"));
        let settings: Result<Settings, _> = figment.extract();
        read = settings.map(|settings| settings.retry).map_err(|error| error.to_string());
        Ok(())
    });
    read
}

#[test]
fn p32_every_type_of_setting_is_read_from_variables() {
    for (name, read) in READERS {
        assert_eq!(read(&VARIABLES), Ok(EXPECTED), "{name}");
    }
}

#[test]
fn p32_text_is_read_by_the_words_of_the_environment() {
    for (name, read) in READERS {
        for (word, log) in [("true", true), ("yes", true), ("On", true), ("no", false)] {
            let expected = RetryConfig { log_retries: Some(log), ..RetryConfig::default() };
            assert_eq!(read(&[("LOG_RETRIES", word)]), Ok(expected), "{name}: {word}");
        }
        let expected = RetryConfig { max_elapsed: Some(Duration::MAX), ..RetryConfig::default() };
        assert_eq!(read(&[("MAX_ELAPSED", "NONE")]), Ok(expected), "{name}");
        let expected = RetryConfig { max_attempts: Some(5), ..RetryConfig::default() };
        assert_eq!(read(&[("MAX_ATTEMPTS", " 5 ")]), Ok(expected), "{name}");
    }
}

#[test]
fn a_digit_is_a_boolean_only_while_it_is_text() {
    let on = RetryConfig { log_retries: Some(true), ..RetryConfig::default() };
    assert_eq!(with_config(&[("LOG_RETRIES", "1")], false), Ok(on));
    assert_eq!(with_envy(&[("LOG_RETRIES", "1")]), Ok(on));
    for read in
        [|variables: &_| with_config(variables, true), |variables: &_| with_figment(variables)]
    {
        let error = read(&[("LOG_RETRIES", "1")]).expect_err("a number by now");
        assert!(error.contains("log_retries: `1` is not allowed; use true or false"), "{error}");
    }
}

#[test]
fn a_wrong_value_is_an_error_that_names_key_value_and_what_is_allowed() {
    for (name, read) in READERS {
        for (key, value, shown, allowed) in [
            ("MAX_ATTEMPTS", "three", "\"three\"", ATTEMPTS),
            ("JITTER", "half", "\"half\"", "none, full, equal or decorrelated"),
            ("LOG_RETRIES", "maybe", "\"maybe\"", "true or false"),
        ] {
            let error = read(&[(key, value)]).expect_err("not allowed");
            let key = key.to_lowercase();
            let text = format!("{key}: `{shown}` is not allowed; use {allowed}");
            assert!(error.contains(&text), "{name}: {error}");
        }
        for value in ["0", "0s", "25h"] {
            let error = read(&[("MAX_ELAPSED", value)]).expect_err("not allowed");
            assert!(error.contains("max_elapsed: `"), "{name}: {error}");
            assert!(
                error.contains("above 0 and up to 24h, or none for no deadline"),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_it_and_the_known_ones() {
    for (name, read) in READERS {
        let error = read(&[("MAX_ATTEMPT", "3")]).expect_err("misspelt");
        assert!(error.contains("unknown field"), "{name}: {error}");
        assert!(error.contains("max_attempt`"), "{name}: {error}");
        assert!(error.contains("max_retry_after`"), "{name}: {error}");
        let error = read(&[(&"X".repeat(1_000), "3")]).expect_err("misspelt");
        let cut = format!("`{}…`", "x".repeat(63));
        assert!(error.contains(&cut), "{name}: {error}");
    }
}

#[test]
fn null_counts_as_not_set() {
    for section in ["null", "{}", r#"{"max_attempts": null, "max_elapsed": null, "jitter": null}"#]
    {
        let file = File::from_str(&format!(r#"{{"retry": {section}}}"#), FileFormat::Json);
        let settings = Config::builder().add_source(file).build().expect("it only gathers");
        let settings: Settings = settings.try_deserialize().expect(section);
        assert_eq!(settings.retry, RetryConfig::default(), "{section}");
    }
    let nothing: Option<u32> = None;
    let figment = Figment::from(Serialized::default("retry.max_attempts", nothing));
    let settings: Settings = figment.extract().expect("null");
    assert_eq!(settings.retry, RetryConfig::default());
    let settings: Settings =
        Figment::from(Serialized::default("retry", nothing)).extract().expect("null");
    assert_eq!(settings.retry, RetryConfig::default());
}

#[test]
fn a_variable_is_laid_over_a_file_field_by_field() {
    const FILE: &str = "[retry]\nmax_attempts = 3\nmax_delay = '5s'\nlog_retries = 'off'\n";
    let expected = RetryConfig {
        max_attempts: Some(5),
        max_delay: Some(Duration::from_secs(5)),
        log_retries: Some(false),
        ..RetryConfig::default()
    };
    figment::Jail::expect_with(|jail| {
        jail.create_file("settings.toml", FILE)?;
        jail.set_env("APP_RETRY__MAX_ATTEMPTS", "5");
        let figment = Figment::from(Toml::file("settings.toml"));
        let settings: Settings = figment.merge(Env::prefixed("APP_").split("__")).extract()?;
        assert_eq!(settings.retry, expected);
        Ok(())
    });
}

#[test]
fn none_from_a_variable_removes_the_programs_deadline() {
    const OURS: RetryPolicy = RetryPolicy::new().with_max_elapsed(Duration::from_secs(10));
    for (name, read) in READERS {
        let config = read(&[("MAX_ELAPSED", "none")]).expect(name);
        assert_eq!(config.apply_to(OURS).expect(name).max_elapsed(), None, "{name}");
    }
}
