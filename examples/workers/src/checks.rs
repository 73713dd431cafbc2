//! Checks on the events of any workers, and ten runs with a kill in each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use retry_ext::{Jitter, RetryPolicy};
use tokio::process::Command;
use tokio::time::timeout;

use crate::event::{Event, What};
use crate::workers::Workers;
use crate::{Error, Queue, Rules};

/// The longest time by which any attempt may begin later than its delay. A busy machine may stop all processes for a
/// part of this time. No attempt may begin earlier than its delay, except for `SKEW`.
pub const TOLERANCE: Duration = Duration::from_secs(5);

/// The longest median of these times over ten runs: servers look for work in intervals, and processes take time to
/// start.
const USUAL: Duration = Duration::from_millis(500);

/// The longest step of a server's clock during a delay.
const SKEW: Duration = Duration::from_millis(10);

/// The time after which a job counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Reports a missing server. The test harness hides `println`, but not this line.
pub fn not_checked(server: &str, reason: impl Display) {
    let _unused = writeln!(io::stderr(), "not checked: {server}: {reason}");
}

/// Returns the numbers of a job's attempts that began.
#[must_use]
pub fn attempts(events: &[Event], job: &str) -> Vec<u32> {
    let began = events.iter().filter(|event| event.job == job && event.what == What::Started);
    began.map(|event| event.attempt).collect()
}

pub(crate) fn find<'a>(
    events: &'a [Event],
    what: &What,
    job: &str,
    attempt: u32,
) -> Option<&'a Event> {
    events.iter().find(|event| event.is(what, job, attempt))
}

/// Returns the range of the delay after a failed attempt under equal jitter: from half of the nominal delay to all of
/// it.
fn range(policy: RetryPolicy, attempt: u32) -> Option<(Duration, Duration)> {
    assert_eq!(policy.jitter(), Jitter::Equal, "the range below is that of equal jitter");
    let mut nominal = policy.with_jitter(Jitter::None).delays();
    let delay = nominal.nth(attempt as usize - 1)?;
    Some((delay / 2, delay))
}

/// Runs until all jobs are done or dead.
///
/// # Errors
///
/// Returns an error if the jobs take too long, or if the queue cannot be reached.
pub async fn settle(queue: &impl Queue, workers: &mut Workers<'_>) -> Result<(), Error> {
    let step = Duration::from_millis(20);
    let settled = async {
        while !queue.open().await?.is_empty() {
            workers.go_on(step).await?;
        }
        workers.go_on(step).await
    };
    timeout(PATIENCE, settled).await.map_err(|_| "a job is lost")?
}

/// Checks that no attempt of a job ran twice, that they are in order, and that there are at most `max_attempts`.
///
/// # Panics
///
/// Panics if one of these conditions does not hold.
pub fn check_attempts(events: &[Event], job: &str, policy: RetryPolicy) {
    let began = attempts(events, job);
    assert!(began.is_sorted_by(|one, next| one < next), "{job} ran {began:?}: {events:#?}");
    let last = began.last().copied().unwrap_or_default();
    assert!(last <= policy.max_attempts(), "{job} ran {began:?}: {events:#?}");
}

/// Checks the time between each attempt of a job and the next one. After a failure, the time is the policy's delay.
/// After a kill, the time is the rest of the lease. Returns the number of each checked attempt, and by how much it began
/// later than its time.
///
/// # Panics
///
/// Panics if an attempt began too early or too late.
#[must_use]
pub fn check_delays(events: &[Event], job: &str, rules: Rules) -> Vec<(u32, Duration)> {
    let mut checked = Vec::new();
    for attempt in attempts(events, job) {
        let Some(next) = find(events, &What::Started, job, attempt + 1) else { continue };
        let (from, least, most) = if let Some(failed) = find(events, &What::Failed, job, attempt) {
            let Some((least, most)) = range(rules.policy, attempt) else { continue };
            (failed.at, least, most)
        } else if let Some(ended) = find(events, &What::Ended, job, attempt) {
            (ended.at, Duration::ZERO, rules.lease)
        } else {
            continue; // it was killed after its last event
        };
        let delay = next.at.saturating_sub(from);
        assert!(
            least <= delay + SKEW && delay <= most + TOLERANCE,
            "{job}: attempt {} began after {delay:?}, not {least:?}..={most:?}",
            attempt + 1
        );
        checked.push((attempt + 1, delay.saturating_sub(most)));
    }
    checked
}

