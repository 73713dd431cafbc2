//! `RetryIteratorExt`: the behaviour that its parity with `retry_with` does not show.

mod common;

use std::cell::Cell;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::iter::FusedIterator;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::time::Duration;

use common::{Break, Busy, Fail, ScriptError, Step, Succeed, ms, secs};
use retry_ext::{RetryBudget, RetryIteratorExt, RetryPolicy, SleepOutcome, StopReason};

/// The end of an item: a value, or the number of attempts and the reason.
type End = Result<(), (u32, StopReason)>;

/// Returns the ends of all items for a script of single outcomes, and the waits.
fn items(policy: RetryPolicy, script: &[Step]) -> (Vec<End>, Vec<Duration>) {
    let mut waits = Vec::new();
    let ends = script
        .iter()
        .map(|step| step.play())
        .sleep_with(|delay| waits.push(delay))
        .retry_with(policy)
        .map(|item| item.map_err(|stopped| (stopped.attempts(), stopped.reason())))
        .collect();
    (ends, waits)
}

#[test]
fn each_item_starts_afresh() {
    let script = [Fail(1), Fail(2), Succeed, Succeed, Fail(3), Fail(4), Succeed];
    let (ends, waits) = items(RetryPolicy::new(), &script);
    assert_eq!(ends, [Ok(()); 3]);
    assert_eq!(waits, [1, 2, 1, 2].map(secs));
}

#[test]
fn an_item_that_gives_up_is_yielded_and_the_next_one_goes_on() {
    let script = [Fail(1), Fail(2), Fail(3), Succeed, Break, Succeed];
    let (ends, waits) = items(RetryPolicy::new(), &script);
    let exhausted = Err((3, StopReason::AttemptsExhausted));
    assert_eq!(ends, [exhausted, Ok(()), Err((1, StopReason::Permanent)), Ok(())]);
    assert_eq!(waits, [1, 2].map(secs));
}

#[test]
fn an_error_after_which_the_source_ends_is_yielded_and_not_swallowed() {
    let (ends, waits) = items(RetryPolicy::new(), &[Succeed, Fail(7)]);
    assert_eq!(ends, [Ok(()), Err((2, StopReason::SourceEnded))]);
    assert_eq!(waits, [secs(1)]);

    let mut source =
        [Fail(7)].into_iter().map(Step::play).sleep_with(|_| ()).retry_with(RetryPolicy::new());
    let stopped = source.next().expect("the error").expect_err("no value");
    assert_eq!(stopped.to_string(), "gave up after 2 attempts and 1s of waiting: the source ended");
    assert_eq!(stopped.into_error(), ScriptError::Transient(7));
    assert!(source.next().is_none());
}

#[test]
fn an_empty_source_is_empty() {
    assert_eq!(items(RetryPolicy::new(), &[]), (vec![], vec![]));
}

#[test]
fn a_cancelled_wait_is_yielded_with_its_error() {
    let mut source = [Fail(1), Succeed]
        .into_iter()
        .map(Step::play)
        .sleep_with(|_| ControlFlow::Break(()))
        .retry_with(RetryPolicy::new());
    let stopped = source.next().expect("an item").expect_err("cancelled");
    assert_eq!((stopped.attempts(), stopped.reason()), (1, StopReason::Cancelled));
    assert!(source.next().expect("the next item").is_ok());
}

static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);

#[test]
fn r09_a_refusal_is_followed_by_a_pause_before_the_next_call_of_the_source() {
    let policy = RetryPolicy::new().with_max_delay(secs(40));
    for (policy, refused, pause) in [
        (policy.with_budget(&SPENT), Fail(1), secs(1)),
        (policy.with_budget(&SPENT), Busy(secs(30)), secs(30)),
        (policy.with_max_elapsed(Duration::ZERO), Fail(1), secs(1)),
        (policy, Busy(secs(50)), secs(40)),
        (policy.with_max_retry_after(secs(7)), Busy(secs(50)), secs(7)),
    ] {
        let (calls, mut pauses) = (Cell::new(0), Vec::new());
        let source = [refused, Succeed].into_iter().map(|step| {
            calls.set(calls.get() + 1);
            step.play()
        });
        let mut items = source
            .on_retry(|_| panic!("a pause is no retry"))
            .sleep_with(|delay| pauses.push((calls.get(), delay)))
            .retry_with(policy);
        let stopped = items.next().expect("an item").expect_err("it is refused");
        assert_eq!((stopped.attempts(), stopped.waited()), (1, Duration::ZERO));
        assert_eq!(items.next(), Some(Ok(())));
        assert_eq!(items.next(), None);
        drop(items);
        assert_eq!(pauses, [(1, pause)], "once, at the start of the following call");
    }
}

