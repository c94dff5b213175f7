//! Traps of deals: each test shows first that the contracts do it, then what we make of it.

use alloy::primitives::{Address, B256, U256, keccak256};
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::Call;
use coreward_domain::chain::{CommitmentStatus, DealStatus, ResourceClass};
use coreward_domain::deal::{Leaving, WorkerWhy};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{OffchainWorkerId, OnchainWorkerId, PeerId, UnitId};
use coreward_domain::offer::WantedResource;

use crate::market::{
    DealOrder, committed, deal, freezeAccountCall, new_peer, registered, seat, stopCall,
    unfreezeAccountCall,
};
use crate::plans::{deal_plan, offer_plan, offer_seen, payouts};
use crate::world::{COORDINATOR, KEEPER, World};

fn key() -> OffchainWorkerId {
    OffchainWorkerId(keccak256("key"))
}

/// A provider with so many peers of so many units each, and its name.
async fn provider(name: &str, peers: usize, units: u32) -> (World, Vec<(PeerId, Vec<UnitId>)>) {
    let world = World::new(name).await;
    world.next_epoch().await;
    let peers: Vec<_> =
        (0..peers).map(|index| new_peer(&world, &format!("{name} {index}"), units)).collect();
    let known = peers.iter().map(|peer| (peer.peer, peer.units.clone())).collect();
    registered(&world, peers).await;
    (world, known)
}

