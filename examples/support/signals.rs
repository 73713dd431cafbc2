//! SIGINT and SIGTERM for a program that runs a command: signals are passed on to the command, or end a wait.

#[cfg(not(unix))]
pub(crate) use elsewhere::Signals;
#[cfg(unix)]
pub(crate) use unix::Signals;

#[cfg(unix)]
mod unix {
    use std::cell::Cell;
    use std::io;
    use std::ops::ControlFlow;
    use std::process::{Child, ExitStatus};
    use std::sync::mpsc::{self, Receiver};
    use std::thread;
    use std::time::{Duration, Instant};

    use nix::sys::signal::{SigSet, Signal, kill};
    use nix::unistd::Pid;
    use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::WithOrigin;
    use signal_hook::low_level::siginfo::{Cause, Origin};

    pub(crate) struct Signals {
        received: Receiver<Origin>,
        stop: Cell<Option<i32>>,
    }

    impl Signals {
        pub(crate) fn new() -> io::Result<Self> {
            // A parent may have blocked the signals; this program waits for both.
            let needed = [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM];
            needed.into_iter().collect::<SigSet>().thread_unblock()?;
            let mut signals = SignalsInfo::<WithOrigin>::new([SIGCHLD, SIGINT, SIGTERM])?;
            let (sender, received) = mpsc::channel();
            thread::spawn(move || signals.forever().try_for_each(|signal| sender.send(signal)));
            Ok(Self { received, stop: Cell::new(None) })
        }

        /// The last SIGINT or SIGTERM.
        pub(crate) fn stop(&self) -> Option<i32> {
            self.stop.get()
        }

        /// Waits for the end of the command, and passes signals on to it.
        ///
        /// The same thread sends signals and reaps the command, so no signal reaches another process with its id.
        pub(crate) fn wait(&self, command: &mut Child) -> io::Result<ExitStatus> {
            loop {
                if let Some(status) = command.try_wait()? {
                    // A Ctrl-C may have ended the command before this process has received it.
                    for received in self.received.try_iter() {
                        self.stops(&received);
                    }
                    return Ok(status);
                }
                let Ok(received) = self.received.recv() else { return command.wait() };
                // The kernel sends a Ctrl-C to the command as well.
                if self.stops(&received) && received.cause != Cause::Kernel {
                    send(received.signal, command);
                }
            }
        }

        /// Returns whether the signal ends the retry, and remembers it.
        fn stops(&self, received: &Origin) -> bool {
            let stops = received.signal != SIGCHLD;
            if stops {
                self.stop.set(Some(received.signal));
            }
            stops
        }

        /// Waits for `delay`; a signal ends the wait and the retry.
        pub(crate) fn sleep(&self, delay: Duration) -> ControlFlow<()> {
            let started = Instant::now();
            loop {
                let left = delay.saturating_sub(started.elapsed());
                match self.received.recv_timeout(left) {
                    Ok(received) if self.stops(&received) => return ControlFlow::Break(()),
                    Ok(_) => {}
                    Err(_) => return ControlFlow::Continue(()),
                }
            }
        }
    }

    fn send(signal: i32, command: &Child) {
        let id = i32::try_from(command.id()).expect("process ids are positive and fit");
        if let Err(error) =
            Signal::try_from(signal).and_then(|signal| kill(Pid::from_raw(id), signal))
        {
            log::warn!("cannot pass signal {signal} on to the command: {error}");
        }
    }
}

/// Other systems end this program and its command by themselves.
#[cfg(not(unix))]
#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same signatures as on Unix")]
mod elsewhere {
    use std::io;
    use std::ops::ControlFlow;
    use std::process::{Child, ExitStatus};
    use std::thread;
    use std::time::Duration;

    pub(crate) struct Signals;

    impl Signals {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn stop(&self) -> Option<i32> {
            None
        }

        pub(crate) fn wait(&self, command: &mut Child) -> io::Result<ExitStatus> {
            command.wait()
        }

        pub(crate) fn sleep(&self, delay: Duration) -> ControlFlow<()> {
            thread::sleep(delay);
            ControlFlow::Continue(())
        }
    }
}
