//! Worker processes and a real PostgreSQL server, with a separate server for each test. Without PostgreSQL, each test
//! prints "not checked" and passes. The tests really wait: for delays, for lost leases, for processes.
#![cfg(unix)]

use std::time::Duration;

use database_example::{Cluster, ClusterError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres_queue_example::{Jobs, start};
use tokio::process::Command;
use workers_example::{
    Error, Event, PATIENCE, Queue, What, Workers, attempts, check_delays, not_checked, settle,
    ten_runs,
};

async fn server() -> Option<(Cluster, u16, Jobs)> {
    match start().await {
        Ok(server) => Some(server),
        Err(error) => match error.downcast_ref() {
            Some(ClusterError::NotInstalled | ClusterError::NoUser) => {
                not_checked("a queue in PostgreSQL", error);
                None
            }
            _ => panic!("{error}"),
        },
    }
}

fn worker(port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postgres-queue-example"));
    command.args(["worker", &port.to_string()]);
    command
}

#[tokio::test]
async fn a_kill_in_each_of_ten_runs_loses_no_job_and_repeats_no_attempt() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    ten_runs(&jobs, || worker(port)).await
}

#[tokio::test]
async fn a_poison_job_runs_exactly_max_attempts_times() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(3, || worker(port))?;
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
async fn a_job_that_is_slower_than_the_lease_runs_once() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(3, || worker(port))?;
    jobs.add("report takes 3500").await?;
    settle(&jobs, &mut workers).await?;
    assert_eq!(attempts(workers.events(), "report"), [1]);
    assert!(jobs.dead().await?.is_empty());
    workers.stop().await
}

#[tokio::test]
async fn a_deadline_of_60_days_counts_across_processes() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    jobs.add("late takes 600000").await?;
    // Each time, the only worker is killed in its attempt.
    for (attempt, first_at) in [(1, "now()"), (2, "now() - interval '59 days 23 hours'")] {
        let set_back = format!("update job set first_at = {first_at} where attempts > 0");
        jobs.client().batch_execute(&set_back).await?;
        let mut workers = Workers::start(1, || worker(port))?;
        workers.until(PATIENCE, |event| event.is(&What::Started, "late", attempt)).await?;
        workers.stop().await?;
    }
    let set_back = "update job set first_at = now() - interval '60 days'";
    jobs.client().batch_execute(set_back).await?;
    let mut workers = Workers::start(1, || worker(port))?;
    settle(&jobs, &mut workers).await?;
    assert_eq!(attempts(workers.events(), "late"), [0; 0], "it is refused before it runs");
    assert_eq!(jobs.dead().await?, ["late"]);
    let report = "job: gave up after 2 attempts: deadline exceeded".to_owned();
    let reports: Vec<_> = workers.events().iter().map(|event| event.what.clone()).collect();
    assert_eq!(reports, [What::Logged(report)]);
    workers.stop().await
}

#[tokio::test]
async fn a_worker_that_outlived_its_lease_changes_nothing() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(2, || worker(port))?;
    // Succeeds in the first attempt, after `late`, and fails for good in the second one.
    let late = Duration::from_secs(2);
    jobs.add(&format!("mail late {}", late.as_millis())).await?;
    let first = workers.until(PATIENCE, |event| event.is(&What::Started, "mail", 1)).await?;
    let process = Pid::from_raw(workers.process(first).expect("it runs").cast_signed());
    kill(process, Signal::SIGSTOP)?;
    settle(&jobs, &mut workers).await?;
    assert_eq!(jobs.dead().await?, ["mail"]);

    // When the worker wakes, its attempt is over, so no heartbeat finds that the lease is lost.
    workers.go_on(late).await?;
    kill(process, Signal::SIGCONT)?;
    workers.until(PATIENCE, |event| event.is(&What::Succeeded, "mail", 1)).await?;
    // The same worker takes another job after it has reported the first one.
    for worker in workers.numbers() {
        if worker != first {
            let process = Pid::from_raw(workers.process(worker).expect("it runs").cast_signed());
            kill(process, Signal::SIGSTOP)?;
        }
    }
    jobs.add("next takes 1").await?;
    // The server may give the first attempt to a request of a worker that is stopped.
    let is_done = |event: &Event| event.what == What::Succeeded && event.job == "next";
    let next = workers.until(PATIENCE, is_done).await?;
    assert_eq!(next, first);
    assert_eq!(jobs.dead().await?, ["mail"], "the late success changes nothing");
    workers.stop().await
}

#[tokio::test]
async fn a_job_that_a_person_closes_while_it_runs_stays_closed() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(1, || worker(port))?;
    jobs.add("report takes 600000").await?;
    let busy = workers.until(PATIENCE, |event| event.is(&What::Started, "report", 1)).await?;
    jobs.client().batch_execute("update job set state = 'dead'").await?;
    // The next heartbeat ends the attempt.
    jobs.add("next takes 1").await?;
    let next = workers.until(PATIENCE, |event| event.is(&What::Succeeded, "next", 1)).await?;
    assert_eq!(next, busy);
    assert_eq!(jobs.dead().await?, ["report"]);
    workers.stop().await
}

#[tokio::test]
async fn a_worker_that_loses_its_connection_ends_and_another_goes_on() -> Result<(), Error> {
    let Some((_cluster, port, jobs)) = server().await else { return Ok(()) };
    let mut workers = Workers::start(1, || worker(port))?;
    jobs.add("mail takes 600000 20").await?;
    let first = workers.until(PATIENCE, |event| event.is(&What::Started, "mail", 1)).await?;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()";
    jobs.client().batch_execute(cut).await?;
    let second = workers.until(PATIENCE, |event| event.is(&What::Succeeded, "mail", 2)).await?;
    assert_ne!(second, first);
    assert!(workers.events().iter().any(|event| event.is(&What::Ended, "mail", 1)));
    workers.stop().await
}
