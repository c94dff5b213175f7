//! The plain HTTP port of every program: whatever comes in is bounded, and holds up nobody else.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::cause::causes;

/// What a port bears.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections open at once; probes, a scraper and a node's workers need a few dozen.
    connections: usize,
    /// From a connection's start, or the end of a request, to the end of the next request's head.
    head: Duration,
    /// Bytes of a request's head.
    head_bytes: usize,
}

const LIMITS: Limits =
    Limits { connections: 1024, head: Duration::from_secs(10), head_bytes: 64 * 1024 };

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

/// Serves `router` in plain HTTP until `stop`, then lets requests under way end.
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
    accept(listener, router, LIMITS, stop).await;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
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
                let conversation = converse(stream, router.clone(), limits, stop.clone());
                connections.spawn(async move {
                    conversation.await;
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
    connections.wait().await;
}

async fn converse(stream: TcpStream, router: Router, limits: Limits, stop: CancellationToken) {
    // Small answers must not wait for each other.
    let _best_effort = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .half_close(false);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
