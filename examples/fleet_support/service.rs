//! Clients of one service, whose requests are retried by this crate.
//!
//! The simulation is the scheduler: it reports each failed attempt to a [`RetryContext`] and waits for
//! the returned delay. Delays, decisions and budgets are the crate's own. Budgets read tokio's clock,
//! which is paused and moved along with the simulation.

use std::io::ErrorKind;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use retry_ext::{RetryBudget, RetryContext, RetryPolicy};
use tokio::time::{Instant, advance};

use crate::clock;
use crate::events::{Queue, exponential};

/// The mean time of a message in one direction.
const NETWORK: Duration = Duration::from_millis(100);
/// The time that a client waits for the answer to an attempt.
const TIMEOUT: Duration = Duration::from_secs(3);
const LATENCY: Duration = Duration::from_secs(1);
/// The feedback: each request at the service adds this time to the latency of an arriving request.
const LATENCY_PER_REQUEST: Duration = Duration::from_millis(10);

/// The steps of the clock that budgets read. Budgets distinguish only half seconds.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// The requests over time, without retries.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// An open loop: requests arrive at random, independently of the earlier requests' times.
    Spike,
    Ramp,
    Steady(f64),
    /// A closed loop: each of this many callers waits until its request has ended, thinks, and makes
    /// the next request. Together the callers make [`USUAL`] requests per second. During the
    /// [spike](Load::SPIKE), twice as many callers make requests.
    Callers(u32),
}

/// Requests per second without a disturbance.
pub(crate) const USUAL: f64 = 40.0;
/// The response time of a request at the usual load, in which 67 requests are at the service.
const USUAL_RESPONSE: f64 = 1.87;

impl Load {
    /// The end of the spike and of the outages, and the height of the ramp. Runs may recover from here on.
    pub(crate) const TURN: usize = 25;

    /// The seconds with twice the usual load.
    pub(crate) const SPIKE: Range<f64> = 20.0..25.0;

    /// The seconds in which [`Service::Refuses`] refuses, and [`Service::Silent`] loses, each call that arrives.
    pub(crate) const OUTAGE: Range<f64> = 15.0..25.0;

    /// Requests per second, if they arrive at random.
    pub(crate) fn rate(self, second: f64) -> f64 {
        match self {
            Self::Spike if Self::SPIKE.contains(&second) => 2.0 * USUAL,
            Self::Spike => USUAL,
            Self::Ramp if second < 25.0 => USUAL * (1.0 + second / 25.0),
            Self::Ramp => (2.0 * USUAL * (75.0 - second) / 50.0).max(0.0),
            Self::Steady(rate) => rate,
            Self::Callers(_) => 0.0,
        }
    }

    fn peak(self) -> f64 {
        match self {
            Self::Spike | Self::Ramp => 2.0 * USUAL,
            Self::Steady(rate) => rate,
            Self::Callers(_) => 0.0,
        }
    }

    /// Returns the mean time that a caller thinks after each request.
    pub(crate) fn thinking_time(callers: u32) -> Duration {
        Duration::from_secs_f64((f64::from(callers) / USUAL - USUAL_RESPONSE).max(0.0))
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Becomes slower with more requests. It also finishes the work for clients that have gone.
    Overloadable,
    /// The same service, which refuses every call during the [outage](Load::OUTAGE).
    Refuses,
    /// The same service, which loses every call during the [outage](Load::OUTAGE).
    Silent,
    /// Answers at once, and from this second on with errors.
    DownFrom(u32),
    /// Answers at once. This share of the answers are errors.
    Flaky(f64),
}

#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) load: Load,
    pub(crate) service: Service,
    pub(crate) seconds: u32,
}

/// The events of one second.
#[derive(Clone, Default)]
pub(crate) struct Second {
    pub(crate) arrivals: u32,
    /// The requests that arrived in this second and succeeded at any time.
    pub(crate) arrived_and_succeeded: u32,
    /// Successes in this second.
    pub(crate) goodput: u32,
    pub(crate) calls: u32,
    /// The requests at the server at the end of the second.
    pub(crate) in_flight: u32,
}

/// An event, with the number of the request. The number of the attempt identifies late answers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// A caller has thought.
    Caller(usize),
    Call(usize),
    AtServer(usize, u32),
    Served(usize, u32, bool),
    Answer(usize, u32, bool),
    Timeout(usize, u32),
    EndOfSecond,
}

