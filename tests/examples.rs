//! The examples, run as a person runs them. They really wait: `basic_retry` for three seconds and
//! more, the others for fractions of one.

use std::process::{Command, Output};

fn run(example: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    for proxy in
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        command.env_remove(proxy);
    }
    command
        .args(["run", "--quiet", "--example", example, "--"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUST_LOG")
        .output()
        .expect("cargo runs")
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
    for part in [
        "attempt 1 of 3 failed with basic_retry::FetchError, retrying in 1s",
        "attempt 2 of 3 failed with basic_retry::FetchError, retrying in 2s",
        "the server answered 503 Service Unavailable",
        "succeeded after 3 attempts and 3s of waiting",
    ] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
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
    // Port 1 (tcpmux) is one that nobody serves.
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
    assert!(log.contains("permanent error: the server answered 404 Not Found"), "{log}");
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
