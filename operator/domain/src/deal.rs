//! A deal that our units serve: its namespace, its workers' activation, its members, and the ways out of it.

mod condition;
mod departures;
mod plan;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::Address;

use crate::call::Call;
use crate::chain::Snapshot;
use crate::epoch::Epoch;
use crate::gate::{Flight, Gate, Hold, PlannedCall};
use crate::id::{DealAddress, OffchainWorkerId, OnchainWorkerId, PeerId, UnitId};

pub use condition::{conditions, fault};
pub use departures::stopped;
pub use plan::{members, plan};

/// Everything that our part of one deal is decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The deal.
    pub deal: DealAddress,
    /// Peers of this offer: a worker on one of them is ours. `None` while they could not be listed.
    pub peers: Option<BTreeSet<PeerId>>,
    /// The market.
    pub snapshot: Option<Arc<Snapshot>>,
    /// What the cluster shows of our workers.
    pub workers: BTreeMap<OnchainWorkerId, Local>,
    /// What the humans want.
    pub policy: Policy,
    /// The deal's namespace.
    pub namespace: Namespace,
    /// Worker pods of this deal that exist in any phase; `None` while they could not be listed.
    pub pods: Option<u32>,
    /// The block at which the chain was first seen to list none of our workers; `None` before that was seen.
    pub gone_since: Option<u64>,
    /// What the last probe of the subnet saw; `None` before the first.
    pub subnet: Option<Subnet>,
    /// Whether the deal's network policies are known to be enforced; `None` before it was tried.
    pub isolated: Option<bool>,
    /// Our transactions of the peers' keys that are not final.
    pub flights: Vec<Flight>,
    /// What may be sent.
    pub gate: Gate,
}

/// `spec.intake` and the deal's `spec.policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether the deal is served.
    pub desired: Desired,
    /// Owners whose deals are not served.
    pub deny_owners: BTreeSet<Address>,
    /// Deals of the offer whose own policy asks to leave them, whether their notice is over or not.
    pub exits: BTreeSet<DealAddress>,
    /// How many deals may be left at once, by the word of a human.
    pub confirmed_exits: u64,
    /// Epochs that an unpaid deal is served on.
    pub unpaid_grace: u64,
    /// Epochs after the match within which a worker must answer.
    pub unready_grace: u64,
}

/// Whether a deal is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Desired {
    /// Yes.
    #[default]
    Serve,
    /// A human asked to leave.
    Exit {
        /// Chain time at which the notice is over, seconds.
        leaves_at: u64,
    },
}

/// The deal's namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// Stands with all that a worker needs.
    Ready,
    /// Is there, and not complete.
    Incomplete,
    /// Is not there.
    Absent,
    /// Is going away.
    Terminating,
    /// Not known.
    #[default]
    Unknown,
}

/// What the cluster shows of one of our workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The public key that it is to have in its present generation; `None` while that is not known.
    pub key: Option<OffchainWorkerId>,
    /// Public keys of its earlier generations.
    pub older_keys: BTreeSet<OffchainWorkerId>,
    /// Whether its resources fit beside the staked provers of its node; `None` while that is not known.
    pub fits: Option<bool>,
    /// Its pod.
    pub pod: WorkerPod,
}

/// How far a worker's pod is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WorkerPod {
    /// Not known.
    #[default]
    Unknown,
    /// There is none.
    Missing,
    /// On its way; the decisive reason of a pod that does not start, if there is one.
    Starting(Option<String>),
    /// Answered a request of its own; the key that it reports.
    Ready(OffchainWorkerId),
    /// Answers with the version before the ordered one.
    Rolling {
        /// The key that it reports.
        key: OffchainWorkerId,
        /// Why the ordered version does not run, if that is known, in words.
        failure: Option<(ArtifactFault, String)>,
    },
    /// The artifact does not run, and there is none from before.
    Failed {
        /// What is wrong with it.
        fault: ArtifactFault,
        /// In words.
        message: String,
    },
}

/// Why an artifact does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtifactFault {
    /// No gateway answered in time.
    GatewayUnreachable,
    /// Every gateway said that there is none.
    NotFound,
    /// A block does not hash to its CID.
    DigestMismatch,
    /// More bytes, blocks or depth than allowed.
    TooLarge,
    /// No component, or one that asks for what is not granted, or one that traps at its first request.
    InvalidWasm,
    /// Compilation passed its limits.
    CompileLimit,
}

