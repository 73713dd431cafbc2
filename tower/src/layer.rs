//! The layer and its settings.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use retry_ext::chain::{Budgeted, ByError, ByOutcome, Hooks, NotSet, Observed};
use retry_ext::{Observer, RetryBudget, RetryContext, RetryEvent, RetryPolicy, Verdict};
use tower::Layer;

use crate::policy::PerRequest;
use crate::service::RetryService;
use crate::settings::{CloneRequestsMissing, Copies, KnowsCopies, Settings};

/// A layer that repeats requests whose outcome is transient.
///
/// Made by [`new`](Self::new). Call [`clone_requests`](Self::clone_requests) to choose the requests that may be repeated, and
/// one of these to choose the outcomes:
///
/// | | takes |
/// |---|---|
/// | neither of the two below | errors that implement [`IsTransient`](retry_ext::IsTransient) |
/// | [`retry_if`](Self::retry_if) | a predicate of the error |
/// | [`classify`](Self::classify) | a judge of the outcome: a response or an error |
///
/// The other settings have the meaning that they have before `retry_with`. Closures and observers are cloned for each
/// request: keep state that requests share in a `static` or an `Arc`.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use retry_ext::RetryPolicy;
/// use retry_ext_tower::RetryLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Error> {
/// static CALLS: AtomicU32 = AtomicU32::new(0);
///
/// let mut service = ServiceBuilder::new()
///     .layer(RetryLayer::new(RetryPolicy::new()).clone_requests(|name: &&str| Some(*name)))
///     .service_fn(async |name: &str| match CALLS.fetch_add(1, Ordering::Relaxed) {
///         0 => Err(Error::from(ErrorKind::ConnectionReset)),
///         _ => Ok(format!("hello {name}")),
///     });
/// assert_eq!(service.ready().await?.call("tower").await?, "hello tower");
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing unless a service is put into it"]
pub struct RetryLayer<X = Settings> {
    settings: X,
}

impl RetryLayer {
    /// Makes a layer that retries by `policy`. Log records of a policy without a name show the place of this call.
    ///
    /// Each request has all attempts of the policy, and its deadline counts from its `call`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    ///
    /// const POLICY: RetryPolicy = RetryPolicy::new().with_max_attempts(5).with_max_elapsed(Duration::from_secs(30));
    ///
    /// let layer = RetryLayer::new(POLICY).clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    #[track_caller]
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            settings: Settings {
                context: policy.start_at(Location::caller()),
                copier: CloneRequestsMissing,
                sleeper: (),
                max_attempts: policy.max_attempts(),
            },
        }
    }
}

impl<C, N, S, O, D, B, K, W> RetryLayer<Settings<Hooks<C, N, S, O, D, B>, K, W>> {
    fn with<H>(
        self,
        set: impl FnOnce(RetryContext<Hooks<C, N, S, O, D, B>>) -> RetryContext<H>,
    ) -> RetryLayer<Settings<H, K, W>> {
        let Settings { context, copier, sleeper, max_attempts } = self.settings;
        RetryLayer { settings: Settings { context: set(context), copier, sleeper, max_attempts } }
    }

