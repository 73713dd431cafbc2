//! `cargo run --example async_fetch`
//!
//! Fifty concurrent fetches from a server that closes connections, says that it is busy, and stalls;
//! retried with full jitter. A progress bar shows what is waiting and why; where the output is no
//! terminal, each retry is a line.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use retry_ext::{AsyncRetryExt, IsTransient, Jitter, RetryPolicy};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

const FETCHES: u64 = 50;

/// A `static`, so that each waiting task holds a reference and not a copy.
static POLICY: RetryPolicy = RetryPolicy::new()
    .with_max_attempts(6)
    .with_initial_delay(Duration::from_millis(200))
    .with_max_delay(Duration::from_secs(2))
    .with_jitter(Jitter::Full)
    .with_logging(false); // the progress bar tells it

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the server is busy")]
    Busy { retry_after: Option<Duration> },
    #[error("the server answered {0}")]
    Status(u16),
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
}

impl IsTransient for FetchError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Status(code) => matches!(code, 408 | 429 | 502 | 504),
            // All that goes wrong on the way; not a bad URL or a redirect without end.
            Self::Request(error) => !error.is_builder() && !error.is_redirect(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => *retry_after,
            Self::Status(_) | Self::Request(_) => None,
        }
    }
}

impl FetchError {
    fn in_a_word(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Status(_) => "status",
            Self::Request(error) if error.is_timeout() => "timeout",
            Self::Request(_) => "connection",
        }
    }
}

async fn fetch(client: &reqwest::Client, url: &str) -> Result<String, FetchError> {
    let response = client.get(url).send().await?;
    match response.status().as_u16() {
        200..=299 => Ok(response.text().await?),
        503 => {
            let header = response.headers().get("retry-after");
            let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
            Err(FetchError::Busy { retry_after: seconds.map(Duration::from_secs) })
        }
        code => Err(FetchError::Status(code)),
    }
}

/// Who waits, and why.
struct Board {
    bar: ProgressBar,
    waiting: Mutex<BTreeMap<&'static str, u32>>,
}

impl Board {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos:>2} of {len} fetched  {msg}");
        let bar = ProgressBar::new(FETCHES)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, waiting: Mutex::default() }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<&'static str, u32>)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        let reasons = waiting.iter().filter(|(_, count)| **count > 0);
        let reasons: Vec<String> = reasons.map(|(why, count)| format!("{count} {why}")).collect();
        let message = if reasons.is_empty() {
            String::new()
        } else {
            format!("waiting: {}", reasons.join(", "))
        };
        self.bar.set_message(message);
    }

    fn waits(&self, why: &'static str) {
        self.change(|waiting| *waiting.entry(why).or_default() += 1);
    }

    fn goes_on(&self, why: &'static str) {
        self.change(|waiting| *waiting.entry(why).or_default() -= 1);
    }
}

/// One fetch with all its attempts; yields their number.
async fn fetch_with_retries(
    client: &reqwest::Client,
    board: &Board,
    url: &str,
) -> Result<u32, Box<dyn Error + Send + Sync>> {
    let state = Mutex::new((0, None)); // the attempts so far, and why it waits
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    (|| {
        let why = {
            let mut state = lock();
            state.0 += 1;
            state.1.take()
        };
        if let Some(why) = why {
            board.goes_on(why);
        }
        fetch(client, url)
    })
    .on_retry(|retry| {
        let why = retry.error.in_a_word();
        lock().1 = Some(why);
        board.waits(why);
        if board.bar.is_hidden() {
            println!("{url}: {retry}: {why}");
        }
    })
    .retry_with(&POLICY)
    .await?;
    board.bar.inc(1);
    Ok(lock().0)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));

    let client =
        reqwest::Client::builder().timeout(Duration::from_millis(300)).no_proxy().build()?;
    let board = Arc::new(Board::new());
    let started = Instant::now();
    let mut fetches = JoinSet::new();
    for number in 0..FETCHES {
        let (client, board) = (client.clone(), Arc::clone(&board));
        fetches.spawn(async move {
            let url = format!("http://{address}/{number}");
            fetch_with_retries(&client, &board, &url).await
        });
    }
    let (mut pages, mut attempts) = (0, 0);
    while let Some(result) = fetches.join_next().await {
        match result? {
            Ok(number) => {
                pages += 1;
                attempts += number;
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    board.bar.finish_and_clear();
    println!("{pages} of {FETCHES} fetched with {attempts} attempts in {:.1?}", started.elapsed());
    Ok(())
}

/// Answers each page only after up to three failures of three kinds.
async fn serve(listener: TcpListener) {
    let requests: Arc<Mutex<HashMap<usize, usize>>> = Arc::default();
    while let Ok((stream, _)) = listener.accept().await {
        let requests = Arc::clone(&requests);
        tokio::spawn(async move { answer(stream, &requests).await });
    }
}

async fn answer(
    mut stream: TcpStream,
    requests: &Mutex<HashMap<usize, usize>>,
) -> std::io::Result<()> {
    let (input, mut output) = stream.split();
    let mut lines = BufReader::new(input).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let page = request.split(['/', ' ']).nth(2).and_then(|page| page.parse().ok()).unwrap_or(0);
    let before = {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(page).or_default();
        *count += 1;
        *count - 1
    };
    let answer = if before >= page % 4 {
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage"
    } else {
        match (page + before) % 3 {
            0 => "",
            1 => {
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            _ => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                ""
            }
        }
    };
    output.write_all(answer.as_bytes()).await
}
