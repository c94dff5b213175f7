//! What was earned, fetched on schedule.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::U256;

use crate::call::Call;
use crate::chain::Snapshot;
use crate::gate::{Flight, Gate, Hold, PlannedCall};
use crate::id::{CommitmentId, DealAddress, OnchainWorkerId, PeerId};

pub use plan::{due, plan, sources};

/// Everything that an offer's payouts are decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The offer's peers.
    pub peers: BTreeSet<PeerId>,
    /// Commitments of the past that may hold unpaid rewards.
    pub past_commitments: BTreeSet<CommitmentId>,
    /// The market.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Block timestamp, seconds, of the last withdrawal from each source; one that is not listed was never drawn from.
    pub last: BTreeMap<Source, u64>,
    /// When and from what amount.
    pub policy: Policy,
    /// Whether the offer is being withdrawn: the last of a past commitment is fetched without waiting for the interval.
    pub ending: bool,
    /// Our transactions of both keys that the final block does not show.
    pub flights: Vec<Flight>,
    /// What may be sent.
    pub gate: Gate,
}

/// Where money is fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A commitment's proof rewards, FLT.
    Commitment(CommitmentId),
    /// A worker's pay, in the deal's token.
    Worker(DealAddress, OnchainWorkerId),
}

impl Source {
    /// The source that a call draws from; `None` for any other call.
    #[must_use]
    pub const fn of(call: &Call) -> Option<Self> {
        if let Call::WithdrawCommitmentRewards { commitment, .. } = call {
            return Some(Self::Commitment(*commitment));
        }
        if let Call::WithdrawDealRewards { deal, worker, .. } = call {
            return Some(Self::Worker(*deal, *worker));
        }
        None
    }
}

/// `spec.payouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Seconds of chain time between withdrawals from one source.
    pub interval_seconds: u64,
    /// Least base units of the payment token for a worker's pay.
    pub minimum_pay: U256,
    /// Least wei for proof rewards.
    pub minimum_reward: U256,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sign and send.
    Send(Call),
}

/// Why the plan is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No fresh snapshot.
    ChainUnknown,
    /// Withdrawals are to be sent.
    Withdrawing,
    /// Withdrawals are on their way.
    WaitingForReceipt,
    /// Withdrawals are due and held.
    Held(Hold),
    /// Nothing is due.
    NothingDue,
}

/// What the turn does for an offer's payouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To do now, in this order.
    pub steps: Vec<Step>,
    /// All transactions that are wanted, sent now or held.
    pub planned: Vec<PlannedCall>,
    /// Past commitments that hold nothing any more: to be forgotten.
    pub retired: BTreeSet<CommitmentId>,
    /// Why.
    pub why: Why,
}
