//! `cargo run --example async_fetch`
//!
//! Fetches fifty pages at once from a server that closes connections, is busy, or stalls, with retries under full jitter.
//! A progress bar shows the waiting fetches by reason. If the output is not a terminal, each retry is a line.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use retry_ext::{CheckStatus, HttpError, Jitter, RetryError, RetryEvent, RetryPolicy};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

const FETCHES: u64 = 50;

/// A `static`, so that each task holds a reference instead of a copy.
static POLICY: RetryPolicy = RetryPolicy::new()
    .with_max_attempts(6)
    .with_initial_delay(Duration::from_millis(200))
    .with_max_delay(Duration::from_secs(2))
    .with_jitter(Jitter::Full)
    .with_logging(false); // the progress bar shows the retries

type FetchError = HttpError<reqwest::Error>;

async fn fetch(client: &reqwest::Client, url: &str) -> Result<String, FetchError> {
    Ok(client.get(url).send().await?.check_status()?.text().await?)
}

/// The progress bar, and the number of waiting fetches by reason.
struct Board {
    bar: ProgressBar,
    waiting: Mutex<BTreeMap<&'static str, i32>>,
}

impl Board {
    fn new() -> anyhow::Result<Self> {
        let style = "{bar:30} {pos:>2} of {len} fetched  waiting: {msg}";
        let bar = ProgressBar::new(FETCHES).with_style(ProgressStyle::with_template(style)?);
        Ok(Self { bar, waiting: Mutex::default() })
    }

    fn add(&self, reason: &'static str, number: i32) {
        let mut waiting = self.waiting.lock().expect("no panic with the lock");
        *waiting.entry(reason).or_default() += number;
        let reasons: Vec<_> = waiting.iter().map(|(why, count)| format!("{count} {why}")).collect();
        self.bar.set_message(reasons.join(", "));
    }
}

fn reason(error: &FetchError) -> &'static str {
    match error {
        HttpError::Status(_) => "busy",
        HttpError::Request(error) if error.is_timeout() => "timeout",
        _ => "connection",
    }
}

/// Fetches one page, and returns the number of attempts.
async fn fetch_with_retries(
    client: &reqwest::Client,
    board: &Board,
    url: &str,
) -> Result<u32, RetryError<FetchError>> {
    let mut retry = POLICY.start().on_retry(|retry: &RetryEvent<'_, FetchError>| {
        let reason = reason(retry.error);
        board.add(reason, 1);
        if board.bar.is_hidden() {
            println!("{url}: {retry}: {reason}");
        }
    });
    loop {
        let attempt = retry.attempt();
        let outcome = fetch(client, url).await;
        let failed = outcome.as_ref().err().map(reason);
        if retry.step_async(outcome).await?.is_some() {
            board.bar.inc(1);
            return Ok(attempt);
        }
        // The wait is over.
        if let Some(reason) = failed {
            board.add(reason, -1);
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));

    let client = reqwest::Client::builder().timeout(Duration::from_secs(1)).no_proxy().build()?;
    let board = Arc::new(Board::new()?);
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
            Err(error) => eprintln!("{error}: {}", error.error()),
        }
    }
    board.bar.finish_and_clear();
    println!("{pages} of {FETCHES} fetched with {attempts} attempts in {:.1?}", started.elapsed());
    Ok(())
}

/// Answers each page after up to three failures of three kinds.
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
        let mut requests = requests.lock().expect("no panic with the lock");
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
                tokio::time::sleep(Duration::from_secs(10)).await;
                ""
            }
        }
    };
    output.write_all(answer.as_bytes()).await
}
