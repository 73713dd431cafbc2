//! Configuration from files and from the environment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::{Deserialize, Serialize, Serializer};

use crate::jitter::Jitter;
use crate::policy::RetryPolicy;

/// Retry settings that operators can change without rebuilding, from a settings file or the environment. Needs the
/// feature `config`.
///
/// Every field is optional. [`or`](Self::or) merges two sources, field by field.
/// [`into_policy`](Self::into_policy) makes a policy of the result, with the defaults of [`RetryPolicy::new`] for
/// fields that are not set.
///
/// The settings can be read from any self-describing serde format, for example YAML, TOML or JSON:
///
/// ```
/// use std::time::Duration;
/// use retry_ext::RetryConfig;
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     #[serde(default)]
///     retry: RetryConfig,
/// }
///
/// let settings: Settings = serde_saphyr::from_str("
/// retry:
///   max_attempts: 3
///   backoff_factor: 2.0
///   initial_delay: 1.0
///   max_delay: 60.0
///   log_retries: true
/// ")?;
/// let from_the_environment = RetryConfig::from_env_prefixed("MYAPP_RETRY_")?;
/// let policy = from_the_environment.or(settings.retry).into_policy()?;
/// assert_eq!(policy.max_attempts(), 3);
/// assert_eq!(policy.initial_delay(), Duration::from_secs(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Values may also arrive as text, for example from the crates `config` and `envy`. Text is trimmed and read as in
/// the environment:
///
/// ```
/// # use retry_ext::RetryConfig;
/// let config: RetryConfig = toml::from_str("
/// max_attempts = '5'
/// backoff_factor = ' 2.0 '
/// log_retries = 'no'
/// ")?;
/// assert_eq!((config.max_attempts, config.log_retries), (Some(5), Some(false)));
/// # Ok::<(), toml::de::Error>(())
/// ```
///
/// `max_elapsed = "none"` removes the deadline of a policy; see [`max_elapsed`](Self::max_elapsed).
///
/// Unknown keys, wrong types and out-of-range values are errors at load time. Nothing is silently replaced, and
/// nothing panics. An error repeats at most 64 characters of a value or an unknown key, with control characters
/// escaped. `null` counts as not set, for a key and for the whole section.
///
/// Give the section its own field: serde's `flatten` cannot separate the section's unknown keys from the settings
/// around it.
///
/// # Keys
///
#[doc = include_str!("../docs/configuration-keys.md")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RetryConfig {
    /// The largest number of calls of the operation, the first call included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// The factor between one delay and the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_factor: Option<f64>,
    /// The delay before the first retry.
    #[serde(serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// The cap of every delay.
    #[serde(serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// The longest `retry_after` hint that is obeyed; `max_delay` if it is not set.
    ///
    /// ```
    /// # use retry_ext::RetryConfig;
    /// let config: RetryConfig = toml::from_str("max_delay = '5s'\nmax_retry_after = '2m'")?;
    /// let policy = config.into_policy()?;
    /// assert_eq!((policy.max_delay().as_secs(), policy.max_retry_after().as_secs()), (5, 120));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[serde(serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub max_retry_after: Option<Duration>,
    /// The deadline, from the start of the first attempt.
    ///
    /// [`Duration::MAX`], written `none`, removes the deadline of the policy in [`apply_to`](Self::apply_to). It
    /// is refused if the attempts of that policy are unlimited (`u32::MAX`), because such a retry might never end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use retry_ext::{RetryConfig, RetryPolicy};
    ///
    /// const OURS: RetryPolicy = RetryPolicy::new().with_max_elapsed(Duration::from_secs(10));
    ///
    /// let config: RetryConfig = toml::from_str("max_elapsed = 'none'")?;
    /// assert_eq!(config.max_elapsed, Some(Duration::MAX));
    /// assert_eq!(config.apply_to(OURS)?.max_elapsed(), None);
    ///
    /// let error = config.apply_to(OURS.with_max_attempts(u32::MAX)).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "retry configuration, max_elapsed: `none` is not allowed; use a duration, or set max_attempts: \
    ///      attempts are unlimited"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[serde(serialize_with = "shown_deadline", skip_serializing_if = "Option::is_none")]
    pub max_elapsed: Option<Duration>,
    /// The jitter, which spreads out the delays.
    #[serde(serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
    /// Whether retries are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_retries: Option<bool>,
}

