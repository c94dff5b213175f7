//! The TLS server under the calls: every connection has limits, none can hold up another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use coreward_telemetry::{Limits, accept};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Each pod keeps one or two connections, and asks within a minute and a half.
const LIMITS: Limits = Limits {
    connections: 16_384,
    head: Duration::from_secs(90),
    head_bytes: 64 * 1024,
    stalled: Duration::from_secs(30),
    drain: Duration::from_secs(2),
};
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

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
    let greet = |stream| {
        let config = tls.borrow().clone();
        async move {
            let handshake = TlsAcceptor::from(config?).accept(stream);
            timeout(HANDSHAKE, handshake).await.ok()?.ok()
        }
    };
    accept(listener, router, LIMITS, greet, stop).await;
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
