//! What is known and owed: the puzzle, and the proofs not yet acknowledged. Pure: it only remembers and decides.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use coreward_randomx::Difficulty;
use coreward_wire::{FoundProof, FoundProofs, ProverDuty, Puzzle};

use crate::miner::{Goal, Job};
use crate::puzzle::Key;
use crate::store::Entry;

/// Proofs in one post, as the wire allows.
const MOST_IN_POST: usize = 64;

/// The prover's memory; all but the duty comes back from the volume after a restart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    duty: Option<ProverDuty>,
    leader: String,
    kept: BTreeMap<B256, Kept>,
    /// Of the current puzzle.
    acknowledged: u32,
    stale: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    entry: Entry,
    posted: bool,
    saving: Saving,
}

/// How far a proof has come on its way to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saving {
    /// The volume was not asked, or has not answered: nobody may hear of the proof yet.
    Waiting,
    /// The volume has it.
    Saved,
    /// The volume refused it: it is posted from memory.
    Refused,
    /// The same, and the volume is to be asked again.
    Again,
}

/// Proofs that are no longer needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) acknowledged: Vec<B256>,
    pub(crate) stale: Vec<B256>,
}

impl Book {
    /// A book with what the volume has.
    pub(crate) fn with_saved(entries: Vec<Entry>) -> Self {
        let kept = entries.into_iter().map(|entry| {
            let kept = Kept { entry, posted: false, saving: Saving::Saved };
            (kept.entry.proof.local_nonce, kept)
        });
        Self { kept: kept.collect(), ..Self::default() }
    }

    /// Takes the duty that a leader gave; a new leader has to be told every proof again.
    pub(crate) fn take(&mut self, leader: &str, duty: ProverDuty) -> Done {
        if self.leader != leader {
            leader.clone_into(&mut self.leader);
            self.post_again();
        }
        if self.puzzle().map(place) != duty.puzzle.as_ref().map(place) {
            self.acknowledged = 0;
        }
        let acknowledged = duty.acknowledged.clone();
        self.duty = Some(duty);
        Done { acknowledged: self.acknowledge(&acknowledged), stale: self.drop_stale() }
    }

    /// Takes a found proof; false if it is of no use any more.
    pub(crate) fn find(&mut self, entry: Entry) -> bool {
        if self.is_stale(&entry) {
            self.stale += 1;
            return false;
        }
        let kept = Kept { entry, posted: false, saving: Saving::Waiting };
        self.kept.insert(kept.entry.proof.local_nonce, kept);
        true
    }

    /// The proof that the volume is to be asked for next: those that were never tried come first.
    pub(crate) fn to_save(&self) -> Option<Entry> {
        let first = |saving| self.kept.values().find(|kept| kept.saving == saving);
        first(Saving::Waiting).or_else(|| first(Saving::Again)).map(|kept| kept.entry.clone())
    }

    /// Remembers that a proof is on the volume.
    pub(crate) fn saved(&mut self, local_nonce: B256) {
        self.set_saving(local_nonce, Saving::Saved);
    }

    /// Remembers that the volume refused a proof.
    pub(crate) fn refused(&mut self, local_nonce: B256) {
        self.set_saving(local_nonce, Saving::Refused);
    }

    /// Has the volume asked once more for all that it refused.
    pub(crate) fn save_again(&mut self) {
        for kept in self.kept.values_mut().filter(|kept| kept.saving == Saving::Refused) {
            kept.saving = Saving::Again;
        }
    }

    /// Proofs that the volume has neither taken nor refused.
    pub(crate) fn waiting(&self) -> usize {
        self.kept.values().filter(|kept| kept.saving == Saving::Waiting).count()
    }

    /// Removes the proofs with these local nonces; gives those that were here.
    pub(crate) fn acknowledge(&mut self, local_nonces: &[B256]) -> Vec<B256> {
        let puzzle = self.puzzle().map(place);
        let mut removed = Vec::new();
        for local_nonce in local_nonces {
            if let Some(kept) = self.kept.remove(local_nonce) {
                self.acknowledged += u32::from(Some(place_of(&kept.entry.proof)) == puzzle);
                removed.push(*local_nonce);
            }
        }
        removed
    }

