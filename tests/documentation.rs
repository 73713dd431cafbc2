//! The documentation and its subject: features and comments. `tests/pages.rs` checks links.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files with this extension in a folder and below.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) =
        (Vec::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found
}

/// Returns the features, each with those that it turns on.
fn features() -> toml::Table {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let mut features = manifest["features"].as_table().expect("a table").clone();
    features.remove("default").expect("there are default features");
    features
}

/// Returns the text of each span of code.
fn code(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_feature_is_in_the_table_of_features() {
    let root = read("src/lib.rs");
    let (_, section) = root.split_once("//! # Features\n").expect("the section on features");
    let (section, _) = section.split_once("//! # ").expect("a section behind it");
    let rows = section.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), features().keys().collect::<Vec<_>>());
}

#[test]
fn the_page_on_platforms_names_every_feature_that_needs_std() {
    let features = features();
    let mut needing = BTreeSet::from(["std"]);
    loop {
        let before = needing.len();
        for (name, parts) in &features {
            let mut parts =
                parts.as_array().expect("a list").iter().filter_map(toml::Value::as_str);
            if parts.any(|part| needing.contains(part)) {
                needing.insert(name);
            }
        }
        if needing.len() == before {
            break;
        }
    }
    needing.remove("std");
    let page = read("docs/platforms.md");
    let row = page.lines().find_map(|line| line.strip_prefix("| the features "));
    let (named, _) = row.and_then(|row| row.split_once(" | ")).expect("the row of features");
    assert_eq!(code(named), needing);
}

#[test]
fn no_mark_of_a_comment_is_in_the_text_of_another() {
    for path in files("src", "rs") {
        for (number, line) in (1..).zip(read(&path).lines()) {
            let line = line.trim_start();
            let doubled = line.starts_with("//! //!") || line.starts_with("/// ///");
            assert!(!doubled, "{}:{number}: {line}", path.display());
        }
    }
}
