//! Worker processes and a real NATS server, with a separate server for each test. Without `nats-server`, each test
//! prints "not checked" and passes. The tests really wait: for delays, for lost leases, for processes.
#![cfg(unix)]

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, AckKind};
use futures_util::TryStreamExt;
use jetstream_example::stream::{consumer, jobs as stream};
use jetstream_example::worker::ACK_WAIT;
use jetstream_example::{Jobs, Server, ServerError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use workers_example::{
    Error, Event, PATIENCE, Queue, What, Workers, attempts, check_attempts, check_delays,
    not_checked, settle, ten_runs,
};

const DAY: u64 = 24 * 60 * 60;

async fn server() -> Option<(Server, Jobs)> {
    let server = match Server::start().await {
        Ok(server) => server,
        Err(error @ ServerError::NotInstalled) => {
            not_checked("NATS JetStream", error);
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let jobs = Jobs::connect(server.address()).await.expect("a stream and a consumer");
    Some((server, jobs))
}

/// Returns the command of a worker whose clock is ahead by some seconds.
fn worker(server: &Server, ahead: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jetstream-example"));
    command.args(["worker", server.address(), &ahead.to_string()]);
    command
}

#[tokio::test]
async fn a_kill_in_each_of_ten_runs_loses_no_job_and_repeats_no_attempt() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    ten_runs(&jobs, || worker(&server, 0)).await
}

#[tokio::test]
async fn a_poison_job_runs_exactly_max_attempts_times() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(3, || worker(&server, 0))?;
    for (job, delays) in [("poison fails 999 20", 3), ("crash crashes 20", 3), ("bad makes", 0)] {
        jobs.add(job).await?;
        settle(&jobs, &mut workers).await?;
        let (name, _) = job.split_once(' ').expect("a name");
        let count = if name == "bad" { 1 } else { Jobs::RULES.policy.max_attempts() };
        let began = attempts(workers.events(), name);
        assert_eq!(began, (1..=count).collect::<Vec<_>>(), "{:#?}", workers.events());
        assert_eq!(check_delays(workers.events(), name, Jobs::RULES).len(), delays);
    }
    assert_eq!(jobs.dead().await?, ["poison", "crash", "bad"]);
    workers.stop().await
}

#[tokio::test]
async fn a_job_that_is_slower_than_the_ack_wait_runs_once() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(3, || worker(&server, 0))?;
    jobs.add("report takes 3500").await?;
    settle(&jobs, &mut workers).await?;
    assert_eq!(attempts(workers.events(), "report"), [1]);
    assert!(jobs.dead().await?.is_empty());
    workers.stop().await
}

/// A worker that fetches ahead would hold the second job until its time runs out, and another worker would get the
/// second delivery of this job.
#[tokio::test]
async fn a_job_behind_a_slow_one_runs_once() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    jobs.add("report takes 600000 1").await?;
    jobs.add("mail takes 1").await?;
    let mut workers = Workers::start(1, || worker(&server, 0))?;
    workers.until(PATIENCE, |event| event.is(&What::Started, "report", 1)).await?;
    let mut others = Workers::start(1, || worker(&server, 0))?;
    let is_done = |event: &Event| event.what == What::Succeeded && event.job == "mail";
    others.until(PATIENCE, is_done).await?;
    assert_eq!(attempts(others.events(), "mail"), [1]);
    workers.stop().await?;
    others.stop().await
}

#[tokio::test]
async fn a_deadline_of_60_days_counts_across_processes() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    jobs.add("late takes 600000").await?;
    // Each time, the only worker is killed in its attempt.
    for (attempt, ahead) in [(1, 0), (2, 60 * DAY - 3600)] {
        let mut workers = Workers::start(1, || worker(&server, ahead))?;
        workers.until(PATIENCE, |event| event.is(&What::Started, "late", attempt)).await?;
        workers.stop().await?;
    }
    let mut workers = Workers::start(1, || worker(&server, 60 * DAY))?;
    settle(&jobs, &mut workers).await?;
    assert_eq!(attempts(workers.events(), "late"), [0; 0], "it is refused before it runs");
    assert_eq!(jobs.dead().await?, ["late"]);
    let report = "job: gave up after 2 attempts: deadline exceeded".to_owned();
    let reports: Vec<_> = workers.events().iter().map(|event| event.what.clone()).collect();
    assert_eq!(reports, [What::Logged(report)]);
    workers.stop().await
}

