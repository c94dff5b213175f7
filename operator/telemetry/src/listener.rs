//! HTTP ports: whatever comes in is bounded, and holds up nobody else.

use core::future::{Future, ready};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::cause::causes;

/// What a port bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// From a connection's start, or the end of a request, to the end of the next request's head.
    pub head: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Without a byte taken of an answer for this long, its reader is cut off.
    pub stalled: Duration,
    /// Requests under way may end within this, when the port is closed.
    pub drain: Duration,
}

/// Of every program's plain port: probes, a scraper and a node's workers need a few dozen connections.
const PLAIN: Limits = Limits {
    connections: 1024,
    head: Duration::from_secs(10),
    head_bytes: 64 * 1024,
    stalled: Duration::from_secs(30),
    drain: Duration::from_secs(10),
};

/// The pause after the system refused to accept: it is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a listener did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had: taken, or not of this host.
    #[error("listen on {address}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Serves `router` in plain HTTP until `stop`, then lets requests under way end, within ten seconds.
///
/// # Errors
///
/// [`ServeError`] if the address cannot be had.
pub async fn serve(
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
    info!(listen.address = %address, "listens on {address}");
    accept(listener, router, PLAIN, |stream| ready(Some(stream)), stop).await;
    Ok(())
}

/// Speaks HTTP with everyone whom `greet` makes a stream of, until `stop`; whom it makes none of is hung up on. It bounds
/// its own time.
pub async fn accept<Greeted, Stream>(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    greet: impl Fn(TcpStream) -> Greeted,
    stop: CancellationToken,
) where
    Greeted: Future<Output = Option<Stream>> + Send + 'static,
    Stream: AsyncRead + AsyncWrite + Send + 'static,
{
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async {
            // Never closed. Who finds no room waits in the system's queue, where it costs us nothing.
            let place = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, place)
        };
        let Some((accepted, place)) = stop.run_until_cancelled(next).await else { break };
        match accepted {
            Ok((stream, _)) => {
                // Small answers must not wait for each other.
                let _best_effort = stream.set_nodelay(true);
                let greeted = greet(stream);
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    // On the heap: what greeting takes must not be kept for as long as the conversation lasts.
                    if let Some(stream) = Box::pin(greeted).await {
                        Box::pin(converse(stream, router, limits, stop)).await;
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    connections.close();
    if timeout(limits.drain, connections.wait()).await.is_err() {
        debug!("connections were cut");
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stalled));
    let stream = TokioIo::new(Box::pin(stream));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .half_close(false);
    let connection = http.serve_connection(stream, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = %causes(&error), "a connection ended early");
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
