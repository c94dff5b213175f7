//! What a transaction can be for: the closed list of calls that we ever sign.

mod purpose;

use alloy_primitives::{Address, B256, U256};

use crate::id::{
    CommitmentId, DatacenterId, DealAddress, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId,
    ResourceId, UnitId,
};

/// A call on the diamond or on a deal, with all its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `setProviderInfo`; provider key.
    SetProviderInfo {
        /// Public name.
        name: String,
    },
    /// `registerMarketOfferV2`; provider key.
    RegisterOffer {
        /// ERC20.
        payment_token: Address,
        /// Prices by resource.
        prices: Vec<ResourcePrice>,
        /// Never empty.
        peers: Vec<NewPeer>,
        /// Where.
        datacenter: DatacenterId,
    },
    /// `addComputePeersV2`; provider key.
    AddPeers {
        /// To this offer.
        offer: OfferId,
        /// Never empty.
        peers: Vec<NewPeer>,
    },
    /// `addComputeUnitsV2`; provider key; only for a peer without commitment.
    AddUnits {
        /// To this peer.
        peer: PeerId,
        /// Never empty.
        units: Vec<UnitId>,
        /// The vCPU resource, supply two per unit.
        vcpu: NewResource,
    },
    /// `changeResourcePriceV2`; provider key.
    ChangePrice {
        /// Of this offer.
        offer: OfferId,
        /// Of this kind.
        resource: ResourceId,
        /// Base units; above zero.
        price: U256,
    },
    /// `setOfferDatacenter`; provider key.
    SetDatacenter {
        /// Of this offer.
        offer: OfferId,
        /// Where.
        datacenter: DatacenterId,
    },
    /// `changePaymentToken`; provider key.
    ChangePaymentToken {
        /// Of this offer.
        offer: OfferId,
        /// ERC20.
        token: Address,
    },
    /// `registerPeerResource`; provider key.
    RegisterPeerResource {
        /// To this peer.
        peer: PeerId,
        /// What.
        resource: NewResource,
    },
    /// `changeResourceDetails`; provider key.
    ChangeResourceDetails {
        /// Of this peer.
        peer: PeerId,
        /// Of this kind.
        resource: ResourceId,
        /// JSON text.
        details: String,
    },
    /// `changeResourceMaxSupplyV2`; provider key.
    ChangeResourceSupply {
        /// Of this peer.
        peer: PeerId,
        /// Of this kind.
        resource: ResourceId,
        /// New maximum.
        supply: u64,
    },
    /// `createCommitment`; provider key.
    CreateCommitment {
        /// For this peer.
        peer: PeerId,
        /// Epochs.
        duration: u64,
        /// Never zero: an empty delegator lets a stranger stake.
        delegator: Address,
        /// 1e7 is everything; above zero.
        delegation_rate: u64,
    },
    /// `removeCommitment`; provider key; while the collateral is missing.
    RemoveCommitment {
        /// Which.
        commitment: CommitmentId,
    },
    /// `depositCollateral`; provider key as delegator.
    DepositCollateral {
        /// Which.
        commitment: CommitmentId,
        /// Exactly units times collateral per unit.
        value: U256,
    },
    /// `submitProofs`; peer key.
    SubmitProofs {
        /// All proofs are of units of this peer.
        peer: PeerId,
        /// The epoch that they hold in.
        epoch: crate::epoch::Epoch,
        /// Never empty.
        proofs: Vec<Proof>,
    },
    /// `activateWorker` on the deal; peer key.
    ActivateWorker {
        /// The deal.
        deal: DealAddress,
        /// The seat.
        worker: OnchainWorkerId,
        /// The worker's public key.
        offchain: OffchainWorkerId,
    },
    /// `removeWorker` on the deal; peer key.
    RemoveWorker {
        /// The deal.
        deal: DealAddress,
        /// The seat.
        worker: OnchainWorkerId,
    },
    /// `withdrawRewards` on the deal; peer key; the money goes to the provider whoever calls.
    WithdrawDealRewards {
        /// The deal.
        deal: DealAddress,
        /// The seat.
        worker: OnchainWorkerId,
        /// What was claimable when this was planned, base units: makes one withdrawal differ from the next.
        claimable: U256,
    },
    /// `withdrawReward`; provider key.
    WithdrawCommitmentRewards {
        /// Which.
        commitment: CommitmentId,
        /// What was unlocked when this was planned, wei: makes one withdrawal differ from the next.
        unlocked: U256,
    },
    /// `withdrawCollateral`; provider key.
    WithdrawCollateral {
        /// Which.
        commitment: CommitmentId,
    },
    /// `removeCUFromCC`; provider key.
    RemoveUnitsFromCommitment {
        /// Which.
        commitment: CommitmentId,
        /// Never empty, none in a deal.
        units: Vec<UnitId>,
    },
    /// `finishCommitment`; provider key.
    FinishCommitment {
        /// Which.
        commitment: CommitmentId,
    },
    /// `removeComputeUnitV2`; provider key; only of a peer without commitment.
    RemoveUnit {
        /// Which.
        unit: UnitId,
        /// Its peer's vCPU resource.
        vcpu: ResourceId,
    },
    /// `removePeerResource`; provider key; never while a worker uses it: the contract would not let that worker go.
    RemovePeerResource {
        /// Of this peer.
        peer: PeerId,
        /// Of this kind.
        resource: ResourceId,
    },
    /// `removeComputePeerV2`; provider key; never while one of its commitments holds rewards: they would be lost with it.
    RemovePeer {
        /// Which.
        peer: PeerId,
    },
    /// `removeOfferV2`; provider key; only without peers.
    RemoveOffer {
        /// Which.
        offer: OfferId,
    },
}

