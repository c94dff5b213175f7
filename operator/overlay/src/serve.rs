//! Requests that members send to us.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use libp2p::Stream;

use crate::io::Io;
use crate::{Body, Key};

/// How long a kept stream may take to send the head of its next request.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_mins(1);
/// The same for a stream that is to be refused.
const REFUSED_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read ahead of a request or an answer, and the longest head.
pub(crate) const READ_AHEAD: usize = 64 * 1024;

/// What the overlay refused, for a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A connection, before its handshake: its address, or all that are no member's, came too fast.
    Rate,
    /// A handshake, cut so that a newer one had room.
    Displaced,
    /// A handshake that failed or took too long.
    Handshake,
    /// A connection whose proven key is not on the list.
    Unlisted,
    /// A stream, told that there is no room.
    Busy,
    /// A stream, reset since there was not even room to tell it so.
    Reset,
}

/// Answers a member's request. `caller` is the key that the connection proved, never what a header says.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; called once per request, many at a time.
    fn handle(&self, caller: Key, request: Request<Incoming>)
    -> BoxFuture<'static, Response<Body>>;

    /// Counts what the overlay refused by itself.
    fn refused(&self, _why: Refusal) {}
}

/// A text body.
pub(crate) fn text(message: &'static str) -> Body {
    Full::new(Bytes::from_static(message.as_bytes()))
        .map_err(|never: Infallible| match never {})
        .boxed()
}

/// Serves one stream until the member closes it.
pub(crate) async fn serve(stream: Stream, caller: Key, handler: Arc<dyn Handler>) {
    let service = service_fn(move |request| {
        let answer = handler.handle(caller, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        // go-libp2p and js-libp2p end their side after the request, and wait for the answer.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_AHEAD)
        .serve_connection(Io::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a member's stream ended in the middle of a request");
    }
}

/// Answers the first request of a stream with 503 and ends it: there is no room for one more.
pub(crate) async fn refuse(stream: Stream) {
    let service = service_fn(|_: Request<Incoming>| async {
        let mut answer = Response::new(text("too many streams; try again later\n"));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, Infallible>(answer)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(REFUSED_HEADER_TIMEOUT)
        .max_buf_size(READ_AHEAD)
        .serve_connection(Io::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a refused stream ended early");
    }
}
