//! The compiler's advice to a program without the standard library that sets no sleeper.

use std::env;
use std::process::Command;

#[test]
fn without_std_a_missing_sleeper_is_named() {
    let cargo = env::var_os("CARGO").expect("cargo runs the tests");
    let check = Command::new(cargo)
        .args(["check", "--quiet", "--offline", "--locked"])
        .args(["--example", "without_a_sleeper", "--features", "mistakes"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let advice = String::from_utf8_lossy(&check.stderr);
    assert!(!check.status.success(), "{advice}");
    let count = |text: &str| advice.matches(text).count();
    // The closure and the iterator cause these messages.
    assert_eq!(count("no sleeper is configured for this retry"), 2, "{advice}");
    assert_eq!(count("add `.sleep_with(|delay| ..)`, with a timer of your platform, before"), 2);
    // A chain with a setting, `step`, and the attribute cause these messages.
    assert_eq!(count("`()` is not a sleeper for a blocking retry"), 3, "{advice}");
    assert_eq!(count("without the feature `std` of `retry-ext`, no retry sleeps by itself"), 3);
    assert_eq!(count("`#[retry_with(..)]` on a blocking function needs the feature `std`"), 3);
}
