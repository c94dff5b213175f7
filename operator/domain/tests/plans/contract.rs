//! What the contracts do with a call, as far as the plans rest on it; a refused call is a failed test.

#![expect(
    clippy::panic,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a table of calls reads best whole, and what it refuses must fail the test"
)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use coreward_domain::call::{Call, NewPeer, NewResource};
use coreward_domain::chain::{
    Commitment, CommitmentStatus, DealStatus, Offer, Peer, PeerResource, ResourceClass, Snapshot,
    Unit,
};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{CommitmentId, OfferId};

use crate::market::{PROVIDER, commitment_id, offer_id};

/// Mines one block with these calls, in order.
pub(crate) fn mine<'call>(snapshot: &mut Snapshot, calls: impl IntoIterator<Item = &'call Call>) {
    for call in calls {
        apply(snapshot, call);
    }
    snapshot.head.number += 1;
    snapshot.finalized += 1;
}

fn apply(snapshot: &mut Snapshot, call: &Call) {
    match call {
        Call::SetProviderInfo { name } => {
            snapshot.providers.get_mut(&PROVIDER).expect("provider").name.clone_from(name);
        }
        Call::RegisterOffer { payment_token, prices, peers, datacenter } => {
            let id = offer_id(1 + u64::try_from(snapshot.offers.len()).expect("few offers"));
            assert!(!snapshot.providers[&PROVIDER].name.is_empty(), "Provider doesn't exist");
            let prices: BTreeMap<_, _> =
                prices.iter().map(|price| (price.resource, price.price)).collect();
            let offer = Offer {
                provider: PROVIDER,
                payment_token: *payment_token,
                prices,
                datacenter: *datacenter,
                peer_count: 0,
            };
            snapshot.offers.insert(id, Some(offer));
            add_peers(snapshot, id, peers);
        }
        Call::AddPeers { offer, peers } => add_peers(snapshot, *offer, peers),
        Call::AddUnits { peer, units, vcpu } => {
            let entry = peer_of(snapshot, *peer);
            assert_eq!(entry.commitment, None, "adding units under a commitment corrupts it");
            entry.units.extend(units.iter().map(|unit| (*unit, free_unit())));
            let present = entry.resources.get_mut(&vcpu.resource).expect("the peer's vCPU");
            present.supply += vcpu.supply;
            present.available += vcpu.supply;
            let provider = snapshot.providers.get_mut(&PROVIDER).expect("provider");
            provider.unit_count += u64::try_from(units.len()).expect("few units");
            check_supplies(snapshot.peers[peer].as_ref().expect("peer"));
        }
        Call::ChangePrice { offer, resource, price } => {
            assert!(!price.is_zero(), "prices cannot be zero");
            offer_of(snapshot, *offer).prices.insert(*resource, *price);
        }
        Call::SetDatacenter { offer, datacenter } => {
            offer_of(snapshot, *offer).datacenter = *datacenter;
        }
        Call::ChangePaymentToken { offer, token } => {
            offer_of(snapshot, *offer).payment_token = *token;
        }
        Call::RegisterPeerResource { peer, resource } => {
            let (id, entry) = resource_of(snapshot, resource);
            let target = peer_of(snapshot, *peer);
            assert!(
                target.resources.insert(id, entry).is_none(),
                "peer resource was already registered"
            );
        }
        Call::ChangeResourceDetails { peer, resource, details } => {
            peer_of(snapshot, *peer)
                .resources
                .get_mut(resource)
                .expect("resource")
                .details
                .clone_from(details);
        }
        Call::ChangeResourceSupply { peer, resource, supply } => {
            let entry = peer_of(snapshot, *peer).resources.get_mut(resource).expect("resource");
            let used = entry.supply - entry.available;
            assert!(*supply >= used, "below what deals use");
            (entry.supply, entry.available) = (*supply, supply - used);
            check_supplies(snapshot.peers[peer].as_ref().expect("peer"));
        }
        _ => apply_work(snapshot, call),
    }
}

