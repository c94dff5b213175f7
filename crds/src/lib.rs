//! Coreward's kinds: the Rust types, and the YAML made from them.
//!
//! A person writes a [`ProviderOffer`]; the operator mirrors what the chain says into [`CapacityUnit`]s and [`Deal`]s and
//! makes its own transactions visible as [`ChainTransaction`]s. [`definitions`] gives the four definitions as the API
//! server takes them; the files `*.coreward.dev.yaml` beside this crate are the same, written out.

#![expect(
    clippy::duplicated_attributes,
    reason = "the words of one column stand again in the next"
)]
#![expect(
    unreachable_pub,
    reason = "the derive writes its items as `pub` in private modules; all of ours are re-exported here"
)]

mod capacity_unit;
mod chain_transaction;
mod condition;
mod deal;
mod definition;
mod intake;
mod overlay;
mod peers;
mod provider_offer;
mod provider_offer_status;
mod schema;
mod units_per_node;

pub use capacity_unit::{
    CapacityUnit, CapacityUnitSpec, CapacityUnitStatus, NameRef, RoleChange, UnitCommitment,
    UnitEpoch, UnitPlacement, UnitRole,
};
pub use chain_transaction::{
    AttemptPurpose, ChainTransaction, ChainTransactionSpec, ChainTransactionStatus,
    TransactionAttempt, TransactionOutcome, TransactionReceipt, TransactionState,
};
pub use condition::{Condition, ConditionStatus};
pub use deal::{
    AppliedPolicy, Deal, DealChain, DealExit, DealPolicy, DealRevenue, DealSpec, DealStatus,
    DealSubnet, DealTimeline, DealWorker, DesiredState, RequestedExit, WorkerCounts,
};
pub use definition::{definitions, to_yaml};
pub use intake::{Egress, EgressMode, Instances, Intake, Worker, WorkerLimits};
pub use overlay::Overlay;
pub use peers::{PeerAssignment, Peers};
pub use provider_offer::{
    Capacity, Collateral, Commitment, CommitmentMode, CoreIsolation, Datacenter, DeletionPolicy,
    Gas, ManagementPolicy, NodeSelector, OfferedResource, Payouts, ProofTarget, Proofs,
    ProviderAccount, ProviderOffer, ProviderOfferSpec, Renewal, ResourcePrice,
};
pub use provider_offer_status::{
    CommitmentCounts, Earned, Economics, OfferSummary, OfferUnits, PastCommitment, PeerStatus,
    PendingChange, PlannedStep, ProviderOfferStatus,
};
pub use units_per_node::UnitsPerNode;

/// API group of all four kinds.
pub const GROUP: &str = "coreward.dev";

/// The one served and stored version.
pub const VERSION: &str = "v1alpha1";
