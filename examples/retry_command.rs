//! `cargo run --example retry_command -- --attempts 5 -- COMMAND ARGS…`
//!
//! Runs a command until it succeeds. The policy comes from the option and from the `RETRY_*` variables
//! of the environment; the command's output passes through, and its last exit code is this one's.
//! A command that is not found, may not be run, or is ended by a signal is not retried. Each run reads
//! on where the one before has left the input.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use retry_ext::{IsTransient, RetryConfig, RetryEvent, RetryExt};

const USAGE: &str = "usage: retry_command [--attempts N] [--on CODE,CODE…] [--] COMMAND [ARGS…]

  --attempts N       how often the command is run at most (1 to 1000)
  --on CODE,CODE…    only these exit codes are retried; otherwise all but 126 and 127, and but
                     128 + N of a command that signal N has ended
  --help             says this

The environment: RETRY_MAX_ATTEMPTS, RETRY_BACKOFF_FACTOR, RETRY_INITIAL_DELAY, RETRY_MAX_DELAY,
RETRY_MAX_RETRY_AFTER, RETRY_MAX_ELAPSED, RETRY_JITTER, RETRY_LOG; and RUST_LOG.";

/// The shell's words for cannot be run and not found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("cannot run {}", Path::new(.0).display())]
    Start(OsString, #[source] std::io::Error),
    #[error("{status}")]
    Failed { status: ExitStatus, transient: bool },
}

impl IsTransient for CommandError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Start(_, error) => error.is_transient(),
            Self::Failed { transient, .. } => *transient,
        }
    }
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

/// A command that a signal ended has no exit code; shells say 128 and the signal.
fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().or(signal.map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
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

fn run(options: &Options) -> Result<(), CommandError> {
    let (program, arguments) = options.command.split_first().expect("there is a command");
    let start = Command::new(program).args(arguments).status();
    let status = start.map_err(|error| CommandError::Start(program.clone(), error))?;
    if status.success() {
        return Ok(());
    }
    let code = code_of(status);
    let transient = match &options.on {
        Some(codes) => codes.contains(&code),
        // Mostly a signal is somebody's wish that the command end.
        None => status.code().is_some() && code != CANNOT_RUN && code != NOT_FOUND,
    };
    Err(CommandError::Failed { status, transient })
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
    let policy = match policy {
        Ok(policy) => policy.with_name("command"),
        Err(error) => {
            eprintln!("retry_command: {error}");
            return ExitCode::from(2);
        }
    };
    let hear = |retry: &RetryEvent<'_, CommandError>| log::warn!("{}", retry.error);
    match (|| run(&options)).on_retry(hear).retry_with(policy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => {
            let error = stopped.error();
            match std::error::Error::source(error) {
                Some(source) => eprintln!("retry_command: {error}: {source}"),
                None => eprintln!("retry_command: {error}: {stopped}"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}
