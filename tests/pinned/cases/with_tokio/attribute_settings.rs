//! Arguments of `#[retry_with(POLICY)]` that are missing, misspelt, or in the wrong place.

use std::io::Result;

use retry_ext::{RetryPolicy, retry_with};

const POLICY: RetryPolicy = RetryPolicy::new();

#[retry_with()]
fn no_policy() -> Result<u8> {
    Ok(1)
}

#[retry_with]
fn no_parentheses() -> Result<u8> {
    Ok(1)
}

macro_rules! refused {
    ($($name:ident: #[$attribute:meta])*) => {$(
        #[$attribute]
        fn $name(body: String, size: u32) -> Result<String> {
            Ok(size.to_string() + &body)
        }
    )*};
}

refused! {
    option_first: #[retry_with(plain)]
    list_first: #[retry_with(clone(body), plain)]
    with_a_name: #[retry_with(policy = POLICY, plain)]
    in_quotes: #[retry_with("POLICY", plain)]
    unknown: #[retry_with(POLICY, plane)]
    twice: #[retry_with(POLICY, plain, plain)]
    with_a_value: #[retry_with(POLICY, plain = true)]
    no_comma: #[retry_with(POLICY, plain clone(body))]
    no_list: #[retry_with(POLICY, plain, clone)]
    empty_list: #[retry_with(POLICY, plain, clone())]
    cloned_self: #[retry_with(POLICY, plain, clone(self))]
    cloned_nothing: #[retry_with(POLICY, plain, clone(text))]
    cloned_twice: #[retry_with(POLICY, plain, clone(body, body))]
    cloned_expression: #[retry_with(POLICY, plain, clone(&body))]
    path_in_quotes: #[retry_with(POLICY, plain, crate = "retry_ext")]
    no_hook: #[retry_with(POLICY, plain, on_retry)]
    hook_in_parentheses: #[retry_with(POLICY, plain, on_retry(log))]
    predicate_in_quotes: #[retry_with(POLICY, plain, retry_if = "is_timeout")]
    two_predicates: #[retry_with(POLICY, plain, retry_if = |_| true, retry_if = |_| false)]
}

fn main() {}
