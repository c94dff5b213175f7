//! A market to plan for: one provider, small numbers, every value known.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use coreward_domain::chain::{
    Commitment, CommitmentStatus, Datacenter, Deal, DealStatus, Head, Offer, Peer, PeerResource,
    Provider, ResourceClass, ResourceKind, Rules, Seat, Snapshot, Unit, Worker,
};
use coreward_domain::epoch::{Calendar, Epoch};
use coreward_domain::gate::{Gas, Gate, Management, Signer};
use coreward_domain::id::{
    CommitmentId, DatacenterId, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId, ResourceId,
    UnitId,
};

pub(crate) const PROVIDER: Address = Address::repeat_byte(0xA1);
pub(crate) const STRANGER: Address = Address::repeat_byte(0xEE);
pub(crate) const HOT: Address = Address::repeat_byte(0xB2);
pub(crate) const TOKEN: Address = Address::repeat_byte(0xCC);
pub(crate) const DEAL: Address = Address::repeat_byte(0xDE);
pub(crate) const DEVELOPER: Address = Address::repeat_byte(0xDD);
pub(crate) const NAME: &str = "Example Hosting";
pub(crate) const EPOCH_SECONDS: u64 = 600;
pub(crate) const NONCE: B256 = B256::repeat_byte(0x11);

pub(crate) fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub(crate) fn peer_id(number: u64) -> PeerId {
    PeerId(word(0x9000 + number))
}

pub(crate) fn offer_id(number: u64) -> OfferId {
    OfferId(word(0x1000 + number))
}

pub(crate) fn commitment_id(number: u64) -> CommitmentId {
    CommitmentId(word(0xC000 + number))
}

pub(crate) fn worker_id(number: u64) -> OnchainWorkerId {
    OnchainWorkerId(word(number))
}

pub(crate) fn key(number: u64) -> OffchainWorkerId {
    OffchainWorkerId(if number == 0 { B256::ZERO } else { word(0xF000 + number) })
}

pub(crate) fn resource(number: u64) -> ResourceId {
    ResourceId(word(number))
}

pub(crate) fn datacenter(number: u64) -> DatacenterId {
    DatacenterId(word(number))
}

pub(crate) fn seat(worker: u64) -> Seat {
    Seat { deal: DEAL, worker: worker_id(worker) }
}

pub(crate) fn unit(peer: u64, index: u32) -> UnitId {
    UnitId::derive(peer_id(peer), index)
}

/// A gate that lets everything go.
pub(crate) fn open_gate() -> Gate {
    Gate {
        management: Management::Manage,
        provider_signer: Signer::Reachable,
        peer_signer: Signer::Reachable,
        gas: Gas::default(),
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        min_proofs: 2,
        max_proofs: 5,
        collateral_per_unit: U256::from(100),
        min_duration: 10,
        max_duration: 1000,
        min_units_per_commitment: 1,
        max_units_per_commitment: 9000,
        max_failed_ratio: 10,
        slashing_rate: 100_000,
        withdraw_epochs_after_failed: 2,
        vesting_period_duration: 3,
        vesting_period_count: 6,
        min_deal_deposited_epochs: 2,
        max_units_per_provider: 60_000,
    }
}

fn resources() -> BTreeMap<ResourceId, ResourceKind> {
    let kinds = [
        (1, ResourceClass::Vcpu),
        (2, ResourceClass::Vcpu),
        (3, ResourceClass::Ram),
        (5, ResourceClass::Storage),
        (9, ResourceClass::PublicIp),
    ];
    kinds
        .map(|(id, class)| (resource(id), ResourceKind { class, metadata: "{}".to_owned() }))
        .into()
}

fn datacenters() -> BTreeMap<DatacenterId, Datacenter> {
    let places = [(1, "FR", "PAR", 1), (2, "DE", "BER", 1), (3, "DE", "BER", 2)];
    places
        .map(|(id, country, city, index)| {
            let place =
                Datacenter { country_code: country.to_owned(), city_code: city.to_owned(), index };
            (datacenter(id), place)
        })
        .into()
}

/// A market in epoch 20, a tenth of it over, that knows the provider's account and nothing else of it.
pub(crate) fn empty() -> Snapshot {
    let calendar = Calendar { init_timestamp: 1000, epoch_duration: EPOCH_SECONDS };
    let timestamp = 1000 + 19 * EPOCH_SECONDS + EPOCH_SECONDS / 10;
    Snapshot {
        head: Head { number: 100, hash: word(100), timestamp, base_fee: 1 },
        calendar,
        epoch: Epoch(20),
        rules: rules(),
        global_nonce: NONCE,
        difficulty: B256::repeat_byte(0x0F),
        reward_pool: U256::from(10).pow(U256::from(20)),
        total_success_proofs: 10,
        finalized: 98,
        providers: [(PROVIDER, Provider { name: String::new(), unit_count: 0, approved: true })]
            .into(),
        offers: BTreeMap::new(),
        peers: BTreeMap::new(),
        commitments: BTreeMap::new(),
        deals: BTreeMap::new(),
        gateways: BTreeMap::new(),
        wallets: [(PROVIDER, U256::from(1_000_000)), (HOT, U256::from(1_000_000))].into(),
        tokens: [(TOKEN, true)].into(),
        datacenters: datacenters(),
        resources: resources(),
    }
}

pub(crate) fn peer_resource(class: ResourceClass, supply: u64) -> PeerResource {
    PeerResource { class, details: "{}".to_owned(), available: supply, supply }
}

