//! Twelve clients at once against a real nginx that lets one request through every 20 ms
//! (`limit_req`).
//!
//! This test really waits, for about a second. Without an nginx on the machine, it prints "not
//! checked" and passes. It runs without the test harness, which would hide that line.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;
use std::{env, fs, thread};

use retry_ext::{
    AsyncRetryExt, Backoff, CheckStatus, HttpError, IsTransient, Jitter, RetryError, RetryExt,
    RetryPolicy,
};
use tempfile::TempDir;

const CLIENTS: usize = 12;

/// The hint, equal to `retry-after-ms` in the configuration.
const HINT: Duration = Duration::from_millis(20);

const BACKOFF: Backoff = Backoff::exponential()
    .with_initial_delay(Duration::from_millis(10))
    .with_max_delay(Duration::from_millis(200))
    .with_jitter(Jitter::Full);

/// Unlimited attempts, in a time that only a broken server or a broken policy exceeds.
const POLICY: RetryPolicy =
    RetryPolicy::within(Duration::from_secs(20)).with_backoff(BACKOFF).with_logging(false);

fn main() {
    let Some(nginx) = find_nginx() else {
        println!("nginx: not checked, no program in the PATH, /usr/sbin or /usr/local/sbin");
        return;
    };
    let server = Nginx::start(&nginx);

    let once = crowd_of_ureq(&server.url("once"), RetryPolicy::new().with_max_attempts(1));
    let (pages, refused): (Vec<_>, Vec<_>) = once.into_iter().partition(|client| client.served);
    assert!(!pages.is_empty(), "the first one is served");
    assert!(!refused.is_empty(), "without retries, the limit refuses some");

    let by_ureq = crowd_of_ureq(&server.url("ureq"), POLICY);
    let by_reqwest = crowd_of_reqwest(&server.url("reqwest"));
    let log = server.stop();
    let lines = |page: &str| log.lines().filter(|line| *line == page).count();
    assert_eq!((lines("200 /once"), lines("429 /once")), (pages.len(), refused.len()));
    for (name, clients) in [("ureq", by_ureq), ("reqwest", by_reqwest)] {
        assert!(clients.iter().all(|client| client.served), "{name}: all are served");
        // The server's log and the hooks agree, and no client waited less than the hint.
        let waits: Vec<_> = clients.iter().flat_map(|client| &client.waits).collect();
        assert_eq!(lines(&format!("200 /{name}")), CLIENTS, "{name}");
        assert_eq!(lines(&format!("429 /{name}")), waits.len(), "{name}");
        assert!(waits.iter().all(|wait| **wait >= HINT), "{name}: {waits:?}");
        assert!(!waits.is_empty(), "{name}: the limit was met");
        println!(
            "nginx: {CLIENTS} of {CLIENTS} {name} clients served, after {} retries",
            waits.len()
        );
    }
}

fn find_nginx() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("nginx")).find(|program| program.is_file())
}

/// The result of one client.
struct Client {
    served: bool,
    waits: Vec<Duration>,
}

impl Client {
    fn new<E: IsTransient>(page: &Result<String, RetryError<E>>, waits: Vec<Duration>) -> Self {
        match page {
            Ok(page) => assert_eq!(page, "page"),
            Err(error) => {
                let hint = error.error().retry_after();
                assert_eq!((error.error().is_transient(), hint), (true, Some(HINT)));
            }
        }
        Self { served: page.is_ok(), waits }
    }
}

fn crowd_of_ureq(url: &str, policy: RetryPolicy) -> Vec<Client> {
    let start = Barrier::new(CLIENTS);
    let client = || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent = ureq::Agent::from(config.build());
        let mut waits = Vec::new();
        start.wait();
        let page = (|| {
            Ok::<_, HttpError<ureq::Error>>(
                agent.get(url).call()?.check_status()?.body_mut().read_to_string()?,
            )
        })
        .on_retry(|retry| waits.push(retry.delay))
        .retry_with(policy);
        Client::new(&page, waits)
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    })
}

fn crowd_of_reqwest(url: &str) -> Vec<Client> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let url = url.to_owned();
            runtime.spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let mut waits = Vec::new();
                let page = (async || {
                    Ok::<_, HttpError<reqwest::Error>>(
                        client.get(&url).send().await?.check_status()?.text().await?,
                    )
                })
                .on_retry(|retry| waits.push(retry.delay))
                .retry_with(POLICY)
                .await;
                Client::new(&page, waits)
            })
        })
        .collect();
    clients.into_iter().map(|client| runtime.block_on(client).expect("no panic")).collect()
}

struct Nginx {
    process: Child,
    program: PathBuf,
    folder: TempDir,
    address: SocketAddr,
}

impl Nginx {
    fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The port is free now. nginx itself cannot choose a free port.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("a free port");
        fs::write(folder.path().join("nginx.conf"), configuration(address)).expect("a file");
        fs::write(folder.path().join("page"), "page").expect("a file");
        let process = command(program, folder.path()).spawn().expect("nginx starts");
        let server = Self { process, program: program.to_owned(), folder, address };
        (|| TcpStream::connect(address)).retry_with(POLICY).expect("nginx listens");
        server
    }

    fn url(&self, page: &str) -> String {
        format!("http://{}/{page}", self.address)
    }

    /// Stops the server after it has written its log to the end. Returns the log.
    fn stop(mut self) -> String {
        let mut quit = command(&self.program, self.folder.path());
        assert!(quit.args(["-s", "quit"]).status().expect("nginx runs").success());
        self.process.wait().expect("nginx ends");
        fs::read_to_string(self.folder.path().join("access.log")).expect("a log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both calls fail if the process has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .stdin(Stdio::null());
    command
}

/// Returns a configuration with paths relative to the folder. The server is one process, so that no
/// other user has to read the folder.
fn configuration(address: SocketAddr) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
events {{}}
http {{
  log_format short '$status $request_uri';
  access_log access.log short;
  client_body_temp_path temp;
  proxy_temp_path temp;
  fastcgi_temp_path temp;
  uwsgi_temp_path temp;
  scgi_temp_path temp;
  limit_req_zone $server_name zone=all:64k rate=50r/s;
  limit_req_status 429;
  server {{
    listen {address};
    server_name all;
    root .;
    error_page 429 @busy;
    location / {{
      limit_req zone=all;
      try_files /page =404;
    }}
    location @busy {{
      add_header retry-after-ms 20 always;
      return 429;
    }}
  }}
}}
"
    )
}
