//! Deals and their workers.

use alloy::primitives::{Address, B256, U256};

use super::{
    super::{
        abi::{Deal, DealRewards, Diamond, Seat, WorkerData},
        cid,
        error::Result,
        node::At,
        words::DealStatus,
    },
    Oracle,
};

/// A deal as its own contract tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealFacts {
    /// Computed for the newest block's epoch.
    pub status: DealStatus,
    /// The developer.
    pub owner: Address,
    /// The app's CID as text.
    pub app_cid: String,
    /// The workers, activated or not; an `offchainId` of zero is not activated.
    pub workers: Vec<Seat>,
    /// The last paid epoch; 0 while no worker is activated.
    pub max_paid_epoch: u64,
    /// Unbilled balance, base units.
    pub free_balance: U256,
}

impl Oracle {
    /// A deal with all its workers.
    ///
    /// # Errors
    /// As [`super::Node::view`].
    pub async fn deal(&self, deal: Address) -> Result<DealFacts> {
        // One block for all: a worker removed in between would make its look-up revert.
        let at = At::Number(self.block_number().await?);
        let mut workers = Vec::new();
        for worker in self.node.view(deal, &Deal::getWorkerIdsCall {}, at).await? {
            let call = Deal::getWorkerCall { onchainWorkerId: worker };
            workers.push(self.node.view(deal, &call, at).await?);
        }
        let max_paid = self.node.view(deal, &Deal::getMaxPaidEpochCall {}, at).await?;
        Ok(DealFacts {
            status: self.node.view(deal, &Deal::getStatusCall {}, at).await?.try_into()?,
            owner: self.node.view(deal, &Deal::ownerCall {}, at).await?,
            app_cid: cid::from_chain(&self.node.view(deal, &Deal::appCIDCall {}, at).await?),
            workers,
            max_paid_epoch: max_paid.saturating_to(),
            free_balance: self.node.view(deal, &Deal::getFreeBalanceCall {}, at).await?,
        })
    }

    /// A worker with its units and resources; all zeros for one that was removed or never was.
    ///
    /// # Errors
    /// As [`super::Node::view`].
    pub async fn worker(&self, worker: B256) -> Result<WorkerData> {
        self.view(&Diamond::getWorkerDataCall { onchainWorkerId: worker }).await
    }

    /// What a worker has earned and not been paid, base units.
    ///
    /// # Errors
    /// As [`super::Node::view`]; "Worker not found" for one that is not in the deal.
    pub async fn deal_reward(&self, deal: Address, worker: B256) -> Result<DealRewards> {
        let call = Deal::getRewardAmountCall { onchainWorkerId: worker };
        self.node.view(deal, &call, At::Latest).await
    }
}
