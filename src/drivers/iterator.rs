//! The iterator driver.

use core::borrow::Borrow;
use core::fmt;
use core::iter::FusedIterator;
use core::panic::Location;
use core::time::Duration;

use super::closure::{AttemptSource, Retry};
use crate::budget::RetryBudget;
use crate::decision::Decision;
use crate::error::{RetryError, Stop, StopReason};
use crate::event::{Observer, RetryEvent};
use crate::hooks::{
    Budgeted, ByError, ChainBudget, Classify, ComputeDelay, Hooks, Notify, Observe, Observed,
};
use crate::operation::Attempt;
use crate::policy::RetryPolicy;
use crate::report::Call;
use crate::sealed::Internal;
#[cfg(not(feature = "std"))]
use crate::sleep::BlockingSleeper;
use crate::sleep::{Ended, Sleep, Wake};
use crate::transient::IsTransient;

/// Adds `.retry_with(policy)` to iterators of results.
///
/// A failed item is a failed attempt. While its error is transient and the policy allows a retry, the adapter
/// waits and takes **the source's next item in its place**. Use it on sources that produce the failed item again
/// on the next call of `next`. Examples are [`TcpListener::incoming`](std::net::TcpListener::incoming), a polled
/// channel, and a cursor that rereads its page.
///
/// Do not use it on `urls.map(fetch)`: the next item is a different URL. Retry inside the closure instead:
/// `urls.map(|url| (|| fetch(url)).retry_with(policy))`.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use std::net::{TcpListener, TcpStream};
/// use retry_ext::{RetryIteratorExt, RetryPolicy};
///
/// fn serve(listener: &TcpListener, clients: usize) {
///     // Out of file descriptors? Wait until others have closed theirs.
///     for stream in listener.incoming().retry_with(RetryPolicy::new()).take(clients) {
///         // One client's failure must not end the service.
///         if let Err(error) = stream.map_err(Into::into).and_then(|mut stream| greet(&mut stream)) {
///             eprintln!("{error}");
///         }
///     }
/// }
///
/// fn greet(stream: &mut TcpStream) -> Result<(), Box<dyn std::error::Error>> {
///     Ok(writeln!(stream, "hello")?)
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let client = std::thread::spawn(move || {
///     let mut line = String::new();
///     BufReader::new(TcpStream::connect(address)?).read_line(&mut line)?;
///     Ok::<_, std::io::Error>(line)
/// });
/// serve(&listener, 1);
/// assert_eq!(client.join().unwrap()?, "hello\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// * Each item starts a new count, with all attempts, the first delay and a new deadline. A deadline counts from
///   the call of `next`, so it includes the time for which the source waits for an item.
/// * Only retried errors are swallowed, and `on_retry` is called for each. An error that gives up is yielded, and
///   the following call continues with the next item.
/// * If a deadline, a budget or a hint's limit refuses a retry, the following call of `next` first pauses, on the
///   same sleeper. A loop that continues after such a refusal therefore does not spin, unless all delays of the policy are zero. Permanent errors and
///   exhausted attempts cause no pause.
/// * The pause is the refused [`next_delay`](RetryError::next_delay). After a hint it is the [longest hint that is
///   obeyed](RetryPolicy::max_retry_after), and at least the first delay; if both are zero, the first delay that is
///   not. No hook is called for the pause, and it is not part of `waited`. A sleeper that cancels the pause ends the
///   sequence.
/// * A cancelled wait yields its error, with [`StopReason::Cancelled`]. Leave the loop then: the following call
///   continues with the next item.
/// * A transient error after which the source ends is yielded, with [`StopReason::SourceEnded`], and then `None`.
///   For this the adapter keeps a failed item until the next one. An error must therefore not own a lock or a
///   permit that the source needs.
/// * The adapter is lazy: it takes from its source, and waits, only in `next`.
pub trait RetryIteratorExt<T, E>: Iterator<Item = Result<T, E>> {
    /// Classifies errors at the call; see [`RetryExt::retry_if`](crate::RetryExt::retry_if).
    ///
    /// ```
    /// use retry_ext::{RetryIteratorExt, RetryPolicy};
    ///
    /// let source = ["1", "", "2"].into_iter().map(str::parse::<u8>);
    /// let items = source.retry_if(|_| true).sleep_with(|_| ()).retry_with(RetryPolicy::new());
    /// assert_eq!(items.collect::<Result<Vec<_>, _>>(), Ok(vec![1, 2]));
    /// ```
    #[inline]
    fn retry_if<Q>(self, predicate: Q) -> Retry<Items<Self>, T, E, Hooks<ByError<Q>>>
    where
        Self: Sized,
        Q: FnMut(&E) -> bool,
    {
        Retry::new(Items(self)).retry_if(predicate)
    }

    /// Calls a hook before each wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryIteratorExt, RetryPolicy};
    ///
    /// let mut retries = 0;
    /// let source = [Err(Error::from(ErrorKind::WouldBlock)), Ok("line")];
    /// let items = source.into_iter().on_retry(|_| retries += 1).sleep_with(|_| ()).retry_with(RetryPolicy::new());
    /// assert_eq!(items.map(Result::unwrap).collect::<Vec<_>>(), ["line"]);
    /// assert_eq!(retries, 1);
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> Retry<Items<Self>, T, E, Hooks<(), N>>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        Retry::new(Items(self)).on_retry(hook)
    }

    /// Replaces `std::thread::sleep`; see [`RetryExt::sleep_with`](crate::RetryExt::sleep_with).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryIteratorExt, RetryPolicy};
    ///
    /// let mut waits = Vec::new();
    /// let source = [Err(Error::from(ErrorKind::WouldBlock)), Ok("line")];
    /// let items = source.into_iter().sleep_with(|delay| waits.push(delay.as_secs())).retry_with(RetryPolicy::new());
    /// assert_eq!(items.count(), 1);
    /// assert_eq!(waits, [1]);
    /// ```
    #[inline]
    fn sleep_with<S, W>(self, sleeper: S) -> Retry<Items<Self>, T, E, Hooks<(), (), S>>
    where
        Self: Sized,
        S: FnMut(Duration) -> W,
        W: Wake,
    {
        Retry::new(Items(self)).sleep_with(sleeper)
    }

    /// Reports every retry, success and failure to an observer; see
    /// [`RetryExt::observe`](crate::RetryExt::observe).
    ///
    /// ```
    /// use retry_ext::{RetryIteratorExt, RetryPolicy, RetryStats};
    ///
    /// let stats = RetryStats::new();
    /// let source = [Ok::<_, std::io::Error>(1), Ok(2)].into_iter();
    /// assert_eq!(source.observe(&stats).retry_with(RetryPolicy::new()).count(), 2);
    /// assert_eq!(stats.snapshot().succeeded_at_first, 2);
    /// ```
    #[inline]
    fn observe<O>(self, observer: O) -> Retry<Items<Self>, T, E, Hooks<(), (), (), Observed<O>>>
    where
        Self: Sized,
        O: Observer,
    {
        Retry::new(Items(self)).observe(observer)
    }

    /// Computes the nominal delays; see [`RetryExt::delay_with`](crate::RetryExt::delay_with).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{RetryIteratorExt, RetryPolicy};
    ///
    /// let mut waits = Vec::new();
    /// let source = [Err(Error::from(ErrorKind::WouldBlock)), Ok("line")];
    /// let items = source
    ///     .into_iter()
    ///     .delay_with(|_retry, _error| Duration::from_millis(5))
    ///     .sleep_with(|delay| waits.push(delay.as_millis()))
    ///     .retry_with(RetryPolicy::new());
    /// assert_eq!(items.count(), 1);
    /// assert_eq!(waits, [5]);
    /// ```
    #[inline]
    fn delay_with<D>(self, delay: D) -> Retry<Items<Self>, T, E, Hooks<(), (), (), (), D>>
    where
        Self: Sized,
        D: FnMut(u32, &E) -> Duration,
    {
        Retry::new(Items(self)).delay_with(delay)
    }

    /// Shares a budget known only at run time; see [`RetryExt::budget`](crate::RetryExt::budget).
    ///
    /// ```
    /// use retry_ext::{RetryBudget, RetryIteratorExt, RetryPolicy};
    ///
    /// let budget = RetryBudget::new().with_ratio(1.0);
    /// let source = [Ok::<_, std::io::Error>(1), Ok(2)].into_iter();
    /// assert_eq!(source.budget(&budget).retry_with(RetryPolicy::new()).count(), 2);
    /// assert_eq!(budget.available(), 2 + 2);
    /// ```
    #[inline]
    fn budget<B>(
        self,
        budget: B,
    ) -> Retry<Items<Self>, T, E, Hooks<(), (), (), (), (), Budgeted<B>>>
    where
        Self: Sized,
        B: AsRef<RetryBudget>,
    {
        Retry::new(Items(self)).budget(budget)
    }

    /// Retries each item. The policy may be passed by value, by reference or in an `Arc`.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    /// use retry_ext::{RetryIteratorExt, RetryPolicy, StopReason};
    ///
    /// let policy = RetryPolicy::new().with_initial_delay(Duration::ZERO);
    /// let busy = || Err(Error::from(ErrorKind::WouldBlock));
    /// let source = [Ok(1), busy(), Ok(2), busy()];
    /// let mut items = source.into_iter().retry_with(policy);
    /// assert_eq!(items.next().unwrap().unwrap(), 1);
    /// assert_eq!(items.next().unwrap().unwrap(), 2);
    /// assert_eq!(items.next().unwrap().unwrap_err().reason(), StopReason::SourceEnded);
    /// assert!(items.next().is_none());
    /// ```
    ///
    /// # Panics
    ///
    /// In a browser, which cannot block, `next` panics if it would sleep: retry a stream there.
    #[cfg(feature = "std")]
    #[inline]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> RetryItems<Self, T, E, P>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy>,
    {
        Retry::new(Items(self)).retry_with(policy)
    }

    /// Retries each item. Without the feature `std`, call [`sleep_with`](Self::sleep_with) first.
    #[cfg(not(feature = "std"))]
    #[track_caller]
    fn retry_with<P>(self, policy: P) -> RetryItems<Self, T, E, P, Hooks<(), (), P::Sleeper>>
    where
        Self: Sized,
        E: IsTransient,
        P: Borrow<RetryPolicy> + BlockingSleeper,
    {
        let sleeper = P::sleeper(Internal);
        Retry::new(Items(self)).with(|hooks| hooks.with_sleeper(sleeper)).retry_with(policy)
    }
}

impl<I, T, E> RetryIteratorExt<T, E> for I where I: Iterator<Item = Result<T, E>> {}

/// Marks the operation of a chain as an iterator or a stream, whose items are its attempts.
///
/// ```
/// use retry_ext::chain::{Hooks, Items, Retry};
/// use retry_ext::{RetryIteratorExt, RetryPolicy};
///
/// type Lines = std::vec::IntoIter<Result<u8, std::io::Error>>;
/// let chain: Retry<Items<Lines>, u8, std::io::Error, Hooks<(), (), fn(std::time::Duration)>> =
///     vec![Ok(7)].into_iter().sleep_with(std::thread::sleep as _);
/// assert_eq!(chain.retry_with(RetryPolicy::new()).count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Items<I>(pub(super) I);

impl<I, T, E, C, N, S, O, D, B> Retry<Items<I>, T, E, Hooks<C, N, S, O, D, B>>
where
    I: Iterator<Item = Result<T, E>>,
{
    /// Retries each item; see [`RetryIteratorExt::retry_with`].
    ///
    /// ```
    /// # use retry_ext::{RetryIteratorExt, RetryPolicy};
    /// let source = ["1", "2"].into_iter().map(str::parse::<u8>);
    /// let items = source.retry_if(|_| false).retry_with(RetryPolicy::new());
    /// assert_eq!(items.flatten().collect::<Vec<_>>(), [1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn retry_with<P>(self, policy: P) -> RetryItems<I, T, E, P, Hooks<C, N, S, O, D, B>>
    where
        C: Classify<T, E, Failure = E>,
        N: Notify<E>,
        S: Sleep,
        O: Observe,
        D: ComputeDelay<E>,
        B: ChainBudget,
        P: Borrow<RetryPolicy>,
    {
        RetryItems { chain: self, policy, caller: Location::caller(), before_next: Before::Nothing }
    }
}

/// An iterator that retries each item of its source; made by [`RetryIteratorExt::retry_with`].
///
/// Its `size_hint` assumes that every item fails as often as the policy has attempts. The lower bound is 0 if the
/// sleeper can cancel a pause, because that ends the sequence.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use retry_ext::{RetryIteratorExt, RetryPolicy};
///
/// let source = (0..7).map(|_| Err::<u8, _>(Error::from(ErrorKind::WouldBlock)));
/// let items = source.sleep_with(|_| ()).retry_with(RetryPolicy::new());
/// assert_eq!(items.size_hint(), (3, Some(7)));
/// assert_eq!(items.count(), 3); // 3 + 3 + 1 failures
/// ```
#[must_use = "iterators are lazy: nothing is taken from the source before `next`"]
pub struct RetryItems<I, T, E, P, H = Hooks> {
    chain: Retry<Items<I>, T, E, H>,
    policy: P,
    caller: &'static Location<'static>,
    before_next: Before,
}

/// The action before the next item.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// Pauses for this time, because a retry was refused.
    Pause(Duration),
    /// Returns the `None` that the source has returned.
    Ended,
    /// Returns `None` forever, because a pause was cancelled.
    Cancelled,
}

