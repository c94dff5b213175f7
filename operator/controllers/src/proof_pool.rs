//! Found proofs that wait for the chain.
//!
//! The prover's volume is the queue; this is only its reflection in the leader's memory, and may be lost at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use coreward_domain::call::Proof;
use coreward_domain::epoch::Epoch;
use coreward_domain::id::UnitId;
use coreward_domain::proof::{Fate, Found};
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
    units: Arc<Mutex<BTreeMap<UnitId, BTreeMap<FoundProof, Standing>>>>,
    /// How many proofs of a unit were refused in an epoch.
    refused: Arc<Mutex<BTreeMap<UnitId, (Epoch, u32)>>>,
    changes: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// As the chain has it.
    Kept(Fate),
    /// The prover may delete it.
    Acknowledged,
}

impl Default for ProofPool {
    fn default() -> Self {
        Self { units: Arc::default(), refused: Arc::default(), changes: watch::Sender::new(0) }
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
            let standing = found.get(proof).copied();
            let stale = epoch.is_some_and(|present| proof.epoch < present);
            if standing == Some(Standing::Acknowledged) || stale {
                acknowledged.push(proof.local_nonce);
            } else if standing.is_none() && found.len() < PROOFS_PER_UNIT {
                found.insert(proof.clone(), Standing::Kept(Fate::Open));
                grown = true;
            }
        }
        drop(units);
        if grown {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        acknowledged
    }

    /// Proofs of a unit that were not acknowledged.
    #[must_use]
    pub fn kept(&self, unit: UnitId) -> Vec<Found> {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let proofs = units.get(&unit).into_iter().flatten();
        let kept = proofs.filter_map(|(proof, standing)| match standing {
            Standing::Kept(fate) => Some(Found {
                unit,
                epoch: Epoch(proof.epoch),
                global_nonce: proof.global_nonce,
                local_nonce: proof.local_nonce,
                result_hash: proof.result_hash,
                fate: *fate,
            }),
            Standing::Acknowledged => None,
        });
        kept.collect()
    }

