//! Arbitrary markets: small worlds in which ids collide, entries are missing, and numbers are extreme.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use coreward_domain::chain::{
    Commitment, CommitmentStatus, Deal, DealStatus, Head, Offer, Peer, Provider, ResourceClass,
    Seat, Snapshot, Unit, Worker,
};
use coreward_domain::epoch::Epoch;
use coreward_domain::unit::{Phase, Pod, PodRole};
use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;

use crate::market::{
    self, DEAL, DEVELOPER, HOT, NAME, NONCE, PROVIDER, STRANGER, TOKEN, commitment_id, datacenter,
    key, offer_id, peer_id, peer_resource, resource, unit, worker_id,
};

pub(crate) const PEERS: u64 = 3;

fn account() -> impl Strategy<Value = Address> {
    prop::sample::select(vec![PROVIDER, STRANGER, HOT, Address::ZERO])
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![(0_u64..40).prop_map(Epoch), Just(Epoch(u64::MAX))]
}

fn amount() -> impl Strategy<Value = U256> {
    prop_oneof![(0_u64..400).prop_map(U256::from), Just(U256::MAX)]
}

fn quantity() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10_000, Just(u64::MAX)]
}

fn seat() -> impl Strategy<Value = Seat> {
    (1_u64..4).prop_map(|worker| Seat { deal: DEAL, worker: worker_id(worker) })
}

fn peer(number: u64) -> impl Strategy<Value = Peer> {
    let units = btree_map(0_u32..4, (option::weighted(0.3, seat()), epoch()), 0..4);
    let resources =
        btree_map(prop::sample::select(vec![1_u64, 2, 3, 5, 9]), (quantity(), quantity()), 0..4);
    (1_u64..3, account(), option::weighted(0.8, 1_u64..3), units, resources).prop_map(
        move |(offer, owner, commitment, units, resources)| Peer {
            offer: offer_id(offer),
            owner,
            commitment: commitment.map(commitment_id),
            units: units
                .into_iter()
                .map(|(index, (seat, start_epoch))| {
                    (unit(number, index), Unit { seat, start_epoch })
                })
                .collect(),
            resources: resources
                .into_iter()
                .map(|(id, (supply, available))| {
                    let class = market::empty().resources[&resource(id)].class;
                    (
                        resource(id),
                        coreward_domain::chain::PeerResource {
                            available,
                            ..peer_resource(class, supply)
                        },
                    )
                })
                .collect(),
        },
    )
}

fn status() -> impl Strategy<Value = CommitmentStatus> {
    use CommitmentStatus::{Active, Failed, Inactive, Removed, WaitDelegation, WaitStart};
    prop::sample::select(vec![
        Active,
        Active,
        Active,
        Failed,
        Inactive,
        Removed,
        WaitDelegation,
        WaitStart,
    ])
}

prop_compose! {
    fn commitment()(
        status in status(),
        owner in 1..=PEERS,
        amounts in (amount(), amount(), amount()),
        epochs in (epoch(), epoch(), epoch()),
        counts in (quantity(), quantity(), 0_u64..3),
        delegator in account(),
        exited in btree_set((1..=PEERS, 0_u32..4), 0..4),
        proofs in btree_map((1..=PEERS, 0_u32..4), 0_u32..8, 0..12),
    ) -> Commitment {
        Commitment {
            status,
            peer: peer_id(owner),
            collateral_per_unit: amounts.0,
            unit_count: counts.0,
            start_epoch: epochs.0,
            end_epoch: epochs.1,
            delegator,
            delegation_rate: counts.2,
            fail_count: counts.1,
            failed_epoch: epochs.2,
            exited: exited.into_iter().map(|(peer, index)| unit(peer, index)).collect(),
            proofs: proofs.into_iter().map(|((peer, index), count)| (unit(peer, index), count)).collect(),
            unlocked_rewards: amounts.1,
            total_rewards: amounts.2,
            withdrawn_rewards: U256::ZERO,
        }
    }
}