#[test]
fn r09_no_pause_follows_a_stop_of_another_kind() {
    let once = RetryPolicy::new().with_max_attempts(1);
    let mut pauses = 0;
    let source = [Break, Fail(1), Succeed].into_iter().map(Step::play);
    assert_eq!(source.sleep_with(|_| pauses += 1).retry_with(once).count(), 3);
    assert_eq!(pauses, 0);
}

#[test]
fn r09_a_pause_that_is_woken_ends_and_one_that_is_cancelled_ends_the_sequence_for_ever() {
    let policy = RetryPolicy::new().with_budget(&SPENT);
    for (outcome, rest) in [
        (SleepOutcome::Elapsed, [Some(Ok(())), None, None]),
        (SleepOutcome::Woken, [Some(Ok(())), None, None]),
        (SleepOutcome::Cancelled, [None, None, None]),
    ] {
        let (calls, mut pauses) = (Cell::new(0), 0);
        let source = [Fail(1), Succeed].into_iter().map(|step| {
            calls.set(calls.get() + 1);
            step.play()
        });
        let sleeper = |_| {
            pauses += 1;
            outcome
        };
        let mut items = source.sleep_with(sleeper).retry_with(policy);
        assert_eq!(items.size_hint(), (0, Some(2)), "a pause may be cancelled");
        assert!(items.next().is_some_and(|item| item.is_err()));
        let count = rest.iter().flatten().count();
        for expected in rest {
            assert_eq!(items.next(), expected, "{outcome:?}");
        }
        assert_eq!(items.size_hint(), (0, Some(0)));
        drop(items);
        assert_eq!((calls.get(), pauses), (1 + count, 1), "{outcome:?}");
    }
}

#[test]
fn it_is_lazy() {
    let taken = Cell::new(0);
    let mut source = std::iter::repeat_with(|| {
        taken.set(taken.get() + 1);
        Ok::<_, ScriptError>(taken.get())
    })
    .retry_with(RetryPolicy::new());
    assert_eq!(taken.get(), 0);
    assert_eq!(source.next(), Some(Ok(1)));
    assert_eq!(taken.get(), 1);
}

#[test]
fn size_hint_holds_for_the_best_and_the_worst_source() {
    for max_attempts in [1, 2, 3, u32::MAX] {
        for length in [0, 1, 2, 3, 4, 5, 6, 7] {
            for step in [Succeed, Fail(1), Break] {
                let policy = RetryPolicy::new().with_max_attempts(max_attempts);
                let script = vec![step; length];
                let source =
                    script.iter().map(|step| step.play()).sleep_with(|_| ()).retry_with(policy);
                let (least, most) = source.size_hint();
                let count = source.count();
                assert!(least <= count && most.is_some_and(|most| count <= most));
                if step == Fail(1) {
                    assert_eq!(least, count, "the worst source is as short as promised");
                }
                if step == Succeed {
                    assert_eq!(most, Some(count), "the best source is as long as promised");
                }
            }
        }
    }
}

#[test]
fn it_is_fused_where_its_source_is() {
    fn fused<I: FusedIterator>(items: I) -> I {
        items
    }
    let source = [Fail(1)].into_iter().map(Step::play);
    let mut items = fused(source.sleep_with(|_| ()).retry_with(RetryPolicy::new()));
    assert!(items.next().is_some_and(|item| item.is_err()));
    assert!(items.next().is_none() && items.next().is_none());
}

#[test]
fn the_policy_may_be_borrowed() {
    let policy = RetryPolicy::new().with_max_attempts(1);
    let mut source = [Fail(1)].into_iter().map(Step::play).retry_with(&policy);
    assert_eq!(source.next().expect("an item").expect_err("it fails").attempts(), 1);
}

