//! Configuration from files and from the environment.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::jitter::Jitter;
use crate::policy::RetryPolicy;

/// What people who run a program may set without building it: part of a settings file, or of the
/// environment. Needs the feature `config`.
///
/// Every field is optional. Sources are laid over each other with [`or`](Self::or), field by field,
/// and [`into_policy`](Self::into_policy) turns the result into a policy, with the defaults of
/// [`RetryPolicy::new`] for what nobody set.
///
/// | key | environment | value | limits |
/// |---|---|---|---|
/// | `max_attempts` | `RETRY_MAX_ATTEMPTS` | whole number | 1 to 1000 |
/// | `backoff_factor` | `RETRY_BACKOFF_FACTOR` | number | 1 to 100 |
/// | `initial_delay` | `RETRY_INITIAL_DELAY` | duration | 0 to 24 h, at most `max_delay` |
/// | `max_delay` | `RETRY_MAX_DELAY` | duration | 0 to 24 h |
/// | `max_elapsed` | `RETRY_MAX_ELAPSED` | duration | 0 to 24 h |
/// | `jitter` | `RETRY_JITTER` | `none`, `full`, `equal`, `decorrelated` | |
/// | `log_retries` | `RETRY_LOG` | true or false | |
///
/// A duration is a number of seconds (`1.5`) or has units (`250ms`, `1m 30s`; those of the
/// `humantime` crate). It is read from any self-describing serde format: this YAML, and the like in
/// TOML and JSON.
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
/// A key that does not exist, a value of the wrong type and one outside the limits are errors, where
/// they are read; no value is silently replaced, and none panics. `null` counts as not set, for a key
/// and for the whole section. Make it a field of its own: serde's `flatten` cannot tell its unknown keys
/// from those of the settings around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RetryConfig {
    /// How many times the operation is called at most, the first call included.
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
    /// The deadline, from the start of the first attempt.
    #[serde(serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub max_elapsed: Option<Duration>,
    /// How delays are spread out.
    #[serde(serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
    /// Whether retries are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_retries: Option<bool>,
}

/// How a table is read into it. A type of its own, since what serde derives with `remote` is as public
/// as the type on which it stands.
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
    #[serde(deserialize_with = "max_elapsed")]
    max_elapsed: Option<Duration>,
    #[serde(deserialize_with = "jitter")]
    jitter: Option<Jitter>,
    #[serde(deserialize_with = "log_retries")]
    log_retries: Option<bool>,
}

/// The environment's names of the keys, after the prefix.
const VARIABLES: [&str; 7] = [
    "MAX_ATTEMPTS",
    "BACKOFF_FACTOR",
    "INITIAL_DELAY",
    "MAX_DELAY",
    "MAX_ELAPSED",
    "JITTER",
    "LOG",
];

impl RetryConfig {
    /// What the environment sets: `RETRY_MAX_ATTEMPTS`, `RETRY_BACKOFF_FACTOR`,
    /// `RETRY_INITIAL_DELAY`, `RETRY_MAX_DELAY`, `RETRY_MAX_ELAPSED`, `RETRY_JITTER` and `RETRY_LOG`
    /// (`true`, `1`, `yes`, `on`, or `false`, `0`, `no`, `off`).
    ///
    /// # Errors
    ///
    /// The first variable that is empty, not UTF-8, of the wrong type or outside its limits; and any
    /// other one that begins with `RETRY_`, since a misspelt setting must not go unnoticed.
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

    /// As [`from_env`](Self::from_env), with a prefix of your own in the place of `RETRY_`; the
    /// underscore at its end may be left out. Choose one that no other variable begins with, such as
    /// `MYAPP_RETRY_`: those that are not settings are errors, be they another prefix's. With an empty
    /// prefix, where that cannot be told, they are not; but `LOG` and `JITTER` are settings then.
    ///
    /// # Errors
    ///
    /// As for [`from_env`](Self::from_env).
    ///
    /// ```
    /// use retry_ext::RetryConfig;
    ///
    /// let config = RetryConfig::from_env_prefixed("MYAPP_RETRY_")?; // MYAPP_RETRY_MAX_ATTEMPTS …
    /// assert_eq!(config, RetryConfig::default());
    /// # Ok::<(), retry_ext::ConfigError>(())
    /// ```
    pub fn from_env_prefixed(prefix: &str) -> Result<Self, ConfigError> {
        let underscore = if prefix.is_empty() || prefix.ends_with('_') { "" } else { "_" };
        let prefix = format!("{prefix}{underscore}");
        let mut config = Self::default();
        for (name, value) in env::vars_os() {
            // A name that is not UTF-8 is none of the settings, but may have their prefix.
            let name = name.to_string_lossy();
            let Some(key) = name.strip_prefix(&prefix) else { continue };
            let name = &*name;
            match key {
                "MAX_ATTEMPTS" => config.max_attempts = Some(variable(name, &value)?),
                "BACKOFF_FACTOR" => config.backoff_factor = Some(variable(name, &value)?),
                "INITIAL_DELAY" => config.initial_delay = Some(variable(name, &value)?),
                "MAX_DELAY" => config.max_delay = Some(variable(name, &value)?),
                "MAX_ELAPSED" => config.max_elapsed = Some(variable(name, &value)?),
                "JITTER" => config.jitter = Some(variable(name, &value)?),
                "LOG" => config.log_retries = Some(variable(name, &value)?),
                _ if prefix.is_empty() => {}
                _ => return Err(unknown_variable(name, &prefix)),
            }
        }
        Ok(config)
    }

