//! The market as one block shows it.
//!
//! A map holds an entry for everything that was asked for *and* answered: `Some` or a value means it is so, `None` means
//! the contract says that there is none, and a missing entry means unknown.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};

use crate::epoch::{Calendar, Epoch};
use crate::id::{
    CommitmentId, DatacenterId, DealAddress, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId,
    ResourceId, UnitId,
};

/// What to read at a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watchlist {
    /// Owners of offers.
    pub providers: BTreeSet<Address>,
    /// Offers by id.
    pub offers: BTreeSet<OfferId>,
    /// Peers by id; their commitments, units, workers and deals are read along.
    pub peers: BTreeSet<PeerId>,
    /// Commitments besides the peers' present ones: past ones with unpaid rewards.
    pub commitments: BTreeSet<CommitmentId>,
    /// Deals besides those that the peers' units are in: mirrored ones that may have ended.
    pub deals: BTreeSet<DealAddress>,
    /// Accounts whose balance matters.
    pub wallets: BTreeSet<Address>,
    /// Payment tokens.
    pub tokens: BTreeSet<Address>,
}

/// Everything read at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The block.
    pub head: Head,
    /// How timestamps become epochs.
    pub calendar: Calendar,
    /// The epoch of the block.
    pub epoch: Epoch,
    /// The contract's constants.
    pub rules: Rules,
    /// The epoch's global nonce; zero is a nonce like any other.
    pub global_nonce: B256,
    /// The proof target in force.
    pub difficulty: B256,
    /// FLT wei shared out for this epoch's proofs.
    pub reward_pool: U256,
    /// Proofs of this epoch so far, all providers: those of units that reached the minimum.
    pub total_success_proofs: u64,
    /// Highest block that is final by the network's configured rule.
    pub finalized: u64,
    /// By address.
    pub providers: BTreeMap<Address, Provider>,
    /// By id.
    pub offers: BTreeMap<OfferId, Option<Offer>>,
    /// By id.
    pub peers: BTreeMap<PeerId, Option<Peer>>,
    /// By id.
    pub commitments: BTreeMap<CommitmentId, Option<Commitment>>,
    /// By address.
    pub deals: BTreeMap<DealAddress, Deal>,
    /// Balances of the native coin, wei.
    pub wallets: BTreeMap<Address, U256>,
    /// Whether a token may be used for payment.
    pub tokens: BTreeMap<Address, bool>,
    /// All datacenters.
    pub datacenters: BTreeMap<DatacenterId, Datacenter>,
    /// All resource kinds.
    pub resources: BTreeMap<ResourceId, ResourceKind>,
    /// Gateways that other peers of our deals publish in the details of their vCPU, a few short texts of each, as strangers
    /// wrote them. A peer that publishes none, or was never read, is missing.
    pub gateways: BTreeMap<PeerId, Vec<String>>,
}

impl Snapshot {
    /// Whether all of a list was read, present or absent on the chain.
    #[must_use]
    pub fn shows(&self, list: &Watchlist) -> bool {
        list.providers.iter().all(|address| self.providers.contains_key(address))
            && list.offers.iter().all(|id| self.offers.contains_key(id))
            && list.peers.iter().all(|id| self.peers.contains_key(id))
            && list.commitments.iter().all(|id| self.commitments.contains_key(id))
            && list.deals.iter().all(|address| self.deals.contains_key(address))
            && list.wallets.iter().all(|address| self.wallets.contains_key(address))
            && list.tokens.iter().all(|address| self.tokens.contains_key(address))
    }
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Seconds.
    pub timestamp: u64,
    /// Wei per gas.
    pub base_fee: u128,
}

/// Constants of the contracts that decisions rest on. Source: `getAllConstants()` and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Proofs of a unit for its epoch to count.
    pub min_proofs: u32,
    /// Proofs of a unit beyond this are flagged false.
    pub max_proofs: u32,
    /// Wei of collateral per unit for a new commitment.
    pub collateral_per_unit: U256,
    /// Epochs.
    pub min_duration: u64,
    /// Epochs.
    pub max_duration: u64,
    /// Units.
    pub min_units_per_commitment: u64,
    /// Units.
    pub max_units_per_commitment: u64,
    /// A commitment fails when its fails reach this times its units.
    pub max_failed_ratio: u64,
    /// Share of a unit's collateral that each missed epoch costs; 1e7 is all of it.
    pub slashing_rate: u64,
    /// Epochs between failure and withdrawal of the collateral.
    pub withdraw_epochs_after_failed: u64,
    /// Epochs of one vesting step.
    pub vesting_period_duration: u64,
    /// Steps of vesting.
    pub vesting_period_count: u64,
    /// Epochs that a deal must be funded for.
    pub min_deal_deposited_epochs: u64,
    /// Units per provider.
    pub max_units_per_provider: u64,
}

/// An owner of offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Public name; empty means not registered.
    pub name: String,
    /// Units over all its offers.
    pub unit_count: u64,
    /// Whether it may create commitments.
    pub approved: bool,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its owner.
    pub provider: Address,
    /// ERC20 that deals pay in.
    pub payment_token: Address,
    /// Price per unit of quantity and epoch, in the token's base units.
    pub prices: BTreeMap<ResourceId, U256>,
    /// Where it stands.
    pub datacenter: DatacenterId,
    /// Peers of it.
    pub peer_count: u64,
}

