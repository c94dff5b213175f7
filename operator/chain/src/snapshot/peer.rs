//! Peers with their units, and commitments.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, U256};
use coreward_domain::chain::{Commitment, CommitmentStatus, Peer, PeerResource, Seat, Unit};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{CommitmentId, PeerId};

use super::batch::{Answer, Answers, Batch, Ticket};
use super::small;
use crate::abi::Diamond;
use crate::decode::class_from_wire;

/// Gas of a peer's view without its units, and for each unit: measured 81 k with one and two resources, 694 k with 64.
const PEER_GAS: u64 = 110_000;
const PEER_UNIT_GAS: u64 = 10_000;

/// Gas of a peer's owner: measured 16 k.
const OWNER_GAS: u64 = 20_000;

/// Gas of a view over a commitment's rewards: measured 96 k, and more with each step of vesting.
const REWARD_GAS: u64 = 120_000;

/// Gas of a commitment's view over its units, without them, and for each.
const COUNTS_GAS: u64 = 60_000;
const COUNTS_UNIT_GAS: u64 = 6_000;

/// Places of a peer's answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerQuestion {
    view: Ticket<Diamond::getPeerV2Call>,
    owner: Ticket<Diamond::getComputePeerCall>,
}

impl PeerQuestion {
    /// Asks for a peer of about so many units.
    pub(super) fn ask(batch: &mut Batch, diamond: Address, peer: PeerId, units: u64) -> Self {
        let gas = PEER_GAS + PEER_UNIT_GAS * units;
        Self {
            view: batch.ask(diamond, &Diamond::getPeerV2Call { peerId: peer.0 }, gas),
            owner: batch.ask(diamond, &Diamond::getComputePeerCall { peerId: peer.0 }, OWNER_GAS),
        }
    }

    /// Refused means that there is no such peer.
    pub(super) fn read(self, answers: &Answers) -> Answer<Peer> {
        match answers.get(self.owner) {
            Answer::Value(peer) => {
                answers.get(self.view).and_then(|view| peer_from_view(view, peer.owner))
            }
            Answer::Refused(revert) if revert.is_absence() => Answer::Refused(revert),
            Answer::Refused(_) | Answer::Unknown => Answer::Unknown,
        }
    }
}

fn peer_from_view(view: Diamond::PeerView, owner: Address) -> Option<Peer> {
    let resources = view.resources.into_iter().map(|resource| {
        let read = PeerResource {
            class: class_from_wire(resource.ty)?,
            details: resource.details,
            available: small(resource.availableSupply),
            supply: small(resource.maxSupply),
        };
        Some((resource.resourceId.into(), read))
    });
    Some(Peer {
        offer: view.offerId.into(),
        owner,
        commitment: (!view.commitmentId.is_zero()).then(|| view.commitmentId.into()),
        units: view.units.iter().map(|unit| (unit.id.into(), unit_from_view(unit))).collect(),
        resources: resources.collect::<Option<_>>()?,
    })
}

fn unit_from_view(unit: &Diamond::UnitView) -> Unit {
    let seat = Seat { deal: unit.deal, worker: unit.onchainWorkerId.into() };
    Unit {
        seat: (!unit.deal.is_zero()).then_some(seat),
        start_epoch: Epoch(small(unit.startEpoch)),
    }
}

/// Places of a commitment's answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommitmentQuestion {
    view: Ticket<Diamond::getCommitmentCall>,
    proofs: Ticket<Diamond::getProofCountsCall>,
    exits: Ticket<Diamond::getUnitExitStatusesCall>,
    unlocked: Ticket<Diamond::unlockedRewardsCall>,
    total: Ticket<Diamond::totalRewardsCall>,
    withdrawn: Ticket<Diamond::withdrawnRewardsCall>,
}

