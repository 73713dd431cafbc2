//! Measures the time of each contender in each scenario.
//!
//! ```sh
//! cargo bench -p peer-benches                   # prints a table in the end
//! UPDATE_README=1 cargo bench -p peer-benches   # and writes the table into the README
//! cargo bench -p peer-benches -- backon         # runs some only, without a table
//! ```

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{env, fs};

use criterion::Criterion;
use nix::time::{ClockId, clock_gettime};
use peer_benches::report::{self, Figure, rounded};
use peer_benches::{Contender, Load, Scenario, contenders};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let start = SystemTime::now();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion");
    let mut criterion = Criterion::default()
        .output_directory(&directory)
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(10_000)
        .configure_from_args();
    for scenario in Scenario::ALL {
        let mut group = criterion.benchmark_group(scenario.title());
        for contender in contenders::ALL {
            if contender.entry(scenario).is_possible() {
                group.bench_function(contender.name, |bencher| {
                    bencher.iter_custom(|times| time(contender, scenario, times));
                });
            }
        }
    }
    criterion.final_summary();

    let table = table(&directory, start);
    if env::var_os("UPDATE_README").is_some() {
        report::update("times", &table?)?;
    } else if let Ok(table) = table {
        println!("{table}");
    }
    Ok(())
}

/// Returns the time of this many calls or delays, without the setup before the first one.
///
/// This is the thread's CPU time: nothing sleeps here, and other programs do not count.
fn time(contender: &Contender, scenario: Scenario, times: u64) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock"));
    let took = |load| {
        let start = now();
        assert!(contender.perform(scenario, load).is_some(), "it is possible");
        now().saturating_sub(start)
    };
    let times = u32::try_from(times).expect("no more than fits into a second");
    let (baseline, units) = scenario.baseline(times);
    let time = took(Load::full(times)).saturating_sub(took(baseline));
    time.mul_f64(f64::from(times) / f64::from(units))
}

/// Returns the table, or an error if a figure was not measured since `start`.
fn table(directory: &Path, start: SystemTime) -> Result<String, String> {
    let names = contenders::ALL.map(|contender| contender.name);
    let table = report::table(&names, &Scenario::ALL.map(Scenario::title), |row, column| {
        let contender = contenders::ALL[row];
        let scenario = Scenario::ALL[column];
        let entry = contender.entry(scenario);
        let file = directory.join(scenario.title()).join(contender.name).join("new/estimates.json");
        let median = entry.is_possible().then(|| median(&file, start)).transpose();
        let median = median.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Figure { value: median.map(rounded), remark: entry.remark })
    })?;
    let compiler = report::compiler()?;
    Ok(format!("Nanoseconds per call, or per delay, medians; {compiler}, thin LTO.\n\n{table}"))
}

/// Returns the median that criterion measured.
fn median(file: &Path, start: SystemTime) -> Result<f64, Box<dyn Error>> {
    if fs::metadata(file)?.modified()? < start {
        return Err("it is of another run".into());
    }
    let found: Value = serde_json::from_slice(&fs::read(file)?)?;
    found["median"]["point_estimate"].as_f64().ok_or_else(|| "it has no median".into())
}
