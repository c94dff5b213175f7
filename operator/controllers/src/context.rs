//! What every loop is given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;

use crate::chain_watch::NetworkHandle;
use crate::config::Config;
use crate::hub::Hub;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::outbox::{Link, Outbox};
use crate::proof_pool::ProofPool;
use crate::stores::Stores;

/// Everything that loops share.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The operator's configuration.
    pub config: Arc<Config>,
    /// Namespace of the operator.
    pub namespace: String,
    /// This process, as written into the lease and into assignments.
    pub identity: String,
    /// Whether this replica leads; ask before every write.
    pub leadership: Leadership,
    /// Networks by name.
    pub networks: BTreeMap<String, NetworkHandle>,
    /// Duties and reports of pods.
    pub hub: Hub,
    /// How each network is reached, for what is no part of its snapshots.
    pub links: BTreeMap<String, Link>,
    /// What shall be signed and sent.
    pub outbox: Outbox,
    /// Proofs that wait for the chain.
    pub proofs: ProofPool,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What the API server last said.
    pub stores: Stores,
    /// Certificate of the internal authority (PEM), for the `coreward-anchor` of each namespace; `None` until it was made or read.
    pub anchor: watch::Receiver<Option<Arc<str>>>,
    /// Where this replica serves pods; `None` if it was not told its own address.
    pub serving: Option<SocketAddr>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Context")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
