//! Calls as the contracts read them.

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U256};
use alloy::sol_types::SolCall;
use coreward_domain::call::{Call, NewPeer, NewResource, ResourcePrice};
use coreward_domain::chain::ResourceClass;
use serde::{Deserialize, Serialize};

use crate::abi::{DealV2, Diamond};

/// A call ready for a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The diamond or a deal.
    pub to: Address,
    /// Selector and arguments.
    pub input: Bytes,
    /// Wei.
    pub value: U256,
}

/// What a call means beyond its calldata; kept beside the signed bytes, so that the call can be read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsaid {
    /// Whose proofs are submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<B256>,
    /// The epoch that the proofs hold in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What a withdrawal expected, base units of its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<U256>,
}

impl Unsaid {
    /// What is lost when this call is encoded.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all others are whole in their calldata; the round trip test says so"
        )]
        match call {
            Call::SubmitProofs { peer, epoch, .. } => {
                Self { peer: Some(peer.0), epoch: Some(epoch.0), ..Self::default() }
            }
            Call::WithdrawDealRewards { claimable, .. } => {
                Self { amount: Some(*claimable), ..Self::default() }
            }
            Call::WithdrawCommitmentRewards { unlocked, .. } => {
                Self { amount: Some(*unlocked), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// Encodes a call; calls on the market go to `diamond`.
#[must_use]
pub fn encode(call: &Call, diamond: Address) -> Encoded {
    let input = input(call);
    Encoded { to: call.deal().unwrap_or(diamond), input: input.into(), value: call.value() }
}

#[expect(clippy::too_many_lines, reason = "one arm per call, each says nothing but its arguments")]
fn input(call: &Call) -> Vec<u8> {
    match call {
        Call::SetProviderInfo { name } => Diamond::setProviderInfoCall {
            name: name.clone(),
            metadata: Diamond::Cid { prefixes: FixedBytes::ZERO, hash: B256::ZERO },
        }
        .abi_encode(),
        Call::RegisterOffer { payment_token, prices, peers, datacenter } => {
            Diamond::registerMarketOfferV2Call {
                paymentToken: *payment_token,
                prices: prices.iter().map(price_to_wire).collect(),
                peers: peers.iter().map(peer_to_wire).collect(),
                datacenterId: datacenter.0,
            }
            .abi_encode()
        }
        Call::AddPeers { offer, peers } => Diamond::addComputePeersV2Call {
            offerId: offer.0,
            peers: peers.iter().map(peer_to_wire).collect(),
        }
        .abi_encode(),
        Call::AddUnits { peer, units, vcpu } => Diamond::addComputeUnitsV2Call {
            peerId: peer.0,
            unitIds: units.iter().map(|unit| unit.0).collect(),
            resource: resource_to_wire(vcpu),
        }
        .abi_encode(),
        Call::ChangePrice { offer, resource, price } => Diamond::changeResourcePriceV2Call {
            offerId: offer.0,
            resourceId: resource.0,
            newPrice: *price,
        }
        .abi_encode(),
        Call::SetDatacenter { offer, datacenter } => {
            Diamond::setOfferDatacenterCall { offerId: offer.0, datacenterId: datacenter.0 }
                .abi_encode()
        }
        Call::ChangePaymentToken { offer, token } => {
            Diamond::changePaymentTokenCall { offerId: offer.0, newPaymentToken: *token }
                .abi_encode()
        }
        Call::RegisterPeerResource { peer, resource } => Diamond::registerPeerResourceCall {
            peerId: peer.0,
            resource: resource_to_wire(resource),
        }
        .abi_encode(),
        Call::ChangeResourceDetails { peer, resource, details } => {
            Diamond::changeResourceDetailsCall {
                peerId: peer.0,
                resourceId: resource.0,
                details: details.clone(),
            }
            .abi_encode()
        }
        Call::ChangeResourceSupply { peer, resource, supply } => {
            Diamond::changeResourceMaxSupplyV2Call {
                peerId: peer.0,
                resourceId: resource.0,
                newMaxSupply: U256::from(*supply),
            }
            .abi_encode()
        }
        Call::CreateCommitment { peer, duration, delegator, delegation_rate } => {
            Diamond::createCommitmentCall {
                peerId: peer.0,
                duration: U256::from(*duration),
                delegator: *delegator,
                rewardDelegationRate: U256::from(*delegation_rate),
            }
            .abi_encode()
        }
        Call::RemoveCommitment { commitment } => {
            Diamond::removeCommitmentCall { commitmentId: commitment.0 }.abi_encode()
        }
        Call::DepositCollateral { commitment, .. } => {
            Diamond::depositCollateralCall { commitmentIds: vec![commitment.0] }.abi_encode()
        }
        Call::SubmitProofs { proofs, .. } => Diamond::submitProofsCall {
            unitIds: proofs.iter().map(|proof| proof.unit.0).collect(),
            localUnitNonces: proofs.iter().map(|proof| proof.local_nonce).collect(),
            resultHashes: proofs.iter().map(|proof| proof.result_hash).collect(),
        }
        .abi_encode(),
        Call::ActivateWorker { worker, offchain, .. } => {
            DealV2::activateWorkerCall { onchainWorkerId: worker.0, offchainWorkerId: offchain.0 }
                .abi_encode()
        }
        Call::RemoveWorker { worker, .. } => {
            DealV2::removeWorkerCall { onchainWorkerId: worker.0 }.abi_encode()
        }
        Call::WithdrawDealRewards { worker, .. } => {
            DealV2::withdrawRewardsCall { onchainWorkerId: worker.0 }.abi_encode()
        }
        Call::WithdrawCommitmentRewards { commitment, .. } => {
            Diamond::withdrawRewardCall { commitmentId: commitment.0 }.abi_encode()
        }
        Call::WithdrawCollateral { commitment } => {
            Diamond::withdrawCollateralCall { commitmentId: commitment.0 }.abi_encode()
        }
        Call::RemoveUnitsFromCommitment { commitment, units } => Diamond::removeCUFromCCCall {
            commitmentId: commitment.0,
            unitIds: units.iter().map(|unit| unit.0).collect(),
        }
        .abi_encode(),
        Call::FinishCommitment { commitment } => {
            Diamond::finishCommitmentCall { commitmentId: commitment.0 }.abi_encode()
        }
        Call::RemoveUnit { unit, vcpu } => {
            Diamond::removeComputeUnitV2Call { unitId: unit.0, associatedResourceId: vcpu.0 }
                .abi_encode()
        }
        Call::RemovePeerResource { peer, resource } => {
            Diamond::removePeerResourceCall { peerId: peer.0, resourceId: resource.0 }.abi_encode()
        }
        Call::RemovePeer { peer } => {
            Diamond::removeComputePeerV2Call { peerId: peer.0 }.abi_encode()
        }
        Call::RemoveOffer { offer } => Diamond::removeOfferV2Call { offerId: offer.0 }.abi_encode(),
    }
}

fn price_to_wire(price: &ResourcePrice) -> Diamond::ResourcePrice {
    Diamond::ResourcePrice {
        ty: class_to_wire(price.class),
        resourceId: price.resource.0,
        price: price.price,
    }
}

fn resource_to_wire(resource: &NewResource) -> Diamond::PeerResource {
    Diamond::PeerResource {
        resourceId: resource.resource.0,
        supply: U256::from(resource.supply),
        details: resource.details.clone(),
    }
}

fn peer_to_wire(peer: &NewPeer) -> Diamond::NewPeer {
    Diamond::NewPeer {
        peerId: peer.peer.0,
        owner: peer.owner,
        resources: peer.resources.iter().map(resource_to_wire).collect(),
        unitIds: peer.units.iter().map(|unit| unit.0).collect(),
    }
}

const fn class_to_wire(class: ResourceClass) -> u8 {
    match class {
        ResourceClass::Vcpu => 0,
        ResourceClass::Ram => 1,
        ResourceClass::Storage => 2,
        ResourceClass::PublicIp => 3,
        ResourceClass::Bandwidth => 4,
    }
}
