//! Rules 5, 6 and 9: a refusal never causes a busy loop, a woken wait does not count, and a hint
//! spreads a crowd.

mod common;

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::io::{Error, ErrorKind};
use std::ops::ControlFlow;
use std::time::Duration;

use common::drivers::awaited::paused;
use common::{ms, poll_to_end, secs};
use retry_ext::{
    AsyncRetryExt, Backoff, IsTransient, Jitter, RetryBudget, RetryError, RetryExt,
    RetryIteratorExt, RetryPolicy, SleepOutcome, StopReason,
};

const POLICY: RetryPolicy = RetryPolicy::new().with_logging(false);

fn down() -> Result<(), Error> {
    Err(ErrorKind::ConnectionRefused.into())
}

#[derive(Clone, Copy, Debug, IsTransient)]
#[transient(after)]
struct Throttled(Duration);

/// Returns a budget that is spent.
fn spent() -> &'static RetryBudget {
    static SPENT: RetryBudget = RetryBudget::new().with_min_retries(0);
    &SPENT
}

fn stopped<T, E>(result: Result<T, RetryError<E>>) -> (StopReason, Option<Duration>) {
    let error = result.err().expect("it fails");
    (error.reason(), error.next_delay())
}

#[test]
fn r09_the_next_delay_is_the_wait_that_was_refused_or_cut_short() {
    use StopReason::{
        AttemptsExhausted, BudgetExhausted, Cancelled, DeadlineExceeded, Permanent,
        RetryAfterTooLong,
    };

    let run = |policy: RetryPolicy| stopped(down.sleep_with(|_| ()).retry_with(policy));
    assert_eq!(run(POLICY.with_budget(spent())), (BudgetExhausted, Some(secs(1))));
    assert_eq!(run(POLICY.with_max_elapsed(secs(2))), (DeadlineExceeded, Some(secs(2))));
    assert_eq!(run(POLICY), (AttemptsExhausted, None));
    assert_eq!(run(POLICY.with_max_attempts(1)), (AttemptsExhausted, None));
    let permanent = || Err::<(), _>(Error::from(ErrorKind::NotFound));
    assert_eq!(stopped(permanent.retry_with(POLICY)), (Permanent, None));
    for hint in [secs(61), Duration::MAX] {
        let throttled = || Err::<(), _>(Throttled(hint));
        assert_eq!(stopped(throttled.retry_with(POLICY)), (RetryAfterTooLong, Some(hint)));
    }
    let mut waits = 0;
    let cancelled = down.sleep_with(|_| {
        waits += 1;
        if waits == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped(cancelled.retry_with(POLICY)), (Cancelled, Some(secs(2))));
}

#[test]
fn r09_the_next_delay_is_the_same_in_every_form() {
    let refused = POLICY.with_max_elapsed(ms(500));
    let expected = (StopReason::DeadlineExceeded, Some(secs(1)));
    assert_eq!(stopped(down.retry_with(refused)), expected);
    let future = (|| ready(down())).retry_with(refused);
    assert_eq!(stopped(poll_to_end(future).0), expected);
    let source = std::iter::from_fn(|| Some(down()));
    assert_eq!(stopped(source.retry_with(refused).next().expect("an item")), expected);
    let mut retry = refused.start();
    let error = down().expect_err("down");
    assert_eq!(retry.delay_after(&error), Err(StopReason::DeadlineExceeded));
    assert_eq!(stopped(retry.wait_after(error)), expected);
}

/// Counts the calls of a source that fails for ten simulated seconds. Its calls take no time; waits
/// and pauses do.
fn calls_in_ten_seconds(policy: RetryPolicy) -> u32 {
    let now = Cell::new(Duration::ZERO);
    let mut calls = 0;
    let source = std::iter::from_fn(|| {
        (now.get() < secs(10)).then(|| {
            calls += 1;
            assert!(calls < 100_000, "a busy loop");
            Err::<(), _>(Error::from(ErrorKind::ConnectionAborted))
        })
    });
    source.sleep_with(|delay| now.set(now.get() + delay)).retry_with(policy).for_each(drop);
    calls
}

#[test]
fn p31_an_iterator_makes_no_more_calls_with_a_spent_budget_than_without_one() {
    let policy = POLICY.with_initial_delay(ms(100));
    let without = calls_in_ten_seconds(policy);
    assert_eq!(without, 100); // three calls in 300 ms
    let with = calls_in_ten_seconds(policy.with_budget(spent()));
    assert_eq!(with, 100); // one call in 100 ms
    let full = policy.with_jitter(Jitter::Full).with_seed(7);
    assert!(calls_in_ten_seconds(full.with_budget(spent())) < 300); // 200 on average
}

#[test]
fn p31_an_iterator_whose_deadline_allows_no_retry_calls_once_per_delay() {
    paused(async {
        // The clock stands still, so only the refused delays count.
        assert_eq!(calls_in_ten_seconds(POLICY.with_max_elapsed(ms(999))), 10);
        let policy = POLICY.with_initial_delay(ms(250)).with_max_elapsed(ms(100));
        assert_eq!(calls_in_ten_seconds(policy), 40);
    });
}

#[test]
fn p31_after_a_hint_that_is_too_long_an_iterator_pauses_for_the_longest_that_is_obeyed() {
    let pauses = RefCell::new(Vec::new());
    let source = std::iter::repeat_n(Err::<(), _>(Throttled(secs(600))), 3);
    let policy = POLICY.with_max_retry_after(secs(90));
    let items = source.sleep_with(|pause| pauses.borrow_mut().push(pause)).retry_with(policy);
    for item in items {
        assert_eq!(stopped(item), (StopReason::RetryAfterTooLong, Some(secs(600))));
    }
    assert_eq!(pauses.into_inner(), [secs(90); 3]);
}

#[test]
fn r09_a_pause_is_no_wait_calls_no_hook_and_is_not_waited() {
    let (pauses, hooks) = (Cell::new(0), Cell::new(0));
    let mut source = std::iter::repeat_with(down)
        .on_retry(|_| hooks.set(hooks.get() + 1))
        .sleep_with(|_| pauses.set(pauses.get() + 1))
        .retry_with(POLICY.with_budget(spent()));
    for item in 0..3 {
        let error = source.next().expect("an item").expect_err("down");
        assert_eq!((error.attempts(), error.waited()), (1, Duration::ZERO));
        assert_eq!((pauses.get(), hooks.get()), (item, 0), "the pause comes before the next item");
    }
}

#[test]
fn r09_the_deadline_of_the_next_item_starts_after_the_pause() {
    paused(async {
        // The retry is refused at first. The pause is as long as the deadline, and the next item
        // still has the whole deadline.
        let script = RefCell::new(vec![Ok(()), down(), down()]);
        let source = std::iter::from_fn(|| script.borrow_mut().pop());
        let slow = Cell::new(false);
        let mut items = source
            .retry_if(|_| true)
            .sleep_with(|_| slow.set(true))
            .retry_with(POLICY.with_initial_delay(ms(600)).with_max_elapsed(ms(500)));
        assert!(items.next().is_some_and(|item| item.is_err()));
        assert!(!slow.get());
        let error = items.next().expect("an item").expect_err("down");
        assert!(slow.get());
        assert_eq!((error.reason(), error.attempts()), (StopReason::DeadlineExceeded, 1));
        assert!(items.next().is_some_and(|item| item.is_ok()));
    });
}

#[test]
fn r09_a_woken_pause_goes_on_and_a_cancelled_one_ends_the_sequence_for_ever() {
    let answers = RefCell::new(vec![SleepOutcome::Cancelled, SleepOutcome::Woken]);
    let mut calls = 0;
    let mut items = std::iter::from_fn(|| {
        calls += 1;
        Some(down())
    })
    .sleep_with(|_| answers.borrow_mut().pop().expect("two pauses"))
    .retry_with(POLICY.with_budget(spent()));
    assert_eq!(items.size_hint(), (0, None));
    assert!(items.next().is_some());
    assert!(items.next().is_some(), "woken");
    assert!(items.next().is_none(), "cancelled");
    assert_eq!(items.size_hint(), (0, Some(0)));
    assert!(items.next().is_none() && items.next().is_none());
    drop(items);
    assert_eq!(calls, 2);
}

#[test]
fn p30_a_sleeper_that_is_woken_early_leaves_the_deadline_to_the_clock() {
    // 50 waits of 30 s fit into 300 s, because none of them is slept.
    let policy = POLICY
        .with_max_attempts(1000)
        .with_backoff(Backoff::constant(secs(30)))
        .with_max_elapsed(secs(300));
    let fetch = |calls: &Cell<u32>| {
        calls.set(calls.get() + 1);
        if calls.get() < 50 { down() } else { Ok(()) }
    };
    let check = |result: Result<(), RetryError<Error>>, calls: &Cell<u32>, form: &str| {
        assert!(result.is_ok(), "{form}: {result:?}");
        assert_eq!(calls.get(), 50, "{form}");
    };

    let calls = Cell::new(0);
    let waited = Cell::new(Duration::MAX);
    let result = (|| fetch(&calls))
        .on_retry(|retry| waited.set(retry.waited))
        .sleep_with(|_| SleepOutcome::Woken)
        .retry_with(policy);
    check(result, &calls, "closure");
    assert_eq!(waited.get(), Duration::ZERO);

    let calls = Cell::new(0);
    let retry = (|| ready(fetch(&calls))).sleep_with(|_| ready(SleepOutcome::Woken));
    check(poll_to_end(retry.retry_with(policy)).0, &calls, "future");

    let calls = Cell::new(0);
    let source = std::iter::from_fn(|| Some(fetch(&calls)));
    let item = source.sleep_with(|_| SleepOutcome::Woken).retry_with(policy).next();
    check(item.expect("an item"), &calls, "iterator");

    let calls = Cell::new(0);
    let mut retry = policy.start();
    let result = loop {
        let Err(error) = fetch(&calls) else { break Ok(()) };
        match retry.delay_after(&error) {
            Ok(_delay) => retry.woken(),
            Err(_reason) => break retry.wait_after(error),
        }
    };
    assert_eq!((retry.attempt(), retry.waited()), (50, Duration::ZERO));
    check(result, &calls, "loop");

    // The same waits, reported as elapsed, use the deadline up.
    let calls = Cell::new(0);
    let result = (|| fetch(&calls)).sleep_with(|_| SleepOutcome::Elapsed).retry_with(policy);
    assert_eq!(stopped(result), (StopReason::DeadlineExceeded, Some(secs(30))));
    assert_eq!(calls.get(), 11);
}

#[test]
fn p30_a_wait_that_was_woken_is_not_waited_and_the_others_are() {
    let outcomes = RefCell::new(vec![SleepOutcome::Elapsed, SleepOutcome::Woken]);
    let result = down.sleep_with(|_| outcomes.borrow_mut().pop().expect("two waits"));
    let error = result.retry_with(POLICY).expect_err("down");
    assert_eq!((error.attempts(), error.waited()), (3, secs(2)));

    let mut retry = POLICY.start();
    assert_eq!(retry.delay_after(&ErrorKind::TimedOut), Ok(secs(1)));
    retry.woken();
    retry.woken(); // nothing is left of that wait
    assert_eq!(retry.delay_after(&ErrorKind::TimedOut), Ok(secs(2)));
    assert_eq!(retry.waited(), secs(2));
}

/// Returns the most calls within 10 ms of 1,000 clients that received the same hint of 30 s at one
/// time.
fn fullest(delays: impl Iterator<Item = Duration>) -> usize {
    let mut buckets = std::collections::HashMap::new();
    for delay in delays.take(1_000) {
        assert!(delay >= secs(30) && delay <= secs(40), "{delay:?}");
        *buckets.entry(delay.as_millis() / 10).or_insert(0_usize) += 1;
    }
    *buckets.values().max().expect("1,000 clients")
}

#[test]
fn p51_a_crowd_that_was_told_the_same_hint_spreads_over_a_quarter_of_it() {
    const TOLD: Throttled = Throttled(secs(30));

    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        let policy = POLICY.with_initial_delay(ms(10)).with_jitter(jitter);
        let closure = || {
            let mut waited = None;
            let result = (|| Err::<(), _>(TOLD))
                .sleep_with(|delay| {
                    waited = Some(delay);
                    ControlFlow::Break(())
                })
                .retry_with(policy);
            assert_eq!(stopped(result), (StopReason::Cancelled, waited));
            waited.expect("a wait")
        };
        let future = || {
            let retry = (|| ready(Err::<(), _>(TOLD)))
                .sleep_with(|_| ready(ControlFlow::Break(())))
                .retry_with(policy);
            stopped(poll_to_end(retry).0).1.expect("a wait")
        };
        let looped = || policy.start().delay_after(&TOLD).expect("a wait");
        assert!(fullest(std::iter::repeat_with(closure)) <= 30, "closure, {jitter:?}");
        assert!(fullest(std::iter::repeat_with(future)) <= 30, "future, {jitter:?}");
        assert!(fullest(std::iter::repeat_with(looped)) <= 30, "loop, {jitter:?}");
    }
}

