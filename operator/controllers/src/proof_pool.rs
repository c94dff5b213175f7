//! Found proofs that wait for the chain.
//!
//! The prover's volume is the queue; this is only its reflection in the leader's memory, and may be lost at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use coreward_domain::call::Proof;
use coreward_domain::id::UnitId;
use coreward_wire::{FoundProof, FoundProofs};
use tokio::sync::watch;

/// Proofs of one unit that are kept; more are refused and posted again by the prover.
pub const PROOFS_PER_UNIT: usize = 64;
/// Units that proofs are kept for.
pub const UNITS: usize = 16_384;

/// What an epoch asks: proofs of any other are stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PuzzleKey {
    /// The chain's epoch.
    pub epoch: u64,
    /// Zero is a nonce like any other.
    pub global_nonce: B256,
}

impl PuzzleKey {
    /// The puzzle that a proof solves.
    #[must_use]
    pub const fn of(proof: &FoundProof) -> Self {
        Self { epoch: proof.epoch, global_nonce: proof.global_nonce }
    }
}

/// The proofs, by unit. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProofPool {
    units: Arc<Mutex<BTreeMap<UnitId, Found>>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Found {
    waiting: BTreeSet<FoundProof>,
    done: BTreeSet<FoundProof>,
}

impl Default for ProofPool {
    fn default() -> Self {
        Self { units: Arc::default(), changes: watch::Sender::new(0) }
    }
}

impl ProofPool {
    /// Takes proofs from a prover and answers which local nonces it may delete: those that are done with, and those of an
    /// epoch that is over. `epoch` is the chain's present one; `None` is unknown, and nothing is stale then.
    pub fn put(&self, posted: &FoundProofs, epoch: Option<u64>) -> Vec<B256> {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let unit = UnitId(posted.unit_id);
        if !units.contains_key(&unit) && units.len() >= UNITS {
            return Vec::new();
        }
        let found = units.entry(unit).or_default();
        let mut acknowledged = Vec::new();
        let mut grown = false;
        for proof in &posted.proofs {
            if found.done.contains(proof) || epoch.is_some_and(|present| proof.epoch < present) {
                acknowledged.push(proof.local_nonce);
            } else if found.waiting.len() < PROOFS_PER_UNIT {
                grown |= found.waiting.insert(proof.clone());
            }
        }
        drop(units);
        if grown {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        acknowledged
    }

    /// Proofs of a unit that solve this puzzle and are not done with, in the order of their nonces.
    #[must_use]
    pub fn waiting(&self, unit: UnitId, puzzle: PuzzleKey) -> Vec<Proof> {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = units.get(&unit) else { return Vec::new() };
        found
            .waiting
            .iter()
            .filter(|proof| PuzzleKey::of(proof) == puzzle)
            .map(|proof| Proof { unit, local_nonce: proof.local_nonce, result_hash: proof.result_hash })
            .collect()
    }

    /// Notes that the chain has confirmed a proof, or refused it for good.
    pub fn settle(&self, proof: Proof, puzzle: PuzzleKey) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if !units.contains_key(&proof.unit) && units.len() >= UNITS {
            return;
        }
        let found = units.entry(proof.unit).or_default();
        let proof = FoundProof {
            epoch: puzzle.epoch,
            global_nonce: puzzle.global_nonce,
            local_nonce: proof.local_nonce,
            result_hash: proof.result_hash,
        };
        found.waiting.remove(&proof);
        if found.done.len() < PROOFS_PER_UNIT {
            found.done.insert(proof);
        }
    }

    /// Local nonces of a puzzle that the prover may delete.
    #[must_use]
    pub fn acknowledged(&self, unit: UnitId, puzzle: PuzzleKey) -> Vec<B256> {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = units.get(&unit) else { return Vec::new() };
        found.done.iter().filter(|proof| PuzzleKey::of(proof) == puzzle).map(|proof| proof.local_nonce).collect()
    }