/// A compute peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The offer that it belongs to.
    pub offer: OfferId,
    /// The account that may prove for it.
    pub owner: Address,
    /// Its present commitment, if any.
    pub commitment: Option<CommitmentId>,
    /// Its units.
    pub units: BTreeMap<UnitId, Unit>,
    /// Its resources.
    pub resources: BTreeMap<ResourceId, PeerResource>,
}

/// A compute unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The seat that it serves in, if any.
    pub seat: Option<Seat>,
    /// From this epoch on its proofs are required. Source: `startEpoch`.
    pub start_epoch: Epoch,
}

/// A unit's place in a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The deal.
    pub deal: DealAddress,
    /// The worker.
    pub worker: OnchainWorkerId,
}

/// A resource that a peer declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerResource {
    /// Class.
    pub class: ResourceClass,
    /// Free-form JSON text.
    pub details: String,
    /// Not reserved by deals.
    pub available: u64,
    /// Declared.
    pub supply: u64,
}

/// Classes of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceClass {
    /// Threads; two per unit.
    Vcpu,
    /// MiB; 4096 per unit.
    Ram,
    /// MiB.
    Storage,
    /// Addresses.
    PublicIp,
    /// Mbit/s.
    Bandwidth,
}

/// A kind of resource that the market knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceKind {
    /// Class.
    pub class: ResourceClass,
    /// JSON text.
    pub metadata: String,
}

/// A datacenter that the market knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datacenter {
    /// ISO 3166, e.g. `DE`.
    pub country_code: String,
    /// e.g. `BER`.
    pub city_code: String,
    /// Counter within the city.
    pub index: u64,
}

/// A capacity commitment. Source: `getCommitment`, `getProofCounts`, `getUnitExitStatuses`, the reward views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// State, computed at the block's epoch.
    pub status: CommitmentStatus,
    /// Its peer.
    pub peer: PeerId,
    /// Wei per unit, frozen at creation.
    pub collateral_per_unit: U256,
    /// Units it covers.
    pub unit_count: u64,
    /// First working epoch; zero before the deposit.
    pub start_epoch: Epoch,
    /// First epoch after the last working one.
    pub end_epoch: Epoch,
    /// Who may stake, and did; zero means anyone.
    pub delegator: Address,
    /// Share of the delegator, 1e7 is everything.
    pub delegation_rate: u64,
    /// Fails so far; live in the view.
    pub fail_count: u64,
    /// Epoch of failure; zero if it did not fail.
    pub failed_epoch: Epoch,
    /// Units taken out of it.
    pub exited: BTreeSet<UnitId>,
    /// Accepted proofs of this epoch, by unit.
    pub proofs: BTreeMap<UnitId, u32>,
    /// Wei that can be withdrawn now, provider and delegator together.
    pub unlocked_rewards: U256,
    /// Wei vested and vesting, not withdrawn.
    pub total_rewards: U256,
    /// Wei withdrawn so far.
    pub withdrawn_rewards: U256,
}

/// What is all of it, where the contracts tell a share.
const WHOLE: u64 = 10_000_000;

impl Commitment {
    /// Wei of its collateral that missed epochs have cost, whether or not the rest was fetched already.
    #[must_use]
    pub fn slashed(&self, rules: &Rules) -> U256 {
        let share = U256::from(rules.slashing_rate) * U256::from(self.fail_count);
        let lost = self.collateral_per_unit.saturating_mul(share) / U256::from(WHOLE);
        lost.min(self.collateral_per_unit.saturating_mul(U256::from(self.unit_count)))
    }
}

/// States of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitmentStatus {
    /// Completed.
    Inactive,
    /// Working.
    Active,
    /// Created, collateral missing.
    WaitDelegation,
    /// Deposited, works from its start epoch.
    WaitStart,
    /// Too many epochs missed.
    Failed,
    /// Finished.
    Removed,
}

/// A deal, version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    /// State, computed at the block's epoch.
    pub status: DealStatus,
    /// The developer.
    pub owner: Address,
    /// Binary CIDv1 of the app.
    pub app_cid: [u8; 36],
    /// ERC20 that it pays in.
    pub payment_token: Address,
    /// Base units per worker and epoch.
    pub price_per_epoch: U256,
    /// Last paid epoch; zero when no worker is activated.
    pub max_paid_epoch: Epoch,
    /// Base units not yet billed.
    pub free_balance: U256,
    /// Workers wanted.
    pub target_workers: u64,
    /// Per worker: quantity by kind.
    pub required_resources: BTreeMap<ResourceId, (ResourceClass, u64)>,
    /// All workers, ours and others'; activated or not.
    pub workers: BTreeMap<OnchainWorkerId, Worker>,
}

/// States of a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DealStatus {
    /// Its last paid epoch is over.
    InsufficientFunds,
    /// Running.
    Active,
    /// Stopped.
    Ended,
    /// Version 1 only.
    NotEnoughWorkers,
    /// Running, but not to be matched.
    SmallBalance,
}

/// A worker of a deal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The peer that it lives on.
    pub peer: PeerId,
    /// Whom the deal pays.
    pub provider: Address,
    /// Zero until activated.
    pub offchain: OffchainWorkerId,
    /// Epoch of the match.
    pub joined_epoch: Epoch,
    /// What can be claimed now, base units; read for our own peers' workers only.
    pub reward: U256,
}

impl Worker {
    /// Whether it counts as a member of the subnet and is billed.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        self.offchain.0 != B256::ZERO
    }
}