/// The server has no fence: it accepts the answer of a worker that has lost its job.
#[tokio::test]
async fn a_late_success_counts_while_another_worker_runs_the_job() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(2, || worker(&server, 0))?;
    jobs.add("mail takes 3000 600000").await?;
    let first = workers.until(PATIENCE, |event| event.is(&What::Started, "mail", 1)).await?;
    let process = Pid::from_raw(workers.process(first).expect("it runs").cast_signed());
    kill(process, Signal::SIGSTOP)?;
    workers.until(PATIENCE, |event| event.is(&What::Started, "mail", 2)).await?;
    kill(process, Signal::SIGCONT)?;
    workers.until(PATIENCE, |event| event.is(&What::Succeeded, "mail", 1)).await?;
    settle(&jobs, &mut workers).await?;
    let second = workers.numbers().into_iter().find(|worker| *worker != first);
    let running = second.and_then(|second| workers.attempt_of(second));
    assert_eq!(running, Some(("mail".to_owned(), 2)));
    check_attempts(workers.events(), "mail", Jobs::RULES.policy);
    workers.stop().await
}

#[tokio::test]
async fn a_payload_that_is_no_text_is_put_aside_and_ends_no_worker() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    let context = jetstream::new(async_nats::connect(server.address()).await?);
    context.publish("jobs", vec![0xff].into()).await?.await?;
    let mut workers = Workers::start(1, || worker(&server, 0))?;
    settle(&jobs, &mut workers).await?;
    assert_eq!(jobs.dead().await?, ["\u{fffd}"]);
    assert!(workers.events().is_empty(), "{:#?}", workers.events());
    workers.stop().await
}

/// By default, the server gives out no further job while 1000 are pending, and a job in its delay is pending.
#[tokio::test]
async fn jobs_in_their_delay_do_not_stop_the_others() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    let context = jetstream::new(async_nats::connect(server.address()).await?);
    let consumer = consumer(&stream(&context).await?).await?;
    for _ in 0..1000 {
        jobs.add("late takes 1").await?;
    }
    let mut batch = consumer.fetch().max_messages(1000).messages().await?;
    while let Some(message) = batch.try_next().await? {
        message.ack_with(AckKind::Nak(Some(Duration::from_secs(3600)))).await?;
    }
    let mut workers = Workers::start(1, || worker(&server, 0))?;
    jobs.add("mail takes 1").await?;
    workers.until(PATIENCE, |event| event.is(&What::Succeeded, "mail", 1)).await?;
    workers.stop().await
}

#[tokio::test]
async fn a_job_is_open_after_those_around_it_are_done() -> Result<(), Error> {
    let Some((server, jobs)) = server().await else { return Ok(()) };
    let context = jetstream::new(async_nats::connect(server.address()).await?);
    let consumer = consumer(&stream(&context).await?).await?;
    assert!(jobs.open().await?.is_empty());
    for job in ["report takes 1", "mail takes 1", "poison takes 1"] {
        jobs.add(job).await?;
    }
    let mut batch = consumer.fetch().max_messages(3).messages().await?;
    let mut messages = Vec::new();
    while let Some(message) = batch.try_next().await? {
        messages.push(message);
    }
    context.publish("dead", "poison takes 1".into()).await?.await?;
    for done in [2, 0] {
        messages[done].double_ack().await?;
    }
    assert_eq!(jobs.open().await?, ["mail"]);
    Ok(())
}

#[tokio::test]
async fn a_worker_brings_its_ack_wait_to_a_consumer_that_exists() -> Result<(), Error> {
    let Some((server, _jobs)) = server().await else { return Ok(()) };
    let context = jetstream::new(async_nats::connect(server.address()).await?);
    let stream = stream(&context).await?;
    let earlier = consumer(&stream).await?.cached_info().config.clone();
    let earlier = pull::Config {
        durable_name: earlier.durable_name,
        filter_subject: earlier.filter_subject,
        ack_wait: ACK_WAIT / 2,
        ..pull::Config::default()
    };
    let earlier = stream.create_consumer(earlier).await?;
    assert_eq!(earlier.cached_info().config.ack_wait, ACK_WAIT / 2);
    assert_eq!(consumer(&stream).await?.cached_info().config.ack_wait, ACK_WAIT);
    Ok(())
}
