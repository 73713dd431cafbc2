//! The page `/metrics`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use retry_ext::MetricsObserver;

use crate::client::{BUDGET, OPERATION};

/// The buckets of the waits in seconds. In the first one are the callers that did not wait.
pub const BUCKETS: [f64; 9] = [0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06];

/// The page, which is served until the program ends.
#[derive(Debug)]
pub struct Page {
    /// The address of its server.
    pub address: SocketAddr,
    handle: PrometheusHandle,
    budget: Arc<Mutex<Vec<u32>>>,
}

impl Page {
    /// Installs the recorder, and serves the page on a free port of loopback.
    ///
    /// # Errors
    ///
    /// Returns an error if there is a recorder already, or no port to listen on.
    pub fn serve() -> Result<Self, Box<dyn std::error::Error>> {
        let waits = Matcher::Full("retry_waited_seconds".into());
        let handle =
            PrometheusBuilder::new().set_buckets_for_metric(waits, &BUCKETS)?.install_recorder()?;
        MetricsObserver::register([OPERATION]);

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let budget = Arc::new(Mutex::new(Vec::new()));
        let page = Self { address, handle: handle.clone(), budget: Arc::clone(&budget) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let served = stream.and_then(|stream| {
                    let available = BUDGET.available();
                    MetricsObserver::record_budget("server", &BUDGET);
                    answer(&stream, &handle.render())?;
                    Ok(available)
                });
                if let Ok(available) = served {
                    budget.lock().unwrap_or_else(PoisonError::into_inner).push(available);
                }
            }
        });
        Ok(page)
    }

    /// Returns the text of the page.
    #[must_use]
    pub fn text(&self) -> String {
        self.handle.render()
    }

    /// Returns the content of the budget whenever the page was read.
    #[must_use]
    pub fn budget(&self) -> Vec<u32> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(mut stream: &TcpStream, text: &str) -> io::Result<()> {
    let mut request = BufReader::new(stream).lines();
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}