#[test]
fn r05_a_hint_that_is_the_longest_wait_leaves_no_room_and_a_separate_limit_does() {
    let told = Throttled(secs(30));
    let policy = POLICY.with_jitter(Jitter::Full).with_max_delay(secs(30));
    assert_eq!(policy.start().delay_after(&told), Ok(secs(30)));
    let delay = policy.with_max_retry_after(secs(120)).start().delay_after(&told);
    assert!(delay.is_ok_and(|delay| delay > secs(30) && delay <= ms(37_500)), "{delay:?}");
    // A lower limit for hints neither shortens the delays nor bounds the jitter above a hint.
    let lower = POLICY.with_initial_delay(secs(50)).with_max_retry_after(secs(10));
    assert_eq!(lower.start().delay_after(&Throttled(secs(10))), Ok(secs(50)));
    assert_eq!(lower.start().delay_after(&told), Err(StopReason::RetryAfterTooLong));
}

#[test]
fn r05_a_wait_that_a_hint_moved_is_not_the_previous_delay_of_decorrelated_jitter() {
    // A previous delay of 30 s would draw from 1 to 90 s; the first delay draws from 1 to 3 s.
    let policy = POLICY.with_max_attempts(100).with_jitter(Jitter::Decorrelated);
    for seed in 0..100 {
        let mut retry = policy.with_seed(seed).start();
        assert!(retry.delay_after(&Throttled(secs(30))).is_ok_and(|delay| delay >= secs(30)));
        let next = retry.delay_after(&ErrorKind::TimedOut).expect("an attempt");
        assert!(next >= secs(1) && next <= secs(3), "{next:?}");
    }
}

