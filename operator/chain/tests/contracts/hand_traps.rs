//! Traps of keys and of strangers' hands: each test shows first that the contracts do it, then what we make of it.

use alloy::primitives::{Address, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::{BlockId, Filter};
use alloy::sol_types::{SolCall, SolEvent};
use coreward_chain::effect::Effect;
use coreward_chain::revert::Revert;
use coreward_domain::call::{Call, KeyRole, NewPeer};
use coreward_domain::chain::CommitmentStatus;
use coreward_domain::commitment::{SMALLEST_RATE, Why};
use coreward_domain::id::{CommitmentId, OffchainWorkerId, ResourceId};

use crate::market::{
    DealAppCIDChangedV2, DealOrder, changeResourcePriceV2Call, committed, deal,
    depositCollateralCall, finishCommitmentCall, matching, multicallCall, new_peer, proof,
    registered, seat, word,
};
use crate::plans::{commitment_plan, offer_plan, offer_seen, pledged};
use crate::world::{COORDINATOR, DIAMOND, VODOPAD, World};

async fn provider(name: &str, units: u32) -> (World, NewPeer) {
    let world = World::new(name).await;
    world.next_epoch().await;
    let peer = new_peer(&world, name, units);
    registered(&world, vec![peer.clone()]).await;
    (world, peer)
}

fn only(world: &World) -> DealOrder {
    DealOrder { only: Some(world.provider), ..DealOrder::default() }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_creation_of_a_deal_names_a_wrong_deal_and_we_read_the_deal_itself() {
    let (world, _) = provider("misnamed", 1).await;
    let before = world.look().await.head.number;
    let deal = deal(&world, &only(&world)).await;
    let filter =
        Filter::new().from_block(before).event_signature(DealAppCIDChangedV2::SIGNATURE_HASH);
    let logs = world.node.get_logs(&filter).await.unwrap();
    let named: Vec<Address> = logs
        .iter()
        .filter_map(|log| log.log_decode::<DealAppCIDChangedV2>().ok())
        .map(|log| log.inner.deal)
        .collect();
    assert_eq!(named, [VODOPAD], "not the deal {deal}");
    let snapshot = world.look().await;
    assert_eq!(snapshot.deals[&deal].app_cid[35], 7, "its own view has the artifact");
    assert_eq!(snapshot.deals.len(), 1, "what the log names is not taken for a deal");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_peers_key_is_enough_for_a_workers_whole_life() {
    let (world, peer) = provider("peer key", 1).await;
    let deal = deal(&world, &only(&world)).await;
    let worker = seat(&world, deal, &[(peer.peer, peer.units[0])]).await[0];
    let offchain = OffchainWorkerId(keccak256("key"));
    let activate = Call::ActivateWorker { deal, worker, offchain };
    assert_eq!(activate.key_role(), KeyRole::Peer);
    world.act(activate).await;
    world.next_epoch().await;
    let claimable = world.look().await.deals[&deal].workers[&worker].reward;
    let withdraw = Call::WithdrawDealRewards { deal, worker, claimable };
    assert_eq!(withdraw.key_role(), KeyRole::Peer);
    let effects = world.act(withdraw).await;
    let paid = |effect: &Effect| matches!(effect, Effect::DealRewardsWithdrawn { provider, .. } if !provider.is_zero());
    assert!(effects.iter().any(paid), "to the provider, whoever calls: {effects:?}");
    let leave = Call::RemoveWorker { deal, worker };
    assert_eq!(leave.key_role(), KeyRole::Peer);
    world.act(leave).await;
    assert!(world.look().await.deals[&deal].workers.is_empty());
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn many_calls_in_one_keep_their_sender_and_fail_as_one() {
    let (world, peer) = provider("many", 1).await;
    let offer = world.look().await.peers[&peer.peer].as_ref().unwrap().offer;
    let price = |price: u64| -> Bytes {
        let (price, resource) = (U256::from(price), word(1));
        changeResourcePriceV2Call { offerId: offer.0, resourceId: resource, newPrice: price }
            .abi_encode()
            .into()
    };
    let refusal = async |from, data: Vec<Bytes>| {
        world.refusal_of((from, DIAMOND), &multicallCall { data }, BlockId::latest()).await
    };
    assert_eq!(refusal(world.provider, vec![price(11), price(12)]).await, None);
    assert!(refusal(COORDINATOR, vec![price(11)]).await.is_some(), "the sender is the caller");
    assert!(refusal(world.provider, vec![price(11), price(0)]).await.is_some(), "all or none");
    let shown = offer_plan(&offer_seen(&world, world.look().await, &[(peer.peer, 1)])).0;
    assert_eq!(shown, [], "what was only asked has changed nothing");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn without_a_delegator_a_stranger_could_stake_so_we_always_name_one() {
    let (world, peer) = provider("nobody", 1).await;
    let (first, second) = (peer.peer, new_peer(&world, "nobody else", 1));
    let calls = pledged(&commitment_plan(&world, world.look().await, (first, 20)));
    let [Call::CreateCommitment { delegator, delegation_rate, .. }] = calls[..] else {
        panic!("{calls:?}")
    };
    assert_eq!((delegator, delegation_rate), (world.provider, SMALLEST_RATE), "little is given");

    // By hand, against all advice.
    let offer = world.look().await.peers[&first].as_ref().unwrap().offer;
    world.act(Call::AddPeers { offer, peers: vec![second.clone()] }).await;
    world.watch(|watch| watch.peers.extend([second.peer]));
    let mut made = Vec::new();
    for peer in [first, second.peer] {
        let delegator = Address::ZERO;
        let call = Call::CreateCommitment {
            peer,
            duration: 20,
            delegator,
            delegation_rate: SMALLEST_RATE,
        };
        let effects = world.act(call).await;
        let [Effect::CommitmentCreated { commitment, .. }] = effects[..] else {
            panic!("{effects:?}")
        };
        made.push(commitment);
    }
    let snapshot = world.look().await;
    let value = snapshot.commitments[&made[0]].clone().unwrap().collateral_per_unit;
    let plan = commitment_plan(&world, snapshot, (first, 20));
    let taken_back = [Call::RemoveCommitment { commitment: made[0] }];
    assert_eq!(pledged(&plan), taken_back, "one that anybody may fund is not kept");

    let stake = |ids: &[CommitmentId]| depositCollateralCall {
        commitmentIds: ids.iter().map(|id| id.0).collect(),
    };
    world.pay((COORDINATOR, DIAMOND), &stake(&made[..1]), value).await;
    let snapshot = world.look().await;
    let known = snapshot.commitments[&made[0]].clone().unwrap();
    assert_eq!(known.delegator, COORDINATOR, "who pays first");
    let batch = world.refusal_of((world.provider, DIAMOND), &stake(&made), BlockId::latest()).await;
    assert!(batch.is_some(), "a deposit for both fails for both");
    let plan = commitment_plan(&world, snapshot, (first, 20));
    assert_eq!((pledged(&plan), plan.why), (Vec::new(), Why::WaitStart), "it is proved for");
    let plan = commitment_plan(&world, world.look().await, (second.peer, 20));
    assert_eq!(pledged(&plan), [Call::RemoveCommitment { commitment: made[1] }]);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn more_memory_than_the_units_need_would_be_sold_to_one_deal_so_it_is_taken_back() {
    let (world, peer) = provider("memory", 2).await;
    let deal = deal(&world, &DealOrder { ram: 8192, ..only(&world) }).await;
    let call = matching(deal, &[(peer.peer, peer.units[0])]);
    let refusal = async || world.refusal_of((VODOPAD, DIAMOND), &call, BlockId::latest()).await;
    assert!(refusal().await.is_some(), "what we declare leaves the other unit its own");
    let resource = ResourceId(word(3));
    let supply = |supply| Call::ChangeResourceSupply { peer: peer.peer, resource, supply };
    world.act(supply(3 * 4096)).await;
    assert_eq!(refusal().await, None, "the surplus goes to a deal of one unit");
    let (calls, _) = offer_plan(&offer_seen(&world, world.look().await, &[(peer.peer, 2)]));
    assert_eq!(calls, [supply(2 * 4096)]);
    world.act(calls[0].clone()).await;
    assert!(refusal().await.is_some());
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_peers_owner_stays_and_another_key_in_the_spec_changes_nothing_on_chain() {
    let (world, peer) = provider("owner", 1).await;
    let snapshot = world.look().await;
    let offer = snapshot.peers[&peer.peer].as_ref().unwrap().offer;
    let other = NewPeer { owner: COORDINATOR, ..peer.clone() };
    let refusal = world.refusal(&Call::AddPeers { offer, peers: vec![other] }).await;
    assert!(refusal.is_fact(), "{refusal:?}");
    let mut seen = offer_seen(&world, snapshot, &[(peer.peer, 1)]);
    seen.wanted.peer_owners = vec![COORDINATOR];
    let (calls, plan) = offer_plan(&seen);
    assert_eq!(calls, [], "{:?}", plan.why);
}

/// Waits without a proof until the commitment has failed and its collateral is free.
async fn failed_and_cool(world: &World, commitment: CommitmentId) {
    for epoch in 0.. {
        let snapshot = world.look().await;
        let known = snapshot.commitments[&commitment].clone().unwrap();
        let cool = known.failed_epoch.after(snapshot.rules.withdraw_epochs_after_failed);
        if known.status == CommitmentStatus::Failed && snapshot.epoch >= cool {
            return;
        }
        assert!(epoch < 60, "it does not fail");
        world.next_epoch().await;
    }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_failed_commitment_that_a_stranger_finished_is_not_asked_for_its_collateral_again() {
    let (world, peer) = provider("finished", 1).await;
    let commitment = committed(&world, peer.peer, 100).await;
    world.watch(|watch| watch.commitments.extend([commitment]));
    for seed in 1..4 {
        let epoch = world.look().await.epoch;
        let proofs = [2 * seed, 2 * seed + 1].map(|number| proof(peer.units[0], number)).to_vec();
        world.act(Call::SubmitProofs { peer: peer.peer, epoch, proofs }).await;
        world.next_epoch().await;
    }
    let earned = world.look().await.commitments[&commitment].clone().unwrap().total_rewards;
    assert!(!earned.is_zero());
    failed_and_cool(&world, commitment).await;
    let snapshot = world.look().await;
    let withdraw = Call::WithdrawCollateral { commitment };
    let calls = pledged(&commitment_plan(&world, snapshot, (peer.peer, 100)));
    assert!(calls.contains(&withdraw), "{calls:?}");
    let units = peer.units.clone();
    world.act(Call::RemoveUnitsFromCommitment { commitment, units }).await;

    let finish = finishCommitmentCall { commitmentId: commitment.0 };
    world.play(COORDINATOR, DIAMOND, &finish).await;
    assert_eq!(world.refusal(&withdraw).await, Revert::CommitmentStatus(5), "paid already");
    let snapshot = world.look().await;
    let left = snapshot.commitments[&commitment].clone().unwrap();
    let owed = (left.total_rewards, left.unlocked_rewards);
    assert_eq!(owed, (earned, earned), "what had vested before it failed is still owed");
    let plan = commitment_plan(&world, snapshot, (peer.peer, 100));
    let calls = pledged(&plan);
    let [Call::CreateCommitment { .. }] = calls[..] else { panic!("{plan:?}") };
}
