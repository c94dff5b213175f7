//! What runs on a node for the units of one peer: a prover per idle unit, one worker per seat.

mod condition;
mod drain;
mod orphan;
mod plan;
mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::chain::{Seat, Snapshot};
use crate::epoch::Epoch;
use crate::gate::Management;
use crate::id::{PeerId, UnitId};
use crate::offer::IneligibleReason;

pub use condition::{UnitReport, account, conditions};
pub(crate) use drain::has_minimum;
pub use drain::{Draining, draining};
pub use orphan::plan_orphan;
pub use plan::plan;
pub(crate) use plan::roles;

/// Seconds that a prover has to end; it keeps its proofs on its volume.
pub const PROVER_GRACE_SECONDS: u32 = 1;

/// Seconds that a worker has to end its requests once its seat is gone.
pub const WORKER_GRACE_SECONDS: u32 = 1;

/// Everything that the pods of one peer are decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The peer.
    pub peer: PeerId,
    /// The node that its units live on; `None` while that is not known: nothing is created.
    pub node: Option<String>,
    /// The market; `None` while no fresh snapshot is at hand.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The pods of this peer, in all namespaces; `None` while they could not be listed.
    pub pods: Option<Vec<Pod>>,
    /// Hash of the template that a new prover would get.
    pub prover_template: String,
    /// Seats whose namespace stands and whose deal is to be served.
    pub open_seats: BTreeSet<Seat>,
    /// Seats that are given back: no worker is made for them.
    pub refused_seats: BTreeSet<Seat>,
    /// How far the operator may act; provers of staked units do not depend on it.
    pub management: Management,
    /// What the node's people want of it; `None` while the node is not listed.
    pub cordon: Option<Cordon>,
    /// Whether it was noted that pods of this peer were evicted from its node since that was cordoned.
    pub drain_noted: bool,
}

/// What the people of a node want of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cordon {
    /// Pods may come and stay.
    Open,
    /// Nothing new comes; what runs may go once that costs nothing.
    Cordoned,
    /// The same, and a time is set from which losses are accepted.
    Announced,
    /// That time has come.
    Overdue,
    /// A time is set that nobody can read; it counts for nothing.
    Misdated,
}

/// A pod of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Kubernetes UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it is for; read from its labels and annotations.
    pub role: PodRole,
    /// Where it is in its life.
    pub phase: Phase,
    /// Hash of the template that it was made from.
    pub template: String,
    /// How many pods for the same role came to nothing just before it; read from its annotation.
    pub attempt: u32,
    /// Whether the standing budget keeps it from being evicted.
    pub held: bool,
    /// Whether it is on its way out because somebody evicted it.
    pub evicted: bool,
    /// Where it is, if not on the node that its peer lives on.
    pub elsewhere: Option<Elsewhere>,
}

/// A node that a peer has left, with a pod of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Nobody hears of the node: the pod may live.
    Unheard,
    /// The node reports, so a pod that is deleted ends.
    Heard,
}

/// What a pod is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodRole {
    /// Proves for a unit.
    Prover(UnitId),
    /// Serves a seat with the cores of these units.
    Worker {
        /// The seat.
        seat: Seat,
        /// Its units.
        units: BTreeSet<UnitId>,
    },
}

impl PodRole {
    /// Whether a pod of this role holds the core of `unit`.
    #[must_use]
    pub fn holds(&self, unit: UnitId) -> bool {
        match self {
            Self::Prover(own) => *own == unit,
            Self::Worker { units, .. } => units.contains(&unit),
        }
    }

    /// All units whose cores a pod of this role holds.
    #[must_use]
    pub fn units(&self) -> BTreeSet<UnitId> {
        match self {
            Self::Prover(unit) => BTreeSet::from([*unit]),
            Self::Worker { units, .. } => units.clone(),
        }
    }
}

/// Where a pod is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not scheduled, or its containers do not run yet.
    Pending,
    /// Running, not ready.
    Running,
    /// Running and ready.
    Ready,
    /// Its container cannot be started; the kubelet tries again and again.
    Stuck {
        /// Why, e.g. `ErrImagePull`.
        reason: String,
        /// Seconds since the kubelet took it up.
        seconds: u64,
        /// Whether the container ran before: what it left on its volume is worth keeping.
        has_run: bool,
    },
    /// Has a deletion timestamp, and may still run.
    Deleting,
    /// Has a deletion timestamp, and all its containers have ended: its cores are free, its name is taken until it is gone.
    Released,
    /// Ended for good (Failed or Succeeded).
    Ended {
        /// The decisive reason, e.g. `SMTAlignmentError`.
        reason: String,
        /// Seconds since its end.
        seconds_ago: u64,
        /// Seconds that it ran.
        ran_seconds: u64,
    },
}

