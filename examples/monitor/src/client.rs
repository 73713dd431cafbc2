//! Callers of a server on loopback, which is out of order for a while.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use retry_ext::{Jitter, MetricsObserver, RetryBudget, RetryExt, RetryPolicy, StopReason};

/// The name of the policy, and so the label `operation`.
pub const OPERATION: &str = "fetch";

/// Writes the metrics.
pub static METRICS: MetricsObserver = MetricsObserver::new();

/// The budget of all callers. Its window is short, as is the run.
pub static BUDGET: RetryBudget =
    RetryBudget::new().with_window(Duration::from_secs(1)).with_ratio(0.1).with_min_retries(10);

static POLICY: RetryPolicy = RetryPolicy::new()
    .with_name(OPERATION)
    .with_initial_delay(Duration::from_millis(20))
    .with_jitter(Jitter::Full)
    .with_budget(&BUDGET)
    .with_logging(false);

/// The length of a run.
pub const RUN: Duration = Duration::from_secs(8);
/// The outage within the run.
pub const OUTAGE: Range<Duration> = Duration::from_secs(3)..Duration::from_secs(5);

const CALLERS: u32 = 20;
/// The pause of a caller between two operations.
const PACE: Duration = Duration::from_millis(50);

/// The end of an operation, as its caller sees it.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The reason for giving up; `None` after a success.
    pub gave_up: Option<StopReason>,
    /// The number of retries.
    pub retries: u32,
    /// The sum of the waits.
    pub waited: Duration,
}

/// A run, as its callers counted it without metrics.
#[derive(Debug)]
pub struct Run {
    /// The time at which it began.
    pub start: SystemTime,
    /// A time after the end of its last operation.
    pub end: SystemTime,
    /// All operations.
    pub operations: Vec<Ended>,
}

impl Run {
    /// Returns the number of operations.
    #[must_use]
    pub fn count(&self) -> usize {
        self.operations.len()
    }

    /// Returns the number of operations that gave up for this reason.
    #[must_use]
    pub fn gave_up(&self, reason: StopReason) -> usize {
        self.operations.iter().filter(|ended| ended.gave_up == Some(reason)).count()
    }

    /// Returns the number of retries.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.operations.iter().map(|ended| ended.retries).sum()
    }

    /// Returns the number of operations that waited for at most this time.
    #[must_use]
    pub fn waited_at_most(&self, limit: Duration) -> usize {
        self.operations.iter().filter(|ended| ended.waited <= limit).count()
    }
}

/// Runs the callers against a server with an outage.
///
/// # Errors
///
/// Returns an error if the server cannot listen.
///
/// # Panics
///
/// Panics if a caller panics.
pub fn run() -> io::Result<Run> {
    let is_out = Arc::new(AtomicBool::new(false));
    let server = serve(Arc::clone(&is_out))?;
    let (start, began) = (SystemTime::now(), Instant::now());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| thread::spawn(move || call(server, began, PACE * caller / CALLERS)))
        .collect();
    thread::sleep(OUTAGE.start);
    is_out.store(true, Ordering::Relaxed);
    thread::sleep(OUTAGE.end.saturating_sub(began.elapsed()));
    is_out.store(false, Ordering::Relaxed);
    let operations = callers.into_iter().flat_map(|caller| caller.join().expect("no panic"));
    let operations = operations.collect();
    Ok(Run { start, end: SystemTime::now(), operations })
}

/// Runs one caller, which begins after this pause.
fn call(server: SocketAddr, began: Instant, pause: Duration) -> Vec<Ended> {
    thread::sleep(pause);
    let mut operations = Vec::new();
    while began.elapsed() < RUN {
        let (mut retries, mut waited) = (0, Duration::ZERO);
        let result = (|| fetch(server))
            .observe(&METRICS)
            .on_retry(|retry| {
                retries += 1;
                waited += retry.delay;
            })
            .retry_with(POLICY);
        let gave_up = result.err().map(|error| error.reason());
        operations.push(Ended { gave_up, retries, waited });
        thread::sleep(PACE);
    }
    operations
}

fn fetch(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(b"GET\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end() {
        "page" => Ok(()),
        "busy" => Err(ErrorKind::ResourceBusy.into()),
        "gone" => Err(ErrorKind::NotFound.into()),
        "" => Err(ErrorKind::UnexpectedEof.into()),
        other => Err(Error::other(format!("the answer `{other}`"))),
    }
}

/// Starts the server. It is busy for each twentieth request, and has no page for each hundredth. In an outage, it
/// closes every connection without an answer.
fn serve(is_out: Arc<AtomicBool>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for (number, stream) in (1_u64..).zip(listener.incoming()) {
            let answer = match number {
                _ if is_out.load(Ordering::Relaxed) => "",
                number if number % 100 == 50 => "gone\n",
                number if number % 20 == 0 => "busy\n",
                _ => "page\n",
            };
            // A caller that is no longer there needs no answer.
            let _gone = stream.and_then(|stream| reply(&stream, answer));
        }
    });
    Ok(address)
}

fn reply(mut stream: &TcpStream, answer: &str) -> io::Result<()> {
    BufReader::new(stream).read_line(&mut String::new())?;
    stream.write_all(answer.as_bytes())
}
