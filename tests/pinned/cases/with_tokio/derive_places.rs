//! `#[transient]` and `#[permanent]` in invalid places, or missing.

use std::io::Error;

use retry_ext::IsTransient;

#[derive(IsTransient)]
union Bits {
    bits: u8,
}

#[derive(IsTransient)]
struct Silent;

#[derive(IsTransient)]
#[transient(crate = retry_ext)]
struct OnlyAPath;

#[derive(IsTransient)]
#[transient]
#[permanent]
struct Both;

#[derive(IsTransient)]
#[transient(forward)]
#[transient(if = true)]
struct Split(Error);

#[derive(IsTransient)]
#[transient(forward)]
enum OptionOnAnEnum {
    Io(Error),
}

#[derive(IsTransient)]
enum OnAField {
    Tuple(#[transient] Error),
    Named {
        #[permanent]
        source: Error,
    },
}

#[derive(IsTransient)]
#[transient]
struct OnAFieldOfAStruct {
    #[transient(forward)]
    source: Error,
}

#[derive(IsTransient)]
#[transient(crate = "retry_ext")]
enum PathAsText {}

fn main() {}
