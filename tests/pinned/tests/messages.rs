//! The compiler's messages for common mistakes: their exact text, and the parts that help.
//!
//! ```sh
//! cargo test -p pinned --test messages -- --include-ignored
//! cargo test -p pinned --test messages --no-default-features -- --include-ignored
//! ```
//!
//! The second command runs without the feature `tokio`. After a review of the changes, set
//! `TRYBUILD=overwrite` before either command to accept them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Each mistake, and the text that a person needs to mend it. If the bound is from the standard
/// library, such as `FnMut`, the text is the compiler's.
const MISTAKES: [(&str, &[&str]); 47] = [
    ("with_tokio/absurd_budget", &["must be a number from 0 to 10"]),
    (
        "with_tokio/answer_of_a_sleeper",
        &["a sleeper returns `()`, `Instant`, `ControlFlow<()>` or `SleepOutcome`"],
    ),
    ("with_tokio/arguments", &["as FnOnce<()>>::Output = Result<_, _>`"]),
    ("with_tokio/attempts_without_argument", &["expected closure that takes 1 argument"]),
    (
        "with_tokio/attribute_arguments",
        &[
            "use of moved value: `body`",
            "send(body.clone())",
            "two closures require unique access to `*lines`",
        ],
    ),
    (
        "with_tokio/attribute_places",
        &[
            "a `const fn` cannot wait between attempts: remove `const`",
            "`nothing` returns nothing to retry: return `Result<T, RetryError<E>>`",
            "`nothing_async` returns nothing to retry",
            "name the type, or write an `async fn` in place of `impl Future`",
            "`load` has no body to retry: put the attribute on the implementation",
            "expected a function: `#[retry_with(POLICY)]` retries functions and methods",
        ],
    ),
    (
        "with_tokio/attribute_results",
        &[
            "cannot return `Result<u8, std::io::Error>`",
            "an `Option` has no error to classify: return `Result<T, RetryError<E>>`",
            "`#[retry_with(POLICY, plain)]` cannot return `u8`",
            "return `Result<T, RetryError<E>>`, and write the body for `Result<T, E>`",
            "write `#[retry_with(POLICY, plain)]`",
            "`plain` returns the last error itself: return `Result<T, E>`, or remove `plain`",
            UNCLASSIFIED,
            "`Borrow<RetryPolicy>` is not implemented for `Backoff`",
        ],
    ),
    (
        "with_tokio/attribute_settings",
        &[
            "no policy is given: write `#[retry_with(POLICY)]`",
            "the policy comes first, without a name: write `#[retry_with(POLICY, ..)]`",
            "a literal is no policy: write `#[retry_with(POLICY)]`",
            "unknown option `plane`: `#[retry_with(POLICY, ..)]` takes `retry_if`, `on_retry`",
            "`plain` is given twice: keep one of them",
            "`plain` takes no value: write `plain`",
            "expected `=` or a comma behind `plain`",
            "`clone` takes a list: write `clone(argument)`",
            "`clone()` is empty: write `clone(argument)`",
            "take `&self` and clone it in the function",
            "`clone(..)` takes the names of arguments",
            "`body` is given twice: keep one of them",
            "expected the name of an argument: write `clone(argument)`",
            "write `crate = ::my_crate::retry_ext`, without quotes",
            "`on_retry` needs a value: write `on_retry = |retry| eprintln!(\"{retry}\")`",
            "write `retry_if = |error| error.is_timeout()`, without quotes",
            "`retry_if` is given twice: keep one of them",
        ],
    ),
    (
        "with_tokio/backoff_for_a_policy",
        &["`Borrow<RetryPolicy>` is not implemented for `Backoff`"],
    ),
    ("with_tokio/blanket_of_ones_own", &["only traits defined in the current crate"]),
    ("with_tokio/blocking_sleeper", &["`()` is not a future", FEATURE, SLEEPER]),
    ("with_tokio/blocking_verb_on_a_future", &["+ use retry_ext::AsyncRetryExt;"]),
    (
        "with_tokio/called_already",
        &["method cannot be called on `Result<Vec<u8>, std::io::Error>`"],
    ),
    ("with_tokio/called_once", &["it moves the variable `body` out of its environment"]),
    (
        "with_tokio/classify_after_on_retry",
        &["`classify` comes before `on_retry` and `delay_with`", "call `classify` first"],
    ),
    ("with_tokio/classify_an_iterator", &["check the items of an iterator with `.map(..)`"]),
    (
        "with_tokio/derive_fields",
        &[
            "write `forward = field`; the fields are `_0`, `_1`",
            "write `forward = field`; there are no fields",
            "write `after = Duration::from_secs(1)`; the fields are `first`, `second`",
            "write `after = Duration::from_secs(1)`; there are no fields",
            "no field `cause`: the only field is `source`",
            "no field `2`: the fields are `_0`, `_1`",
            "no field `_0`: there are no fields",
        ],
    ),
    (
        "with_tokio/derive_options",
        &[
            "`#[transient(..)]` takes `forward`, `after` and `if`, and `crate` on the type",
            "`after` is given twice: keep one of them",
            "or write the whole condition into `if`",
            "or write `if = field.is_transient()` in place of `forward`",
            "`crate` belongs on the type: write `#[transient(crate = path)]` above it",
            "write `forward = ..`, or separate the options",
            "expected an option before this comma",
            "expected the name of an option",
            "`#[transient()]` is empty: write `#[transient]`, or add `forward`",
            "options of `transient` stand in parentheses: write `#[transient(..)]`",
            "`#[permanent]` takes no value: write `#[permanent]`",
            "`if` needs a value: write `if = matches!(code, 502 | 503)`",
            "`after =` has no value: write an expression behind it",
            "`forward` needs a value: write `forward = field`",
            "write `after = Duration::from_secs(1)`, without quotes",
            "write `if = matches!(code, 502 | 503)`, without quotes",
            "write `forward = field`, without quotes",
            "write `forward = field`, or `if = ..` for an expression",
        ],
    ),
    (
        "with_tokio/derive_places",
        &[
            "cannot be derived for a union: implement the trait by hand",
            "`Silent` does not declare whether it is transient: add `#[transient]`, `#[permanent]`",
            "`OnlyAPath` does not declare whether it is transient",
            "both `#[transient]` and `#[permanent]` are given: keep one of them",
            "`#[transient]` is given twice: keep one, with all options in it",
            "`forward` belongs on a variant: on an enum, `#[transient]` only sets the default",
            "name it there, as in `#[transient(forward = field)]`",
            "write `crate = ::my_crate::retry_ext`, without quotes",
        ],
    ),
    (
        "with_tokio/derive_types",
        &[
            "expected `Duration` or `Option<Duration>`",
            "expected `bool`",
            "fields are bound by reference: write `if = *code == 503`",
            UNCLASSIFIED,
        ],
    ),
    (
        "with_tokio/dropped_setter",
        &["a setter returns the changed one and leaves the old as it was"],
    ),
    (
        "with_tokio/error_alone_after_classify",
        &["takes whole outcomes", "call `step(outcome)` or `delay_after_outcome(&outcome)`"],
    ),
    ("with_tokio/error_in_a_box", &[RETRY_IF]),
    ("with_tokio/error_of_a_chain", &[UNCLASSIFIED, RETRY_IF, IMPLEMENT]),
    ("with_tokio/error_of_a_closure", &[UNCLASSIFIED, RETRY_IF, IMPLEMENT]),
    ("with_tokio/error_of_a_loop", &[UNCLASSIFIED, "wrap it in a newtype", IMPLEMENT]),
    ("with_tokio/error_of_an_async_chain", &[UNCLASSIFIED, RETRY_IF, IMPLEMENT]),
    ("with_tokio/error_of_an_async_closure", &[UNCLASSIFIED, RETRY_IF, IMPLEMENT, FLATTEN]),
    ("with_tokio/error_of_an_iterator", &[UNCLASSIFIED, RETRY_IF, IMPLEMENT]),
    (
        "with_tokio/forgotten_await",
        &["nothing unless they are awaited", "nothing is taken from the source before `next`"],
    ),
    ("with_tokio/forgotten_return", &["as FnOnce<()>>::Output = Result<_, _>`"]),
    ("with_tokio/forgotten_verb", &["this does nothing until you call `.retry_with(policy)`"]),
    (
        "with_tokio/lent_to_the_future",
        &[
            "captured variable cannot escape",
            "does not implement `FnMut` because it captures state",
        ],
    ),
    ("with_tokio/no_result", &["as FnOnce<()>>::Output = Result<_, _>`"]),
    ("with_tokio/not_send", &["has type `Rc<i32>` which is not `Send`"]),
    ("with_tokio/owned_by_the_future", &["it moves the variable `body` out of its environment"]),
    ("with_tokio/question_mark", &["let _: Result<_, RetryError<E>> ="]),
    ("with_tokio/shrinking_factor", &["must be a finite number of at least 1"]),
    (
        "with_tokio/timeout_without_from",
        &["the trait `From<AttemptTimedOut>` is not implemented for `Failed`"],
    ),
    ("with_tokio/trait_not_in_scope", &["+ use retry_ext::RetryExt;"]),
    (
        "with_tokio/untyped_hook_of_a_loop",
        &["consider giving this closure parameter an explicit type", "RetryEvent<'_, X>"],
    ),
    ("with_tokio/verdict_as_bool", &["expected `Verdict`, found `bool`"]),
    ("with_tokio/verb_of_ones_own", &["wrap the `Job` in a closure with no arguments"]),
    ("with_tokio/zero_attempts", &["must be at least 1: it counts every call, the first included"]),
    ("without_tokio/attribute_async", &[FEATURE, "with `.sleep_with(..)`"]),
    ("without_tokio/no_sleeper", &[FEATURE, SLEEPER]),
    ("without_tokio/no_sleeper_in_a_chain", &[FEATURE, SLEEPER]),
];

