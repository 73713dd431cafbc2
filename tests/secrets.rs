//! Pitfall 23: an error whose text holds a secret leaves no trace of the secret in a real logger's
//! log.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

use log::kv::{Key, Value, VisitSource};
use retry_ext::{IsTransient, RetryExt, RetryPolicy};

const SECRET: &str = "hunter2";

#[derive(IsTransient)]
#[transient]
struct Leaky;

impl fmt::Debug for Leaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaky {{ url: \"https://user:{SECRET}@host/\" }}")
    }
}

impl fmt::Display for Leaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot reach https://host/?token={SECRET}")
    }
}

impl std::error::Error for Leaky {}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the lock is not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Pairs(Vec<String>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        self.0.push(format!("{key}={value} {value:?}"));
        Ok(())
    }
}

#[test]
fn p23_no_trace_of_a_secret_in_the_log_at_any_level() {
    let sink = Sink::default();
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Trace)
        .target(env_logger::Target::Pipe(Box::new(sink.clone())))
        .format(|line, record| {
            let mut pairs = Pairs(Vec::new());
            record.key_values().visit(&mut pairs).expect("the visitor takes everything");
            let (level, target, pairs) = (record.level(), record.target(), pairs.0.join(" "));
            writeln!(line, "{level} {target} {} {pairs}", record.args())
        })
        .init();

    let given_up = (|| Err::<(), _>(Leaky)).sleep_with(|_| ()).retry_with(RetryPolicy::new());
    let mut failures = 1;
    let recovered = (|| {
        if failures == 0 {
            return Ok(());
        }
        failures -= 1;
        Err(Leaky)
    })
    .sleep_with(|_| ())
    .retry_with(RetryPolicy::new().with_name("fetch"));
    assert!(recovered.is_ok());

    let log =
        String::from_utf8(sink.0.lock().expect("the lock is not poisoned").clone()).expect("text");
    for part in ["WARN", "DEBUG", "retry_ext", "attempt=1", "delay=1", "gave up", "secrets::Leaky"]
    {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    assert!(!log.contains(SECRET), "the secret is in:\n{log}");

    // The caller can still ask for the text.
    let error = given_up.expect_err("it fails");
    assert!(error.error().to_string().contains(SECRET));
    assert!(!error.to_string().contains(SECRET));
}