prop_compose! {
    fn deal()(
        status in prop::sample::select(vec![
            DealStatus::Active, DealStatus::Active, DealStatus::Ended, DealStatus::InsufficientFunds,
            DealStatus::SmallBalance, DealStatus::NotEnoughWorkers,
        ]),
        paid in epoch(),
        balance in amount(),
        price in amount(),
        workers in btree_map(1_u64..4, (1_u64..=PEERS + 1, 0_u64..4, epoch(), amount()), 0..4),
    ) -> Deal {
        let worker = |(peer, offchain, joined_epoch, reward): (u64, u64, Epoch, U256)| Worker {
            peer: peer_id(peer),
            provider: PROVIDER,
            offchain: key(offchain),
            joined_epoch,
            reward,
        };
        Deal {
            status,
            owner: DEVELOPER,
            app_cid: [0; 36],
            payment_token: TOKEN,
            price_per_epoch: price,
            max_paid_epoch: paid,
            free_balance: balance,
            target_workers: 3,
            required_resources: BTreeMap::new(),
            workers: workers.into_iter().map(|(id, entry)| (worker_id(id), worker(entry))).collect(),
        }
    }
}

prop_compose! {
    fn offer()(
        provider in account(),
        payment_token in prop::sample::select(vec![TOKEN, STRANGER]),
        prices in btree_map(prop::sample::select(vec![1_u64, 3, 5]), amount(), 0..4),
        place in 1_u64..4,
    ) -> Offer {
        Offer {
            provider,
            payment_token,
            prices: prices.into_iter().map(|(id, price)| (resource(id), price)).collect(),
            datacenter: datacenter(place),
            peer_count: 1,
        }
    }
}

type Accounts = (Option<Provider>, Option<U256>, Option<bool>);

fn accounts() -> impl Strategy<Value = Accounts> {
    let name = prop::sample::select(vec!["", NAME, "Other"]);
    let provider = (name, 0_u64..10, any::<bool>()).prop_map(|(name, unit_count, approved)| {
        Provider { name: name.to_owned(), unit_count, approved }
    });
    (
        option::weighted(0.9, provider),
        option::weighted(0.9, amount()),
        option::weighted(0.9, any::<bool>()),
    )
}

type Registry = (
    Vec<Option<Option<Offer>>>,
    Vec<Option<Option<Peer>>>,
    Vec<Option<Option<Commitment>>>,
    Option<Deal>,
);

fn registry() -> impl Strategy<Value = Registry> {
    let maybe = 0.9;
    let offers =
        prop::collection::vec(option::weighted(maybe, option::weighted(maybe, offer())), 2);
    let peers: Vec<_> = (1..=PEERS)
        .map(|number| option::weighted(maybe, option::weighted(0.8, peer(number))))
        .collect();
    let commitments =
        prop::collection::vec(option::weighted(maybe, option::weighted(maybe, commitment())), 2);
    (offers, peers, commitments, option::weighted(maybe, deal()))
}

prop_compose! {
    /// Any market over a handful of ids.
    pub(crate) fn snapshot()(
        (offers, peers, commitments, deal) in registry(),
        (provider, balance, token) in accounts(),
        now in (2_u64..40, 0_u64..market::EPOCH_SECONDS),
        base_fee in prop::sample::select(vec![0, 1, 1_000_000_000, u128::MAX]),
        proofs in (0_u32..4, 0_u32..7),
        pool in amount(),
    ) -> Snapshot {
        let mut snapshot = market::empty();
        market::move_to(&mut snapshot, now.0, now.1);
        snapshot.head = Head { base_fee, ..snapshot.head };
        (snapshot.rules.min_proofs, snapshot.rules.max_proofs) = proofs;
        snapshot.reward_pool = pool;
        snapshot.providers = provider.into_iter().map(|provider| (PROVIDER, provider)).collect();
        snapshot.wallets = balance.into_iter().map(|balance| (PROVIDER, balance)).collect();
        snapshot.tokens = token.into_iter().map(|allowed| (TOKEN, allowed)).collect();
        let numbered = 1_u64..;
        for (number, entry) in numbered.clone().zip(offers) {
            snapshot.offers.extend(entry.map(|entry| (offer_id(number), entry)));
        }
        for (number, entry) in numbered.clone().zip(peers) {
            snapshot.peers.extend(entry.map(|entry| (peer_id(number), entry)));
        }
        for (number, entry) in numbered.zip(commitments) {
            snapshot.commitments.extend(entry.map(|entry| (commitment_id(number), entry)));
        }
        snapshot.deals.extend(deal.map(|deal| (DEAL, deal)));
        snapshot
    }
}