fn only(world: &World) -> DealOrder {
    DealOrder { only: Some(world.provider), ..DealOrder::default() }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn stop_leaves_half_of_the_workers_and_we_remove_the_rest() {
    let (world, peers) = provider("half", 3, 1).await;
    let deal = deal(&world, &DealOrder { workers: 3, ..only(&world) }).await;
    let seats: Vec<_> = peers.iter().map(|(peer, units)| (*peer, units[0])).collect();
    seat(&world, deal, &seats).await;
    world.play(COORDINATOR, deal, &stopCall {}).await;
    let snapshot = world.look().await;
    let ended = snapshot.deals[&deal].clone();
    assert_eq!((ended.status, ended.workers.len()), (DealStatus::Ended, 1), "two of three left");

    let ids: Vec<_> = peers.iter().map(|(peer, _)| *peer).collect();
    let (calls, _) = deal_plan(snapshot, deal, (&ids, key()));
    let worker = *ended.workers.keys().next().unwrap();
    assert_eq!(calls, [Call::RemoveWorker { deal, worker }]);
    world.act(calls[0].clone()).await;
    let snapshot = world.look().await;
    assert!(snapshot.deals[&deal].workers.is_empty());
    let mut units = snapshot.peers.values().flatten().flat_map(|peer| peer.units.values());
    assert!(units.all(|unit| unit.seat.is_none()), "every unit is free again");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_resource_removed_under_a_worker_is_declared_again_so_that_it_can_leave() {
    let (world, peers) = provider("removed", 1, 2).await;
    let (peer, units) = peers[0].clone();
    let known = world.look().await;
    let storage = known.resources.iter().find(|(_, kind)| kind.class == ResourceClass::Storage);
    let storage = *storage.unwrap().0;
    let plan = async || {
        let mut seen = offer_seen(&world, world.look().await, &[(peer, 2)]);
        seen.wanted.prices.insert(storage, U256::from(1));
        let details = "{}".to_owned();
        let whole = WantedResource { resource: storage, details, quantity: Some(1000) };
        seen.wanted.resources.push(whole);
        offer_plan(&seen).0
    };
    // Its price, then the resource itself.
    for _ in 0..2 {
        let calls = plan().await;
        world.act(calls[0].clone()).await;
    }
    let order = DealOrder { storage: Some((storage, 300)), ..only(&world) };
    let deal = deal(&world, &order).await;
    let worker = seat(&world, deal, &[(peer, units[0])]).await[0];
    world.act(Call::RemovePeerResource { peer, resource: storage }).await;
    let leave = Call::RemoveWorker { deal, worker };
    assert_eq!(world.refusal(&leave).await, Revert::Known(Refusal::ResourceMissing));

    let calls = plan().await;
    let [Call::RegisterPeerResource { resource, .. }] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((resource.resource, resource.supply), (storage, 700), "less what the worker has");
    world.act(calls[0].clone()).await;
    assert_eq!(plan().await, [], "nothing more may be sold while the worker stays");
    world.act(leave).await;
    let read = world.look().await.peers[&peer].clone().unwrap();
    assert_eq!(read.resources[&storage].available, 1000, "all that there is, and no more");
    assert_eq!(plan().await, [], "raising the supply now would sell storage that is not there");
}

/// A deal of two paid epochs with an activated worker on the unit, and its last paid epoch.
async fn short(world: &World, seat_of: (PeerId, UnitId)) -> (Address, OnchainWorkerId, Epoch) {
    let deal = deal(world, &DealOrder { paid_epochs: 2, ..only(world) }).await;
    let worker = seat(world, deal, &[seat_of]).await[0];
    world.act(Call::ActivateWorker { deal, worker, offchain: key() }).await;
    (deal, worker, world.look().await.deals[&deal].max_paid_epoch)
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn an_unpaid_deal_keeps_its_worker_until_we_leave() {
    let (world, peers) = provider("unpaid", 1, 1).await;
    let (peer, units) = peers[0].clone();
    let (deal, worker, paid) = short(&world, (peer, units[0])).await;
    while world.look().await.epoch <= paid {
        let (calls, _) = deal_plan(world.look().await, deal, (&[peer], key()));
        assert_eq!(calls, [], "it is paid");
        world.next_epoch().await;
    }
    let snapshot = world.look().await;
    assert_eq!(snapshot.deals[&deal].status, DealStatus::InsufficientFunds);
    let (calls, _) = deal_plan(snapshot, deal, (&[peer], key()));
    assert_eq!(calls, [], "one epoch of grace");
    world.next_epoch().await;
    let snapshot = world.look().await;
    assert!(snapshot.deals[&deal].workers.contains_key(&worker), "nobody else removes it");
    let (calls, plan) = deal_plan(snapshot, deal, (&[peer], key()));
    assert_eq!(plan.workers[&worker].why, WorkerWhy::Leaving(Leaving::Unpaid));
    let earned = world.look().await.deals[&deal].workers[&worker].reward;
    assert!(earned > U256::ZERO, "what was paid is still owed");
    let effects = world.act(calls[0].clone()).await;
    assert!(!effects.is_empty(), "leaving pays");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_withdrawal_counts_an_unpaid_epoch_as_paid_and_so_waits() {
    let (world, peers) = provider("unpaid drawn", 1, 1).await;
    let (peer, units) = peers[0].clone();
    let (deal, worker, paid) = short(&world, (peer, units[0])).await;
    while world.look().await.epoch <= paid {
        world.next_epoch().await;
    }
    let snapshot = world.look().await;
    let claimable = snapshot.deals[&deal].workers[&worker].reward;
    assert_eq!(payouts(snapshot, peer), [], "an unpaid deal is not drawn from");
    world.act(Call::WithdrawDealRewards { deal, worker, claimable }).await;
    let known = world.look().await.deals[&deal].clone();
    assert_eq!((known.max_paid_epoch, known.free_balance), (paid.after(1), U256::ZERO));
    assert_eq!(known.workers[&worker].reward, U256::ZERO, "that epoch was paid by nobody");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_deal_that_cannot_pay_refuses_the_activation() {
    let (world, peers) = provider("poor", 1, 2).await;
    let (peer, units) = peers[0].clone();
    let order = DealOrder { paid_epochs: 2, ..only(&world) };
    let deal = deal(&world, &order).await;
    let worker = seat(&world, deal, &[(peer, units[0])]).await[0];
    world.play(COORDINATOR, deal, &stopCall {}).await;
    let snapshot = world.look().await;
    let (calls, _) = deal_plan(snapshot, deal, (&[peer], key()));
    let activation = Call::ActivateWorker { deal, worker, offchain: key() };
    assert!(!calls.contains(&activation));
    let refusal = world.refusal(&activation).await;
    assert!(refusal.is_fact(), "{refusal:?}");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_worker_under_a_failed_commitment_stays_and_we_leave() {
    let (world, peers) = provider("failed", 1, 2).await;
    let (peer, units) = peers[0].clone();
    let commitment = committed(&world, peer, 100).await;
    let deal = deal(&world, &DealOrder { paid_epochs: 60, ..DealOrder::default() }).await;
    let worker = seat(&world, deal, &[(peer, units[0])]).await[0];
    world.act(Call::ActivateWorker { deal, worker, offchain: key() }).await;
    for epoch in 0.. {
        let snapshot = world.look().await;
        if snapshot.commitments[&commitment].clone().unwrap().status == CommitmentStatus::Failed {
            break;
        }
        assert!(epoch < 50, "it does not fail");
        world.next_epoch().await;
    }
    let snapshot = world.look().await;
    let known = snapshot.deals[&deal].clone();
    assert_eq!(known.status, DealStatus::Active, "the developer goes on paying");
    assert!(known.workers[&worker].is_activated(), "the worker stays");
    let (calls, plan) = deal_plan(snapshot, deal, (&[peer], key()));
    assert_eq!(plan.workers[&worker].why, WorkerWhy::Leaving(Leaving::CommitmentOver));
    assert_eq!(calls, [Call::RemoveWorker { deal, worker }]);
    world.act(calls[0].clone()).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_frozen_provider_can_neither_leave_nor_be_paid_and_is_told_why() {
    let (world, peers) = provider("frozen", 1, 1).await;
    let (peer, units) = peers[0].clone();
    let deal = deal(&world, &only(&world)).await;
    let worker = seat(&world, deal, &[(peer, units[0])]).await[0];
    world.act(Call::ActivateWorker { deal, worker, offchain: key() }).await;
    world.next_epoch().await;
    let claimable = world.look().await.deals[&deal].workers[&worker].reward;
    world.play(COORDINATOR, KEEPER, &freezeAccountCall { user: world.provider }).await;
    let withdraw = Call::WithdrawDealRewards { deal, worker, claimable };
    let leave = Call::RemoveWorker { deal, worker };
    for call in [&withdraw, &leave] {
        assert_eq!(world.refusal(call).await, Revert::Known(Refusal::Frozen), "{call:?}");
    }
    let snapshot = world.look().await;
    assert!(snapshot.deals[&deal].workers.contains_key(&worker), "all else is read as before");
    world.play(COORDINATOR, KEEPER, &unfreezeAccountCall { user: world.provider }).await;
    world.act(withdraw).await;
    world.act(leave).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_worker_that_is_gone_is_an_absence_and_no_error() {
    let (world, peers) = provider("gone", 1, 1).await;
    let (peer, units) = peers[0].clone();
    let deal = deal(&world, &only(&world)).await;
    let worker = seat(&world, deal, &[(peer, units[0])]).await[0];
    let leave = Call::RemoveWorker { deal, worker };
    world.act(leave.clone()).await;
    let refusal = world.refusal(&leave).await;
    assert!(refusal.is_absence(), "{refusal:?}");
    let (calls, _) = deal_plan(world.look().await, deal, (&[peer], key()));
    assert_eq!(calls, [], "the plan does not ask twice");
    assert_ne!(worker.0, B256::ZERO);
}
