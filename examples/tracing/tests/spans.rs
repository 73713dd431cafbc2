//! The spans that an exporter to OpenTelemetry receives.

use std::collections::BTreeSet;

use opentelemetry::Value;
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tracing::subscriber::with_default;
use tracing_example::{attempts, operation};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

/// Runs `run`, and returns the spans in the order of their start.
fn exported(run: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // The HTTP client emits events as well.
    let filter = tracing_subscriber::filter::filter_fn(|metadata| {
        ["retry_ext", "tracing_example"].iter().any(|target| metadata.target().starts_with(target))
    });
    with_default(Registry::default().with(filter).with(layer), run);
    let mut spans = exporter.get_finished_spans().expect("spans");
    spans.sort_by_key(|span| span.start_time);
    spans
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|found| &found.value)
}

/// Answers each connection with one of the statuses.
async fn serve(listener: TcpListener, statuses: [&str; 3]) {
    for status in statuses {
        let (mut connection, _) = listener.accept().await.expect("a client");
        let mut request = [0; 1024];
        assert_ne!(connection.read(&mut request).await.expect("a request"), 0);
        let response =
            format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\npage");
        connection.write_all(response.as_bytes()).await.expect("a client");
    }
}

#[test]
fn each_attempt_is_a_span_with_the_number_of_its_resend() {
    let spans = exported(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}/", listener.local_addr().expect("an address"));
            let statuses = ["503 Service Unavailable", "503 Service Unavailable", "200 OK"];
            let client = Client::builder().no_proxy().build().expect("a client");
            let (page, ()) =
                tokio::join!(attempts::fetch(&client, &url), serve(listener, statuses));
            assert_eq!(page.expect("the third attempt succeeds"), "page");
        });
    });
    let (operations, attempts): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span.name == "retry");
    let counts: Vec<_> =
        attempts.iter().map(|span| attribute(span, "http.request.resend_count")).collect();
    assert_eq!(counts, [None, Some(&Value::I64(1)), Some(&Value::I64(2))]);
    assert!(attempts.iter().all(|span| span.name == "GET" && span.span_kind == SpanKind::Client));

    if !cfg!(feature = "tracing") {
        assert!(operations.is_empty());
        return;
    }
    let [operation] = operations[..] else { panic!("{operations:?}") };
    let id = operation.span_context.span_id();
    assert!(attempts.iter().all(|span| span.parent_span_id == id));
    assert_eq!(attribute(operation, "operation"), Some(&"fetch".into()));
    assert_eq!(attribute(operation, "attempts"), Some(&Value::I64(3)));
    assert_eq!(attribute(operation, "max_attempts"), Some(&Value::I64(3)));
    assert_eq!(attribute(operation, "waited"), Some(&Value::F64(0.03)));
    assert_eq!(
        attribute(operation, "caller.file"),
        Some(&"examples/tracing/src/attempts.rs".into())
    );
    assert_eq!(operation.events.len(), 3, "two retries, and a recovery");
    // Each attribute appears once. The place's attribute would appear twice under OpenTelemetry's own
    // name.
    let of_events = operation.events.iter().map(|event| &event.attributes);
    for attributes in spans.iter().map(|span| &span.attributes).chain(of_events) {
        let keys: BTreeSet<_> = attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys.len(), attributes.len(), "{attributes:?}");
    }
}

#[test]
fn a_loop_has_the_span_of_its_function() {
    let spans = exported(|| {
        let contents = [Err(std::io::ErrorKind::TimedOut.into()), Ok(String::new())];
        let mut contents = contents.into_iter();
        assert!(operation::load(&mut || contents.next().expect("two attempts")).is_ok());
    });
    let [span] = &spans[..] else { panic!("{spans:?}") };
    let events = if cfg!(feature = "tracing") { 2 } else { 0 };
    assert_eq!((span.name.as_ref(), span.events.len()), ("load", events));
}
