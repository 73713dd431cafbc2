//! A census of the generated cases, so that no property passes for lack of cases.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use retry_ext::{SleepOutcome, StopReason};

use crate::Stage;
use crate::budgets::budget;
use crate::cases::{Case, JITTERS, cases, purses, rules};
use crate::common::Busy;
use crate::common::drivers::{Trace, by_closure, by_whole_iterator};
use crate::common::model::{Custom, Growth, Purse, Rules};

const REASONS: [StopReason; 7] = [
    StopReason::Permanent,
    StopReason::AttemptsExhausted,
    StopReason::RetryAfterTooLong,
    StopReason::DeadlineExceeded,
    StopReason::BudgetExhausted,
    StopReason::Cancelled,
    StopReason::SourceEnded,
];

const PAUSES: [StopReason; 3] =
    [StopReason::RetryAfterTooLong, StopReason::DeadlineExceeded, StopReason::BudgetExhausted];

const OUTCOMES: [SleepOutcome; 3] =
    [SleepOutcome::Elapsed, SleepOutcome::Woken, SleepOutcome::Cancelled];

const EDGES: [Duration; 3] = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX];

#[derive(Default)]
struct Census(BTreeMap<String, u32>);

impl Census {
    fn count(&mut self, what: &str, holds: bool) {
        *self.0.entry(what.to_owned()).or_default() += u32::from(holds);
    }

    fn count_each<T: Copy + Debug + PartialEq>(&mut self, what: &str, all: &[T], found: &[T]) {
        for one in all {
            self.count(&format!("{what} {one:?}"), found.contains(one));
        }
    }

    fn rules(&mut self, rules: &Rules) {
        self.count_each("jitter", &JITTERS, &[rules.jitter]);
        self.count_each("seed", &[None, Some(0), Some(u64::MAX)], &[rules.seed]);
        self.count_each("attempts", &[1, 2, 3, u32::MAX - 1, u32::MAX], &[rules.max_attempts]);
        self.count_each("cap", &EDGES, &[rules.max_delay]);
        let deadlines = EDGES.map(Some);
        self.count_each("deadline", &deadlines, &[rules.max_elapsed]);
        self.count("no deadline", rules.max_elapsed.is_none());
        let longest = rules.max_retry_after;
        self.count("longest hint above the cap", longest.is_some_and(|it| it > rules.max_delay));
        self.count("longest hint below the cap", longest.is_some_and(|it| it < rules.max_delay));
        self.growth(rules.growth, rules.max_delay);
    }

    fn growth(&mut self, growth: Growth, max_delay: Duration) {
        let (first, factor, increment) = match growth {
            Growth::Curve { first, factor, increment } => (first, factor, increment),
            Growth::Custom(custom) => {
                return self.count_each("custom", &Custom::ALL, &[custom]);
            }
        };
        let (whole, vast) = (factor.fract() == 0.0, factor >= 4_294_967_296.0);
        self.count("constant", factor <= 1.0 && increment.is_zero());
        self.count("linear", factor <= 1.0 && !increment.is_zero());
        self.count("whole factor", whole && factor > 1.0 && !vast);
        self.count("fractional factor", !whole && !vast);
        self.count("vast factor", vast);
        self.count("factor and increment", factor > 1.0 && !increment.is_zero());
        self.count_each("first delay", &EDGES, &[first]);
        self.count_each("increment", &EDGES, &[increment]);
        self.count("a cap below the first delay", max_delay < first);
        self.count("a cap that is the first delay", max_delay == first);
        self.count("a cap soon reached", max_delay > first && max_delay / 2_000 <= first);
    }

