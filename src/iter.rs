//! The iterator driver.

use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::Location;
use std::time::Duration;

use crate::clock::Moment;
use crate::context::{Classify, Progress};
use crate::error::RetryError;
use crate::event::{Log, Notify, Observer, RetryEvent, SleepOutcome};
use crate::policy::RetryPolicy;
use crate::retry::{Retry, Sleep};
use crate::transient::IsTransient;

/// The verb on iterators of results: `.retry_with(policy)`.
///
/// A failed item is a failed attempt: while its error is transient and the policy allows it, the
/// adapter waits and takes **the source's next item in its place**. So it serves sources that make the
/// failed item again when they are asked again, such as
/// [`TcpListener::incoming`](std::net::TcpListener::incoming), a channel that is polled, or a cursor
/// that reads its page again. It is not for `urls.map(fetch)`, which goes on to the next URL; there the
/// verb belongs inside: `urls.map(|url| (|| fetch(url)).retry_with(policy))`.
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
/// * Each item starts afresh: with all attempts, the first delay and a new deadline. A deadline counts
///   from the call of `next`, so the time for which a source waits for an item is in it.
/// * Nothing is swallowed but the errors that were retried, and `on_retry` hears of these. An error
///   that gives up is yielded, and the next call goes on with the next item.
/// * A transient error after which the source ends is yielded, with
///   [`StopReason::SourceEnded`](crate::StopReason::SourceEnded), and then comes `None`.
/// * It is lazy: it takes from its source, and waits, only in `next`.
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
    fn retry_if<P>(self, predicate: P) -> Retry<Items<Self>, T, E, P>
    where
        Self: Sized,
        P: FnMut(&E) -> bool,
    {
        Retry::new(Items(self)).retry_if(predicate)
    }

    /// Hears of each retry before its wait; see [`RetryExt::on_retry`](crate::RetryExt::on_retry).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use retry_ext::{RetryIteratorExt, RetryPolicy};
    ///
    /// let mut heard = 0;
    /// let source = [Err(Error::from(ErrorKind::WouldBlock)), Ok("line")];
    /// let items = source.into_iter().on_retry(|_| heard += 1).sleep_with(|_| ()).retry_with(RetryPolicy::new());
    /// assert_eq!(items.map(Result::unwrap).collect::<Vec<_>>(), ["line"]);
    /// assert_eq!(heard, 1);
    /// ```
    #[inline]
    fn on_retry<N>(self, hook: N) -> Retry<Items<Self>, T, E, (), N>
    where
        Self: Sized,
        N: FnMut(&RetryEvent<'_, E>),
    {
        Retry::new(Items(self)).on_retry(hook)
    }

    /// Waits in your own way; see [`RetryExt::sleep_with`](crate::RetryExt::sleep_with).
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
    fn sleep_with<S, O>(self, sleeper: S) -> Retry<Items<Self>, T, E, (), (), S>
    where
        Self: Sized,
        S: FnMut(Duration) -> O,
        O: Into<SleepOutcome>,
    {
        Retry::new(Items(self)).sleep_with(sleeper)
    }

    /// Lets an observer hear of each retry, success and giving up; see
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
    fn observe<O>(self, observer: O) -> Retry<Items<Self>, T, E, (), (), (), O>
    where
        Self: Sized,
        O: Observer,
    {
        Retry::new(Items(self)).observe(observer)
    }

    /// Retries each item. The policy may be given by value, by reference or in an `Arc`, and is kept
    /// as it was given.
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
}

impl<I, T, E> RetryIteratorExt<T, E> for I where I: Iterator<Item = Result<T, E>> {}

/// Marks an operation of [`Retry`] as an iterator, whose items are its attempts.
///
/// ```
/// use retry_ext::{Items, Retry, RetryIteratorExt, RetryPolicy};
///
/// type Lines = std::vec::IntoIter<Result<u8, std::io::Error>>;
/// let chain: Retry<Items<Lines>, u8, std::io::Error, (), (), fn(std::time::Duration)> =
///     vec![Ok(7)].into_iter().sleep_with(std::thread::sleep as _);
/// assert_eq!(chain.retry_with(RetryPolicy::new()).count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Items<I>(I);

impl<I, T, E, C, N, S, O> Retry<Items<I>, T, E, C, N, S, O>
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
    pub fn retry_with<P>(self, policy: P) -> RetryItems<I, T, E, P, C, N, S, O>
    where
        C: Classify<E>,
        N: Notify<E>,
        S: Sleep,
        O: Observer,
        P: Borrow<RetryPolicy>,
    {
        RetryItems { chain: self, policy, caller: Location::caller(), ended: false }
    }
}

/// The items of an iterator, each retried; made by [`RetryIteratorExt::retry_with`].
///
/// Its `size_hint` counts on the worst: as many failures for each item as the policy has attempts.
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
pub struct RetryItems<I, T, E, P, C = (), N = (), S = (), O = ()> {
    chain: Retry<Items<I>, T, E, C, N, S, O>,
    policy: P,
    caller: &'static Location<'static>,
    /// The source has said `None`, and it has not been passed on yet.
    ended: bool,
}

impl<I, T, E, P, C, N, S, O> Iterator for RetryItems<I, T, E, P, C, N, S, O>
where
    I: Iterator<Item = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<E>,
    N: Notify<E>,
    S: Sleep,
    O: Observer,
{
    type Item = Result<T, RetryError<E>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.ended) {
            return None;
        }
        let log = Log { policy: self.policy.borrow(), caller: self.caller };
        let start = Moment::if_limited(log.policy.max_elapsed());
        let source = &mut self.chain.operation.0;
        Some(match source.next()? {
            Ok(value) => {
                Progress::new(start).succeeded(self.chain.hooks.report(log));
                Ok(value)
            }
            Err(error) => {
                let ended = &mut self.ended;
                let next = || {
                    let item = source.next();
                    *ended = item.is_none();
                    item.ok_or(())
                };
                self.chain.hooks.again(next, error, start, &log)
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended {
            return (0, Some(0));
        }
        let (least, most) = self.chain.operation.0.size_hint();
        let per_item = usize::try_from(self.policy.borrow().max_attempts()).unwrap_or(usize::MAX);
        (least.div_ceil(per_item), most)
    }
}

/// Where its source is.
impl<I, T, E, P, C, N, S, O> FusedIterator for RetryItems<I, T, E, P, C, N, S, O>
where
    I: FusedIterator<Item = Result<T, E>>,
    P: Borrow<RetryPolicy>,
    C: Classify<E>,
    N: Notify<E>,
    S: Sleep,
    O: Observer,
{
}

impl<I, T, E, P, C, N, S, O> fmt::Debug for RetryItems<I, T, E, P, C, N, S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryItems").finish_non_exhaustive()
    }
}
