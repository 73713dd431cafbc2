//! Fields that `forward` and `after` cannot find.

use std::io::Error;
use std::time::Duration;

use retry_ext::IsTransient;

#[derive(IsTransient)]
enum Fields {
    #[transient(forward)]
    Several(Error, Error),
    #[transient(forward)]
    Nothing,
    #[transient(after)]
    SeveralHints { first: Duration, second: Duration },
    #[transient(after)]
    NoHint,
    #[transient(forward = cause)]
    Misspelt { source: Error },
    #[transient(forward = 2)]
    TooHigh(Error, Error),
    #[transient(forward = _0)]
    Without,
}

fn main() {}
