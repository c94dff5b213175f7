use axum::routing::get;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::pki::Authority;

/// Longest wait for anything; more than a handshake may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The endpoint on a port of its own, for as long as the test's runtime lives.
struct Port {
    address: SocketAddr,
    connector: TlsConnector,
    _tls: watch::Sender<Option<Arc<ServerConfig>>>,
}

impl Port {
    async fn open() -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = Authority::make().unwrap();
        let (tls, certificates) =
            watch::channel(Some(authority.serving(&["localhost".to_owned()]).unwrap()));
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "ok\n" }));
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(serve(listener, router, certificates, CancellationToken::new()));
        let mut roots = RootCertStore::empty();
        let pem = &authority.material().certificate;
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { address, connector: TlsConnector::from(Arc::new(config)), _tls: tls }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        timeout(PATIENCE, self.connector.connect(name, self.tcp().await)).await.unwrap().unwrap()
    }

    /// A proper request is answered.
    async fn answers(&self) -> bool {
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        say(self.tls().await, request).await.starts_with(b"HTTP/1.1 200")
    }
}

/// What the other side says to these bytes, until it closes the connection.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    // It may hang up in the middle of it.
    let _sent = stream.write_all(bytes).await;
    let _flushed = stream.flush().await;
    let mut said = Vec::new();
    let heard = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _reset_or_end = heard.expect("the endpoint closes the connection");
    said
}

/// Bytes that look like noise, the same for the same seed; never none.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = usize::try_from(next() % 4096).unwrap() + 16;
    (0..length).map(|_| next().to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn what_is_no_handshake_is_closed_and_harms_nobody() {
    let port = Port::open().await;
    let mut silent = Vec::new();
    for seed in 0..64 {
        silent.push(port.tcp().await);
        say(port.tcp().await, &noise(seed)).await;
    }
    let plain = say(port.tcp().await, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!plain.starts_with(b"HTTP"), "nothing is said without TLS");
    assert!(port.answers().await, "with {} connections that say nothing", silent.len());
}

#[tokio::test]
async fn noise_behind_a_handshake_is_a_bad_request() {
    let port = Port::open().await;
    for seed in 0..32 {
        let bytes = [noise(seed), b"\r\n\r\n".to_vec()].concat();
        let said = say(port.tls().await, &bytes).await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "seed {seed}");
    }
    let flood =
        [&b"GET / HTTP/1.1\r\nhost: localhost\r\nx-flood: "[..], &vec![b'a'; 1 << 20]].concat();
    assert!(say(port.tls().await, &flood).await.starts_with(b"HTTP/1.1 431"));
    assert!(port.answers().await);
}