    /// Sets which requests may be repeated. `copier` returns a copy of such a request, and `None` for any other.
    ///
    /// It is called before each attempt except the last one. A request without a copy is sent as it is; if its outcome is
    /// transient, the give-up is logged and reported as
    /// [`AttemptsExhausted`](retry_ext::StopReason::AttemptsExhausted).
    ///
    /// Copy only idempotent requests: a request may have been carried out although its response was lost.
    /// For `http::Request` there is `clone_idempotent` (feature `http`), for reqwest `reqwest::Request::try_clone`.
    ///
    /// ```
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    ///
    /// #[derive(Clone)]
    /// enum Command { Get(String), Increment(String) }
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new()).clone_requests(|command| match command {
    ///     Command::Get(_) => Some(command.clone()),
    ///     Command::Increment(_) => None,
    /// });
    /// # drop(layer);
    /// ```
    pub fn clone_requests<Req, A>(
        self,
        copier: A,
    ) -> RetryLayer<Settings<Hooks<C, N, S, O, D, B>, Copies<A>, W>>
    where
        A: Fn(&Req) -> Option<Req>,
    {
        let copier = Copies(copier);
        let Settings { context, sleeper, max_attempts, .. } = self.settings;
        RetryLayer { settings: Settings { context, copier, sleeper, max_attempts } }
    }

    /// Retries the errors for which `predicate` returns `true`. Every response is a success.
    ///
    /// ```
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    /// use tower::BoxError;
    /// use tower::load_shed::error::Overloaded;
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .retry_if(|error: &BoxError| error.is::<Overloaded>())
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    pub fn retry_if<E, Q>(
        self,
        predicate: Q,
    ) -> RetryLayer<Settings<Hooks<ByError<Q>, N, S, O, D, B>, K, W>>
    where
        Q: FnMut(&E) -> bool,
    {
        self.with(|context| context.retry_if(predicate))
    }

    /// Judges the outcome of each attempt: a response or an error. Call it before [`on_retry`](Self::on_retry) and
    /// [`delay_with`](Self::delay_with).
    ///
    /// The module [`verdict`](crate::verdict) has judges for HTTP responses and for boxed errors.
    ///
    /// ```
    /// use std::io::Error;
    /// use retry_ext::{RetryPolicy, Verdict};
    /// use retry_ext_tower::RetryLayer;
    ///
    /// struct Reply { is_loading: bool }
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .classify(|outcome: &Result<Reply, Error>| match outcome {
    ///         Ok(reply) if reply.is_loading => Verdict::Transient,
    ///         Ok(_) => Verdict::Success,
    ///         Err(error) => Verdict::of(error),
    ///     })
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// # let _reply = Reply { is_loading: true };
    /// ```
    pub fn classify<T, E, J>(
        self,
        judge: J,
    ) -> RetryLayer<Settings<Hooks<ByOutcome<J>, N, S, O, D, B>, K, W>>
    where
        J: FnMut(&Result<T, E>) -> Verdict,
        N: NotSet,
        D: NotSet,
    {
        self.with(|context| context.classify(judge))
    }

    /// Calls `hook` once per retry, before the wait. The hook receives the error, or after
    /// [`classify`](Self::classify) the outcome.
    ///
    /// ```
    /// use std::io::Error;
    /// use retry_ext::{RetryEvent, RetryPolicy};
    /// use retry_ext_tower::RetryLayer;
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .on_retry(|retry: &RetryEvent<'_, Error>| eprintln!("{retry}: {}", retry.error))
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    pub fn on_retry<F, M>(self, hook: M) -> RetryLayer<Settings<Hooks<C, M, S, O, D, B>, K, W>>
    where
        M: FnMut(&RetryEvent<'_, F>),
    {
        self.with(|context| context.on_retry(hook))
    }

    /// Computes the nominal delay before each retry, instead of the backoff. The closure receives the number of the
    /// retry, and the error, or after [`classify`](Self::classify) the outcome.
    ///
    /// ```
    /// use std::io::Error;
    /// use std::time::Duration;
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .delay_with(|retry, _error: &Error| Duration::from_millis(50) * retry)
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    pub fn delay_with<F, L>(self, delay: L) -> RetryLayer<Settings<Hooks<C, N, S, O, L, B>, K, W>>
    where
        L: FnMut(u32, &F) -> Duration,
    {
        self.with(|context| context.delay_with(delay))
    }

    /// Reports every retry, success and failure to `observer`, for metrics: a reference to a `static`, or an `Arc`.
    ///
    /// ```
    /// use retry_ext::{RetryPolicy, RetryStats};
    /// use retry_ext_tower::RetryLayer;
    ///
    /// static STATS: RetryStats = RetryStats::new();
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .observe(&STATS)
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    pub fn observe<V>(
        self,
        observer: V,
    ) -> RetryLayer<Settings<Hooks<C, N, S, Observed<V>, D, B>, K, W>>
    where
        V: Observer,
    {
        self.with(|context| context.observe(observer))
    }

    /// Sets the budget of this layer's requests, which replaces the policy's budget. Clone an `Arc` to share the
    /// budget.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use retry_ext::{RetryBudget, RetryPolicy};
    /// use retry_ext_tower::RetryLayer;
    ///
    /// let budget = Arc::new(RetryBudget::new()); // one for each host
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .budget(Arc::clone(&budget))
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    pub fn budget<A>(
        self,
        budget: A,
    ) -> RetryLayer<Settings<Hooks<C, N, S, O, D, Budgeted<A>>, K, W>>
    where
        A: AsRef<RetryBudget>,
    {
        self.with(|context| context.budget(budget))
    }

    /// Replaces tokio's timer with another runtime's timer, or in tests with a closure that returns at once.
    ///
    /// ```
    /// use std::future;
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    ///
    /// let layer = RetryLayer::new(RetryPolicy::new())
    ///     .sleep_with(|_delay| future::ready(()))
    ///     .clone_requests(|line: &String| Some(line.clone()));
    /// # drop(layer);
    /// ```
    pub fn sleep_with<R, F>(self, sleeper: R) -> RetryLayer<Settings<Hooks<C, N, S, O, D, B>, K, R>>
    where
        R: Fn(Duration) -> F,
        F: Future<Output = ()>,
    {
        let Settings { context, copier, max_attempts, .. } = self.settings;
        RetryLayer { settings: Settings { context, copier, sleeper, max_attempts } }
    }
}

impl<H, K: KnowsCopies, W> RetryLayer<Settings<H, K, W>> {
    /// Makes a policy with the same settings for tower's own retry; see [`PerRequest`].
    ///
    /// ```
    /// use retry_ext::RetryPolicy;
    /// use retry_ext_tower::RetryLayer;
    ///
    /// let policy = RetryLayer::new(RetryPolicy::new()).clone_requests(|line: &String| Some(line.clone())).into_policy();
    /// let layer = tower::retry::RetryLayer::new(policy);
    /// # drop(layer);
    /// ```
    pub fn into_policy(self) -> PerRequest<Settings<H, K, W>> {
        PerRequest::new(self.settings)
    }
}

impl<S, H, K, W> Layer<S> for RetryLayer<Settings<H, K, W>>
where
    H: Clone,
    K: KnowsCopies + Clone,
    W: Clone,
{
    type Service = RetryService<S, Settings<H, K, W>>;

    fn layer(&self, service: S) -> Self::Service {
        RetryService::new(service, self.settings.clone())
    }
}

impl<X: fmt::Debug> fmt::Debug for RetryLayer<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer").field("settings", &self.settings).finish()
    }
}
