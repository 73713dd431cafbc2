//! Forked processes draw different jitter, although a fork copies the parent's state.
//!
//! This program runs without the test harness, whose threads a fork would not copy.

mod common;

#[cfg(unix)]
#[expect(clippy::incompatible_msrv, reason = "`io::pipe` is newer than the library's minimum")]
fn main() {
    use std::io::{Read, Write, pipe};
    use std::process::exit;
    use std::time::Duration;

    use common::uniform::{FRESH, assert_uniform, place};
    use common::{Fail, play, secs};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use retry_ext::{Backoff, Jitter, RetryPolicy};

    /// Forks this process, and returns the child's output.
    fn forked(work: impl FnOnce() -> String) -> String {
        let (mut reader, mut writer) = pipe().expect("a pipe");
        // SAFETY: this process has one thread, so no restriction applies to the child.
        match unsafe { fork() }.expect("a fork") {
            ForkResult::Child => {
                drop(reader);
                writer.write_all(work().as_bytes()).expect("the parent reads");
                exit(0);
            }
            ForkResult::Parent { child } => {
                drop(writer);
                let mut said = String::new();
                reader.read_to_string(&mut said).expect("the child writes");
                let end = waitpid(child, None).expect("the child ends");
                assert_eq!(end, WaitStatus::Exited(child, 0), "its output: {said}");
                said
            }
        }
    }

    /// Returns a line for each jitter and each way to draw.
    fn draw() -> String {
        let lines = [Jitter::Full, Jitter::Equal, Jitter::Decorrelated].map(|jitter| {
            let policy = RetryPolicy::new()
                .with_max_attempts(4)
                .with_initial_delay(secs(1))
                .with_jitter(jitter)
                .with_logging(false);
            let delays: Vec<Duration> = policy.delays().collect();
            let waits = play(policy, &[Fail(1)]).waits;
            assert_eq!((delays.len(), waits.len()), (3, 3));
            format!("{delays:?}\n{waits:?}\n")
        });
        lines.concat()
    }

    // All children begin with the state that these first draws leave.
    let mut seen = draw();
    for _ in 0..4 {
        seen += &forked(draw);
    }
    // One child draws before and after its own child draws. The other child does not draw.
    seen += &forked(|| draw() + &forked(draw) + &draw());
    seen += &forked(|| forked(draw));
    seen += &draw();

    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 6 * (1 + 4 + 3 + 1 + 1), "{seen}");
    for (place, line) in lines.iter().enumerate() {
        assert!(!lines[..place].contains(line), "drawn twice: {line}");
    }

    // A loop that began before a fork draws its next delay separately in each process.
    let mut retry = RetryPolicy::new().with_jitter(Jitter::Full).with_logging(false).start();
    let mut next = || {
        let delay = retry.delay_after(&std::io::ErrorKind::TimedOut).expect("an attempt is left");
        format!("{delay:?}")
    };
    next();
    let nexts = [forked(&mut next), forked(&mut next), next()];
    assert!(nexts[0] != nexts[1] && nexts[1] != nexts[2] && nexts[2] != nexts[0], "{nexts:?}");

    // Each child is process 1 in a separate PID namespace. The parent has drawn before, and has
    // made a hash map.
    #[cfg(target_os = "linux")]
    {
        use nix::sched::{CloneFlags, unshare};

        let in_a_namespace = || {
            forked(|| match unshare(CloneFlags::CLONE_NEWPID) {
                Ok(()) => forked(|| {
                    assert_eq!(std::process::id(), 1);
                    draw()
                }),
                Err(_) => String::new(), // a namespace needs a privilege
            })
        };
        drop(std::collections::HashMap::<u8, u8>::new());
        let drawn: Vec<String> = (0..4).map(|_| in_a_namespace()).collect();
        if drawn.iter().all(String::is_empty) {
            println!("not checked: this process may not make PID namespaces");
        } else {
            let mut lines: Vec<&str> = drawn.iter().flat_map(|drawn| drawn.lines()).collect();
            assert_eq!(lines.len(), 4 * 6);
            lines.sort_unstable();
            lines.dedup();
            assert_eq!(lines.len(), 4 * 6, "drawn twice: {drawn:?}");
        }
    }

    // Children that are forked in quick succession draw values that are also spread out.
    let first = || {
        let backoff = Backoff::constant(secs(10)).with_jitter(Jitter::Full);
        backoff.iter().next().expect("endless").as_nanos().to_string()
    };
    let places: Vec<f64> = (0..200)
        .map(|_| forked(first).parse().expect("a number"))
        .map(|nanos| place(Duration::from_nanos(nanos), Duration::ZERO, secs(10)))
        .collect();
    assert_uniform(&places, FRESH, "the first delays of 200 children");

    println!("a parent, its children and grandchildren drew different jitter");
}

#[cfg(not(unix))]
fn main() {
    println!("there is no fork on this system");
}
