//! Expressions and fields of the wrong type.

use std::num::ParseIntError;

use retry_ext::IsTransient;

#[derive(IsTransient)]
enum Types {
    #[transient(after = 5)]
    Number,
    #[transient(after)]
    Seconds(u64),
    #[transient(if = code)]
    Condition { code: u16 },
    #[transient(forward)]
    Foreign(ParseIntError),
    #[transient(if = missing > 1)]
    NoSuchField { present: u8 },
}

fn main() {}
