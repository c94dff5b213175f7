//! Developers, and the backend that makes and funds their deals.

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::TransactionReceipt,
};

use super::{
    super::{
        abi::{BalanceKeeper, Deal, Diamond, ResourceRequirement},
        cid,
        deploy::{COORDINATOR, VODOPAD},
        error::Result,
        node::{event_of, events_of},
    },
    Driver,
    provider::{CPU, RAM},
};

/// vCPUs of a unit.
const VCPU_PER_UNIT: u64 = 2;
/// MiB of memory that a unit brings at least.
const MEBIBYTES_PER_UNIT: u64 = 4096;
const PROTOCOL_VERSION: u64 = 2;

/// What a developer asks for.
#[derive(Debug, Clone)]
pub struct DealOrder {
    /// The developer.
    pub owner: Address,
    /// The app's CID in base32 text.
    pub app_cid: String,
    /// Workers wanted.
    pub target_workers: u64,
    /// Workers that one provider may have.
    pub max_workers_per_provider: u64,
    /// Units per worker.
    pub units_per_worker: u64,
    /// Base units of the payment token per worker and epoch.
    pub price_per_epoch: u64,
    /// Epochs paid in advance for all workers, at least two.
    pub paid_epochs: u64,
    /// Where not empty, only these providers may be matched, and they need no commitment.
    pub only_providers: Vec<Address>,
    /// Base units left on the developer's free balance, for later funding.
    pub left_over: u64,
}

impl DealOrder {
    /// One worker of one unit for 1 USDC per epoch, paid for ten epochs.
    #[must_use]
    pub fn of_one_worker(owner: Address, app_cid: &str) -> Self {
        Self {
            owner,
            app_cid: app_cid.to_owned(),
            target_workers: 1,
            max_workers_per_provider: 1,
            units_per_worker: 1,
            price_per_epoch: 1_000_000,
            paid_epochs: 10,
            only_providers: Vec::new(),
            left_over: 0,
        }
    }

    fn deposit(&self) -> U256 {
        U256::from(self.paid_epochs * self.price_per_epoch * self.target_workers)
    }

    fn resources(&self) -> Vec<ResourceRequirement> {
        let require = |(ty, id): (u8, B256), quantity: u64| ResourceRequirement {
            resourceId: id,
            ty,
            quantity: U256::from(quantity * self.units_per_worker),
        };
        vec![require(CPU, VCPU_PER_UNIT), require(RAM, MEBIBYTES_PER_UNIT)]
    }
}

impl Driver {
    /// Credits `amount` base units to a developer's free balance, out of the coordinator's tokens.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn top_up(&self, developer: Address, amount: U256) -> Result<()> {
        let (keeper, token) = (self.contracts.balance_keeper, self.contracts.usdc);
        let pool = BalanceKeeper::poolTopUpCall { token, amount };
        self.node.send(COORDINATOR, keeper, &pool, U256::ZERO).await?;
        let id = format!("{developer}-{:032x}", rand::random::<u128>());
        let user = BalanceKeeper::userTopUpCall { token, user: developer, amount, topUpId: id };
        self.node.send(VODOPAD, keeper, &user, U256::ZERO).await.map(drop)
    }

    /// Tops the developer up and makes the deal; gives its address.
    ///
    /// # Errors
    /// [`super::super::Error::Text`] for a bad CID, and as [`super::Node::send`].
    pub async fn create_deal(&self, order: &DealOrder) -> Result<Address> {
        let app_cid = cid::to_chain(&order.app_cid)?;
        self.top_up(order.owner, order.deposit() + U256::from(order.left_over)).await?;
        let call = Diamond::deployDealV2Call {
            appCID: app_cid,
            paymentToken: self.contracts.usdc,
            depositAmount: order.deposit(),
            targetWorkers: U256::from(order.target_workers),
            resources: order.resources(),
            pricePerEpoch: U256::from(order.price_per_epoch),
            maxWorkersPerProvider: U256::from(order.max_workers_per_provider),
            providersAccessType: u8::from(!order.only_providers.is_empty()),
            providersAccessList: order.only_providers.clone(),
            protocolVersion: U256::from(PROTOCOL_VERSION),
            owner: order.owner,
        };
        let receipt = self.call(VODOPAD, &call).await?;
        Ok(event_of::<Diamond::DealCreatedV2>(&receipt, self.contracts.diamond)?.deal)
    }

    /// Moves free balance of the developer into the deal, so that it is paid through epoch `paid_through`.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn fund_deal(&self, deal: Address, paid_through: u64) -> Result<()> {
        let call = Diamond::fundDealV2Call { deal, targetMaxPaidEpoch: U256::from(paid_through) };
        self.call(VODOPAD, &call).await.map(drop)
    }

    /// Matches one worker per peer with exactly the units given; gives the workers' ids in that order.
    ///
    /// # Errors
    /// As [`super::Node::send`], with the contract's reason.
    pub async fn match_deal(
        &self,
        deal: Address,
        seats: &[(B256, Vec<B256>)],
    ) -> Result<Vec<B256>> {
        let receipt = self.match_deal_receipt(deal, seats).await?;
        let created = events_of::<Diamond::WorkerCreatedV2>(&receipt, self.contracts.diamond)?;
        Ok(created.into_iter().map(|event| event.onchainWorkerId).collect())
    }

    /// As [`Driver::match_deal`], for whoever wants the block of the match.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn match_deal_receipt(
        &self,
        deal: Address,
        seats: &[(B256, Vec<B256>)],
    ) -> Result<TransactionReceipt> {
        let (peers, units) = seats.iter().cloned().unzip();
        let call = Diamond::matchDealV2Call { deal, peerIds: peers, computeUnitIds: units };
        self.call(VODOPAD, &call).await
    }

    /// Ends the deal as its developer. Only half of its workers leave by that: see the fact sheet's first pitfall.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn stop_deal(&self, developer: Address, deal: Address) -> Result<TransactionReceipt> {
        self.node.send(developer, deal, &Deal::stopCall {}, U256::ZERO).await
    }

    /// Points the deal to another app, as its developer.
    ///
    /// # Errors
    /// [`super::super::Error::Text`] for a bad CID, and as [`super::Node::send`].
    pub async fn set_app_cid(
        &self,
        developer: Address,
        deal: Address,
        app_cid: &str,
    ) -> Result<()> {
        let call = Deal::setAppCIDCall { appCID: cid::to_chain(app_cid)? };
        self.node.send(developer, deal, &call, U256::ZERO).await.map(drop)
    }

    /// Removes a worker, as its developer, its provider or its peer's owner.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn remove_worker(
        &self,
        sender: Address,
        deal: Address,
        worker: B256,
    ) -> Result<TransactionReceipt> {
        let call = Deal::removeWorkerCall { onchainWorkerId: worker };
        self.node.send(sender, deal, &call, U256::ZERO).await
    }
}
