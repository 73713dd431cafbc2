//! Every contender does every scenario. `Contender::perform` checks the number of calls and hooks,
//! and the delays and waits.

use allocation_counter::measure;
use peer_benches::contenders::{ALL, RETRY_EXT};
use peer_benches::report::label;
use peer_benches::{Load, Scenario};

#[test]
fn a_contender_does_a_scenario_or_says_why_it_cannot() {
    for contender in ALL {
        for scenario in Scenario::ALL {
            let performed = contender.perform(scenario, Load::full(3)).is_some();
            let remark = contender.entry(scenario).remark;
            assert!(performed || !remark.is_empty(), "{}, {scenario:?}", contender.name);
        }
    }
}

#[test]
fn this_crate_does_all_scenarios_and_allocates_in_none() {
    for scenario in Scenario::ALL {
        let count = |times| {
            measure(|| assert!(RETRY_EXT.perform(scenario, Load::full(times)).is_some()))
                .count_total
        };
        // Each count includes the runtime's allocations; the first also includes the thread's.
        let [_, few, many] = [1, 10, 100].map(count);
        assert_eq!(few, many, "{scenario:?}");
    }
}

#[test]
fn building_without_drawing_is_part_of_the_scenarios_of_delays() {
    for scenario in [Scenario::NextDelay, Scenario::JitteredDelay] {
        let (baseline, _) = scenario.baseline(3);
        let tally = RETRY_EXT.perform(scenario, baseline).expect("it can");
        assert!(tally.last_delay.is_zero());
    }
}

#[test]
fn the_figures_of_the_readme_are_of_the_versions_in_use() {
    let readme = include_str!("../README.md");
    for contender in ALL {
        let row = format!("\n| {} |", label(contender.name));
        let rows = readme.matches(&row).count();
        let of_any_version = readme.matches(&format!("\n| {} ", contender.name)).count();
        assert!(rows >= 2 && rows == of_any_version, "{row}: measure again, see README.md");
    }
}
