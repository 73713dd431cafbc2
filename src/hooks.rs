//! Hooks: the optional settings of a chain, in one type parameter.

use core::any::type_name;
use core::time::Duration;

use crate::budget::RetryBudget;
use crate::error::RetryError;
use crate::event::{Observer, RetryEvent};
use crate::sealed::{Internal, Sealed};
#[cfg(feature = "async")]
use crate::sleep::AsyncSleep;
use crate::transient::{IsTransient, Verdict};

/// The optional settings of a chain: a classifier, a hook, a sleeper, an observer, computed delays and a budget.
///
/// Each is `()` until it is set:
///
/// | parameter | set by | type |
/// |---|---|---|
/// | `C`: classifier | [`retry_if`](crate::RetryExt::retry_if) | [`ByError<Q>`](ByError), around the predicate |
/// | | [`classify`](crate::RetryExt::classify) | [`ByOutcome<J>`](ByOutcome), around the closure |
/// | `N`: hook | [`on_retry`](crate::RetryExt::on_retry) | the closure |
/// | `S`: sleeper | [`sleep_with`](crate::RetryExt::sleep_with) | the closure |
/// | `O`: observer | [`observe`](crate::RetryExt::observe) | [`Observed<O>`](Observed), around the observer |
/// | `D`: computed delays | [`delay_with`](crate::RetryExt::delay_with) | the closure |
/// | `B`: budget | [`budget`](crate::RetryExt::budget) | [`Budgeted<B>`](Budgeted), around the budget |
///
/// A chain's type carries all of them in its one parameter `H`. Name the type to store a chain. A chain runs once.
/// To run an operation again, store the policy and the function instead:
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
pub struct Hooks<C = (), N = (), S = (), O = (), D = (), B = ()> {
    pub(crate) classifier: C,
    pub(crate) hook: N,
    pub(crate) sleeper: S,
    pub(crate) observer: O,
    pub(crate) delay: D,
    pub(crate) budget: B,
}

impl Hooks {
    pub(crate) const NONE: Self =
        Self { classifier: (), hook: (), sleeper: (), observer: (), delay: (), budget: () };
}

/// Defines the setter of one field, which changes the type of the hooks.
macro_rules! setter {
    ($name:ident, $field:ident, [$($other:ident)*], $new:ident => $value:expr, $hooks:ty) => {
        #[inline]
        pub(crate) fn $name<$new>(self, $field: $new) -> $hooks {
            let Self { $($other,)* .. } = self;
            Hooks { $field: $value, $($other),* }
        }
    };
}

impl<C, N, S, O, D, B> Hooks<C, N, S, O, D, B> {
    setter!(with_predicate, classifier, [hook sleeper observer delay budget],
        Q => ByError(classifier), Hooks<ByError<Q>, N, S, O, D, B>);
    setter!(with_judge, classifier, [hook sleeper observer delay budget],
        J => ByOutcome(classifier), Hooks<ByOutcome<J>, N, S, O, D, B>);
    setter!(with_hook, hook, [classifier sleeper observer delay budget],
        M => hook, Hooks<C, M, S, O, D, B>);
    setter!(with_sleeper, sleeper, [classifier hook observer delay budget],
        R => sleeper, Hooks<C, N, R, O, D, B>);
    setter!(with_observer, observer, [classifier hook sleeper delay budget],
        V => Observed(observer), Hooks<C, N, S, Observed<V>, D, B>);
    setter!(with_delay, delay, [classifier hook sleeper observer budget],
        L => delay, Hooks<C, N, S, O, L, B>);
    setter!(with_budget, budget, [classifier hook sleeper observer delay],
        A => Budgeted(budget), Hooks<C, N, S, O, D, Budgeted<A>>);
}

/// Hooks whose sleeper is an [`AsyncSleep`]. With this trait, [`RetryFuture`](crate::chain::RetryFuture) names the
/// sleeper's future and the failure that is kept.
///
/// This trait is sealed.
#[cfg(feature = "async")]
pub trait AsyncHooks<T, E> {
    #[doc(hidden)]
    type Sleeper: AsyncSleep;
    #[doc(hidden)]
    type Failure;
    #[doc(hidden)]
    fn sleeper(&mut self, _: Internal) -> &mut Self::Sleeper;
}

#[cfg(feature = "async")]
impl<T, E, C: Shape<T, E>, N, S: AsyncSleep, O, D, B> AsyncHooks<T, E> for Hooks<C, N, S, O, D, B> {
    type Sleeper = S;
    type Failure = C::Failure;

    #[inline]
    fn sleeper(&mut self, _: Internal) -> &mut S {
        &mut self.sleeper
    }
}

/// The form in which a chain keeps a failed outcome.
///
/// This trait is sealed.
pub trait Shape<T, E> {
    /// The failure that hooks receive: the error, or after `classify` the whole outcome.
    type Failure;
    /// Whether a failure is a whole outcome.
    #[doc(hidden)]
    const IS_OUTCOME: bool;
    /// Makes a failure from an error.
    #[doc(hidden)]
    fn fail(error: E, _: Internal) -> Self::Failure;
    /// Returns the name of the failure's type, for log records.
    #[doc(hidden)]
    fn type_name(failure: &Self::Failure, _: Internal) -> &'static str;
    /// Turns the end of a retry into the result for the caller.
    #[doc(hidden)]
    fn finish(stopped: RetryError<Self::Failure>, _: Internal) -> Result<T, RetryError<E>>;
}

