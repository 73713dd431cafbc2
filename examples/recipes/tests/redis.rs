//! redis and a real Redis, with a separate server for each test. Without Redis, each test prints "not checked" and
//! passes. The tests really wait for a server to come up.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{PATIENT, POLICY, not_checked};
use database_example::reserve_port;
use recipes_example::redis::CacheError;
use redis::{Client, Commands, Connection};
use retry_ext::{IsTransient, RetryExt, StopReason};
use tempfile::TempDir;

/// A Redis server on loopback, in a private folder. Dropping it kills the server.
struct Redis {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts a server without waiting until it is up. Returns `None` if Redis is not installed.
    fn start(options: &[&str]) -> Option<Self> {
        let port = reserve_port().expect("a port");
        Self::start_in(tempfile::tempdir().expect("a folder"), port, options)
    }

    fn start_in(folder: TempDir, port: u16, options: &[&str]) -> Option<Self> {
        let process = Self::spawn(folder.path(), port, options)?;
        Some(Self { process, port, _folder: folder })
    }

    fn spawn(folder: &Path, port: u16, options: &[&str]) -> Option<Child> {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(options)
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn();
        process.inspect_err(|error| not_checked("Redis", error)).ok()
    }

    /// Starts a server, waits until it is up, and connects to it.
    fn up(options: &[&str]) -> Option<(Self, Connection)> {
        let server = Self::start(options)?;
        let connection = (|| connect(server.port)).retry_with(PATIENT).expect("a connection");
        Some((server, connection))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("cannot stop Redis: {error}");
        }
    }
}

fn connect(port: u16) -> Result<Connection, CacheError> {
    Ok(Client::open(("127.0.0.1", port))?.get_connection()?)
}

fn code(error: &CacheError) -> String {
    error.0.code().unwrap_or_default().to_owned()
}

/// Returns a port whose server has ended, and the folder with its data. Returns `None` if Redis is not installed.
fn stopped(data: impl FnOnce(&mut Connection)) -> Option<(TempDir, u16)> {
    let folder = tempfile::tempdir().expect("a folder");
    let port = reserve_port().expect("a port");
    let mut process = Redis::spawn(folder.path(), port, &[])?;
    let mut connection = (|| connect(port)).retry_with(PATIENT).expect("a connection");
    data(&mut connection);
    redis::cmd("SAVE").exec(&mut connection).expect("saved");
    let lost = redis::cmd("SHUTDOWN").arg("NOSAVE").exec(&mut connection);
    assert!(CacheError(lost.expect_err("the connection ends")).is_transient());
    process.wait().expect("an end");
    Some((folder, port))
}

#[test]
fn a_server_that_starts_and_loads_its_data_is_waited_for() {
    let fill = |connection: &mut Connection| {
        let mut pipe = redis::pipe();
        for key in 0..200 {
            pipe.set(key, "x".repeat(100)).ignore();
        }
        pipe.exec(connection).expect("written");
    };
    let Some((folder, port)) = stopped(fill) else { return };
    let mut folder = Some(folder);
    let mut server = None;
    let mut errors = Vec::new();
    let value = (|| Ok::<_, CacheError>(connect(port)?.get::<_, String>(7)?))
        .on_retry(|retry| {
            errors.push((code(retry.error), retry.error.0.is_connection_dropped()));
            // The server is started only now, after the first attempt has failed. It takes 20 ms to load each key, until an
            // attempt has failed because of it.
            if errors.last().is_some_and(|(code, _)| code == "LOADING") {
                let mut command = redis::cmd("CONFIG");
                command.arg("SET").arg("key-load-delay").arg(0);
                connect(port).and_then(|mut other| Ok(command.exec(&mut other)?)).expect("set");
            }
            if let Some(folder) = folder.take() {
                let slow = ["--key-load-delay", "20000"];
                let often = ["--loading-process-events-interval-bytes", "1024"];
                server = Redis::start_in(folder, port, &[slow, often].concat());
            }
        })
        .retry_with(PATIENT);
    assert_eq!(value.expect("a value"), "x".repeat(100));
    assert_eq!(errors[0], (String::new(), true), "refused");
    assert!(errors.contains(&("LOADING".to_owned(), false)), "{errors:?}");
}