/// Waits until a worker runs the job, and returns the number of this worker. Returns `None` if the job is done or dead.
async fn runs_next(
    queue: &impl Queue,
    workers: &mut Workers<'_>,
    job: &str,
) -> Result<Option<u32>, Error> {
    let waiting = async {
        loop {
            let numbers = workers.numbers();
            let job_of = |worker: &u32| workers.attempt_of(*worker).map(|(job, _)| job);
            let worker = numbers.into_iter().find(|worker| job_of(worker).as_deref() == Some(job));
            if worker.is_some() || !queue.open().await?.iter().any(|open| open == job) {
                return Ok(worker);
            }
            workers.go_on(Duration::from_millis(5)).await?;
        }
    };
    timeout(PATIENCE, waiting).await.map_err(|_| "a job is lost")?
}

/// Makes ten runs with four workers and three jobs. In each run, a worker is killed at a random moment: the one that runs
/// a certain job, or any worker if this job has ended. Checks that no job is lost or runs too often, and that the delays
/// follow the policy, for each number of an attempt. The runs really wait.
///
/// # Errors
///
/// Returns an error if the queue or a worker cannot be reached, or takes too long.
///
/// # Panics
///
/// Panics if a claim does not hold.
pub async fn ten_runs<Q: Queue>(queue: &Q, program: impl Fn() -> Command) -> Result<(), Error> {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut workers = Workers::start(4, program)?;
    let mut interrupted = 0;
    let mut late = BTreeMap::<u32, Vec<Duration>>::new();
    for run in 1..=10 {
        let (report, mail, poison) =
            (format!("report{run}"), format!("mail{run}"), format!("poison{run}"));
        queue.add(&format!("{report} takes 1900 50")).await?;
        queue.add(&format!("{mail} fails 2 60")).await?;
        queue.add(&format!("{poison} fails 999 60")).await?;
        let jobs = [&report, &mail, &poison];

        // A random attempt of this job, and a random moment during the attempt or just after it.
        workers.go_on(Duration::from_millis(random.u64(0..500))).await?;
        let victim = runs_next(queue, &mut workers, jobs[run % jobs.len()]).await?;
        workers.go_on(Duration::from_millis(random.u64(0..70))).await?;
        let numbers = workers.numbers();
        workers.kill(victim.unwrap_or_else(|| numbers[random.usize(..numbers.len())]))?;

        settle(queue, &mut workers).await?;

        let events = workers.events();
        let max_attempts = Q::RULES.policy.max_attempts();
        let dead: BTreeSet<_> = queue.dead().await?.into_iter().collect();
        let interruption = events.iter().find(|event| {
            event.what == What::Ended && jobs.into_iter().any(|job| *job == event.job)
        });
        for job in jobs {
            check_attempts(events, job, Q::RULES.policy);
            for (attempt, by) in check_delays(events, job, Q::RULES) {
                late.entry(attempt).or_default().push(by);
            }
            let done = events.iter().any(|e| e.what == What::Succeeded && e.job == *job);
            assert_eq!(dead.contains(job), job == &poison, "{job}: {events:#?}");
            assert_eq!(done, job != &poison, "{job}: {events:#?}");
        }
        // A kill between the lease of a job and its first event takes one attempt, which did not run.
        let ran = attempts(events, &poison);
        let unseen = usize::from(interruption.is_none());
        assert!(ran.len() + unseen >= max_attempts as usize, "{ran:?}: {events:#?}");
        // A job that is slower than the lease runs once, unless its worker was killed.
        if interruption.is_some_and(|event| event.job != report) {
            assert_eq!(attempts(events, &report), [1], "{events:#?}");
        }
        interrupted += usize::from(interruption.is_some());
    }
    let delays = late.values().map(Vec::len).sum::<usize>();
    println!(
        "{interrupted} of 10 kills in the middle of an attempt, {delays} delays in their range"
    );
    assert!(interrupted >= 2 && delays >= 40, "{interrupted} kills, {delays} delays");
    for (attempt, mut late) in late {
        late.sort();
        assert!(late[late.len() / 2] <= USUAL, "attempt {attempt} began late by {late:?}");
    }
    workers.stop().await
}
