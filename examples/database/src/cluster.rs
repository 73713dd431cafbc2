//! A temporary PostgreSQL cluster for examples and tests. For Unix.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use postgres::Config;
use tempfile::TempDir;

/// The folder of Debian and its derivatives for the server's programs, with a subfolder for each
/// version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The reason why there is no cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The server's programs are missing from the usual places.
    #[error(
        "PostgreSQL is not installed: there is no `initdb` with `postgres` beside it in PATH or \
         {DEBIAN}/*/bin (Debian: apt install postgresql)"
    )]
    NotInstalled,
    /// PostgreSQL refuses to run as root.
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` to run it as (Debian's \
         package `postgresql` makes this user)"
    )]
    NoUser,
    /// The system refuses a folder, a file, a port or the list of users.
    #[error("cannot prepare a folder, a port and a user for PostgreSQL")]
    Prepare(#[from] io::Error),
    /// One of PostgreSQL's programs cannot be run.
    #[error("cannot run `{0}`")]
    Run(&'static str, #[source] io::Error),
    /// `initdb` failed with this message.
    #[error("`initdb` failed: {0}")]
    Initdb(String),
}

/// A PostgreSQL cluster in a temporary folder, on a free port of the loopback interface, without
/// passwords. Dropping it stops the server and removes the folder.
///
/// ```no_run
/// use std::time::Duration;
/// use database_example::{Cluster, PostgresError};
/// use postgres::NoTls;
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// let mut cluster = Cluster::new()?;
/// cluster.start()?;
/// let config = cluster.config();
/// // The server takes some time to come up.
/// let policy = RetryPolicy::new()
///     .with_initial_delay(Duration::from_millis(20))
///     .with_max_attempts(10);
/// let mut client = (|| config.connect(NoTls).map_err(PostgresError)).retry_with(policy)?;
/// assert_eq!(client.query_one("select 1", &[])?.get::<_, i32>(0), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    /// The user of the server's programs, if it differs from the current user.
    user: Option<User>,
    port: u16,
    server: Option<Child>,
    folder: TempDir,
}

impl Cluster {
    /// Makes a cluster without starting its server.
    ///
    /// # Errors
    ///
    /// Returns an error if PostgreSQL is not installed, or if `initdb` fails.
    pub fn new() -> Result<Self, ClusterError> {
        let programs = find_programs().ok_or(ClusterError::NotInstalled)?;
        let user = if geteuid().is_root() {
            let user = User::from_name("postgres").map_err(io::Error::from)?;
            Some(user.ok_or(ClusterError::NoUser)?)
        } else {
            None
        };
        let folder = TempDir::with_prefix("postgresql-")?;
        if let Some(user) = &user {
            chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let mut cluster = Self { programs, user, port: 0, server: None, folder };
        // The data is temporary, so `--no-sync` avoids waits for the disk. `--no-locale` gives the
        // same cluster on all machines.
        let made = cluster
            .program("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"])
            .args(["--no-sync", "--pgdata"])
            .arg(cluster.data())
            .output()
            .map_err(|error| ClusterError::Run("initdb", error))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            return Err(ClusterError::Initdb(said.trim().replace('\n', "; ")));
        }
        // Only now, because the port is reserved for a minute.
        cluster.port = reserve_port()?;
        Ok(cluster)
    }

    /// Starts the server if it does not run, and returns before it is up. Connect with a retry.
    ///
    /// # Errors
    ///
    /// Returns an error if `postgres` cannot be run. Later messages are in the [log](Self::log).
    pub fn start(&mut self) -> Result<(), ClusterError> {
        if let Some(server) = &mut self.server
            && server.try_wait()?.is_none()
        {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let server = self
            .program("postgres")
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "fsync=off", "-p", &self.port.to_string(), "-D"])
            .arg(self.data())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| ClusterError::Run("postgres", error))?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server if it runs, and waits until it has ended. This breaks its connections.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot stop the server or wait for it.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        // `Child::kill` would leave the server's children behind. SIGINT is a "fast shutdown":
        // PostgreSQL documentation, "Shutting Down the Server".
        if server.try_wait()?.is_none() {
            kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGINT)?;
        }
        server.wait().map(drop)
    }

    /// Returns the settings to connect as the superuser `postgres` to the database `postgres`.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres");
        config
    }

    /// Returns the server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns a command that runs one of PostgreSQL's programs as the right user, in a folder that
    /// this user may enter.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("cannot stop PostgreSQL: {error}");
        }
    }
}

/// Returns the folder with `initdb` and `postgres` of one version: from the PATH, or else the
/// newest.
fn find_programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<_> =
        fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse().ok();
    versions.sort_by_cached_key(|folder| Reverse(number(folder).unwrap_or(0_u32)));
    let installed = versions.into_iter().map(|version| version.join("bin"));
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(installed)
        .find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()))
}

/// Returns a free port, which the system gives to no other program for a minute. The port's last
/// connection was closed from this end first and stays in TIME-WAIT (RFC 9293, section 3.6). A
/// server that sets `SO_REUSEADDR`, as PostgreSQL does, may listen on the port.
///
/// # Errors
///
/// Returns an error if the system refuses a port.
pub fn reserve_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let client = TcpStream::connect(address)?;
    let (server, _) = listener.accept()?;
    drop(server);
    drop(client);
    Ok(address.port())
}