const UNCLASSIFIED: &str = "`ParseIntError` cannot be retried: it does not implement `IsTransient`";
const RETRY_IF: &str = "add `.retry_if(|error| ..)` before `.retry_with(policy)`";
const IMPLEMENT: &str = "`impl retry_ext::IsTransient for ParseIntError { fn is_transient(&self)";
const FEATURE: &str = "enable the feature `tokio` of `retry-ext`";
const FLATTEN: &str = "flatten it first: `(async || timeout(limit, fetch()).await?)";
const SLEEPER: &str = "add `.sleep_with(|delay| ..)`, with a future of your runtime's timer";

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn message(case: &str) -> String {
    let file = cases().join(case).with_extension("stderr");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_message_says_what_is_wrong_or_what_to_do() {
    for (case, words) in MISTAKES {
        let message = message(case);
        for words in words {
            assert!(message.contains(words), "{case} lacks: {words}\n{message}");
        }
    }
}

#[test]
fn no_mistake_is_left_out() {
    let files = ["with_tokio", "without_tokio"].into_iter().flat_map(|folder| {
        let files = fs::read_dir(cases().join(folder)).expect("a folder of cases");
        files.map(move |file| format!("{folder}/{}", file.expect("a file").file_name().display()))
    });
    let files: BTreeSet<String> = files.collect();
    let expected = MISTAKES
        .iter()
        .flat_map(|(case, _)| ["rs", "stderr"].map(|kind| format!("{case}.{kind}")))
        .collect();
    assert_eq!(files, expected);
}

#[test]
fn no_message_tells_where_it_was_made() {
    for (case, _) in MISTAKES {
        let message = message(case);
        let mut words = message.split(|c: char| c.is_whitespace() || "`'\"({@".contains(c));
        let path = words.find(|word| {
            let name = word.strip_prefix('/').unwrap_or_default();
            name.starts_with(|c: char| c.is_alphanumeric()) || word.contains(":\\")
        });
        assert_eq!(path, None, "{case}");
    }
}

#[test]
#[ignore = "compares with the words of one compiler, rustc 1.95"]
fn the_compiler_says_it_word_for_word() {
    let folder = if cfg!(feature = "tokio") { "with_tokio" } else { "without_tokio" };
    trybuild::TestCases::new().compile_fail(format!("cases/{folder}/*.rs"));
}
