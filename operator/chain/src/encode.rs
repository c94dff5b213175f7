//! Calls as the contracts read them, and back.

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U256};
use alloy::sol_types::{SolCall, SolInterface};
use coreward_domain::call::{Call, NewPeer, NewResource, Proof, ResourcePrice};
use coreward_domain::chain::ResourceClass;
use coreward_domain::epoch::Epoch;
use coreward_domain::id::PeerId;
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
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are whole in their calldata; the round trip test says so")]
        match call {
            Call::SubmitProofs { peer, epoch, .. } => {
                Self { peer: Some(peer.0), epoch: Some(epoch.0), ..Self::default() }
            }
            Call::WithdrawDealRewards { claimable, .. } => Self { amount: Some(*claimable), ..Self::default() },
            Call::WithdrawCommitmentRewards { unlocked, .. } => Self { amount: Some(*unlocked), ..Self::default() },
            _ => Self::default(),
        }
    }
}

/// Calldata that is none of our calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No function of ours, or arguments that do not parse.
    #[error("calldata to {to} is no call of ours")]
    Foreign {
        /// Where it goes.
        to: Address,
    },
    /// Ours, but what its calldata leaves out was not kept.
    #[error("calldata of `{function}` lacks what must be kept beside it")]
    Incomplete {
        /// The contract's name of the function.
        function: &'static str,
    },
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
        Call::RegisterOffer { payment_token, prices, peers, datacenter } => Diamond::registerMarketOfferV2Call {
            paymentToken: *payment_token,
            prices: prices.iter().map(price_to_wire).collect(),
            peers: peers.iter().map(peer_to_wire).collect(),
            datacenterId: datacenter.0,
        }
        .abi_encode(),
        Call::AddPeers { offer, peers } => {
            Diamond::addComputePeersV2Call { offerId: offer.0, peers: peers.iter().map(peer_to_wire).collect() }
                .abi_encode()
        }
        Call::AddUnits { peer, units, vcpu } => Diamond::addComputeUnitsV2Call {
            peerId: peer.0,
            unitIds: units.iter().map(|unit| unit.0).collect(),
            resource: resource_to_wire(vcpu),
        }
        .abi_encode(),
        Call::ChangePrice { offer, resource, price } => {
            Diamond::changeResourcePriceV2Call { offerId: offer.0, resourceId: resource.0, newPrice: *price }
                .abi_encode()
        }
        Call::SetDatacenter { offer, datacenter } => {
            Diamond::setOfferDatacenterCall { offerId: offer.0, datacenterId: datacenter.0 }.abi_encode()
        }
        Call::ChangePaymentToken { offer, token } => {
            Diamond::changePaymentTokenCall { offerId: offer.0, newPaymentToken: *token }.abi_encode()
        }
        Call::RegisterPeerResource { peer, resource } => {
            Diamond::registerPeerResourceCall { peerId: peer.0, resource: resource_to_wire(resource) }.abi_encode()
        }
        Call::ChangeResourceDetails { peer, resource, details } => {
            Diamond::changeResourceDetailsCall { peerId: peer.0, resourceId: resource.0, details: details.clone() }
                .abi_encode()
        }
        Call::ChangeResourceSupply { peer, resource, supply } => Diamond::changeResourceMaxSupplyV2Call {
            peerId: peer.0,
            resourceId: resource.0,
            newMaxSupply: U256::from(*supply),
        }
        .abi_encode(),
        Call::CreateCommitment { peer, duration, delegator, delegation_rate } => Diamond::createCommitmentCall {
            peerId: peer.0,
            duration: U256::from(*duration),
            delegator: *delegator,
            rewardDelegationRate: U256::from(*delegation_rate),
        }
        .abi_encode(),
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
            DealV2::activateWorkerCall { onchainWorkerId: worker.0, offchainWorkerId: offchain.0 }.abi_encode()
        }
        Call::RemoveWorker { worker, .. } => DealV2::removeWorkerCall { onchainWorkerId: worker.0 }.abi_encode(),
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
    }
}

