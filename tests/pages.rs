//! The pages of the documentation: their links, their lengths, and figures that two of them show.
//!
//! A page in `docs` is read in the repository, as a file, and as a module of `retry_ext::guide`. A
//! relative link to a file would break in the latter. So a page links by reference, and
//! `src/lib.rs` defines each reference again, as a link to a module or an item.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use retry_ext::{RetryExt, RetryPolicy};

/// The pages that are parts of the documentation of items, and the files of those items.
const PARTS_OF_ITEMS: [(&str, &str); 3] = [
    ("configuration-keys.md", "src/config.rs"),
    ("http-classification.md", "src/http.rs"),
    ("metric-names.md", "src/metrics.rs"),
];

fn is_part_of_an_item(page: &str) -> bool {
    PARTS_OF_ITEMS.iter().any(|(part, _)| *part == page)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the pages in `docs`.
fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("docs")).expect("the folder is there");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> =
        names.filter(|name| Path::new(name).extension() == Some("md".as_ref())).collect();
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// The text without code blocks and code spans, which hold no links.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            // Code spans in the text of a link are left empty.
            let kept: String = line.split('`').step_by(2).collect();
            prose += &kept;
            prose.push('\n');
        }
    }
    prose
}

/// The links of a page.
#[derive(Default)]
struct Links {
    /// The targets of `[text](target)`.
    inline: Vec<String>,
    /// The targets of `![text](target)`.
    images: Vec<String>,
    /// The names of `[text][name]`.
    references: BTreeSet<String>,
    /// The targets of `[name]: target`.
    definitions: BTreeMap<String, String>,
}

impl Links {
    fn of(text: &str) -> Self {
        let mut links = Self::default();
        let prose = prose(text);
        for line in prose.lines() {
            if let Some((name, target)) =
                line.strip_prefix('[').and_then(|line| line.split_once("]: "))
            {
                let before = links.definitions.insert(name.into(), target.into());
                assert!(before.is_none(), "[{name}] is defined twice");
            }
        }
        // A link may be broken over two lines.
        let prose = prose.replace('\n', " ");
        let mut end = 0;
        while let Some(at) = prose[end..].find("](") {
            let target = &prose[end + at + 2..];
            let text = prose[..end + at].rfind('[').expect("a link has a text");
            let target = &target[..target.find(')').expect("a target ends")];
            let is_image = prose[..text].ends_with('!');
            if is_image { &mut links.images } else { &mut links.inline }.push(target.into());
            end += at + 2;
        }
        end = 0;
        while let Some(at) = prose[end..].find("][") {
            let name = &prose[end + at + 2..];
            links.references.insert(name[..name.find(']').expect("a name ends")].into());
            end += at + 2;
        }
        links
    }
}

/// The anchors of the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_block || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let slug = heading.trim().to_lowercase().replace(' ', "-");
        let is_kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
        assert!(anchors.insert(slug.chars().filter(is_kept).collect()), "two of {heading:?}");
    }
    anchors
}

