//! Requests of a component to hosts outside its subnet.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use coreward_overlay::internet::{is_of_host_or_link, is_public};
use coreward_wire::Egress;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wasmtime_wasi_http::{Error, RequestOptions};

use super::network::Network;
use crate::body::{self, Body};

/// To look a name up, to connect, and to agree on keys: each.
const CONNECT: Duration = Duration::from_secs(10);
/// To the head of the answer.
const FIRST_BYTE: Duration = Duration::from_mins(1);

/// What keeps a connection going while its answer is read; dropping it closes the connection.
pub(crate) type Connection = Option<AbortOnDropHandle<()>>;

/// A client for the outside.
#[derive(Clone)]
pub(crate) struct Outside {
    tls: TlsConnector,
    tasks: TaskTracker,
    network: Arc<dyn Network>,
}

impl core::fmt::Debug for Outside {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// Which addresses a name may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// A name that was allowed by itself: all but this host and its link. It may be a service of the same cluster.
    Named,
    /// The public internet only.
    Public,
}

impl Outside {
    /// Trusts the certificate authorities that browsers trust.
    pub(crate) fn new(tasks: TaskTracker, network: Arc<dyn Network>) -> Self {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        let config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), tasks, network }
    }

    /// Sends a request to the host in its URI, if `rule` allows it. One connection for one request.
    pub(crate) async fn send(
        &self,
        rule: &Egress,
        request: Request<Body>,
        options: &RequestOptions,
    ) -> Result<(Response<Body>, Connection), Error> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
        let reach = allowed(rule, host).ok_or(Error::HttpRequestDenied)?;
        let secure = uri.scheme() != Some(&Scheme::HTTP);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let connect = options.connect_timeout.unwrap_or(CONNECT).min(CONNECT);
        let addresses =
            timeout(connect, self.resolve(host, port)).await.map_err(|_| Error::DnsTimeout)??;
        let stream = timeout(connect, self.dial(addresses, reach))
            .await
            .map_err(|_| Error::ConnectionTimeout)??;
        let (sender, connection) = if secure {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|_| Error::HttpRequestUriInvalid)?;
            let stream = timeout(connect, self.tls.connect(name, stream))
                .await
                .map_err(|_| Error::ConnectionTimeout)?;
            self.open(stream.map_err(Error::Tls)?).await?
        } else {
            self.open(stream).await?
        };
        let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE);
        let answer = timeout(first_byte, exchange(sender, request))
            .await
            .map_err(|_| Error::ConnectionReadTimeout)??;
        Ok((answer, Some(connection)))
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let unknown = |error: std::io::Error| Error::DnsError {
            rcode: Some(error.to_string()),
            info_code: None,
        };
        // Brackets belong to the URI, not to the address.
        let host = host.trim_matches(['[', ']']).to_owned();
        self.network.lookup(host, port).await.map_err(unknown)
    }

    /// Connects to the first address that may be reached. The judged address is the one dialled: a name that is looked up
    /// again later cannot lead elsewhere.
    async fn dial(&self, addresses: Vec<SocketAddr>, reach: Reach) -> Result<TcpStream, Error> {
        let may_reach = |address: &SocketAddr| match reach {
            Reach::Named => !is_of_host_or_link(address.ip()),
            Reach::Public => is_public(address.ip()),
        };
        let mut failure = if addresses.is_empty() {
            Error::DestinationNotFound
        } else {
            Error::DestinationIpProhibited
        };
        for address in addresses.into_iter().filter(may_reach) {
            match self.network.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Error::Connect(error),
            }
        }
        Err(failure)
    }

    async fn open<S>(&self, stream: S) -> Result<(SendRequest<Body>, AbortOnDropHandle<()>), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driven = self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the outside ended early");
            }
        });
        Ok((sender, AbortOnDropHandle::new(driven)))
    }
}

async fn exchange(
    mut sender: SendRequest<Body>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let path =
        request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(sender.send_request(request).await?.map(body::incoming))
}

/// Whether a rule lets a component reach a host, and how far; `None` if not.
fn allowed(rule: &Egress, host: &str) -> Option<Reach> {
    match rule {
        Egress::None => None,
        Egress::AllowList { hosts } => {
            hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)).then_some(Reach::Named)
        }
        Egress::Internet => Some(Reach::Public),
    }
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