/// Reads a table into a `RetryConfig`. It is a separate type because the code that serde derives with `remote` is
/// as public as the type that carries the derive.
#[derive(Deserialize)]
#[serde(default = "RetryConfig::default", deny_unknown_fields, remote = "RetryConfig")]
struct Table {
    #[serde(deserialize_with = "max_attempts")]
    max_attempts: Option<u32>,
    #[serde(deserialize_with = "backoff_factor")]
    backoff_factor: Option<f64>,
    #[serde(deserialize_with = "initial_delay")]
    initial_delay: Option<Duration>,
    #[serde(deserialize_with = "max_delay")]
    max_delay: Option<Duration>,
    #[serde(deserialize_with = "max_retry_after")]
    max_retry_after: Option<Duration>,
    #[serde(deserialize_with = "max_elapsed")]
    max_elapsed: Option<Duration>,
    #[serde(deserialize_with = "jitter")]
    jitter: Option<Jitter>,
    #[serde(deserialize_with = "log_retries")]
    log_retries: Option<bool>,
}

/// The keys of a file.
const KEYS: &[&str] = &[
    "max_attempts",
    "backoff_factor",
    "initial_delay",
    "max_delay",
    "max_retry_after",
    "max_elapsed",
    "jitter",
    "log_retries",
];

/// The environment's names of the keys, without the prefix.
const VARIABLES: [&str; 8] = [
    "MAX_ATTEMPTS",
    "BACKOFF_FACTOR",
    "INITIAL_DELAY",
    "MAX_DELAY",
    "MAX_RETRY_AFTER",
    "MAX_ELAPSED",
    "JITTER",
    "LOG",
];

