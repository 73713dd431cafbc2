//! Options of `#[transient(..)]` that do not exist, lack a value, or cannot be combined.

use std::io::Error;
use std::time::Duration;

use retry_ext::IsTransient;

#[derive(IsTransient)]
enum Options {
    #[transient(forwards)]
    Unknown(Error),
    #[transient(after, after = _0)]
    Twice(Duration),
    #[transient(forward, if = true)]
    ForwardAndIf(Error),
    #[transient(after = Duration::ZERO, forward)]
    ForwardAndAfter(Error),
    #[transient(forward, crate = retry_ext)]
    CrateOnAVariant(Error),
    #[transient(forward after = Duration::ZERO)]
    NoComma(Error),
    #[transient(, forward)]
    StrayComma(Error),
    #[transient("forward")]
    Quoted(Error),
}

#[derive(IsTransient)]
enum Values {
    #[transient()]
    Empty,
    #[transient = true]
    Equals,
    #[transient[forward]]
    Brackets(Error),
    #[permanent(true)]
    PermanentWithAValue,
    #[transient(if)]
    NoCondition,
    #[transient(after =)]
    NoHint(Duration),
    #[transient(forward(source))]
    InParentheses { source: Error },
    #[transient(after = "5s")]
    HintAsText,
    #[transient(if = "code == 503")]
    ConditionAsText { code: u16 },
    #[transient(forward = "source")]
    FieldAsText { source: Error },
    #[transient(forward = self.source)]
    FieldAsExpression { source: Error },
}

fn main() {}
