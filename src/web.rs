//! The clock, the entropy and the timer of a browser; feature `web` on `wasm32-unknown-unknown`.

#[cfg(feature = "async")]
use core::future::Future;
#[cfg(feature = "async")]
use core::pin::Pin;
#[cfg(feature = "async")]
use core::task::{Context, Poll, ready};
#[cfg(feature = "async")]
use core::time::Duration;

#[cfg(feature = "async")]
use gloo_timers::future::TimeoutFuture;
#[cfg(feature = "http")]
use web_time::SystemTime;

/// Returns the nanoseconds since 1970, by `Date.now`.
#[cfg(feature = "http")]
pub(crate) fn nanos_since_epoch() -> Option<i128> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i128::try_from(since.as_nanos()).ok()
}

/// Returns the bits of `Math.random`, which browsers seed anew for each page.
pub(crate) fn random() -> u64 {
    js_sys::Math::random().to_bits()
}

/// The longest time that `setTimeout` takes; it fires at once for a longer one.
#[cfg(feature = "async")]
const LONGEST: u32 = i32::MAX.unsigned_abs();

/// The default wait in a browser: `setTimeout`, in whole milliseconds, rounded up.
///
/// `setTimeout` fires at once if the time is longer than 24.8 days, so a longer wait is made of several timers. Dropping the
/// wait clears the timer.
#[cfg(feature = "async")]
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited or polled"]
pub struct WebSleep {
    timer: TimeoutFuture,
    /// The milliseconds that follow after the running timer.
    rest: u64,
}

#[cfg(feature = "async")]
impl WebSleep {
    fn of_millis(millis: u64) -> Self {
        let first = u32::try_from(millis).map_or(LONGEST, |millis| millis.min(LONGEST));
        Self { timer: TimeoutFuture::new(first), rest: millis - u64::from(first) }
    }
}

#[cfg(feature = "async")]
pub(crate) fn sleep(delay: Duration) -> WebSleep {
    let millis = delay.as_nanos().div_ceil(1_000_000);
    WebSleep::of_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(feature = "async")]
impl Future for WebSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            if self.rest == 0 {
                return Poll::Ready(());
            }
            *self = Self::of_millis(self.rest);
        }
    }
}
