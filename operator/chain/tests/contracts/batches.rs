//! Proofs of several units in one transaction.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use coreward_chain::effect::Effect;
use coreward_chain::outbox::{Purpose, State};
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::{Call, NewPeer, Proof};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{CommitmentId, UnitId};

use crate::ends::{automine, keep, kept, mine, submit, tick};
use crate::market::{DealOrder, committed, deal, matching, new_peer, proof, registered, seat};
use crate::world::{DIAMOND, FINALITY, VODOPAD, World};

/// Gas that a match never needs.
const MATCH_GAS: u64 = 5_000_000;

/// A peer under a commitment that has begun, and how many proofs each unit owes per epoch.
async fn proving(name: &str, units: u32) -> (World, NewPeer, CommitmentId, u64) {
    let world = World::new(name).await;
    world.next_epoch().await;
    let peer = new_peer(&world, name, units);
    registered(&world, vec![peer.clone()]).await;
    let commitment = committed(&world, peer.peer, 20).await;
    let minimum = world.look().await.rules.min_proofs.into();
    (world, peer, commitment, minimum)
}

/// So many proofs of a unit, none of them a second time.
fn some(unit: UnitId, seed: u64, count: u64) -> Vec<Proof> {
    (0..count).map(|number| proof(unit, seed * 1000 + number)).collect()
}

fn submission(peer: &NewPeer, epoch: Epoch, proofs: Vec<Proof>) -> Call {
    Call::SubmitProofs { peer: peer.peer, epoch, proofs }
}

async fn fails(world: &World, commitment: CommitmentId) -> u64 {
    world.look().await.commitments[&commitment].clone().unwrap().fail_count
}

async fn counted(world: &World, commitment: CommitmentId) -> BTreeMap<UnitId, u32> {
    let mut proofs = world.look().await.commitments[&commitment].clone().unwrap().proofs;
    proofs.retain(|_, count| *count > 0);
    proofs
}

/// After a batch was refused as the first unit had been matched: its parts tell which, the other's goes out and counts, and
/// nothing was missed.
async fn parts_tell(
    (world, peer, commitment, minimum): (&World, &NewPeer, CommitmentId, u64),
    [of_matched, of_free]: [Vec<Proof>; 2],
) {
    let epoch = world.look().await.epoch;
    let refusal = world.refusal(&submission(peer, epoch, of_matched)).await;
    assert_eq!(refusal, Revert::Known(Refusal::UnitInDeal));
    let good = submission(peer, epoch, of_free);
    assert!(world.takes(&good).await, "it is the other part only");
    let effects = world.act(good).await;
    let is_accepted = |effect: &Effect| matches!(effect, Effect::Proof { accepted: true, .. });
    assert_eq!((effects.iter().all(is_accepted), effects.len() as u64), (true, minimum));
    let wanted = BTreeMap::from([(peer.units[1], u32::try_from(minimum).unwrap())]);
    assert_eq!(counted(world, commitment).await, wanted);
    world.next_epoch().await;
    assert_eq!(fails(world, commitment).await, 0, "no unit missed that epoch");
    world.next_epoch().await;
    assert_eq!(fails(world, commitment).await, 1, "the free unit proved nothing in this one");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_batch_is_refused_whole_for_a_unit_matched_before_it_was_sent_and_its_nonce_costs_a_transfer()
 {
    let (world, peer, commitment, minimum) = proving("refused batch", 2).await;
    let epoch = world.look().await.epoch;
    let parts = [some(peer.units[0], 1, minimum), some(peer.units[1], 2, minimum)];
    let batch = submission(&peer, epoch, parts.concat());
    let record = keep(&world, &batch).await;
    let deal = deal(&world, &DealOrder::default()).await;
    seat(&world, deal, &[(peer.peer, peer.units[0])]).await;
    assert_eq!(world.refusal(&batch).await, Revert::Known(Refusal::UnitInDeal));
    tick(&world, &batch).await;
    let [cancel] = &kept(&world, &record).further[..] else {
        panic!("{:?}", kept(&world, &record))
    };
    assert_eq!(cancel.purpose, Purpose::Cancel, "it is not sent to fail");
    mine(&world, FINALITY).await;
    let ended = world.tick(world.sender(&batch), &record).await.state;
    let State::Cancelled(receipt) = &ended else { panic!("{ended:?}") };
    assert_eq!((receipt.hash, receipt.gas_used), (cancel.hash, 21_000));
    parts_tell((&world, &peer, commitment, minimum), parts).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_batch_fails_whole_for_a_unit_matched_in_the_same_block_and_says_so() {
    let (world, peer, commitment, minimum) = proving("failed batch", 2).await;
    let epoch = world.look().await.epoch;
    let parts = [some(peer.units[0], 1, minimum), some(peer.units[1], 2, minimum)];
    let batch = submission(&peer, epoch, parts.concat());
    let deal = deal(&world, &DealOrder::default()).await;
    automine(&world, false).await;
    let (record, _) = submit(&world, &batch).await;
    // Pays more, so it is first in the block.
    let call = matching(deal, &[(peer.peer, peer.units[0])]);
    let mut request = TransactionRequest::default()
        .from(VODOPAD)
        .to(DIAMOND)
        .gas_limit(MATCH_GAS)
        .input(Bytes::from(call.abi_encode()).into());
    request.max_fee_per_gas = Some(1_000_000_000_000);
    request.max_priority_fee_per_gas = Some(500_000_000_000);
    let matched: B256 =
        world.node.raw_request("eth_sendTransaction".into(), (request,)).await.unwrap();
    mine(&world, 1).await;
    automine(&world, true).await;
    let matched = world.node.get_transaction_receipt(matched).await.unwrap().unwrap();
    let State::Mined(receipt) = world.tick(world.sender(&batch), &record).await.state else {
        panic!("{:?}", kept(&world, &record))
    };
    assert_eq!((matched.status(), matched.block_number), (true, Some(receipt.block)));
    assert!(!receipt.succeeded);
    assert_eq!(receipt.revert.as_deref(), Some(Refusal::UnitInDeal.text()));
    assert_eq!(counted(&world, commitment).await, BTreeMap::new(), "none of its proofs counts");
    parts_tell((&world, &peer, commitment, minimum), parts).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_minimum_of_all_units_goes_out_as_one_transaction() {
    let (world, peer, commitment, minimum) = proving("one batch", 8).await;
    let least = u32::try_from(minimum).unwrap();
    let batch = |seed, units: &[UnitId]| -> Vec<Proof> {
        let of_unit = |(index, unit): (usize, &UnitId)| some(*unit, seed + index as u64, minimum);
        units.iter().enumerate().flat_map(of_unit).collect()
    };
    let epoch = world.look().await.epoch;
    let effects = world.act(submission(&peer, epoch, batch(1, &peer.units))).await;
    assert_eq!(effects.len() as u64, 8 * minimum);
    let wanted = peer.units.iter().map(|unit| (*unit, least)).collect();
    assert_eq!(counted(&world, commitment).await, wanted);
    let sent = world.node.get_transaction_count(world.peer_owner).await.unwrap();
    assert_eq!(sent, 1, "one for all of them");
    world.next_epoch().await;
    assert_eq!(fails(&world, commitment).await, 0);

    let epoch = world.look().await.epoch;
    let mut short = batch(11, &peer.units);
    short.pop();
    world.act(submission(&peer, epoch, short)).await;
    world.next_epoch().await;
    assert_eq!(fails(&world, commitment).await, 1, "one proof less is one unit's miss");
}
