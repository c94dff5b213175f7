//! What a prover is told.

use alloy_primitives::B256;

use crate::chain::CommitmentStatus;
use crate::epoch::Epoch;
use crate::id::UnitId;

use super::{Seen, Target};

/// What the chain asks of a unit in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// The epoch.
    pub epoch: Epoch,
    /// Its global nonce; zero is a nonce like any other.
    pub global_nonce: B256,
    /// A hash, read as a big-endian number, must not be greater.
    pub difficulty: B256,
    /// Proofs needed for the epoch to count.
    pub minimum: u32,
    /// The prover stops when it has found this many, those on chain included.
    pub useful: u32,
    /// Accepted by the chain so far.
    pub on_chain: u32,
    /// Seconds of chain time to the end of the epoch, at the snapshot's block.
    pub remaining_seconds: u64,
}

/// The puzzle of a unit; `None` while it is to hash nothing, or while that is not known.
///
/// What a prover was told last stays in force on the prover until its epoch is over: `None` is not an order to forget.
#[must_use]
pub fn puzzle_for(seen: &Seen, unit: UnitId) -> Option<Puzzle> {
    let snapshot = seen.snapshot.as_deref()?;
    let peer = snapshot.peers.get(&seen.peer)?.as_ref()?;
    let commitment = snapshot.commitments.get(&peer.commitment?)?.as_ref()?;
    let idle = peer.units.get(&unit)?.seat.is_none();
    if !idle || commitment.status != CommitmentStatus::Active || seen.stop_confirmed {
        return None;
    }
    let rules = &snapshot.rules;
    let useful = match seen.target {
        Target::Minimum => rules.min_proofs,
        Target::Auto if !super::batch::is_worth_gas(seen, snapshot) => rules.min_proofs,
        Target::Auto | Target::Maximum => rules.max_proofs.max(rules.min_proofs),
    };
    Some(Puzzle {
        epoch: snapshot.epoch,
        global_nonce: snapshot.global_nonce,
        difficulty: snapshot.difficulty,
        minimum: rules.min_proofs,
        useful,
        on_chain: commitment.proofs.get(&unit).copied()?,
        remaining_seconds: snapshot.calendar.remaining(snapshot.head.timestamp),
    })
}
