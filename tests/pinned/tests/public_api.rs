//! The public API matches `docs/public-api.txt`: names, signatures, and the auto traits of each
//! type with their conditions.
//!
//! ```sh
//! cargo test -p pinned --test public_api -- --ignored
//! ```
//!
//! After a review of the changes, set `LISTING=overwrite` before the command to accept them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Internal traits of the compiler, without a name in stable Rust.
const UNSTABLE: [&str; 3] = ["Freeze", "StructuralPartialEq", "UnsafeUnpin"];

#[test]
#[ignore = "reads the JSON of one rustdoc, 1.95"]
fn the_public_api_is_the_one_that_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc");
    // Rustdoc's JSON is unstable, so a stable rustdoc needs permission to write it.
    let status = Command::new(env!("CARGO"))
        .args(["rustdoc", "--quiet", "--package", "retry-ext", "--lib", "--all-features"])
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(&root)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{status}");

    let api = public_api::Builder::from_rustdoc_json(target.join("doc/retry_ext.json"))
        .omit_blanket_impls(true)
        .build()
        .expect("the JSON is of the version that public-api reads");
    // The guide exists in the documentation only.
    let is_of_interest = |line: &&str| {
        !UNSTABLE.iter().any(|name| line.contains(&format!("marker::{name} for")))
            && !line.starts_with("pub mod retry_ext::guide")
    };
    let api: String =
        api.to_string().lines().filter(is_of_interest).flat_map(|line| [line, "\n"]).collect();

    let file = root.join("docs/public-api.txt");
    if env::var_os("LISTING").is_some_and(|value| value == "overwrite") {
        fs::write(&file, &api).expect("the listing is written");
    }
    let listed = fs::read_to_string(&file).expect("there is a listing");
    let (now, before): (BTreeSet<_>, BTreeSet<_>) =
        (api.lines().collect(), listed.lines().collect());
    let (new, gone): (Vec<_>, Vec<_>) =
        (now.difference(&before).collect(), before.difference(&now).collect());
    assert!(api == listed, "not in the listing: {new:#?}\nno longer there: {gone:#?}");
}
