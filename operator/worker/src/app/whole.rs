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

/// Whether a component was stopped before it returned: it trapped, or its time or memory was over.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    /// Says so when it is dropped before [`Running::returned`]. Keep it so that it goes before what the component holds.
    pub(super) fn unless_it_returns(&self) -> Running {
        Running(Some(self.clone()))
    }

    /// The body, with an error where it ends because the component was stopped: by itself its host lets it end well.
    /// What the component has not written by `deadline` is not waited for.
    pub(super) fn guard(self, body: Body, deadline: Instant) -> Body {
        Guarded { body, stopped: self, late: None, deadline }.boxed_unsync()
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

struct Guarded {
    body: Body,
    stopped: Stopped,
    deadline: Instant,
    /// Set once the body is waited for: most never are.
    late: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) if self.stopped.0.load(Ordering::Acquire) => {
                Poll::Ready(Some(Err(Error::HttpResponseIncomplete)))
            }
            Poll::Pending => {
                let deadline = self.deadline;
                let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                late.as_mut().poll(context).map(|()| Some(Err(Error::HttpResponseTimeout)))
            }
            polled @ Poll::Ready(_) => polled,
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

    use super::*;
    use crate::body::full;

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn a_body_is_whole_only_if_its_component_returned() {
        let stopped = Stopped::default();
        stopped.unless_it_returns().returned();
        let body = stopped.clone().guard(full("all"), in_a_minute());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "all");
        drop(stopped.unless_it_returns());
        assert!(stopped.guard(full("half"), in_a_minute()).collect().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_its_component_never_ends_is_cut() {
        let never = StreamBody::new(futures::stream::pending()).boxed_unsync();
        let body = Stopped::default().guard(never, in_a_minute());
        assert!(matches!(body.collect().await, Err(Error::HttpResponseTimeout)));
    }
}