/// Classifiers: a predicate passed to `retry_if`, a closure passed to `classify`, or the error itself (`()`) by
/// default.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{E}` cannot be retried: it does not implement `IsTransient`",
    label = "the error type `{E}` does not implement `IsTransient`",
    note = "if the error type comes from another crate, add `.retry_if(|error| ..)` before `.retry_with(policy)`, or wrap it in a newtype",
    note = "if the error type is yours, implement the trait: `impl retry_ext::IsTransient for {E} {{ fn is_transient(&self) -> bool {{ .. }} }}`",
    note = "if the error wraps another `Result`, such as that of a timeout, flatten it first: `(async || timeout(limit, fetch()).await?).retry_with(policy)`"
)]
pub trait Classify<T, E>: Shape<T, E> {
    /// The judgement that goes with a failure: the verdict of `classify`.
    #[doc(hidden)]
    type Judgement: Copy;
    /// Judges a value. Returns the value if it is a success, or the failure.
    #[doc(hidden)]
    fn value(&mut self, value: T, _: Internal) -> Result<T, (Self::Failure, Self::Judgement)>;
    /// Judges a failure.
    #[doc(hidden)]
    fn failure(&mut self, failure: &Self::Failure, _: Internal) -> Self::Judgement;
    /// Judges an outcome.
    #[doc(hidden)]
    #[inline]
    fn judge(
        &mut self,
        outcome: Result<T, E>,
        _: Internal,
    ) -> Result<T, (Self::Failure, Self::Judgement)> {
        match outcome {
            Ok(value) => self.value(value, Internal),
            Err(error) => {
                let failure = Self::fail(error, Internal);
                let judgement = self.failure(&failure, Internal);
                Err((failure, judgement))
            }
        }
    }
    /// Returns the failure in an outcome, or `None` for a success.
    #[doc(hidden)]
    fn judge_ref<'a>(
        &mut self,
        outcome: &'a Result<T, E>,
        _: Internal,
    ) -> Option<(&'a Self::Failure, Self::Judgement)>;
    #[doc(hidden)]
    fn is_transient(
        &mut self,
        failure: &Self::Failure,
        judgement: Self::Judgement,
        _: Internal,
    ) -> bool;
    #[doc(hidden)]
    fn retry_after(
        &self,
        failure: &Self::Failure,
        judgement: Self::Judgement,
        _: Internal,
    ) -> Option<Duration>;
}

/// Classifiers that judge only an error: a predicate passed to `retry_if`, or the error itself (`()`) by default.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "after `classify`, a retry loop takes whole outcomes",
    label = "takes an error alone",
    note = "call `step(outcome)` or `delay_after_outcome(&outcome)` instead"
)]
pub trait ClassifyError<E>: Classify<(), E, Failure = E, Judgement = ()> {
    #[doc(hidden)]
    fn is_transient_error(&mut self, error: &E, _: Internal) -> bool;
    #[doc(hidden)]
    fn hint_of_error(&self, error: &E, _: Internal) -> Option<Duration>;
}

impl<E: IsTransient> ClassifyError<E> for () {
    #[inline]
    fn is_transient_error(&mut self, error: &E, _: Internal) -> bool {
        error.is_transient()
    }

    #[inline]
    fn hint_of_error(&self, error: &E, _: Internal) -> Option<Duration> {
        error.retry_after()
    }
}

/// A classifier that judges an error by a predicate; made by `retry_if`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByError<Q>(Q);

impl<E, Q: FnMut(&E) -> bool> ClassifyError<E> for ByError<Q> {
    #[inline]
    fn is_transient_error(&mut self, error: &E, _: Internal) -> bool {
        (self.0)(error)
    }

    #[inline]
    fn hint_of_error(&self, _error: &E, _: Internal) -> Option<Duration> {
        None
    }
}

macro_rules! keeps_the_error {
    ($($classifier:ty $(, $q:ident)?;)*) => {$(
        impl<T, E $(, $q)?> Shape<T, E> for $classifier {
            type Failure = E;
            const IS_OUTCOME: bool = false;

            #[inline]
            fn fail(error: E, _: Internal) -> E {
                error
            }

            #[inline]
            fn type_name(_error: &E, _: Internal) -> &'static str {
                type_name::<E>()
            }

            #[inline]
            fn finish(stopped: RetryError<E>, _: Internal) -> Result<T, RetryError<E>> {
                Err(stopped)
            }
        }

        #[diagnostic::do_not_recommend] // the compiler then shows the advice above, not a list of types
        impl<T, E $(, $q)?> Classify<T, E> for $classifier
        where
            $classifier: ClassifyError<E>,
        {
            type Judgement = ();

            #[inline]
            fn value(&mut self, value: T, _: Internal) -> Result<T, (E, ())> {
                Ok(value)
            }

            #[inline]
            fn failure(&mut self, _error: &E, _: Internal) {}

            #[inline]
            fn judge_ref<'a>(
                &mut self,
                outcome: &'a Result<T, E>,
                _: Internal,
            ) -> Option<(&'a E, ())> {
                outcome.as_ref().err().map(|error| (error, ()))
            }

            #[inline]
            fn is_transient(&mut self, error: &E, (): (), _: Internal) -> bool {
                self.is_transient_error(error, Internal)
            }

            #[inline]
            fn retry_after(&self, error: &E, (): (), _: Internal) -> Option<Duration> {
                self.hint_of_error(error, Internal)
            }
        }
    )*};
}