/// Checks a target from a page in this folder: a page elsewhere, an anchor, or a file, perhaps with
/// an anchor.
fn resolve(page: &str, target: &str) {
    if target.starts_with("https://") {
        return;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(page).parent().expect("a page lies in a folder");
    let file = if path.is_empty() { PathBuf::from(page) } else { folder.join(path) };
    let whole = root().join(&file);
    assert!(whole.exists(), "{page} links to {target}, which does not exist");
    if !anchor.is_empty() {
        let text = fs::read_to_string(whole).expect("an anchor is in a page");
        assert!(anchors(&text).contains(anchor), "{page} links to {target}, without a heading");
    }
}

/// The definitions in `src/lib.rs`.
fn definitions_of_the_guide() -> BTreeMap<String, String> {
    let library = read("src/lib.rs");
    let definition = |line: &str| {
        let (_, rest) = line.split_once("/// [").or_else(|| line.split_once("doc = \"["))?;
        let (name, target) = rest.split_once("]: ")?;
        Some((name.to_owned(), target.split('"').next()?.to_owned()))
    };
    library.lines().filter_map(definition).collect()
}

/// The module of a page.
fn module(page: &str) -> String {
    format!("crate::guide::{}", page.trim_end_matches(".md").replace('-', "_"))
}

#[test]
fn every_link_of_every_page_resolves() {
    let mut checked = 0;
    let files = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(String::from);
    for page in pages().iter().map(|page| format!("docs/{page}")).chain(files) {
        let links = Links::of(&read(&page));
        for target in links.inline.iter().chain(&links.images).chain(links.definitions.values()) {
            resolve(&page, target);
            checked += 1;
        }
        let defined = links.definitions.keys().cloned().collect();
        assert_eq!(links.references, defined, "references and definitions of {page}");
    }
    assert!(checked > 100, "only {checked} links");
}

#[test]
fn pages_link_to_files_by_references_that_the_documentation_defines_anew() {
    let guide = definitions_of_the_guide();
    let mut used = BTreeSet::new();
    let library = read("src/lib.rs");
    for page in pages() {
        let links = Links::of(&read(&format!("docs/{page}")));
        for target in links.inline {
            let stays = target.starts_with('#') || target.starts_with("https://");
            assert!(stays, "docs/{page}: write [text][name] in place of {target}");
        }
        for image in links.images {
            let included = format!("include_str!(\"../docs/{image}\")");
            assert!(library.contains(&included), "docs/{page} shows {image}, its module does not");
        }
        for (name, target) in links.definitions {
            if target.starts_with("https://") {
                continue;
            }
            let there = guide.get(&name).unwrap_or_else(|| panic!("src/lib.rs lacks [{name}]"));
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            if !is_part_of_an_item(path) && !path.starts_with("../src/") {
                let anchor = if anchor.is_empty() { "" } else { &target[path.len()..] };
                assert_eq!(*there, module(path) + anchor, "[{name}] of docs/{page}");
            }
            used.insert(name);
        }
    }
    assert_eq!(used, guide.into_keys().collect(), "definitions in pages and in src/lib.rs");
}

#[test]
fn each_page_is_a_module_and_in_the_index() {
    let library = read("src/lib.rs");
    let index = Links::of(&read("docs/README.md"));
    let listed: BTreeSet<String> = index.definitions.into_values().collect();
    let mut pages = pages();
    assert!(pages.remove("README.md"));
    assert_eq!(listed, pages, "docs/README.md lists each page");
    for (page, item) in PARTS_OF_ITEMS {
        assert!(pages.remove(page), "docs/{page}");
        let included = format!("#[doc = include_str!(\"../docs/{page}\")]");
        assert!(read(item).contains(&included), "{item} lacks docs/{page}");
    }
    for page in pages {
        let included = format!("include_str!(\"../docs/{page}\")");
        assert!(library.contains(&included), "src/lib.rs lacks docs/{page}");
        let title = read(&format!("docs/{page}"));
        assert!(title.starts_with("# "), "docs/{page} begins with its title");
    }
}

#[test]
fn links_to_sections_of_the_crates_documentation_resolve() {
    let library = read("src/lib.rs");
    let documentation: String = library
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .flat_map(|line| [line.trim_start(), "\n"])
        .collect();
    let sections = anchors(&documentation);
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for link in text.split("(crate#").skip(1) {
                let anchor = link.split(')').next().expect("a part");
                assert!(sections.contains(anchor), "{}: crate#{anchor}", path.display());
            }
        }
    }
}

#[test]
fn the_readme_has_at_most_200_lines_and_8_kilobytes() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 200, "{} lines", readme.lines().count());
    assert!(readme.len() <= 8_192, "{} bytes", readme.len());
    for command in ["cargo run --example basic_retry", "cargo test"] {
        assert!(readme.lines().any(|line| line.trim_end().starts_with(command)), "{command}");
    }
}

#[test]
fn the_quick_start_prints_the_lines_that_the_readme_shows() {
    let mut lines = Vec::new();
    let refused = || Err::<(), _>(Error::from(ErrorKind::ConnectionRefused));
    let error = refused
        .on_retry(|retry| lines.push(retry.to_string()))
        .sleep_with(|_| ())
        .retry_with(RetryPolicy::new())
        .unwrap_err();
    // The text of Linux for its error 111.
    lines.push(format!("{error}: Connection refused (os error 111)"));
    let lines = lines.join("\n");
    assert!(read("README.md").contains(&format!("```text\n{lines}\n```\n")), "{lines}");
}

/// The fields of the row of a table that begins with this text.
fn row(text: &str, title: &str) -> Vec<String> {
    let begin = format!("| {title} |");
    let mut rows = text.lines().filter(|line| line.starts_with(&begin));
    let row = rows.next().unwrap_or_else(|| panic!("no row {title:?}"));
    assert!(rows.next().is_none(), "two rows {title:?}");
    row.split('|').map(|field| field.trim().to_owned()).skip(2).collect()
}

#[test]
fn figures_of_overload_are_those_of_the_page_on_budgets() {
    let budgets = read("docs/budgets.md");
    let without = row(&budgets, "full jitter, no budget");
    let with = row(&budgets, "full jitter, default budget, 1 process");
    let (with, _) = with[0].split_once(',').expect("a number of runs, and a time");
    let outage = row(&budgets, "calls per request in a full outage, in the steady state");
    let readme = read("README.md").replace('\n', " ");
    let said = format!("{} without a budget, {with} with a budget", without[0]);
    assert!(readme.contains(&said), "{said}");
    let said = format!("make {} calls per request instead of {}", outage[0], outage[1]);
    assert!(readme.contains(&said), "{said}");

    let dangers = read("docs/dangers.md").replace('\n', " ");
    let (recovered, of) = without[0].split_once(" of ").expect("some of some");
    let lost = of.parse::<u32>().unwrap() - recovered.parse::<u32>().unwrap();
    let said = format!("takes the service down for good in {lost} of {of} runs");
    assert!(dangers.contains(&said), "{said}");
    assert!(dangers.contains(&format!("{} calls per request in an outage", outage[1])));
    let [spin, paused] =
        ["budget, each starts over at once", "budget, each pauses for `next_delay`"]
            .map(|title| row(&budgets, title).remove(0));
    assert!(dangers.contains(&format!("{spin} calls instead of {paused}")));
    assert!(dangers.contains(&format!("they make {paused}")));
}
