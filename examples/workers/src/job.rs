//! The jobs of the show, whose text defines their behaviour, and the worker process around them.

use std::io::{self, Write as _};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use retry_ext::IsTransient;
use tokio::time::{Instant, sleep_until};

use crate::event::{Event, What, now};

/// The reason why a job failed.
#[derive(Debug, thiserror::Error, IsTransient)]
pub enum JobError {
    /// The service is busy.
    #[error("the service is busy")]
    #[transient]
    Busy,
    /// The job's text is invalid.
    #[error("the job makes no sense")]
    Senseless,
}

/// The job that this process runs; a worker runs one at a time.
static RUNNING: Mutex<(String, u32)> = Mutex::new((String::new(), 0));

/// Runs a job, whose text is a name and a behaviour. Times are in milliseconds:
///
/// * `mail takes 50` succeeds
/// * `mail takes 50 90` takes more time after its first attempt
/// * `mail fails 2 50` fails in its first two attempts, and then succeeds
/// * `mail fails 1 50 90 60` takes more time in its second attempt, and less again in all later ones
/// * `mail crashes 50` ends its process
/// * `mail late 50` succeeds in its first attempt after the given time; in a second one it fails at once, for good
///
/// # Errors
///
/// Returns an error if the job's text demands it.
pub async fn run(job: &str, attempt: u32) -> Result<(), JobError> {
    let words: Vec<_> = job.split(' ').collect();
    let name = words[0];
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = (name.to_owned(), attempt);
    let began = Instant::now();
    emit(What::Started);
    // One time for each attempt; the last one is also that of all later attempts.
    let take = async |times: &[&str]| {
        let time = times.get(attempt as usize - 1).or(times.last());
        match time.and_then(|time| time.parse().ok()) {
            Some(time) => {
                sleep_until(began + Duration::from_millis(time)).await;
                Ok(())
            }
            None => Err(JobError::Senseless),
        }
    };
    let outcome = match &words[1..] {
        ["takes", times @ ..] => take(times).await,
        ["fails", count, times @ ..] => {
            take(times).await.and_then(|()| match count.parse::<u32>() {
                Ok(count) if attempt > count => Ok(()),
                Ok(_) => Err(JobError::Busy),
                Err(_) => Err(JobError::Senseless),
            })
        }
        ["crashes", times @ ..] => {
            let _ended = take(times).await;
            process::exit(101)
        }
        ["late", times @ ..] if attempt == 1 => take(times).await,
        _ => Err(JobError::Senseless),
    };
    emit(if outcome.is_ok() { What::Succeeded } else { What::Failed });
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = (String::new(), 0);
    outcome
}

/// Makes this process a worker, which writes events and ends when its parent ends.
pub fn begin_worker() {
    thread::spawn(|| {
        // The parent holds the other end of the pipe. The system closes it when the parent ends in any way.
        let _closed = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    if log::set_logger(&Events).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Writes an event at once and as a whole, so that a kill loses no past event.
fn emit(what: What) {
    let (job, attempt) = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let line = format!("{}\n", Event { at: now(), worker: 0, job, attempt, what });
    let mut output = io::stdout().lock();
    if output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_err() {
        process::exit(0); // the parent is gone
    }
}

/// A logger that writes the records of the crate as events.
struct Events;

impl Log for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "retry_ext"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            emit(What::Logged(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}
