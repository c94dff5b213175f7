//! What the operator tells a pod to do.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// What one pod has to do now; replaces whatever it was told before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Changes whenever `duty` or `leader` does; opaque to the pod, which sends it back as `seen`.
    pub revision: String,
    /// The operator replica that answers. When it changes, a prover posts again every proof not yet acknowledged.
    pub leader: String,
    /// What to do.
    pub duty: Duty,
}

/// The kinds of work a pod can be given; each kind of pod understands its own and refuses the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Duty {
    /// For a prover pod.
    Prover(ProverDuty),
    /// For a worker pod.
    Worker(Box<WorkerDuty>),
    /// For the node agent.
    Node(NodeDuty),
    /// For a gateway.
    Gateway(GatewayDuty),
    /// For a probe pod: report the CPU evidence, then end.
    Probe,
}

/// Hash for one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProverDuty {
    /// The unit that the proofs are for.
    pub unit_id: B256,
    /// What to solve; `None` while the commitment is not started or the chain has nothing to ask.
    pub puzzle: Option<Puzzle>,
    /// Local nonces of the current puzzle that the chain has confirmed, or refused for good: delete them.
    pub acknowledged: Vec<B256>,
}

/// What the chain asks of a unit in one epoch. Proofs of any other (epoch, global nonce) are stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Puzzle {
    /// The chain's epoch.
    pub epoch: u64,
    /// The epoch's global nonce; zero is a nonce like any other.
    pub global_nonce: B256,
    /// A hash, read as a big-endian number, must not be greater.
    pub difficulty: B256,
    /// How many proofs are of use.
    pub target: ProofTarget,
    /// Seconds of chain time until the epoch ends, when the assignment was made. Source: block timestamps.
    pub remaining_seconds: u64,
}

/// How many proofs of a unit the epoch can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofTarget {
    /// Needed for the epoch to count.
    pub minimum: u32,
    /// The prover stops when it has found this many (those already on chain included).
    pub useful: u32,
    /// Accepted by the chain so far in this epoch.
    pub on_chain: u32,
}

/// Host a deal's component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDuty {
    /// The deal's contract.
    pub deal: Address,
    /// This worker's id on chain (a counter, written in decimal in host names).
    pub onchain_worker_id: B256,
    /// Seed of the worker's ed25519 key, 32 bytes; its public half is the `offchainWorkerId`. Secret: never logged.
    pub key_seed: SecretSeed,
    /// What to run and where to get it.
    pub artifact: ArtifactOrder,
    /// What the component may use.
    pub limits: WorkerLimits,
    /// What the component may reach outside its subnet.
    pub egress: Egress,
    /// Every activated worker of the deal as the chain lists it, ourselves included if we are.
    pub members: Vec<Member>,
    /// The block that `members` was read at.
    pub members_block: u64,
    /// The gateways that it may use.
    #[serde(default)]
    pub gateways: Gateways,
}

/// Gateways, as a worker uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateways {
    /// Multiaddrs, with keys, of this cluster's own: the worker is to be reachable through each.
    #[serde(default)]
    pub own: Vec<String>,
    /// Whether gateways of other clusters may be dialled outside the public ranges.
    #[serde(default)]
    pub private: bool,
}

/// A 32-byte secret whose Debug shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretSeed(pub B256);

impl core::fmt::Debug for SecretSeed {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("SecretSeed(…)")
    }
}

/// One artifact to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactOrder {
    /// The root, as text (CIDv1, base32).
    pub cid: String,
    /// Refused beyond this many bytes (all blocks together).
    pub max_bytes: u64,
    /// For workers: the node agent that serves it, e.g. `http://10.244.1.7:8080`. For node agents: unused, empty.
    #[serde(default)]
    pub from: String,
}

/// Bounds of a worker, from the deal's resources and the offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerLimits {
    /// MiB that the component's instances may use together; the compiler draws from them, too.
    pub memory_mib: u64,
    /// Longest request in milliseconds of wall time.
    pub request_milliseconds: u64,
    /// Connections open at once on the public port.
    pub connections: u32,
    /// MiB of storage that the deal allocates for each worker; 0 if it asks for none.
    #[serde(default)]
    pub storage_mib: u64,
    /// What one request may use; an order of an older operator does not say.
    #[serde(default)]
    pub request: RequestLimits,
    /// Whether one instance may answer several requests, one after another, where its app allows it too.
    #[serde(default)]
    pub reuse_instances: bool,
}

/// What one request to a component may use, and the instance that answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestLimits {
    /// Milliseconds of CPU time.
    pub cpu_milliseconds: u64,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub answer_bytes: u64,
    /// Connections and requests to others open at once.
    pub connections: u32,
    /// Bytes of bodies to and from others.
    pub outbound_bytes: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            cpu_milliseconds: 10_000,
            memory_mib: 512,
            request_bytes: 256 << 20,
            answer_bytes: 256 << 20,
            connections: 16,
            outbound_bytes: 256 << 20,
        }
    }
}

/// Hosts that a component may reach outside its subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase")]
pub enum Egress {
    /// None at all.
    #[default]
    None,
    /// Only these names.
    AllowList {
        /// Exact host names.
        hosts: Vec<String>,
    },
    /// Any public address.
    Internet,
}

/// One activated worker of a deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id on chain.
    pub onchain_worker_id: B256,
    /// Its ed25519 public key.
    pub offchain_worker_id: B256,
    /// Multiaddrs, best first: in this cluster without the key, elsewhere `<gateway>/p2p/<its key>/p2p-circuit`; empty when
    /// no address is known.
    pub addresses: Vec<String>,
}

/// What a node agent has to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDuty {
    /// Artifacts that workers of this node may ask for; any other is refused.
    pub artifacts: Vec<ArtifactOrder>,
    /// Base addresses of IPFS gateways, tried in this order.
    pub gateways: Vec<String>,
}

/// Whom a gateway relays for; it refuses everybody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayDuty {
    /// Ed25519 public keys of this cluster's workers: they may be reached through the gateway.
    pub own: Vec<B256>,
    /// The same of all other members of their deals: they may reach the own ones.
    pub others: Vec<B256>,
}