impl<I, T, E, P, C, N, S, O, D, B> Iterator for RetryItems<I, T, E, P, Hooks<C, N, S, O, D, B>>
where
    I: Iterator<Item = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<T, E, Failure = E>,
    N: Notify<E>,
    S: Sleep,
    O: Observe,
    D: ComputeDelay<E>,
    B: ChainBudget,
{
    type Item = Result<T, RetryError<E>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if !matches!(self.before_next, Before::Nothing) && self.pause_or_end() {
            return None;
        }
        let call = Call::new(self.policy.borrow(), self.caller);
        let decision = Decision::started(call.policy);
        let Retry { operation: Items(source), hooks, .. } = &mut self.chain;
        Some(match hooks.classifier.judge(source.next()?, Internal) {
            Ok(value) => {
                decision.succeeded(hooks, call);
                Ok(value)
            }
            Err((failure, judgement)) => {
                let source = Source {
                    items: source,
                    policy: call.policy,
                    before_next: &mut self.before_next,
                };
                hooks.run_retries(source, failure, judgement, decision.start(), &call)
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if matches!(self.before_next, Before::Ended | Before::Cancelled) {
            return (0, Some(0));
        }
        let (least, most) = self.chain.operation.0.size_hint();
        if S::Answer::CAN_CANCEL {
            return (0, most);
        }
        let per_item = usize::try_from(self.policy.borrow().max_attempts()).unwrap_or(usize::MAX);
        (least.div_ceil(per_item), most)
    }
}

impl<I, T, E, P, C, N, S: Sleep, O, D, B> RetryItems<I, T, E, P, Hooks<C, N, S, O, D, B>> {
    /// Pauses or ends the sequence, as the previous call decided. Returns whether the sequence ends.
    #[cold]
    fn pause_or_end(&mut self) -> bool {
        // Changed only after the pause, so that a panic of the sleeper does not lose the pause.
        let (before_next, ends) = match self.before_next {
            Before::Nothing => (Before::Nothing, false),
            Before::Ended => (Before::Nothing, true),
            Before::Cancelled => (Before::Cancelled, true),
            Before::Pause(delay) => {
                let kept = S::Answer::keep((), Internal);
                let answer = self.chain.hooks.sleeper.sleep(delay, Internal);
                match answer.end(kept, Internal) {
                    Ended::Cancelled(()) => (Before::Cancelled, true),
                    Ended::Elapsed | Ended::Woken(()) => (Before::Nothing, false),
                }
            }
        };
        self.before_next = before_next;
        ends
    }
}

/// The source of an iterator's attempts. It holds a failure until the next item, because the source may end.
struct Source<'a, I> {
    items: &'a mut I,
    policy: &'a RetryPolicy,
    before_next: &'a mut Before,
}

impl<I, T, E> AttemptSource<T, E, E> for Source<'_, I>
where
    I: Iterator<Item = Result<T, E>>,
{
    type KeptUntilNext = E;
    type KeptForSleeper = ();

    #[inline]
    fn split(error: E) -> (E, ()) {
        (error, ())
    }

    #[inline]
    fn rejoin(error: E, (): ()) -> E {
        error
    }

    #[inline]
    fn next(&mut self, error: E, _attempt: impl FnOnce() -> Attempt) -> Result<Result<T, E>, E> {
        let Some(item) = self.items.next() else {
            *self.before_next = Before::Ended;
            return Err(error);
        };
        Ok(item)
    }

    /// Sets the pause, so that a caller that takes the next item at once does not turn a refusal into a busy loop.
    #[inline]
    fn stopped(&mut self, stop: Stop) {
        if let Some(delay) = pause_after(stop, self.policy) {
            *self.before_next = Before::Pause(delay);
        }
    }
}

/// Returns the pause after a stop that refused a retry.
pub(super) fn pause_after(stop: Stop, policy: &RetryPolicy) -> Option<Duration> {
    match stop.reason {
        StopReason::DeadlineExceeded | StopReason::BudgetExhausted => stop.next_delay(),
        StopReason::RetryAfterTooLong => {
            Some(policy.pause(policy.max_retry_after().max(policy.backoff.delay(1)), 1))
        }
        _ => None,
    }
}

/// Ends for good if the source is fused.
impl<I, T, E, P, C, N, S, O, D, B> FusedIterator for RetryItems<I, T, E, P, Hooks<C, N, S, O, D, B>>
where
    I: FusedIterator<Item = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<T, E, Failure = E>,
    N: Notify<E>,
    S: Sleep,
    O: Observe,
    D: ComputeDelay<E>,
    B: ChainBudget,
{
}

impl<I, T, E, P, H> fmt::Debug for RetryItems<I, T, E, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryItems").finish_non_exhaustive()
    }
}
