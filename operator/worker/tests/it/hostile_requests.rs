//! Requests that do their worst, each on a connection of its own, all to one worker.

use core::time::Duration;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::guest::{GOOD, Guest};
use crate::process::Worker;
use crate::world::World;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Reads the whole body of the request before it answers.
const READ: &str = "
    (call $consume (local.get $request) (i32.const 3072))
    (call $stream-in (i32.load (i32.const 3076)) (i32.const 3072))
    (local.set $stream (i32.load (i32.const 3076)))
    (loop $more
      (global.set $heap (i32.const 65536))
      (call $read (local.get $stream) (i64.const 4096) (i32.const 3072))
      (br_if $more (i32.eqz (i32.load8_u (i32.const 3072)))))";

async fn serving() -> Worker {
    let world = World::new().await;
    let cid = world.publish(Guest { evil: READ, ..GOOD }.build());
    let mut duty = world.duty(7, &cid);
    duty.limits.request_milliseconds = 1000;
    duty.limits.request.request_bytes = 10_000;
    duty.limits.connections = 16;
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    worker
}

async fn connect(worker: &Worker) -> TcpStream {
    let address: SocketAddr = worker.public.trim_start_matches("http://").parse().unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// What the port says to these bytes before it closes the connection, which it has to do by itself.
async fn say(worker: &Worker, bytes: &[u8]) -> String {
    let mut stream = connect(worker).await;
    // It may hang up in the middle of it.
    let _sent = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let heard = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _reset_or_end = heard.expect("the port closes the connection");
    String::from_utf8_lossy(&said).into_owned()
}

fn refused(reason: &str) -> String {
    format!("coreward_worker_refused_total{{reason=\"{reason}\"}}")
}

fn ended(ending: &str) -> String {
    format!("coreward_worker_requests_total{{ending=\"{ending}\",origin=\"public\"}}")
}

/// A request's first line and headers, for a connection that ends with it.
fn head(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
}

/// Name, what is sent, how the answer begins, and what counts it.
type Case = (&'static str, String, &'static str, String);

fn heads() -> Vec<Case> {
    let host = "host: x\r\n";
    let many = "a: b\r\n".repeat(101) + host;
    let long = format!("{host}a: {}\r\n", "b".repeat(40_000));
    let path = format!("GET /{}", "a".repeat(100_000));
    let large = || refused("head_too_large");
    let answered = || ended("answered");
    let caller = "host: x\r\nCoreward-Caller: 7\r\ncoreward-hops: 0\r\n";
    let disguised = "GET /%2e%2e%2f%2e%2e%2fetc%2fpasswd%00";
    vec![
        ("many headers", head("GET /", &many), "HTTP/1.1 431 ", large()),
        ("a long header", head("GET /", &long), "HTTP/1.1 431 ", large()),
        ("a long path", head(&path, host), "HTTP/1.1 4", large()),
        ("no host", head("GET /", ""), "HTTP/1.1 400 ", refused("host")),
        (
            "a forged host",
            head("GET /", "host: 7.subnet.internal\r\n"),
            "HTTP/1.1 421 ",
            refused("host"),
        ),
        (
            "a forged host in the URI",
            head("GET http://self.subnet.internal/", host),
            "HTTP/1.1 421 ",
            refused("host"),
        ),
        ("a forged caller", head("GET /who", caller), "HTTP/1.1 401 ", answered()),
        (
            "a path out of the root",
            head("GET /../../../etc/passwd", host),
            "HTTP/1.1 200 ",
            answered(),
        ),
        ("the same in disguise", head(disguised, host), "HTTP/1.1 200 ", answered()),
    ]
}

/// Heads that are read in two ways by two programs, or in none.
fn malformed() -> Vec<Case> {
    let post = |headers: &str| head("POST /", &format!("host: x\r\n{headers}\r\n"));
    let sent = [
        ("no HTTP", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\r\n".to_owned()),
        ("a line break in a header's name", head("GET /", "host: x\r\na\nb: c\r\n")),
        ("a space before a colon", post("transfer-encoding : chunked")),
        ("two lengths", post("content-length: 1\r\ncontent-length: 2")),
        ("a length that is no number", post("content-length: -1")),
        ("an unknown coding", post("transfer-encoding: chunked, x")),
    ];
    sent.map(|(name, bytes)| (name, bytes, "HTTP/1.1 400 ", refused("head_malformed"))).into()
}

fn bodies() -> Vec<Case> {
    let chunk = format!("1000\r\n{}\r\n", "b".repeat(4096));
    vec![
        (
            "a length over the limit",
            head("POST /evil", "host: x\r\ncontent-length: 10001\r\n"),
            "HTTP/1.1 413 ",
            ended("request_too_large"),
        ),
        (
            "chunks over the limit",
            head("POST /evil", "host: x\r\ntransfer-encoding: chunked\r\n") + &chunk.repeat(3),
            "HTTP/1.1 413 ",
            ended("request_too_large"),
        ),
        (
            "a body that stops",
            head("POST /evil", "host: x\r\ncontent-length: 100\r\n") + "half",
            "HTTP/1.1 408 ",
            ended("request_too_slow"),
        ),
        (
            "a chunk that is no number",
            head("POST /evil", "host: x\r\ntransfer-encoding: chunked\r\n") + "many\r\n",
            "HTTP/1.1 ",
            ended("answered"),
        ),
        (
            "a head that stops",
            "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned(),
            "HTTP/1.1 408 ",
            refused("head_too_slow"),
        ),
    ]
}

#[tokio::test]
async fn a_bad_request_fails_alone_and_is_counted() {
    let worker = serving().await;
    for (name, bytes, answer, counter) in [heads(), malformed(), bodies()].concat() {
        let before = worker.metric(&counter).await;
        let (said, good) = tokio::join!(say(&worker, bytes.as_bytes()), worker.get("/"));
        assert!(said.starts_with(answer), "{name}: {said}");
        assert_eq!((good, worker.page("/readyz").await.0), (200, 200), "{name}");
        let counted = async { while worker.metric(&counter).await <= before {} };
        assert!(timeout(PATIENCE, counted).await.is_ok(), "{name}: {counter} did not move");
    }
}

#[tokio::test]
async fn whoever_does_not_read_is_cut() {
    let worker = serving().await;
    let mut stream = connect(&worker).await;
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    worker.is_well_and_counted(&refused("reader_too_slow")).await;
}

#[tokio::test]
async fn a_flood_of_connections_is_told_that_there_is_no_room() {
    let worker = serving().await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(connect(&worker).await);
    }
    // All have been taken in once one more is refused.
    assert!(say(&worker, b"GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 503 "));
    assert_eq!(worker.page("/readyz").await.0, 200);
    drop(held);
    let again = async { while worker.get("/").await != 200 {} };
    timeout(PATIENCE, again).await.expect("there is room again");
    worker.is_well_and_counted(&refused("connections")).await;
}
