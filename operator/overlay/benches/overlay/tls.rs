//! TLS 1.3 over TCP, by rustls.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Side, server};

/// Serves until it is killed; says its address and its certificate in hex.
pub(crate) async fn serve() {
    let made = rcgen::generate_simple_self_signed(["bench".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{} {}", listener.local_addr().unwrap(), hex::encode(made.cert.der()));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        tokio::spawn(server::answer(stream));
    }
}

/// A connection to such a server.
pub(crate) struct Tls(TlsStream<TcpStream>);

impl Tls {
    pub(crate) async fn connect(said: &str) -> Self {
        let (address, certificate) = said.split_once(' ').unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(hex::decode(certificate).unwrap())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("bench").unwrap();
        Self(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
    }
}

impl Side for Tls {
    async fn download(&mut self, bytes: u64) -> io::Result<()> {
        server::download(&mut self.0, bytes).await
    }

    async fn round_trip(&mut self) -> io::Result<()> {
        server::round_trip(&mut self.0).await
    }
}