impl RetryConfig {
    /// Reads the environment, by the names in [Keys](#keys).
    ///
    /// On Windows, names match in any case, as everywhere on that system.
    ///
    /// # Errors
    ///
    /// Returns the first variable that is empty, not UTF-8, of the wrong type or outside its limits. Any other
    /// variable that begins with `RETRY_` is also an error, so that a misspelt setting does not go unnoticed.
    ///
    /// ```no_run
    /// use retry_ext::RetryConfig;
    ///
    /// let policy = RetryConfig::from_env()?.into_policy()?;
    /// # assert_eq!(policy.max_attempts(), 3);
    /// # Ok::<(), retry_ext::ConfigError>(())
    /// ```
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_env_prefixed("RETRY_")
    }

    /// Reads the environment like [`from_env`](Self::from_env), with another prefix than `RETRY_`. The underscore
    /// at the end of the prefix may be left out.
    ///
    /// Choose a prefix that no other variable begins with, such as `MYAPP_RETRY_`. Variables with the prefix that
    /// are not settings are errors, even if they belong to another, longer prefix. With an empty prefix, unknown
    /// variables are ignored, and variables such as `LOG` and `JITTER` are settings.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_env`](Self::from_env), for this prefix.
    ///
    /// ```
    /// use retry_ext::RetryConfig;
    ///
    /// let config = RetryConfig::from_env_prefixed("MYAPP_RETRY_")?; // MYAPP_RETRY_MAX_ATTEMPTS …
    /// assert_eq!(config, RetryConfig::default());
    /// # Ok::<(), retry_ext::ConfigError>(())
    /// ```
    pub fn from_env_prefixed(prefix: &str) -> Result<Self, ConfigError> {
        Self::from_variables(env::vars_os(), prefix, cfg!(windows))
    }

    fn from_variables(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        prefix: &str,
        any_case: bool,
    ) -> Result<Self, ConfigError> {
        let underscore = if prefix.is_empty() || prefix.ends_with('_') { "" } else { "_" };
        let prefix = format!("{prefix}{underscore}");
        let mut config = Self::default();
        for (name, value) in variables {
            // A name that is not UTF-8 is never a setting, but may have the prefix of the settings.
            let name = name.to_string_lossy();
            let Some(key) = without_prefix(&name, &prefix, any_case) else { continue };
            let is_key = |known: &&&str| without_prefix(key, known, any_case) == Some("");
            let name = &*name;
            match VARIABLES.iter().find(is_key).copied() {
                Some("MAX_ATTEMPTS") => config.max_attempts = Some(variable(name, &value)?),
                Some("BACKOFF_FACTOR") => config.backoff_factor = Some(variable(name, &value)?),
                Some("INITIAL_DELAY") => config.initial_delay = Some(variable(name, &value)?),
                Some("MAX_DELAY") => config.max_delay = Some(variable(name, &value)?),
                Some("MAX_RETRY_AFTER") => config.max_retry_after = Some(variable(name, &value)?),
                Some("MAX_ELAPSED") => {
                    config.max_elapsed = Some(variable::<Deadline>(name, &value)?.0);
                }
                Some("JITTER") => config.jitter = Some(variable(name, &value)?),
                Some("LOG") => config.log_retries = Some(variable(name, &value)?),
                _ if prefix.is_empty() => {}
                _ => return Err(unknown_variable(name, &prefix)),
            }
        }
        Ok(config)
    }

    /// Fills the fields that are not set from `fallback`, field by field. The order of precedence is therefore the
    /// order of reading: `in_code.or(environment).or(file)`.
    ///
    /// ```
    /// use retry_ext::{Jitter, RetryConfig};
    ///
    /// let environment = RetryConfig { max_attempts: Some(5), ..RetryConfig::default() };
    /// let file = RetryConfig { max_attempts: Some(2), jitter: Some(Jitter::Full), ..RetryConfig::default() };
    /// let both = environment.or(file);
    /// assert_eq!((both.max_attempts, both.jitter), (Some(5), Some(Jitter::Full)));
    /// ```
    #[must_use = "`or` returns the filled configuration and leaves both as they were"]
    pub fn or(self, fallback: Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(fallback.max_attempts),
            backoff_factor: self.backoff_factor.or(fallback.backoff_factor),
            initial_delay: self.initial_delay.or(fallback.initial_delay),
            max_delay: self.max_delay.or(fallback.max_delay),
            max_retry_after: self.max_retry_after.or(fallback.max_retry_after),
            max_elapsed: self.max_elapsed.or(fallback.max_elapsed),
            jitter: self.jitter.or(fallback.jitter),
            log_retries: self.log_retries.or(fallback.log_retries),
        }
    }

    /// Makes a policy, with the defaults for fields that are not set. All limits are checked here, including those
    /// of values that were set in code. The method does not panic. A program with its own defaults uses
    /// [`apply_to`](Self::apply_to).
    ///
    /// # Errors
    ///
    /// Returns the first value outside its limits. An `initial_delay` above `max_delay`, and a `max_elapsed` of
    /// `none` if attempts are unlimited, are also errors.
    ///
    /// ```
    /// use std::time::Duration;
    /// use retry_ext::RetryConfig;
    ///
    /// let config = RetryConfig { initial_delay: Some(Duration::from_secs(90)), ..RetryConfig::default() };
    /// assert_eq!(
    ///     config.into_policy().unwrap_err().to_string(),
    ///     "retry configuration, initial_delay: `1m 30s` is not allowed; use at most max_delay, which is 1m"
    /// );
    /// ```
    pub fn into_policy(self) -> Result<RetryPolicy, ConfigError> {
        self.apply_to(RetryPolicy::new())
    }

    /// Applies the fields that are set to the program's own policy, whose other settings stay.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`into_policy`](Self::into_policy).
    ///
    /// ```
    /// use retry_ext::{Backoff, RetryConfig, RetryPolicy};
    ///
    /// const OURS: RetryPolicy = RetryPolicy::new().with_backoff(Backoff::linear()).with_name("fetch");
    ///
    /// let config = RetryConfig { max_attempts: Some(5), ..RetryConfig::default() };
    /// let policy = config.apply_to(OURS)?;
    /// assert_eq!(policy.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    /// assert_eq!(policy.name(), Some("fetch"));
    /// # Ok::<(), retry_ext::ConfigError>(())
    /// ```
    pub fn apply_to(self, mut policy: RetryPolicy) -> Result<RetryPolicy, ConfigError> {
        if let Some(max_attempts) = checked("max_attempts", self.max_attempts)? {
            policy = policy.with_max_attempts(max_attempts);
        }
        if let Some(factor) = checked("backoff_factor", self.backoff_factor)? {
            policy = policy.with_factor(factor);
        }
        if let Some(initial_delay) = checked("initial_delay", self.initial_delay)? {
            policy = policy.with_initial_delay(initial_delay);
        }
        if let Some(max_delay) = checked("max_delay", self.max_delay)? {
            policy = policy.with_max_delay(max_delay);
        }
        if let Some(max_retry_after) = checked("max_retry_after", self.max_retry_after)? {
            policy = policy.with_max_retry_after(max_retry_after);
        }
        if let Some(deadline) = checked("max_elapsed", self.max_elapsed.map(Deadline))? {
            policy = match deadline {
                Deadline::NONE if policy.max_attempts() == u32::MAX => {
                    let allowed = "a duration, or set max_attempts: attempts are unlimited";
                    return Err(not_allowed("max_elapsed", &deadline.show(), allowed.into()));
                }
                Deadline::NONE => policy.without_max_elapsed(),
                Deadline(max_elapsed) => policy.with_max_elapsed(max_elapsed),
            };
        }
        if let Some(jitter) = self.jitter {
            policy = policy.with_jitter(jitter);
        }
        if let Some(log_retries) = self.log_retries {
            policy = policy.with_logging(log_retries);
        }
        let max_delay = policy.max_delay();
        if let Some(initial_delay) = self.initial_delay.filter(|delay| *delay > max_delay) {
            let allowed = format!("at most max_delay, which is {}", max_delay.show());
            return Err(not_allowed("initial_delay", &initial_delay.show(), allowed));
        }
        Ok(policy)
    }
}