/// What is left of a market when some entries could not be read.
pub(crate) fn forget(snapshot: &Snapshot, mask: u32) -> Snapshot {
    let mut poorer = snapshot.clone();
    let mut bit = 0;
    let mut keep = || {
        bit += 1;
        mask >> (bit % 32) & 1 == 0
    };
    poorer.providers.retain(|_, _| keep());
    poorer.wallets.retain(|_, _| keep());
    poorer.tokens.retain(|_, _| keep());
    poorer.offers.retain(|_, _| keep());
    poorer.peers.retain(|_, _| keep());
    poorer.commitments.retain(|_, _| keep());
    poorer.deals.retain(|_, _| keep());
    for commitment in poorer.commitments.values_mut().flatten() {
        commitment.proofs.retain(|_, _| keep());
    }
    poorer
}

/// Found proofs, of this epoch and others, of our units and others.
pub(crate) fn found() -> impl Strategy<Value = coreward_domain::proof::Found> {
    use coreward_domain::proof::{Fate, Found};
    let fate = prop::sample::select(vec![
        Fate::Open,
        Fate::Open,
        Fate::Open,
        Fate::Settled,
        Fate::Refused,
    ]);
    let nonce = prop::sample::select(vec![NONCE, NONCE, NONCE, B256::ZERO]);
    (1..=PEERS, 0_u32..5, 2_u64..40, 0_u64..12, nonce, fate).prop_map(
        |(peer, index, epoch, local, nonce, fate)| Found {
            unit: unit(peer, index),
            epoch: Epoch(epoch),
            global_nonce: nonce,
            local_nonce: market::word(local),
            result_hash: B256::ZERO,
            fate,
        },
    )
}

/// How an offer may be going, mostly by a withdrawal, or that it stays.
pub(crate) fn deletion() -> impl Strategy<Value = Option<coreward_domain::offer::Deletion>> {
    use coreward_domain::offer::Deletion::{Block, Orphan, Withdraw};
    prop::sample::select(vec![None, Some(Block), Some(Withdraw), Some(Withdraw), Some(Orphan)])
}

/// A pod of ours, or one that claims to be.
pub(crate) fn pod() -> impl Strategy<Value = Pod> {
    let ended = || Phase::Ended { reason: "Error".to_owned(), seconds_ago: 5, ran_seconds: 1 };
    let phase = prop::sample::select(vec![
        Phase::Pending,
        Phase::Running,
        Phase::Ready,
        Phase::Deleting,
        Phase::Released,
        Phase::Stuck { reason: "ErrImagePull".to_owned(), seconds: 400, has_run: false },
        ended(),
    ]);
    let role = prop_oneof![
        (1_u64..3, 0_u32..5).prop_map(|(peer, index)| PodRole::Prover(unit(peer, index))),
        (1_u64..4, btree_set(0_u32..4, 1..3)).prop_map(|(worker, indices)| {
            PodRole::Worker {
                seat: Seat { deal: DEAL, worker: worker_id(worker) },
                units: indices.into_iter().map(|index| unit(1, index)).collect(),
            }
        }),
    ];
    (role, phase, 0_u32..50, any::<u16>()).prop_map(|(role, phase, attempt, name)| Pod {
        uid: format!("u{name}"),
        namespace: "ns".to_owned(),
        name: format!("p{name}"),
        role,
        phase,
        template: "t1".to_owned(),
        attempt,
        held: true,
        evicted: false,
        elsewhere: None,
    })
}

/// Units of all peers.
pub(crate) fn all_units() -> BTreeSet<coreward_domain::id::UnitId> {
    (1..=PEERS).flat_map(|peer| (0..4).map(move |index| unit(peer, index))).collect()
}

/// Only to show that the classes of the market are all there.
#[test]
fn every_class_of_resource_can_be_drawn() {
    let classes: BTreeSet<_> = market::empty().resources.values().map(|kind| kind.class).collect();
    assert!(classes.contains(&ResourceClass::Vcpu) && classes.contains(&ResourceClass::Ram));
}