#[test]
fn p40_what_a_policy_sets_itself_wins_over_any_backoff_in_either_order() {
    type Setter = fn(RetryPolicy) -> RetryPolicy;
    let setters: [(&str, Setter); 12] = [
        ("backoff", |policy| {
            let backoff = Backoff::linear().with_increment(ms(3)).with_max_delay(secs(9));
            policy.with_backoff(backoff.with_jitter(Jitter::Equal).with_seed(3))
        }),
        ("initial_delay", |policy| policy.with_initial_delay(ms(7))),
        ("factor", |policy| policy.with_factor(3.0)),
        ("max_delay", |policy| policy.with_max_delay(secs(5))),
        ("jitter", |policy| policy.with_jitter(Jitter::Full)),
        ("seed", |policy| policy.with_seed(11)),
        ("max_attempts", |policy| policy.with_max_attempts(9)),
        ("max_elapsed", |policy| policy.with_max_elapsed(secs(99))),
        ("max_retry_after", |policy| policy.with_max_retry_after(secs(70))),
        ("budget", |policy| policy.with_budget(spent())),
        ("name", |policy| policy.with_name("name")),
        ("logging", |policy| policy.with_logging(false)),
    ];
    for (one, first) in setters {
        for (other, second) in setters.into_iter().filter(|(other, _)| *other != one) {
            let (a, b) = (second(first(RetryPolicy::new())), first(second(RetryPolicy::new())));
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "{one} and {other}");
            assert!(a.delays().eq(b.delays()) || a.seed().is_none(), "{one} and {other}");
        }
    }
    let replaced = RetryPolicy::new()
        .with_backoff(Backoff::constant(secs(5)))
        .with_backoff(Backoff::exponential());
    assert_eq!(format!("{replaced:?}"), format!("{:?}", RetryPolicy::new()));
}

