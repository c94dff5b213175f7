//! The proxy before the API server: the operator's TLS passes through it, but where the server itself is to say no.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::Api;
use crate::{
    bed::Addresses,
    world::{Error, Result},
};

/// Where it listens.
pub(super) const PORT: u16 = 16443;
const BUFFER: usize = 16 * 1024;

type Faults = BTreeMap<Option<Ipv4Addr>, Api>;

/// The proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    addresses: Addresses,
    faults: watch::Receiver<Faults>,
    /// Speaks in the API server's name.
    voice: TlsAcceptor,
}

impl Proxy {
    /// A proxy that has the API server's certificate from the bed's folder of certificates.
    ///
    /// # Errors
    /// [`Error::Finding`] where the certificate does not read.
    pub(super) fn new(
        addresses: Addresses,
        certificates: &Path,
        faults: watch::Receiver<Faults>,
    ) -> Result<Self> {
        // Whoever came first has chosen; there is one provider per process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let voice = voice(certificates)
            .map_err(|error| Error::Finding(format!("the API server's certificate: {error}")))?;
        Ok(Self { addresses, faults, voice })
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.addresses.control()
    }

    /// Serves until dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, from)) = listener.accept().await else { continue };
            connections.spawn(self.clone().lead(stream, from));
            while connections.try_join_next().is_some() {}
        }
    }

    /// Leads one connection until an end closes it, or until another behaviour is wanted.
    async fn lead(self, client: TcpStream, from: SocketAddr) {
        let mut faults = self.faults.clone();
        let manner = manner(&faults.borrow_and_update(), from);
        let leading = async {
            match manner {
                Manner::Pass(delay) => self.pass(client, delay).await,
                Manner::Refuse(status) => self.refuse(client, status).await,
            }
        };
        tokio::select! {
            () = leading => {}
            _ = faults.wait_for(|faults| self::manner(faults, from) != manner) => {}
        }
    }

    async fn pass(&self, client: TcpStream, delay: Duration) {
        let Ok(server) = TcpStream::connect((self.address(), 6443)).await else { return };
        // Small packets of a handshake would wait for one another otherwise.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(copy(from_client, to_server, delay), copy(from_server, to_client, delay));
    }

    async fn refuse(&self, client: TcpStream, status: StatusCode) {
        let Ok(stream) = self.voice.accept(client).await else { return };
        let service =
            service_fn(
                move |_: Request<Incoming>| async move { Ok::<_, Infallible>(refusal(status)) },
            );
        // How a connection ends is the client's matter.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// How a connection is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// To the API server, each piece this much later.
    Pass(Duration),
    /// Nowhere: every request gets this status.
    Refuse(StatusCode),
}

fn manner(faults: &Faults, from: SocketAddr) -> Manner {
    let own = match from {
        SocketAddr::V4(from) => faults.get(&Some(*from.ip())),
        SocketAddr::V6(_) => None,
    };
    match own.or_else(|| faults.get(&None)) {
        Some(Api::Slow(delay)) => Manner::Pass(*delay),
        Some(Api::TooManyRequests) => Manner::Refuse(StatusCode::TOO_MANY_REQUESTS),
        Some(Api::Unavailable) => Manner::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        // The packet filter sees to these.
        Some(Api::Well | Api::Away | Api::Cut) | None => Manner::Pass(Duration::ZERO),
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count) = from.read(&mut buffer).await {
        tokio::time::sleep(delay).await;
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown().await;
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let reason = if status == StatusCode::TOO_MANY_REQUESTS {
        "TooManyRequests"
    } else {
        "ServiceUnavailable"
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "the server is currently unable to handle the request",
        "reason": reason, "code": status.as_u16(),
    });
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
    response
}

fn voice(certificates: &Path) -> std::result::Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let file = |name: &str| certificates.join(name);
    let chain = CertificateDer::pem_file_iter(file("api-server.crt"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(file("api-server.key"))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_own_fault_comes_before_the_one_of_all() {
        let pod = Ipv4Addr::new(10, 128, 3, 7);
        let faults = Faults::from([
            (None, Api::Unavailable),
            (Some(pod), Api::Slow(Duration::from_secs(1))),
        ]);
        let of = |address: Ipv4Addr| manner(&faults, SocketAddr::from((address, 40_000)));
        assert_eq!(of(pod), Manner::Pass(Duration::from_secs(1)));
        let other = Manner::Refuse(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of(Ipv4Addr::new(10, 128, 3, 8)), other);
    }
}