keeps_the_error!((); ByError<Q>, Q;);

/// A classifier that judges a whole outcome; made by `classify`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByOutcome<J>(J);

impl<T, E, J> Shape<T, E> for ByOutcome<J> {
    type Failure = Result<T, E>;
    const IS_OUTCOME: bool = true;

    #[inline]
    fn fail(error: E, _: Internal) -> Result<T, E> {
        Err(error)
    }

    fn type_name(outcome: &Result<T, E>, _: Internal) -> &'static str {
        match outcome {
            Ok(_) => type_name::<T>(),
            Err(_) => type_name::<E>(),
        }
    }

    #[inline]
    fn finish(stopped: RetryError<Result<T, E>>, _: Internal) -> Result<T, RetryError<E>> {
        stopped.transpose()
    }
}

#[diagnostic::do_not_recommend]
impl<T, E, J> Classify<T, E> for ByOutcome<J>
where
    J: FnMut(&Result<T, E>) -> Verdict,
{
    type Judgement = Verdict;

    #[inline]
    fn value(&mut self, value: T, _: Internal) -> Result<T, (Result<T, E>, Verdict)> {
        let outcome = Ok(value);
        match ((self.0)(&outcome), outcome) {
            (Verdict::Success, Ok(value)) => Ok(value),
            (verdict, outcome) => Err((outcome, verdict)),
        }
    }

    #[inline]
    fn failure(&mut self, outcome: &Result<T, E>, _: Internal) -> Verdict {
        (self.0)(outcome)
    }

    #[inline]
    fn judge_ref<'a>(
        &mut self,
        outcome: &'a Result<T, E>,
        _: Internal,
    ) -> Option<(&'a Result<T, E>, Verdict)> {
        match (self.0)(outcome) {
            Verdict::Success if outcome.is_ok() => None,
            verdict => Some((outcome, verdict)),
        }
    }

    #[inline]
    fn is_transient(&mut self, _outcome: &Result<T, E>, verdict: Verdict, _: Internal) -> bool {
        verdict.is_transient()
    }

    #[inline]
    fn retry_after(
        &self,
        _outcome: &Result<T, E>,
        verdict: Verdict,
        _: Internal,
    ) -> Option<Duration> {
        verdict.retry_after()
    }
}

/// A setting that has not been set (`()`), as `classify` requires.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`classify` comes before `on_retry` and `delay_with`",
    label = "was set before `classify`",
    note = "after `classify`, hooks and computed delays receive the whole outcome: call `classify` first"
)]
pub trait NotSet: Sealed {}

impl NotSet for () {}

impl Sealed for () {}

/// Hooks on retries: a closure passed to `on_retry`, or nothing (`()`) by default.
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

/// Observers of a chain: an observer passed to `observe`, or nothing (`()`) by default.
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

/// Computed delays: a closure passed to `delay_with`, or nothing (`()`) by default.
///
/// This trait is sealed.
pub trait ComputeDelay<E> {
    #[doc(hidden)]
    fn compute(&mut self, retry: u32, failure: &E, _: Internal) -> Option<Duration>;
}

impl<E> ComputeDelay<E> for () {
    #[inline]
    fn compute(&mut self, _retry: u32, _failure: &E, _: Internal) -> Option<Duration> {
        None
    }
}

impl<E, D: FnMut(u32, &E) -> Duration> ComputeDelay<E> for D {
    #[inline]
    fn compute(&mut self, retry: u32, failure: &E, _: Internal) -> Option<Duration> {
        Some(self(retry, failure))
    }
}

/// Budgets of a chain: a budget passed to `budget`, or the policy's budget (`()`) by default.
///
/// This trait is sealed.
pub trait ChainBudget {
    #[doc(hidden)]
    const IS_SET: bool;
    #[doc(hidden)]
    fn budget(&self, _: Internal) -> Option<&RetryBudget>;
}

impl ChainBudget for () {
    const IS_SET: bool = false;

    #[inline]
    fn budget(&self, _: Internal) -> Option<&RetryBudget> {
        None
    }
}

/// A budget of a chain; made by `budget`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budgeted<B>(B);

impl<B: AsRef<RetryBudget>> ChainBudget for Budgeted<B> {
    const IS_SET: bool = true;

    #[inline]
    fn budget(&self, _: Internal) -> Option<&RetryBudget> {
        Some(self.0.as_ref())
    }
}
