//! A temporary NATS server with JetStream, for the show and the tests.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

/// The reason why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// `nats-server` is missing from the usual places.
    #[error("`nats-server` is neither in PATH nor in /usr/sbin (Debian: apt install nats-server)")]
    NotInstalled,
    /// The server does not report its address.
    #[error("`nats-server` does not start: {0}")]
    Silent(String),
    /// The system refuses a folder, a file or a process.
    #[error("cannot start `nats-server`")]
    Start(#[from] io::Error),
}

/// A server on a free port of the loopback interface, with a store in a temporary folder. Dropping it kills the server
/// and removes the folder.
#[derive(Debug)]
pub struct Server {
    address: String,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a server, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not installed, or does not start.
    pub async fn start() -> Result<Self, ServerError> {
        let folder = TempDir::with_prefix("nats-")?;
        let start = |program: &str| {
            Command::new(program)
                .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
                .arg(folder.path().join("store"))
                .arg("--ports_file_dir")
                .arg(folder.path())
                .arg("--log")
                .arg(folder.path().join("log"))
                .stdin(Stdio::null())
                .spawn()
        };
        let is_absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let started = match start("nats-server") {
            Err(error) if is_absent(&error) => start("/usr/sbin/nats-server"),
            started => started,
        };
        let process = started.map_err(|error| {
            if is_absent(&error) { ServerError::NotInstalled } else { ServerError::Start(error) }
        })?;
        let ports = folder.path().join(format!("nats-server_{}.ports", process.id()));
        let mut server = Self { address: String::new(), process, folder };
        for _ in 0..6000 {
            // The file is a JSON object, whose first addresses are for clients.
            let ports = fs::read_to_string(&ports).unwrap_or_default();
            if let Some(address) = ports.split('"').find(|text| text.starts_with("nats://")) {
                address.clone_into(&mut server.address);
                return Ok(server);
            }
            sleep(Duration::from_millis(10)).await;
        }
        let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        Err(ServerError::Silent(log.trim().replace('\n', "; ")))
    }

    /// Returns the server's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot stop nats-server: {error}");
        }
    }
}
