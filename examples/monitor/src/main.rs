//! `cargo run -p monitor-example`
//!
//! Callers fetch from a server with an outage, and Prometheus reads their metrics. Afterwards the program asks Prometheus the
//! four questions of an operator, and prints the answers beside its own counts. With `-- --draw FILE`, it also draws the
//! dashboard. Without Prometheus on the PATH, it prints its own counts only.

use std::env;
use std::path::PathBuf;

use monitor_example::client;
use monitor_example::dashboard::Dashboard;
use monitor_example::page::Page;
use monitor_example::prometheus::{Prometheus, Series};
use monitor_example::questions::{BUDGET, GIVE_UPS, RETRIES, WAITS};
use retry_ext::StopReason;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args_os().skip(1);
    let file = match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => None,
        (Some(option), Some(file), None) if option == "--draw" => Some(PathBuf::from(file)),
        _ => return Err("usage: monitor-example [--draw FILE]".into()),
    };

    let page = Page::serve()?;
    println!("http://{}/metrics", page.address);
    let prometheus = Prometheus::start(page.address)?;
    println!(
        "{} s of calls, no server from {:?} to {:?}",
        client::RUN.as_secs(),
        client::OUTAGE.start,
        client::OUTAGE.end
    );
    let run = client::run()?;
    let asked = if let Some(prometheus) = &prometheus {
        Some((prometheus, prometheus.wait_for_read_after(run.end)?))
    } else {
        println!("Prometheus is not installed, so the counts are the program's own.");
        None
    };

    let answers = |question: &str, query: &str, unit: &str, own: String| {
        println!("\n{question}");
        for line in query.lines() {
            println!("    {line}");
        }
        if let Some((prometheus, at)) = asked {
            for series in prometheus.query(query, at)? {
                println!("  {}{}", shown(&series), unit);
            }
        }
        println!("  by its own counts: {own}");
        Ok::<_, Box<dyn std::error::Error>>(())
    };

    let own = format!("{} retries of {} operations", run.retries(), run.count());
    answers("How often do we retry?", RETRIES, " retries per operation", own)?;

    let reasons =
        [StopReason::BudgetExhausted, StopReason::AttemptsExhausted, StopReason::Permanent];
    let own = reasons.map(|reason| format!("{reason} {}", run.gave_up(reason))).join(", ");
    answers("What do we give up on?", GIVE_UPS, " of the operations", own)?;

    let waited = run.operations.iter().map(|ended| ended.waited).max().unwrap_or_default();
    answers(
        "How long do callers wait?",
        WAITS,
        " s or less for 99 of 100",
        format!("{waited:?} at most"),
    )?;

    let own = page.budget().into_iter().min();
    let own =
        own.map_or("the page was not read".to_owned(), |least| format!("{least} at its lowest"));
    answers("How full is the budget?", BUDGET, " retries at its lowest", own)?;

    if let (Some(file), Some(prometheus)) = (file, &prometheus) {
        let dashboard = Dashboard::of(prometheus, run.start)?;
        dashboard.draw(&file)?;
        println!("\n{}: {}", file.display(), dashboard.finding());
    }
    Ok(())
}

fn shown(series: &Series) -> String {
    let labels = ["operation", "reason", "budget"].map(|label| series.label(label)).join(" ");
    format!("{}: {:.3}", labels.split_whitespace().collect::<Vec<_>>().join(", "), series.value())
}
