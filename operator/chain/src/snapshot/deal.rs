//! Deals and their workers.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{B256, U256};
use coreward_domain::chain::{Deal, DealStatus, Seat, Worker};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{DealAddress, OnchainWorkerId};

use super::batch::{Answer, Answers, Batch, Ticket};
use super::{VIEW_GAS, small};
use crate::abi::DealV2;
use crate::decode::class_from_wire;

/// Places of a deal's answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct DealQuestion {
    status: Ticket<DealV2::getStatusCall>,
    owner: Ticket<DealV2::ownerCall>,
    app_cid: Ticket<DealV2::appCIDCall>,
    payment_token: Ticket<DealV2::paymentTokenCall>,
    price_per_epoch: Ticket<DealV2::pricePerEpochCall>,
    max_paid_epoch: Ticket<DealV2::getMaxPaidEpochCall>,
    free_balance: Ticket<DealV2::getFreeBalanceCall>,
    target_workers: Ticket<DealV2::targetWorkersCall>,
    required_resources: Ticket<DealV2::requiredResourcesCall>,
    worker_ids: Ticket<DealV2::getWorkerIdsCall>,
}

impl DealQuestion {
    /// Asks for a deal.
    pub(super) fn ask(batch: &mut Batch, deal: DealAddress) -> Self {
        Self {
            status: batch.ask(deal, &DealV2::getStatusCall {}, VIEW_GAS),
            owner: batch.ask(deal, &DealV2::ownerCall {}, VIEW_GAS),
            app_cid: batch.ask(deal, &DealV2::appCIDCall {}, VIEW_GAS),
            payment_token: batch.ask(deal, &DealV2::paymentTokenCall {}, VIEW_GAS),
            price_per_epoch: batch.ask(deal, &DealV2::pricePerEpochCall {}, VIEW_GAS),
            max_paid_epoch: batch.ask(deal, &DealV2::getMaxPaidEpochCall {}, VIEW_GAS),
            free_balance: batch.ask(deal, &DealV2::getFreeBalanceCall {}, VIEW_GAS),
            target_workers: batch.ask(deal, &DealV2::targetWorkersCall {}, VIEW_GAS),
            required_resources: batch.ask(deal, &DealV2::requiredResourcesCall {}, VIEW_GAS),
            worker_ids: batch.ask(deal, &DealV2::getWorkerIdsCall {}, VIEW_GAS),
        }
    }

    /// The ids of its workers; `None` if unknown.
    pub(super) fn worker_ids(self, answers: &Answers) -> Option<Vec<B256>> {
        answers.get(self.worker_ids).value()
    }

    /// The deal with these workers; `None` if any part is unknown.
    pub(super) fn read(
        self,
        answers: &Answers,
        workers: BTreeMap<OnchainWorkerId, Worker>,
    ) -> Option<Deal> {
        let app_cid = answers.get(self.app_cid).value()?;
        let mut cid = [0; 36];
        cid[..4].copy_from_slice(app_cid.prefixes.as_slice());
        cid[4..].copy_from_slice(app_cid.hash.as_slice());
        let required = answers.get(self.required_resources).value()?.into_iter().map(|required| {
            let quantity = (class_from_wire(required.ty)?, small(required.quantity));
            Some((required.resourceId.into(), quantity))
        });
        Some(Deal {
            status: status_from_wire(answers.get(self.status).value()?)?,
            owner: answers.get(self.owner).value()?,
            app_cid: cid,
            payment_token: answers.get(self.payment_token).value()?,
            price_per_epoch: answers.get(self.price_per_epoch).value()?,
            max_paid_epoch: Epoch(small(answers.get(self.max_paid_epoch).value()?)),
            free_balance: answers.get(self.free_balance).value()?,
            target_workers: small(answers.get(self.target_workers).value()?),
            required_resources: required.collect::<Option<_>>()?,
            workers,
        })
    }
}

/// Places of the answers about a deal's workers.
#[derive(Debug)]
pub(super) struct WorkersQuestion(Vec<WorkerQuestion>);

#[derive(Debug)]
struct WorkerQuestion {
    worker: Ticket<DealV2::getWorkerCall>,
    /// Only of our own.
    reward: Option<Ticket<DealV2::getRewardAmountCall>>,
}

impl WorkersQuestion {
    /// Asks for these workers of a deal; `ours` are the seats that our units serve in.
    pub(super) fn ask(
        batch: &mut Batch,
        deal: DealAddress,
        ids: &[B256],
        ours: &BTreeSet<Seat>,
    ) -> Self {
        let one = |id: &B256| {
            let worker = batch.ask(deal, &DealV2::getWorkerCall { onchainWorkerId: *id }, VIEW_GAS);
            let is_ours = ours.contains(&Seat { deal, worker: (*id).into() });
            let reward = is_ours.then(|| {
                batch.ask(deal, &DealV2::getRewardAmountCall { onchainWorkerId: *id }, VIEW_GAS)
            });
            WorkerQuestion { worker, reward }
        };
        Self(ids.iter().map(one).collect())
    }

    /// All of them; `None` if any is unknown: a list with a gap would throw a member out.
    pub(super) fn read(&self, answers: &Answers) -> Option<BTreeMap<OnchainWorkerId, Worker>> {
        self.0.iter().map(|question| question.read(answers)).collect()
    }
}

impl WorkerQuestion {
    fn read(&self, answers: &Answers) -> Option<(OnchainWorkerId, Worker)> {
        let view = answers.get(self.worker).value()?;
        let reward = match self.reward.map(|ticket| answers.get(ticket)) {
            Some(Answer::Value(rewards)) => rewards.providerReward,
            Some(Answer::Unknown) => return None,
            Some(Answer::Refused(_)) | None => U256::ZERO,
        };
        let worker = Worker {
            peer: view.peerId.into(),
            provider: view.provider,
            offchain: view.offchainId.into(),
            joined_epoch: Epoch(small(view.joinedEpoch)),
            reward,
        };
        Some((view.onchainId.into(), worker))
    }
}

const fn status_from_wire(status: u8) -> Option<DealStatus> {
    Some(match status {
        0 => DealStatus::InsufficientFunds,
        1 => DealStatus::Active,
        2 => DealStatus::Ended,
        3 => DealStatus::NotEnoughWorkers,
        4 => DealStatus::SmallBalance,
        _ => return None,
    })
}