struct Request {
    retry: RetryContext,
    arrived: usize,
    /// The caller that makes another request after this one, in a closed loop.
    caller: Option<usize>,
}

struct Simulation<'a> {
    scenario: Scenario,
    policy: RetryPolicy,
    budgets: &'a [&'static RetryBudget],
    started: Instant,
    queue: Queue<Event>,
    /// `None` is over.
    requests: Vec<Option<Request>>,
    in_flight: u32,
    seconds: Vec<Second>,
    // One generator for each purpose, so that equal seeds give equal arrivals under each strategy.
    arrivals: Rng,
    network: Rng,
    failures: Rng,
    jitter: Rng,
}

/// Runs a scenario under a policy. Each budget belongs to one process; an empty list means no budget.
pub(crate) async fn run(
    scenario: Scenario,
    policy: RetryPolicy,
    budgets: &[&'static RetryBudget],
    seed: u32,
) -> Vec<Second> {
    let started = clock::next_run().await;
    let mut rng = Rng::with_seed(seed.into());
    let mut simulation = Simulation {
        scenario,
        policy,
        budgets,
        started,
        queue: Queue::new(),
        requests: Vec::new(),
        in_flight: 0,
        seconds: vec![Second::default()],
        arrivals: rng.fork(),
        network: rng.fork(),
        failures: rng.fork(),
        jitter: rng.fork(),
    };
    simulation.run().await;
    simulation.seconds
}

impl Simulation<'_> {
    async fn run(&mut self) {
        let end = Duration::from_secs(self.scenario.seconds.into());
        self.queue.after(Duration::from_secs(1), Event::EndOfSecond);
        match self.scenario.load {
            Load::Callers(callers) => self.gather(callers),
            _ => self.expect_arrival(),
        }
        while let Some(event) = self.queue.next() {
            match event {
                Event::Arrival => self.arrive(),
                Event::Caller(caller) => self.ask(caller),
                Event::Call(request) => self.call(request),
                Event::AtServer(request, attempt) => self.serve(request, attempt),
                Event::Served(request, attempt, well) => {
                    self.in_flight -= 1;
                    let way = self.way();
                    self.queue.after(way, Event::Answer(request, attempt, well));
                }
                Event::Answer(request, attempt, true) => self.succeed(request, attempt).await,
                Event::Answer(request, attempt, false) => {
                    self.fail(request, attempt, ErrorKind::ConnectionReset).await;
                }
                Event::Timeout(request, attempt) => {
                    self.fail(request, attempt, ErrorKind::TimedOut).await;
                }
                Event::EndOfSecond => {
                    self.this_second().in_flight = self.in_flight;
                    if self.queue.now() >= end {
                        return;
                    }
                    self.seconds.push(Second::default());
                    self.queue.after(Duration::from_secs(1), Event::EndOfSecond);
                }
            }
        }
    }

    fn this_second(&mut self) -> &mut Second {
        self.seconds.last_mut().expect("a run begins in its first second")
    }

    fn way(&mut self) -> Duration {
        exponential(&mut self.network, NETWORK)
    }

    fn expect_arrival(&mut self) {
        let mean = Duration::from_secs_f64(1.0 / self.scenario.load.peak());
        let gap = exponential(&mut self.arrivals, mean);
        self.queue.after(gap, Event::Arrival);
    }

    /// Lets a request arrive. A Poisson process with a varying rate is a process with the peak rate,
    /// thinned out.
    fn arrive(&mut self) {
        self.expect_arrival();
        let load = self.scenario.load;
        let rate = load.rate(self.queue.now().as_secs_f64());
        // Both are always drawn, so that equal seeds give equal arrivals.
        let (thinning, process) = (self.arrivals.f64(), self.arrivals.u64(..));
        if thinning * load.peak() >= rate {
            return;
        }
        // A random split of one stream gives an independent stream for each process.
        let process = Rng::with_seed(process).usize(..self.budgets.len().max(1));
        self.begin(process, None);
    }

    fn begin(&mut self, process: usize, caller: Option<usize>) {
        let mut policy = self.policy.with_seed(self.jitter.u64(..));
        if let Some(&budget) = self.budgets.get(process) {
            policy = policy.with_budget(budget);
        }
        let arrived = self.seconds.len() - 1;
        self.this_second().arrivals += 1;
        self.requests.push(Some(Request { retry: policy.start(), arrived, caller }));
        self.call(self.requests.len() - 1);
    }

    /// Starts the callers. All of them, also the callers that join for the spike, arrive as if they had
    /// made requests for a long time.
    fn gather(&mut self, callers: u32) {
        let mean = Duration::from_secs_f64(f64::from(callers) / USUAL);
        for number in 0..2 * callers {
            let start = if number < callers { 0.0 } else { Load::SPIKE.start };
            let first = exponential(&mut self.arrivals, mean);
            self.queue
                .after(Duration::from_secs_f64(start) + first, Event::Caller(number as usize));
        }
    }

    fn ask(&mut self, caller: usize) {
        let Load::Callers(callers) = self.scenario.load else { return };
        let joined = caller >= callers as usize;
        if joined && self.queue.now().as_secs_f64() >= Load::SPIKE.end {
            return;
        }
        let process = caller % self.budgets.len().max(1);
        self.begin(process, Some(caller));
    }

    /// Lets the caller of an ended request wait for the pause of the retry, and think.
    fn think(&mut self, caller: Option<usize>, pause: Duration) {
        if let (Some(caller), Load::Callers(callers)) = (caller, self.scenario.load) {
            let thinking = exponential(&mut self.arrivals, Load::thinking_time(callers));
            self.queue.after(pause + thinking, Event::Caller(caller));
        }
    }

    fn call(&mut self, number: usize) {
        let Some(request) = &self.requests[number] else { return };
        let attempt = request.retry.attempt();
        self.this_second().calls += 1;
        let way = self.way();
        self.queue.after(way, Event::AtServer(number, attempt));
        self.queue.after(TIMEOUT, Event::Timeout(number, attempt));
    }

    fn serve(&mut self, request: usize, attempt: u32) {
        let second = self.queue.now().as_secs_f64();
        let is_out = Load::OUTAGE.contains(&second);
        if is_out && matches!(self.scenario.service, Service::Silent) {
            return;
        }
        self.in_flight += 1;
        let (latency, well) = match self.scenario.service {
            Service::Refuses if is_out => (Duration::ZERO, false),
            Service::Overloadable | Service::Refuses | Service::Silent => {
                (LATENCY + LATENCY_PER_REQUEST * self.in_flight, true)
            }
            Service::DownFrom(start) => (Duration::ZERO, second < f64::from(start)),
            Service::Flaky(rate) => (Duration::ZERO, self.failures.f64() >= rate),
        };
        self.queue.after(latency, Event::Served(request, attempt, well));
    }

    /// Returns the request if it still runs this attempt. Otherwise the answer is too late.
    fn running(&mut self, request: usize, attempt: u32) -> Option<&mut Request> {
        self.requests[request].as_mut().filter(|request| request.retry.attempt() == attempt)
    }

    async fn succeed(&mut self, number: usize, attempt: u32) {
        if self.running(number, attempt).is_none() {
            return;
        }
        self.move_clock().await;
        let Some(mut request) = self.requests[number].take() else { return };
        request.retry.succeeded();
        self.seconds[request.arrived].arrived_and_succeeded += 1;
        self.this_second().goodput += 1;
        self.think(request.caller, Duration::ZERO);
    }

    async fn fail(&mut self, number: usize, attempt: u32, error: ErrorKind) {
        if self.running(number, attempt).is_none() {
            return;
        }
        self.move_clock().await;
        let Some(request) = &mut self.requests[number] else { return };
        match request.retry.delay_after(&error) {
            Ok(delay) => self.queue.after(delay, Event::Call(number)),
            Err(_reason) => {
                let caller = request.caller;
                let refused = request.retry.wait_after(error).expect_err("the retry is over");
                self.requests[number] = None;
                self.think(caller, refused.next_delay().unwrap_or_default());
            }
        }
    }

    /// Moves tokio's clock to the time of the event, in whole steps. Call it before the crate reads
    /// the clock.
    async fn move_clock(&self) {
        let behind = (self.started + self.queue.now()).duration_since(Instant::now());
        let steps = behind.div_duration_f64(CLOCK_STEP).floor();
        if !self.budgets.is_empty() && steps >= 1.0 {
            advance(CLOCK_STEP.mul_f64(steps)).await;
        }
    }
}
