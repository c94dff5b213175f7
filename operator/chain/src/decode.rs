//! Calls read back from what was signed.

use alloy::primitives::{Address, U256};
use alloy::sol;
use alloy::sol_types::{SolCall, SolInterface};
use coreward_domain::call::{Call, NewPeer, NewResource, Proof, ResourcePrice};
use coreward_domain::chain::ResourceClass;
use coreward_domain::epoch::Epoch;
use coreward_domain::id::PeerId;

use crate::abi::{DealV2, Diamond};
use crate::encode::{Encoded, Unsaid};

sol! {
    function multicall(bytes[] data);
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

/// Reads a call back from what was signed.
///
/// # Errors
///
/// [`DecodeError`] for bytes that [`encode`](crate::encode::encode) never makes; such a transaction is somebody else's.
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

/// Whether calldata submits proofs and nothing else, whosever.
pub(crate) fn submits_proofs(encoded: &Encoded, diamond: Address) -> bool {
    let is_proofs = |input: &[u8]| {
        let call = Diamond::DiamondCalls::abi_decode(input);
        matches!(call, Ok(Diamond::DiamondCalls::submitProofs(_)))
    };
    let are_proofs = |many: multicallCall| {
        !many.data.is_empty() && many.data.iter().all(|input| is_proofs(input))
    };
    encoded.to == diamond
        && (is_proofs(&encoded.input)
            || multicallCall::abi_decode(&encoded.input).is_ok_and(are_proofs))
}

fn from_deal(
    call: &DealV2::DealV2Calls,
    deal: Address,
    unsaid: &Unsaid,
) -> Result<Option<Call>, DecodeError> {
    use DealV2::DealV2Calls as Calls;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are views, which nobody signs")]
    Ok(Some(match call {
        Calls::activateWorker(call) => Call::ActivateWorker {
            deal,
            worker: call.onchainWorkerId.into(),
            offchain: call.offchainWorkerId.into(),
        },
        Calls::removeWorker(call) => {
            Call::RemoveWorker { deal, worker: call.onchainWorkerId.into() }
        }
        Calls::withdrawRewards(call) => Call::WithdrawDealRewards {
            deal,
            worker: call.onchainWorkerId.into(),
            claimable: unsaid
                .amount
                .ok_or(DecodeError::Incomplete { function: "withdrawRewards" })?,
        },
        _ => return Ok(None),
    }))
}

fn from_diamond(
    call: Diamond::DiamondCalls,
    value: U256,
    unsaid: &Unsaid,
) -> Result<Option<Call>, DecodeError> {
    use Diamond::DiamondCalls as Calls;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others are of commitments, or views, which nobody signs"
    )]
    Ok(match call {
        Calls::setProviderInfo(call) => Some(Call::SetProviderInfo { name: call.name }),
        Calls::registerMarketOfferV2(call) => register_offer(call),
        Calls::addComputePeersV2(call) => peers_from_wire(call.peers)
            .map(|peers| Call::AddPeers { offer: call.offerId.into(), peers }),
        Calls::addComputeUnitsV2(call) => {
            resource_from_wire(call.resource).map(|vcpu| Call::AddUnits {
                peer: call.peerId.into(),
                units: call.unitIds.into_iter().map(Into::into).collect(),
                vcpu,
            })
        }
        Calls::changeResourcePriceV2(call) => Some(Call::ChangePrice {
            offer: call.offerId.into(),
            resource: call.resourceId.into(),
            price: call.newPrice,
        }),
        Calls::setOfferDatacenter(call) => Some(Call::SetDatacenter {
            offer: call.offerId.into(),
            datacenter: call.datacenterId.into(),
        }),
        Calls::changePaymentToken(call) => Some(Call::ChangePaymentToken {
            offer: call.offerId.into(),
            token: call.newPaymentToken,
        }),
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
        Calls::removeComputeUnitV2(call) => Some(Call::RemoveUnit {
            unit: call.unitId.into(),
            vcpu: call.associatedResourceId.into(),
        }),
        Calls::removePeerResource(call) => Some(Call::RemovePeerResource {
            peer: call.peerId.into(),
            resource: call.resourceId.into(),
        }),
        Calls::removeComputePeerV2(call) => Some(Call::RemovePeer { peer: call.peerId.into() }),
        Calls::removeOfferV2(call) => Some(Call::RemoveOffer { offer: call.offerId.into() }),
        other => of_commitment(&other, value, unsaid)?,
    })
}

fn of_commitment(
    call: &Diamond::DiamondCalls,
    value: U256,
    unsaid: &Unsaid,
) -> Result<Option<Call>, DecodeError> {
    use Diamond::DiamondCalls as Calls;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are views, which nobody signs")]
    Ok(match call {
        Calls::createCommitment(call) => create_commitment(call),
        Calls::removeCommitment(call) => {
            Some(Call::RemoveCommitment { commitment: call.commitmentId.into() })
        }
        Calls::depositCollateral(call) => match call.commitmentIds[..] {
            [commitment] => Some(Call::DepositCollateral { commitment: commitment.into(), value }),
            _ => None,
        },
        Calls::submitProofs(call) => Some(submit_proofs(call, unsaid)?),
        Calls::withdrawReward(call) => Some(Call::WithdrawCommitmentRewards {
            commitment: call.commitmentId.into(),
            unlocked: unsaid
                .amount
                .ok_or(DecodeError::Incomplete { function: "withdrawReward" })?,
        }),
        Calls::withdrawCollateral(call) => {
            Some(Call::WithdrawCollateral { commitment: call.commitmentId.into() })
        }
        Calls::removeCUFromCC(call) => Some(Call::RemoveUnitsFromCommitment {
            commitment: call.commitmentId.into(),
            units: call.unitIds.iter().copied().map(Into::into).collect(),
        }),
        Calls::finishCommitment(call) => {
            Some(Call::FinishCommitment { commitment: call.commitmentId.into() })
        }
        _ => None,
    })
}

fn register_offer(call: Diamond::registerMarketOfferV2Call) -> Option<Call> {
    let prices = call.prices.iter().map(price_from_wire).collect::<Option<_>>()?;
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

fn price_from_wire(price: &Diamond::ResourcePrice) -> Option<ResourcePrice> {
    Some(ResourcePrice {
        class: class_from_wire(price.ty)?,
        resource: price.resourceId.into(),
        price: price.price,
    })
}

fn resource_from_wire(resource: Diamond::PeerResource) -> Option<NewResource> {
    let supply = resource.supply.try_into().ok()?;
    Some(NewResource { resource: resource.resourceId.into(), supply, details: resource.details })
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