    /// Fills what is not set here from `fallback`, field by field. So the order of precedence is the
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
            max_elapsed: self.max_elapsed.or(fallback.max_elapsed),
            jitter: self.jitter.or(fallback.jitter),
            log_retries: self.log_retries.or(fallback.log_retries),
        }
    }

    /// Makes a policy, with the defaults for what is not set. All limits are checked here, also those
    /// of values that were set in code; it does not panic. For a program with defaults of its own, see
    /// [`apply_to`](Self::apply_to).
    ///
    /// # Errors
    ///
    /// The first value outside its limits, and an `initial_delay` above `max_delay`.
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

    /// Lays what is set over a policy of the program's own: its other settings stay.
    ///
    /// # Errors
    ///
    /// As for [`into_policy`](Self::into_policy).
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
        if let Some(max_elapsed) = checked("max_elapsed", self.max_elapsed)? {
            policy = policy.with_max_elapsed(max_elapsed);
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
            return Err(ConfigError {
                origin: CONFIGURATION,
                key: "initial_delay".into(),
                value: Some(initial_delay.show()),
                allowed,
            });
        }
        Ok(policy)
    }
}

/// [`RetryConfig::into_policy`].
impl TryFrom<RetryConfig> for RetryPolicy {
    type Error = ConfigError;

    fn try_from(config: RetryConfig) -> Result<Self, ConfigError> {
        config.into_policy()
    }
}

/// A value that a configuration does not allow: where it came from, what it is, and what is allowed.
///
/// What is wrong in a file is told by the error of the file's format, in the same words, with the
/// place in the file.
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
#[error("{origin}{}: {}", .key.escape_debug(), Complaint::new(.value.as_deref(), .allowed))]
pub struct ConfigError {
    origin: &'static str,
    key: String,
    value: Option<String>,
    allowed: String,
}

impl ConfigError {
    /// The key, or the name of the environment variable.
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

    /// The value that is not allowed; `None` where it is the key that does not exist. The value of an
    /// unknown variable is not repeated: it may be a secret of somebody else's.
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

    /// What is allowed in its place.
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

const CONFIGURATION: &str = "retry configuration, ";
const ENVIRONMENT: &str = "environment variable ";

/// The words that every source has for a value that is not allowed.
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

/// A type of value: how it is written in the environment and in files, and its limits.
trait Setting: Copy {
    const ALLOWED: &'static str;

    fn from_text(text: &str) -> Option<Self>;
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
        "seconds (1.5) or a duration with units (250ms, 1m 30s), from 0 to 24h";

    fn from_text(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(seconds) => from_seconds(seconds),
            Err(_) => humantime::parse_duration(text).ok(),
        }
    }

    fn from_raw(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Integer(seconds) => u64::try_from(*seconds).ok().map(Self::from_secs),
            Raw::Float(seconds) => from_seconds(*seconds),
            Raw::Text(text) => Self::from_text(text.trim()),
            _ => None,
        }
    }

    fn is_within_limits(&self) -> bool {
        *self <= Self::from_secs(24 * 60 * 60)
    }

    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// A time that is not zero must not become zero: that would be a loop without a pause.
fn from_seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (seconds == 0.0 || !duration.is_zero()).then_some(duration)
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

    fn from_raw(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            _ => None,
        }
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

/// A value that was set, checked, from whatever source.
fn checked<T: Setting>(key: &str, value: Option<T>) -> Result<Option<T>, ConfigError> {
    match value {
        Some(value) if !value.is_within_limits() => Err(ConfigError {
            origin: CONFIGURATION,
            key: key.into(),
            value: Some(value.show()),
            allowed: T::ALLOWED.into(),
        }),
        value => Ok(value),
    }
}

fn variable<T: Setting>(name: &str, value: &OsStr) -> Result<T, ConfigError> {
    let read = value.to_str().and_then(|text| T::from_text(text.trim()));
    read.filter(T::is_within_limits).ok_or_else(|| ConfigError {
        origin: ENVIRONMENT,
        key: name.into(),
        value: Some(value.to_string_lossy().escape_debug().to_string()),
        allowed: T::ALLOWED.into(),
    })
}

fn unknown_variable(name: &str, prefix: &str) -> ConfigError {
    let known = VARIABLES.map(|key| format!("{prefix}{key}")).join(", ");
    ConfigError {
        origin: ENVIRONMENT,
        key: name.into(),
        value: None,
        allowed: format!("one of {known}"),
    }
}

/// A value in a file, before anybody says what it should be: so that an error can repeat it.
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
            Self::Text(text) => write!(f, "{text:?}"),
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
        // So serde_json tells a number where any crate has its feature `arbitrary_precision` on.
        const NUMBER: &str = "$serde_json::private::Number";
        match map.next_key::<String>()? {
            Some(key) if key == NUMBER => {
                // What is none is a table, and refused by the setting, which has a name.
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

/// What the derived code would also do is to take a list for the fields in their order: an empty one
/// would then pass for a configuration.
impl<'de> Deserialize<'de> for RetryConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RetryConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of retry settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RetryConfig, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map))
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

fn setting<'de, T: Setting, D: Deserializer<'de>>(
    key: &str,
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Raw::deserialize(deserializer)?;
    if let Raw::Nothing = raw {
        return Ok(None);
    }
    let value = T::from_raw(&raw).filter(T::is_within_limits);
    value.map(Some).ok_or_else(|| {
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
    max_elapsed: Duration,
    jitter: Jitter,
    log_retries: bool
);

/// Durations with units and jitters by name, as they are read.
#[expect(clippy::ref_option, reason = "serde's signature")]
fn shown<T: Setting, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| value.show()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    /// As `serde_json` gives numbers with its feature `arbitrary_precision`.
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
        there_and_back(true);
        for (_, jitter) in JITTERS {
            there_and_back(jitter);
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
