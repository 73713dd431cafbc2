//! A private Prometheus server, with its data in a temporary folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use retry_ext::{Backoff, RetryError, RetryExt, RetryPolicy, StopReason, Verdict};
use serde_json::Value;
use tempfile::TempDir;

/// The time between two reads of the page.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// A policy for polling, which leaves time for a busy machine.
const POLL: RetryPolicy = RetryPolicy::within(Duration::from_secs(60))
    .with_backoff(Backoff::constant(Duration::from_millis(50)))
    .with_logging(false);

/// An error in getting a result from Prometheus.
pub type Failure = Box<dyn std::error::Error>;

/// A running Prometheus, which ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    url: String,
    _data: TempDir,
}

/// One series of an answer: its labels, and its values at their times in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Series {
    labels: Value,
    /// Times and values.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// Returns the value of a label, or an empty text.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }

    /// Returns the last value.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.points.last().map_or(f64::NAN, |(_time, value)| *value)
    }
}

impl Prometheus {
    /// Starts Prometheus, and waits until it has read this page for the first time. Returns `None` if it is not installed.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not start, or does not read the page within a minute.
    pub fn start(page: SocketAddr) -> Result<Option<Self>, Failure> {
        let data = TempDir::new()?;
        let config = data.path().join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{scrape_interval: {INTERVAL:?}, scrape_timeout: {INTERVAL:?}}}\n\
                 scrape_configs:\n\
                 - {{job_name: monitor, static_configs: [{{targets: ['{page}']}}]}}\n"
            ),
        )?;
        // Free now; if another program takes it in between, Prometheus does not start.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn();
        let process = match process {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            process => process?,
        };
        let prometheus = Self { process, url: format!("http://{address}/api/v1"), _data: data };
        prometheus.wait_for("count(retry_operations_total) > 0")?;
        Ok(Some(prometheus))
    }

    /// Waits until this query has an answer. Returns the value of its first series.
    ///
    /// # Errors
    ///
    /// Returns an error if the query has no answer for a minute.
    pub fn wait_for(&self, query: &str) -> Result<f64, Failure> {
        let asked = (|| self.ask("query", &[("query", query)]))
            .classify(|answer| match answer {
                Ok(series) if !series.is_empty() => Verdict::Success,
                _ => Verdict::Transient,
            })
            .retry_with(POLL);
        match asked {
            Ok(series) if series.is_empty() => Err(format!("no answer to {query}").into()),
            Err(error) if error.reason() == StopReason::DeadlineExceeded => Err(error.into_error()),
            asked => asked.map(|series| series[0].value()).map_err(RetryError::into_error),
        }
    }

    /// Waits until Prometheus has read the page after this time. Returns the time of this read, in seconds since 1970.
    ///
    /// At the time of a successful read, every series has a value. Later, a read that fails would leave a gap.
    ///
    /// # Errors
    ///
    /// Returns an error if it has not read the page within a minute.
    pub fn wait_for_read_after(&self, time: SystemTime) -> Result<f64, Failure> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        self.wait_for(&format!("min(timestamp(retry_operations_total)) > {seconds:.3}"))
    }

    /// Asks for the values at this time, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not answer, or rejects the query.
    pub fn query(&self, query: &str, at: f64) -> Result<Vec<Series>, Failure> {
        self.ask("query", &[("query", query), ("time", &format!("{at:.3}"))])
    }

    /// Asks for the values of a time, one for each interval.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not answer, or rejects the query.
    pub fn query_range(
        &self,
        query: &str,
        start: SystemTime,
        length: Duration,
    ) -> Result<Vec<Series>, Failure> {
        let start = start.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let end = (start + length.as_secs_f64()).to_string();
        let step = INTERVAL.as_secs_f64().to_string();
        let start = start.to_string();
        let times = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        self.ask("query_range", &times)
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Vec<Series>, Failure> {
        let request = ureq::get(format!("{}/{path}", self.url));
        let request = request.config().http_status_as_error(false).build();
        let request = request.query_pairs(parameters.iter().copied());
        let text = request.call()?.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
        let series = answer["data"]["result"].as_array().ok_or(text)?;
        series.iter().map(|series| read(series).ok_or("a series without values".into())).collect()
    }
}

/// Reads a series with one value or several.
fn read(series: &Value) -> Option<Series> {
    let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?));
    let points = match &series["values"] {
        Value::Array(points) => points.iter().map(point).collect::<Option<_>>()?,
        _ => vec![point(&series["value"])?],
    };
    Some(Series { labels: series["metric"].clone(), points })
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let ended: io::Result<_> = self.process.kill().and_then(|()| self.process.wait());
        drop(ended);
    }
}
