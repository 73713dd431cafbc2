//! Measures how many bytes each contender's retries add to a program.
//!
//! ```sh
//! cargo run -p peer-benches --bin sizes               # prints the table
//! cargo run -p peer-benches --bin sizes -- --update   # writes the table into the README
//! cargo run -p peer-benches --bin sizes -- --check    # fails if a limit is exceeded
//! ```
//!
//! The programs are the package in `sizes/`, built by cargo for each combination of features with the
//! dependency versions of the workspace. Profile settings in the environment apply to them, so
//! `CARGO_PROFILE_RELEASE_OPT_LEVEL=s` in front of these commands measures programs built for size.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use peer_benches::report::{self, Figure};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sizes");
const LOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");

/// A program: its column in the table, and the feature that selects it.
struct Program {
    title: &'static str,
    feature: Option<&'static str>,
}

const ONE: Program = Program { title: "one blocking site", feature: None };
const TEN: Program = Program { title: "ten blocking sites", feature: Some("ten") };
const TOKIO: Program = Program { title: "one tokio site", feature: Some("tokio") };
const PROGRAMS: [Program; 3] = [ONE, TEN, TOKIO];

/// A row of the table: the feature that selects the contender, and a remark if a program is missing.
struct Row {
    name: &'static str,
    feature: &'static str,
    lacks: Lacks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Nothing,
    Blocking,
    Futures,
}

impl Row {
    const fn new(name: &'static str, feature: &'static str) -> Self {
        Self { name, feature, lacks: Lacks::Nothing }
    }

    fn remark(&self, program: &Program) -> &'static str {
        match self.lacks {
            Lacks::Blocking if program.feature != TOKIO.feature => "the crate is for futures",
            Lacks::Futures if program.feature == TOKIO.feature => {
                "the crate is for blocking operations"
            }
            _ => "",
        }
    }
}

const RETRY_EXT: Row = Row::new("retry-ext", "retry-ext");
const SILENT: Row = Row::new("retry-ext, logging compiled out", "silent");
const BACKON: Row = Row::new("backon", "backon");
const ROWS: [Row; 7] = [
    Row::new("by hand", "by-hand"),
    RETRY_EXT,
    SILENT,
    BACKON,
    Row { name: "retry", feature: "retry", lacks: Lacks::Futures },
    Row { name: "tokio-retry", feature: "tokio-retry", lacks: Lacks::Blocking },
    Row::new("relentless", "relentless"),
];

/// The most that this crate may add, as a multiple of `backon`'s size.
const LIMITS: [(Row, Program, f64); 5] = [
    (RETRY_EXT, ONE, 1.0),
    (RETRY_EXT, TEN, 1.0),
    (SILENT, ONE, 0.5),
    (SILENT, TEN, 0.5),
    (RETRY_EXT, TOKIO, 1.3),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table().map(|table| print!("{table}")),
        ["--update"] => table().and_then(|table| report::update("sizes", &table)),
        ["--check"] => check(),
        _ => Err("usage: sizes [--check | --update]".into()),
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
    let builder = Builder::new()?;
    let bases = builder.bases()?;
    let rows = ROWS.each_ref().map(|row| row.name);
    let titles = PROGRAMS.each_ref().map(|program| program.title);
    let table = report::table(&rows, &titles, |row, column| {
        let (row, program) = (&ROWS[row], &PROGRAMS[column]);
        let remark = row.remark(program);
        let value = match remark {
            "" => Some(kilobytes(builder.size(program, Some(row))? - bases[column])),
            _ => None,
        };
        Ok(Figure { value, remark })
    })?;
    let [one, ten, tokio] = bases.map(kilobytes);
    Ok(format!(
        "Kilobytes (1000 bytes) that the retries add to a program; {}, default release profile, stripped.\n\n\
         {table}\n\
         Without retries the programs have {one}, {ten} and {tokio} kB.\n",
        report::compiler()?
    ))
}

