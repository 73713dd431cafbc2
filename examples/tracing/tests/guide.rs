//! Checks that the code of `docs/tracing.md` is the code of the modules.
//!
//! `GUIDE=overwrite` before the command writes the code into the page.

use std::path::Path;
use std::{env, fs};

const PAGE: &str = "docs/tracing.md";
const MODULES: [&str; 3] = ["operation", "attempts", "bridge"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of the repository")
}

/// Returns the page with the code of each module after the comment that names the module's file.
fn page_with_recipes() -> String {
    let mut page = read(PAGE);
    for module in MODULES {
        let path = format!("examples/tracing/src/{module}.rs");
        let mark = format!("<!-- {path} -->\n");
        let source = read(&path);
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