#[test]
fn p41_a_constant_delay_above_the_default_cap_is_kept() {
    let minutes = |policy: RetryPolicy| policy.delays().next().expect("a delay").as_secs() / 60;
    let five = Backoff::constant(secs(300));
    assert_eq!(minutes(RetryPolicy::from(five)), 5);
    assert_eq!(minutes(RetryPolicy::new().with_backoff(five)), 5);
    assert_eq!(minutes(RetryPolicy::from(five).with_max_delay(secs(60))), 1);
    assert_eq!(minutes(RetryPolicy::new().with_max_delay(secs(60)).with_backoff(five)), 1);
    assert_eq!(five.with_max_delay(secs(60)).delay(1), secs(60));
    assert_eq!(Backoff::constant(secs(5)).max_delay(), secs(60));
    assert_eq!(Backoff::constant(Duration::MAX).delay(1), Duration::MAX);
}

#[test]
fn p31_a_curve_that_begins_at_zero_does_not_make_a_refusal_spin() {
    fn fast_first(retry: u32) -> Duration {
        Backoff::exponential().delay(retry - 1)
    }

    let policy = POLICY.with_backoff(Backoff::custom(fast_first)).with_max_attempts(5);
    let refused = |policy| stopped(down.sleep_with(|_| ()).retry_with(policy)).1;
    assert_eq!(refused(policy.with_budget(spent())), Some(secs(1)));
    assert_eq!(calls_in_ten_seconds(policy.with_budget(spent())), 10);
    let linear = POLICY.with_backoff(Backoff::linear()).with_initial_delay(Duration::ZERO);
    assert_eq!(refused(linear.with_budget(spent())), Some(secs(1)));
    assert_eq!(calls_in_ten_seconds(linear.with_budget(spent())), 10);
    // The delay of zero is still the one that is checked against the deadline.
    paused(async {
        assert_eq!(refused(policy.with_max_elapsed(ms(1))), Some(secs(1)));
        let mut calls = 0;
        let counted = || {
            calls += 1;
            down()
        };
        assert!(counted.sleep_with(|_| ()).retry_with(policy.with_max_elapsed(ms(1))).is_err());
        assert_eq!(calls, 2);
    });
}