/// A registered peer with so many free units.
pub(crate) fn peer(number: u64, units: u32) -> Peer {
    let free = |index| (unit(number, index), Unit { seat: None, start_epoch: Epoch(0) });
    let count = u64::from(units);
    Peer {
        offer: offer_id(1),
        owner: HOT,
        commitment: None,
        units: (0..units).map(free).collect(),
        resources: [
            (resource(1), peer_resource(ResourceClass::Vcpu, 2 * count)),
            (resource(3), peer_resource(ResourceClass::Ram, 4096 * count)),
            (resource(5), peer_resource(ResourceClass::Storage, 1000)),
        ]
        .into(),
    }
}

/// A market in which peer 1 with so many units is registered in offer 1.
pub(crate) fn registered(units: u32) -> Snapshot {
    let mut snapshot = empty();
    let prices = [(1, 10_u64), (3, 2), (5, 1)].map(|(id, price)| (resource(id), U256::from(price)));
    let offer = Offer {
        provider: PROVIDER,
        payment_token: TOKEN,
        prices: prices.into(),
        datacenter: datacenter(2),
        peer_count: 1,
    };
    snapshot.offers.insert(offer_id(1), Some(offer));
    snapshot.peers.insert(peer_id(1), Some(peer(1, units)));
    let provider = Provider { name: NAME.to_owned(), unit_count: u64::from(units), approved: true };
    snapshot.providers.insert(PROVIDER, provider);
    snapshot
}

pub(crate) fn commitment(units: u32, status: CommitmentStatus) -> Commitment {
    let is_funded = status != CommitmentStatus::WaitDelegation;
    Commitment {
        status,
        peer: peer_id(1),
        collateral_per_unit: U256::from(100),
        unit_count: u64::from(units),
        start_epoch: Epoch(if is_funded { 10 } else { 0 }),
        end_epoch: Epoch(if is_funded { 110 } else { 0 }),
        delegator: PROVIDER,
        delegation_rate: 1,
        fail_count: 0,
        failed_epoch: Epoch(if status == CommitmentStatus::Failed { 19 } else { 0 }),
        exited: BTreeSet::new(),
        proofs: (0..units).map(|index| (unit(1, index), 0)).collect(),
        unlocked_rewards: U256::ZERO,
        total_rewards: U256::ZERO,
        withdrawn_rewards: U256::ZERO,
    }
}

/// [`registered`], with commitment 1 of peer 1 in this state.
pub(crate) fn committed(units: u32, status: CommitmentStatus) -> Snapshot {
    let mut snapshot = registered(units);
    peer_mut(&mut snapshot, 1).commitment = Some(commitment_id(1));
    snapshot.commitments.insert(commitment_id(1), Some(commitment(units, status)));
    snapshot
}

/// [`committed`] and Active, with unit 0 of peer 1 seated as worker 1 of the deal, not activated.
pub(crate) fn matched(units: u32) -> Snapshot {
    let mut snapshot = committed(units, CommitmentStatus::Active);
    sit(&mut snapshot, 0, 1);
    snapshot
}

/// Puts a unit of peer 1 into a seat of the deal, as `matchDealV2` does.
pub(crate) fn sit(snapshot: &mut Snapshot, index: u32, worker: u64) {
    if let Some(unit) = peer_mut(snapshot, 1).units.get_mut(&unit(1, index)) {
        unit.seat = Some(seat(worker));
    }
    let joined = snapshot.epoch;
    let entry = Worker {
        peer: peer_id(1),
        provider: PROVIDER,
        offchain: key(0),
        joined_epoch: joined,
        reward: U256::ZERO,
    };
    snapshot.deals.entry(DEAL).or_insert_with(deal).workers.insert(worker_id(worker), entry);
}

pub(crate) fn deal() -> Deal {
    Deal {
        status: DealStatus::Active,
        owner: DEVELOPER,
        app_cid: [7; 36],
        payment_token: TOKEN,
        price_per_epoch: U256::from(50),
        max_paid_epoch: Epoch(0),
        free_balance: U256::from(1000),
        target_workers: 3,
        required_resources: BTreeMap::new(),
        workers: BTreeMap::new(),
    }
}

pub(crate) fn peer_mut(snapshot: &mut Snapshot, number: u64) -> &mut Peer {
    snapshot
        .peers
        .get_mut(&peer_id(number))
        .and_then(Option::as_mut)
        .expect("the test registered this peer")
}

pub(crate) fn commitment_mut(snapshot: &mut Snapshot, number: u64) -> &mut Commitment {
    let entry = snapshot.commitments.get_mut(&commitment_id(number));
    entry.and_then(Option::as_mut).expect("the test made this commitment")
}

pub(crate) fn deal_mut(snapshot: &mut Snapshot) -> &mut Deal {
    snapshot.deals.get_mut(&DEAL).expect("the test made this deal")
}

/// Moves the chain to a second of an epoch; new epochs begin with no proofs.
pub(crate) fn move_to(snapshot: &mut Snapshot, epoch: u64, second: u64) {
    if Epoch(epoch) != snapshot.epoch {
        for commitment in snapshot.commitments.values_mut().flatten() {
            commitment.proofs.values_mut().for_each(|count| *count = 0);
        }
    }
    snapshot.epoch = Epoch(epoch);
    snapshot.head.timestamp =
        snapshot.calendar.init_timestamp + (epoch - 1) * EPOCH_SECONDS + second;
}