impl ArtifactFault {
    /// The reason of `ArtifactAvailable`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GatewayUnreachable => "GatewayUnreachable",
            Self::NotFound => "NotFound",
            Self::DigestMismatch => "DigestMismatch",
            Self::TooLarge => "TooLarge",
            Self::InvalidWasm => "InvalidWasm",
            Self::CompileLimit => "CompileLimit",
        }
    }
}

/// What a probe of the subnet saw, over all our workers of the deal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    /// Activated members of the deal, ours included.
    pub expected: u32,
    /// Of those, ours that are up and others that answered.
    pub reachable: u32,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the deal's namespace and all that stands in it, or complete it.
    EnsureNamespace,
    /// Sign and send: activation or removal of a worker.
    Send(Call),
    /// Delete the namespace: the chain lists none of our workers there, and no pod is left.
    DeleteNamespace,
    /// Take our finalizer off the mirror, and delete it.
    ReleaseMirror,
}

/// Why a worker leaves, or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaving {
    /// The deal was stopped.
    Ended,
    /// Its money is gone, and the grace too.
    Unpaid,
    /// It did not answer within the grace; it was never billed.
    Unready,
    /// The deal's owner is denied.
    Denied,
    /// A human asked for it.
    Requested,
    /// The peer's commitment failed or ended: the deal would pay the contract's owner only.
    CommitmentOver,
    /// Its resources do not fit beside the staked provers.
    DoesNotFit,
}

impl Leaving {
    /// The reason of `Exiting`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ended => "EndedOnChain",
            Self::Unpaid => "Unpaid",
            Self::Denied => "Denied",
            Self::Unready | Self::Requested | Self::CommitmentOver | Self::DoesNotFit => {
                "RequestedByOperator"
            }
        }
    }

    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ended => "the deal was stopped on chain",
            Self::Unpaid => "the deal is unpaid beyond its grace",
            Self::Unready => "the worker did not answer within its grace",
            Self::Denied => "the deal's owner is denied",
            Self::Requested => "exit was requested",
            Self::CommitmentOver => "the peer's commitment is over",
            Self::DoesNotFit => "its memory does not fit beside the staked provers",
        }
    }
}

/// Why one of our workers is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerWhy {
    /// Its pod is on its way.
    Starting,
    /// Its pod is not known.
    Unknown,
    /// Its artifact does not run.
    Failed(ArtifactFault),
    /// To be activated in this turn, or on its way.
    Activating,
    /// Answers, and the deal cannot pay for it.
    Unfunded,
    /// Activated with a key that is none of ours.
    ForeignKey,
    /// Activated, and its pod is ready.
    Serving,
    /// Activated, and its pod is not ready.
    Degraded,
    /// To be removed in this turn, or on its way.
    Leaving(Leaving),
    /// Something wanted is held.
    Held(Hold),
}

/// Why the deal's plan is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No fresh snapshot, or an entry of it is missing.
    ChainUnknown,
    /// Peers could not be listed.
    ClusterUnknown,
    /// We have workers in it.
    Joined,
    /// The chain lists none of our workers in it; what is left is cleared away.
    Clearing,
    /// Nothing is left of it.
    Gone,
}

/// What the turn does for one deal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To do now, in this order.
    pub steps: Vec<Step>,
    /// All transactions that are wanted, sent now or held.
    pub planned: Vec<PlannedCall>,
    /// Our workers, by the chain.
    pub workers: BTreeMap<OnchainWorkerId, WorkerPlan>,
    /// Why.
    pub why: Why,
}

/// What is decided for one of our workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPlan {
    /// Its peer.
    pub peer: PeerId,
    /// Its units.
    pub units: BTreeSet<UnitId>,
    /// Whether it is activated on chain.
    pub activated: bool,
    /// Whether its pod is ready.
    pub ready: bool,
    /// Whether a pod is wanted for it: `open_seats` of the unit plan; else it belongs to `refused_seats`.
    pub served: bool,
    /// Epoch of the match.
    pub joined: Epoch,
    /// Why.
    pub why: WorkerWhy,
}

/// A member of the deal's subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Its id on chain.
    pub worker: OnchainWorkerId,
    /// Its key.
    pub offchain: OffchainWorkerId,
}
