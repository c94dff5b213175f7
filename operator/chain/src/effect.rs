//! What a mined transaction did, out of its receipt's logs.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use coreward_domain::call::{Call, Proof};
use coreward_domain::id::{
    CommitmentId, DealAddress, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId,
};

use crate::abi::{DealV2, Diamond};

/// Something that a transaction of ours did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An offer got its id.
    OfferRegistered {
        /// The id.
        offer: OfferId,
    },
    /// A commitment got its id.
    CommitmentCreated {
        /// Of this peer.
        peer: PeerId,
        /// The id.
        commitment: CommitmentId,
    },
    /// The collateral is there.
    CollateralDeposited {
        /// For this commitment.
        commitment: CommitmentId,
        /// Wei.
        amount: U256,
    },
    /// The collateral came back.
    CollateralWithdrawn {
        /// Of this commitment.
        commitment: CommitmentId,
        /// Wei paid back.
        amount: U256,
        /// Wei kept by the market.
        slashed: U256,
    },
    /// A commitment is over and its peer free.
    CommitmentFinished {
        /// The id.
        commitment: CommitmentId,
    },
    /// A proof was counted, or flagged as repeated or beyond the maximum.
    Proof {
        /// Which.
        proof: Proof,
        /// Whether it counts.
        accepted: bool,
    },
    /// A worker is a member now, and billed.
    WorkerActivated {
        /// Of this deal.
        deal: DealAddress,
        /// The seat.
        worker: OnchainWorkerId,
        /// Its key.
        offchain: OffchainWorkerId,
    },
    /// A worker gave its seat back.
    WorkerRemoved {
        /// Of this deal.
        deal: DealAddress,
        /// The seat.
        worker: OnchainWorkerId,
    },
    /// FLT was paid out of a commitment.
    CommitmentRewardsWithdrawn {
        /// Of this commitment.
        commitment: CommitmentId,
        /// Wei for the provider.
        provider: U256,
        /// Wei for the delegator.
        delegator: U256,
    },
    /// The deal's token was paid out.
    DealRewardsWithdrawn {
        /// Of this deal.
        deal: DealAddress,
        /// The seat.
        worker: OnchainWorkerId,
        /// Base units for the provider.
        provider: U256,
        /// Base units for the market's treasury.
        staker: U256,
    },
}

/// Reads the effects of a successful `call` out of its logs; logs of other contracts are passed over.
#[must_use]
pub fn effects(call: &Call, logs: &[Log], diamond: Address) -> Vec<Effect> {
    let mut effects: Vec<Effect> =
        logs.iter().filter_map(|log| effect(call, log, diamond)).collect();
    if let Call::SubmitProofs { proofs, .. } = call {
        effects.extend(proof_effects(proofs, logs, diamond));
    }
    effects
}

fn proof_effects(proofs: &[Proof], logs: &[Log], diamond: Address) -> Vec<Effect> {
    let counted = logs
        .iter()
        .filter(|log| log.address() == diamond)
        .filter_map(|log| log.log_decode::<Diamond::ProofSubmitted>().ok())
        .map(|log| (log.inner.unitId, log.inner.localUnitNonce));
    let mut counted: BTreeSet<(B256, B256)> = counted.collect();
    let effect = |proof: &Proof| {
        // A proof that stands twice in a batch counts once.
        let accepted = counted.remove(&(proof.unit.0, proof.local_nonce));
        Effect::Proof { proof: *proof, accepted }
    };
    proofs.iter().map(effect).collect()
}

fn effect(call: &Call, log: &Log, diamond: Address) -> Option<Effect> {
    if log.address() == diamond {
        of_diamond(log)
    } else if Some(log.address()) == call.deal() {
        of_deal(log)
    } else {
        None
    }
}

fn of_diamond(log: &Log) -> Option<Effect> {
    Some(match *log.topic0()? {
        Diamond::MarketOfferRegistered::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::MarketOfferRegistered>().ok()?.inner.data;
            Effect::OfferRegistered { offer: event.offerId.into() }
        }
        Diamond::CommitmentCreated::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::CommitmentCreated>().ok()?.inner.data;
            Effect::CommitmentCreated {
                peer: event.peerId.into(),
                commitment: event.commitmentId.into(),
            }
        }
        Diamond::CollateralDeposited::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::CollateralDeposited>().ok()?.inner.data;
            Effect::CollateralDeposited {
                commitment: event.commitmentId.into(),
                amount: event.totalCollateral,
            }
        }
        Diamond::CollateralWithdrawn::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::CollateralWithdrawn>().ok()?.inner.data;
            Effect::CollateralWithdrawn {
                commitment: event.commitmentId.into(),
                amount: event.amountWithdrawn,
                slashed: event.amountSlashed,
            }
        }
        Diamond::CommitmentFinished::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::CommitmentFinished>().ok()?.inner.data;
            Effect::CommitmentFinished { commitment: event.commitmentId.into() }
        }
        Diamond::WorkerActivatedV2::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::WorkerActivatedV2>().ok()?.inner.data;
            Effect::WorkerActivated {
                deal: event.deal,
                worker: event.onchainWorkerId.into(),
                offchain: event.offchainWorkerId.into(),
            }
        }
        Diamond::RewardWithdrawn::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::RewardWithdrawn>().ok()?.inner.data;
            Effect::CommitmentRewardsWithdrawn {
                commitment: event.commitmentId.into(),
                provider: event.providerReward,
                delegator: event.dealStakerRewardsAmount,
            }
        }
        _ => return None,
    })
}

fn of_deal(log: &Log) -> Option<Effect> {
    let deal = log.address();
    Some(match *log.topic0()? {
        DealV2::WorkerRemoved::SIGNATURE_HASH => {
            let event = log.log_decode::<DealV2::WorkerRemoved>().ok()?.inner.data;
            Effect::WorkerRemoved { deal, worker: event.onchainId.into() }
        }
        DealV2::RewardWithdrawn::SIGNATURE_HASH => {
            let event = log.log_decode::<DealV2::RewardWithdrawn>().ok()?.inner.data;
            Effect::DealRewardsWithdrawn {
                deal,
                worker: event.onchainWorkerId.into(),
                provider: event.providerReward,
                staker: event.stakerReward,
            }
        }
        _ => return None,
    })
}
