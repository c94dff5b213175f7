//! A provider played by hand: for tests of the contracts alone, and for foreign hands in a story.

use alloy::{
    primitives::{Address, B256, FixedBytes, U256, b256},
    rpc::types::TransactionReceipt,
};

use super::{
    super::{
        abi::{CIDV1, Deal, Diamond, NewPeer, PeerResource, ResourcePrice},
        error::Result,
        node::event_of,
    },
    Driver,
};

/// The kind and the id of the vCPU that the test market trades: AMD, the first of the announced resources.
pub const CPU: (u8, B256) =
    (0, b256!("0000000000000000000000000000000000000000000000000000000000000001"));
/// The kind and the id of its memory: DDR4, the third.
pub const RAM: (u8, B256) =
    (1, b256!("0000000000000000000000000000000000000000000000000000000000000003"));
/// The first of the announced datacenters.
const DATACENTER: B256 = b256!("0000000000000000000000000000000000000000000000000000000000000001");
const VCPU_PRICE: u64 = 1_000;
const RAM_PRICE: u64 = 10;

/// One proof: a unit and the local nonce found for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The unit.
    pub unit: B256,
    /// The nonce.
    pub local_nonce: B256,
}

/// A peer to be registered, with `units` and exactly the vCPUs and memory that they need.
#[must_use]
pub fn peer_with_units(peer: B256, owner: Address, units: &[B256]) -> NewPeer {
    let resource = |(_, id): (u8, B256), per_unit: u64| PeerResource {
        resourceId: id,
        supply: U256::from(per_unit) * U256::from(units.len()),
        details: "{}".to_owned(),
    };
    NewPeer {
        peerId: peer,
        owner,
        resources: vec![resource(CPU, 2), resource(RAM, 4096)],
        unitIds: units.to_vec(),
    }
}

impl Driver {
    /// Registers `provider` under `name`.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn register_provider(&self, provider: Address, name: &str) -> Result<()> {
        let metadata = CIDV1 { prefixes: FixedBytes::ZERO, hash: B256::ZERO };
        let call = Diamond::setProviderInfoCall { name: name.to_owned(), metadata };
        self.call(provider, &call).await.map(drop)
    }

    /// Registers an offer of `peers` with low prices; gives its id.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn register_offer(&self, provider: Address, peers: Vec<NewPeer>) -> Result<B256> {
        let price = |(ty, id): (u8, B256), price: u64| ResourcePrice {
            ty,
            resourceId: id,
            price: U256::from(price),
        };
        let call = Diamond::registerMarketOfferV2Call {
            paymentToken: self.contracts.usdc,
            resourcePrices: vec![price(CPU, VCPU_PRICE), price(RAM, RAM_PRICE)],
            peers,
            datacenterId: DATACENTER,
        };
        let receipt = self.call(provider, &call).await?;
        Ok(event_of::<Diamond::MarketOfferRegistered>(&receipt, self.contracts.diamond)?.offerId)
    }

    /// Commits `peer` for `duration` epochs with a tenth of the reward for the staker; gives the commitment's id.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn commit(&self, provider: Address, peer: B256, duration: u64) -> Result<B256> {
        let call = Diamond::createCommitmentCall {
            peerId: peer,
            duration: U256::from(duration),
            delegator: Address::ZERO,
            rewardDelegationRate: U256::from(1_000_000),
        };
        let receipt = self.call(provider, &call).await?;
        Ok(event_of::<Diamond::CommitmentCreated>(&receipt, self.contracts.diamond)?.commitmentId)
    }

    /// Stakes exactly what the commitment asks, from `staker`.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn deposit(&self, staker: Address, commitment: B256) -> Result<TransactionReceipt> {
        let asked = self.view(&Diamond::getCommitmentCall { commitmentId: commitment }).await?;
        let call = Diamond::depositCollateralCall { commitmentIds: vec![commitment] };
        let value = asked.collateralPerUnit * asked.unitCount;
        self.node.send(staker, self.contracts.diamond, &call, value).await
    }

    /// Submits `proofs` as the peer's owner; gives for each whether the contract counted it.
    ///
    /// # Errors
    /// As [`super::Node::send`], with the contract's reason.
    pub async fn submit_proofs(&self, owner: Address, proofs: &[Proof]) -> Result<Vec<bool>> {
        let receipt = self.call(owner, &submission(proofs)).await?;
        Ok(event_of::<Diamond::ProofsConfirmed>(&receipt, self.contracts.diamond)?.confirmed)
    }

    /// Activates a worker as its provider or its peer's owner.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn activate_worker(
        &self,
        sender: Address,
        deal: Address,
        (worker, offchain): (B256, B256),
    ) -> Result<TransactionReceipt> {
        let call = Deal::activateWorkerCall { onchainWorkerId: worker, offchainWorkerId: offchain };
        self.node.send(sender, deal, &call, U256::ZERO).await
    }

    /// Takes a worker's earned tokens to its provider.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn withdraw_deal_reward(
        &self,
        sender: Address,
        deal: Address,
        worker: B256,
    ) -> Result<()> {
        let call = Deal::withdrawRewardsCall { onchainWorkerId: worker };
        self.node.send(sender, deal, &call, U256::ZERO).await.map(drop)
    }
}

/// The call that submits `proofs`; the contract does not look at the hashes.
#[must_use]
pub fn submission(proofs: &[Proof]) -> Diamond::submitProofsCall {
    Diamond::submitProofsCall {
        unitIds: proofs.iter().map(|proof| proof.unit).collect(),
        localUnitNonces: proofs.iter().map(|proof| proof.local_nonce).collect(),
        resultHashes: vec![B256::ZERO; proofs.len()],
    }
}