#[test]
fn a_predicate_and_a_hook_refine_it() {
    let mut heard = Vec::new();
    let texts = ["1", "", "", "2", "x", "3"].into_iter().map(str::parse::<u8>);
    let numbers: Vec<_> = texts
        .retry_if(|error| *error.kind() == std::num::IntErrorKind::Empty)
        .on_retry(|retry| heard.push(retry.attempt))
        .sleep_with(|_| ())
        .retry_with(RetryPolicy::new())
        .map(|item| item.map_err(|stopped| stopped.reason()))
        .collect();
    assert_eq!(numbers, [Ok(1), Ok(2), Err(StopReason::Permanent), Ok(3)]);
    assert_eq!(heard, [1, 2]);
}

#[test]
fn each_item_has_a_deadline_of_its_own() {
    // Each item waits for 1 s by a sleeper that returns at once, and four items for more than the deadline of 3 s.
    let policy = RetryPolicy::new().with_max_attempts(10).with_max_elapsed(secs(3));
    assert_eq!(items(policy, &[Fail(1), Succeed].repeat(4)).0, [Ok(()); 4]);
    let waits_too_long = items(policy, &[Fail(1), Fail(2), Fail(3), Succeed]).0;
    assert_eq!(waits_too_long, [Err((3, StopReason::DeadlineExceeded)), Ok(())]);
}

#[test]
fn a_real_accept_loop_goes_on_after_errors() {
    // This test really waits, for milliseconds: a non-blocking listener returns `WouldBlock` until a client connects. The
    // clients start after the first error.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("an address");
    let client = |name: &'static str| {
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("the listener is there");
            writeln!(stream, "{name}").expect("the server reads");
        })
    };
    let mut clients = Vec::new();
    let policy = RetryPolicy::new()
        .with_initial_delay(ms(1))
        .with_factor(1.0)
        .with_max_attempts(10_000)
        .with_logging(false);
    let mut names: Vec<String> = listener
        .incoming()
        .on_retry(|retry| {
            assert_eq!(retry.error.kind(), ErrorKind::WouldBlock);
            if clients.is_empty() {
                clients = vec![client("a"), client("b")];
            }
        })
        .retry_with(policy)
        .take(2)
        .map(|stream| {
            let stream = stream.expect("a client");
            stream.set_nonblocking(false).expect("a stream that blocks");
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).expect("a name");
            line.trim().to_owned()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    for client in clients {
        client.join().expect("it only calls");
    }
}

#[test]
fn none_is_passed_on_before_the_source_is_asked_again() {
    let mut script = [Some(Fail(1)), None, Some(Succeed), None].into_iter();
    let source =
        std::iter::from_fn(move || script.next().expect("not asked further").map(Step::play));
    let mut items = source.sleep_with(|_| ()).retry_with(RetryPolicy::new());
    let stopped = items.next().expect("the error").expect_err("no value");
    assert_eq!(stopped.reason(), StopReason::SourceEnded);
    assert_eq!(items.size_hint(), (0, Some(0)));
    assert!(items.next().is_none());
    assert!(items.next().is_some_and(|item| item.is_ok()), "a source may continue after its end");
    assert!(items.next().is_none());
}

#[test]
fn an_endless_source_has_an_honest_size_hint() {
    let endless = std::iter::repeat_with(|| Succeed.play()).retry_with(RetryPolicy::new());
    assert_eq!(endless.size_hint(), (usize::MAX.div_ceil(3), None));
}

#[test]
fn a_source_that_panics_may_be_gone_on_with() {
    let mut calls = 0;
    let source = std::iter::from_fn(move || {
        calls += 1;
        assert_ne!(calls, 2, "the second call panics");
        Some(if calls == 1 { Fail(1).play() } else { Succeed.play() })
    });
    let mut items = source.sleep_with(|_| ()).retry_with(RetryPolicy::new());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| items.next()));
    assert!(panic.is_err());
    assert!(items.next().is_some_and(|item| item.is_ok()));
}

#[test]
fn r06_the_time_of_the_source_counts() {
    // This test takes real time: 80 ms for the item and a delay of 50 ms do not fit into 100 ms.
    let policy = RetryPolicy::new().with_initial_delay(ms(50)).with_max_elapsed(ms(100));
    let slow = std::iter::repeat_with(|| {
        std::thread::sleep(ms(80));
        Fail(1).play()
    });
    let stopped = slow.retry_with(policy).next().expect("an item").expect_err("it fails");
    assert_eq!((stopped.attempts(), stopped.reason()), (1, StopReason::DeadlineExceeded));
}
