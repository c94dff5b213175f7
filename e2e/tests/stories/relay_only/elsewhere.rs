//! The other provider: a gateway and a worker, as another cluster would run them, in this process.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::B256;
use coreward_e2e::world::{Error, Result};
use coreward_overlay::{Body, Client, Config, Gateways, Handler, Key, Member, gateway};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// What the other worker answers to everything.
pub(super) const ANSWER: &str = "hello from elsewhere";
/// For one request through two relays.
const PATIENCE: Duration = Duration::from_secs(15);

/// Its parts; they end with it.
pub(super) struct Elsewhere {
    /// Where its gateway is, with its key: what it publishes.
    pub(super) published: String,
    /// The worker's key.
    pub(super) key: B256,
    relay: gateway::Gateway,
    worker: Client,
    _tasks: JoinSet<()>,
}

struct Answers;

impl Handler for Answers {
    fn handle(&self, _: Key, _: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        let body = Full::new(Bytes::from_static(ANSWER.as_bytes()));
        Box::pin(async { Response::new(body.map_err(|never| match never {}).boxed()) })
    }
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Finding(format!("{what}: {error}"))
}

impl Elsewhere {
    /// Starts both. The gateway is reached at `at`; the worker listens on this machine's loopback, where no pod ever comes.
    pub(super) fn begin(at: Ipv4Addr) -> Result<Self> {
        let free = TcpListener::bind((at, 0)).and_then(|socket| socket.local_addr());
        let port = free.map_err(|error| broken("no port is free", &error))?.port();
        let (relay_seed, seed) = (rand::random(), rand::random());
        let address = format!("/ip4/{at}/tcp/{port}");
        let config = gateway::Config {
            seed: relay_seed,
            listen: vec![address.clone()],
            outside: vec![address.clone()],
            limits: gateway::Limits::default(),
        };
        let (relay, running) =
            gateway::start(&config).map_err(|error| broken("start a gateway", &error))?;
        let config = Config { seed, listen: "/ip4/127.0.0.1/tcp/0".to_owned() };
        let (worker, event_loop) = coreward_overlay::start(&config, Arc::new(Answers))
            .map_err(|error| broken("start a worker", &error))?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(running.run(stop.clone()));
        tasks.spawn(event_loop.run(stop));
        let key_of = |seed| {
            gateway::key_of_seed(seed)
                .ok_or_else(|| Error::Finding("a seed without key".to_owned()))
        };
        let suffix = gateway::suffix(&key_of(relay_seed)?).unwrap_or_default();
        let published = format!("{address}{suffix}");
        Ok(Self { published, key: key_of(seed)?.into(), relay, worker, _tasks: tasks })
    }

    /// Tells the other worker that a member is reached through `gateways`; nobody is let in to itself.
    pub(super) async fn calls(&self, member: B256, gateways: &[String]) -> Result<()> {
        self.set_gateways(Vec::new()).await?;
        let addresses = gateways.iter().map(|it| format!("{it}/p2p-circuit")).collect();
        self.set_members(vec![Member { key: member.0, addresses }]).await
    }

    /// Cuts what stands between both, and lets the member in through the other gateway, the only way from then on.
    pub(super) async fn is_called(&self, member: B256) -> Result<()> {
        self.set_members(Vec::new()).await?;
        self.relay.set_guests(gateway::Guests { own: vec![self.key.0], others: vec![member.0] });
        self.set_gateways(vec![self.published.clone()]).await?;
        self.set_members(vec![Member { key: member.0, addresses: Vec::new() }]).await
    }

    /// Circuits that the other gateway has opened.
    pub(super) fn circuits(&self) -> u64 {
        self.relay.figures().borrow().circuits_opened
    }

    async fn set_gateways(&self, own: Vec<String>) -> Result<()> {
        let told = self.worker.set_gateways(Gateways { own, private: true }).await;
        told.map_err(|error| broken("tell the other worker its gateway", &error))
    }

    async fn set_members(&self, members: Vec<Member>) -> Result<()> {
        let told = self.worker.set_members(members).await;
        told.map_err(|error| broken("tell the other worker its members", &error))
    }

    /// What a member answers to a request of the other worker, from host `to`.
    pub(super) async fn ask(&self, member: B256, to: &str) -> Result<String> {
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
        let request = Request::get("/").header("host", to).body(body);
        let request = request.map_err(|error| broken("no request", &error))?;
        let asked = async {
            let answer = self.worker.request(member.0, request).await;
            let answer = answer.map_err(|error| broken("no answer", &error))?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await;
            let bytes = body.map_err(|error| broken("no whole answer", &error))?.to_bytes();
            Ok(format!("{status} {}", String::from_utf8_lossy(&bytes).trim()))
        };
        timeout(PATIENCE, asked).await.map_err(|error| broken("no answer in time", &error))?
    }
}
