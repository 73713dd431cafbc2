//! Hooks: the optional settings of a chain, in one type parameter.

use std::time::Duration;

use crate::event::{Observer, RetryEvent};
use crate::sealed::Internal;
#[cfg(feature = "async")]
use crate::sleep::AsyncSleep;
use crate::transient::IsTransient;

/// The optional settings of a chain: a classifier, a hook, a sleeper and an observer.
///
/// Each is `()` until it is set:
///
/// | parameter | set by | type |
/// |---|---|---|
/// | `C`: classifier | [`retry_if`](crate::RetryExt::retry_if) | [`ByError<Q>`](ByError), around the predicate |
/// | `N`: hook | [`on_retry`](crate::RetryExt::on_retry) | the closure |
/// | `S`: sleeper | [`sleep_with`](crate::RetryExt::sleep_with) | the closure |
/// | `O`: observer | [`observe`](crate::RetryExt::observe) | [`Observed<O>`](Observed), around the observer |
///
/// Chain types carry all of them in their one parameter `H`. Name it to store a chain. A chain runs once; to run an
/// operation again, store the policy and the function instead:
///
/// ```
/// use retry_ext::chain::{ByError, Hooks, Retry};
/// use retry_ext::{RetryExt, RetryPolicy};
///
/// type Parse = fn() -> Result<u8, std::num::ParseIntError>;
/// type Always = fn(&std::num::ParseIntError) -> bool;
///
/// let parse: Parse = || "7".parse();
/// let chain: Retry<Parse, u8, std::num::ParseIntError, Hooks<ByError<Always>>> =
///     parse.retry_if((|_error| true) as Always);
/// assert_eq!(chain.retry_with(RetryPolicy::new()), Ok(7));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks<C = (), N = (), S = (), O = ()> {
    pub(crate) classifier: C,
    pub(crate) hook: N,
    pub(crate) sleeper: S,
    pub(crate) observer: O,
}

impl Hooks {
    pub(crate) const NONE: Self = Self { classifier: (), hook: (), sleeper: (), observer: () };
}

impl<C, N, S, O> Hooks<C, N, S, O> {
    #[inline]
    pub(crate) fn with_predicate<Q>(self, predicate: Q) -> Hooks<ByError<Q>, N, S, O> {
        let Self { hook, sleeper, observer, .. } = self;
        Hooks { classifier: ByError(predicate), hook, sleeper, observer }
    }

    #[inline]
    pub(crate) fn with_hook<N2>(self, hook: N2) -> Hooks<C, N2, S, O> {
        let Self { classifier, sleeper, observer, .. } = self;
        Hooks { classifier, hook, sleeper, observer }
    }

    #[inline]
    pub(crate) fn with_sleeper<S2>(self, sleeper: S2) -> Hooks<C, N, S2, O> {
        let Self { classifier, hook, observer, .. } = self;
        Hooks { classifier, hook, sleeper, observer }
    }

    #[inline]
    pub(crate) fn with_observer<O2>(self, observer: O2) -> Hooks<C, N, S, Observed<O2>> {
        let Self { classifier, hook, sleeper, .. } = self;
        Hooks { classifier, hook, sleeper, observer: Observed(observer) }
    }
}

/// Hooks whose sleeper is an [`AsyncSleep`]. It lets
/// [`RetryFuture`](crate::chain::RetryFuture) name the sleeper's future.
///
/// This trait is sealed.
#[cfg(feature = "async")]
pub trait AsyncHooks {
    #[doc(hidden)]
    type Sleeper: AsyncSleep;
    #[doc(hidden)]
    fn sleeper(&mut self, _: Internal) -> &mut Self::Sleeper;
}

#[cfg(feature = "async")]
impl<C, N, S: AsyncSleep, O> AsyncHooks for Hooks<C, N, S, O> {
    type Sleeper = S;

    #[inline]
    fn sleeper(&mut self, _: Internal) -> &mut S {
        &mut self.sleeper
    }
}

/// Classifiers: a predicate given to `retry_if`, or the error itself (`()`) if none is given.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{E}` cannot be retried: it does not implement `IsTransient`",
    label = "the error type `{E}` does not implement `IsTransient`",
    note = "if the error type comes from another crate, add `.retry_if(|error| ..)` before `.retry_with(policy)`, or wrap it in a newtype",
    note = "if the error type is yours, implement the trait: `impl retry_ext::IsTransient for {E} {{ fn is_transient(&self) -> bool {{ .. }} }}`",
    note = "if the error wraps another `Result`, such as that of a timeout, flatten it first: `(async || timeout(limit, fetch()).await?).retry_with(policy)`"
)]
pub trait Classify<E> {
    #[doc(hidden)]
    fn is_transient(&mut self, error: &E, _: Internal) -> bool;
    #[doc(hidden)]
    fn retry_after(&self, error: &E, _: Internal) -> Option<Duration>;
}

#[diagnostic::do_not_recommend] // so that the compiler shows the advice above instead of a list of types
impl<E: IsTransient> Classify<E> for () {
    #[inline]
    fn is_transient(&mut self, error: &E, _: Internal) -> bool {
        error.is_transient()
    }

    #[inline]
    fn retry_after(&self, error: &E, _: Internal) -> Option<Duration> {
        error.retry_after()
    }
}

/// A classifier that judges an error by a predicate; made by `retry_if`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByError<Q>(Q);

impl<E, Q: FnMut(&E) -> bool> Classify<E> for ByError<Q> {
    #[inline]
    fn is_transient(&mut self, error: &E, _: Internal) -> bool {
        (self.0)(error)
    }

    #[inline]
    fn retry_after(&self, _error: &E, _: Internal) -> Option<Duration> {
        None
    }
}

/// Hooks on retries: a closure given to `on_retry`, or nothing (`()`) if none is given.
///
/// This trait is sealed.
pub trait Notify<E> {
    #[doc(hidden)]
    fn retry(&mut self, event: &RetryEvent<'_, E>, _: Internal);
}

impl<E> Notify<E> for () {
    #[inline]
    fn retry(&mut self, _event: &RetryEvent<'_, E>, _: Internal) {}
}

impl<E, N: FnMut(&RetryEvent<'_, E>)> Notify<E> for N {
    #[inline]
    fn retry(&mut self, event: &RetryEvent<'_, E>, _: Internal) {
        self(event);
    }
}

/// Observers of a chain: one given to `observe`, or nothing (`()`) if none is given.
///
/// This trait is sealed.
pub trait Observe {
    #[doc(hidden)]
    type Observer: Observer;
    #[doc(hidden)]
    fn observer(&self, _: Internal) -> Option<&Self::Observer>;
}

impl Observe for () {
    type Observer = ();

    #[inline]
    fn observer(&self, _: Internal) -> Option<&()> {
        None
    }
}

/// An observer of a chain; made by `observe`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed<O>(O);

impl<O: Observer> Observe for Observed<O> {
    type Observer = O;

    #[inline]
    fn observer(&self, _: Internal) -> Option<&O> {
        Some(&self.0)
    }
}