/// One act on pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a prover pod for a unit on `node`.
    CreateProver {
        /// Its unit.
        unit: UnitId,
        /// Where.
        node: String,
        /// To be kept as annotation.
        attempt: u32,
    },
    /// Make a worker pod for a seat on `node`, in the deal's namespace, with all cores of `units`.
    CreateWorker {
        /// Its seat.
        seat: Seat,
        /// Its units; never empty.
        units: BTreeSet<UnitId>,
        /// Where.
        node: String,
        /// To be kept as annotation.
        attempt: u32,
    },
    /// Delete one pod by UID.
    DeletePod {
        /// Its UID: a precondition of the deletion.
        uid: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Seconds that it has.
        grace_seconds: u32,
        /// Why.
        cause: DeletionCause,
    },
    /// Put one pod under the standing budget, or take it out so that it can be evicted.
    SetHold {
        /// Its UID: a precondition of the change.
        uid: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Whether it is held.
        held: bool,
    },
    /// Note with the peer that its node is being drained, or that this is over.
    NoteDrain {
        /// Whether it is.
        drained: bool,
    },
}

/// The positive fact that a pod's deletion rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeletionCause {
    /// The chain gave its unit a seat.
    UnitSeated,
    /// The chain freed its seat.
    SeatGone,
    /// The chain asks no proofs of its unit any more.
    NotCommitted,
    /// The chain does not list its unit for this peer.
    UnitGone,
    /// It ended by itself.
    Ended,
    /// Its container could not be started for a long time.
    Stuck,
    /// Its node was drained before it came up.
    NodeDrained,
    /// Another pod does the same.
    Duplicate,
    /// Its peer lives on another node, where its unit proves or serves already.
    Moved,
    /// Its template is old, and it does not run, or its unit has its minimum.
    OldTemplate,
}

/// What a unit is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Proves.
    Prover,
    /// Serves this seat.
    Worker(Seat),
    /// Is on chain, and neither committed nor in a deal.
    Spare,
    /// Is not on chain.
    None,
}

impl Role {
    /// The word in status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prover => "Prover",
            Self::Worker(_) => "Worker",
            Self::Spare => "Spare",
            Self::None => "None",
        }
    }
}

/// Why a unit's pods are as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No fresh snapshot, or an entry of it is missing: everything stays.
    ChainUnknown,
    /// Pods could not be listed: everything stays.
    ClusterUnknown,
    /// The node is not known: nothing is made.
    NodeUnknown,
    /// Another pod must give the core back first.
    WaitingForCore,
    /// The deal's namespace is not ready.
    WaitingForNamespace,
    /// The seat is given back.
    SeatRefused,
    /// The last pod ended; the next comes later.
    BackingOff {
        /// The decisive reason.
        reason: String,
        /// Seconds still to wait.
        seconds: u64,
    },
    /// The node is cordoned, and a worker that the chain does not know yet is nothing to begin there.
    NodeCordoned,
    /// Pods were evicted from the node, and it is still cordoned.
    NodeDrained,
    /// A pod is being made.
    Starting,
    /// The wanted pod is ready.
    Running,
    /// Nothing is wanted.
    Idle,
}

/// What the turn does for the pods of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To do now, in this order.
    pub steps: Vec<Step>,
    /// What each unit of the peer is wanted for, as the chain has it; empty while that is unknown.
    pub roles: BTreeMap<UnitId, Role>,
    /// What each unit's pods do now.
    pub running: BTreeMap<UnitId, Running>,
    /// Why, for each unit of the peer.
    pub why: BTreeMap<UnitId, Why>,
    /// Why, where it concerns the whole peer.
    pub blocked: Option<Why>,
}

/// What runs for a unit now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The pod's role.
    pub role: PodRole,
    /// The pod's namespace and name.
    pub pod: (String, String),
    /// Whether it is ready.
    pub ready: bool,
}

/// What a unit has to show for the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochAccount {
    /// The epoch.
    pub epoch: Epoch,
    /// Accepted proofs.
    pub proofs: u32,
    /// Proofs that the epoch needs of it; 0 while it is in a deal or not yet required.
    pub required: u32,
}

/// Evidence about a peer's node, for `NodeEligible`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvidence {
    /// Its CPU policy and size were verified.
    Verified,
    /// It cannot carry units.
    Ineligible(IneligibleReason),
    /// The last evidence is too old.
    Stale,
    /// None yet.
    Unknown,
}
