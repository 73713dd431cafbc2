//! The page: four cards. The server fails in a different way for each card.
//!
//! The query of the page's address may set the number of failures, the `Retry-After` of a busy server in seconds, and the
//! time limit of an attempt in milliseconds: `?times=2&hint=1&limit=500`, the defaults.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{AbortHandle, Aborted, abortable};
use gloo_timers::callback::Interval;
use js_sys::Date;
use retry_ext::{
    AsyncRetryExt, CheckStatus, HttpError, Jitter, RetryError, RetryEvent, RetryPolicy,
};
use wasm_bindgen::prelude::{Closure, JsCast, JsValue, wasm_bindgen};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Element, HtmlButtonElement, HtmlElement, Location, UrlSearchParams};

static POLICY: RetryPolicy = RetryPolicy::within(Duration::from_secs(60))
    .with_initial_delay(Duration::from_millis(1_500))
    .with_jitter(Jitter::Equal);

type FetchError = HttpError<reqwest::Error>;

/// Fetches a text. The feature `web` makes the browser's timer the sleeper.
async fn fetch(
    url: &str,
    limit: Duration,
    on_retry: impl FnMut(&RetryEvent<'_, FetchError>),
) -> Result<String, RetryError<FetchError>> {
    let client = reqwest::Client::new();
    (async || Ok(client.get(url).send().await?.check_status()?.text().await?))
        .timeout_each(limit)
        .on_retry(on_retry)
        .retry_with(&POLICY)
        .await
}

/// The elements of a card, and the fetch that runs in it.
struct Card {
    root: HtmlElement,
    log: Element,
    outcome: Element,
    go: HtmlButtonElement,
    stop: HtmlButtonElement,
    attempts: Cell<u32>,
    countdown: RefCell<Option<Countdown>>,
    running: RefCell<Option<AbortHandle>>,
}

/// A visible wait, which ends when it is dropped.
struct Countdown {
    row: Element,
    left: Element,
    start: f64,
    delay: f64,
    _interval: Interval,
}

impl Drop for Countdown {
    fn drop(&mut self) {
        self.row.set_class_name("wait over");
        // A cancelled wait is shorter than its delay. After a whole wait, the time since the start
        // also includes the attempt.
        let waited = self.delay.min(Date::now() - self.start);
        self.left.set_text_content(Some(&format!("waited {}", seconds(waited))));
    }
}

#[wasm_bindgen(start)]
fn start() -> Result<(), JsValue> {
    let document = document();
    let sections = document.query_selector_all(".card")?;
    let cards: Vec<Rc<Card>> = (0..sections.length())
        .filter_map(|index| sections.item(index))
        .map(|section| Card::new(section.unchecked_into()).map(Rc::new))
        .collect::<Result<_, _>>()?;
    for card in &cards {
        let (this, other) = (Rc::clone(card), Rc::clone(card));
        on_click(&card.go, move || run(&this))?;
        on_click(&card.stop, move || other.cancel())?;
        card.go.set_disabled(false);
    }
    let all = document.get_element_by_id("all").ok_or("the page has no button for all")?;
    let all: HtmlButtonElement = all.unchecked_into();
    on_click(&all, move || cards.iter().for_each(run))?;
    all.set_disabled(false);
    Ok(())
}

fn document() -> web_sys::Document {
    let window = web_sys::window().expect("a page has a window");
    window.document().expect("a window has a document")
}

fn location() -> Location {
    web_sys::window().expect("a page has a window").location()
}

/// Returns a number from the query of the page's address, or the default.
fn setting(name: &str, default: u32) -> u32 {
    let search = location().search().unwrap_or_default();
    let query = UrlSearchParams::new_with_str(&search).expect("any text is a query");
    query.get(name).and_then(|number| number.parse().ok()).unwrap_or(default)
}

fn on_click(button: &HtmlButtonElement, clicked: impl FnMut() + 'static) -> Result<(), JsValue> {
    let clicked = Closure::<dyn FnMut()>::new(clicked);
    button.add_event_listener_with_callback("click", clicked.as_ref().unchecked_ref())?;
    clicked.forget(); // the closure lives as long as the page
    Ok(())
}

/// Starts a fetch in the card, unless one is running.
fn run(card: &Rc<Card>) {
    if card.running.borrow().is_some() {
        return;
    }
    let card = Rc::clone(card);
    let (url, limit) = (card.url(), Duration::from_millis(setting("limit", 500).into()));
    let this = Rc::clone(&card);
    // Dropping the future drops its timer and aborts its request.
    let (fetched, handle) =
        abortable(async move { fetch(&url, limit, |retry| this.show(retry)).await });
    card.begin(handle);
    spawn_local(async move {
        let outcome = fetched.await;
        let attempts = card.attempts.get() + 1;
        match outcome {
            Ok(Ok(text)) => card.end("done", &format!("“{text}” (attempt {attempts})")),
            Ok(Err(error)) => {
                card.end("failed", &format!("{error}: {}", cause(error.error())));
            }
            Err(Aborted) => card.end("cancelled", "cancelled"),
        }
    });
}

impl Card {
    fn new(root: HtmlElement) -> Result<Self, JsValue> {
        let part = |selector: &str| root.query_selector(selector)?.ok_or(JsValue::from(selector));
        Ok(Self {
            log: part(".log")?,
            outcome: part(".outcome")?,
            go: part(".go")?.unchecked_into(),
            stop: part(".stop")?.unchecked_into(),
            attempts: Cell::default(),
            countdown: RefCell::default(),
            running: RefCell::default(),
            root,
        })
    }

    /// Returns a URL that fails as often as the page's address says.
    fn url(&self) -> String {
        let origin = location().origin().expect("a page has an origin");
        let (times, hint) = (setting("times", 2), setting("hint", 1));
        let kind = self.root.dataset().get("kind").unwrap_or_default();
        // A new id for each click, so that the server counts afresh.
        format!("{origin}/{kind}?times={times}&hint={hint}&id={kind}{}", Date::now())
    }

    fn begin(&self, handle: AbortHandle) {
        self.running.replace(Some(handle));
        self.attempts.set(0);
        self.log.set_text_content(None);
        self.set("running", "");
    }

    fn end(&self, state: &str, text: &str) {
        drop(self.countdown.take());
        drop(self.running.take());
        self.set(state, text);
    }

    fn set(&self, state: &str, text: &str) {
        let running = state == "running";
        self.go.set_disabled(running);
        self.stop.set_disabled(!running);
        self.outcome.set_text_content(Some(text));
        // This comes last, because tests wait for it.
        self.root.dataset().set("state", state).expect("a card has attributes");
    }

    fn cancel(&self) {
        if let Some(running) = &*self.running.borrow() {
            running.abort();
        }
    }

    /// Adds a line for a retry, and counts down to it.
    fn show(&self, retry: &RetryEvent<'_, FetchError>) {
        self.attempts.set(retry.attempt);
        drop(self.countdown.take());
        let text = format!("attempt {}: {}", retry.attempt, cause(retry.error));
        let line = add(&self.log, "li", "", &text);
        let row = add(&line, "div", "wait", "");
        let track = add(&row, "span", "track", "");
        let bar: HtmlElement = add(&track, "i", "", "").unchecked_into();
        let duration = format!("{}ms", retry.delay.as_millis());
        bar.style().set_property("animation-duration", &duration).expect("an element has a style");
        let (start, delay) = (Date::now(), retry.delay.as_secs_f64() * 1e3);
        let left = add(&row, "span", "left", &format!("retry in {}", seconds(delay)));
        let number = left.clone();
        let interval = Interval::new(100, move || {
            let left = start + delay - Date::now();
            let text =
                if left > 0.0 { format!("retry in {}", seconds(left)) } else { "trying".into() };
            number.set_text_content(Some(&text));
        });
        let countdown = Countdown { row, left, start, delay, _interval: interval };
        self.countdown.replace(Some(countdown));
    }
}

fn add(parent: &Element, tag: &str, class: &str, text: &str) -> Element {
    let element = document().create_element(tag).expect("the tag is valid");
    element.set_class_name(class);
    element.set_text_content(Some(text));
    parent.append_child(&element).expect("the parent takes children");
    element
}

fn seconds(millis: f64) -> String {
    format!("{:.1} s", millis / 1e3)
}

/// Returns the error in a line. For security, a browser hides the cause of a failed `fetch`.
fn cause(error: &FetchError) -> String {
    match error {
        HttpError::Request(error) if error.is_decode() => "the body ended too early".to_owned(),
        HttpError::Request(_) => "the request failed".to_owned(),
        other => other.to_string(),
    }
}
