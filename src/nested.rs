//! The guard against reports from within reports.

#[cfg(feature = "std")]
use core::cell::Cell;

#[cfg(feature = "std")]
std::thread_local! {
    static IS_REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a report, unless this thread is within another one. A logger, a subscriber or an observer that retries would
/// otherwise report without end, or wait for a lock that it holds itself.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn unnested(report: impl FnOnce()) {
    /// Ends the report, also when it panics.
    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            IS_REPORTING.set(false);
        }
    }

    if IS_REPORTING.replace(true) {
        return;
    }
    let _end = End;
    report();
}

/// Runs a report. Without `std` there is no thread-local mark, so nested reports run too.
#[cfg(not(feature = "std"))]
#[inline]
pub(crate) fn unnested(report: impl FnOnce()) {
    report();
}