/// Calls of commitments, proofs and deals.
fn apply_work(snapshot: &mut Snapshot, call: &Call) {
    let epoch = snapshot.epoch;
    match call {
        Call::CreateCommitment { peer, duration, delegator, delegation_rate } => {
            create(snapshot, *peer, *duration, (*delegator, *delegation_rate));
        }
        Call::RemoveCommitment { commitment } => {
            let known = commitment_of(snapshot, *commitment);
            assert_eq!(known.status, CommitmentStatus::WaitDelegation);
            let peer = known.peer;
            snapshot.commitments.insert(*commitment, None);
            peer_of(snapshot, peer).commitment = None;
        }
        Call::DepositCollateral { commitment, value } => {
            let wallet = snapshot.wallets.get_mut(&PROVIDER).expect("wallet");
            *wallet = wallet.checked_sub(*value).expect("the wallet holds the collateral");
            let known = commitment_of(snapshot, *commitment);
            assert_eq!(known.status, CommitmentStatus::WaitDelegation);
            assert_eq!(
                *value,
                known.collateral_per_unit * U256::from(known.unit_count),
                "exactly the collateral"
            );
            known.status = CommitmentStatus::WaitStart;
            let duration = known.end_epoch.0;
            (known.start_epoch, known.end_epoch) = (epoch.after(1), epoch.after(1 + duration));
        }
        Call::SubmitProofs { peer, epoch: asked, proofs } => {
            assert_eq!(*asked, epoch, "a puzzle of another epoch");
            submit(snapshot, *peer, proofs);
        }
        Call::ActivateWorker { deal, worker, offchain } => {
            let deal = snapshot.deals.get_mut(deal).expect("deal");
            let entry = deal.workers.get_mut(worker).expect("Worker not found");
            if !entry.is_activated() {
                assert_ne!(deal.status, DealStatus::Ended, "balance overflow when billing");
                deal.free_balance =
                    deal.free_balance.checked_sub(deal.price_per_epoch).expect("balance overflow");
                deal.max_paid_epoch = epoch;
            }
            entry.offchain = *offchain;
        }
        Call::RemoveWorker { deal, worker } => {
            let removed = snapshot.deals.get_mut(deal).expect("deal").workers.remove(worker);
            let peer = removed.expect("Worker not found").peer;
            for unit in peer_of(snapshot, peer).units.values_mut() {
                if unit.seat.is_some_and(|seat| seat.deal == *deal && seat.worker == *worker) {
                    *unit = Unit { seat: None, start_epoch: epoch.after(1) };
                }
            }
        }
        Call::WithdrawDealRewards { deal, worker, .. } => {
            snapshot
                .deals
                .get_mut(deal)
                .expect("deal")
                .workers
                .get_mut(worker)
                .expect("worker")
                .reward = U256::ZERO;
        }
        Call::WithdrawCommitmentRewards { commitment, .. } => {
            let known = commitment_of(snapshot, *commitment);
            known.withdrawn_rewards += known.unlocked_rewards;
            known.total_rewards = known.total_rewards.saturating_sub(known.unlocked_rewards);
            known.unlocked_rewards = U256::ZERO;
        }
        _ => apply_end(snapshot, call),
    }
}