/// A price of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourcePrice {
    /// Class.
    pub class: crate::chain::ResourceClass,
    /// Kind.
    pub resource: ResourceId,
    /// Base units per unit of quantity and epoch; above zero.
    pub price: U256,
}

/// A peer to register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewPeer {
    /// Its identity.
    pub peer: PeerId,
    /// Who may prove for it, for ever.
    pub owner: Address,
    /// What it declares.
    pub resources: Vec<NewResource>,
    /// Its units.
    pub units: Vec<UnitId>,
}

/// A resource to declare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewResource {
    /// Kind.
    pub resource: ResourceId,
    /// Quantity.
    pub supply: u64,
    /// JSON text, `{}` when empty.
    pub details: String,
}

/// A proof to submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Proof {
    /// Of this unit.
    pub unit: UnitId,
    /// RandomX input.
    pub local_nonce: B256,
    /// RandomX output.
    pub result_hash: B256,
}

/// Which of an offer's keys signs a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyRole {
    /// Prices, pledges, ends.
    Provider,
    /// Proves, activates, withdraws to the provider, leaves.
    Peer,
}

impl Call {
    /// The key that must sign it.
    #[must_use]
    pub const fn key_role(&self) -> KeyRole {
        match self {
            Self::SubmitProofs { .. }
            | Self::ActivateWorker { .. }
            | Self::RemoveWorker { .. }
            | Self::WithdrawDealRewards { .. } => KeyRole::Peer,
            Self::SetProviderInfo { .. }
            | Self::RegisterOffer { .. }
            | Self::AddPeers { .. }
            | Self::AddUnits { .. }
            | Self::ChangePrice { .. }
            | Self::SetDatacenter { .. }
            | Self::ChangePaymentToken { .. }
            | Self::RegisterPeerResource { .. }
            | Self::ChangeResourceDetails { .. }
            | Self::ChangeResourceSupply { .. }
            | Self::CreateCommitment { .. }
            | Self::RemoveCommitment { .. }
            | Self::DepositCollateral { .. }
            | Self::WithdrawCommitmentRewards { .. }
            | Self::WithdrawCollateral { .. }
            | Self::RemoveUnitsFromCommitment { .. }
            | Self::FinishCommitment { .. }
            | Self::RemoveUnit { .. }
            | Self::RemovePeerResource { .. }
            | Self::RemovePeer { .. }
            | Self::RemoveOffer { .. } => KeyRole::Provider,
        }
    }

