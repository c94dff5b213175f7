//! A kept stream of the overlay, with requests and answers as a worker has them.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use coreward_overlay::{Body, Client, Config, Handler, Key, Member, start};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use libp2p::identity::ed25519;
use tokio_util::sync::CancellationToken;

use crate::{PIECE, QUESTION, Side};

/// Seeds of both ends.
const SERVER: [u8; 32] = [1; 32];
const CLIENT: [u8; 32] = [2; 32];

static ZEROS: [u8; PIECE] = [7; PIECE];

/// `/download/<bytes>` answers with so many; all else is read and answered with one.
struct Answers;

impl Handler for Answers {
    fn handle(&self, _: Key, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let bytes = request.uri().path().strip_prefix("/download/").map(str::to_owned);
            if let Some(bytes) = bytes.and_then(|bytes| bytes.parse().ok()) {
                return Response::new(Pieces(bytes).boxed());
            }
            request.into_body().collect().await.unwrap();
            Response::new(body(&[1]))
        })
    }
}

struct Pieces(usize);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let now = self.0.min(PIECE);
        self.0 -= now;
        Poll::Ready((now > 0).then(|| Ok(Frame::data(Bytes::from_static(&ZEROS[..now])))))
    }
}

fn body(bytes: &'static [u8]) -> Body {
    Full::new(Bytes::from_static(bytes)).map_err(|never: Infallible| match never {}).boxed()
}

fn key(seed: [u8; 32]) -> Key {
    let mut seed = seed;
    let secret = ed25519::SecretKey::try_from_bytes(&mut seed).unwrap();
    ed25519::Keypair::from(secret).public().to_bytes()
}

async fn node(seed: [u8; 32], other: Member) -> (Client, String) {
    let config = Config { seed, listen: "/ip4/127.0.0.1/tcp/0".to_owned() };
    let (client, event_loop) = start(&config, Arc::new(Answers)).unwrap();
    tokio::spawn(event_loop.run(CancellationToken::new()));
    client.set_members(vec![other]).await.unwrap();
    let mut listening = client.listening();
    let address = listening.wait_for(|list| !list.is_empty()).await.unwrap()[0].clone();
    (client, address)
}

/// Serves until it is killed.
pub(crate) async fn serve() {
    let (_client, address) = node(SERVER, Member { key: key(CLIENT), addresses: vec![] }).await;
    println!("{address}");
    std::future::pending::<()>().await;
}

/// A member beside such a server.
pub(crate) struct Ours {
    client: Client,
    server: Key,
}

impl Ours {
    pub(crate) async fn connect(address: &str) -> Self {
        let server = key(SERVER);
        let member = Member { key: server, addresses: vec![address.to_owned()] };
        Self { client: node(CLIENT, member).await.0, server }
    }

    async fn ask(&self, path: &str, question: &'static [u8]) -> io::Result<u64> {
        let request = Request::post(path).header("host", "bench").body(body(question)).unwrap();
        let answer = self.client.request(self.server, request).await.map_err(io::Error::other)?;
        let mut answer = answer.into_body();
        let mut bytes = 0;
        while let Some(frame) = answer.frame().await {
            bytes += frame.map_err(io::Error::other)?.data_ref().map_or(0, Bytes::len) as u64;
        }
        Ok(bytes)
    }
}

/// From the removal of a member to the end of the stream that it reads, in milliseconds.
pub(crate) async fn removal() -> f64 {
    let (ours, theirs) = ([3; 32], [4; 32]);
    let (removing, address) = node(ours, Member { key: key(theirs), addresses: vec![] }).await;
    let (removed, _) = node(theirs, Member { key: key(ours), addresses: vec![address] }).await;
    let request = Request::post(format!("/download/{}", usize::MAX)).header("host", "bench");
    let answer = removed.request(key(ours), request.body(body(&[])).unwrap()).await.unwrap();
    let mut answer = answer.into_body();
    answer.frame().await.unwrap().unwrap();
    let began = Instant::now();
    removing.set_members(Vec::new()).await.unwrap();
    while let Some(Ok(_)) = answer.frame().await {}
    began.elapsed().as_secs_f64() * 1e3
}

impl Side for Ours {
    async fn download(&mut self, bytes: u64) -> io::Result<()> {
        let read = self.ask(&format!("/download/{bytes}"), &[]).await?;
        if read == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn round_trip(&mut self) -> io::Result<()> {
        self.ask("/", &[0; QUESTION]).await.map(drop)
    }
}
