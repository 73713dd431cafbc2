//! The tables, and their sections in `README.md`.

use std::fmt::Write;
use std::process::Command;
use std::{fs, io};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The contents of a field of a table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The figure, or `None` if the contender cannot do the scenario.
    pub value: Option<String>,
    /// A remark below the table, which may be empty.
    pub remark: &'static str,
}

/// Returns a table with a row for each contender, and the remarks below the table.
///
/// # Errors
///
/// Returns the errors of `figure`, which is called with the index of each row and of each column.
pub fn table(
    names: &[&str],
    titles: &[&str],
    figure: impl Fn(usize, usize) -> Result<Figure, String>,
) -> Result<String, String> {
    let mut text = format!("| | {} |\n|---|{}\n", titles.join(" | "), "---:|".repeat(titles.len()));
    let mut remarks = Vec::new();
    for (row, name) in names.iter().enumerate() {
        let mut fields = vec![label(name)];
        for column in 0..titles.len() {
            let Figure { value, remark } = figure(row, column)?;
            let mut field = value.unwrap_or("–".into());
            if !remark.is_empty() {
                let known = remarks.iter().position(|known| *known == remark);
                let index = known.unwrap_or(remarks.len());
                remarks.splice(index..(index + 1).min(remarks.len()), [remark]);
                let _ = write!(field, "<sup>{}</sup>", index + 1);
            }
            fields.push(field);
        }
        let _ = writeln!(text, "| {} |", fields.join(" | "));
    }
    if !remarks.is_empty() {
        text.push('\n');
    }
    for (index, remark) in remarks.iter().enumerate() {
        let _ = writeln!(text, "{}. {remark}", index + 1);
    }
    Ok(text)
}

/// Rounds to three digits, or to a whole number if that has more.
#[must_use]
pub fn rounded(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Returns the name of a contender, with the version in `Cargo.lock` for a third-party crate.
#[must_use]
pub fn label(name: &str) -> String {
    let package = format!("name = \"{name}\"\nversion = \"");
    let locked = include_str!("../../Cargo.lock").split_once(&package);
    match locked.and_then(|(_, rest)| rest.split_once("\"\nsource = ")) {
        Some((version, _)) if !version.contains('\n') => format!("{name} {version}"),
        _ => name.into(),
    }
}

/// Returns the compiler and the target, on which the figures depend.
///
/// # Errors
///
/// Returns an error if `rustc` does not report them.
pub fn compiler() -> Result<String, String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    match (field("release: "), field("host: ")) {
        (Some(release), Some(host)) => Ok(format!("rustc {release}, {host}")),
        _ => Err(format!("`rustc -vV` prints only {text:?}")),
    }
}

/// Runs a program and returns its output on both streams.
///
/// # Errors
///
/// Returns an error if the program is missing or fails.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            if output.status.success() { Ok(text) } else { Err(format!("{name} failed:\n{text}")) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("`{name}` is missing: install it, and add it to the PATH"))
        }
        Err(error) => Err(format!("`{name}` does not start: {error}")),
    }
}

/// Writes a text into its section of `README.md`.
///
/// # Errors
///
/// Returns an error if the file or the section is missing.
pub fn update(section: &str, text: &str) -> Result<(), String> {
    let readme = fs::read_to_string(README).map_err(|error| format!("{README}: {error}"))?;
    let changed = replace(&readme, section, text);
    let changed = changed.ok_or_else(|| format!("{README} has no section {section:?}"))?;
    fs::write(README, changed).map_err(|error| format!("{README}: {error}"))
}

fn replace(readme: &str, section: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- begin {section} -->\n");
    let end = format!("<!-- end {section} -->\n");
    let (before, rest) = readme.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some([before, &begin, text, &end, after].concat())
}

#[cfg(test)]
mod tests {
    use super::{replace, rounded};

    #[test]
    fn a_section_is_replaced_and_the_rest_is_kept() {
        let readme = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n";
        let changed = "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n";
        assert_eq!(replace(readme, "x", "new\n").as_deref(), Some(changed));
        assert_eq!(replace(readme, "y", "new\n"), None);
    }

    #[test]
    fn a_figure_has_three_digits_or_all_before_the_point() {
        assert_eq!([99.94, 99.96, 6_001.4].map(rounded), ["99.9", "100", "6001"]);
    }
}
