//! The whole life of an offer.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256, keccak256};
use coreward_chain::effect::Effect;
use coreward_chain::outbox::{State, Tick};
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::{Call, NewPeer};
use coreward_domain::chain::{CommitmentStatus, DealStatus, ResourceClass};
use coreward_domain::id::{
    CommitmentId, DatacenterId, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId, ResourceId,
    UnitId,
};

use crate::market::{
    DealOrder, committed, deal, new_peer, proof, registered, seat, stopCall, word,
};
use crate::world::{COORDINATOR, DIAMOND, USDC, World};

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn an_offer_lives_from_its_name_to_its_last_reward() {
    let world = World::new("life").await;
    let before = world.look().await;
    assert_eq!(before.providers[&world.provider].name, "");
    assert_eq!((before.tokens[&USDC], before.tokens[&DIAMOND]), (true, false));
    assert_eq!(before.wallets[&world.peer_owner], U256::from(1_000_000_000_000_000_000_000_u128));
    assert!(!before.datacenters.is_empty() && before.resources.len() > 3);
    world.next_epoch().await;
    let peer = new_peer(&world, "a", 2);
    let units = peer.units.clone();
    world.watch(|watch| {
        watch.peers.insert(peer.peer);
        watch.offers.insert(OfferId(word(99)));
        watch.commitments.insert(CommitmentId(word(99)));
    });
    let empty = world.look().await;
    assert_eq!(empty.peers[&peer.peer], None, "the contract says that there is none");
    assert_eq!(empty.offers[&OfferId(word(99))], None);
    assert_eq!(empty.commitments[&CommitmentId(word(99))], None);
    let offer = registered(&world, vec![peer.clone()]).await;
    let commitment = committed(&world, peer.peer, 20).await;
    let snapshot = world.look().await;
    let read = snapshot.peers[&peer.peer].clone().unwrap();
    assert_eq!(
        (read.offer, read.owner, read.commitment),
        (offer, world.peer_owner, Some(commitment))
    );
    assert_eq!(read.resources[&ResourceId(word(3))].supply, 8192);
    let shown = snapshot.offers[&offer].clone().unwrap();
    assert_eq!((shown.provider, shown.payment_token, shown.peer_count), (world.provider, USDC, 1));
    assert_eq!(shown.prices[&ResourceId(word(1))], U256::from(10));
    assert_eq!(shown.datacenter, DatacenterId(word(1)));
    assert_eq!(snapshot.commitments[&commitment].clone().unwrap().status, CommitmentStatus::Active);

    let batch = vec![proof(units[0], 1), proof(units[0], 2), proof(units[1], 3)];
    let call = Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs: batch.clone() };
    let effects = world.act(call).await;
    assert!(
        effects.iter().all(|effect| matches!(effect, Effect::Proof { accepted: true, .. })),
        "{effects:?}"
    );
    let again = vec![batch[0], proof(units[1], 4)];
    let effects = world
        .act(Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs: again.clone() })
        .await;
    let wanted = [
        Effect::Proof { proof: again[0], accepted: false },
        Effect::Proof { proof: again[1], accepted: true },
    ];
    assert_eq!(effects, wanted, "a repeated proof is flagged, not reverted");
    let counts = world.look().await.commitments[&commitment].clone().unwrap().proofs;
    assert_eq!(counts, BTreeMap::from([(units[0], 2), (units[1], 2)]));

    let deal = deal(&world, &DealOrder::default()).await;
    seat(&world, deal, &[(peer.peer, units[0])]).await;
    let snapshot = world.look().await;
    let seat = snapshot.peers[&peer.peer].clone().unwrap().units[&units[0]].seat.unwrap();
    assert_eq!(seat.deal, deal);
    let shown = &snapshot.deals[&deal];
    assert_eq!(
        (shown.status, shown.owner, shown.target_workers),
        (DealStatus::Active, COORDINATOR, 1)
    );
    assert_eq!((shown.app_cid[..4].to_vec(), shown.app_cid[35]), (vec![1, 0x55, 0x12, 0x20], 7));
    assert_eq!(shown.required_resources[&ResourceId(word(3))], (ResourceClass::Ram, 4096));
    assert!(!shown.workers[&seat.worker].is_activated());

    let refused = Call::SubmitProofs {
        peer: peer.peer,
        epoch: snapshot.epoch,
        proofs: vec![proof(units[0], 9)],
    };
    let error = world.sender(&refused).simulate(&refused).await.unwrap_err();
    let coreward_chain::outbox::Error::WouldRevert { revert, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(revert, Revert::Known(Refusal::UnitInDeal));

    work_for_a_deal(&world, deal, seat.worker, peer.peer).await;
    leave(&world, commitment, &units).await;
    take_off(&world, (offer, &peer), commitment).await;
}

