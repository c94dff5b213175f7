//! Bodies of requests and answers, between hyper, wasmtime and the overlay.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

/// A body as the component's host has it.
pub(crate) type Body = WasiBody;

/// A body of these bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that arrives over a connection.
pub(crate) fn incoming(body: Incoming) -> Body {
    body.map_err(Error::from).boxed_unsync()
}

/// An answer of the host itself: one line of text.
pub(crate) fn answer(status: StatusCode, line: &str) -> Response<Body> {
    let mut answer = Response::new(full(format!("{line}\n")));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A body as the overlay takes it, which must be `Sync`.
pub(crate) fn for_overlay(body: Body) -> coreward_overlay::Body {
    let hint = body.size_hint();
    Shared { body: Mutex::new(body), hint }.map_err(Into::into).boxed()
}

/// A body behind a lock that is never contended: only whoever polls it gets to it.
struct Shared {
    body: Mutex<Body>,
    hint: SizeHint,
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let body = this.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(&mut *body).poll_frame(context);
        this.hint = body.size_hint();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.hint.exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::{Body as _, Frame};
    use wasmtime_wasi_http::Error;

    use super::{for_overlay, full};

    #[tokio::test]
    async fn a_body_of_many_frames_goes_over_the_overlay_whole() {
        let frames =
            (0..100_u8).map(|byte| Ok::<_, Error>(Frame::data(Bytes::from(vec![byte; 1000]))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let sent = for_overlay(body).collect().await.unwrap().to_bytes();
        assert_eq!((sent.len(), sent[99_999]), (100_000, 99));
    }

    #[tokio::test]
    async fn a_body_that_fails_says_so() {
        let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(Error::HttpRequestDenied)];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        assert!(for_overlay(body).collect().await.is_err());
    }

    #[test]
    fn an_empty_body_is_known_to_be_empty_before_it_is_read() {
        assert!(for_overlay(full("")).is_end_stream());
        assert!(!for_overlay(full("x")).is_end_stream());
    }
}
