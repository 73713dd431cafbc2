//! The recipe for tonic's streams. `CallError` is the error of the recipe for calls.

use std::future::ready;

use futures_util::{Stream, StreamExt, TryFutureExt, TryStreamExt, stream};
use retry_ext::{ResubscribeExt, RetryError, RetryPolicy};
use tonic::Status;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::grpc::CallError;

/// Yields the health of a service and each change of it, and calls again after each break.
pub fn watch(
    client: &HealthClient<Channel>,
    service: &str,
    policy: RetryPolicy,
) -> impl Stream<Item = Result<HealthCheckResponse, RetryError<CallError>>> {
    (move || call(client.clone(), service.to_owned()).try_flatten_stream()).retry_with(policy)
}

async fn call(
    mut client: HealthClient<Channel>,
    service: String,
) -> Result<impl Stream<Item = Result<HealthCheckResponse, CallError>>, CallError> {
    let changes = client.watch(HealthCheckRequest { service }).await?.into_inner();
    // The service never ends this stream: a server that ends it is going away.
    let ended = Err(Status::unavailable("the stream has ended"));
    Ok(changes.chain(stream::once(ready(ended))).map_err(CallError))
}
