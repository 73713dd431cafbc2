//! Replays the kept inputs of each target.

use retry_ext_fuzz::{TARGETS, replay, seeds};

fn main() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "nothing to try for {name}");
        for seed in &seeds {
            replay(target, seed);
        }
        println!("{name}: {} inputs", seeds.len());
    }
}
