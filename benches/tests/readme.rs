//! Checks that the cost section of the crate's README has the figures of `benches/README.md`.
//!
//! `UPDATE_README=1 cargo test -p peer-benches --test readme` writes the figures into that section.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use peer_benches::report::label;

/// The columns. The names of other crates get the measured version.
const COLUMNS: [&str; 6] = ["by hand", "retry-ext", "backon", "retry", "tokio-retry", "relentless"];
const BEGIN: &str = "<!-- begin cost -->\n";
const END: &str = "<!-- end cost -->\n";

/// A table of `benches/README.md`.
struct Table {
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns the first table in the text.
    fn of(text: &str) -> Self {
        let lines = text.lines().skip_while(|line| !line.starts_with('|'));
        let mut rows: Vec<Vec<String>> = lines
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(without_footnote).collect())
            .collect();
        assert!(rows.len() > 2, "no table in {text:?}");
        rows.remove(1);
        Self { titles: rows.remove(0), rows }
    }

    fn figure(&self, row: &str, column: &str) -> &str {
        let column = self.titles.iter().position(|title| title == column);
        let row = self.rows.iter().find(|fields| fields[0] == row);
        match (row, column) {
            (Some(row), Some(column)) => &row[column],
            // A table of sizes has no row for a crate that cannot do any of its scenarios.
            _ => panic!("no such row or column"),
        }
    }
}

fn without_footnote(field: &str) -> String {
    field.split("<sup>").next().expect("a part").trim().to_owned()
}

fn section<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin:?}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?}")).0
}

fn cost() -> String {
    let measured = include_str!("../README.md");
    let part = |name: &str| {
        let marks = ["begin", "end"].map(|mark| format!("<!-- {mark} {name} -->"));
        Table::of(section(measured, &marks[0], &marks[1]))
    };
    let (counts, times, sizes) = (part("counts"), part("times"), part("sizes"));
    let build = Table::of(section(measured, "## Build time", "\n## "));
    let names = COLUMNS.map(label);

    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
    for (title, scenario) in [
        ("first success: instructions, ns", "first success"),
        ("two failures: instructions, ns", "two failures"),
        ("the same, async: instructions, ns", "async two failures"),
    ] {
        let _ = write!(text, "| {title} |");
        for name in &names {
            let both = [&counts, &times].map(|table| table.figure(name, scenario));
            let _ = if both[0] == "–" {
                write!(text, " – |")
            } else {
                write!(text, " {}, {} |", both[0], both[1])
            };
        }
        text.push('\n');
    }
    for (title, table, column) in [
        ("bytes of a future", &counts, "bytes of the future"),
        ("ten blocking sites, kB", &sizes, "ten blocking sites"),
        ("one tokio site, kB", &sizes, "one tokio site"),
    ] {
        let fields = names.each_ref().map(|name| table.figure(name, column));
        let _ = writeln!(text, "| {title} | {} |", fields.join(" | "));
    }
    let build = |row| build.figure(row, "seconds");
    let _ = write!(
        text,
        "\nA cold debug build takes {} s of processor time, and {} s with `macros`; {} s for `backon`.\n",
        build("default features"),
        build("with `macros`"),
        build(&label("backon")),
    );
    text
}

#[test]
fn figures_of_the_crates_readme_are_those_that_were_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let expected = cost();
    if env::var_os("UPDATE_README").is_some() {
        let (before, rest) = readme.split_once(BEGIN).expect("the section begins");
        let (_, after) = rest.split_once(END).expect("the section ends");
        fs::write(path, [before, BEGIN, &expected, END, after].concat()).unwrap();
    } else {
        assert_eq!(section(&readme, BEGIN, END), expected, "UPDATE_README=1 accepts it");
    }
}
