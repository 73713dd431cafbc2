//! The code of each page is that of the modules, and each condition of the table of clients is in one of them.
//!
//! `GUIDE=overwrite` before the command writes the code into the pages.

use std::path::Path;
use std::{env, fs};

const CLIENTS: (&str, &[&str]) =
    ("docs/clients.md", &["postgres", "sqlx", "sqlite", "mysql", "redis", "grpc"]);
const PAGES: [(&str, &[&str]); 3] = [
    CLIENTS,
    ("docs/streams.md", &["lines", "websocket", "grpc_stream", "watch"]),
    ("docs/hedging.md", &["hedge"]),
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of the repository")
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn source(module: &str) -> String {
    format!("examples/recipes/src/{module}.rs")
}

/// A page, with the recipe of each module after the comment that names its file.
fn page_with_recipes(page: &str, modules: &[&str]) -> String {
    let mut page = read(page);
    for module in modules {
        let mark = format!("<!-- {} -->\n", source(module));
        let source = read(&source(module));
        let (_, recipe) = source.split_once("\n\n").expect("documentation, and then code");
        let block = format!("\n```rust,ignore\n{recipe}```\n");
        let (before, rest) = page.split_once(&mark).expect("a mark in the page");
        let after = match rest.strip_prefix("\n```rust,ignore\n").and_then(|rest| rest.split_once("\n```\n")) {
            Some((_, after)) => after,
            None => rest,
        };
        page = [before, &mark, &block, after].concat();
    }
    page
}

#[test]
fn the_code_of_the_pages_is_that_of_the_modules() {
    for (path, modules) in PAGES {
        let page = page_with_recipes(path, modules);
        if env::var_os("GUIDE").is_some_and(|value| value == "overwrite") {
            fs::write(root().join(path), page).expect("the page is written");
        } else {
            assert_eq!(read(path), page, "GUIDE=overwrite accepts it");
        }
    }
}

#[test]
fn all_other_code_of_the_pages_is_compiled_with_the_documentation() {
    for (path, modules) in PAGES {
        let page = page_with_recipes(path, modules);
        assert_eq!(page.matches("\n```rust,").count(), modules.len());
    }
}

#[test]
fn the_conditions_of_the_table_are_those_of_the_modules() {
    let (path, modules) = CLIENTS;
    let page = read(path);
    let conditions: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| [") && line.contains("](#"))
        .map(|line| line.split('`').nth(1).expect("a condition").replace("\\|", "|"))
        .collect();
    assert_eq!(conditions.len(), modules.len());
    for (module, condition) in modules.iter().zip(conditions) {
        let source = read(&source(module));
        let attributes =
            [format!("#[transient(if = {condition})]"), format!("#[transient(if = {condition}, ")];
        assert!(
            attributes.iter().any(|attribute| source.contains(attribute)),
            "{module}: {condition}"
        );
    }
}