impl CommitmentQuestion {
    /// Asks for a commitment of about so many units.
    pub(super) fn ask(
        batch: &mut Batch,
        diamond: Address,
        commitment: CommitmentId,
        units: u64,
    ) -> Self {
        let id = commitment.0;
        let gas = COUNTS_GAS + COUNTS_UNIT_GAS * units;
        Self {
            view: batch.ask(diamond, &Diamond::getCommitmentCall { commitmentId: id }, gas),
            proofs: batch.ask(diamond, &Diamond::getProofCountsCall { commitmentId: id }, gas),
            exits: batch.ask(diamond, &Diamond::getUnitExitStatusesCall { commitmentId: id }, gas),
            unlocked: batch.ask(
                diamond,
                &Diamond::unlockedRewardsCall { commitmentId: id },
                REWARD_GAS,
            ),
            total: batch.ask(diamond, &Diamond::totalRewardsCall { commitmentId: id }, REWARD_GAS),
            withdrawn: batch.ask(
                diamond,
                &Diamond::withdrawnRewardsCall { commitmentId: id },
                REWARD_GAS,
            ),
        }
    }

    /// Refused means that there is no such commitment.
    pub(super) fn read(self, answers: &Answers) -> Answer<Commitment> {
        match answers.get(self.view) {
            Answer::Value(view) => {
                self.of_view(&view, answers).map_or(Answer::Unknown, Answer::Value)
            }
            Answer::Refused(revert) if revert.is_absence() => Answer::Refused(revert),
            Answer::Refused(_) | Answer::Unknown => Answer::Unknown,
        }
    }

    fn of_view(self, view: &Diamond::Commitment, answers: &Answers) -> Option<Commitment> {
        // A removed peer takes these views of its old commitments along.
        let nothing = Diamond::getProofCountsReturn { unitIds: Vec::new(), counts: Vec::new() };
        let proofs = answers.get(self.proofs).or_when_refused(nothing)?;
        let nothing =
            Diamond::getUnitExitStatusesReturn { unitIds: Vec::new(), isExited: Vec::new() };
        let exits = answers.get(self.exits).or_when_refused(nothing)?;
        let exited = exits.unitIds.into_iter().zip(exits.isExited).filter(|(_, exited)| *exited);
        Some(Commitment {
            status: status_from_wire(view.status)?,
            peer: view.peerId.into(),
            collateral_per_unit: view.collateralPerUnit,
            unit_count: small(view.unitCount),
            start_epoch: Epoch(small(view.startEpoch)),
            end_epoch: Epoch(small(view.endEpoch)),
            delegator: view.delegator,
            delegation_rate: small(view.rewardDelegatorRate),
            fail_count: small(view.totalFailCount),
            failed_epoch: Epoch(small(view.failedEpoch)),
            exited: exited.map(|(unit, _)| unit.into()).collect::<BTreeSet<_>>(),
            proofs: proof_counts(proofs),
            unlocked_rewards: sum(&answers.get(self.unlocked).value()?),
            total_rewards: sum(&answers.get(self.total).value()?),
            withdrawn_rewards: sum(&answers.get(self.withdrawn).value()?),
        })
    }
}

fn proof_counts(view: Diamond::getProofCountsReturn) -> BTreeMap<coreward_domain::id::UnitId, u32> {
    view.unitIds
        .into_iter()
        .zip(view.counts)
        .map(|(unit, count)| (unit.into(), count.saturating_to()))
        .collect()
}

fn sum(rewards: &Diamond::Rewards) -> U256 {
    rewards.ccRewards.saturating_add(rewards.dealStakerRewards)
}

const fn status_from_wire(status: u8) -> Option<CommitmentStatus> {
    Some(match status {
        0 => CommitmentStatus::Inactive,
        1 => CommitmentStatus::Active,
        2 => CommitmentStatus::WaitDelegation,
        3 => CommitmentStatus::WaitStart,
        4 => CommitmentStatus::Failed,
        5 => CommitmentStatus::Removed,
        _ => return None,
    })
}
