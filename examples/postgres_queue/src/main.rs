//! `cargo run -p postgres-queue-example`
//!
//! Starts a PostgreSQL server and three workers, kills one of them, and shows how the others go on. If it is
//! started as `postgres-queue-example worker 5432`, the program is a worker.

use std::env;
use std::process::ExitCode;

use postgres_queue_example::worker::work;
use postgres_queue_example::{config, connect, start};
use tokio::process::Command;
use workers_example::{Error, begin_worker, show, terminated};

async fn worker(port: &str) -> Result<(), Error> {
    begin_worker();
    work(&connect(&config(port.parse()?)).await?).await
}

async fn run_show() -> Result<(), Error> {
    let (_cluster, port, jobs) = start().await?;
    let program = env::current_exe()?;
    let worker = || {
        let mut command = Command::new(&program);
        command.args(["worker", &port.to_string()]);
        command
    };
    show(&jobs, worker).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [role, port] if role == "worker" => worker(port).await,
        _ => tokio::select! {
            result = run_show() => result,
            () = terminated() => Err("interrupted".into()),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
