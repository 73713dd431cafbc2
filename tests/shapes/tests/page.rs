//! `docs/shapes.md` shows the code that is compiled and run here, and its lengths.
//!
//! `TABLE=overwrite cargo test -p shapes --test page` writes the code and the lengths into the
//! page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The shapes, with their names in the table.
const SHAPES: [(&str, &str); 12] = [
    ("shape_01_last_response", "last response"),
    ("shape_02_json_rpc", "JSON-RPC"),
    ("shape_03_queue", "queue"),
    ("shape_04_reconnect", "reconnect"),
    ("shape_05_writer", "writer"),
    ("shape_06_handle", "handle"),
    ("shape_07_generic", "generic helpers"),
    ("shape_08_pool", "pool"),
    ("shape_09_shutdown", "shutdown"),
    ("shape_10_bulk", "bulk request"),
    ("shape_11_allowance", "shared retries"),
    ("shape_12_consumer", "consumer"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A source file of this package, named after its shape.
struct Source {
    shape: &'static str,
    text: String,
}

impl Source {
    fn read(shape: &'static str) -> Self {
        let path = root().join("tests/shapes/src").join(shape).with_extension("rs");
        Self { shape, text: fs::read_to_string(path).unwrap() }
    }

    /// Returns the lines between a marker and the `// end` after it, without their common
    /// indentation.
    fn version(&self, marker: &str) -> Vec<&str> {
        let shape = self.shape;
        let mut begins = self.text.lines().enumerate().filter(|(_, line)| line.trim() == marker);
        let (begin, line) = begins.next().unwrap_or_else(|| panic!("{shape} has no `{marker}`"));
        assert!(begins.next().is_none(), "{shape} has two of `{marker}`");
        let indentation = line.len() - line.trim_start().len();
        let lines: Vec<&str> = self
            .text
            .lines()
            .skip(begin + 1)
            .take_while(|line| line.trim() != "// end")
            .map(|line| line.get(indentation..).unwrap_or_default())
            .collect();
        let all = self.text.lines().count();
        assert!(begin + 1 + lines.len() < all, "{shape} has no `// end` after `{marker}`");
        lines
    }
}

/// Counts the lines of code: blank lines, comments and imports do not count.
fn count(lines: &[&str]) -> usize {
    let mut count = 0;
    let mut in_import = false;
    for line in lines.iter().map(|line| line.trim()) {
        in_import |= line.starts_with("use ");
        if !in_import && !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
        in_import &= !line.ends_with(';');
    }
    count
}

/// The lengths of the versions of one shape.
#[derive(Clone, Copy)]
struct Lengths {
    ours: usize,
    by_hand: usize,
    peer: usize,
}

impl Lengths {
    fn of(source: &Source) -> Self {
        let count = |marker| count(&source.version(marker));
        Self { ours: count("// ours"), by_hand: count("// by hand"), peer: count("// peer") }
    }
}

/// Returns the code of a version, with hidden lines in rustdoc's notation.
fn code(source: &Source, marker: &str) -> String {
    let lines = source.version(marker);
    let of_this_package_alone = lines.iter().any(|line| line.starts_with("use tokio_util::"));
    let mut code =
        String::from(if of_this_package_alone { "```rust,ignore\n" } else { "```rust\n" });
    if !of_this_package_alone {
        // In a documentation test, nothing calls the code.
        code += "# #![allow(dead_code)]\n";
    }
    for line in lines {
        let line = line.strip_prefix("// # ").map_or(line.into(), |hidden| format!("# {hidden}"));
        writeln!(code, "{line}").unwrap();
    }
    code + "```\n"
}

/// Returns the code of a shape, and the lengths of its versions.
fn block(source: &Source) -> String {
    let Lengths { ours, by_hand, peer } = Lengths::of(source);
    let code = code(source, "// ours");
    format!("\n{code}\n{ours} lines; by hand {by_hand}; `backon` {peer}.\n")
}

fn table() -> String {
    let mut table =
        String::from("\n| | shape | this crate | by hand | `backon` |\n|---|---|--:|--:|--:|\n");
    for (index, (shape, name)) in SHAPES.into_iter().enumerate() {
        let Lengths { ours, by_hand, peer } = Lengths::of(&Source::read(shape));
        writeln!(table, "| {} | {name} | {ours} | {by_hand} | {peer} |", index + 1).unwrap();
    }
    table
}

/// Replaces the text between `<!-- name -->` and the `<!-- end -->` after it.
fn replace(page: &str, name: &str, text: &str) -> String {
    let begin = format!("<!-- {name} -->");
    let (before, rest) =
        page.split_once(&begin).unwrap_or_else(|| panic!("the page has no `{begin}`"));
    let (_, after) = rest.split_once("<!-- end -->").expect("an end of each part");
    assert!(!after.contains(&begin), "the page has two of `{begin}`");
    format!("{before}{begin}{text}<!-- end -->{after}")
}

#[test]
fn the_page_shows_the_compiled_code_and_its_lengths() {
    let path = root().join("docs/shapes.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut expected = replace(&page, "lengths", &table());
    for (shape, _) in SHAPES {
        expected = replace(&expected, shape, &block(&Source::read(shape)));
    }
    let middleware = count(&Source::read("shape_01_last_response").version("// other peer"));
    expected = replace(&expected, "middleware", &middleware.to_string());
    let in_sequence = code(&Source::read("shape_11_allowance"), "// ours, in sequence");
    expected = replace(&expected, "in sequence", &format!("\n{in_sequence}"));
    if env::var_os("TABLE").is_some_and(|value| value == "overwrite") {
        fs::write(path, expected).unwrap();
    } else {
        assert!(page == expected, "docs/shapes.md is not as the code is: run with TABLE=overwrite");
    }
}

#[test]
fn this_crate_is_never_longer() {
    let longer: Vec<String> = SHAPES
        .into_iter()
        .map(|(shape, _)| (shape, Lengths::of(&Source::read(shape))))
        .filter(|(_, lengths)| lengths.ours > lengths.by_hand.min(lengths.peer))
        .map(|(shape, Lengths { ours, by_hand, peer })| {
            format!("{shape}: {ours}, {by_hand}, {peer}")
        })
        .collect();
    assert!(longer.is_empty(), "{longer:#?}");
}

#[test]
fn each_shape_is_counted() {
    let library = fs::read_to_string(root().join("tests/shapes/src/lib.rs")).unwrap();
    let modules = library.lines().filter(|line| line.starts_with("pub mod shape_"));
    let expected = SHAPES.map(|(shape, _)| format!("pub mod {shape};"));
    assert_eq!(modules.collect::<Vec<_>>(), expected);
}

#[test]
fn blank_lines_comments_and_imports_do_not_count() {
    let lines = [
        "use a::{",
        "    b,",
        "};",
        "use c;",
        "",
        "// # struct D;",
        "fn e() {",
        "    f(); // g",
        "}",
    ];
    assert_eq!(count(&lines), 3);
}
