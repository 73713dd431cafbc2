//! Counts the instructions, bytes and allocations of each contender in each scenario.
//!
//! ```sh
//! cargo run --profile bench -p peer-benches --bin instructions               # prints the table
//! cargo run --profile bench -p peer-benches --bin instructions -- --update   # writes the table into the README
//! cargo run --profile bench -p peer-benches --bin instructions -- --check    # fails if a limit is exceeded
//! ```
//!
//! The program runs itself under callgrind, with two loads for each figure. The figure of one call
//! or delay is the difference of the counts divided by the difference of the loads. The figure
//! therefore excludes the start of the process and the making of policies, runtimes and iterators.

use std::env;
use std::process::{Command, ExitCode};

use allocation_counter::measure;
use peer_benches::contenders::{self, RETRY_EXT};
use peer_benches::report::{self, Figure, rounded};
use peer_benches::{Contender, Load, Scenario};

/// The calls of a run. Jitter makes calls differ; this many make the third digit exact.
const TIMES: u32 = 20_000;

struct Column {
    title: &'static str,
    count: Count,
    /// The most that this crate may need.
    limit: Option<f64>,
}

#[derive(Clone, Copy)]
enum Count {
    Instructions(Scenario),
    /// The size of the future.
    Bytes(Scenario),
    /// The allocations in the worst scenario.
    Allocations,
}

impl Count {
    fn show(self, value: f64) -> String {
        match self {
            Self::Instructions(_) => rounded(value),
            Self::Bytes(_) | Self::Allocations => value.to_string(),
        }
    }
}

const fn instructions(scenario: Scenario, limit: Option<f64>) -> Column {
    Column { title: scenario.title(), count: Count::Instructions(scenario), limit }
}

/// The columns of the table. The limits hold for the compiler and the target that the README names.
static COLUMNS: [Column; 9] = [
    instructions(Scenario::FirstSuccess, Some(46.0)),
    instructions(Scenario::TwoFailures, Some(300.0)),
    instructions(Scenario::NextDelay, Some(28.0)),
    instructions(Scenario::JitteredDelay, Some(46.0)),
    instructions(Scenario::AsyncFirstSuccess, Some(88.0)),
    instructions(Scenario::AsyncTwoFailures, None),
    Column {
        title: "bytes of the future",
        count: Count::Bytes(Scenario::AsyncFirstSuccess),
        limit: Some(144.0),
    },
    Column {
        title: "with predicate and hook",
        count: Count::Bytes(Scenario::AsyncTwoFailures),
        limit: Some(144.0),
    },
    Column { title: "allocations", count: Count::Allocations, limit: Some(0.0) },
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--perform", contender, scenario, times, draws] => {
            perform(contender, scenario, times, draws)
        }
        _ if cfg!(debug_assertions) => {
            Err("this is a debug build; run it with `--profile bench`".into())
        }
        [] => table().map(|table| print!("{table}")),
        ["--update"] => table().and_then(|table| report::update("counts", &table)),
        ["--check"] => check(),
        _ => Err("usage: instructions [--check | --update]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn table() -> Result<String, String> {
    let valgrind = report::output(Command::new("valgrind").arg("--version"))?;
    let titles = COLUMNS.each_ref().map(|column| column.title);
    let names = contenders::ALL.map(|contender| contender.name);
    let table = report::table(&names, &titles, |row, column| {
        let contender = contenders::ALL[row];
        let count = COLUMNS[column].count;
        let value = value(contender, count)?;
        let remark = match count {
            Count::Instructions(scenario) => contender.entry(scenario).remark,
            Count::Bytes(scenario) if value.is_none() => contender.entry(scenario).remark,
            Count::Bytes(_) | Count::Allocations => "",
        };
        Ok(Figure { value: value.map(|value| count.show(value)), remark })
    })?;
    Ok(format!(
        "Instructions and allocations per call, or per delay; {}, thin LTO, {}.\n\n{table}",
        report::compiler()?,
        valgrind.trim()
    ))
}

fn check() -> Result<(), String> {
    let mut above = 0;
    for column in &COLUMNS {
        let Some(limit) = column.limit else { continue };
        let value = value(&RETRY_EXT, column.count)?.ok_or("this crate can do all")?;
        let verdict = if value > limit { "ABOVE" } else { "within" };
        above += u32::from(value > limit);
        println!("{}: {}, {verdict} the limit of {limit}", column.title, column.count.show(value));
    }
    if above == 0 { Ok(()) } else { Err(format!("{above} figures are above their limit")) }
}

fn value(contender: &Contender, count: Count) -> Result<Option<f64>, String> {
    match count {
        Count::Instructions(scenario) => {
            per_unit(contender, scenario, |load| callgrind(contender, scenario, load))
        }
        Count::Bytes(scenario) => {
            let tally = contender.perform(scenario, Load::full(1));
            tally.map(|tally| number(tally.future_bytes)).transpose()
        }
        Count::Allocations => {
            let mut most = None;
            for scenario in Scenario::ALL {
                let allocations = per_unit(contender, scenario, |load| {
                    let allocated =
                        measure(|| assert!(contender.perform(scenario, load).is_some()));
                    Ok(allocated.count_total)
                })?;
                most = most.into_iter().chain(allocations).reduce(f64::max);
            }
            Ok(most)
        }
    }
}

/// Returns the count per call or delay, or `None` if the contender cannot do the scenario.
fn per_unit(
    contender: &Contender,
    scenario: Scenario,
    count: impl Fn(Load) -> Result<u64, String>,
) -> Result<Option<f64>, String> {
    // Threads and libraries set themselves up in the first run, so it is not counted.
    if contender.perform(scenario, Load::full(1)).is_none() {
        return Ok(None);
    }
    let (baseline, units) = scenario.baseline(TIMES);
    let counted = count(Load::full(TIMES))?.checked_sub(count(baseline)?);
    Ok(Some(number(counted.ok_or("more work counts less")?)? / f64::from(units)))
}

fn number<N: TryInto<u32>>(count: N) -> Result<f64, String> {
    count.try_into().map(f64::from).map_err(|_| "more than 32 bits count".into())
}

fn callgrind(contender: &Contender, scenario: Scenario, load: Load) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let printed = report::output(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["--perform", contender.name, scenario.title()])
            .args([load.times.to_string(), load.draws.to_string()]),
    )?;
    let count = printed.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("callgrind has no count:\n{printed}"))
}

/// Does a scenario; this runs under callgrind.
fn perform(contender: &str, scenario: &str, times: &str, draws: &str) -> Result<(), String> {
    let contender = contenders::ALL.into_iter().find(|known| known.name == contender);
    let scenario = Scenario::ALL.into_iter().find(|known| known.title() == scenario);
    let (Some(contender), Some(scenario), Ok(times), Ok(draws)) =
        (contender, scenario, times.parse(), draws.parse())
    else {
        return Err("usage: instructions --perform CONTENDER SCENARIO TIMES true|false".into());
    };
    let done = contender.perform(scenario, Load { times, draws });
    done.map(|_| ()).ok_or_else(|| format!("{} cannot do that", contender.name))
}
