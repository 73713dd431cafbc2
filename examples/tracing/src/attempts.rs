//! A span for each attempt, with the attribute by which OpenTelemetry counts retries.

use std::time::Duration;

use reqwest::Client;
use retry_ext::{
    AsyncRetryExt, Attempt, CheckStatus, HttpError, RetryError, RetryPolicy, attempts,
};
use tracing::{Instrument, Span, info_span};

const POLICY: RetryPolicy =
    RetryPolicy::new().with_name("fetch").with_initial_delay(Duration::from_millis(10));

/// Returns the page. Each attempt is a span.
///
/// # Errors
///
/// If the last attempt failed.
pub async fn fetch(
    client: &Client,
    url: &str,
) -> Result<String, RetryError<HttpError<reqwest::Error>>> {
    attempts(|attempt| {
        let get = async { Ok(client.get(url).send().await?.check_status()?.text().await?) };
        get.instrument(span(attempt))
    })
    .retry_with(&POLICY)
    .await
}

/// The first attempt is no resend, so its span has no count. OpenTelemetry's numbers are signed.
fn span(attempt: Attempt) -> Span {
    let resend_count = (attempt.number() > 1).then_some(i64::from(attempt.number()) - 1);
    info_span!("GET", otel.kind = "client", http.request.resend_count = resend_count)
}
