//! The public port: HTTP/1.1, as many connections as the order allows.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::time::Duration;
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::sync::Arc;

use futures::FutureExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Inbound;
use crate::metrics::Refusal;

/// From one request's end, or the connection's start, to the end of the next request's head.
const HEAD: Duration = Duration::from_secs(30);
/// Headers of a request.
const HEADERS: usize = 100;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 << 10;
/// Bytes that a connection may hold of what is read and not yet asked for, and of what is written and not yet taken.
const BUFFER_BYTES: usize = 64 << 10;
/// To tell a connection why it ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// The pause after the system refused to accept: it is out of descriptors, and a loop would only burn the guest's core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are being told that there is no room.
const REFUSALS: usize = 64;
/// What they are told.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 21\r\n\r\ntoo many connections\n";
/// What is told to whoever begins a head and does not end it.
const SLOW_HEAD: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 45\r\n\r\nthe request's headers did not arrive in time\n";

/// The public port, open.
#[derive(Debug)]
pub(crate) struct PublicPort {
    listener: TcpListener,
    inbound: Inbound,
    connections: TaskTracker,
    refusals: TaskTracker,
}

impl PublicPort {
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub(crate) async fn open(address: SocketAddr, inbound: Inbound) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            listener,
            inbound,
            connections: TaskTracker::new(),
            refusals: TaskTracker::new(),
        })
    }

    /// Serves until `stop`, then lets requests in work end: whoever waits for this future bounds them.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => self.admit(stream, &stop),
                Err(error) => {
                    tracing::warn!(%error, "the public port could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.connections.close();
        self.connections.wait().await;
    }

    fn admit(&self, stream: TcpStream, stop: &CancellationToken) {
        let most = self.inbound.orders.borrow().limits.connections;
        if self.connections.len() < most as usize {
            self.connections.spawn(serve(stream, self.inbound.clone(), stop.clone()));
            return;
        }
        self.inbound.metrics.refused(Refusal::Connections);
        if self.refusals.len() < REFUSALS {
            self.refusals.spawn(refuse(stream));
        }
    }
}

async fn serve(stream: TcpStream, inbound: Inbound, stop: CancellationToken) {
    // Answers are small and come in two parts, head and body; the second must not wait for the first's acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    let metrics = inbound.metrics.clone();
    let mut stream = Box::pin(TimeoutStream::new(stream));
    // An answer must be taken as fast as it must be given: whoever asks and does not read would hold a connection for ever.
    let longest = Duration::from_millis(inbound.orders.borrow().limits.request_milliseconds);
    stream.as_mut().set_write_timeout_pinned(Some(longest));
    let inbound = Arc::new(inbound);
    let service = service_fn(move |request| {
        Arc::clone(&inbound).answer_public(request).map(Ok::<_, Infallible>).boxed()
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .half_close(false);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let mut stopping = pin!(stop.cancelled().fuse());
    let served = poll_fn(|context| {
        if stopping.as_mut().poll(context).is_ready() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(context)
    })
    .await;
    let parts = connection.into_parts();
    let refusal = served.err().and_then(|error| {
        tracing::debug!(%error, "a connection of the public port ended early");
        refusal(&error, !parts.read_buf.is_empty())
    });
    let mut stream = parts.io.into_inner();
    let ending = async {
        let Some(refusal) = refusal else { return stream.shutdown().await };
        metrics.refused(refusal);
        end(stream, if refusal == Refusal::HeadTooSlow { SLOW_HEAD } else { &[] }).await
    };
    let _told = timeout(FAREWELL, ending).await;
}

/// What we refused to do on a connection that ended with this error; `None` if it was not us, or nothing was asked.
fn refusal(error: &hyper::Error, has_begun: bool) -> Option<Refusal> {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if error.is_parse_too_large() {
        Some(Refusal::HeadTooLarge)
    } else if error.is_parse() {
        Some(Refusal::HeadMalformed)
    } else if error.is_timeout() {
        // Who has asked for nothing more may hang on that long, and no longer.
        has_begun.then_some(Refusal::HeadTooSlow)
    } else if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        Some(Refusal::ReaderTooSlow)
    } else {
        None
    }
}

async fn refuse(mut stream: TcpStream) {
    let tell = async {
        // Clients take an answer that comes before their request for a fault.
        let mut unread = [0; 1024];
        let _some = stream.read(&mut unread).await?;
        end(stream, NO_ROOM).await
    };
    // Whoever does not even listen to the refusal is cut.
    let _told = timeout(FAREWELL, tell).await;
}

/// Ends a connection so that the other side reads what it was told last: with a request unread, it would be reset.
async fn end(mut stream: impl AsyncRead + AsyncWrite + Unpin, last_words: &[u8]) -> io::Result<()> {
    stream.write_all(last_words).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
