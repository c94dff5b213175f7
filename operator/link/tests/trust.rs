//! Whom the line trusts: the mounted certificate's authority, read again when it changes, and nobody else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use axum::serve::Listener;
use coreward_link::{Link, LinkConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// An operator that has nothing to say, on a loopback port with a certificate of `authority`.
async fn operator(authority: &Authority) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
    let router =
        Router::new().route("/v1/assignment", get(async || axum::http::StatusCode::NO_CONTENT));
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn only_the_mounted_authority_is_trusted_and_a_new_one_is_taken_up() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let directory = tempfile::tempdir().unwrap();
    let (ca_file, token_file) = (directory.path().join("ca.crt"), directory.path().join("token"));
    let (ours, theirs) = (authority(), authority());
    fs::write(&token_file, "token").unwrap();
    fs::write(&ca_file, theirs.pem()).unwrap();
    let url = format!("https://localhost:{}", operator(&ours).await.port());
    let link = Link::new(LinkConfig { url, ca_file: ca_file.clone(), token_file }).unwrap();

    let error = link.poll(None).await.unwrap_err();
    assert!(error.retry().is_some(), "the right certificate may be mounted any moment");
    fs::write(&ca_file, ours.pem()).unwrap();
    assert_eq!(link.poll(None).await.unwrap(), None);
}
