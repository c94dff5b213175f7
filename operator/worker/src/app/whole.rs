//! The body of an answer, which must not look whole when its component was stopped in the middle of it.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

use crate::body::Body;
use crate::metrics::{Cut, Metrics};

/// Whether a component was stopped before it returned: it trapped, or its time or memory was over.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    /// Says so when it is dropped before [`Running::returned`]. Keep it so that it goes before what the component holds.
    pub(super) fn unless_it_returns(&self) -> Running {
        Running(Some(self.clone()))
    }

    /// The body, with an error where it ends because the component was stopped: by itself its host lets it end well. It
    /// ends in an error where it passes its bounds, too.
    pub(super) fn guard(self, body: Body, bounds: Bounds) -> Body {
        Guarded { body, stopped: self, bounds, late: None, is_sent: false }.boxed_unsync()
    }
}

/// A component at work.
#[derive(Debug)]
pub(super) struct Running(Option<Stopped>);

impl Running {
    /// The component returned by itself.
    pub(super) fn returned(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stopped) = &self.0 {
            stopped.0.store(true, Ordering::Release);
        }
    }
}

/// What the body of an answer may come to.
#[derive(Debug)]
pub(super) struct Bounds {
    /// What is not written by then is not waited for.
    pub(super) deadline: Instant,
    /// Bytes.
    pub(super) most: u64,
    pub(super) metrics: Metrics,
}

struct Guarded {
    body: Body,
    stopped: Stopped,
    bounds: Bounds,
    /// Set once the body is waited for: most never are.
    late: Option<Pin<Box<Sleep>>>,
    /// Set once the body ended too early, and what is written of it had its turn to be sent.
    is_sent: bool,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) if self.stopped.0.load(Ordering::Acquire) && !self.is_sent => {
                // An error closes the connection, and with it goes what is not sent yet: even the head.
                self.is_sent = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) if self.is_sent => {
                self.bounds.metrics.answer_cut(Cut::Stopped);
                Poll::Ready(Some(Err(Error::HttpResponseIncomplete)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(left) = self.bounds.most.checked_sub(bytes) else {
                    self.bounds.metrics.answer_cut(Cut::TooLarge);
                    return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
                };
                self.bounds.most = left;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending => {
                let deadline = self.bounds.deadline;
                let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                late.as_mut().poll(context).map(|()| {
                    self.bounds.metrics.answer_cut(Cut::Late);
                    Some(Err(Error::HttpResponseTimeout))
                })
            }
            polled @ Poll::Ready(Some(Err(_)) | None) => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use http_body_util::StreamBody;
    use prometheus::Registry;

    use super::*;
    use crate::body::full;

    fn bounds() -> Bounds {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        Bounds { deadline: Instant::now() + Duration::from_mins(1), most: 4, metrics }
    }

    #[tokio::test]
    async fn a_body_is_whole_only_if_its_component_returned() {
        let stopped = Stopped::default();
        stopped.unless_it_returns().returned();
        let body = stopped.clone().guard(full("all"), bounds());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "all");
        drop(stopped.unless_it_returns());
        assert!(stopped.guard(full("half"), bounds()).collect().await.is_err());
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_cut() {
        let body = Stopped::default().guard(full("more than four bytes"), bounds());
        assert!(matches!(body.collect().await, Err(Error::HttpResponseBodySize(None))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_its_component_never_ends_is_cut() {
        let never = StreamBody::new(futures::stream::pending()).boxed_unsync();
        let body = Stopped::default().guard(never, bounds());
        assert!(matches!(body.collect().await, Err(Error::HttpResponseTimeout)));
    }
}
