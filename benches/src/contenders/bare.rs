//! No retry: the cost of the operation and the measuring loop.

use std::cell::Cell;
use std::hint::black_box;

use tokio::time::sleep;

use crate::work::{FIRST_DELAY, Fault, Operation, awaited, blocking, fail_twice, succeed};
use crate::{Contender, Entry};

pub(super) static BARE: Contender = Contender {
    name: "bare call",
    first_success: Entry::new(|load| blocking(load, (), |(), state| succeed(state))),
    two_failures: Entry::new(|load| blocking(load, (), |(), state| until_success(state)))
        .without_hook("called until it succeeds: no limit, no delay, no predicate, no hook"),
    next_delay: Entry::lacking(NO_POLICY),
    jittered_delay: Entry::lacking(NO_POLICY),
    async_first_success: Entry::new(|load| {
        awaited(load, (), |(), state| Operation::<false>::new(state))
    }),
    async_two_failures: Entry::new(|load| awaited(load, (), |(), state| with_two_waits(state)))
        .without_hook(
            "called until it succeeds, with the two waits: no limit, no predicate, no hook",
        ),
};

const NO_POLICY: &str = "there is no policy";

fn until_success(state: &mut u64) -> Result<u64, Fault> {
    loop {
        if let success @ Ok(_) = fail_twice(state) {
            return success;
        }
    }
}

async fn with_two_waits(state: &'static Cell<u64>) -> Result<u64, Fault> {
    let mut delay = black_box(FIRST_DELAY);
    loop {
        if let success @ Ok(_) = Operation::<true>::new(state).await {
            return success;
        }
        sleep(delay).await;
        delay *= 2;
    }
}