/// Converts with [`RetryConfig::into_policy`].
impl TryFrom<RetryConfig> for RetryPolicy {
    type Error = ConfigError;

    fn try_from(config: RetryConfig) -> Result<Self, ConfigError> {
        config.into_policy()
    }
}

/// A value that a configuration does not allow: its origin, the value, and the allowed values.
///
/// For a value in a file, the file format's own error has the same text and the position in the file.
///
/// Key and value are escaped, so that neither adds a line to a log, and cut after 64 characters.
///
/// ```
/// use retry_ext::RetryConfig;
///
/// let config = RetryConfig { max_attempts: Some(0), ..RetryConfig::default() };
/// let error = config.into_policy().unwrap_err();
/// assert_eq!((error.key(), error.value()), ("max_attempts", Some("0")));
/// assert_eq!(error.allowed(), "a whole number from 1 to 1000");
/// assert_eq!(
///     error.to_string(),
///     "retry configuration, max_attempts: `0` is not allowed; use a whole number from 1 to 1000"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}{key}: {}", Complaint::new(.value.as_deref(), .allowed))]
pub struct ConfigError {
    origin: &'static str,
    key: String,
    value: Option<String>,
    allowed: String,
}

impl ConfigError {
    /// Returns the key, or the name of the environment variable.
    ///
    /// ```
    /// # use retry_ext::RetryConfig;
    /// let config = RetryConfig { backoff_factor: Some(0.5), ..RetryConfig::default() };
    /// assert_eq!(config.into_policy().unwrap_err().key(), "backoff_factor");
    /// ```
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the value that is not allowed, or `None` if the key does not exist. The value of an unknown
    /// variable is not repeated, because it may be another program's secret.
    ///
    /// ```
    /// # use retry_ext::RetryConfig;
    /// let config = RetryConfig { backoff_factor: Some(f64::NAN), ..RetryConfig::default() };
    /// assert_eq!(config.into_policy().unwrap_err().value(), Some("NaN"));
    /// ```
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Returns a description of the allowed values.
    ///
    /// ```
    /// # use retry_ext::RetryConfig;
    /// let config = RetryConfig { backoff_factor: Some(0.5), ..RetryConfig::default() };
    /// assert_eq!(config.into_policy().unwrap_err().allowed(), "a number from 1 to 100");
    /// ```
    #[must_use]
    pub fn allowed(&self) -> &str {
        &self.allowed
    }
}

/// Escapes a text from outside for one line of a message, and cuts it to at most [`LONGEST`] characters. Escape
/// sequences stay whole.
fn quoted(text: &str, escape: impl Fn(&str) -> String) -> String {
    // When escaped, each character becomes at least one.
    let beyond = text.char_indices().nth(LONGEST);
    if beyond.is_none() {
        let whole = escape(text);
        if whole.chars().count() <= LONGEST {
            return whole;
        }
    }
    let ends = text.char_indices().map(|(end, _)| end).take(LONGEST);
    let starts = ends.map(|end| escape(&text[..end]));
    let cut = starts.take_while(|start| start.chars().count() < LONGEST).last();
    cut.unwrap_or_default() + "…"
}

/// The largest number of characters of a value or a name in a message.
const LONGEST: usize = 64;

fn escaped(text: &str) -> String {
    quoted(text, |text| text.escape_debug().to_string())
}

fn escaped_with_quotes(text: &str) -> String {
    quoted(text, |text| format!("{text:?}"))
}

const CONFIGURATION: &str = "retry configuration, ";
const ENVIRONMENT: &str = "environment variable ";

/// The text that all sources share for a value that is not allowed.
struct Complaint<'a> {
    value: Option<&'a str>,
    allowed: &'a str,
}

