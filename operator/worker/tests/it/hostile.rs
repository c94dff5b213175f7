//! What strangers send to the three ports of a worker: the component's, the overlay's, and the page.

use core::time::Duration;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::guest::GOOD;
use crate::process::{Worker, free_port};
use crate::world::{World, member};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Connections of each kind.
const ATTEMPTS: u64 = 64;

fn socket(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

/// Numbers that look random, the same for the same seed.
pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Bytes that look like noise, the same for the same seed; never none.
fn noise(seed: u64) -> Vec<u8> {
    let mut next = random(seed);
    let length = usize::try_from(next() % 4096).unwrap() + 16;
    (0..length).map(|_| next().to_le_bytes()[0]).collect()
}

/// What the port says to these bytes once we have nothing more to say.
async fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may hang up in the middle of it.
    let _sent = stream.write_all(bytes).await;
    let _ended = stream.shutdown().await;
    let mut said = Vec::new();
    let heard = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _reset_or_end = heard.expect("the port closes the connection");
    said
}

/// Noise, bad requests, floods of headers and silence; the silent connections stay open.
async fn attack(address: SocketAddr) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for seed in 0..ATTEMPTS {
        let said = say(address, &noise(seed)).await;
        assert!(!said.starts_with(b"HTTP/1.1 2"), "seed {seed}");
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let flood = [&b"GET / HTTP/1.1\r\nhost: x\r\nx-flood: "[..], &vec![b'a'; 1 << 20]].concat();
    let many = "GET / HTTP/1.1\r\nhost: x\r\n".to_owned() + &"a: b\r\n".repeat(1000) + "\r\n";
    for head in [flood, many.into_bytes()] {
        assert!(!say(address, &head).await.starts_with(b"HTTP/1.1 2"));
    }
    // A TLS hello to a plain port.
    say(address, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
    silent
}

async fn serving(id: u8, overlay: [u16; 2]) -> Worker {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut duty = world.duty(id, &cid);
    duty.members = vec![member(1, overlay[0]), member(2, overlay[1])];
    duty.limits.connections = 256;
    let worker = world.start_with(duty, overlay[usize::from(id) - 1], &[]).await;
    worker.serves(&cid).await;
    worker
}

#[tokio::test]
async fn noise_at_the_components_port_and_at_the_page_harms_nobody() {
    let worker = serving(1, [free_port(), free_port()]).await;
    let public = attack(socket(&worker.public)).await;
    let page = attack(socket(&worker.health)).await;
    assert_eq!((public.len(), page.len()), (64, 64), "still open");
    assert_eq!(worker.get("/").await, 200);
    assert_eq!(worker.page("/readyz").await.0, 200);
}

#[tokio::test]
async fn as_many_connections_as_ordered_and_no_more() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut duty = world.duty(1, &cid);
    duty.limits.connections = 8;
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(TcpStream::connect(socket(&worker.public)).await.unwrap());
    }
    assert_eq!(worker.get("/").await, 503, "there is no room");
    assert_eq!(worker.page("/readyz").await.0, 200, "the page has room of its own");
    drop(held);
    let freed = async {
        while worker.get("/").await != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.expect("there is room again");
}

#[tokio::test]
async fn noise_at_the_overlay_keeps_no_member_out() {
    let overlay = [free_port(), free_port()];
    let first = serving(1, overlay).await;
    let address = SocketAddr::from(([127, 0, 0, 1], overlay[0]));
    for seed in 0..ATTEMPTS {
        say(address, &noise(seed)).await;
    }
    // Half a greeting: no handshake follows.
    let mut half = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"\x13/multistream/1.0.0\n").await.unwrap();
        half.push(stream);
    }
    let second = serving(2, overlay).await;
    assert_eq!(
        second.get("/out/1.subnet.internal/who").await,
        200,
        "beside {} strangers",
        half.len()
    );
    assert_eq!(first.get("/").await, 200);
}
