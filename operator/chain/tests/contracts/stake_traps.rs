//! Traps of commitments: each test shows first that the contracts do it, then what we make of it.

use std::collections::BTreeSet;

use alloy::primitives::U256;
use alloy::rpc::types::BlockId;
use coreward_chain::effect::Effect;
use coreward_chain::past::{Past, Searcher, Wanted};
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::{Call, NewPeer, NewResource};
use coreward_domain::chain::CommitmentStatus;
use coreward_domain::commitment::Why;
use coreward_domain::gate::Hold;
use coreward_domain::id::{CommitmentId, OfferId, ResourceId, UnitId};
use coreward_domain::offer::{Deletion, PendingReason};

use crate::market::{
    DealOrder, committed, deal, matching, new_peer, proof, proven_to_its_end, registered, seat,
    setFLTPriceCall, word,
};
use crate::plans::{commitment_plan, is_committed, offer_plan, offer_seen, pledged};
use crate::world::{DIAMOND, OWNER, VODOPAD, World};

async fn provider(name: &str, units: u32) -> (World, NewPeer) {
    let world = World::new(name).await;
    world.next_epoch().await;
    let peer = new_peer(&world, name, units);
    registered(&world, vec![peer.clone()]).await;
    (world, peer)
}

fn creation(world: &World, peer: &NewPeer, duration: u64) -> Call {
    Call::CreateCommitment {
        peer: peer.peer,
        duration,
        delegator: world.provider,
        delegation_rate: 1,
    }
}