    /// The contract's own name of the function; used as metric label and in the allow-list.
    #[must_use]
    pub const fn function(&self) -> &'static str {
        match self {
            Self::SetProviderInfo { .. } => "setProviderInfo",
            Self::RegisterOffer { .. } => "registerMarketOfferV2",
            Self::AddPeers { .. } => "addComputePeersV2",
            Self::AddUnits { .. } => "addComputeUnitsV2",
            Self::ChangePrice { .. } => "changeResourcePriceV2",
            Self::SetDatacenter { .. } => "setOfferDatacenter",
            Self::ChangePaymentToken { .. } => "changePaymentToken",
            Self::RegisterPeerResource { .. } => "registerPeerResource",
            Self::ChangeResourceDetails { .. } => "changeResourceDetails",
            Self::ChangeResourceSupply { .. } => "changeResourceMaxSupplyV2",
            Self::CreateCommitment { .. } => "createCommitment",
            Self::RemoveCommitment { .. } => "removeCommitment",
            Self::DepositCollateral { .. } => "depositCollateral",
            Self::SubmitProofs { .. } => "submitProofs",
            Self::ActivateWorker { .. } => "activateWorker",
            Self::RemoveWorker { .. } => "removeWorker",
            Self::WithdrawDealRewards { .. } => "withdrawRewards",
            Self::WithdrawCommitmentRewards { .. } => "withdrawReward",
            Self::WithdrawCollateral { .. } => "withdrawCollateral",
            Self::RemoveUnitsFromCommitment { .. } => "removeCUFromCC",
            Self::FinishCommitment { .. } => "finishCommitment",
            Self::RemoveUnit { .. } => "removeComputeUnitV2",
            Self::RemovePeerResource { .. } => "removePeerResource",
            Self::RemovePeer { .. } => "removeComputePeerV2",
            Self::RemoveOffer { .. } => "removeOfferV2",
        }
    }

    /// The deal contract that it goes to; `None` is the diamond.
    #[must_use]
    pub const fn deal(&self) -> Option<DealAddress> {
        match self {
            Self::ActivateWorker { deal, .. }
            | Self::RemoveWorker { deal, .. }
            | Self::WithdrawDealRewards { deal, .. } => Some(*deal),
            Self::SetProviderInfo { .. }
            | Self::RegisterOffer { .. }
            | Self::AddPeers { .. }
            | Self::AddUnits { .. }
            | Self::ChangePrice { .. }
            | Self::SetDatacenter { .. }
            | Self::ChangePaymentToken { .. }
            | Self::RegisterPeerResource { .. }
            | Self::ChangeResourceDetails { .. }
            | Self::ChangeResourceSupply { .. }
            | Self::CreateCommitment { .. }
            | Self::RemoveCommitment { .. }
            | Self::DepositCollateral { .. }
            | Self::SubmitProofs { .. }
            | Self::WithdrawCommitmentRewards { .. }
            | Self::WithdrawCollateral { .. }
            | Self::RemoveUnitsFromCommitment { .. }
            | Self::FinishCommitment { .. }
            | Self::RemoveUnit { .. }
            | Self::RemovePeerResource { .. }
            | Self::RemovePeer { .. }
            | Self::RemoveOffer { .. } => None,
        }
    }

    /// Wei sent along.
    #[must_use]
    pub const fn value(&self) -> U256 {
        if let Self::DepositCollateral { value, .. } = self { *value } else { U256::ZERO }
    }
}
