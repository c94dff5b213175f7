//! What is so, according to the contracts: read with the stories' own definitions, never with the product's.

mod blocks;
mod deals;
mod proofs;
mod randomx;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};

use super::{
    abi::{CommitmentView, Diamond, OfferView, PeerView, ProviderInfo, RewardsView, Token},
    contracts::Contracts,
    error::Result,
    node::{At, Node},
    words::CommitmentStatus,
};

pub use blocks::Sent;
pub use deals::DealFacts;
pub use proofs::{AcceptedProof, CheckedProof};
pub use randomx::{key_of, randomx_hashes};

/// A share of this is all of it.
const WHOLE: U256 = U256::from_limbs([10_000_000, 0, 0, 0]);

/// The present epoch and what a prover needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochFacts {
    /// Its number, from 1.
    pub number: u64,
    /// The global nonce in force; all zeros is a nonce like any other.
    pub global_nonce: B256,
    /// The largest hash that is a proof.
    pub difficulty: B256,
    /// Proofs that a unit owes.
    pub min_proofs: u64,
    /// Proofs beyond which further ones are ignored.
    pub max_proofs: u64,
}

/// FLT rewards of a commitment, in wei, each for proofs and for deals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRewards {
    /// Credited and not withdrawn, vested or not.
    pub total: RewardsView,
    /// Can be withdrawn now.
    pub unlocked: RewardsView,
    /// Was withdrawn.
    pub withdrawn: RewardsView,
}

/// Reads one marketplace.
#[derive(Debug, Clone)]
pub struct Oracle {
    node: Node,
    contracts: Contracts,
}

impl Oracle {
    /// An oracle of the marketplace `contracts` on `node`.
    #[must_use]
    pub fn new(node: Node, contracts: Contracts) -> Self {
        Self { node, contracts }
    }

    /// A view of the diamond at the newest block.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn view<C: SolCall>(&self, call: &C) -> Result<C::Return> {
        self.node.view(self.contracts.diamond, call, At::Latest).await
    }

    /// The present epoch.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn epoch(&self) -> Result<EpochFacts> {
        // One block for all five, or an epoch that ends in between would mix two.
        let (block, _) = self.node.head().await?;
        let (diamond, at) = (self.contracts.diamond, At::Number(block));
        Ok(EpochFacts {
            number: self
                .node
                .view(diamond, &Diamond::currentEpochCall {}, at)
                .await?
                .saturating_to(),
            global_nonce: self.node.view(diamond, &Diamond::getGlobalNonceCall {}, at).await?,
            difficulty: self.node.view(diamond, &Diamond::difficultyCall {}, at).await?,
            min_proofs: self
                .node
                .view(diamond, &Diamond::minProofsPerEpochCall {}, at)
                .await?
                .saturating_to(),
            max_proofs: self
                .node
                .view(diamond, &Diamond::maxProofsPerEpochCall {}, at)
                .await?
                .saturating_to(),
        })
    }

    /// A provider's name and number of units; an empty name means that it is not registered.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn provider(&self, provider: Address) -> Result<ProviderInfo> {
        self.view(&Diamond::getProviderInfoCall { provider }).await
    }

    /// The offers of a provider with their prices.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn offers_of(&self, provider: Address) -> Result<Vec<OfferView>> {
        let all = self.view(&Diamond::getOffersV2Call {}).await?;
        Ok(all.into_iter().filter(|offer| offer.provider == provider).collect())
    }

    /// The peers of an offer with their units and resources.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn peers_of(&self, offer: B256) -> Result<Vec<PeerView>> {
        self.view(&Diamond::getPeersV2Call { offerId: offer }).await
    }

    /// One peer.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn peer(&self, peer: B256) -> Result<PeerView> {
        self.view(&Diamond::getPeerV2Call { peerId: peer }).await
    }

    /// Who owns a peer.
    ///
    /// # Errors
    /// As [`Node::view`]; "Peer doesn't exist" for one that is not registered.
    pub async fn owner_of(&self, peer: B256) -> Result<Address> {
        Ok(self.view(&Diamond::getComputePeerCall { peerId: peer }).await?.owner)
    }

    /// A commitment; its status is computed for the newest block's epoch.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn commitment(&self, commitment: B256) -> Result<CommitmentView> {
        self.view(&Diamond::getCommitmentCall { commitmentId: commitment }).await
    }

    /// Wei of a commitment's collateral that its fails have cost.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn slashed(&self, commitment: &CommitmentView) -> Result<U256> {
        let rate = self.view(&Diamond::slashingRateCall {}).await?;
        let lost = commitment.collateralPerUnit * rate * commitment.totalFailCount / WHOLE;
        Ok(lost.min(commitment.collateralPerUnit * commitment.unitCount))
    }

    /// A commitment's status by name.
    ///
    /// # Errors
    /// As [`Node::view`], and [`super::Error::Text`] for a number that the fact sheet does not know.
    pub async fn commitment_status(&self, commitment: B256) -> Result<CommitmentStatus> {
        self.view(&Diamond::getStatusCall { commitmentId: commitment }).await?.try_into()
    }

    /// Accepted proofs of the present epoch by unit.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn proof_counts(&self, commitment: B256) -> Result<BTreeMap<B256, u64>> {
        let answer = self.view(&Diamond::getProofCountsCall { commitmentId: commitment }).await?;
        let counts = answer.counts.into_iter().map(|count| count.saturating_to());
        Ok(answer.unitIds.into_iter().zip(counts).collect())
    }

    /// The rewards of a commitment.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn rewards(&self, commitment: B256) -> Result<CommitmentRewards> {
        let commitment_id = commitment;
        Ok(CommitmentRewards {
            total: self.view(&Diamond::totalRewardsCall { commitmentId: commitment_id }).await?,
            unlocked: self
                .view(&Diamond::unlockedRewardsCall { commitmentId: commitment_id })
                .await?,
            withdrawn: self
                .view(&Diamond::withdrawnRewardsCall { commitmentId: commitment_id })
                .await?,
        })
    }

    /// An address's balance of the payment token, in base units.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn usdc(&self, account: Address) -> Result<U256> {
        self.node.view(self.contracts.usdc, &Token::balanceOfCall { account }, At::Latest).await
    }

    /// An address's FLT, in wei.
    ///
    /// # Errors
    /// [`super::Error::Rpc`].
    pub async fn flt(&self, account: Address) -> Result<U256> {
        self.node.balance(account).await
    }

    /// The number of the newest block.
    ///
    /// # Errors
    /// [`super::Error::Rpc`].
    pub async fn block_number(&self) -> Result<u64> {
        Ok(self.node.head().await?.0)
    }
}
