//! Invariants of every environment.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::ptr;

use retry_ext::RetryConfig;
use serde_json::{Map, Value};

use crate::config::{SETTINGS, Setting, cut, entries, holds, says};

type Variables<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// Checks an environment. The bytes are the prefix and then the variables, each followed by a zero
/// byte, as in `env -0`.
pub fn environment(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let Some(Ok(prefix)) = parts.next().map(str::from_utf8) else { return };
    if prefix.contains(char::REPLACEMENT_CHARACTER) {
        return; // The replacement character also begins names that are not UTF-8.
    }
    let variables: Variables<'_> = parts.filter_map(variable).collect();
    let config = read(&variables, prefix);

    let underscore = if prefix.is_empty() || prefix.ends_with('_') { "" } else { "_" };
    let prefix = format!("{prefix}{underscore}");
    let mut file = Map::new();
    let mut wrong = Vec::new();
    for (name, value) in &variables {
        let name = String::from_utf8_lossy(name);
        let Some(key) = name.strip_prefix(&prefix) else { continue };
        match SETTINGS.iter().find(|setting| setting.variable == key) {
            Some(setting) => match as_in_a_file(setting, value) {
                Some(value) => {
                    file.insert(setting.key.to_owned(), value);
                }
                None => wrong.push(not_allowed(&name, value, setting)),
            },
            None if prefix.is_empty() => {}
            None => wrong.push(unknown(&name, &prefix)),
        }
    }
    match config {
        Ok(config) => {
            assert_eq!(wrong, Vec::<String>::new(), "is not allowed");
            for (key, value) in &file {
                assert!(says(config, key, value), "{key} is {value} in {config:?}");
            }
            assert_eq!(serde_json::from_value(file.into()).ok(), Some(config), "as in a file");
            holds(config);
            reads_the_same_when_exported(config);
        }
        Err(error) => {
            assert!(wrong.contains(&error.to_string()), "none of {wrong:?} is: {error}");
            let value = error.value().map(|value| format!(": `{value}` is not allowed; use "));
            let value = value.as_deref().unwrap_or(": there is no such setting; use ");
            let (key, allowed) = (error.key(), error.allowed());
            for shown in [key, error.value().unwrap_or_default()] {
                assert!(shown.chars().count() <= 64, "{shown}");
                assert!(!shown.chars().any(char::is_control), "{shown}");
            }
            assert_eq!(error.to_string(), format!("environment variable {key}{value}{allowed}"));
        }
    }
}

fn variable(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = part.iter().position(|byte| *byte == b'=').filter(|end| *end > 0)?;
    Some((&part[..end], &part[end + 1..]))
}

/// Returns the value in a file that means the same as this text in the environment, if there is
/// one.
fn as_in_a_file(setting: &Setting, text: &[u8]) -> Option<Value> {
    let value: Value = str::from_utf8(text).ok()?.into();
    let alone = Map::from_iter([(setting.key.to_owned(), value.clone())]);
    serde_json::from_value::<RetryConfig>(alone.into()).ok().map(|_| value)
}

fn not_allowed(name: &str, value: &[u8], setting: &Setting) -> String {
    let shown = String::from_utf8_lossy(value);
    let (name, shown, allowed) = (escaped(name), escaped(&shown), setting.allowed);
    format!("environment variable {name}: `{shown}` is not allowed; use {allowed}")
}

fn unknown(name: &str, prefix: &str) -> String {
    let prefix = prefix.escape_debug();
    let known = SETTINGS.map(|setting| format!("{prefix}{}", setting.variable)).join(", ");
    let name = escaped(name);
    format!("environment variable {name}: there is no such setting; use one of {known}")
}

fn escaped(text: &str) -> String {
    cut(text, |text| text.escape_debug().to_string())
}

fn reads_the_same_when_exported(config: RetryConfig) {
    let entries = entries(config);
    let exported = entries.iter().map(|(key, value)| {
        let setting = SETTINGS.iter().find(|setting| setting.key == key).expect("it was written");
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (format!("APP_{}", setting.variable), text)
    });
    let exported: Vec<_> = exported.collect();
    let variables =
        exported.iter().map(|(name, text)| (name.as_bytes(), text.as_bytes())).collect();
    assert_eq!(read(&variables, "APP"), Ok(config), "exported as {exported:?}");
}

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// Reads a configuration from an environment that consists of these variables.
///
/// The variables are not set with `set_var`, because the C library keeps each variable that was
/// ever set: a fuzzer would run out of memory.
fn read(variables: &Variables<'_>, prefix: &str) -> Result<RetryConfig, retry_ext::ConfigError> {
    struct Outside(*const *const c_char);

    impl Drop for Outside {
        fn drop(&mut self) {
            // SAFETY: no other thread reads the environment, see below.
            unsafe { environ = self.0 }
        }
    }

    let lines: Vec<CString> = variables
        .iter()
        .map(|(name, value)| CString::new([name, &b"="[..], value].concat()))
        .collect::<Result<_, _>>()
        .expect("a zero byte ends a part");
    let table: Vec<*const c_char> =
        lines.iter().map(|line| line.as_ptr()).chain([ptr::null()]).collect();
    // SAFETY: a replay has one thread, and the fuzzer's threads do not read the environment. The
    // table ends with a null pointer, and outlives its use: `_outside` is dropped before the table.
    let _outside = unsafe {
        let outside = Outside(environ);
        environ = table.as_ptr();
        outside
    };
    RetryConfig::from_env_prefixed(prefix)
}
