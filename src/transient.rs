//! The classification of errors: `IsTransient`, and `Verdict` for whole outcomes.

use core::convert::Infallible;
use core::time::Duration;
#[cfg(feature = "std")]
use std::io;
#[cfg(feature = "std")]
use std::rc::Rc;
#[cfg(feature = "std")]
use std::sync::Arc;
#[cfg(feature = "std")]
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, TrySendError};

/// An error that reports whether another attempt may succeed.
///
/// A transient error may pass without any intervention: a connection reset, a timeout, a lock that is held, a
/// server that is overloaded. Every other error is permanent: a wrong password, a missing page, a value that does
/// not parse. When in doubt, return `false`: a retry that cannot help costs time, and costs the other side work.
///
/// ```
/// use std::time::Duration;
/// use retry_ext::IsTransient;
///
/// #[derive(Debug)]
/// enum FetchError {
///     Status { code: u16, retry_after: Option<Duration> },
///     Io(std::io::Error),
/// }
///
/// impl IsTransient for FetchError {
///     fn is_transient(&self) -> bool {
///         match self {
///             Self::Status { code, .. } => matches!(code, 408 | 429 | 502..=504),
///             Self::Io(error) => error.is_transient(),
///         }
///     }
///
///     fn retry_after(&self) -> Option<Duration> {
///         match self {
///             Self::Status { retry_after, .. } => *retry_after,
///             Self::Io(_) => None,
///         }
///     }
/// }
///
/// let busy = FetchError::Status { code: 503, retry_after: Some(Duration::from_secs(30)) };
/// assert!(busy.is_transient());
/// assert!(!FetchError::Io(std::io::ErrorKind::NotFound.into()).is_transient());
/// ```
///
/// The module [`codes`](crate::codes) has tables of transient codes, for HTTP and databases, and parses
/// `Retry-After`.
///
/// With the feature `macros`, `#[derive(IsTransient)]` implements the trait from attributes.
///
/// For an error type that does not implement it, classify the errors at the call with
/// [`retry_if`](crate::RetryExt::retry_if).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be retried: it does not implement `IsTransient`",
    label = "the error type `{Self}` does not implement `IsTransient`",
    note = "if the error type comes from another crate, add `.retry_if(|error| ..)` before `.retry_with(policy)`, or wrap it in a newtype",
    note = "if the error type is yours, implement the trait: `impl retry_ext::IsTransient for {Self} {{ fn is_transient(&self) -> bool {{ .. }} }}`",
    note = "if the error wraps another `Result`, such as that of a timeout, flatten it first: `(async || timeout(limit, fetch()).await?).retry_with(policy)`"
)]
pub trait IsTransient {
    /// Returns whether another attempt may succeed.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use retry_ext::IsTransient;
    ///
    /// assert!(ErrorKind::TimedOut.is_transient());
    /// assert!(!ErrorKind::PermissionDenied.is_transient());
    /// ```
    #[must_use]
    fn is_transient(&self) -> bool;

    /// Returns a server's hint: the shortest time before the next attempt, such as HTTP's `Retry-After` (RFC 9110,
    /// section 10.2.3).
    ///
    /// The wait is then at least this long, and jitter is added above it. A hint above
    /// [`max_retry_after`](crate::RetryPolicy::max_retry_after), which is the delay cap unless set, stops the
    /// retry with [`RetryAfterTooLong`](crate::StopReason::RetryAfterTooLong). The method is called only if the
    /// error is transient and attempts are left.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use retry_ext::IsTransient;
    ///
    /// assert_eq!(ErrorKind::TimedOut.retry_after(), None);
    /// ```
    #[must_use]
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The judgement of one outcome, returned by the closure that is passed to
/// [`classify`](crate::RetryExt::classify).
///
/// | | `Ok(value)` | `Err(error)` |
/// |---|---|---|
/// | `Success` | is returned; a success for budget, log and observer | as `Permanent` |
/// | `Permanent` | is returned as `Ok`; a give-up for the observer, and no budget is fed | ends with a [`RetryError`](crate::RetryError) |
/// | `Transient` | is retried; if the retry gives up, the last `Ok(value)` is returned, and log and observer report the give-up | is retried; ends with a [`RetryError`](crate::RetryError) |
///
/// ```
/// use std::io::Error;
/// use retry_ext::{RetryExt, RetryPolicy, Verdict};
///
/// struct Response { status: u16 }
///
/// // Returns the last response, whatever its status.
/// let mut statuses = [503, 429, 404].into_iter();
/// let response = (|| Ok(Response { status: statuses.next().unwrap_or(200) }))
///     .classify(|outcome: &Result<Response, Error>| match outcome {
///         Ok(response) if matches!(response.status, 429 | 503) => Verdict::Transient,
///         Ok(_) => Verdict::Success,
///         Err(error) => Verdict::of(error),
///     })
/// #   .sleep_with(|_| ())
///     .retry_with(RetryPolicy::new())?;
/// assert_eq!(response.status, 404);
/// # Ok::<(), retry_ext::RetryError<Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "a verdict is returned from the closure given to `classify`"]
pub enum Verdict {
    /// The outcome is good, and is returned.
    Success,
    /// Another attempt cannot help.
    Permanent,
    /// Another attempt may succeed.
    Transient,
    /// Another attempt may succeed, but not before this delay. It is a server's hint, like
    /// [`IsTransient::retry_after`].
    TransientAfter(Duration),
}

impl Verdict {
    /// Returns the error's own verdict, with its hint: [`Transient`](Self::Transient),
    /// [`TransientAfter`](Self::TransientAfter) or [`Permanent`](Self::Permanent).
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use retry_ext::Verdict;
    ///
    /// assert_eq!(Verdict::of(&ErrorKind::ConnectionReset), Verdict::Transient);
    /// assert_eq!(Verdict::of(&ErrorKind::NotFound), Verdict::Permanent);
    /// ```
    pub fn of<E: IsTransient + ?Sized>(error: &E) -> Self {
        if !error.is_transient() {
            return Self::Permanent;
        }
        error.retry_after().map_or(Self::Transient, Self::TransientAfter)
    }

