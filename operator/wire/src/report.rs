//! What a pod tells the operator.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// Proofs of one unit, each durable on the prover's volume until acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundProofs {
    /// The unit that they were found for.
    pub unit_id: B256,
    /// At most 64 in one post.
    pub proofs: Vec<FoundProof>,
}

/// One found proof.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundProof {
    /// The epoch of the puzzle.
    pub epoch: u64,
    /// The global nonce of the puzzle.
    pub global_nonce: B256,
    /// RandomX input.
    pub local_nonce: B256,
    /// RandomX output.
    pub result_hash: B256,
}

/// The answer to [`FoundProofs`]: what the prover may delete now. All else must be kept and may be posted again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofReceipt {
    /// Local nonces that are confirmed on chain, refused for good, or stale.
    pub acknowledged: Vec<B256>,
}

/// What a pod says of itself; sent on every change and at least once a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Report {
    /// From a prover.
    Prover(ProverReport),
    /// From a worker.
    Worker(WorkerReport),
    /// From a node agent.
    Node(NodeReport),
    /// From a probe.
    Probe(ProbeReport),
    /// From a gateway.
    Gateway(GatewayReport),
}

/// CPUs as the pod itself sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuEvidence {
    /// The pod's CPU set in kernel list form, e.g. `6,38`. Source: `Cpus_allowed_list`.
    pub cpus: String,
    /// CPUs of the node that are online, in list form.
    pub online: String,
    /// Whether the set is exactly the siblings of whole cores, and not the whole machine's shared pool.
    pub whole_cores: bool,
    /// Threads of one core on this node.
    pub threads_per_core: u32,
}

/// How a prover hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashMode {
    /// 256 MiB of cache, about a sixteenth of the rate.
    Light,
    /// The whole dataset in memory.
    Full,
}

/// From a prover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProverReport {
    /// The unit it works for, as assigned.
    pub unit_id: B256,
    /// Its CPUs.
    pub cpu: CpuEvidence,
    /// Its mode.
    pub mode: HashMode,
    /// Whether it hashes, or has all proofs that are of use.
    pub ready: bool,
    /// What keeps it from being ready, in words for whoever looks at the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
    /// Whether a dataset or cache is being built just now.
    pub building: bool,
    /// Hashes per second over the last minute of hashing.
    pub hash_rate: f64,
    /// The epoch that it works on; 0 when none.
    pub epoch: u64,
    /// Proofs found for that epoch.
    pub found: u32,
    /// Proofs dropped as stale since the start of the process.
    pub stale: u64,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerStage {
    /// Waits for its duty.
    Waiting,
    /// Gets the artifact.
    Fetching,
    /// Compiles it.
    Compiling,
    /// Answered a request of its own; the pod is Ready.
    Serving,
    /// Cannot serve; `failure` says why.
    Failed,
}

/// Why an artifact does not run; the names are the reasons of the condition `ArtifactAvailable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArtifactFault {
    /// No gateway answered in time.
    GatewayUnreachable,
    /// Every gateway said that there is none.
    NotFound,
    /// A block does not hash to its CID.
    DigestMismatch,
    /// More bytes, blocks or depth than allowed.
    TooLarge,
    /// Not a component, or one that asks for what is not granted, or one that traps at its first request.
    InvalidWasm,
    /// Compilation passed its limits of time or memory.
    CompileLimit,
}

/// An artifact's fault in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactFailure {
    /// The class.
    pub fault: ArtifactFault,
    /// One sentence for the deal's condition: what was wrong with what.
    pub message: String,
}

/// From a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    /// The worker, as assigned.
    pub onchain_worker_id: B256,
    /// Public half of its key.
    pub offchain_worker_id: B256,
    /// The CID that `stage` and `failure` are about.
    pub cid: String,
    /// How far it is.
    pub stage: WorkerStage,
    /// The CID that answers requests, which during a change is the one before; `None` while nothing does.
    #[serde(default)]
    pub serving: Option<String>,
    /// Why it does not serve.
    pub failure: Option<ArtifactFailure>,
    /// Its CPUs.
    pub cpu: CpuEvidence,
    /// Port that its overlay listens on.
    pub overlay_port: u16,
    /// What its probe of the other members saw.
    pub subnet: SubnetReport,
}

/// What a worker's probe of its subnet saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetReport {
    /// The block of the member list that was probed; 0 before the first probe.
    pub members_block: u64,
    /// Members other than itself that answered.
    pub reachable: Vec<B256>,
    /// Members other than itself that did not.
    pub unreachable: Vec<B256>,
}

/// From a node agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// What the node is.
    pub facts: NodeFacts,
    /// Where its artifact server answers, e.g. `http://10.244.1.7:8080`.
    pub artifact_url: String,
}

/// What a node agent reads from `/proc` and `/sys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Physical cores online.
    pub cores: u32,
    /// Threads of one core; 1 where SMT is off.
    pub threads_per_core: u32,
    /// Memory of the node in MiB.
    pub memory_mib: u64,
    /// CPU model as the kernel names it.
    pub cpu_model: String,
    /// Mode of transparent huge pages: `always`, `madvise` or `never`.
    pub transparent_huge_pages: String,
    /// NUMA nodes.
    pub numa_nodes: u32,
}

/// From a probe pod: evidence of the node's CPU policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeReport {
    /// Its CPUs.
    pub cpu: CpuEvidence,
    /// Light-mode hashes per second over the probe's few seconds.
    pub hash_rate: f64,
}

/// From a gateway: what others need to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayReport {
    /// Its ed25519 public key.
    pub key: B256,
    /// Multiaddrs at which it is reached from outside, with its key at the end.
    pub addresses: Vec<String>,
    /// Port that it listens on inside the cluster.
    pub port: u16,
}