fn check() -> Result<(), String> {
    let builder = Builder::new()?;
    let bases = builder.bases()?;
    let added = |row: &Row, program: &Program| {
        let column = PROGRAMS.iter().position(|known| known.feature == program.feature);
        let base = column.map(|column| bases[column]).ok_or("unknown program")?;
        Ok::<_, String>(builder.size(program, Some(row))? - base)
    };
    let mut above = 0;
    for (row, program, factor) in &LIMITS {
        let (ours, theirs) = (added(row, program)?, added(&BACKON, program)?);
        let exceeded = f64::from(ours) > f64::from(theirs) * factor;
        let verdict = if exceeded { "ABOVE" } else { "within" };
        above += u32::from(exceeded);
        println!(
            "{}, {}: {} kB, {verdict} the limit of {factor} × {} kB",
            row.name,
            program.title,
            kilobytes(ours),
            kilobytes(theirs)
        );
    }
    if above == 0 { Ok(()) } else { Err(format!("{above} sizes are above their limit")) }
}

fn kilobytes(bytes: i32) -> String {
    format!("{:.1}", f64::from(bytes) / 1000.0)
}

/// Builds the programs, one after another in the same folder.
struct Builder {
    target: PathBuf,
}

impl Builder {
    /// Returns a builder with the workspace's locked versions, which builds beside this program.
    fn new() -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let target = program.ancestors().nth(2).ok_or("this program is in no folder")?;
        let lock = Path::new(PACKAGE).join("Cargo.lock");
        fs::copy(LOCK, &lock).map_err(|error| format!("{}: {error}", lock.display()))?;
        Ok(Self { target: target.join("sizes") })
    }

    fn bases(&self) -> Result<[i32; 3], String> {
        let [one, ten, tokio] = PROGRAMS.each_ref().map(|program| self.size(program, None));
        Ok([one?, ten?, tokio?])
    }

    /// Returns the size of a program. Without a contender, the program does not retry.
    fn size(&self, program: &Program, row: Option<&Row>) -> Result<i32, String> {
        let features = program.feature.into_iter().chain(row.map(|row| row.feature));
        report::output(
            Command::new(env!("CARGO"))
                .args(["build", "--release", "--quiet", "--bin", "peer-sizes"])
                .args(["--manifest-path", &format!("{PACKAGE}/Cargo.toml")])
                .args(["--features", &features.collect::<Vec<_>>().join(",")])
                .arg("--target-dir")
                .arg(&self.target),
        )?;
        let built = self.target.join("release").join("peer-sizes");
        let bytes = fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
        loaded(&bytes).ok_or_else(|| format!("{} is no 64-bit little-endian ELF", built.display()))
    }
}

/// Returns the loaded bytes of a 64-bit little-endian ELF file: the sum of its allocated sections
/// that have contents. The size of the file itself is rounded up to pages.
fn loaded(elf: &[u8]) -> Option<i32> {
    const NO_BITS: u64 = 8;
    const ALLOCATED: u64 = 2;

    let number = |start: usize, bytes: usize| {
        let digits = elf.get(start..start.checked_add(bytes)?)?;
        Some(digits.iter().rev().fold(0, |sum, digit| sum << 8 | u64::from(*digit)))
    };
    let index = |start, bytes| usize::try_from(number(start, bytes)?).ok();
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (headers, header_bytes, sections) = (index(0x28, 8)?, index(0x3a, 2)?, index(0x3c, 2)?);
    let mut sum = 0;
    for section in 0..sections {
        let header = headers.checked_add(section * header_bytes)?;
        let (kind, flags) = (number(header + 4, 4)?, number(header + 8, 8)?);
        if kind != NO_BITS && flags & ALLOCATED != 0 {
            sum += number(header + 0x20, 8)?;
        }
    }
    sum.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::loaded;

    #[test]
    fn allocated_sections_with_contents_are_summed() {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(0x40, 0);
        (elf[0x28], elf[0x3a], elf[0x3c]) = (0x40, 0x40, 3);
        // Three sections: allocated with contents, allocated without contents, and not loaded.
        for (kind, flags, size) in [(1, 6, 0x0102_u16), (8, 3, 0x1000), (1, 0, 0x2000)] {
            let mut header = [0; 0x40];
            (header[4], header[8]) = (kind, flags);
            header[0x20..0x22].copy_from_slice(&size.to_le_bytes());
            elf.extend(header);
        }
        assert_eq!(loaded(&elf), Some(0x0102));
        assert_eq!(loaded(&elf[..elf.len() - 1]), Some(0x0102));
        assert_eq!(loaded(&elf[..0xc8]), None);
        assert_eq!(loaded(b"\x7fELF\x01\x01"), None);
        assert_eq!(loaded(b"#!/bin/sh\n"), None);
    }
}
