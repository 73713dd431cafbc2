//! The page in a real Chromium, driven through `chromedriver`.
//!
//! ```sh
//! cargo test -p browser-example -- --ignored
//! ```

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use browser_example::bundle::{self, Page};
use browser_example::server::Server;
use retry_ext::{RetryExt, RetryPolicy};
use serde_json::{Value, json};

/// Builds the page, and starts its server.
fn serve(arguments: &[&str]) -> Server {
    let page: Page = bundle::page(arguments).expect("the page is built");
    Server::start(page).expect("loopback has a free port")
}

static WITH_WEB: LazyLock<Server> = LazyLock::new(|| serve(&["--features", "checks"]));

/// A session of `WebDriver`, and the process that serves it.
struct Browser {
    driver: Child,
    session: String,
    // Keeps the pipe open: the process would fail to write to a closed pipe.
    output: BufReader<ChildStdout>,
    _alone: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts a browser after any other browser has ended, because the tests measure times.
    fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());

        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed");
        let output = BufReader::new(driver.stdout.take().expect("it is piped"));
        // Made now, so that a panic ends the process.
        let mut browser = Self { driver, session: String::new(), output, _alone: alone };
        // "ChromeDriver was started successfully on port 12345."
        let lines = browser.output.by_ref().lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("successfully on port ").map(|(_, port)| port.to_owned())
            })
            .expect("chromedriver prints its port");
        let url = format!("http://127.0.0.1:{}/session", port.trim_end_matches('.'));
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1100,1000"];
        let capabilities =
            json!({ "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } });
        // On a busy machine, the start may fail.
        let started = (|| send(ureq::post(&url), &json!({ "capabilities": capabilities })))
            .retry_if(|error: &String| error.contains("session not created"))
            .retry_with(RetryPolicy::new().with_max_attempts(5));
        let answer = started.expect("Chromium starts");
        let id = answer["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{url}/{id}");
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = send(ureq::post(format!("{}{path}", self.session)), body);
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Opens the page and waits for its module.
    fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
        self.wait_for("document.body.dataset.ready", &json!("yes"));
        self.run("page.show_panics()");
    }

    /// Opens the page in another tab.
    fn open_tab(&self, url: &str) {
        let tab = self.post("/window/new", &json!({ "type": "tab" }));
        self.post("/window", &json!({ "handle": tab["handle"] }));
        self.open(url);
    }

    fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Calls a function of the page, and parses the JSON that it returns.
    fn check(&self, call: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; Promise.resolve(page.{call}).then(done, error => done(String(error)))"
        );
        let answer = self.post("/execute/async", &json!({ "script": script, "args": [] }));
        match answer.as_str() {
            Some(text) => serde_json::from_str(text).unwrap_or_else(|_| panic!("{call}: {text}")),
            None => answer,
        }
    }

    fn wait_for(&self, expression: &str, value: &Value) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let now = self.run(&format!("return {expression}"));
            if now == *value {
                return;
            }
            assert!(Instant::now() < end, "{expression} is {now}, not {value}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn screenshot(&self, name: &str) {
        let path = format!("{}/screenshot", self.session);
        let answer = read(ureq::get(path).call()).expect("a picture");
        let image = BASE64_STANDARD.decode(answer.as_str().expect("it is text")).expect("base64");
        let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/screenshots");
        fs::create_dir_all(folder).expect("the folder is made");
        fs::write(format!("{folder}/{name}.png"), image).expect("the picture is written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            drop(ureq::delete(&self.session).call());
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// Sends a command, and returns its value or the text of its error.
fn send(
    request: ureq::RequestBuilder<ureq::typestate::WithBody>,
    body: &Value,
) -> Result<Value, String> {
    let request = request.config().http_status_as_error(false).build();
    read(request.content_type("application/json").send(body.to_string()))
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
    let mut answer = answer.expect("chromedriver answers");
    let text = answer.body_mut().with_config().limit(50 << 20).read_to_string().expect("UTF-8");
    let mut json: Value = serde_json::from_str(&text).expect("JSON");
    if json["value"]["error"].is_null() { Ok(json["value"].take()) } else { Err(text) }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Checks that the figure is at least `least` and less than `below`. A time has `LATEST` as upper
/// bound, because a busy machine may stop for a second.
#[track_caller]
fn assert_within(value: &Value, least: f64, below: f64) {
    let number = number(value);
    assert!(least <= number && number < below, "{number} is not from {least} to {below}");
}

/// In milliseconds.
const LATEST: f64 = 20_000.0;

const POEM: &str = "Once upon a midnight dreary, while I pondered, weak and weary";

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_policy_with_a_deadline_and_a_budget_works() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    let figures = browser.check("first_success('/busy?id=first')");
    assert_eq!(figures["text"], POEM);
    assert_eq!(figures["available"], 2 + 1);
    assert!(figures["policy"].as_str().is_some_and(|text| text.contains("10s")), "{figures}");
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn failures_are_retried_after_their_delays() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    for kind in ["busy", "reset", "half"] {
        let figures = browser.check(&format!("doubling('/{kind}?id=two-{kind}&times=2')"));
        assert_eq!(figures["delays"], json!([50, 100]), "{kind}: {figures}");
        assert_eq!(figures["error"], "", "{kind}");
        assert_within(&figures["elapsed"], 149.0, LATEST);
        assert_eq!(WITH_WEB.calls(&format!("two-{kind}")), 3, "{kind}");
    }
    let hinted = browser.check("doubling('/busy?id=hinted&times=1&hint=1')");
    assert_eq!(hinted["delays"], json!([1_000]));
    assert_within(&hinted["elapsed"], 999.0, LATEST);
    let down = browser.check("doubling('/busy?id=down&times=99')");
    assert_eq!(down["delays"], json!([50, 100, 200]));
    assert_eq!(down["error"], "HTTP status 503 Service Unavailable");
    let gone = browser.check("doubling('/nothing')");
    assert_eq!(
        (&gone["delays"], &gone["error"]),
        (&json!([]), &json!("HTTP status 404 Not Found"))
    );
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_deadline_counts_the_time_of_attempts() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    let figures = browser.check("deadline('/busy?id=late&times=9999&work=100')");
    assert_eq!(figures["reason"], "DeadlineExceeded");
    assert_eq!(figures["waited"], 0);
    // `Date.now` and `performance.now` are rounded in different ways.
    assert_within(&figures["elapsed"], 598.0, LATEST);
    assert_within(&figures["attempts"], 1.0, 7.0);
    assert_eq!(figures["attempts"], WITH_WEB.calls("late"));
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_budget_refuses_and_its_window_passes() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    let figures = browser.check("budget(3_000)");
    assert_eq!(figures["outcome"]["reason"], "BudgetExhausted");
    assert_eq!(figures["outcome"]["attempts"], 1 + 3);
    assert_eq!((&figures["left"], &figures["later"]), (&json!(0), &json!(3)));
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn attempts_loops_and_streams_use_the_timer() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    let timeout = browser.check("timeout()");
    assert_eq!(timeout["reason"], "AttemptsExhausted");
    assert_eq!(timeout["error"], "the attempt timed out after 50ms");
    assert_within(&timeout["elapsed"], 99.0, LATEST);
    let a_loop = browser.check("a_loop()");
    assert_eq!((&a_loop["calls"], &a_loop["outcome"]["reason"]), (&json!(3), &Value::Null));
    assert_within(&a_loop["outcome"]["elapsed"], 59.0, LATEST);
    let stream = browser.check("stream()");
    assert_eq!(stream["items"], json!([7]));
    assert_within(&stream["elapsed"], 19.0, LATEST);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn three_tabs_draw_different_delays() {
    let browser = Browser::start();
    let mut draws = HashSet::new();
    for tab in 0..3 {
        if tab == 0 {
            browser.open(&WITH_WEB.url);
        } else {
            browser.open_tab(&WITH_WEB.url);
        }
        let delays = browser.check("jitter()");
        let clients = delays.as_array().expect("an array");
        draws
            .extend(clients.iter().flat_map(|delays| delays.as_array().expect("an array").clone()));
    }
    assert_eq!(draws.len(), 3 * 2 * 4, "{draws:?}");
}

/// Replaces `setTimeout` with a function that records its times and fires at once.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_wait_is_rounded_up_and_split_where_a_timer_is_too_short() {
    const DAY: u64 = 24 * 3_600 * 1_000_000;
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    browser.run(
        "const real = setTimeout; window.asked = [];
         window.setTimeout = (fire, millis) => { asked.push(millis); return real(fire, 0); };",
    );
    let asked = |micros: u64| {
        assert_eq!(browser.check(&format!("wait({micros}n)")), 2, "{micros}");
        browser.run("return asked.splice(0)")
    };
    assert_eq!(asked(1), json!([1]));
    assert_eq!(asked(1_200), json!([2]));
    assert_eq!(asked(2_000), json!([2]));
    assert_eq!(asked(0), json!([]));
    let longest = i64::from(i32::MAX);
    assert_eq!(asked(30 * DAY), json!([longest, 30 * 86_400_000 - longest]));
    assert_eq!(asked(60 * DAY), json!([longest, longest, 60 * 86_400_000 - 2 * longest]));
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_blocking_wait_panics_with_advice() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    assert_advice(&browser);
}

fn assert_advice(browser: &Browser) {
    browser.run("try { page.blocking() } catch (error) { return String(error) }");
    let panic = browser.run("return document.body.dataset.panic");
    let advice = "a blocking retry cannot sleep in a browser: await an async retry with the feature `web`, or set a \
                  sleeper with `sleep_with`";
    assert!(panic.as_str().is_some_and(|text| text.ends_with(advice)), "{panic}");
}

const HINT: &str = "return page.hint(new Date(Date.now() + 30_000).toUTCString())";

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_hint_may_be_a_date() {
    let browser = Browser::start();
    browser.open(&WITH_WEB.url);
    // A date has whole seconds, and the browser may be slow.
    assert_within(&browser.run(HINT), 10.0, 30.001);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn without_the_feature_nothing_panics_and_deadlines_count_the_waits() {
    let server = serve(&["--no-default-features", "--features", "checks"]);
    let browser = Browser::start();
    browser.open(&server.url);
    let first = browser.check("first_success('/busy?id=first')");
    assert_eq!((&first["text"], &first["available"]), (&json!(POEM), &json!(2 + 1)));
    assert!(first["policy"].as_str().is_some_and(|text| text.contains("10s")), "{first}");
    let deadline = browser.check("deadline_of_waits()");
    assert_eq!(deadline["reason"], "DeadlineExceeded");
    assert_eq!((&deadline["attempts"], &deadline["waited"]), (&json!(3), &json!(80)));
    let budget = browser.check("budget(300)");
    assert_eq!(budget["outcome"]["reason"], "BudgetExhausted");
    assert_eq!((&budget["left"], &budget["later"]), (&json!(0), &json!(0)));
    assert_eq!(browser.run(HINT), Value::Null);
    assert_eq!(browser.run("return document.body.dataset.panic ?? 'none'"), "none");
    assert_advice(&browser);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_page_shows_each_retry_and_its_countdown() {
    let browser = Browser::start();
    // Only an attempt without an answer takes longer than this limit.
    browser.open(&format!("{}?limit=3000", WITH_WEB.url));
    browser.screenshot("ready");
    browser.run("document.getElementById('all').click()");
    browser.wait_for("document.querySelectorAll('[data-state=done]').length", &json!(4));
    browser.screenshot("done");
    let failures = [
        ("busy", "HTTP status 503 Service Unavailable"),
        ("reset", "the request failed"),
        ("half", "the body ended too early"),
        ("slow", "the attempt timed out after 3s"),
    ];
    for (kind, failure) in failures {
        let text = |selector: &str| {
            let all = format!("document.querySelectorAll('[data-kind={kind}] {selector}')");
            browser.run(&format!(
                "return Array.from({all}, element => element.firstChild.textContent)"
            ))
        };
        let lines = json!([format!("attempt 1: {failure}"), format!("attempt 2: {failure}")]);
        assert_eq!(text("li"), lines, "{kind}");
        assert_eq!(text(".outcome"), json!([format!("“{POEM}” (attempt 3)")]), "{kind}");
        let waits = text(".over .left");
        assert_eq!(waits.as_array().map(Vec::len), Some(2), "{kind}: {waits}");
    }
    browser.open(&WITH_WEB.url);
    browser.run("document.getElementById('all').click()");
    browser.wait_for("document.querySelectorAll('.wait').length >= 4", &json!(true));
    browser.screenshot("waiting");
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_button_ends_a_wait_at_once() {
    let browser = Browser::start();
    browser.open(&format!("{}?times=9999&hint=30", WITH_WEB.url));
    browser.run("document.querySelector('[data-kind=busy] .go').click()");
    browser
        .wait_for("document.querySelectorAll('[data-kind=busy] .wait').length > 0", &json!(true));
    let figures = browser.post(
        "/execute/async",
        &json!({ "args": [], "script": "
            const done = arguments[0];
            const real = clearTimeout;
            let cleared = 0;
            window.clearTimeout = id => { cleared += 1; real(id); };
            const start = performance.now();
            const card = document.querySelector('[data-kind=busy]');
            new MutationObserver(() => done({ state: card.dataset.state, cleared, elapsed: performance.now() - start }))
                .observe(card, { attributeFilter: ['data-state'] });
            card.querySelector('.stop').click();
        " }),
    );
    assert_eq!(figures["state"], "cancelled");
    assert_within(&figures["elapsed"], 0.0, LATEST); // the wait takes at least 30 s
    assert_within(&figures["cleared"], 1.0, 10.0);
    browser.screenshot("cancelled");
}