/// Reads a call back from what was signed.
///
/// # Errors
///
/// [`DecodeError`] for bytes that [`encode`] never makes; such a transaction is somebody else's.
pub fn decode(encoded: &Encoded, diamond: Address, unsaid: &Unsaid) -> Result<Call, DecodeError> {
    let foreign = DecodeError::Foreign { to: encoded.to };
    if encoded.to == diamond {
        let call = Diamond::DiamondCalls::abi_decode(&encoded.input).map_err(|_| foreign)?;
        from_diamond(call, encoded.value, unsaid)?.ok_or(foreign)
    } else {
        let call = DealV2::DealV2Calls::abi_decode(&encoded.input).map_err(|_| foreign)?;
        from_deal(&call, encoded.to, unsaid)?.ok_or(foreign)
    }
}

fn from_deal(call: &DealV2::DealV2Calls, deal: Address, unsaid: &Unsaid) -> Result<Option<Call>, DecodeError> {
    use DealV2::DealV2Calls as Calls;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are views, which nobody signs")]
    Ok(Some(match call {
        Calls::activateWorker(call) => Call::ActivateWorker {
            deal,
            worker: call.onchainWorkerId.into(),
            offchain: call.offchainWorkerId.into(),
        },
        Calls::removeWorker(call) => Call::RemoveWorker { deal, worker: call.onchainWorkerId.into() },
        Calls::withdrawRewards(call) => Call::WithdrawDealRewards {
            deal,
            worker: call.onchainWorkerId.into(),
            claimable: unsaid.amount.ok_or(DecodeError::Incomplete { function: "withdrawRewards" })?,
        },
        _ => return Ok(None),
    }))
}

#[expect(clippy::too_many_lines, reason = "one arm per call, each says nothing but its arguments")]
fn from_diamond(call: Diamond::DiamondCalls, value: U256, unsaid: &Unsaid) -> Result<Option<Call>, DecodeError> {
    use Diamond::DiamondCalls as Calls;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are views, which nobody signs")]
    Ok(match call {
        Calls::setProviderInfo(call) => Some(Call::SetProviderInfo { name: call.name }),
        Calls::registerMarketOfferV2(call) => register_offer(call),
        Calls::addComputePeersV2(call) => peers_from_wire(call.peers)
            .map(|peers| Call::AddPeers { offer: call.offerId.into(), peers }),
        Calls::addComputeUnitsV2(call) => resource_from_wire(call.resource).map(|vcpu| Call::AddUnits {
            peer: call.peerId.into(),
            units: call.unitIds.into_iter().map(Into::into).collect(),
            vcpu,
        }),
        Calls::changeResourcePriceV2(call) => Some(Call::ChangePrice {
            offer: call.offerId.into(),
            resource: call.resourceId.into(),
            price: call.newPrice,
        }),
        Calls::setOfferDatacenter(call) => {
            Some(Call::SetDatacenter { offer: call.offerId.into(), datacenter: call.datacenterId.into() })
        }
        Calls::changePaymentToken(call) => {
            Some(Call::ChangePaymentToken { offer: call.offerId.into(), token: call.newPaymentToken })
        }
        Calls::registerPeerResource(call) => resource_from_wire(call.resource)
            .map(|resource| Call::RegisterPeerResource { peer: call.peerId.into(), resource }),
        Calls::changeResourceDetails(call) => Some(Call::ChangeResourceDetails {
            peer: call.peerId.into(),
            resource: call.resourceId.into(),
            details: call.details,
        }),
        Calls::changeResourceMaxSupplyV2(call) => {
            u64::try_from(call.newMaxSupply).ok().map(|supply| Call::ChangeResourceSupply {
                peer: call.peerId.into(),
                resource: call.resourceId.into(),
                supply,
            })
        }
        Calls::createCommitment(call) => create_commitment(&call),
        Calls::removeCommitment(call) => Some(Call::RemoveCommitment { commitment: call.commitmentId.into() }),
        Calls::depositCollateral(call) => match call.commitmentIds[..] {
            [commitment] => Some(Call::DepositCollateral { commitment: commitment.into(), value }),
            _ => None,
        },
        Calls::submitProofs(call) => Some(submit_proofs(&call, unsaid)?),
        Calls::withdrawReward(call) => Some(Call::WithdrawCommitmentRewards {
            commitment: call.commitmentId.into(),
            unlocked: unsaid.amount.ok_or(DecodeError::Incomplete { function: "withdrawReward" })?,
        }),
        Calls::withdrawCollateral(call) => Some(Call::WithdrawCollateral { commitment: call.commitmentId.into() }),
        Calls::removeCUFromCC(call) => Some(Call::RemoveUnitsFromCommitment {
            commitment: call.commitmentId.into(),
            units: call.unitIds.into_iter().map(Into::into).collect(),
        }),
        Calls::finishCommitment(call) => Some(Call::FinishCommitment { commitment: call.commitmentId.into() }),
        _ => None,
    })
}