    /// What to post now, at most 64 at once; `None` if all was posted. Only proofs that the volume has taken or refused, and
    /// only of the puzzle as it stands: one of another global nonce waits, for a reorganised chain may come back to it.
    pub(crate) fn to_post(&self) -> Option<FoundProofs> {
        let unit_id = self.duty.as_ref()?.unit_id;
        let unposted = self.current().filter(|kept| !kept.posted && kept.saving != Saving::Waiting);
        let proofs = unposted.map(|kept| kept.entry.proof.clone());
        let proofs: Vec<FoundProof> = proofs.take(MOST_IN_POST).collect();
        (!proofs.is_empty()).then_some(FoundProofs { unit_id, proofs })
    }

    /// Remembers what `leader` took.
    pub(crate) fn posted(&mut self, leader: &str, proofs: &FoundProofs) {
        if self.leader == leader {
            for proof in &proofs.proofs {
                if let Some(kept) = self.kept.get_mut(&proof.local_nonce) {
                    kept.posted = true;
                }
            }
        }
    }

    /// Has everything posted once more: the one who took it may have lost it.
    pub(crate) fn post_again(&mut self) {
        self.kept.values_mut().for_each(|kept| kept.posted = false);
    }

    /// What the miner should do: hash until the proofs on chain and those on their way there are all that is of use.
    pub(crate) fn goal(&self) -> Goal {
        let Some(duty) = &self.duty else { return Goal::Unknown };
        let Some(puzzle) = &duty.puzzle else { return Goal::Rest };
        let on_their_way = u32::try_from(self.current().count()).unwrap_or(u32::MAX);
        if puzzle.target.on_chain.saturating_add(on_their_way) >= puzzle.target.useful {
            return Goal::Rest;
        }
        Goal::Hash(Job {
            unit_id: duty.unit_id,
            epoch: puzzle.epoch,
            global_nonce: puzzle.global_nonce,
            key: Key::of(puzzle.global_nonce, duty.unit_id),
            difficulty: Difficulty::new(puzzle.difficulty.0),
        })
    }

    pub(crate) fn unit(&self) -> Option<B256> {
        self.duty.as_ref().map(|duty| duty.unit_id)
    }

    pub(crate) fn puzzle(&self) -> Option<&Puzzle> {
        self.duty.as_ref()?.puzzle.as_ref()
    }

    pub(crate) fn leader(&self) -> &str {
        &self.leader
    }

    /// Proofs found for the current puzzle by this process, and those it found on the volume.
    pub(crate) fn found(&self) -> u32 {
        self.acknowledged.saturating_add(u32::try_from(self.current().count()).unwrap_or(u32::MAX))
    }

    /// Proofs not yet acknowledged, of whatever puzzle.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Proofs dropped as stale since the start of the process.
    pub(crate) fn stale(&self) -> u64 {
        self.stale
    }

    fn set_saving(&mut self, local_nonce: B256, saving: Saving) {
        if let Some(kept) = self.kept.get_mut(&local_nonce) {
            kept.saving = saving;
        }
    }

    fn current(&self) -> impl Iterator<Item = &Kept> {
        let (unit, puzzle) = (self.unit(), self.puzzle().map(place));
        self.kept.values().filter(move |kept| {
            Some(kept.entry.unit_id) == unit && Some(place_of(&kept.entry.proof)) == puzzle
        })
    }

    fn drop_stale(&mut self) -> Vec<B256> {
        let stale = self.kept.values().filter(|kept| self.is_stale(&kept.entry));
        let stale: Vec<B256> = stale.map(|kept| kept.entry.proof.local_nonce).collect();
        for local_nonce in &stale {
            self.kept.remove(local_nonce);
        }
        self.stale += stale.len() as u64;
        stale
    }

    /// Only a later epoch, or another unit, is a positive sign that a proof is of no use.
    fn is_stale(&self, entry: &Entry) -> bool {
        self.unit().is_some_and(|unit| unit != entry.unit_id)
            || self.puzzle().is_some_and(|puzzle| puzzle.epoch > entry.proof.epoch)
    }
}

const fn place(puzzle: &Puzzle) -> (u64, B256) {
    (puzzle.epoch, puzzle.global_nonce)
}

const fn place_of(proof: &FoundProof) -> (u64, B256) {
    (proof.epoch, proof.global_nonce)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