impl<'a> Complaint<'a> {
    fn new(value: Option<&'a str>, allowed: &'a str) -> Self {
        Self { value, allowed }
    }
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "`{value}` is not allowed; use {}", self.allowed),
            None => write!(f, "there is no such setting; use {}", self.allowed),
        }
    }
}

/// A type of value: its forms in the environment and in files, and its limits.
trait Setting: Copy {
    const ALLOWED: &'static str;

    /// Reads a text without surrounding white space.
    fn from_text(text: &str) -> Option<Self>;
    /// Reads a value of a file that is not text.
    fn from_raw(raw: &Raw) -> Option<Self>;
    fn is_within_limits(&self) -> bool;
    fn show(&self) -> String;
}

impl Setting for u32 {
    const ALLOWED: &'static str = "a whole number from 1 to 1000";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_raw(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Integer(number) => Self::try_from(*number).ok(),
            _ => None,
        }
    }

    fn is_within_limits(&self) -> bool {
        (1..=1000).contains(self)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for f64 {
    const ALLOWED: &'static str = "a number from 1 to 100";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "what is within the limits is exact")]
    fn from_raw(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Integer(number) => Some(*number as Self),
            Raw::Float(number) => Some(*number),
            _ => None,
        }
    }

    fn is_within_limits(&self) -> bool {
        // No range contains NaN.
        (1.0..=100.0).contains(self)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    const ALLOWED: &'static str =
        "seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and up to 24h";

    fn from_text(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(seconds) => Self::try_from_secs_f64(seconds).ok(),
            Err(_) => humantime::parse_duration(text).ok(),
        }
    }

    fn from_raw(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Integer(seconds) => u64::try_from(*seconds).ok().map(Self::from_secs),
            Raw::Float(seconds) => Self::try_from_secs_f64(*seconds).ok(),
            _ => None,
        }
    }

    fn is_within_limits(&self) -> bool {
        !self.is_zero() && *self <= Self::from_secs(24 * 60 * 60)
    }

    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// A `max_elapsed`: a duration, or [`Duration::MAX`] for no deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deadline(Duration);

impl Deadline {
    const NONE: Self = Self(Duration::MAX);
}

impl Setting for Deadline {
    const ALLOWED: &'static str = "seconds (1.5) or a duration with units (250ms, 1m 30s), above 0 and \
                                   up to 24h, or none for no deadline";

    fn from_text(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("none") {
            return Some(Self::NONE);
        }
        // `Duration::MAX` written as a duration is not `none`.
        Duration::from_text(text).filter(Duration::is_within_limits).map(Self)
    }

    fn from_raw(raw: &Raw) -> Option<Self> {
        Duration::from_raw(raw).filter(Duration::is_within_limits).map(Self)
    }

    fn is_within_limits(&self) -> bool {
        *self == Self::NONE || self.0.is_within_limits()
    }

    fn show(&self) -> String {
        if *self == Self::NONE { "none".to_owned() } else { self.0.show() }
    }
}

const JITTERS: [(&str, Jitter); 4] = [
    ("none", Jitter::None),
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("decorrelated", Jitter::Decorrelated),
];

impl Setting for Jitter {
    const ALLOWED: &'static str = "none, full, equal or decorrelated";

    fn from_text(text: &str) -> Option<Self> {
        let known = JITTERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, jitter)| *jitter)
    }

    fn from_raw(_: &Raw) -> Option<Self> {
        None
    }

    fn is_within_limits(&self) -> bool {
        true
    }

    fn show(&self) -> String {
        let known = JITTERS.iter().find(|(_, jitter)| jitter == self);
        known.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }
}

