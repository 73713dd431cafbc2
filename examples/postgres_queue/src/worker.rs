//! A worker: this is the code to copy. `run` is the job.

use std::pin::pin;
use std::time::Duration;

use retry_ext::{Jitter, RetryPolicy};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use workers_example::{Error, run};

/// A worker may take a job that is due: after its delay, or if its last worker has written nothing for the lease.
pub const TABLE: &str = "create table job (
    id bigint generated always as identity primary key,
    text text not null,
    state text not null default 'open',
    attempts integer not null default 0,
    first_at timestamptz,
    due_at timestamptz not null default now()
); create index on job (due_at) where state = 'open'";

const TAKE: &str = "update job
    set attempts = attempts + 1, first_at = coalesce(first_at, now()),
        due_at = now() + $1 * interval '1 second'
    where id = (select id from job where state = 'open' and due_at <= now()
                order by due_at limit 1 for update skip locked)
    returning id, text, attempts, extract(epoch from now() - first_at)::float8 as elapsed";

/// `attempts` is the fence: if another worker has taken the job since, this changes no row. Neither does it if a person
/// has closed the job.
const SETTLE: &str = "update job set state = $3, due_at = now() + $4 * interval '1 second'
    where id = $1 and attempts = $2 and state = 'open'";

/// The delays are short, so that the example ends soon. A job has four attempts, in the 60 days after the first one began.
pub const POLICY: RetryPolicy = RetryPolicy::new()
    .with_name("job")
    .with_initial_delay(Duration::from_millis(100))
    .with_jitter(Jitter::Equal)
    .with_max_attempts(4)
    .with_max_elapsed(Duration::from_secs(60 * 24 * 60 * 60));

/// A worker that writes nothing for this time has lost its job.
pub const LEASE: Duration = Duration::from_millis(1500);

/// Takes one job after another.
///
/// # Errors
///
/// If the server cannot be reached.
pub async fn work(client: &Client) -> Result<(), Error> {
    'jobs: loop {
        // Committed before the work: an attempt counts even if it ends the process.
        let Some(job) = client.query_opt(TAKE, &[&LEASE.as_secs_f64()]).await? else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (id, attempts): (i64, i32) = (job.get("id"), job.get("attempts"));
        let settle = async |state: &str, after: Duration| {
            client.execute(SETTLE, &[&id, &attempts, &state, &after.as_secs_f64()]).await
        };
        let elapsed = Duration::try_from_secs_f64(job.get("elapsed")).unwrap_or_default();
        let Ok(mut retry) = POLICY.resume(attempts.try_into()?, elapsed) else {
            settle("dead", Duration::ZERO).await?;
            continue;
        };
        let mut running = pin!(run(job.get("text"), retry.attempt()));
        let outcome = loop {
            match timeout(LEASE / 3, &mut running).await {
                Ok(outcome) => break outcome,
                Err(_elapsed) if settle("open", LEASE).await? == 1 => {} // a heartbeat
                Err(_elapsed) => continue 'jobs, // the job is no longer ours
            }
        };
        let (state, after) = match outcome {
            Ok(()) => {
                retry.succeeded();
                ("done", Duration::ZERO)
            }
            Err(error) => match retry.delay_after(&error) {
                Ok(delay) => ("open", delay),
                Err(_reason) => ("dead", Duration::ZERO),
            },
        };
        settle(state, after).await?;
    }
}