/// Calls that end a commitment.
fn apply_end(snapshot: &mut Snapshot, call: &Call) {
    let (epoch, cooldown) = (snapshot.epoch, snapshot.rules.withdraw_epochs_after_failed);
    let is_over = |known: &Commitment| match known.status {
        CommitmentStatus::Failed => epoch >= known.failed_epoch.after(cooldown),
        status => status == CommitmentStatus::Inactive,
    };
    match call {
        Call::WithdrawCollateral { commitment } => {
            assert!(is_over(commitment_of(snapshot, *commitment)), "InvalidCCStatus");
        }
        Call::RemoveUnitsFromCommitment { commitment, units } => {
            let peer = commitment_of(snapshot, *commitment).peer;
            for unit in units {
                assert_eq!(
                    peer_of(snapshot, peer).units[unit].seat,
                    None,
                    "Compute unit is in deal"
                );
                assert!(commitment_of(snapshot, *commitment).exited.insert(*unit), "exited twice");
            }
        }
        Call::FinishCommitment { commitment } => {
            let known = commitment_of(snapshot, *commitment);
            assert!(is_over(known), "InvalidCCStatus");
            known.status = CommitmentStatus::Removed;
            let (peer, exited) = (known.peer, known.exited.len());
            let peer = peer_of(snapshot, peer);
            assert_eq!(exited, peer.units.len(), "all units exited");
            peer.commitment = None;
        }
        _ => apply_removal(snapshot, call),
    }
}

/// Calls that take units, peers and offers off the chain.
fn apply_removal(snapshot: &mut Snapshot, call: &Call) {
    match call {
        Call::RemoveUnit { unit, vcpu } => {
            let mut peers = snapshot.peers.values_mut().flatten();
            let peer = peers.find(|peer| peer.units.contains_key(unit)).expect("unit");
            assert_eq!(peer.commitment, None, "Peer has commitment");
            assert_eq!(peer.units.remove(unit).expect("unit").seat, None, "unit is in a deal");
            let vcpu = peer.resources.get_mut(vcpu).expect("the peer's vCPU");
            assert_eq!(vcpu.class, ResourceClass::Vcpu);
            (vcpu.supply, vcpu.available) = (vcpu.supply - 2, vcpu.available - 2);
            snapshot.providers.get_mut(&PROVIDER).expect("provider").unit_count -= 1;
        }
        Call::RemovePeerResource { peer, resource } => {
            let peer = peer_of(snapshot, *peer);
            assert!(peer.units.is_empty(), "a worker of the peer could not leave any more");
            peer.resources.remove(resource).expect("resource");
        }
        Call::RemovePeer { peer } => {
            let entry = peer_of(snapshot, *peer).clone();
            assert!(entry.units.is_empty(), "peer has units");
            assert!(entry.resources.is_empty(), "what is left would block the id for ever");
            let owed = |known: &&Commitment| known.peer == *peer && !known.total_rewards.is_zero();
            assert!(!snapshot.commitments.values().flatten().any(|known| owed(&known)), "rewards");
            snapshot.peers.insert(*peer, None);
            offer_of(snapshot, entry.offer).peer_count -= 1;
        }
        Call::RemoveOffer { offer } => {
            assert_eq!(offer_of(snapshot, *offer).peer_count, 0, "offer has peers");
            snapshot.offers.insert(*offer, None);
        }
        other => panic!("not modelled: {}", other.function()),
    }
}

fn create(
    snapshot: &mut Snapshot,
    peer: coreward_domain::id::PeerId,
    duration: u64,
    terms: (Address, u64),
) {
    let rules = snapshot.rules.clone();
    assert!((rules.min_duration..=rules.max_duration).contains(&duration), "duration");
    assert!(terms.1 > 0 && !terms.0.is_zero(), "an empty delegator lets a stranger stake");
    let id = commitment_id(1 + u64::try_from(snapshot.commitments.len()).expect("few commitments"));
    let entry = peer_of(snapshot, peer);
    assert_eq!(entry.commitment, None, "Peer already has commitment");
    assert!(
        entry.units.values().all(|unit| unit.seat.is_none()),
        "a unit in a deal corrupts the commitment"
    );
    entry.commitment = Some(id);
    let unit_count = u64::try_from(entry.units.len()).expect("few units");
    let proofs = entry.units.keys().map(|unit| (*unit, 0)).collect();
    let made = Commitment {
        status: CommitmentStatus::WaitDelegation,
        peer,
        collateral_per_unit: rules.collateral_per_unit,
        unit_count,
        start_epoch: Epoch(0),
        end_epoch: Epoch(duration),
        delegator: terms.0,
        delegation_rate: terms.1,
        fail_count: 0,
        failed_epoch: Epoch(0),
        exited: std::collections::BTreeSet::new(),
        proofs,
        unlocked_rewards: U256::ZERO,
        total_rewards: U256::ZERO,
        withdrawn_rewards: U256::ZERO,
    };
    snapshot.commitments.insert(id, Some(made));
}

