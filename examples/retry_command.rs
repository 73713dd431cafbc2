//! `cargo run --example retry_command -- --attempts 5 -- COMMAND ARGS…`
//!
//! Runs a command until it succeeds. The option and the `RETRY_*` environment variables set the policy. The command's
//! output passes through, and its last exit code is the exit code of this program.
//!
//! A command that is not found, cannot be run, or is ended by a signal is not retried. Each run continues to read the
//! input where the last run stopped.
//!
//! On Unix, SIGINT and SIGTERM are passed on to the command, and end the retry: after the run, or at once during a
//! wait. Unless the command then succeeds, the exit code is 128 plus the signal's number, as in shells.

#[path = "support/signals.rs"]
mod signals;

use std::error::Error;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use retry_ext::{IsTransient, RetryConfig, RetryExt, RetryPolicy};
use signals::Signals;

const USAGE: &str = "usage: retry_command [--attempts N] [--on CODE,CODE…] [--] COMMAND [ARGS…]

  --attempts N       runs the command at most N times (1 to 1000)
  --on CODE,CODE…    retries only these exit codes; by default, all exit codes except 126 and 127,
                     but no command that a signal has ended (128 + the signal's number)
  --help             prints this text

The environment: RETRY_MAX_ATTEMPTS, RETRY_BACKOFF_FACTOR, RETRY_INITIAL_DELAY, RETRY_MAX_DELAY,
RETRY_MAX_RETRY_AFTER, RETRY_MAX_ELAPSED, RETRY_JITTER, RETRY_LOG; and RUST_LOG.";

/// The exit codes of shells for a command that cannot be run, or is not found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

#[derive(Debug, thiserror::Error, IsTransient)]
enum CommandError {
    #[error("cannot run {}", Path::new(.0).display())]
    #[transient(forward = 1)]
    Start(OsString, #[source] std::io::Error),
    #[error("{status}")]
    #[transient(if = *transient)]
    Failed { status: ExitStatus, transient: bool },
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Start(_, error) if error.kind() == ErrorKind::NotFound => NOT_FOUND,
            Self::Start(..) => CANNOT_RUN,
            Self::Failed { status, .. } => code_of(*status),
        }
    }
}

/// Returns the exit code of a command. If a signal has ended the command, it is 128 plus the signal's number.
fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.or(signal.map(code_of_signal)).unwrap_or(1)
}

fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}

#[derive(Debug, Default)]
struct Options {
    attempts: Option<u32>,
    on: Option<Vec<u8>>,
    help: bool,
    command: Vec<OsString>,
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("attempts") => options.attempts = Some(arguments.value()?.parse()?),
            Long("help") | Short('h') => options.help = true,
            Long("on") => {
                let codes = |text: &str| text.split(',').map(|code| code.trim().parse()).collect();
                options.on = Some(arguments.value()?.parse_with(codes)?);
            }
            Value(command) => {
                options.command.push(command);
                options.command.extend(arguments.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if options.command.is_empty() && !options.help {
        return Err("there is no command to run".into());
    }
    Ok(options)
}

fn run(options: &Options, signals: &Signals) -> Result<(), CommandError> {
    let (program, arguments) = options.command.split_first().expect("there is a command");
    let started = Command::new(program).args(arguments).spawn();
    let status = started.and_then(|mut command| signals.wait(&mut command));
    let status = status.map_err(|error| CommandError::Start(program.clone(), error))?;
    if status.success() {
        return Ok(());
    }
    let code = code_of(status);
    let transient = match &options.on {
        _ if signals.stop().is_some() => false,
        Some(codes) => codes.contains(&code),
        None => status.code().is_some() && code != CANNOT_RUN && code != NOT_FOUND,
    };
    Err(CommandError::Failed { status, transient })
}

fn retry(options: &Options, policy: RetryPolicy) -> Result<ExitCode, Box<dyn Error>> {
    let signals = Signals::new()?;
    let logs = policy.logging();
    let outcome = (|| run(options, &signals))
        .on_retry(|retry| {
            if logs {
                log::warn!("{retry}: {}", retry.error);
            }
        })
        .sleep_with(|delay| signals.sleep(delay))
        .retry_with(policy.with_logging(false)); // the policy's records have no exit status
    let Err(stopped) = outcome else { return Ok(ExitCode::SUCCESS) };
    let error = stopped.error();
    if let Some(signal) = signals.stop() {
        eprintln!("retry_command: stopped by signal {signal}: {error}");
        return Ok(code_of_signal(signal).into());
    }
    match error.source() {
        Some(source) => eprintln!("retry_command: {error}: {source}"),
        None => eprintln!("retry_command: {error}: {stopped}"),
    }
    Ok(error.exit_code().into())
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("retry_command: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let in_code = RetryConfig { max_attempts: options.attempts, ..RetryConfig::default() };
    let policy =
        RetryConfig::from_env().and_then(|environment| in_code.or(environment).into_policy());
    let code = policy.map_err(Into::into).and_then(|policy| retry(&options, policy));
    code.unwrap_or_else(|error| {
        eprintln!("retry_command: {error}");
        ExitCode::from(2)
    })
}
