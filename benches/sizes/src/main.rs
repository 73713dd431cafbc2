//! A program with one or ten fallible operations, each retried by the contender that a feature selects.
//!
//! Every site prints its error. Nothing else differs between two contenders, so the difference between
//! a program and the one without a contender is the size of the retries.

mod contender;

use std::fmt::Display;
use std::hint::black_box;

#[cfg(not(feature = "tokio"))]
fn main() {
    blocking::run(&std::env::args().nth(1).unwrap_or_default());
}

#[cfg(feature = "tokio")]
fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    match runtime {
        Ok(runtime) => runtime.block_on(asynchronous::run(&path)),
        Err(error) => show(&error),
    }
}

/// Prints an error. Out of line, so that each site has only a call instead of formatting code.
#[cold]
#[inline(never)]
fn show(error: &dyn Display) {
    eprintln!("{error}");
}

fn done<T, E: Display>(result: Result<T, E>) {
    black_box(contender::is_transient as fn(&std::io::Error) -> bool);
    match result {
        Ok(value) => drop(black_box(value)),
        Err(error) => show(&error),
    }
}

#[cfg(not(feature = "tokio"))]
mod blocking {
    use std::fs;

    use crate::contender::retry;
    use crate::done;

    pub fn run(path: &str) {
        done(retry!(|| fs::read(path)));
        #[cfg(feature = "ten")]
        nine_more(path);
    }

    #[cfg(feature = "ten")]
    fn nine_more(path: &str) {
        use std::net::{Ipv4Addr, TcpStream};

        done(retry!(|| fs::read_to_string(path)));
        done(retry!(|| fs::metadata(path)));
        done(retry!(|| fs::File::open(path)));
        done(retry!(|| fs::canonicalize(path)));
        done(retry!(|| fs::read_dir(path)));
        done(retry!(|| TcpStream::connect((Ipv4Addr::LOCALHOST, 9))));
        done(retry!(|| fs::remove_file(path)));
        done(retry!(|| fs::copy(path, "copy")));
        done(retry!(|| fs::exists(path)));
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::time::Duration;
    use std::{fs, io};

    use crate::contender::retry_async;
    use crate::done;

    /// Sleeps once, so that tokio's timer is a part of every program.
    pub async fn run(path: &str) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        done(retry_async!(|| read(path)));
    }

    #[expect(clippy::unused_async, reason = "as an operation of a network client is")]
    async fn read(path: &str) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
}
