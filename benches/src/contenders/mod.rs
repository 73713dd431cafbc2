//! The contenders. Each crate is used as its README shows, under the same policy: three attempts,
//! 10 ms doubled, at most 60 s.

mod backon;
mod bare;
mod hand;
mod hand_integers;
mod relentless;
mod retry;
mod retry_ext;
mod tokio_retry;

use crate::Contender;

/// All contenders, in the order of the tables.
pub static ALL: [&Contender; 8] = [
    &bare::BARE,
    &hand::HAND,
    &hand_integers::HAND_INTEGERS,
    &RETRY_EXT,
    &backon::BACKON,
    &retry::RETRY,
    &tokio_retry::TOKIO_RETRY,
    &relentless::RELENTLESS,
];

pub use retry_ext::RETRY_EXT;
