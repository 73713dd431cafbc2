//! The future of a request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::Service;

use crate::settings::{Decide, PerOperation};
use crate::sleep::Pause;

pin_project! {
    /// The response of a [`RetryService`](crate::RetryService): all attempts of one request, and the waits between them.
    ///
    /// It is `Send` if the service, its future, the request and the settings are. Dropping it drops the running attempt or
    /// the wait, and stops at once.
    ///
    /// # Panics
    ///
    /// Panics if it is polled after it has returned or panicked, and at the first wait outside of a tokio runtime with its timer
    /// enabled, unless [`sleep_with`](crate::RetryLayer::sleep_with) was called.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, X, Req>
    where
        S: Service<Req>,
        X: PerOperation,
    {
        service: S,
        settings: X,
        // The copy for the next attempt; `None` in the last one.
        copy: Option<Req>,
        #[pin]
        state: State<S::Future, Pause<X::Wait>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, P> {
        Calling {
            #[pin]
            attempt: F,
        },
        Waiting {
            #[pin]
            pause: P,
        },
        Preparing,
        Done,
    }
}

impl<S, X, Req> ResponseFuture<S, X, Req>
where
    S: Service<Req>,
    X: Decide<Req, S::Response, S::Error>,
{
    /// Makes the first attempt, by a service that is ready.
    pub(crate) fn new(mut service: S, mut settings: X, request: Req) -> Self {
        let copy = settings.copy_for_next(&request);
        let attempt = service.call(request);
        Self { service, settings, copy, state: State::Calling { attempt } }
    }
}

impl<S, X, Req> Future for ResponseFuture<S, X, Req>
where
    S: Service<Req> + Clone,
    X: Decide<Req, S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Calling { attempt } => {
                    let outcome = ready!(attempt.poll(cx));
                    // If a closure panics, this future has ended.
                    this.state.set(State::Done);
                    let Some(delay) = this.settings.delay_after(&outcome) else {
                        return Poll::Ready(outcome);
                    };
                    // Releases a connection or a permit that the outcome holds. The service is replaced, too: if it was
                    // called while a service below was busy (load shedding), it is still queued for a permit.
                    drop(outcome);
                    *this.service = this.service.clone();
                    this.state.set(State::Waiting { pause: this.settings.pause(delay) });
                }
                StateProj::Waiting { pause } => {
                    ready!(pause.poll(cx));
                    this.state.set(State::Preparing);
                }
                StateProj::Preparing => {
                    let is_ready = ready!(this.service.poll_ready(cx));
                    this.state.set(State::Done);
                    if let Err(error) = is_ready {
                        return Poll::Ready(Err(this.settings.cancelled(error)));
                    }
                    let request =
                        this.copy.take().expect("a retry is granted only if there is a copy");
                    *this.copy = this.settings.copy_for_next(&request);
                    let attempt = this.service.call(request);
                    this.state.set(State::Calling { attempt });
                }
                StateProj::Done => panic!("`ResponseFuture` polled after completion"),
            }
        }
    }
}

impl<S, X, Req> fmt::Debug for ResponseFuture<S, X, Req>
where
    S: Service<Req>,
    X: PerOperation + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } => "calling",
            State::Waiting { .. } => "waiting",
            State::Preparing => "preparing",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &format_args!("{state}"))
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
