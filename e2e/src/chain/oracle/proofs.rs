//! Accepted proofs, and whether they are work.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use alloy::primitives::B256;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    super::{
        abi::Diamond,
        error::{Error, Result},
        node::At,
    },
    Oracle,
    randomx::{key_of, randomx_hashes},
};

/// A proof that the contract took, with what was in force in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedProof {
    /// The block of its transaction.
    pub block: u64,
    /// The epoch of that block.
    pub epoch: u64,
    /// The commitment that it counts for.
    pub commitment: B256,
    /// The unit.
    pub unit: B256,
    /// What the prover searched.
    pub local_nonce: B256,
    /// The epoch's nonce.
    pub global_nonce: B256,
    /// The largest hash that is a proof in that epoch.
    pub difficulty: B256,
}

/// Blocks between the look that a transaction is signed on and the block that it is mined in, at most.
const ON_THEIR_WAY: u64 = 3;

/// An accepted proof and its hash, computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedProof {
    /// The proof.
    pub proof: AcceptedProof,
    /// `RandomX(keccak256(global nonce ‖ unit), local nonce)` with Fluence's parameters.
    pub hash: B256,
}

impl CheckedProof {
    /// Whether the hash meets the difficulty.
    #[must_use]
    pub fn is_work(&self) -> bool {
        self.hash <= self.proof.difficulty
    }
}

/// What the contract has in force at a block.
#[derive(Clone, Copy)]
struct InForce {
    epoch: u64,
    global_nonce: B256,
    difficulty: B256,
}

/// The hashes of proofs of one unit in one epoch.
async fn check_key(key: B256, proofs: Vec<AcceptedProof>) -> Result<Vec<CheckedProof>> {
    let nonces = proofs.iter().map(|proof| proof.local_nonce).collect();
    let hashes = randomx_hashes(key, nonces).await?;
    Ok(proofs.into_iter().zip(hashes).map(|(proof, hash)| CheckedProof { proof, hash }).collect())
}

impl Oracle {
    /// The proofs that the contract accepted since block `from_block`, in order.
    ///
    /// # Errors
    /// As [`super::Node::events`] and [`super::Node::view`].
    pub async fn accepted_proofs(&self, from_block: u64) -> Result<Vec<AcceptedProof>> {
        let diamond = self.contracts.diamond;
        let events = self.node.events::<Diamond::ProofSubmitted>(diamond, from_block).await?;
        let mut known: BTreeMap<u64, InForce> = BTreeMap::new();
        let mut proofs = Vec::with_capacity(events.len());
        for (event, log) in events {
            let block =
                log.block_number.ok_or_else(|| Error::Absent("the block of a proof".to_owned()))?;
            let in_force = match known.get(&block) {
                Some(found) => *found,
                None => *known.entry(block).or_insert(self.in_force(block).await?),
            };
            proofs.push(AcceptedProof {
                block,
                epoch: in_force.epoch,
                commitment: event.commitmentId,
                unit: event.unitId,
                local_nonce: event.localUnitNonce,
                global_nonce: in_force.global_nonce,
                difficulty: in_force.difficulty,
            });
        }
        Ok(proofs)
    }

    /// The transactions since block `from_block` in which the contract accepted a proof.
    ///
    /// # Errors
    /// As [`super::Node::events`].
    pub async fn proving_transactions(&self, from_block: u64) -> Result<BTreeSet<B256>> {
        let diamond = self.contracts.diamond;
        let events = self.node.events::<Diamond::ProofSubmitted>(diamond, from_block).await?;
        Ok(events.into_iter().filter_map(|(_, log)| log.transaction_hash).collect())
    }

    /// The epoch of a block.
    ///
    /// # Errors
    /// As [`super::Node::view`].
    pub async fn epoch_at(&self, block: u64) -> Result<u64> {
        let call = Diamond::currentEpochCall {};
        let epoch = self.node.view(self.contracts.diamond, &call, At::Number(block)).await?;
        Ok(epoch.saturating_to())
    }

    async fn in_force(&self, block: u64) -> Result<InForce> {
        let (diamond, at) = (self.contracts.diamond, At::Number(block));
        let epoch = self.node.view(diamond, &Diamond::currentEpochCall {}, at).await?;
        Ok(InForce {
            epoch: epoch.saturating_to(),
            global_nonce: self.node.view(diamond, &Diamond::getGlobalNonceCall {}, at).await?,
            difficulty: self.node.view(diamond, &Diamond::difficultyCall {}, at).await?,
        })
    }

    /// Computes the hashes of `proofs` again in this process, in light mode: a second or two per unit and epoch, and
    /// about a tenth of a second per proof, on as many cores as there are.
    ///
    /// # Errors
    /// [`Error::Finding`] where RandomX cannot be set up.
    pub async fn check(&self, proofs: Vec<AcceptedProof>) -> Result<Vec<CheckedProof>> {
        let mut by_key: BTreeMap<B256, Vec<AcceptedProof>> = BTreeMap::new();
        for proof in proofs {
            by_key.entry(key_of(proof.global_nonce, proof.unit)).or_default().push(proof);
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let checked: Vec<Vec<CheckedProof>> = stream::iter(by_key)
            .map(|(key, proofs)| check_key(key, proofs))
            .buffer_unordered(cores)
            .try_collect()
            .await?;
        let mut checked: Vec<_> = checked.into_iter().flatten().collect();
        checked.sort_by_key(|it| it.proof.block);
        Ok(checked)
    }

    /// Checks every proof accepted since `from_block`; gives their number.
    ///
    /// One that was signed before its sender heard of a new epoch may be mined in the first blocks of that epoch, where it is
    /// work of the epoch before: the real RandomX refuses it there for a fee, the bed's takes everything.
    ///
    /// # Errors
    /// [`Error::Finding`] naming the first that is no work; else as [`Oracle::accepted_proofs`].
    pub async fn all_proofs_are_work(&self, from_block: u64) -> Result<usize> {
        let checked = self.check(self.accepted_proofs(from_block).await?).await?;
        for CheckedProof { proof, hash } in checked.iter().filter(|proof| !proof.is_work()) {
            if !self.was_on_its_way(proof).await? {
                return Err(Error::Finding(format!(
                    "the proof of unit {} in block {} (epoch {}) has hash {hash}, above the difficulty {}, and was not on its way when the epoch began",
                    proof.unit, proof.block, proof.epoch, proof.difficulty
                )));
            }
        }
        Ok(checked.len())
    }

    /// Whether a proof in the first blocks of an epoch is work of the one before.
    async fn was_on_its_way(&self, proof: &AcceptedProof) -> Result<bool> {
        for ago in 1..=ON_THEIR_WAY {
            let before = self.in_force(proof.block.saturating_sub(ago)).await?;
            if before.epoch < proof.epoch {
                let InForce { epoch, global_nonce, difficulty } = before;
                let meant = AcceptedProof { epoch, global_nonce, difficulty, ..proof.clone() };
                return Ok(self.check(vec![meant]).await?.iter().all(CheckedProof::is_work));
            }
        }
        Ok(false)
    }
}
