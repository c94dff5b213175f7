//! The public port: HTTP/1.1, as many connections as the order allows.

use core::net::SocketAddr;
use core::time::Duration;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Inbound;

/// From one request's end, or the connection's start, to the end of the next request's head.
const HEAD: Duration = Duration::from_secs(30);
/// An answer that the other side does not take for this long ends the connection.
const UNREAD_MILLISECONDS: u32 = 30_000;
/// To tell a connection that there is no room for it.
const REFUSE: Duration = Duration::from_secs(1);
/// The pause after the system refused to accept: it is out of descriptors, and a loop would only burn the guest's core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are being told that there is no room.
const REFUSALS: usize = 64;
/// What they are told.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

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
        } else if self.refusals.len() < REFUSALS {
            self.refusals.spawn(refuse(stream));
        }
    }
}

async fn serve(stream: TcpStream, inbound: Inbound, stop: CancellationToken) {
    // Answers are small and come in two parts, head and body; the second must not wait for the first's acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    // Whoever asks and does not read would hold a connection for ever.
    let _best_effort = set_tcp_user_timeout(&stream, UNREAD_MILLISECONDS);
    let inbound = Arc::new(inbound);
    let service = service_fn(move |request| {
        let answer = Inbound::clone(&inbound).answer_public(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).half_close(false);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the public port ended early");
    }
}

async fn refuse(mut stream: TcpStream) {
    let tell = async {
        // Clients take an answer that comes before their request for a fault.
        let mut unread = [0; 1024];
        let _some = stream.read(&mut unread).await?;
        stream.write_all(NO_ROOM).await?;
        stream.shutdown().await?;
        // Ended with a request unread, the connection would be reset, and the answer lost.
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whoever does not even listen to the refusal is cut.
    let _told = timeout(REFUSE, tell).await;
}
