//! The code of `docs/clients.md` is that of the modules, and each condition of its table is in one of them.
//!
//! `GUIDE=overwrite` before the command writes the code into the page.

use std::path::Path;
use std::{env, fs};

const PAGE: &str = "docs/clients.md";
const MODULES: [&str; 6] = ["postgres", "sqlx", "sqlite", "mysql", "redis", "grpc"];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of the repository")
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn source(module: &str) -> String {
    format!("examples/recipes/src/{module}.rs")
}

/// The page, with the recipe of each module after the comment that names its file.
fn page_with_recipes() -> String {
    let mut page = read(PAGE);
    for module in MODULES {
        let mark = format!("<!-- {} -->\n", source(module));
        let source = read(&source(module));
        let (_, recipe) = source.split_once("\n\n").expect("documentation, and then code");
        let block = format!("\n```rust,ignore\n{recipe}```\n");
        let (before, rest) = page.split_once(&mark).expect("a mark in the page");
        let after = match rest.strip_prefix("\n```").and_then(|rest| rest.split_once("\n```\n")) {
            Some((_, after)) => after,
            None => rest,
        };
        page = [before, &mark, &block, after].concat();
    }
    page
}

#[test]
fn the_code_of_the_page_is_that_of_the_modules() {
    let page = page_with_recipes();
    if env::var_os("GUIDE").is_some_and(|value| value == "overwrite") {
        fs::write(root().join(PAGE), page).expect("the page is written");
    } else {
        assert_eq!(read(PAGE), page, "GUIDE=overwrite accepts it");
    }
}

#[test]
fn the_page_has_no_other_code() {
    assert_eq!(page_with_recipes().matches("\n```rust").count(), MODULES.len());
}

#[test]
fn the_conditions_of_the_table_are_those_of_the_modules() {
    let page = read(PAGE);
    let conditions: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| [") && line.contains("](#"))
        .map(|line| line.split('`').nth(1).expect("a condition").replace("\\|", "|"))
        .collect();
    assert_eq!(conditions.len(), MODULES.len());
    for (module, condition) in MODULES.into_iter().zip(conditions) {
        let source = read(&source(module));
        let attributes =
            [format!("#[transient(if = {condition})]"), format!("#[transient(if = {condition}, ")];
        assert!(
            attributes.iter().any(|attribute| source.contains(attribute)),
            "{module}: {condition}"
        );
    }
}