fn submit(
    snapshot: &mut Snapshot,
    peer: coreward_domain::id::PeerId,
    proofs: &[coreward_domain::call::Proof],
) {
    assert!(!proofs.is_empty(), "No proofs given");
    let maximum = snapshot.rules.max_proofs;
    let entry = peer_of(snapshot, peer).clone();
    let known = commitment_of(snapshot, entry.commitment.expect("a commitment"));
    assert_eq!(known.status, CommitmentStatus::Active, "CapacityCommitmentIsNotActive");
    for proof in proofs {
        assert_eq!(entry.units[&proof.unit].seat, None, "Compute unit is in deal");
        let count = known.proofs.get_mut(&proof.unit).expect("a unit of the commitment");
        *count += 1;
        assert!(*count <= maximum, "flagged: more than the contract takes");
    }
}

fn add_peers(snapshot: &mut Snapshot, offer: OfferId, peers: &[NewPeer]) {
    assert!(!peers.is_empty(), "no offer with empty peers");
    let total: usize = peers.iter().map(|peer| peer.units.len()).sum();
    assert!(total <= 350, "more units than a block carries");
    for new in peers {
        let known = snapshot.peers.get(&new.peer).is_some_and(Option::is_some);
        assert!(!known, "Peer already exists in another offer");
        let resources: BTreeMap<_, _> =
            new.resources.iter().map(|resource| resource_of(snapshot, resource)).collect();
        for resource in resources.keys() {
            assert!(
                offer_of(snapshot, offer).prices.contains_key(resource),
                "a resource without price"
            );
        }
        let units = new.units.iter().map(|unit| (*unit, free_unit())).collect();
        let entry = Peer { offer, owner: new.owner, commitment: None, units, resources };
        check_supplies(&entry);
        snapshot.peers.insert(new.peer, Some(entry));
        offer_of(snapshot, offer).peer_count += 1;
    }
    snapshot.providers.get_mut(&PROVIDER).expect("provider").unit_count +=
        u64::try_from(total).expect("few units");
}

/// vCPU is two per unit; RAM is at least 2048 MiB per vCPU.
fn check_supplies(peer: &Peer) {
    let supply = |class| {
        let of_class = peer.resources.values().filter(move |resource| resource.class == class);
        of_class.map(|resource| resource.supply).sum::<u64>()
    };
    let units = u64::try_from(peer.units.len()).expect("few units");
    assert_eq!(supply(ResourceClass::Vcpu), 2 * units);
    assert!(supply(ResourceClass::Ram) >= 4096 * units, "RAM must back the vCPUs");
}

fn resource_of(
    snapshot: &Snapshot,
    resource: &NewResource,
) -> (coreward_domain::id::ResourceId, PeerResource) {
    let NewResource { resource, supply, details } = resource.clone();
    let class = snapshot.resources[&resource].class;
    (resource, PeerResource { class, details, available: supply, supply })
}

const fn free_unit() -> Unit {
    Unit { seat: None, start_epoch: Epoch(0) }
}

fn offer_of(snapshot: &mut Snapshot, id: OfferId) -> &mut Offer {
    snapshot.offers.get_mut(&id).and_then(Option::as_mut).expect("offer")
}

fn peer_of(snapshot: &mut Snapshot, id: coreward_domain::id::PeerId) -> &mut Peer {
    snapshot.peers.get_mut(&id).and_then(Option::as_mut).expect("peer")
}

fn commitment_of(snapshot: &mut Snapshot, id: CommitmentId) -> &mut Commitment {
    snapshot.commitments.get_mut(&id).and_then(Option::as_mut).expect("commitment")
}