/// All rewards out, then everything off the chain; and the peer can be registered again.
async fn take_off(world: &World, (offer, peer): (OfferId, &NewPeer), commitment: CommitmentId) {
    for epoch in 0.. {
        let view = world.look().await.commitments[&commitment].clone().unwrap();
        if view.total_rewards.is_zero() {
            break;
        }
        assert!(epoch < 40, "{} wei do not vest", view.total_rewards);
        let unlocked = view.unlocked_rewards;
        if !unlocked.is_zero() {
            world.act(Call::WithdrawCommitmentRewards { commitment, unlocked }).await;
        }
        world.next_epoch().await;
    }
    let (id, vcpu) = (peer.peer, ResourceId(word(1)));
    for unit in &peer.units {
        world.act(Call::RemoveUnit { unit: *unit, vcpu }).await;
    }
    let read = world.look().await.peers[&id].clone().unwrap();
    assert!(read.units.is_empty());
    assert_eq!(read.resources.len(), 2, "they outlive the units");
    for resource in read.resources.keys() {
        world.act(Call::RemovePeerResource { peer: id, resource: *resource }).await;
    }
    assert!(world.look().await.peers[&id].clone().unwrap().resources.is_empty());
    world.act(Call::RemovePeer { peer: id }).await;
    let read = world.look().await;
    assert_eq!(read.peers[&id], None);
    assert_eq!(read.offers[&offer].clone().unwrap().peer_count, 0, "it is found by its id only");
    assert_eq!(read.commitments[&commitment], None, "its views are gone with its peer");
    world.act(Call::RemoveOffer { offer }).await;
    let read = world.look().await;
    assert_eq!((&read.offers[&offer], read.providers[&world.provider].unit_count), (&None, 0));
    registered(world, vec![peer.clone()]).await;
    let read = world.look().await;
    assert_eq!(read.peers[&id].clone().unwrap().units.len(), 2);
    let past = read.commitments[&commitment].clone().unwrap();
    assert_eq!(past.total_rewards, U256::ZERO, "whoever has the id now finds nothing");
}

async fn work_for_a_deal(world: &World, deal: Address, worker: OnchainWorkerId, peer: PeerId) {
    let offchain = OffchainWorkerId(keccak256("key"));
    let effects = world.act(Call::ActivateWorker { deal, worker, offchain }).await;
    assert_eq!(effects, [Effect::WorkerActivated { deal, worker, offchain }]);
    world.next_epoch().await;
    let snapshot = world.look().await;
    let claimable = snapshot.deals[&deal].workers[&worker].reward;
    assert!(claimable > U256::ZERO && snapshot.deals[&deal].max_paid_epoch > snapshot.epoch);
    let effects = world.act(Call::WithdrawDealRewards { deal, worker, claimable }).await;
    assert!(
        matches!(effects[..], [Effect::DealRewardsWithdrawn { provider, .. }] if provider == claimable),
        "{effects:?}"
    );
    world.play(COORDINATOR, deal, &stopCall {}).await;
    world.watch(|watch| {
        watch.deals.insert(deal);
    });
    let ended = world.look().await.deals[&deal].clone();
    assert_eq!(ended.status, DealStatus::Ended);
    if !ended.workers.is_empty() {
        let effects = world.act(Call::RemoveWorker { deal, worker }).await;
        assert!(effects.contains(&Effect::WorkerRemoved { deal, worker }), "{effects:?}");
    }
    let snapshot = world.look().await;
    assert!(snapshot.deals[&deal].workers.is_empty());
    assert!(snapshot.peers[&peer].clone().unwrap().units.values().all(|unit| unit.seat.is_none()));
}

async fn leave(world: &World, commitment: CommitmentId, units: &[UnitId]) {
    loop {
        let view = world.look().await.commitments[&commitment].clone().unwrap();
        match view.status {
            CommitmentStatus::Failed | CommitmentStatus::Inactive => break,
            _ => world.next_epoch().await,
        }
    }
    for _ in 0..4 {
        world.next_epoch().await;
    }
    world.watch(|watch| {
        watch.commitments.insert(commitment);
    });
    let unlocked = world.look().await.commitments[&commitment].clone().unwrap().unlocked_rewards;
    if !unlocked.is_zero() {
        let effects = world.act(Call::WithdrawCommitmentRewards { commitment, unlocked }).await;
        assert!(
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::CommitmentRewardsWithdrawn { .. })),
            "{effects:?}"
        );
    }
    let effects = world.act(Call::WithdrawCollateral { commitment }).await;
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::CollateralWithdrawn { .. })),
        "{effects:?}"
    );
    world.act(Call::RemoveUnitsFromCommitment { commitment, units: units.to_vec() }).await;
    let effects = world.act(Call::FinishCommitment { commitment }).await;
    assert!(effects.contains(&Effect::CommitmentFinished { commitment }), "{effects:?}");
    let view = world.look().await.commitments[&commitment].clone().unwrap();
    assert_eq!(view.status, CommitmentStatus::Removed);
    assert_eq!(view.exited.len(), units.len());
    let sender = &world.keys[&world.peer_owner];
    let snapshot = world.look().await;
    sender.tick(&Tick { head: snapshot.head, epoch: snapshot.epoch }, &|_| true).await.unwrap();
    let ends = world
        .shelf
        .0
        .lock()
        .unwrap()
        .values()
        .filter(|entry| entry.record.address == world.peer_owner)
        .all(|entry| matches!(entry.state, State::Final(_)));
    assert!(ends, "all of the peer key's transactions are final");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_snapshot_costs_the_same_calls_for_one_unit_and_for_many() {
    let world = World::new("many").await;
    let small = new_peer(&world, "small", 1);
    registered(&world, vec![small]).await;
    world.look().await;
    world.calls();
    world.look().await;
    let few = world.calls();
    let large: Vec<NewPeer> =
        (0..4).map(|index| new_peer(&world, &format!("large {index}"), 64)).collect();
    for peer in large {
        let id = peer.peer;
        let offer = *world.seen.lock().unwrap().offers.first().unwrap();
        world.act(Call::AddPeers { offer, peers: vec![peer] }).await;
        world.watch(|watch| {
            watch.peers.insert(id);
        });
    }
    world.look().await;
    world.calls();
    let snapshot = world.look().await;
    assert_eq!(snapshot.peers.values().flatten().map(|peer| peer.units.len()).sum::<usize>(), 257);
    assert_eq!(world.calls(), few);
}