    #[inline]
    pub(crate) const fn is_transient(self) -> bool {
        matches!(self, Self::Transient | Self::TransientAfter(_))
    }

    #[inline]
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TransientAfter(hint) => Some(hint),
            _ => None,
        }
    }
}

/// Classifies the error by its [kind](io::Error::kind); see the table of [`io::ErrorKind`].
///
/// The two errors of a process or system that has run out of file descriptors have no kind. They are transient:
/// `EMFILE` and `ENFILE`, and on Windows `WSAEMFILE`. An accept loop can then continue as soon as a connection is
/// closed.
///
/// A name that does not resolve is permanent, even if the resolver calls the failure temporary: the standard
/// library gives it no kind.
#[cfg(feature = "std")]
impl IsTransient for io::Error {
    fn is_transient(&self) -> bool {
        self.kind().is_transient()
            || self.raw_os_error().is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code))
    }
}

/// POSIX leaves the numbers of `EMFILE` and `ENFILE` open. These are the numbers of Linux, macOS and the BSDs
/// (errno(3)). `WSAEMFILE` is from "Windows Sockets Error Codes".
#[cfg(feature = "std")]
const OUT_OF_DESCRIPTORS: &[i32] = if cfg!(unix) {
    &[24, 23]
} else if cfg!(windows) {
    &[10024]
} else {
    &[]
};

/// | transient | because |
/// |---|---|
/// | `ConnectionRefused`, `ConnectionReset`, `ConnectionAborted`, `NotConnected`, `BrokenPipe` | the peer went away or is not up yet |
/// | `UnexpectedEof` | the peer closed in the middle of an answer (for a truncated file it is permanent: use `retry_if`) |
/// | `TimedOut` | the peer was too slow this time |
/// | `HostUnreachable`, `NetworkUnreachable`, `NetworkDown` | routes come and go |
/// | `Interrupted`, `WouldBlock` | the call itself asks to be made again |
/// | `ResourceBusy`, `ExecutableFileBusy`, `Deadlock` | another process or thread holds it |
/// | `StaleNetworkFileHandle` | the file server was restarted |
///
/// Every other kind is permanent: `NotFound`, `PermissionDenied`, `AlreadyExists`, `AddrInUse`,
/// `AddrNotAvailable`, `InvalidInput`, `InvalidData`, `StorageFull`, `QuotaExceeded`, `Unsupported`,
/// `OutOfMemory`, `Other` and the rest.
///
/// If you know better for one call, classify the error there: `.retry_if(|error| error.kind() ==
/// ErrorKind::AddrInUse)`.
#[cfg(feature = "std")]
impl IsTransient for io::ErrorKind {
    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused
                | Self::ConnectionReset
                | Self::ConnectionAborted
                | Self::NotConnected
                | Self::BrokenPipe
                | Self::UnexpectedEof
                | Self::TimedOut
                | Self::HostUnreachable
                | Self::NetworkUnreachable
                | Self::NetworkDown
                | Self::Interrupted
                | Self::WouldBlock
                | Self::ResourceBusy
                | Self::ExecutableFileBusy
                | Self::Deadlock
                | Self::StaleNetworkFileHandle
        )
    }
}

/// Classifies a lock that another thread holds as transient, and a poisoned lock as permanent.
#[cfg(feature = "std")]
impl<T> IsTransient for std::sync::TryLockError<T> {
    fn is_transient(&self) -> bool {
        match self {
            Self::WouldBlock => true,
            Self::Poisoned(_) => false,
        }
    }
}

/// Classifies a timeout as transient, and a closed channel as permanent.
#[cfg(feature = "std")]
impl IsTransient for RecvTimeoutError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Disconnected => false,
        }
    }
}

/// Classifies an empty channel as transient, and a closed channel as permanent.
#[cfg(feature = "std")]
impl IsTransient for TryRecvError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Disconnected => false,
        }
    }
}

/// Classifies a full channel as transient, and a closed channel as permanent.
#[cfg(feature = "std")]
impl<T> IsTransient for TrySendError<T> {
    fn is_transient(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Disconnected(_) => false,
        }
    }
}

/// Classifies nothing: a value of this type does not exist.
impl IsTransient for Infallible {
    fn is_transient(&self) -> bool {
        match *self {}
    }
}

macro_rules! delegate_to_pointee {
    ($($pointer:ty),*) => {$(
        /// Classifies the error behind the pointer.
        impl<E: IsTransient + ?Sized> IsTransient for $pointer {
            fn is_transient(&self) -> bool {
                (**self).is_transient()
            }

            fn retry_after(&self) -> Option<Duration> {
                (**self).retry_after()
            }
        }
    )*};
}

delegate_to_pointee!(&E);
#[cfg(feature = "std")]
delegate_to_pointee!(Box<E>, Rc<E>, Arc<E>);
