//! Members and a gateway on loopback.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coreward_overlay::gateway::{self, Figures, Gateway, Guests, Limits};
use coreward_overlay::{Body, Client, Config, Error, Gateways, Handler, Key, Member, start};
use futures::future::BoxFuture;
use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use libp2p::identity::ed25519;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far beyond what anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
const CHUNK: usize = 64 * 1024;

pub(crate) type Tasks = JoinSet<()>;

/// `/bytes/<n>` answers with that many bytes, `/endless` with bytes until somebody stops it; anything else with the number
/// of bytes that came with the request and the first byte of the caller's key.
struct Answers;

impl Handler for Answers {
    fn handle(
        &self,
        caller: Key,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            if path == "/endless" {
                return Response::new(zeros(usize::MAX));
            }
            if let Some(count) = path.strip_prefix("/bytes/") {
                return Response::new(zeros(count.parse().unwrap()));
            }
            let came = count(request.into_body()).await.unwrap_or(0);
            Response::new(body(format!("{came} bytes of {}", caller[0])))
        })
    }
}

pub(crate) fn body(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// So many zeros, in chunks.
pub(crate) fn zeros(count: usize) -> Body {
    let chunks = stream::unfold(count, |left| async move {
        let now = left.min(CHUNK);
        (now > 0).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; now]))), left - now))
    });
    BodyExt::boxed(StreamBody::new(chunks).map_err(|never: Infallible| match never {}))
}

/// How many bytes came until the end.
pub(crate) async fn count(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(count)
}

/// A member, or somebody who would like to be one.
pub(crate) struct Node {
    pub(crate) key: Key,
    pub(crate) client: Client,
    pub(crate) address: String,
}

impl Node {
    pub(crate) async fn new(tasks: &mut Tasks) -> Self {
        let pair = ed25519::Keypair::generate();
        let seed = pair.secret().as_ref().try_into().unwrap();
        let config = Config { seed, listen: "/ip4/127.0.0.1/tcp/0".to_owned() };
        let (client, event_loop) = start(&config, Arc::new(Answers)).unwrap();
        tasks.spawn(event_loop.run(CancellationToken::new()));
        let mut listening = client.listening();
        let address = listening.wait_for(|list| !list.is_empty()).await.unwrap()[0].clone();
        Self { key: pair.public().to_bytes(), client, address }
    }

    pub(crate) async fn knows(&self, members: &[Member]) {
        self.client.set_members(members.to_vec()).await.unwrap();
    }

    /// Makes these its own gateways; those of others may be on loopback.
    pub(crate) async fn uses(&self, own: &[&Hub]) {
        let own = own.iter().map(|hub| hub.address.clone()).collect();
        self.client.set_gateways(Gateways { own, private: true }).await.unwrap();
    }

    pub(crate) async fn reserved(&self, at: &Hub) {
        let mut reservations = self.client.reservations();
        let holds = |held: &BTreeSet<Key>| held.contains(&at.key);
        timeout(LIMIT, reservations.wait_for(holds)).await.unwrap().unwrap();
    }

    pub(crate) async fn send(
        &self,
        to: Key,
        path: &str,
        bytes: usize,
    ) -> Result<Response<Incoming>, Error> {
        let request = Request::post(path).header("host", "member").body(zeros(bytes)).unwrap();
        self.client.request(to, request).await
    }

    pub(crate) async fn ask(&self, to: Key) -> Result<String, Error> {
        let answer = self.send(to, "/", 3).await?;
        let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub(crate) fn answer(&self) -> String {
        format!("3 bytes of {}", self.key[0])
    }
}

/// A gateway.
pub(crate) struct Hub {
    pub(crate) key: Key,
    pub(crate) gateway: Gateway,
    pub(crate) address: String,
    pub(crate) stop: CancellationToken,
}

impl Hub {
    pub(crate) async fn new(tasks: &mut Tasks, limits: Limits) -> Self {
        let pair = ed25519::Keypair::generate();
        let config = gateway::Config {
            seed: pair.secret().as_ref().try_into().unwrap(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            outside: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            limits,
        };
        let (gateway, relay) = gateway::start(&config).unwrap();
        let stop = CancellationToken::new();
        tasks.spawn(relay.run(stop.clone()));
        let mut listening = gateway.listening();
        let listens = listening.wait_for(|list| !list.is_empty()).await.unwrap()[0].clone();
        let key = pair.public().to_bytes();
        let address = format!("{listens}{}", gateway::suffix(&key).unwrap());
        Self { key, gateway, address, stop }
    }

    pub(crate) fn admits(&self, own: &[&Node], others: &[&Node]) {
        let keys = |nodes: &[&Node]| nodes.iter().map(|node| node.key).collect();
        self.gateway.set_guests(Guests { own: keys(own), others: keys(others) });
    }

    /// A member that is known by this gateway alone.
    pub(crate) fn behind(&self, node: &Node) -> Member {
        Member { key: node.key, addresses: vec![format!("{}/p2p-circuit", self.address)] }
    }

    pub(crate) async fn shows(&self, what: impl FnMut(&Figures) -> bool) {
        let mut figures: watch::Receiver<Figures> = self.gateway.figures();
        timeout(LIMIT, figures.wait_for(what)).await.unwrap().unwrap();
    }
}

/// Two members of one subnet that know each other by one gateway alone, with a reservation each.
pub(crate) async fn pair(tasks: &mut Tasks, limits: Limits) -> (Hub, Node, Node) {
    let hub = Hub::new(tasks, limits).await;
    let (one, two) = (Node::new(tasks).await, Node::new(tasks).await);
    hub.admits(&[&one, &two], &[]);
    let members = [hub.behind(&one), hub.behind(&two)];
    for node in [&one, &two] {
        node.uses(&[&hub]).await;
        node.knows(&members).await;
        node.reserved(&hub).await;
    }
    (hub, one, two)
}
