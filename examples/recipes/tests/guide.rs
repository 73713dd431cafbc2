//! Checks that the code of each page is compiled code, and that each condition in the table of clients is in a recipe.
//!
//! `GUIDE=overwrite` before the command writes the code into the pages.

use std::path::Path;
use std::{env, fs};

/// Each page, and the files whose code it shows.
const PAGES: [(&str, &[&str]); 4] = [
    (
        "docs/clients.md",
        &[
            "examples/recipes/src/postgres.rs",
            "examples/recipes/src/sqlx.rs",
            "examples/recipes/src/sqlite.rs",
            "examples/recipes/src/mysql.rs",
            "examples/recipes/src/redis.rs",
            "examples/recipes/src/grpc.rs",
        ],
    ),
    (
        "docs/durable.md",
        &[
            "examples/jetstream/src/stream.rs",
            "examples/jetstream/src/worker.rs",
            "examples/postgres_queue/src/worker.rs",
        ],
    ),
    (
        "docs/streams.md",
        &[
            "examples/recipes/src/lines.rs",
            "examples/recipes/src/websocket.rs",
            "examples/recipes/src/grpc_stream.rs",
            "examples/recipes/src/watch.rs",
        ],
    ),
    ("docs/hedging.md", &["examples/recipes/src/hedge.rs"]),
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of the repository")
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns the page with the code of each file after the comment that names the file.
fn page_with_code(page: &str, files: &[&str]) -> String {
    let mut page = read(page);
    for file in files {
        let mark = format!("<!-- {file} -->\n");
        let source = read(file);
        let (_, code) = source.split_once("\n\n").expect("documentation, and then code");
        let block = format!("\n```rust,ignore\n{code}```\n");
        let (before, rest) = page.split_once(&mark).expect("a mark in the page");
        let after = match rest
            .strip_prefix("\n```rust,ignore\n")
            .and_then(|rest| rest.split_once("\n```\n"))
        {
            Some((_, after)) => after,
            None => rest,
        };
        page = [before, &mark, &block, after].concat();
    }
    page
}

#[test]
fn the_code_of_each_page_is_that_of_its_files() {
    for (path, files) in PAGES {
        let page = page_with_code(path, files);
        let is_accepted = env::var_os("GUIDE").is_some_and(|value| value == "overwrite");
        if is_accepted && read(path) != page {
            fs::write(root().join(path), &page).expect("the page is written");
        }
        assert_eq!(read(path), page, "GUIDE=overwrite accepts it");
    }
}

#[test]
fn all_other_code_of_the_pages_is_compiled_with_the_documentation() {
    for (path, files) in PAGES {
        assert_eq!(
            page_with_code(path, files).matches("\n```rust,").count(),
            files.len(),
            "{path}"
        );
    }
}

#[test]
fn the_conditions_of_the_table_are_those_of_the_recipes() {
    let (page, recipes) = PAGES[0];
    let page = read(page);
    let conditions: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| [") && line.contains("](#"))
        .map(|line| line.split('`').nth(1).expect("a condition").replace("\\|", "|"))
        .collect();
    assert_eq!(conditions.len(), recipes.len());
    for (recipe, condition) in recipes.iter().zip(conditions) {
        let source = read(recipe);
        let attributes =
            [format!("#[transient(if = {condition})]"), format!("#[transient(if = {condition}, ")];
        assert!(
            attributes.iter().any(|attribute| source.contains(attribute)),
            "{recipe}: {condition}"
        );
    }
}
