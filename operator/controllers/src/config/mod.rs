//! The operator's configuration file: what a platform team decides once for all offers.
//!
//! Networks, tokens and signers have names here, and offers use the names: nobody can point an offer at another's key.

mod check;
mod error;
mod network;

use std::path::Path;

use alloy_primitives::Address;
use serde::Deserialize;
use serde_json::Value;

pub use error::{Error, Problem};
pub use network::{Contracts, Network, ProverMode, RpcEndpoint, Token};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Name of this cluster in logs.
    #[serde(default)]
    pub cluster_name: String,
    /// Switches for the whole operator.
    #[serde(default)]
    pub operator: Operator,
    /// Images of the pods that we make.
    pub images: Images,
    /// How pods reach the leader.
    pub pods_endpoint: PodsEndpoint,
    /// Chains, each with its contracts.
    pub networks: Vec<Network>,
    /// Public names of provider addresses.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// Keys by name.
    #[serde(default)]
    pub signers: Vec<Signer>,
    /// Base addresses of IPFS gateways, tried in this order.
    #[serde(default)]
    pub artifact_gateways: Vec<String>,
    /// Key of the taint that keeps other pods off compute nodes; tolerated by ours.
    #[serde(default)]
    pub node_taint: Option<String>,
    /// Priority classes of unit pods.
    #[serde(default)]
    pub priority_classes: PriorityClasses,
    /// How workers are reached.
    #[serde(default)]
    pub workers: Workers,
    /// How members of a deal in other clusters are reached.
    #[serde(default)]
    pub overlay: Overlay,
    /// Who may read metrics.
    #[serde(default)]
    pub metrics: MetricsPage,
    /// Times of the lease; the defaults suit every cluster that is not a test.
    #[serde(default)]
    pub lease: LeaseTimes,
}

/// Switches for the whole operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Operator {
    /// Every offer is treated as `Observe`: nothing is signed but the minimum proofs of staked units.
    pub read_only: bool,
    /// Seconds without a word of its kubelet after which a node's peer moves to a spare node of its offer.
    pub failover_seconds: u64,
}

impl Default for Operator {
    fn default() -> Self {
        Self { read_only: false, failover_seconds: 300 }
    }
}

/// Who may read metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricsPage {
    /// How a reader of the operator's page says who it is.
    #[serde(default)]
    pub authentication: Authentication,
    /// Who may reach the pages of workers besides the pods of the operator's namespace: peers of a `NetworkPolicy`.
    #[serde(default)]
    pub from: Vec<Value>,
}

/// How a reader of metrics says who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Authentication {
    /// By a token that the API server knows, over TLS, at the port of the pods' endpoint.
    #[default]
    TokenReview,
    /// Not at all: the page is open, at the port of the health pages.
    None,
}

/// Images of the pods that we make.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Images {
    /// For prover and probe pods.
    pub prover: String,
    /// For worker pods.
    pub worker: String,
    /// When a kubelet pulls them.
    #[serde(default)]
    pub pull_policy: PullPolicy,
}

/// When a kubelet pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// Unless it is there.
    #[default]
    IfNotPresent,
    /// Never.
    Never,
}

impl PullPolicy {
    /// The word of the Kubernetes API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Priority classes of unit pods; without one a pod has the cluster's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriorityClasses {
    /// Of prover and probe pods.
    #[serde(default)]
    pub prover: Option<String>,
    /// Of worker pods; above the provers'.
    #[serde(default)]
    pub worker: Option<String>,
}

/// How workers are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workers {
    /// Type of each worker's Service.
    #[serde(default)]
    pub service_type: ServiceType,
}

/// How members of a deal in other clusters are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overlay {
    /// Gateways of this cluster, at most 8; offers publish them once all of them are known.
    pub gateways: u32,
    /// Whether the gateways of others may be dialled outside the public ranges.
    pub private_gateways: bool,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ServiceType {
    /// Inside the cluster only.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// A port of every node as well.
    NodePort,
    /// An outside load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// The word of the Kubernetes API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// How pods reach the leader.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodsEndpoint {
    /// Base address, `https` only, e.g. `https://coreward-pods.coreward-system.svc:8443`.
    pub url: String,
}

/// A provider's public name; it belongs to the address, not to one offer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provider {
    /// Owner of offers.
    pub address: Address,
    /// Name on chain.
    pub name: String,
}

/// A key by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signer {
    /// Name that offers use.
    pub name: String,
    /// Where the key is.
    #[serde(rename = "type")]
    pub kind: SignerKind,
    /// The network that it signs for.
    pub network: String,
    /// The address that the key must have.
    pub address: Address,
    /// Secret in the operator's namespace with the key `privateKey`.
    pub secret_name: String,
    /// What it may be used for.
    pub roles: Vec<SignerRole>,
    /// Namespaces whose offers may use it; empty means all.
    #[serde(default)]
    pub allowed_namespaces: Vec<String>,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SignerKind {
    /// In a Secret of the operator's namespace, read by name.
    Secret,
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SignerRole {
    /// Prices, pledges, ends.
    Provider,
    /// Proves, activates, withdraws to the provider, leaves.
    Peer,
}

/// Times of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaseTimes {
    /// Another replica may take the lease when it stood still for this long.
    pub duration_milliseconds: u64,
    /// The leader renews this often.
    pub renew_milliseconds: u64,
    /// The leader stops leading when its last success is this old; below the duration.
    pub deadline_milliseconds: u64,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration_milliseconds: 15_000,
            renew_milliseconds: 2_000,
            deadline_milliseconds: 10_000,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`Error`] names the file and the field; only an edit of the file helps.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text).map_err(|source| Error::Content { path: path.to_path_buf(), source })
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    ///
    /// [`Problem`] names the field.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let config: Self = serde_yaml::from_str(text)
            .map_err(|source| Problem::Shape { source: Box::new(source) })?;
        check::check(&config)?;
        Ok(config)
    }

    /// The network of this name.
    #[must_use]
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.name == name)
    }

    /// The signer of this name.
    #[must_use]
    pub fn signer(&self, name: &str) -> Option<&Signer> {
        self.signers.iter().find(|signer| signer.name == name)
    }

    /// The public name of a provider; `None` if the platform team gave it none.
    #[must_use]
    pub fn provider_name(&self, address: Address) -> Option<&str> {
        self.providers
            .iter()
            .find(|provider| provider.address == address)
            .map(|provider| provider.name.as_str())
    }
}

impl Signer {
    /// Whether offers of this namespace may use it.
    #[must_use]
    pub fn allows(&self, namespace: &str) -> bool {
        listed(&self.allowed_namespaces, namespace)
    }
}

fn listed(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|allowed| allowed == name)
}

#[cfg(test)]
mod tests;
