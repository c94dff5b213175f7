//! The TLS server under the calls: every connection has limits, none can hold up another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections open at once; each pod keeps one or two.
const CONNECTIONS: usize = 16_384;
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for a request's head, and between two requests.
const IDLE: Duration = Duration::from_secs(90);
/// After a failure to accept: descriptors may be short.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections may finish their request for this long when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the endpoint is not served.
#[derive(Debug, thiserror::Error)]
#[error("listen for pods on {address}")]
pub struct Error {
    address: SocketAddr,
    source: std::io::Error,
}

/// Takes the address of the endpoint.
///
/// # Errors
///
/// [`Error`] if it is taken.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error { address, source })
}

/// Serves until stopped; before there is a certificate, connections are closed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            // Never closed.
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let Some((accepted, permit)) = stop.run_until_cancelled(accepted).await else { break };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(config) = tls.borrow().clone() else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            converse(stream, config, router, stop).await;
            drop(permit);
        });
    }
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::debug!("connections of pods were cut");
    }
}

async fn converse(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    router: Router,
    stop: CancellationToken,
) {
    // Small answers must not wait for each other.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await else {
        return;
    };
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(64 * 1024);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %coreward_telemetry::causes(&error), "a connection of a pod ended early");
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
