use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port with these limits, for as long as the test's runtime lives.
async fn port(limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/long", get(|| async { vec![b'a'; 64 << 20] }));
    let greet = |stream| ready(Some(stream));
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(accept(listener, router, limits, greet, CancellationToken::new()));
    address
}

/// What the port says to these bytes, until it closes the connection.
async fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may hang up in the middle of it.
    let _sent = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let heard = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _reset_or_end = heard.expect("the port closes the connection");
    said
}

async fn answers(address: SocketAddr) -> bool {
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    say(address, request).await.starts_with(b"HTTP/1.1 200")
}

/// Bytes that look like noise, the same for the same seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = usize::try_from(next() % 4096).unwrap();
    (0..length).map(|_| next().to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn random_bytes_harm_nobody() {
    let address = port(Limits { head: Duration::from_millis(100), ..PLAIN }).await;
    for seed in 0..200 {
        let said = say(address, &noise(seed)).await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "seed {seed}");
    }
    assert!(answers(address).await);
}

#[tokio::test]
async fn who_does_not_read_makes_room_for_others() {
    let limits = Limits { connections: 2, stalled: Duration::from_millis(200), ..PLAIN };
    let address = port(limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(timeout(PATIENCE, answers(address)).await, Ok(true));
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let address = port(Limits { head_bytes: 8192, ..PLAIN }).await;
    let mut head = b"GET /livez HTTP/1.1\r\nhost: x\r\n".to_vec();
    head.extend_from_slice(b"x-flood: ");
    head.extend(vec![b'a'; 1 << 20]);
    assert!(say(address, &head).await.starts_with(b"HTTP/1.1 431"));
    let many = "GET /livez HTTP/1.1\r\nhost: x\r\n".to_owned() + &"a: b\r\n".repeat(1000);
    assert!(say(address, (many + "\r\n").as_bytes()).await.starts_with(b"HTTP/1.1 431"));
    assert!(answers(address).await);
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_for_others() {
    let limits = Limits { connections: 4, head: Duration::from_millis(200), ..PLAIN };
    let address = port(limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answered = timeout(PATIENCE, answers(address)).await;
    assert_eq!(answered, Ok(true), "five times four of them, each cut after its time");
}
