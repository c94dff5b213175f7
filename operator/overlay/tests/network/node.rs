//! One node, and a handler that does what the path says.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coreward_overlay::{Body, Client, Config, Error, Handler, Key, Member, Refusal, start};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use libp2p::identity::ed25519;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// One piece of an endless body.
static PIECE: &[u8] = &[7; 16 * 1024];

/// What a node's handler has seen and done.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// Bytes of endless bodies that were taken from us.
    pub(crate) pushed: watch::Sender<u64>,
    /// Endless bodies that exist.
    pub(crate) endless: watch::Sender<usize>,
    /// Requests that wait at `/together`.
    pub(crate) together: watch::Sender<usize>,
    /// Requests at `/late`; answered when it says 2.
    pub(crate) late: watch::Sender<usize>,
    /// What the overlay refused.
    pub(crate) refused: watch::Sender<Vec<Refusal>>,
}

impl Counts {
    fn new() -> Self {
        Self {
            pushed: watch::Sender::new(0),
            endless: watch::Sender::new(0),
            together: watch::Sender::new(0),
            late: watch::Sender::new(0),
            refused: watch::Sender::new(Vec::new()),
        }
    }

    /// A body without end that counts what is taken from it.
    pub(crate) fn endless(&self) -> Body {
        self.endless.send_modify(|count| *count += 1);
        Endless(self.clone()).boxed()
    }
}

struct Endless(Counts);

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.pushed.send_modify(|bytes| *bytes += PIECE.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.endless.send_modify(|count| *count -= 1);
    }
}

/// `/endless` answers without end, `/swallow` never reads, `/together` waits until a thousand wait, `/late` until it is
/// told, and all else echoes the first byte of the caller's key and the path.
struct Rules(Counts);

impl Handler for Rules {
    fn handle(
        &self,
        caller: Key,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>> {
        let counts = self.0.clone();
        Box::pin(async move {
            match request.uri().path() {
                "/endless" => Response::new(counts.endless()),
                "/swallow" => {
                    let _unread = request;
                    std::future::pending().await
                }
                "/together" => {
                    counts.together.send_modify(|count| *count += 1);
                    counts.together.subscribe().wait_for(|count| *count >= 1000).await.unwrap();
                    Response::new(body("together"))
                }
                "/late" => {
                    counts.late.send_modify(|count| *count += 1);
                    counts.late.subscribe().wait_for(|count| *count == 2).await.unwrap();
                    Response::new(body("late"))
                }
                path => Response::new(body(format!("{} {path}", caller[0]))),
            }
        })
    }

    fn refused(&self, why: Refusal) {
        self.0.refused.send_modify(|list| list.push(why));
    }
}

pub(crate) fn body(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed()
}

pub(crate) struct Node {
    pub(crate) key: Key,
    pub(crate) client: Client,
    pub(crate) address: String,
    pub(crate) stop: CancellationToken,
    pub(crate) counts: Counts,
}

impl Node {
    pub(crate) fn member(&self) -> Member {
        Member { key: self.key, addresses: vec![self.address.clone()] }
    }

    pub(crate) async fn ask(
        &self,
        from: &Self,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, Error> {
        let request = Request::post(path).header("host", "member").body(body).unwrap();
        self.client.request(from.key, request).await
    }

    pub(crate) async fn get(&self, from: &Self, path: &str) -> Result<String, Error> {
        let answer = self.ask(from, path, body("")).await?;
        let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Where its TCP listener is.
    pub(crate) fn socket(&self) -> (&str, u16) {
        let port = self.address.rsplit('/').next().unwrap().parse().unwrap();
        ("127.0.0.1", port)
    }
}

/// Waits until a count is as wanted.
pub(crate) async fn until<T>(count: &watch::Sender<T>, wanted: impl FnMut(&T) -> bool) {
    let mut seen = count.subscribe();
    timeout(PATIENCE, seen.wait_for(wanted)).await.expect("it comes about").unwrap();
}

pub(crate) async fn node(tasks: &mut JoinSet<()>) -> Node {
    node_of(tasks, &ed25519::Keypair::generate()).await
}

pub(crate) async fn node_of(tasks: &mut JoinSet<()>, pair: &ed25519::Keypair) -> Node {
    let seed = pair.secret().as_ref().try_into().unwrap();
    let config = Config { seed, listen: "/ip4/127.0.0.1/tcp/0".to_owned() };
    let counts = Counts::new();
    let (client, event_loop) = start(&config, Arc::new(Rules(counts.clone()))).unwrap();
    let stop = CancellationToken::new();
    tasks.spawn(event_loop.run(stop.clone()));
    let mut listening = client.listening();
    let address = listening.wait_for(|list| !list.is_empty()).await.unwrap()[0].clone();
    Node { key: pair.public().to_bytes(), client, address, stop, counts }
}

pub(crate) async fn meet(nodes: &[&Node]) {
    let members: Vec<_> = nodes.iter().map(|node| node.member()).collect();
    for node in nodes {
        node.client.set_members(members.clone()).await.unwrap();
    }
}
