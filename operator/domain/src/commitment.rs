//! A peer's pledge: made, funded, watched, ended and made again.

mod end;
mod plan;
mod words;

use std::sync::Arc;

use alloy_primitives::Address;

use crate::call::Call;
use crate::chain::Snapshot;
use crate::epoch::Epoch;
use crate::gate::{Flight, Gate, Hold, PlannedCall};
use crate::id::{CommitmentId, PeerId};
use crate::offer::Deletion;

pub use plan::plan;

/// The smallest rate above zero, of 1e7: with the provider as its own delegator any more gives the deals' coin away.
pub const SMALLEST_RATE: u64 = 1;

/// Units taken out of a commitment by one transaction: 88 k gas each stay below 27 M of a 30 M block.
pub const UNITS_PER_EXIT: usize = 300;

/// Everything that the commitment of one peer is decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The peer.
    pub peer: PeerId,
    /// Owner of the offer; with [`Collateral::Provider`] also the delegator.
    pub provider: Address,
    /// What the spec wants.
    pub policy: Policy,
    /// Units that the peer shall have before it pledges them; `None` where that is not known: nothing new is pledged.
    pub wanted_units: Option<u64>,
    /// Whether its node can carry them and its key is confirmed. Only asked before something new is pledged.
    pub ready: bool,
    /// How the offer is being deleted, if it is: nothing new is pledged, what was pledged is kept to its end.
    pub ending: Option<Deletion>,
    /// Whether the peer had a commitment before; asked when `renewal` is manual.
    pub had_commitment: bool,
    /// Whether the creation of the present commitment is final. Ask by its id.
    pub created_final: bool,
    /// Whether a withdrawal of its collateral was mined; `None` where that is not known.
    pub collateral_withdrawn: Option<bool>,
    /// The market.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Our transactions of the provider's key that are not final.
    pub flights: Vec<Flight>,
    /// What may be sent.
    pub gate: Gate,
}

/// `spec.commitment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who makes it.
    pub mode: Mode,
    /// Epochs.
    pub duration: u64,
    /// Who pays the collateral.
    pub collateral: Collateral,
    /// What follows its end.
    pub renewal: Renewal,
    /// Epochs before its end at which it counts as expiring.
    pub expiry_notice: u64,
}

/// Who makes commitments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// We do.
    #[default]
    Auto,
    /// A human does; we report.
    Manual,
    /// There are none: whitelisted deals only.
    Off,
}

/// Who pays the collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collateral {
    /// The provider's key, at the smallest rate.
    Provider,
    /// Someone else, for a share; waited for.
    Delegator {
        /// Who.
        delegator: Address,
        /// Share, 1e7 is everything; above zero.
        rate: u64,
    },
}

/// What follows the end of a commitment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Renewal {
    /// The next one.
    #[default]
    Auto,
    /// Nothing.
    Manual,
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
    /// No fresh snapshot, or an entry of it is missing.
    ChainUnknown,
    /// The peer is not on chain yet.
    NotRegistered,
    /// `mode: Off` and there is none.
    Off,
    /// None, and a human makes it.
    LeftToHuman,
    /// None, and none follows: the offer is being deleted.
    Ending,
    /// None, and the node or key is not confirmed.
    NotReady,
    /// None, and units are still being added.
    UnitsChanging,
    /// None, and a unit is in a deal: pledging it would corrupt the commitment.
    UnitInDeal,
    /// The provider may not make commitments.
    NotWhitelisted,
    /// The chain takes other durations only.
    DurationOutOfRange {
        /// Fewest epochs.
        minimum: u64,
        /// Most epochs.
        maximum: u64,
    },
    /// The chain takes other numbers of units only.
    UnitsOutOfRange {
        /// Fewest units.
        minimum: u64,
        /// Most units.
        maximum: u64,
    },
    /// The provider's wallet does not hold the collateral.
    CollateralMissing,
    /// To be made in this turn.
    Creating,
    /// Made, and not yet final.
    WaitingForFinality,
    /// To be funded in this turn.
    Funding,
    /// Waits for its delegator.
    WaitDelegation,
    /// To be removed and made again: a unit is in a deal, or its terms are not the wanted ones.
    Replacing,
    /// Funded; works from its start epoch.
    WaitStart,
    /// Works.
    Active,
    /// Works, and ends soon.
    Expiring {
        /// First epoch after the last working one.
        end: Epoch,
    },
    /// Ended, and workers must leave first.
    WorkersLeaving,
    /// Ended, and being wound up.
    Closing,
    /// Failed, and being wound up.
    Failed {
        /// The first epoch in which the collateral may be withdrawn.
        until: Epoch,
    },
    /// Transactions are on their way.
    WaitingForReceipt,
    /// A transaction is wanted and held.
    Held(Hold),
}

/// What the turn does for the commitment of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To do now, in this order.
    pub steps: Vec<Step>,
    /// All transactions that are wanted, sent now or held.
    pub planned: Vec<PlannedCall>,
    /// The present commitment, if there is one.
    pub commitment: Option<CommitmentId>,
    /// Why.
    pub why: Why,
}
