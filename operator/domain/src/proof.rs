//! Proofs of one peer: the minimum of every unit first, never more than the contract takes, never across an epoch.

mod batch;
mod plan;
mod puzzle;

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::B256;

use crate::call::Call;
use crate::chain::Snapshot;
use crate::epoch::Epoch;
use crate::gate::{Flight, Gate, Hold, PlannedCall};
use crate::id::{PeerId, UnitId};

pub use plan::plan;
pub use puzzle::{Puzzle, puzzle_for};

/// Refused proofs of an epoch after which a unit's others go apart from its peer's: a wrong one has a whole batch refused.
pub const QUARANTINE: u32 = 3;

/// Everything that the proofs of one peer are decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The peer.
    pub peer: PeerId,
    /// The market; `None` while no fresh snapshot is at hand.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Whether enough endpoints tell of the snapshot's block; proofs are sent if not, and none is given up.
    pub is_believed: bool,
    /// Proofs that the provers of this peer have found and that were not acknowledged to them.
    pub pool: Vec<Found>,
    /// Units with [`QUARANTINE`] refused proofs in this epoch, or more.
    pub quarantined: BTreeSet<UnitId>,
    /// Our transactions of the peer's key that are not final.
    pub flights: Vec<Flight>,
    /// How many proofs are wanted.
    pub target: Target,
    /// Percent that an extra proof's reward must exceed its gas by.
    pub safety_margin_percent: u32,
    /// What one transaction may carry.
    pub limits: Limits,
    /// Seconds since the head arrived, by the local clock; it may only ever make us refrain.
    pub seconds_since_head: u64,
    /// Usual seconds between blocks, at least 1.
    pub block_seconds: u64,
    /// Whether a human has confirmed that staked units may stop proving.
    pub stop_confirmed: bool,
    /// What may be sent.
    pub gate: Gate,
}

/// `spec.proofs.target`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The minimum, and more while the reward is worth the gas.
    #[default]
    Auto,
    /// The minimum.
    Minimum,
    /// All that the contract takes.
    Maximum,
}

/// What one transaction may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Gas.
    pub gas: u64,
    /// Bytes of call data.
    pub bytes: u64,
}

impl Default for Limits {
    /// Below a block of 30 M gas, and the 128 KiB that nodes accept as one transaction.
    fn default() -> Self {
        Self { gas: 25_000_000, bytes: 120 * 1024 }
    }
}

/// A proof that a prover has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// For this unit.
    pub unit: UnitId,
    /// The puzzle's epoch.
    pub epoch: Epoch,
    /// The puzzle's global nonce.
    pub global_nonce: B256,
    /// RandomX input.
    pub local_nonce: B256,
    /// RandomX output.
    pub result_hash: B256,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a found proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Not named by any receipt.
    #[default]
    Open,
    /// `ProofsConfirmed` named it, as accepted or as flagged.
    Settled,
    /// Found wrong by bisection: never sent again.
    Refused,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sign and send.
    Send(Call),
    /// Tell the prover that it may delete this proof: settled, refused, or of a past epoch.
    Acknowledge {
        /// Of this unit.
        unit: UnitId,
        /// Which.
        local_nonce: B256,
        /// Whether its epoch is over and no receipt named it: count it as lost.
        stale: bool,
    },
}

/// Why the plan is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No fresh snapshot, or an entry of it is missing.
    ChainUnknown,
    /// The peer is not on chain.
    NotRegistered,
    /// The commitment does not take proofs now.
    NotActive,
    /// A human has confirmed that proving stops.
    StopConfirmed,
    /// Too near the end of the epoch.
    EpochEnding,
    /// The last batch of this peer is on its way.
    WaitingForReceipt,
    /// A batch is to be sent, with proofs that a minimum needs.
    SendingMinimum,
    /// A batch is to be sent, of proofs beyond the minimum.
    SendingExtra,
    /// A batch is wanted and held.
    Held(Hold),
    /// Found proofs beyond the minimum wait for company.
    Collecting,
    /// No proof that would be of use was found.
    NothingToSend,
}

/// What the turn does for the proofs of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To do now, in this order.
    pub steps: Vec<Step>,
    /// All transactions that are wanted, sent now or held.
    pub planned: Vec<PlannedCall>,
    /// Why.
    pub why: Why,
}
