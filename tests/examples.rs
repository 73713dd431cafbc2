//! The examples, run from the command line. They really wait: `basic_retry` for three seconds, the
//! others for less.

use std::process::{Command, Output};

fn run(example: &str, arguments: &[&str]) -> Output {
    run_with(example, arguments, &[])
}

fn run_with(example: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(example, arguments, variables).output().expect("cargo runs")
}

fn command(example: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    for proxy in
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        command.env_remove(proxy);
    }
    // The environment of the tests must not change the output of the examples.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RETRY_") {
            command.env_remove(name);
        }
    }
    command
        .args(["run", "--quiet", "--all-features", "--example", example, "--"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUST_LOG")
        .envs(variables.iter().copied());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn basic_retry_fetches_the_page_at_the_third_attempt_and_shows_each_retry() {
    let output = run("basic_retry", &[]);
    let (out, log) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(out.contains("Here is the page at last"), "{out}");
    assert!(out.contains("attempts: 3"), "{out}");
    let retries: Vec<&str> = log.lines().collect();
    assert_eq!(retries.len(), 2, "each retry is one line:\n{log}");
    assert!(retries[0].starts_with("attempt 1 of 3 failed, retrying in 1s: the request failed: "));
    assert_eq!(
        retries[1],
        "attempt 2 of 3 failed, retrying in 2s: HTTP status 503 Service Unavailable"
    );
}

#[test]
fn basic_retry_says_what_is_wrong_with_a_bad_url_and_fails() {
    let output = run("basic_retry", &["nonsense"]);
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stderr);
    assert!(
        log.contains("cannot fetch nonsense: gave up after 1 attempt: permanent error"),
        "{log}"
    );
}

#[test]
fn basic_retry_retries_a_refused_port_and_then_fails() {
    // Port 1 (tcpmux) has no server.
    let output = run("basic_retry", &["http://127.0.0.1:1/"]);
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stderr);
    assert!(
        log.contains("gave up after 3 attempts and 3s of waiting: attempts exhausted"),
        "{log}"
    );
}

#[test]
fn basic_retry_does_not_retry_a_404() {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let request = BufReader::new(stream.try_clone().expect("a second handle"));
        assert!(request.lines().any(|line| line.is_ok_and(|line| line.is_empty())));
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).expect("the client reads");
    });
    let output = run("basic_retry", &[&url]);
    server.join().expect("one request, one answer");
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stderr);
    assert!(log.contains("permanent error: HTTP status 404 Not Found"), "{log}");
}

