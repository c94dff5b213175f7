//! Putting the process together from its arguments.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coreward_chain::Contracts;
use coreward_chain::endpoint::{Endpoint, Pool, Timeouts};
use coreward_chain::snapshot::Reader;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt;
use kube::client::retry::RetryPolicy;
use rand::Rng;
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower::retry::RetryLayer;

use crate::args::Args;
use crate::chain_watch::{EndpointObserver, Follower, NetworkHandle};
use crate::config;
use crate::context::Context;
use crate::endpoint::{ClusterKeys, Doorkeeper, Reviewer};
use crate::hub::Hub;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::outbox::{Link, Outbox};
use crate::proof_pool::ProofPool;
use crate::stores::{Stores, Writers};

/// How long an idle connection to the API server is kept. Turns and reviews that are taken at once leave dozens behind.
const IDLE: Duration = Duration::from_secs(5);

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster to talk to.
    #[error("find the API server: neither a service account nor a kubeconfig is usable")]
    Cluster {
        /// Why.
        source: Box<kube::config::InferConfigError>,
    },
    /// The client for the API server cannot be made.
    #[error("make a client for the API server")]
    Client {
        /// Why.
        source: Box<kube::Error>,
    },
    /// A metric's name is taken: a mistake in our wiring.
    #[error("register metrics")]
    Metrics {
        /// Why.
        source: prometheus::Error,
    },
    /// An endpoint of a network cannot be used.
    #[error("use the endpoints of network `{network}`")]
    Network {
        /// The network.
        network: String,
        /// Why.
        source: Box<coreward_chain::endpoint::Error>,
    },
    /// The address of the pods' endpoint is taken.
    #[error("serve pods")]
    Listen {
        /// Why.
        source: crate::endpoint::ListenError,
    },
}

impl Error {
    pub(super) const fn metrics(source: prometheus::Error) -> Self {
        Self::Metrics { source }
    }
}

/// What the rest is built on.
pub(super) struct Foundation {
    pub(super) client: kube::Client,
    pub(super) args: Args,
    pub(super) identity: String,
    pub(super) leadership: Leadership,
    pub(super) metrics: Arc<Metrics>,
    pub(super) anchor: watch::Receiver<Option<Arc<str>>>,
}

/// A client for the cluster that we run in, or that a kubeconfig names.
pub(super) async fn client() -> Result<kube::Client, Error> {
    let config = kube::Config::infer()
        .await
        .map_err(|source| Error::Cluster { source: Box::new(source) })?;
    connect(config).map_err(|source| Error::Client { source: Box::new(source) })
}

/// What kube makes of a configuration, but for idle connections, which it never closes.
fn connect(config: kube::Config) -> Result<kube::Client, kube::Error> {
    if config.proxy_url.is_some() {
        return kube::Client::try_from(config);
    }
    let mut connector = TimeoutConnector::new(config.rustls_https_connector()?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let http = Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    let retry = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retry)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(http);
    Ok(kube::Client::new(service, config.default_namespace))
}

/// A name that no other process ever had: a restarted container is another candidate, and another leader to the pods.
pub(super) fn unique(identity: &str) -> String {
    let run: u32 = rand::rng().random();
    format!("{identity}_{run:08x}")
}

/// The context of all loops, a follower for each network, and what fills the stores.
pub(super) fn assemble(
    foundation: Foundation,
) -> Result<(Arc<Context>, Vec<Follower>, Writers), Error> {
    let Foundation { client, args, identity, leadership, metrics, anchor } = foundation;
    let config = Arc::new(args.config);
    let (stores, writers) = Stores::new();
    let mut links = BTreeMap::new();
    let mut networks = BTreeMap::new();
    let mut followers = Vec::new();
    for network in &config.networks {
        let observer = Arc::new(EndpointObserver::new(Arc::clone(&metrics)));
        let pool = pool(network, Arc::clone(&observer))?;
        let contracts = Contracts {
            diamond: network.contracts.diamond,
            multicall3: network.contracts.multicall3,
        };
        let reader = Reader::new(pool.clone(), contracts, network.finality_blocks);
        let (handle, publisher) = NetworkHandle::new(network.clone());
        networks.insert(network.name.clone(), handle.clone());
        links.insert(network.name.clone(), Link { pool: pool.clone(), contracts });
        followers.push(Follower::new(
            (handle, publisher),
            (pool, reader),
            observer,
            Arc::clone(&metrics),
        ));
    }
    let outbox = Outbox::new(
        (client.clone(), args.namespace.clone(), Arc::clone(&config)),
        links.clone(),
        &stores,
        (leadership.clone(), Arc::clone(&metrics)),
    );
    let context = Context {
        client,
        config,
        namespace: args.namespace,
        hub: Hub::new(identity.clone()),
        identity,
        leadership,
        networks,
        links,
        outbox,
        proofs: ProofPool::default(),
        metrics,
        stores,
        anchor,
        serving: args.pod_address.map(|address| SocketAddr::new(address, args.pods_listen.port())),
    };
    Ok((Arc::new(context), followers, writers))
}

fn pool(network: &config::Network, observer: Arc<EndpointObserver>) -> Result<Pool, Error> {
    let failure =
        |source| Error::Network { network: network.name.clone(), source: Box::new(source) };
    let endpoints =
        network.endpoints.iter().map(|endpoint| Endpoint::http(&endpoint.name, &endpoint.url));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>().map_err(failure)?;
    Pool::new(endpoints, Timeouts::default(), observer).map_err(failure)
}

/// Who lets pods in.
pub(super) fn doorkeeper(context: &Context, keys: ClusterKeys) -> Doorkeeper {
    let reviewer = Reviewer::new(context.client.clone());
    Doorkeeper::new(keys, reviewer, context.stores.clone(), context.namespace.clone())
}
