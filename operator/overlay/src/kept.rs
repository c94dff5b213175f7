//! Streams of requests to one member, kept for the next ones.

use std::future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use libp2p::Stream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Body;
use crate::io::Io;
use crate::member::STREAMS_PER_MEMBER;
use crate::serve::{HEADER_TIMEOUT, READ_AHEAD};

/// A member's streams.
pub(crate) struct Pool {
    pub(crate) room: Arc<Semaphore>,
    /// The one that was used last is at the end. No more than there is room for.
    idle: Vec<(Instant, Kept)>,
    /// Ends its streams when the member is removed.
    pub(crate) cut: CancellationToken,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let room = Arc::new(Semaphore::new(STREAMS_PER_MEMBER));
        Self { room, idle: Vec::new(), cut: CancellationToken::new() }
    }

    /// The kept stream that was used last.
    pub(crate) fn take(&mut self) -> Option<Kept> {
        self.idle.pop().map(|(_, stream)| stream)
    }

    /// Keeps a stream for the next request; what the member has given up by now goes.
    pub(crate) fn put_back(&mut self, stream: Kept) {
        let now = Instant::now();
        let given_up = self.idle.partition_point(|(since, _)| now - *since > HEADER_TIMEOUT);
        self.idle.drain(..given_up);
        self.idle.push((now, stream));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

/// A stream with HTTP on it. It moves only while somebody waits for it: small answers, which are most, need no task of
/// their own.
pub(crate) struct Kept {
    sender: SendRequest<Body>,
    /// None once it has ended.
    connection: Option<Connection<Io, Body>>,
}

impl Kept {
    pub(crate) async fn new(stream: Stream) -> Result<Self, hyper::Error> {
        let http = Builder::new().max_buf_size(READ_AHEAD).handshake(Io::new(stream)).await;
        let (sender, connection) = http?;
        Ok(Self { sender, connection: Some(connection) })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// With the request, if it was not sent.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Body>,
        cut: &CancellationToken,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let mut cut = pin!(cut.cancelled());
        future::poll_fn(|context| {
            poll_connection(&mut self.connection, context);
            if cut.as_mut().poll(context).is_ready() {
                self.connection = None;
            }
            // A connection that ended has told it so.
            answer.as_mut().poll(context)
        })
        .await
    }

    /// Whether the last answer was read to its end.
    pub(crate) fn is_idle(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Moves bytes until the answer was read to its end; false if the stream ended first.
    pub(crate) async fn drive(&mut self, cut: &CancellationToken) -> bool {
        let idle = future::poll_fn(|context| {
            poll_connection(&mut self.connection, context);
            if self.connection.is_none() {
                return Poll::Ready(false);
            }
            self.sender.poll_ready(context).map(|ready| ready.is_ok())
        });
        cut.run_until_cancelled(idle).await.unwrap_or(false)
    }
}

fn poll_connection(connection: &mut Option<Connection<Io, Body>>, context: &mut Context<'_>) {
    let Some(Poll::Ready(ended)) = connection.as_mut().map(|it| it.poll_unpin(context)) else {
        return;
    };
    *connection = None;
    if let Err(error) = ended {
        tracing::debug!(%error, "a stream to a member ended");
    }
}