#[test]
fn custom_backoff_prints_every_series_and_finds_at_the_sixth_attempt() {
    let output = run("custom_backoff", &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    let words: Vec<&str> = out.split_whitespace().collect();
    let series = ["exponential", "1.000", "2.000", "4.000", "8.000", "16.000", "32.000", "60.000"];
    assert!(words.windows(series.len()).any(|window| window == series), "{out}");
    assert!(out.contains("attempt 5 of 10 failed, retrying in 50ms"), "{out}");
    assert!(out.contains("found after"), "{out}");
}

#[test]
fn conditional_retry_ends_each_case_as_it_should() {
    let output = run("conditional_retry", &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    for part in [
        "gave up after 1 attempt: permanent error: line 2 of the settings is not a number",
        "connected to 127.0.0.1:",
        "the sum is 42",
    ] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
}

#[test]
fn api_call_gets_its_story_at_the_fourth_connection() {
    let output = run("api_call", &[]);
    let (out, log) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(out.contains("Once upon a time there was a server that answered."), "{out}");
    assert!(out.contains("connections: 4"), "{out}");
    let records: Vec<&str> = log.lines().collect();
    assert_eq!(records.len(), 3, "each retry is logged once:\n{log}");
    for (record, attempt) in records.iter().zip(1..) {
        let part = format!("read the story: attempt {attempt} of 5 failed with ureq::");
        assert!(record.contains(&part), "{log}");
    }
}

#[test]
fn rate_limit_waits_for_the_hints_and_refuses_one_that_is_too_long() {
    let output = run("rate_limit", &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    // The hint of one second, plus a draw of up to a quarter of it: "1s", "1.01s", and so on.
    assert!(out.contains("attempt 1 of 4 failed, retrying in 1"), "{out}");
    assert!(out.contains("here you are, after 3 requests"), "{out}");
    assert!(out.contains("another server: gave up after 1 attempt: retry-after too long"), "{out}");
}

#[test]
fn locked_file_waits_for_the_other_process() {
    let output = run("locked_file", &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.first(), Some(&"the other process printed: locked"));
    assert!(lines.len() >= 5, "there were three retries: {out}");
    assert_eq!(lines.last(), Some(&"this process has the lock now"));
}

#[cfg(unix)]
mod command {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Output, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::{command, run_with, text};

    fn retry_command(arguments: &[&str]) -> Output {
        run_with("retry_command", arguments, &[("RETRY_INITIAL_DELAY", "1ms")])
    }

    /// Returns a script that fails `times` times with this exit code, and then succeeds. It counts
    /// in a file.
    fn fails(directory: &tempfile::TempDir, times: u32, code: u8) -> String {
        let file = directory.path().join("count");
        let file = file.display();
        format!("echo call; echo x >> {file}; test $(wc -l < {file}) -gt {times} || exit {code}")
    }

    #[test]
    fn fails_twice_and_then_succeeds() {
        let directory = tempfile::tempdir().expect("a folder");
        let script = fails(&directory, 2, 75);
        let output = retry_command(&["--attempts", "5", "--", "sh", "-c", &script]);
        assert!(output.status.success());
        assert_eq!(text(&output.stdout), "call\ncall\ncall\n");
        let log = text(&output.stderr);
        let records: Vec<&str> = log.lines().collect();
        assert_eq!(records.len(), 2, "each retry is logged once:\n{log}");
        let end = "attempt 2 of 5 failed, retrying in 2ms: exit status: 75";
        assert!(records[1].ends_with(end), "{log}");
    }

    #[test]
    fn gives_up_with_the_last_exit_code() {
        let output = retry_command(&["sh", "-c", "echo call; exit 75"]);
        assert_eq!(output.status.code(), Some(75));
        assert_eq!(text(&output.stdout), "call\n".repeat(3));
    }

    #[test]
    fn an_exit_code_that_is_not_on_the_list_is_permanent() {
        let output = retry_command(&["--on", "75,111", "--", "sh", "-c", "echo call; exit 3"]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), "call\n"));
        let output = retry_command(&["--on", "75,111", "--", "sh", "-c", "echo call; exit 111"]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(111), "call\ncall\ncall\n"));
    }

    #[test]
    fn what_is_not_found_or_cannot_be_run_is_not_retried() {
        let output = retry_command(&["--attempts", "5", "--", "no-such-command-anywhere"]);
        assert_eq!(output.status.code(), Some(127));
        let log = text(&output.stderr);
        assert!(log.starts_with("retry_command: cannot run no-such-command-anywhere: "), "{log}");
        assert!(!log.contains("attempt 1"), "{log}");
        let output =
            retry_command(&["--attempts", "5", "--", "sh", "-c", "echo call; no-such-command"]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(127), "call\n"));
        assert_eq!(retry_command(&["./Cargo.toml"]).status.code(), Some(126));
    }

    #[test]
    fn the_exit_code_of_a_command_that_a_signal_has_ended_is_128_and_the_signal() {
        let output = retry_command(&["sh", "-c", "echo call; kill -USR1 $$"]);
        assert_eq!(text(&output.stdout), "call\n");
        assert_eq!(output.status.code(), Some(128 + Signal::SIGUSR1 as i32));
    }

    /// Starts a retry of a script that prints `$PPID`, the id of `retry_command`. Also returns that
    /// id.
    fn start(script: &str, delay: &str) -> (Child, Pid) {
        let arguments = ["--attempts", "3", "--", "sh", "-c", script];
        let mut started = command("retry_command", &arguments, &[("RETRY_INITIAL_DELAY", delay)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo runs");
        let mut id = String::new();
        // Reads one byte at a time, to leave the rest of the output in the pipe.
        let output = started.stdout.as_mut().expect("a pipe");
        BufReader::with_capacity(1, output).read_line(&mut id).expect("an id");
        (started, Pid::from_raw(id.trim().parse().expect("an id")))
    }

    /// Returns the exit code, and the further output.
    fn end(started: Child) -> (Option<i32>, String) {
        let output = started.wait_with_output().expect("it ends");
        (output.status.code(), text(&output.stdout).to_owned())
    }

    #[test]
    fn a_signal_during_a_run_is_passed_on_and_ends_the_retry() {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            // Without the signal, the command would sleep for a minute.
            let (started, id) = start("echo $PPID; exec sleep 60", "1ms");
            kill(id, signal).expect("it runs");
            assert_eq!(end(started), (Some(128 + signal as i32), String::new()));
        }
    }

    /// Returns a command that ends by its signal handler, or fails after some seconds without the
    /// signal.
    fn handles(name: &str, handler: &str) -> String {
        format!(
            "trap '{handler}' {name}; echo $PPID; for _ in $(seq 300); do sleep 0.01; done; exit 4"
        )
    }

    #[test]
    fn after_a_signal_a_command_ends_in_its_own_time_and_its_failure_is_not_retried() {
        for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT")] {
            let (started, id) = start(&handles(name, "echo cleaned up; exit 3"), "1ms");
            kill(id, signal).expect("it runs");
            assert_eq!(end(started), (Some(128 + signal as i32), "cleaned up\n".to_owned()));
        }
    }

    #[test]
    fn a_command_that_succeeds_after_a_signal_has_succeeded() {
        let (started, id) = start(&handles("TERM", "echo finished; exit 0"), "1ms");
        kill(id, Signal::SIGTERM).expect("it runs");
        assert_eq!(end(started), (Some(0), "finished\n".to_owned()));
    }

    #[test]
    fn a_signal_during_a_wait_ends_it_at_once() {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            // Without the signal, the wait would take a minute.
            let (mut started, id) = start("echo $PPID; exit 75", "60s");
            let log = BufReader::new(started.stderr.take().expect("a pipe"));
            let mut log = log.lines().map(|line| line.expect("text"));
            assert!(log.any(|line| line.ends_with("retrying in 60s: exit status: 75")));
            kill(id, signal).expect("it waits");
            let number = signal as i32;
            let last = format!("retry_command: stopped by signal {number}: exit status: 75");
            assert_eq!(log.next(), Some(last));
            assert_eq!(end(started), (Some(128 + number), String::new()));
        }
    }

    #[test]
    fn the_option_stands_above_the_environment() {
        let variables = [("RETRY_MAX_ATTEMPTS", "2"), ("RETRY_INITIAL_DELAY", "1ms")];
        let fails = ["sh", "-c", "echo call; exit 1"];
        let output = run_with("retry_command", &fails, &variables);
        assert_eq!(text(&output.stdout), "call\n".repeat(2));
        let with_option = [&["--attempts", "4", "--"][..], &fails].concat();
        let output = run_with("retry_command", &with_option, &variables);
        assert_eq!(text(&output.stdout), "call\n".repeat(4));
    }

    #[test]
    fn wrong_use_is_told_and_runs_nothing() {
        for (arguments, variable, said) in [
            (&[][..], "1ms", "there is no command to run"),
            (&["--attempts", "0", "echo", "ran"], "1ms", "max_attempts: `0` is not allowed"),
            (&["--attempts", "many", "echo", "ran"], "1ms", "many"),
            (&["--tries", "3", "echo", "ran"], "1ms", "--tries"),
            (&["echo", "ran"], "soon", "environment variable RETRY_INITIAL_DELAY: `soon`"),
        ] {
            let output = run_with("retry_command", arguments, &[("RETRY_INITIAL_DELAY", variable)]);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            assert!(output.stdout.is_empty(), "{arguments:?}");
            assert!(text(&output.stderr).contains(said), "{arguments:?}");
        }
    }
}

#[test]
fn async_fetch_gets_all_fifty_pages_and_is_readable_when_piped() {
    let output = run("async_fetch", &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    // 13 pages fail once, 12 twice and 12 three times before they are served.
    // On a busy machine, the client's timeout may cause some more failures.
    let last = out.lines().last().expect("a last line");
    let attempts =
        last.strip_prefix("50 of 50 fetched with ").and_then(|rest| rest.split(' ').next());
    assert!(
        attempts.and_then(|number| number.parse().ok()).is_some_and(|number: u32| number >= 123),
        "{last}"
    );
    for why in ["busy", "timeout", "connection"] {
        let retry = |line: &str| line.contains(" of 6 failed, retrying in") && line.ends_with(why);
        assert!(out.lines().any(retry), "{why} is missing in:\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "no control characters: {out}");
}

#[test]
fn async_shutdown_ends_in_the_middle_of_a_wait() {
    let output = run("async_shutdown", &[]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    assert!(out.contains("attempt 1 failed, retrying in 100ms: Connection refused"), "{out}");
    assert!(out.contains("time to go"), "{out}");
    assert!(out.contains(": cancelled; the last error was: Connection refused"), "{out}");
}