#[test]
fn a_script_that_keeps_the_server_busy_is_waited_for() {
    let Some((server, mut connection)) = Redis::up(&["--busy-reply-threshold", "10"]) else {
        return;
    };
    let mut other = connect(server.port).expect("a connection");
    let mut codes = Vec::new();
    let script = thread::spawn({
        let mut connection = connect(server.port).expect("a connection");
        move || redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut connection)
    });
    // The server answers until the script runs.
    let busy = || match connection.ping::<String>() {
        Ok(_) => Err(()),
        Err(_) => Ok(()),
    };
    busy.retry_if(|()| true).retry_with(PATIENT).expect("a script runs");
    let value = (|| Ok::<_, CacheError>(connection.get::<_, Option<String>>("key")?))
        .on_retry(|retry| {
            codes.push(code(retry.error));
            if retry.attempt == 2 {
                redis::cmd("SCRIPT").arg("KILL").exec(&mut other).expect("killed");
            }
        })
        .retry_with(PATIENT);
    assert_eq!(value.expect("an answer"), None);
    // The script ends a little later than the kill command.
    assert!(codes.len() >= 2 && codes.iter().all(|code| code == "BUSY"), "{codes:?}");
    let killed = CacheError(script.join().expect("no panic").expect_err("killed"));
    assert!(!killed.is_transient(), "{killed}");
}

#[test]
fn a_master_without_replicas_is_waited_for() {
    let Some((server, mut connection)) = Redis::up(&["--min-replicas-to-write", "1"]) else {
        return;
    };
    let mut other = connect(server.port).expect("a connection");
    let mut codes = Vec::new();
    let written = (|| Ok::<_, CacheError>(connection.set::<_, _, ()>("key", "value")?))
        .on_retry(|retry| {
            codes.push(code(retry.error));
            if retry.attempt == 2 {
                let mut command = redis::cmd("CONFIG");
                command.arg("SET").arg("min-replicas-to-write").arg(0);
                command.exec(&mut other).expect("set");
            }
        })
        .retry_with(POLICY);
    written.expect("written");
    assert_eq!(codes, ["NOREPLICAS", "NOREPLICAS"]);
}

#[test]
fn a_replica_without_its_master_is_transient_and_its_refusal_of_writes_is_not() {
    let Some((_server, mut connection)) = Redis::up(&["--replica-serve-stale-data", "no"]) else {
        return;
    };
    let nowhere = reserve_port().expect("a port");
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(nowhere).exec(&mut connection).expect("set");
    let read = connection.get::<_, Option<String>>("key").map_err(CacheError);
    let error = read.expect_err("no data");
    assert_eq!((code(&error).as_str(), error.is_transient()), ("MASTERDOWN", true));
    let serve = redis::cmd("CONFIG").arg("SET").arg("replica-serve-stale-data").arg("yes").clone();
    serve.exec(&mut connection).expect("set");
    let error = connection.set::<_, _, ()>("key", "value").map_err(CacheError);
    let error = error.expect_err("a replica");
    assert_eq!((code(&error).as_str(), error.is_transient()), ("READONLY", false));
}

#[test]
fn a_cluster_without_its_slots_is_transient() {
    // Without this option, the port of the cluster is that of the server plus 10000, which may be taken or too high.
    let bus = reserve_port().expect("a port").to_string();
    let options = ["--cluster-enabled", "yes", "--cluster-port", &bus];
    let Some((_server, mut connection)) = Redis::up(&options) else { return };
    let error = connection.get::<_, Option<String>>("key").map_err(CacheError).expect_err("down");
    assert_eq!((code(&error).as_str(), error.is_transient()), ("CLUSTERDOWN", true));
}

#[test]
fn an_answer_that_does_not_come_in_time_is_transient() {
    let Some((server, mut connection)) = Redis::up(&[]) else { return };
    let mut other = connect(server.port).expect("a connection");
    redis::cmd("CLIENT").arg("PAUSE").arg(10_000).exec(&mut other).expect("paused");
    connection.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
    let error = connection.get::<_, Option<String>>("key").map_err(CacheError).expect_err("late");
    assert!(error.0.is_timeout() && error.is_transient(), "{error}");
}

#[test]
fn a_wrong_password_and_a_wrong_type_are_not_retried() {
    let Some((server, mut connection)) = Redis::up(&[]) else { return };
    connection.set::<_, _, ()>("key", "value").expect("written");
    let error = connection.lpush::<_, _, ()>("key", "value").map_err(CacheError);
    assert!(!error.expect_err("no list").is_transient());
    let protect = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("secret").clone();
    protect.exec(&mut connection).expect("set");
    let url = format!("redis://:wrong@127.0.0.1:{}", server.port);
    let client = Client::open(url).expect("a URL");
    let connected = (|| Ok::<_, CacheError>(client.get_connection()?)).retry_with(PATIENT);
    let error = connected.map(drop).expect_err("a wrong password");
    assert_eq!((error.attempts(), error.reason()), (1, StopReason::Permanent));
}
