//! The settings of a layer in one type parameter, and the operation that they start for each request.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use retry_ext::RetryContext;
use retry_ext::chain::{ChainBudget, Classify, ComputeDelay, Hooks, Notify, Observe};

use crate::sealed::Sealed;
use crate::sleep::{Pause, Sleeper};

/// All settings of a [`RetryLayer`](crate::RetryLayer), in one type.
///
/// | parameter | set by | type |
/// |---|---|---|
/// | `H` | `retry_if`, `classify`, `on_retry`, `delay_with`, `observe`, `budget` | [`Hooks`] |
/// | `K` | [`clone_requests`](crate::RetryLayer::clone_requests) | [`Copies<A>`](Copies), around the closure |
/// | `W` | [`sleep_with`](crate::RetryLayer::sleep_with) | the closure |
///
/// Name this type to store a layer or a service in a struct. Use `fn` pointers, because closure types have no names:
///
/// ```
/// use retry_ext::RetryPolicy;
/// use retry_ext::chain::Hooks;
/// use retry_ext_tower::chain::{Copies, Settings};
/// use retry_ext_tower::{RetryLayer, RetryService};
///
/// type Copy = fn(&String) -> Option<String>;
///
/// struct Client<S> {
///     service: RetryService<S, Settings<Hooks, Copies<Copy>>>,
/// }
///
/// let layer = RetryLayer::new(RetryPolicy::new()).clone_requests((|line| Some(line.clone())) as Copy);
/// let client = Client { service: tower::Layer::layer(&layer, ()) };
/// # let _service = client.service;
/// ```
#[derive(Clone)]
pub struct Settings<H = Hooks, K = CloneRequestsMissing, W = ()> {
    pub(crate) context: RetryContext<H>,
    pub(crate) copier: K,
    pub(crate) sleeper: W,
    pub(crate) max_attempts: u32,
}

impl<H, K, W> fmt::Debug for Settings<H, K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("context", &self.context).finish_non_exhaustive()
    }
}

impl<H, K, W> Sealed for Settings<H, K, W> {}

/// Stands for [`Copies`] until [`clone_requests`](crate::RetryLayer::clone_requests) is called. The compiler shows this
/// name if that call is missing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CloneRequestsMissing;

/// The closure that copies requests; made by [`clone_requests`](crate::RetryLayer::clone_requests).
#[derive(Clone, Copy, Debug)]
pub struct Copies<A>(pub(crate) A);

/// Settings for which [`clone_requests`](crate::RetryLayer::clone_requests) was called: [`Copies`].
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "the layer does not know which requests it may repeat",
    label = "`clone_requests` was not called",
    note = "add `.clone_requests(|request: &Request| ..)`: it returns a copy of a request that may be sent again, and `None` for any other"
)]
pub trait KnowsCopies: Sealed {}

impl<A> KnowsCopies for Copies<A> {}

impl<A> Sealed for Copies<A> {}

/// The closure of [`clone_requests`](crate::RetryLayer::clone_requests), for requests of the type `Req`.
///
/// This trait is sealed. It is implemented for [`Copies<A>`](Copies) if `A` is a `Fn(&Req) -> Option<Req>`.
pub trait CloneRequest<Req>: KnowsCopies {
    #[doc(hidden)]
    fn clone_request(&self, request: &Req) -> Option<Req>;
}

#[diagnostic::do_not_recommend]
impl<Req, A: Fn(&Req) -> Option<Req>> CloneRequest<Req> for Copies<A> {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        (self.0)(request)
    }
}

/// Settings that are copied for each request.
///
/// This trait is sealed. It is implemented for [`Settings`] whose parts are `Clone`.
pub trait PerOperation: Sealed {
    /// The future of the sleeper.
    type Wait: Future<Output = ()>;
    /// Returns a copy for a request that starts now.
    #[doc(hidden)]
    #[must_use]
    fn started(&self) -> Self;
    #[doc(hidden)]
    fn pause(&self, delay: Duration) -> Pause<Self::Wait>;
}

impl<H, K, W> PerOperation for Settings<H, K, W>
where
    H: Clone,
    K: Clone,
    W: Sleeper + Clone,
{
    type Wait = W::Wait;

    fn started(&self) -> Self {
        let mut started = self.clone();
        started.context.restart();
        started
    }

    fn pause(&self, delay: Duration) -> Pause<W::Wait> {
        Pause::new(self.sleeper.sleep(delay))
    }
}

/// Settings that fit a service whose requests are `Req`, and whose calls return a `Result<T, E>`.
///
/// This trait is sealed. It is implemented for [`Settings`] whose classifier, hook and computed delays take these types, and
/// whose `clone_requests` takes a `&Req`. Without a classifier, `E` implements [`IsTransient`](retry_ext::IsTransient).
pub trait Decide<Req, T, E>: PerOperation {
    /// Copies a request that may be repeated.
    #[doc(hidden)]
    fn copy(&self, request: &Req) -> Option<Req>;
    /// Copies the request of the running attempt. Without a copy, that attempt is the last one.
    #[doc(hidden)]
    fn copy_for_next(&mut self, request: &Req) -> Option<Req>;
    /// Records an outcome. Returns the delay before the next attempt, or `None` if the outcome is final.
    #[doc(hidden)]
    fn delay_after(&mut self, outcome: &Result<T, E>) -> Option<Duration>;
    /// Records that the granted attempt cannot take place.
    #[doc(hidden)]
    fn cancelled(&mut self, error: E) -> E;
}

impl<Req, T, E, C, N, S, O, D, B, K, W> Decide<Req, T, E>
    for Settings<Hooks<C, N, S, O, D, B>, K, W>
where
    C: Classify<T, E>,
    N: Notify<C::Failure>,
    O: Observe,
    D: ComputeDelay<C::Failure>,
    B: ChainBudget,
    K: CloneRequest<Req>,
    Self: PerOperation,
{
    fn copy(&self, request: &Req) -> Option<Req> {
        self.copier.clone_request(request)
    }

    fn copy_for_next(&mut self, request: &Req) -> Option<Req> {
        let is_last = self.context.attempt() >= self.max_attempts;
        let copy = if is_last { None } else { self.copier.clone_request(request) };
        if copy.is_none() {
            self.context.exhaust();
        }
        copy
    }

    fn delay_after(&mut self, outcome: &Result<T, E>) -> Option<Duration> {
        self.context.delay_after_outcome(outcome).ok()
    }

    fn cancelled(&mut self, error: E) -> E {
        self.context.cancelled(error).into_error()
    }
}
