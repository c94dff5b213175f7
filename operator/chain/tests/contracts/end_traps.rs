//! Traps of who stakes and who ends: each test shows first that the contracts do it, then what we make of it.

use alloy::primitives::{Address, Bytes, U256};
use alloy::rpc::types::{BlockId, TransactionRequest};
use alloy::sol_types::SolCall;
use coreward_chain::effect::Effect;
use coreward_chain::revert::Revert;
use coreward_domain::call::{Call, NewPeer};
use coreward_domain::chain::CommitmentStatus;
use coreward_domain::commitment::Why;
use coreward_domain::id::CommitmentId;

use crate::market::{
    committed, depositCollateralCall, finishCommitmentCall, new_peer, proven_to_its_end, registered,
};
use crate::plans::{commitment_plan, payouts, pledged};
use crate::world::{COORDINATOR, DIAMOND, World};

async fn provider(name: &str, units: u32) -> (World, NewPeer) {
    let world = World::new(name).await;
    world.next_epoch().await;
    let peer = new_peer(&world, name, units);
    registered(&world, vec![peer.clone()]).await;
    (world, peer)
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn without_a_delegator_a_stranger_stakes_first_and_we_always_name_the_provider() {
    let (world, peer) = provider("delegator", 1).await;
    let calls = pledged(&commitment_plan(&world, world.look().await, (peer.peer, 20)));
    let ours = Call::CreateCommitment {
        peer: peer.peer,
        duration: 20,
        delegator: world.provider,
        delegation_rate: 1,
    };
    assert_eq!(calls, [ours], "at the smallest rate: a share of every payment leaves by it");

    // By hand, for whoever comes.
    let anyone = Call::CreateCommitment {
        peer: peer.peer,
        duration: 20,
        delegator: Address::ZERO,
        delegation_rate: 1_500_000,
    };
    let effects = world.act(anyone).await;
    let [Effect::CommitmentCreated { commitment, .. }] = effects[..] else { panic!("{effects:?}") };
    let plan = commitment_plan(&world, world.look().await, (peer.peer, 20));
    let back = vec![Call::RemoveCommitment { commitment }];
    assert_eq!((pledged(&plan), plan.why), (back, Why::Replacing), "it is taken back, not paid");

    let snapshot = world.look().await;
    let value = snapshot.commitments[&commitment].clone().unwrap().collateral_per_unit;
    let input = depositCollateralCall { commitmentIds: vec![commitment.0] }.abi_encode();
    let request = TransactionRequest::default().from(COORDINATOR).to(DIAMOND).value(value);
    let receipt = world.sent(request.input(Bytes::from(input).into())).await;
    assert!(receipt.status(), "the stranger was first");
    let refusal = world.refusal(&Call::DepositCollateral { commitment, value }).await;
    assert!(refusal.is_fact(), "{refusal:?}");
    let snapshot = world.look().await;
    assert_eq!(snapshot.commitments[&commitment].clone().unwrap().delegator, COORDINATOR);
    let plan = commitment_plan(&world, snapshot, (peer.peer, 20));
    assert_eq!(pledged(&plan), [], "nothing can be taken back now: {:?}", plan.why);
}

/// Lets one of two units prove until the other's misses end the commitment.
async fn failed(world: &World, peer: &NewPeer, commitment: CommitmentId) {
    let ended = proven_to_its_end(world, peer, commitment).await;
    assert_eq!(ended, CommitmentStatus::Failed);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn what_was_not_vested_when_a_commitment_failed_is_lost_and_the_rest_is_fetched() {
    let (world, peer) = provider("unvested", 2).await;
    let commitment = committed(&world, peer.peer, 100).await;
    failed(&world, &peer, commitment).await;
    let snapshot = world.look().await;
    let owed = snapshot.commitments[&commitment].clone().unwrap();
    let unlocked = owed.unlocked_rewards;
    assert!(unlocked > U256::ZERO, "{owed:?}");
    let calls = payouts(snapshot, peer.peer);
    assert_eq!(calls, [Call::WithdrawCommitmentRewards { commitment, unlocked }]);
    for _ in 0..8 {
        world.next_epoch().await;
    }
    let snapshot = world.look().await;
    let later = snapshot.commitments[&commitment].clone().unwrap();
    assert_eq!(later.unlocked_rewards, unlocked, "nothing vests any more");
    world.act(calls[0].clone()).await;
    let snapshot = world.look().await;
    let left = snapshot.commitments[&commitment].clone().unwrap();
    assert_eq!(left.unlocked_rewards, U256::ZERO);
    assert_eq!(payouts(snapshot, peer.peer), [], "what is lost is not asked for");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_stranger_can_finish_a_failed_commitment_and_our_plan_ends_there() {
    let (world, peer) = provider("finished", 2).await;
    let commitment = committed(&world, peer.peer, 100).await;
    failed(&world, &peer, commitment).await;
    let plan = commitment_plan(&world, world.look().await, (peer.peer, 20));
    let units: Vec<_> =
        world.look().await.peers[&peer.peer].as_ref().unwrap().units.keys().copied().collect();
    let out = Call::RemoveUnitsFromCommitment { commitment, units };
    assert_eq!(pledged(&plan), std::slice::from_ref(&out), "before the cooldown is over");
    let Why::Failed { until } = plan.why else { panic!("{:?}", plan.why) };
    world.act(out).await;
    let finish = finishCommitmentCall { commitmentId: commitment.0 };
    let early = world.refusal_of((COORDINATOR, DIAMOND), &finish, BlockId::latest()).await;
    assert!(early.is_some_and(|refusal| refusal.is_fact()), "the same cooldown for all");
    while world.look().await.epoch < until {
        world.next_epoch().await;
    }
    let snapshot = world.look().await;
    let before = snapshot.wallets[&world.provider];
    let calls = pledged(&commitment_plan(&world, snapshot, (peer.peer, 20)));
    let (withdraw, finishing) =
        (Call::WithdrawCollateral { commitment }, Call::FinishCommitment { commitment });
    assert_eq!(calls, [withdraw.clone(), finishing.clone()]);

    world.play(COORDINATOR, DIAMOND, &finish).await;
    let snapshot = world.look().await;
    assert!(snapshot.wallets[&world.provider] > before, "the collateral came back with it");
    assert_eq!(world.refusal(&withdraw).await, Revert::CommitmentStatus(5));
    assert_eq!(world.refusal(&finishing).await, Revert::CommitmentStatus(5));
    let calls = pledged(&commitment_plan(&world, snapshot, (peer.peer, 20)));
    let is_new =
        |call: &Call| matches!(call, Call::CreateCommitment { peer: of, .. } if *of == peer.peer);
    assert!(calls.len() == 1 && calls.iter().all(is_new), "the next one, not the old: {calls:?}");
}
