//! Starts, kills and replaces worker processes.

use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::Error;
use crate::event::{Event, What, now};

/// Worker processes. A process that ends is replaced. Dropping this value kills all processes.
pub struct Workers<'a> {
    program: Box<dyn Fn() -> Command + 'a>,
    running: Vec<(u32, Child)>,
    last: u32,
    events: Vec<Event>,
    sender: UnboundedSender<(u32, Option<Event>)>,
    receiver: UnboundedReceiver<(u32, Option<Event>)>,
}

impl<'a> Workers<'a> {
    /// Starts workers.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be run.
    pub fn start(count: u32, program: impl Fn() -> Command + 'a) -> io::Result<Self> {
        let (sender, receiver) = unbounded_channel();
        let program = Box::new(program);
        let mut workers =
            Self { program, running: Vec::new(), last: 0, events: Vec::new(), sender, receiver };
        (0..count).try_for_each(|_| workers.start_one())?;
        Ok(workers)
    }

    fn start_one(&mut self) -> io::Result<()> {
        self.last += 1;
        let number = self.last;
        let mut child = (self.program)()
            .stdin(Stdio::piped()) // the worker ends when this pipe is closed
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        self.running.push((number, child));
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(event) = Event::read(number, &line) {
                    let _unused = sender.send((number, Some(event)));
                }
            }
            let _unused = sender.send((number, None));
        });
        Ok(())
    }

    /// Returns all events so far, in the order of their times.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Waits until an event after which the condition holds, and returns that event's worker.
    ///
    /// # Errors
    ///
    /// Returns an error if the wait takes longer than `limit`, or if a worker cannot be replaced.
    pub async fn until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Event) -> bool,
    ) -> Result<u32, Error> {
        let waiting = async {
            loop {
                let event = self.next().await?;
                if condition(&event) {
                    return Ok(event.worker);
                }
            }
        };
        timeout(limit, waiting).await.map_err(|_| "the workers took too long")?
    }

    /// Lets the workers run for this time.
    ///
    /// # Errors
    ///
    /// Returns an error if a worker cannot be replaced.
    pub async fn go_on(&mut self, time: Duration) -> Result<(), Error> {
        let waiting = async {
            loop {
                self.next().await?;
            }
        };
        timeout(time, waiting).await.unwrap_or(Ok(()))
    }

    /// Returns the next event. A worker that has ended is replaced.
    async fn next(&mut self) -> Result<Event, Error> {
        let (number, event) = self.receiver.recv().await.ok_or("no worker is left")?;
        let event = match event {
            Some(event) => event,
            None => self.replace(number)?,
        };
        let place = self.events.partition_point(|earlier| earlier.at <= event.at);
        self.events.insert(place, event.clone());
        Ok(event)
    }

    fn replace(&mut self, number: u32) -> Result<Event, Error> {
        let at = now();
        // A dropped child is killed and reaped.
        let before = self.running.len();
        self.running.retain(|(running, _)| *running != number);
        if self.running.len() < before {
            self.start_one()?;
        }
        let (job, attempt) = self.attempt_of(number).unwrap_or_default();
        Ok(Event { at, worker: number, job, attempt, what: What::Ended })
    }

    /// Returns the job and the attempt that a worker has begun and not ended.
    #[must_use]
    pub fn attempt_of(&self, worker: u32) -> Option<(String, u32)> {
        let last = self.events.iter().rev().find(|event| event.worker == worker)?;
        (last.what == What::Started).then(|| (last.job.clone(), last.attempt))
    }

    /// Returns the numbers of the running workers.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        self.running.iter().map(|(number, _)| *number).collect()
    }

    /// Returns the process id of a running worker.
    #[must_use]
    pub fn process(&self, worker: u32) -> Option<u32> {
        self.running.iter().find(|(number, _)| *number == worker)?.1.id()
    }

    /// Kills a worker with SIGKILL, which it cannot handle. Another process replaces it.
    ///
    /// # Errors
    ///
    /// Returns an error if the worker has already ended.
    pub fn kill(&mut self, worker: u32) -> Result<(), Error> {
        let found = self.running.iter_mut().find(|(number, _)| *number == worker);
        found.ok_or("the worker has ended before")?.1.start_kill()?;
        Ok(())
    }

    /// Kills all workers, and waits until they have ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot kill them.
    pub async fn stop(mut self) -> Result<(), Error> {
        for (_, child) in &mut self.running {
            child.kill().await?;
        }
        Ok(())
    }
}

/// Returns when this process is asked to end, by Ctrl-C or SIGTERM. Dropping the workers and the server then ends
/// these processes as well.
pub async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            let interrupt = pin!(tokio::signal::ctrl_c());
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt => {}
            }
        }
    }
    #[cfg(not(unix))]
    {
        let _unused = tokio::signal::ctrl_c().await;
    }
}
