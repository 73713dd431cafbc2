//! The show: three workers, one of which is killed in the middle of an attempt, and a table of the later events.

use std::time::Duration;

use tokio::process::Command;

use crate::checks::{PATIENCE, attempts, find, settle};
use crate::event::{Event, What, now};
use crate::workers::Workers;
use crate::{Error, Queue};

/// Runs the show and prints its table.
///
/// # Errors
///
/// Returns an error if one of the claims does not hold, or if the show takes too long.
pub async fn show<Q: Queue>(queue: &Q, program: impl Fn() -> Command) -> Result<(), Error> {
    let started = now();
    let mut workers = Workers::start(3, program)?;
    // The second attempt would take a minute: the kill ends it, however late.
    queue.add("mail fails 1 300 60000 300").await?;
    let victim = workers.until(PATIENCE, |event| event.is(&What::Started, "mail", 2)).await?;
    queue.add("report takes 2200").await?;
    queue.add("poison fails 999 20").await?;
    queue.add("crash crashes 20").await?;
    workers.go_on(Duration::from_millis(150)).await?;
    workers.kill(victim)?;
    settle(queue, &mut workers).await?;

    print_attempts(workers.events(), started);
    let dead = queue.dead().await?;
    let held = print_claims::<Q>(workers.events(), &dead, victim);
    workers.stop().await?;
    if held { Ok(()) } else { Err("a claim does not hold".into()) }
}

fn print_attempts(events: &[Event], started: Duration) {
    println!("   at ms  job     attempt  worker  outcome");
    for (place, event) in events.iter().enumerate() {
        let at = event.at.saturating_sub(started).as_millis();
        let Event { worker, job, attempt, .. } = event;
        match &event.what {
            What::Started => {
                let later = &events[place + 1..];
                let end = later.iter().find(|end| end.worker == *worker);
                let outcome = end.map_or_else(|| "unknown".to_owned(), |end| outcome(event, end));
                println!("{at:8}  {job:6}  {attempt:7}  {worker:6}  {outcome}");
            }
            // The report of a refusal: the job does not run.
            What::Logged(text) if job.is_empty() && text.contains("gave up after") => {
                println!("{at:8}  -             -  {worker:6}  {text}");
            }
            _ => {}
        }
    }
    println!();
}

fn outcome(start: &Event, end: &Event) -> String {
    let verb = match end.what {
        What::Succeeded => "succeeded",
        What::Failed => "failed",
        What::Ended => "its process ended",
        What::Started | What::Logged(_) => "unknown",
    };
    format!("{verb} after {} ms", (end.at.saturating_sub(start.at)).as_millis())
}

/// Prints each claim with its figures, and returns whether all of them hold.
fn print_claims<Q: Queue>(events: &[Event], dead: &[String], victim: u32) -> bool {
    let max_attempts = Q::RULES.policy.max_attempts();
    let lease = Q::RULES.lease.as_millis();
    let all: Vec<_> = (1..=max_attempts).collect();
    let is_dead = |job: &str| dead.iter().any(|dead| dead == job);
    let mut held = true;
    let mut claim = |holds: bool, text: String| {
        println!("{} {text}", if holds { "ok  " } else { "NOT " });
        held &= holds;
    };

    let kill = find(events, &What::Ended, "mail", 2);
    let next = find(events, &What::Started, "mail", 3);
    let (worker, later) = match (kill, next) {
        (Some(kill), Some(next)) => (next.worker, next.at.saturating_sub(kill.at).as_millis()),
        _ => (0, 0),
    };
    claim(
        next.is_some_and(|next| next.worker != victim)
            && attempts(events, "mail") == [1, 2, 3]
            && find(events, &What::Succeeded, "mail", 3).is_some(),
        format!(
            "mail: worker {victim} was killed in attempt 2; worker {worker} went on {later} ms after the kill, \
             with attempt 3 (lease: {lease} ms)"
        ),
    );
    claim(
        attempts(events, "poison") == all && is_dead("poison"),
        format!("poison: failed {max_attempts} times, which is max_attempts, and was put aside"),
    );
    claim(
        attempts(events, "crash") == all && is_dead("crash"),
        format!(
            "crash: ended {max_attempts} workers, and was put aside before it could end another one"
        ),
    );
    let took = find(events, &What::Started, "report", 1)
        .zip(find(events, &What::Succeeded, "report", 1))
        .map_or(0, |(start, end)| end.at.saturating_sub(start.at).as_millis());
    claim(
        attempts(events, "report") == [1] && took > lease,
        format!("report: took {took} ms and ran once, thanks to heartbeats (lease: {lease} ms)"),
    );
    held
}