    /// Drops what belongs to an epoch before this one, and units with nothing left. Several networks share the pool, so
    /// only the units of one are looked at.
    pub fn drop_before(&self, epoch: u64, units_of_network: &BTreeSet<UnitId>) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.retain(|unit, found| {
            if units_of_network.contains(unit) {
                found.waiting.retain(|proof| proof.epoch >= epoch);
                found.done.retain(|proof| proof.epoch >= epoch);
            }
            !(found.waiting.is_empty() && found.done.is_empty())
        });
    }

    /// Counts up with every proof that is new.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: UnitId = UnitId(B256::repeat_byte(9));

    fn found(epoch: u64, nonce: u8) -> FoundProof {
        FoundProof {
            epoch,
            global_nonce: B256::ZERO,
            local_nonce: B256::repeat_byte(nonce),
            result_hash: B256::repeat_byte(nonce),
        }
    }

    fn posted(proofs: Vec<FoundProof>) -> FoundProofs {
        FoundProofs { unit_id: UNIT.0, proofs }
    }

    fn puzzle(epoch: u64) -> PuzzleKey {
        PuzzleKey { epoch, global_nonce: B256::ZERO }
    }

    fn proof(nonce: u8) -> Proof {
        Proof { unit: UNIT, local_nonce: B256::repeat_byte(nonce), result_hash: B256::repeat_byte(nonce) }
    }

    #[test]
    fn a_proof_is_acknowledged_only_when_settled() {
        let pool = ProofPool::default();
        assert_eq!(pool.put(&posted(vec![found(7, 1)]), Some(7)), Vec::<B256>::new());
        assert_eq!(pool.waiting(UNIT, puzzle(7)), vec![proof(1)]);
        pool.settle(proof(1), puzzle(7));
        assert_eq!(pool.waiting(UNIT, puzzle(7)), vec![]);
        assert_eq!(pool.acknowledged(UNIT, puzzle(7)), vec![B256::repeat_byte(1)]);
        assert_eq!(pool.put(&posted(vec![found(7, 1)]), Some(7)), vec![B256::repeat_byte(1)]);
    }

    #[test]
    fn an_epoch_that_is_over_is_acknowledged_at_once() {
        let pool = ProofPool::default();
        assert_eq!(pool.put(&posted(vec![found(6, 1), found(7, 2)]), Some(7)), vec![B256::repeat_byte(1)]);
    }

    #[test]
    fn an_unknown_epoch_makes_nothing_stale() {
        let pool = ProofPool::default();
        assert_eq!(pool.put(&posted(vec![found(1, 1)]), None), Vec::<B256>::new());
    }

    #[test]
    fn another_global_nonce_is_another_puzzle() {
        let pool = ProofPool::default();
        pool.put(&posted(vec![found(7, 1)]), Some(7));
        assert_eq!(pool.waiting(UNIT, PuzzleKey { epoch: 7, global_nonce: B256::repeat_byte(1) }), vec![]);
    }

    #[test]
    fn a_unit_keeps_no_more_than_its_share() {
        let pool = ProofPool::default();
        let many = (0..=255).map(|nonce| found(7, nonce)).collect();
        pool.put(&posted(many), Some(7));
        assert_eq!(pool.waiting(UNIT, puzzle(7)).len(), PROOFS_PER_UNIT);
    }

    #[test]
    fn an_old_epoch_leaves_nothing_behind() {
        let pool = ProofPool::default();
        pool.put(&posted(vec![found(7, 1)]), Some(7));
        pool.drop_before(8, &BTreeSet::new());
        assert_eq!(pool.waiting(UNIT, puzzle(7)).len(), 1, "units of another network stay");
        pool.drop_before(8, &BTreeSet::from([UNIT]));
        assert!(pool.units.lock().unwrap().is_empty());
    }

    #[test]
    fn only_new_proofs_wake() {
        let pool = ProofPool::default();
        let changes = pool.changes();
        pool.put(&posted(vec![found(7, 1)]), Some(7));
        pool.put(&posted(vec![found(7, 1)]), Some(7));
        assert_eq!(*changes.borrow(), 1);
    }
}
