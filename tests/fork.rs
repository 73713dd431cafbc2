//! Two processes forked from one draw different jitter, though a fork copies the parent's state.
//!
//! Without the test harness, whose threads a fork would not copy.

#[cfg(unix)]
fn main() {
    use std::io::{Read, Write, pipe};

    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, fork};
    use retry_ext::{Backoff, Jitter};

    fn draw() -> String {
        let delays: Vec<_> =
            Backoff::exponential().with_jitter(Jitter::Full).iter().take(4).collect();
        format!("{delays:?}")
    }

    let mut seen = vec![draw()];
    for _ in 0..4 {
        let (mut reader, mut writer) = pipe().expect("a pipe");
        // SAFETY: this process has one thread, so the child may do whatever the parent may.
        match unsafe { fork() }.expect("a fork") {
            ForkResult::Child => {
                writer.write_all(draw().as_bytes()).expect("the parent reads");
                std::process::exit(0);
            }
            ForkResult::Parent { child } => {
                drop(writer);
                let mut line = String::new();
                reader.read_to_string(&mut line).expect("the child writes");
                waitpid(child, None).expect("the child ends");
                assert_eq!(line.split(", ").count(), 4, "the child drew: {line}");
                seen.push(line);
            }
        }
    }
    seen.push(draw());
    for (place, line) in seen.iter().enumerate() {
        assert!(!seen[..place].contains(line), "drawn twice: {line}");
    }
    println!("a parent and its four children drew different jitter");
}

#[cfg(not(unix))]
fn main() {
    println!("there is no fork on this system");
}