#[test]
fn p31_no_refused_wait_of_zero_makes_a_loop_spin_wherever_the_zero_comes_from() {
    // At any attempt, decorrelated jitter draws from the initial delay of zero alone.
    let linear = POLICY.with_backoff(Backoff::linear()).with_initial_delay(Duration::ZERO);
    let drawn = linear.with_jitter(Jitter::Decorrelated).with_max_attempts(5);
    let after = |granted| {
        let budget: &'static _ = Box::leak(Box::new(RetryBudget::new().with_min_retries(granted)));
        move |policy: RetryPolicy| policy.with_budget(budget)
    };
    for granted in 0..4 {
        let expected = (StopReason::BudgetExhausted, Some(secs(u64::from(granted.max(1)))));
        let result = down.sleep_with(|_| ()).retry_with(after(granted)(drawn));
        assert_eq!(stopped(result), expected, "after {granted} retries");
        let computed = down.delay_with(|_, _| Duration::ZERO).sleep_with(|_| ());
        assert_eq!(stopped(computed.retry_with(after(granted)(drawn))), expected);
    }
    assert_eq!(calls_in_ten_seconds(drawn.with_budget(spent())), 10);
    // A computed delay is replaced by the backoff's delay, not by a later computed delay.
    let computed = down.delay_with(|_, _| Duration::ZERO).sleep_with(|_| ());
    let expected = (StopReason::BudgetExhausted, Some(secs(1)));
    assert_eq!(stopped(computed.retry_with(POLICY.with_budget(spent()))), expected);
    // Half of all draws from so short a delay are zero.
    let short = POLICY.with_initial_delay(Duration::from_nanos(1)).with_budget(spent());
    for seed in 0..100 {
        let policy = short.with_jitter(Jitter::Full).with_seed(seed);
        let result = down.sleep_with(|_| ()).retry_with(policy);
        assert_eq!(stopped(result).1, Some(Duration::from_nanos(1)));
    }
    // If the limit of hints is zero, the backoff's delays remain.
    let pauses = RefCell::new(Vec::new());
    let source = std::iter::repeat_n(Err::<(), _>(Throttled(secs(5))), 2);
    let items = source
        .sleep_with(|pause| pauses.borrow_mut().push(pause))
        .retry_with(linear.with_max_retry_after(Duration::ZERO));
    items.for_each(drop);
    assert_eq!(pauses.into_inner(), [secs(1); 2]);
}

#[test]
fn p31_a_limit_of_hints_below_the_first_delay_does_not_make_a_refusal_spin() {
    let pauses = RefCell::new(Vec::new());
    let source = std::iter::repeat_n(Err::<(), _>(Throttled(secs(5))), 2);
    let policy = POLICY.with_initial_delay(ms(50)).with_max_retry_after(Duration::ZERO);
    let items = source.sleep_with(|pause| pauses.borrow_mut().push(pause)).retry_with(policy);
    items.for_each(drop);
    assert_eq!(pauses.into_inner(), [ms(50); 2]);
}
