//! Messages between Coreward's own processes.
//!
//! The operator serves `/v1/…` over TLS; provers, workers, node agents, gateways and probes call it with a bound service-account
//! token. Every body is JSON. A field may be added with a default; a field is never renamed or reused: pods of an older
//! version go on running through an upgrade of the operator.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `GET /v1/assignment?seen=<revision>` | none | 200 [`Assignment`], or 204 after at most ten seconds without a newer one |
//! | `POST /v1/proofs` | [`FoundProofs`] | 200 [`ProofReceipt`] |
//! | `POST /v1/report` | [`Report`] | 204 |
//!
//! 401: the token is not valid; 403: the pod is not one of ours or already replaced; 429 and 503: try again later.

mod assignment;
mod report;

pub use assignment::{
    ArtifactOrder, Assignment, Duty, Egress, GatewayDuty, Gateways, Member, NodeDuty, ProofTarget,
    ProverDuty, Puzzle, RequestLimits, SecretSeed, WorkerDuty, WorkerLimits,
};
pub use report::{
    ArtifactFailure, ArtifactFault, CpuEvidence, FoundProof, FoundProofs, GatewayReport, HashMode,
    NodeFacts, NodeReport, ProbeReport, ProofReceipt, ProverReport, Report, SubnetReport,
    WorkerReport, WorkerStage,
};

/// The audience that every projected token of our pods is made for.
pub const TOKEN_AUDIENCE: &str = "coreward-pods";

/// How long the operator holds an assignment request that has nothing new to say.
pub const LONG_POLL: core::time::Duration = core::time::Duration::from_secs(10);
