//! A program whose log goes to its subscriber sees each retry once, with the feature `tracing` and without it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use retry_ext::{RetryExt, RetryPolicy};
use tracing_example::bridge;

#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic within").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn r10_each_retry_is_one_line() {
    let (printed, place) = (Printed::default(), file!());
    let writer = printed.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_line_number(true)
        .without_time()
        .with_ansi(false);
    bridge::install(subscriber.finish()).expect("the only logger and subscriber");

    let mut calls = 0;
    let operation = || {
        calls += 1;
        if calls < 3 { Err(io::ErrorKind::TimedOut) } else { Ok(()) }
    };
    let at = line!() + 1;
    operation.sleep_with(|_| ()).retry_with(RetryPolicy::new()).expect("a recovery");

    let bytes = printed.0.lock().expect("no panic within");
    let lines: Vec<_> = std::str::from_utf8(&bytes).expect("text").lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, (attempt, delay)) in lines.into_iter().zip([(1, 1), (2, 2)]) {
        let text = format!(
            "{place}:{at}: attempt {attempt} of 3 failed with std::io::error::ErrorKind, retrying in {delay}s"
        );
        if cfg!(feature = "tracing") {
            let fields = format!(
                "operation={place}:{at} attempt={attempt} max_attempts=3 delay={delay}.0 \
                 error_type=\"std::io::error::ErrorKind\" caller.file=\"{place}\" caller.line={at}"
            );
            assert!(line.ends_with(&format!("{text} {fields}")), "{line}");
        } else {
            // The bridge knows the place, and leaves the key-values out.
            assert_eq!(line, format!(" WARN retry_ext: {at}: {text}"));
        }
    }
}