impl Setting for bool {
    const ALLOWED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn from_raw(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn is_within_limits(&self) -> bool {
        true
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Checks a value that was set, from any source.
fn checked<T: Setting>(key: &str, value: Option<T>) -> Result<Option<T>, ConfigError> {
    match value {
        Some(value) if !value.is_within_limits() => {
            Err(not_allowed(key, &value.show(), T::ALLOWED.into()))
        }
        value => Ok(value),
    }
}

fn not_allowed(key: &str, value: &str, allowed: String) -> ConfigError {
    ConfigError { origin: CONFIGURATION, key: key.into(), value: Some(escaped(value)), allowed }
}

fn variable<T: Setting>(name: &str, value: &OsStr) -> Result<T, ConfigError> {
    let read = value.to_str().and_then(|text| T::from_text(text.trim()));
    read.filter(T::is_within_limits).ok_or_else(|| ConfigError {
        origin: ENVIRONMENT,
        key: escaped(name),
        value: Some(escaped(&value.to_string_lossy())),
        allowed: T::ALLOWED.into(),
    })
}

fn unknown_variable(name: &str, prefix: &str) -> ConfigError {
    // The program chose the prefix, so only its control characters are of concern.
    let prefix = prefix.escape_debug();
    let known = VARIABLES.map(|key| format!("{prefix}{key}")).join(", ");
    ConfigError {
        origin: ENVIRONMENT,
        key: escaped(name),
        value: None,
        allowed: format!("one of {known}"),
    }
}

/// Returns the part of `name` after `prefix`. On Windows, `any_case` is set: there, names that differ only in case
/// are one variable.
fn without_prefix<'a>(name: &'a str, prefix: &str, any_case: bool) -> Option<&'a str> {
    let mut rest = name.chars();
    for expected in prefix.chars() {
        let found = rest.next()?;
        let same_letter = any_case && found.to_uppercase().eq(expected.to_uppercase());
        if found != expected && !same_letter {
            return None;
        }
    }
    Some(rest.as_str())
}

/// A value in a file, before its type is known, so that an error can repeat it.
enum Raw {
    Nothing,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List,
    Map,
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(&escaped_with_quotes(text)),
            Self::List => f.write_str("a list"),
            Self::Map => f.write_str("a table"),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Raw, D::Error> {
        Raw::deserialize(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Raw::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        // serde_json passes a number in this form if any crate enables its feature `arbitrary_precision`.
        const NUMBER: &str = "$serde_json::private::Number";
        match map.next_key::<String>()? {
            Some(key) if key == NUMBER => {
                // Anything else than a number is a table, which the setting refuses by its name.
                let digits: String = map.next_value()?;
                let integer = digits.parse().map(Raw::Integer);
                let number = integer.or_else(|_| digits.parse().map(Raw::Float));
                return Ok(number.unwrap_or(Raw::Map));
            }
            Some(_) => {
                map.next_value::<IgnoredAny>()?;
            }
            None => {}
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Raw::Map)
    }
}

/// Implemented by hand, because the derived code would also take a list for the fields in their order. An empty
/// list would then pass for a configuration.
impl<'de> Deserialize<'de> for RetryConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RetryConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of retry settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RetryConfig, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(Known(map)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RetryConfig, E> {
                let shown = format!("string {}", escaped_with_quotes(text));
                Err(E::invalid_type(Unexpected::Other(&shown), &self))
            }

            fn visit_unit<E>(self) -> Result<RetryConfig, E> {
                Ok(RetryConfig::default())
            }

            fn visit_none<E>(self) -> Result<RetryConfig, E> {
                Ok(RetryConfig::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<RetryConfig, D::Error> {
                some.deserialize_any(Keys)
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

/// A table whose keys are all known. The derived code would repeat an unknown key in full.
struct Known<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Known<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(Key(key)) = self.0.next_key()? else { return Ok(None) };
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// One of [`KEYS`].
struct Key(&'static str);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a retry setting")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
                match KEYS.iter().find(|key| **key == name) {
                    Some(key) => Ok(Key(key)),
                    None => Err(E::unknown_field(&escaped(name), KEYS)),
                }
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

fn setting<'de, T: Setting, D: Deserializer<'de>>(
    key: &str,
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Raw::deserialize(deserializer)?;
    if let Raw::Nothing = raw {
        return Ok(None);
    }
    let value = match &raw {
        Raw::Text(text) => T::from_text(text.trim()),
        raw => T::from_raw(raw),
    };
    value.filter(T::is_within_limits).map(Some).ok_or_else(|| {
        let raw = raw.to_string();
        D::Error::custom(format_args!("{key}: {}", Complaint::new(Some(&raw), T::ALLOWED)))
    })
}

macro_rules! fields {
    ($($key:ident: $type:ty),*) => {$(
        fn $key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<$type>, D::Error> {
            setting(stringify!($key), deserializer)
        }
    )*};
}

fields!(
    max_attempts: u32,
    backoff_factor: f64,
    initial_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
    jitter: Jitter,
    log_retries: bool
);

fn max_elapsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let deadline: Option<Deadline> = setting("max_elapsed", deserializer)?;
    Ok(deadline.map(|deadline| deadline.0))
}

/// Serializes durations with units and jitters by name, in the form in which they are read.
#[expect(clippy::ref_option, reason = "serde's signature")]
fn shown<T: Setting, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| value.show()).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn shown_deadline<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    shown(&value.map(Deadline), serializer)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    /// Reads a number as `serde_json` passes it with its feature `arbitrary_precision`.
    fn arbitrary(digits: &str) -> Result<Raw, Error> {
        let map = HashMap::from([("$serde_json::private::Number", digits)]);
        Raw::deserialize(MapDeserializer::new(map.into_iter()))
    }

    #[test]
    fn numbers_of_arbitrary_precision_are_numbers() {
        let seconds = arbitrary("1.5").map(|raw| Duration::from_raw(&raw));
        assert_eq!(seconds, Ok(Some(Duration::from_millis(1_500))));
        assert_eq!(arbitrary("7").map(|raw| u32::from_raw(&raw)), Ok(Some(7)));
        assert_eq!(arbitrary("seven").map(|raw| raw.to_string()), Ok("a table".to_owned()));
        let map = HashMap::from([("is", "3")]);
        let raw: Result<Raw, Error> = Raw::deserialize(MapDeserializer::new(map.into_iter()));
        assert_eq!(raw.map(|raw| raw.to_string()), Ok("a table".to_owned()));
    }

    #[test]
    fn a_variable_is_read_by_its_type_or_refused_with_what_is_allowed() {
        fn read<T: Setting>(text: &str) -> Result<T, String> {
            variable("NAME", OsStr::new(text)).map_err(|error| {
                assert_eq!((error.key(), error.value()), ("NAME", Some(text)));
                error.allowed().to_owned()
            })
        }
        assert_eq!(read::<u32>(" 12 "), Ok(12));
        assert_eq!(read::<u32>("1.5"), Err(<u32 as Setting>::ALLOWED.to_owned()));
        assert_eq!(read::<f64>("1.5"), Ok(1.5));
        assert_eq!(read::<f64>("0.5"), Err(<f64 as Setting>::ALLOWED.to_owned()));
        assert_eq!(read::<Duration>("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(read::<Duration>("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(read::<Duration>("25h"), Err(<Duration as Setting>::ALLOWED.to_owned()));
        assert_eq!(read::<Deadline>("None"), Ok(Deadline(Duration::MAX)));
        assert_eq!(read::<Deadline>("5"), Ok(Deadline(Duration::from_secs(5))));
        assert_eq!(read::<Deadline>("0s"), Err(<Deadline as Setting>::ALLOWED.to_owned()));
        let longest = "18446744073709551615s 999999999ns";
        assert_eq!(read::<Deadline>(longest), Err(<Deadline as Setting>::ALLOWED.to_owned()));
        assert_eq!(read::<Jitter>("FULL"), Ok(Jitter::Full));
        assert_eq!(read::<Jitter>("half"), Err(<Jitter as Setting>::ALLOWED.to_owned()));
        assert_eq!((read::<bool>("On"), read::<bool>("no")), (Ok(true), Ok(false)));
        assert_eq!(read::<bool>("maybe"), Err(<bool as Setting>::ALLOWED.to_owned()));
    }

    #[test]
    fn every_value_is_shown_as_it_can_be_read() {
        fn there_and_back<T: Setting + PartialEq + fmt::Debug>(value: T) {
            assert!(value.is_within_limits());
            assert_eq!(T::from_text(&value.show()), Some(value));
        }
        there_and_back(7_u32);
        there_and_back(1.25_f64);
        there_and_back(Duration::from_millis(1_250));
        there_and_back(Deadline(Duration::from_millis(1_250)));
        there_and_back(Deadline::NONE);
        there_and_back(true);
        for (_, jitter) in JITTERS {
            there_and_back(jitter);
        }
    }

    /// Reads variables as on Windows, with names in any case, or as on other systems.
    fn from(
        variables: &[(&str, &str)],
        prefix: &str,
        any_case: bool,
    ) -> Result<RetryConfig, String> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let config = RetryConfig::from_variables(variables, prefix, any_case);
        config.map_err(|error| error.to_string())
    }

    #[test]
    fn p49_names_match_in_any_case_on_windows_alone() {
        let variables = [("Retry_Max_Attempts", "7"), ("retry_log", "no"), ("OTHER", "x")];
        let read = RetryConfig {
            max_attempts: Some(7),
            log_retries: Some(false),
            ..RetryConfig::default()
        };
        assert_eq!(from(&variables, "RETRY_", true), Ok(read));
        assert_eq!(from(&variables, "rEtRy", true), Ok(read));
        assert_eq!(from(&variables, "RETRY_", false), Ok(RetryConfig::default()));
        assert_eq!(
            from(&[("äpp_log", "no")], "ÄPP", true).map(|read| read.log_retries),
            Ok(Some(false))
        );

        let misspelt = [("retry_max_attempt", "7")];
        let error = from(&misspelt, "RETRY_", true).expect_err("misspelt");
        assert!(
            error.starts_with("environment variable retry_max_attempt: there is no"),
            "{error}"
        );
        assert_eq!(from(&misspelt, "RETRY_", false), Ok(RetryConfig::default()));
        let half = [("RETRY_max_attempts", "7")];
        assert!(from(&half, "RETRY_", false).is_err());
    }

    #[test]
    fn a_prefix_is_the_start_of_a_name() {
        assert_eq!(without_prefix("RETRY_LOG", "RETRY_", false), Some("LOG"));
        assert_eq!(without_prefix("RETRY", "RETRY_", true), None);
        assert_eq!(without_prefix("RETRY_", "RETRY_", true), Some(""));
        assert_eq!(without_prefix("retry_log", "RETRY_", false), None);
        assert_eq!(without_prefix("ReTrY_log", "rEtRy_", true), Some("log"));
        assert_eq!(without_prefix("RETRX_LOG", "RETRY_", true), None);
    }

    #[test]
    fn a_text_is_cut_to_64_characters_between_escapes() {
        for unit in ["x", "é", "\n", "\u{1b}", "\u{10ffff}", "e\u{301}", "\""] {
            for length in 0..200 {
                let text = unit.repeat(length);
                let bare = (escaped(&text), text.escape_debug().to_string());
                for (shown, whole) in [bare, (escaped_with_quotes(&text), format!("{text:?}"))] {
                    let Some(start) = shown.strip_suffix('…') else {
                        assert!(whole.chars().count() <= 64, "{whole}");
                        assert_eq!(shown, whole);
                        continue;
                    };
                    assert!(whole.chars().count() > 64, "{whole}");
                    assert!((54..=64).contains(&shown.chars().count()), "{shown}");
                    let quotes = start.starts_with('"');
                    let start = if quotes { &start[..start.len() - 1] } else { start };
                    let rest = whole.strip_prefix(start).expect("it is the start");
                    let middle = ["n", "u{", "1b}", "10ffff}", "301}", "\"\\"];
                    assert!(!middle.iter().any(|middle| rest.starts_with(middle)), "{shown}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_variable_is_told_with_those_there_are() {
        let error = unknown_variable("APP_MAX_ATTEMPT", "APP_");
        assert_eq!((error.key(), error.value()), ("APP_MAX_ATTEMPT", None));
        assert!(error.allowed().starts_with("one of APP_MAX_ATTEMPTS, "));
        assert!(error.to_string().contains("there is no such setting"));
        assert_eq!(RetryConfig::from_env_prefixed("NOBODY_SETS_THIS"), Ok(RetryConfig::default()));
    }

    #[test]
    fn a_policy_that_has_lost_its_deadline_is_as_quick_as_one_without() {
        static BUDGET: crate::RetryBudget = crate::RetryBudget::new();
        let none = RetryConfig { max_elapsed: Some(Duration::MAX), ..RetryConfig::default() };
        let ours = RetryPolicy::new().with_max_elapsed(Duration::from_secs(1));
        let without = none.apply_to(ours).expect("three attempts");
        assert_eq!((without.has_limits(), without.plain_attempts()), (false, 3));
        let without = none.apply_to(ours.with_budget(&BUDGET)).expect("three attempts");
        assert_eq!((without.has_limits(), without.plain_attempts()), (true, 0));
    }

    #[test]
    fn what_is_optional_is_what_it_holds() {
        use serde::de::IntoDeserializer;
        use serde::de::value::UnitDeserializer;

        let nothing = UnitDeserializer::<Error>::new();
        assert_eq!(setting::<u32, _>("key", nothing), Ok(None));
        let number: Result<Option<u32>, Error> = setting("key", 7_u32.into_deserializer());
        assert_eq!(number, Ok(Some(7)));
        let wrong: Result<Option<u32>, Error> = setting("key", "seven".into_deserializer());
        let text = "key: `\"seven\"` is not allowed; use a whole number from 1 to 1000";
        assert_eq!(wrong.map_err(|error| error.to_string()), Err(text.to_owned()));
        let nothing = UnitDeserializer::<Error>::new();
        assert_eq!(<RetryConfig as Deserialize>::deserialize(nothing), Ok(RetryConfig::default()));
    }
}