fn register_offer(call: Diamond::registerMarketOfferV2Call) -> Option<Call> {
    let prices = call.prices.into_iter().map(price_from_wire).collect::<Option<_>>()?;
    Some(Call::RegisterOffer {
        payment_token: call.paymentToken,
        prices,
        peers: peers_from_wire(call.peers)?,
        datacenter: call.datacenterId.into(),
    })
}

fn create_commitment(call: &Diamond::createCommitmentCall) -> Option<Call> {
    Some(Call::CreateCommitment {
        peer: call.peerId.into(),
        duration: call.duration.try_into().ok()?,
        delegator: call.delegator,
        delegation_rate: call.rewardDelegationRate.try_into().ok()?,
    })
}

fn submit_proofs(call: &Diamond::submitProofsCall, unsaid: &Unsaid) -> Result<Call, DecodeError> {
    let incomplete = DecodeError::Incomplete { function: "submitProofs" };
    let answers = call.localUnitNonces.iter().zip(&call.resultHashes);
    let proofs = call.unitIds.iter().zip(answers).map(|(unit, (nonce, hash))| Proof {
        unit: (*unit).into(),
        local_nonce: *nonce,
        result_hash: *hash,
    });
    Ok(Call::SubmitProofs {
        peer: PeerId(unsaid.peer.ok_or(incomplete)?),
        epoch: Epoch(unsaid.epoch.ok_or(incomplete)?),
        proofs: proofs.collect(),
    })
}

fn price_to_wire(price: &ResourcePrice) -> Diamond::ResourcePrice {
    Diamond::ResourcePrice { ty: class_to_wire(price.class), resourceId: price.resource.0, price: price.price }
}

fn price_from_wire(price: Diamond::ResourcePrice) -> Option<ResourcePrice> {
    Some(ResourcePrice { class: class_from_wire(price.ty)?, resource: price.resourceId.into(), price: price.price })
}

fn resource_to_wire(resource: &NewResource) -> Diamond::PeerResource {
    Diamond::PeerResource {
        resourceId: resource.resource.0,
        supply: U256::from(resource.supply),
        details: resource.details.clone(),
    }
}

fn resource_from_wire(resource: Diamond::PeerResource) -> Option<NewResource> {
    let supply = resource.supply.try_into().ok()?;
    Some(NewResource { resource: resource.resourceId.into(), supply, details: resource.details })
}

fn peer_to_wire(peer: &NewPeer) -> Diamond::NewPeer {
    Diamond::NewPeer {
        peerId: peer.peer.0,
        owner: peer.owner,
        resources: peer.resources.iter().map(resource_to_wire).collect(),
        unitIds: peer.units.iter().map(|unit| unit.0).collect(),
    }
}

fn peers_from_wire(peers: Vec<Diamond::NewPeer>) -> Option<Vec<NewPeer>> {
    let one = |peer: Diamond::NewPeer| {
        Some(NewPeer {
            peer: peer.peerId.into(),
            owner: peer.owner,
            resources: peer.resources.into_iter().map(resource_from_wire).collect::<Option<_>>()?,
            units: peer.unitIds.into_iter().map(Into::into).collect(),
        })
    };
    peers.into_iter().map(one).collect()
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

/// The class with this number in the contracts' enum `ResourceType`.
pub(crate) const fn class_from_wire(class: u8) -> Option<ResourceClass> {
    Some(match class {
        0 => ResourceClass::Vcpu,
        1 => ResourceClass::Ram,
        2 => ResourceClass::Storage,
        3 => ResourceClass::PublicIp,
        4 => ResourceClass::Bandwidth,
        _ => return None,
    })
}