async fn created(world: &World, peer: &NewPeer, duration: u64) -> CommitmentId {
    let effects = world.act(creation(world, peer, duration)).await;
    let [Effect::CommitmentCreated { commitment, .. }] = effects[..] else { panic!("{effects:?}") };
    commitment
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_unit_in_a_deal_could_be_pledged_and_we_do_not() {
    let (world, peer) = provider("in a deal", 2).await;
    let order = DealOrder { only: Some(world.provider), ..DealOrder::default() };
    let deal = deal(&world, &order).await;
    seat(&world, deal, &[(peer.peer, peer.units[0])]).await;
    assert!(world.takes(&creation(&world, &peer, 20)).await, "the contract would take it");
    let plan = commitment_plan(&world, world.look().await, (peer.peer, 20));
    assert_eq!((pledged(&plan), plan.why), (Vec::new(), Why::UnitInDeal));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn between_creation_and_deposit_no_unit_can_be_matched() {
    let (world, peer) = provider("unmatched", 1).await;
    let order = DealOrder { only: Some(world.provider), ..DealOrder::default() };
    let deal = deal(&world, &order).await;
    created(&world, &peer, 20).await;
    let call = matching(deal, &[(peer.peer, peer.units[0])]);
    let refusal = world.refusal_of((VODOPAD, DIAMOND), &call, BlockId::latest()).await;
    assert!(refusal.is_some_and(|refusal| refusal.is_fact()), "a match cannot slip in between");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_price_that_moves_before_the_deposit_does_not_change_the_deposit() {
    let (world, peer) = provider("moved", 2).await;
    let before = world.look().await.rules.collateral_per_unit;
    let commitment = created(&world, &peer, 20).await;
    let price = U256::from(5_000_000);
    world.play(OWNER, DIAMOND, &setFLTPriceCall { fltPrice: price }).await;
    world.next_epoch().await;
    let snapshot = world.look().await;
    let now = snapshot.rules.collateral_per_unit;
    assert_ne!(now, before, "a new commitment would cost something else");
    let units = U256::from(2);
    let refused = world.refusal(&Call::DepositCollateral { commitment, value: now * units }).await;
    let wanted =
        if now > before { Refusal::CollateralTooLarge } else { Refusal::CollateralTooSmall };
    assert_eq!(refused, Revert::Known(wanted));
    let calls = pledged(&commitment_plan(&world, snapshot, (peer.peer, 20)));
    assert_eq!(calls, [Call::DepositCollateral { commitment, value: before * units }]);
    world.act(calls[0].clone()).await;
    world.play(OWNER, DIAMOND, &setFLTPriceCall { fltPrice: U256::from(10_000_000) }).await;
    world.next_epoch().await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_deposit_must_be_exact_to_the_wei() {
    let (world, peer) = provider("exact", 2).await;
    let commitment = created(&world, &peer, 20).await;
    let plan = commitment_plan(&world, world.look().await, (peer.peer, 20));
    let [Call::DepositCollateral { value, .. }] = pledged(&plan)[..] else { panic!("{plan:?}") };
    for (value, wanted) in [
        (value - U256::ONE, Refusal::CollateralTooSmall),
        (value + U256::ONE, Refusal::CollateralTooLarge),
    ] {
        let refusal = world.refusal(&Call::DepositCollateral { commitment, value }).await;
        assert_eq!(refusal, Revert::Known(wanted));
    }
    assert!(world.takes(&Call::DepositCollateral { commitment, value }).await);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn units_could_be_added_under_a_commitment_and_we_wait_for_its_end() {
    let (world, peer) = provider("grown", 1).await;
    let commitment = committed(&world, peer.peer, 20).await;
    let vcpu = NewResource { resource: ResourceId(word(1)), supply: 2, details: "{}".to_owned() };
    let ram = ResourceId(word(3));
    world.act(Call::ChangeResourceSupply { peer: peer.peer, resource: ram, supply: 8192 }).await;
    let call = Call::AddUnits { peer: peer.peer, units: vec![UnitId::derive(peer.peer, 1)], vcpu };
    assert!(world.takes(&call).await, "the contract would take it, without collateral");
    world.act(Call::ChangeResourceSupply { peer: peer.peer, resource: ram, supply: 4096 }).await;
    let snapshot = world.look().await;
    assert!(is_committed(&snapshot, peer.peer, commitment));
    let (calls, plan) = offer_plan(&offer_seen(&world, snapshot, &[(peer.peer, 2)]));
    assert_eq!((calls, plan.pending[0].reason), (Vec::new(), PendingReason::LockedByCommitment));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_commitment_cannot_be_renewed_before_its_end_and_we_do_not_try() {
    let (world, peer) = provider("renewed", 1).await;
    let commitment = committed(&world, peer.peer, 20).await;
    let again = world.refusal(&creation(&world, &peer, 20)).await;
    assert_eq!(again, Revert::Known(Refusal::PeerCommitted));
    let out = Call::RemoveUnitsFromCommitment { commitment, units: peer.units.clone() };
    assert_eq!(world.refusal(&out).await, Revert::CommitmentStatus(1));
    let plan = commitment_plan(&world, world.look().await, (peer.peer, 20));
    assert_eq!((pledged(&plan), plan.why), (Vec::new(), Why::Active));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_commitment_takes_no_proof_before_its_start() {
    let (world, peer) = provider("early", 1).await;
    let commitment = created(&world, &peer, 20).await;
    let plan = commitment_plan(&world, world.look().await, (peer.peer, 20));
    world.act(pledged(&plan)[0].clone()).await;
    let snapshot = world.look().await;
    let known = snapshot.commitments[&commitment].clone().unwrap();
    assert_eq!(known.status, CommitmentStatus::WaitStart, "CommitmentActivated was logged already");
    let call = Call::SubmitProofs {
        peer: peer.peer,
        epoch: snapshot.epoch,
        proofs: vec![proof(peer.units[0], 1)],
    };
    assert_eq!(world.refusal(&call).await, Revert::Known(Refusal::CommitmentNotStarted));
}

/// Proves for some epochs, to the commitment's end; its rewards are not vested then.
async fn ended_with_rewards(world: &World, peer: &NewPeer, commitment: CommitmentId) {
    proven_to_its_end(world, peer, commitment).await;
    let units = peer.units.clone();
    world.act(Call::RemoveUnitsFromCommitment { commitment, units }).await;
    world.act(Call::FinishCommitment { commitment }).await;
    world.watch(|watch| watch.commitments.extend([commitment]));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_removed_peer_would_take_its_rewards_along_and_we_keep_it() {
    let (world, peer) = provider("rewards", 1).await;
    let commitment = committed(&world, peer.peer, 3).await;
    ended_with_rewards(&world, &peer, commitment).await;
    let snapshot = world.look().await;
    let owed = snapshot.commitments[&commitment].clone().unwrap();
    assert!(owed.total_rewards > U256::ZERO, "rewards are left");
    assert_eq!(
        snapshot.peers[&peer.peer].as_ref().unwrap().commitment,
        None,
        "views forget its id"
    );

    let mut seen = offer_seen(&world, snapshot, &[(peer.peer, 1)]);
    seen.wanted.deletion = Some(Deletion::Withdraw);
    seen.identities.as_mut().unwrap()[0].commitments = BTreeSet::from([commitment]);
    let (calls, plan) = offer_plan(&seen);
    let held = plan.planned.iter().find(|planned| matches!(planned.call, Call::RemovePeer { .. }));
    assert_eq!(held.and_then(|planned| planned.hold), Some(Hold::Epoch), "until they vest");
    let removes = |call: &Call| matches!(call, Call::RemoveUnit { .. } | Call::RemovePeer { .. });
    assert!(!calls.iter().any(removes), "{calls:?}");

    // By hand, against all advice.
    let vcpu = ResourceId(word(1));
    world.act(Call::RemoveUnit { unit: peer.units[0], vcpu }).await;
    for resource in [1, 3].map(|id| ResourceId(word(id))) {
        world.act(Call::RemovePeerResource { peer: peer.peer, resource }).await;
    }
    world.act(Call::RemovePeer { peer: peer.peer }).await;
    let unlocked = owed.total_rewards;
    let refusal = world.refusal(&Call::WithdrawCommitmentRewards { commitment, unlocked }).await;
    assert_eq!(refusal, Revert::Known(Refusal::PeerMissing), "nobody can fetch them now");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn views_forget_a_renewed_commitment_and_the_logs_do_not() {
    let (world, peer) = provider("forgotten", 1).await;
    let old = committed(&world, peer.peer, 3).await;
    ended_with_rewards(&world, &peer, old).await;
    let new = created(&world, &peer, 20).await;
    let snapshot = world.look().await;
    assert!(is_committed(&snapshot, peer.peer, new), "the view names the new one only");
    assert!(snapshot.commitments[&old].clone().unwrap().total_rewards > U256::ZERO);

    let offer = snapshot.peers[&peer.peer].as_ref().unwrap().offer;
    let wanted = Wanted { peer: peer.peer, offer, after: None };
    let mut searcher = Searcher::new(world.pool.clone(), DIAMOND);
    let read_to = snapshot.head.number;
    let commitments = Some([old, new].into());
    let found = Past { peer: peer.peer, after: None, read_to, commitments };
    assert_eq!(searcher.turn(&[wanted], read_to).await.unwrap(), [found]);
    // In another offer the peer was never registered: its logs are not believed.
    let strange = Wanted { offer: OfferId(word(77)), ..wanted };
    let found = searcher.turn(&[strange], read_to).await.unwrap();
    assert_eq!(found[0].commitments, None);
}