    /// Notes what became of proofs of an epoch; others than those kept are not remembered.
    pub fn mark(&self, proofs: &[Proof], epoch: Epoch, fate: Fate) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        for proof in proofs {
            for (found, standing) in units.get_mut(&proof.unit).into_iter().flatten() {
                let same = found.epoch == epoch.0
                    && found.local_nonce == proof.local_nonce
                    && found.result_hash == proof.result_hash;
                if same && *standing != Standing::Acknowledged {
                    *standing = Standing::Kept(fate);
                }
            }
        }
        drop(units);
        if fate == Fate::Refused {
            self.count_refused(proofs, epoch);
        }
    }

    fn count_refused(&self, proofs: &[Proof], epoch: Epoch) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for proof in proofs {
            if !refused.contains_key(&proof.unit) && refused.len() >= UNITS {
                continue;
            }
            let entry = refused.entry(proof.unit).or_insert((epoch, 0));
            *entry = (epoch, if entry.0 == epoch { entry.1.saturating_add(1) } else { 1 });
        }
    }

    /// How many proofs of a unit were refused in this epoch.
    #[must_use]
    pub fn refused(&self, unit: UnitId, epoch: Epoch) -> u32 {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(&unit).filter(|(of, _)| *of == epoch).map_or(0, |(_, count)| *count)
    }

    /// The prover may delete all proofs of this unit with this nonce.
    pub fn acknowledge(&self, unit: UnitId, local_nonce: B256) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        for (found, standing) in units.get_mut(&unit).into_iter().flatten() {
            if found.local_nonce == local_nonce {
                *standing = Standing::Acknowledged;
            }
        }
    }

    /// Local nonces of a puzzle that the prover may delete.
    #[must_use]
    pub fn acknowledged(&self, unit: UnitId, puzzle: PuzzleKey) -> Vec<B256> {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let proofs = units.get(&unit).into_iter().flatten();
        let done = proofs.filter(|(proof, standing)| {
            **standing == Standing::Acknowledged && PuzzleKey::of(proof) == puzzle
        });
        done.map(|(proof, _)| proof.local_nonce).collect()
    }

    /// Drops what was acknowledged of epochs before this one, and units with nothing left. Several networks share the
    /// pool, so only these units are looked at.
    pub fn drop_before(&self, epoch: Epoch, of_network: &BTreeSet<UnitId>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|unit, (of, _)| *of >= epoch || !of_network.contains(unit));
        drop(refused);
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.retain(|unit, proofs| {
            if of_network.contains(unit) {
                proofs.retain(|proof, standing| {
                    proof.epoch >= epoch.0 || *standing != Standing::Acknowledged
                });
            }
            !proofs.is_empty()
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
        Proof {
            unit: UNIT,
            local_nonce: B256::repeat_byte(nonce),
            result_hash: B256::repeat_byte(nonce),
        }
    }

    fn fates(pool: &ProofPool) -> Vec<Fate> {
        pool.kept(UNIT).iter().map(|found| found.fate).collect()
    }

    #[test]
    fn a_proof_goes_from_open_to_settled_to_acknowledged() {
        let pool = ProofPool::default();
        assert_eq!(pool.put(&posted(vec![found(7, 1)]), Some(7)), Vec::<B256>::new());
        assert_eq!(fates(&pool), vec![Fate::Open]);
        pool.mark(&[proof(1)], Epoch(7), Fate::Settled);
        assert_eq!(fates(&pool), vec![Fate::Settled]);
        assert_eq!(
            pool.put(&posted(vec![found(7, 1)]), Some(7)),
            Vec::<B256>::new(),
            "not before the plan says so"
        );
        pool.acknowledge(UNIT, B256::repeat_byte(1));
        assert_eq!(fates(&pool), vec![]);
        assert_eq!(pool.acknowledged(UNIT, puzzle(7)), vec![B256::repeat_byte(1)]);
        assert_eq!(pool.put(&posted(vec![found(7, 1)]), Some(7)), vec![B256::repeat_byte(1)]);
    }

    #[test]
    fn refused_proofs_are_counted_by_epoch() {
        let pool = ProofPool::default();
        pool.mark(&[proof(1), proof(2)], Epoch(7), Fate::Refused);
        pool.mark(&[proof(3)], Epoch(7), Fate::Settled);
        assert_eq!(pool.refused(UNIT, Epoch(7)), 2);
        assert_eq!(pool.refused(UNIT, Epoch(8)), 0);
        pool.mark(&[proof(4)], Epoch(8), Fate::Refused);
        assert_eq!((pool.refused(UNIT, Epoch(7)), pool.refused(UNIT, Epoch(8))), (0, 1));
    }

    #[test]
    fn an_epoch_that_is_over_is_acknowledged_at_once() {
        let pool = ProofPool::default();
        assert_eq!(
            pool.put(&posted(vec![found(6, 1), found(7, 2)]), Some(7)),
            vec![B256::repeat_byte(1)]
        );
    }

    #[test]
    fn an_unknown_epoch_makes_nothing_stale() {
        let pool = ProofPool::default();
        assert_eq!(pool.put(&posted(vec![found(1, 1)]), None), Vec::<B256>::new());
    }

    #[test]
    fn what_happened_in_another_epoch_is_another_proof() {
        let pool = ProofPool::default();
        pool.put(&posted(vec![found(7, 1)]), Some(7));
        pool.mark(&[proof(1)], Epoch(6), Fate::Settled);
        assert_eq!(fates(&pool), vec![Fate::Open]);
    }

    #[test]
    fn a_unit_keeps_no_more_than_its_share() {
        let pool = ProofPool::default();
        let many = (0..=255).map(|nonce| found(7, nonce)).collect();
        pool.put(&posted(many), Some(7));
        assert_eq!(pool.kept(UNIT).len(), PROOFS_PER_UNIT);
    }

    #[test]
    fn an_old_epoch_leaves_nothing_behind() {
        let pool = ProofPool::default();
        pool.put(&posted(vec![found(7, 1)]), Some(7));
        pool.acknowledge(UNIT, B256::repeat_byte(1));
        pool.drop_before(Epoch(8), &BTreeSet::new());
        assert!(!pool.units.lock().unwrap().is_empty(), "units of another network stay");
        pool.drop_before(Epoch(8), &BTreeSet::from([UNIT]));
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