    fn runs(&mut self, case: &Case, purse: &Purse) {
        let (by_itself, _) = case.play(by_closure);
        let with_budget = case.rules.policy().with_budget(budget(purse));
        let with_budget = Stage::new(&case.scenario).run(by_closure, with_budget);
        let mut ends = case.clone();
        ends.scenario.last = None;
        let policy = ends.rules.policy().with_budget(budget(purse));
        let (items, end) = Stage::new(&ends.scenario).run(by_whole_iterator, policy);
        let reasons: Vec<_> =
            [&by_itself, &with_budget].into_iter().chain(&items).map(Trace::reason).collect();
        self.count_each("end", &REASONS.map(Some), &reasons);
        self.count("success", reasons.contains(&None));
        self.count("granted by a budget", !with_budget.waits.is_empty());
        self.count("many items", items.len() > 3);
        let after = items.iter().skip(1).chain([&end]);
        let paused = items.iter().zip(after).filter(|(_, after)| !after.pauses.is_empty());
        let paused: Vec<_> = paused.filter_map(|(before, _)| before.reason()).collect();
        self.count_each("a pause after", &PAUSES, &paused);
        self.count("a pause before the end of the source", !end.pauses.is_empty());
        self.ends_of_waits(&ends, &items, &end);
        self.run(case, &by_itself);
    }

    fn ends_of_waits(&mut self, case: &Case, items: &[Trace], end: &Trace) {
        let mut ends = (0..).map(|sleep| case.scenario.sleep(sleep));
        let (mut pauses, mut waits) = (Vec::new(), Vec::new());
        for trace in items.iter().chain([end]) {
            pauses.extend(ends.by_ref().take(trace.pauses.len()));
            waits.extend(ends.by_ref().take(trace.waits.len()));
        }
        self.count_each("a pause that ends as", &OUTCOMES, &pauses);
        self.count_each("a wait that ends as", &OUTCOMES, &waits);
    }

    fn run(&mut self, case: &Case, seen: &Trace) {
        let waited: Duration =
            seen.waits.iter().fold(Duration::ZERO, |sum, &wait| sum.saturating_add(wait));
        let hinted = |above: fn(Duration, &Rules) -> bool| {
            let mut calls = (0..seen.calls as usize).filter_map(|call| case.scenario.step(call));
            calls.any(|step| matches!(step, Busy(hint) if above(hint, &case.rules)))
        };
        self.count("many waits", seen.waits.len() > 8);
        self.count("a wait of zero", seen.waits.contains(&Duration::ZERO));
        self.count("a wait of all time", seen.waits.contains(&Duration::MAX));
        self.count("more waited than 64 bits hold", waited > Duration::from_nanos(u64::MAX));
        self.count("a hint below the cap", hinted(|hint, rules| hint < rules.max_delay));
        self.count("a hint above the cap that is obeyed", {
            hinted(|hint, rules| hint > rules.max_delay && hint <= rules.max_retry_after())
        });
        self.count("the longest hint", hinted(|hint, rules| hint == rules.max_retry_after()));
        self.count("a hint hardly too long", {
            hinted(|hint, rules| {
                hint.saturating_sub(rules.max_retry_after()) == Duration::from_nanos(1)
            })
        });

        let mut free = case.clone();
        let Some(max_elapsed) = free.rules.max_elapsed.take() else { return };
        if case.rules.repeat() {
            let (free, clock) = free.play(by_closure);
            let (mut met, mut met_by_the_clock, mut missed) = (false, false, false);
            for ((heard, wait), clock) in free.heard.iter().zip(&free.waits).zip(clock) {
                let end = clock.max(heard.waited).saturating_add(*wait);
                met |= end == max_elapsed && clock <= heard.waited;
                met_by_the_clock |= end == max_elapsed && clock > heard.waited;
                missed |= end.saturating_sub(max_elapsed) == Duration::from_nanos(1);
            }
            self.count("a wait that ends at the deadline", met);
            self.count("one that does by the clock", met_by_the_clock);
            self.count("one that ends a nanosecond after it", missed);
        }
    }
}

#[test]
fn the_cases_reach_every_reason_jitter_and_growth_and_every_edge() {
    let mut runner = TestRunner::deterministic();
    let strategy = (cases(rules()), purses());
    let mut census = Census::default();
    for _ in 0..1_000 {
        let (mut case, purse) =
            strategy.new_tree(&mut runner).expect("nothing is rejected").current();
        census.rules(&case.rules);
        // With random draws, the counts of the runs would vary.
        case.rules.seed.get_or_insert(7);
        census.runs(&case, &purse);
    }
    let rare: Vec<_> = census.0.iter().filter(|(_, count)| **count < 5).collect();
    assert!(rare.is_empty(), "of 1,000 cases hardly any have {rare:?}");
}
