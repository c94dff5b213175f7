//! Which proofs are sent, one row per rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use coreward_domain::call::{Call, Proof};
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold, Management, Signer};
use coreward_domain::proof::{Fate, Found, Limits, Seen, Step, Target, Why, plan, puzzle_for};
use rstest::rstest;

use crate::market::{self, NONCE, peer_id, unit, word};

pub(crate) fn seen(snapshot: Snapshot, pool: Vec<Found>) -> Seen {
    Seen {
        peer: peer_id(1),
        snapshot: Some(Arc::new(snapshot)),
        is_believed: true,
        pool,
        quarantined: BTreeSet::new(),
        flights: Vec::new(),
        target: Target::Auto,
        safety_margin_percent: 25,
        limits: Limits::default(),
        seconds_since_head: 0,
        block_seconds: 1,
        stop_confirmed: false,
        gate: market::open_gate(),
    }
}

pub(crate) fn found(index: u32, nonce: u64) -> Found {
    Found {
        unit: unit(1, index),
        epoch: Epoch(20),
        global_nonce: NONCE,
        local_nonce: word(nonce),
        result_hash: word(nonce + 1000),
        fate: Fate::Open,
    }
}

fn pool(index: u32, count: u64) -> Vec<Found> {
    (0..count).map(|nonce| found(index, nonce)).collect()
}

/// Active, at a second of epoch 20, with so many proofs of unit 0 on chain.
fn at(second: u64, on_chain: u32) -> Snapshot {
    let mut snapshot = market::committed(2, CommitmentStatus::Active);
    market::move_to(&mut snapshot, 20, second);
    market::commitment_mut(&mut snapshot, 1).proofs.insert(unit(1, 0), on_chain);
    snapshot
}

fn sent(seen: &Seen) -> Vec<Proof> {
    let batches = plan(seen).steps.into_iter().filter_map(|step| match step {
        Step::Send(Call::SubmitProofs { proofs, .. }) => Some(proofs),
        Step::Send(_) | Step::Acknowledge { .. } => None,
    });
    batches.flatten().collect()
}

#[rstest]
#[case::the_minimum_at_once(60, 0, 2, 2, Why::SendingMinimum)]
#[case::even_a_part_of_it(60, 0, 1, 1, Why::SendingMinimum)]
#[case::early_extras_wait_for_company(60, 0, 3, 2, Why::SendingMinimum)]
#[case::and_wait_on(60, 2, 2, 0, Why::Collecting)]
#[case::until_the_unit_is_full(60, 2, 3, 3, Why::SendingExtra)]
#[case::or_the_epoch_is_late(450, 2, 2, 2, Why::SendingExtra)]
#[case::never_more_than_the_contract_takes(450, 4, 9, 1, Why::SendingExtra)]
#[case::all_is_done(450, 5, 9, 0, Why::NothingToSend)]
#[case::nothing_is_found(60, 0, 0, 0, Why::NothingToSend)]
#[case::the_last_seconds_are_left_alone(595, 0, 2, 0, Why::EpochEnding)]
fn a_batch(
    #[case] second: u64,
    #[case] on_chain: u32,
    #[case] in_pool: u64,
    #[case] count: usize,
    #[case] why: Why,
) {
    let seen = seen(at(second, on_chain), pool(0, in_pool));
    assert_eq!((sent(&seen).len(), plan(&seen).why), (count, why));
}

#[test]
fn every_units_minimum_goes_in_one_batch() {
    let pool = [pool(0, 2), pool(1, 2)].concat();
    assert_eq!(sent(&seen(at(60, 0), pool)).len(), 4);
}

#[rstest]
#[case::minimum_only(Target::Minimum, 1, 0)]
#[case::all_that_is_taken(Target::Maximum, u128::MAX, 3)]
#[case::worth_its_gas(Target::Auto, 1, 3)]
#[case::not_worth_its_gas(Target::Auto, 1_000_000_000_000_000, 0)]
fn extras_follow_the_target(#[case] target: Target, #[case] base_fee: u128, #[case] count: usize) {
    let mut snapshot = at(450, 2);
    snapshot.head.base_fee = base_fee;
    let mut seen = seen(snapshot, pool(0, 9));
    seen.target = target;
    assert_eq!(sent(&seen).len(), count);
}

#[test]
fn one_batch_flies_at_a_time() {
    let mut seen = seen(at(60, 0), pool(0, 2));
    let call = Call::SubmitProofs { peer: peer_id(1), epoch: Epoch(20), proofs: sent(&seen) };
    seen.flights = vec![Flight { call: call.clone(), included: None }];
    assert_eq!((sent(&seen), plan(&seen).why), (vec![], Why::WaitingForReceipt));
    seen.flights = vec![Flight { call, included: Some(101) }];
    assert_eq!(plan(&seen).why, Why::WaitingForReceipt, "mined, and the snapshot is older");
    Arc::make_mut(seen.snapshot.as_mut().expect("snapshot")).head.number = 101;
    seen.pool.push(found(0, 77));
    let again: Vec<_> = sent(&seen).iter().map(|proof| proof.local_nonce).collect();
    assert_eq!(again, [word(77)], "what was mined is not sent again");
}

#[test]
fn a_batch_of_a_past_epoch_holds_nothing_back() {
    let mut seen = seen(at(60, 0), pool(0, 2));
    let call = Call::SubmitProofs { peer: peer_id(1), epoch: Epoch(19), proofs: vec![] };
    seen.flights = vec![Flight { call, included: None }];
    assert_eq!(sent(&seen).len(), 2);
}

#[test]
fn a_lone_endpoint_has_proofs_sent_and_none_given_up() {
    let past = Found { epoch: Epoch(19), ..found(0, 1) };
    let settled = Found { fate: Fate::Settled, ..found(0, 2) };
    let mut seen = seen(at(60, 0), vec![past, settled, found(0, 3), found(0, 4), found(0, 5)]);
    let believed = plan(&seen).steps;
    seen.is_believed = false;
    let steps = plan(&seen).steps;
    assert!(!sent(&seen).is_empty());
    let is_send = |step: &&Step| matches!(step, Step::Send(_));
    assert_eq!(steps, believed.iter().filter(is_send).cloned().collect::<Vec<_>>());
    assert_eq!(believed.len(), steps.len() + 2);
}

#[rstest]
#[case::of_a_past_epoch(Found { epoch: Epoch(19), ..found(0, 1) }, true, true)]
#[case::of_another_nonce(Found { global_nonce: B256::ZERO, ..found(0, 1) }, false, false)]
#[case::of_an_epoch_to_come(Found { epoch: Epoch(21), ..found(0, 1) }, false, false)]
#[case::settled(Found { fate: Fate::Settled, ..found(0, 1) }, true, false)]
#[case::refused(Found { fate: Fate::Refused, ..found(0, 1) }, true, false)]
fn other_proofs_are_not_sent(
    #[case] other: Found,
    #[case] acknowledged: bool,
    #[case] stale: bool,
) {
    let plan = plan(&seen(at(60, 0), vec![other]));
    let step = Step::Acknowledge { unit: other.unit, local_nonce: other.local_nonce, stale };
    assert_eq!(plan.steps, if acknowledged { vec![step] } else { vec![] });
}

#[test]
fn zero_is_a_nonce_like_any_other() {
    let mut snapshot = at(60, 0);
    snapshot.global_nonce = B256::ZERO;
    let pool = vec![Found { global_nonce: B256::ZERO, ..found(0, 1) }];
    assert_eq!(sent(&seen(snapshot, pool)).len(), 1);
}

#[rstest]
#[case::in_a_deal(|snapshot: &mut Snapshot| market::sit(snapshot, 0, 1), Why::NothingToSend)]
#[case::count_not_read(|snapshot: &mut Snapshot| { market::commitment_mut(snapshot, 1).proofs.clear(); }, Why::NothingToSend)]
#[case::not_started(|snapshot: &mut Snapshot| market::commitment_mut(snapshot, 1).status = CommitmentStatus::WaitStart, Why::NotActive)]
#[case::failed(|snapshot: &mut Snapshot| market::commitment_mut(snapshot, 1).status = CommitmentStatus::Failed, Why::NotActive)]
#[case::commitment_not_read(|snapshot: &mut Snapshot| snapshot.commitments.clear(), Why::ChainUnknown)]
#[case::peer_not_read(|snapshot: &mut Snapshot| snapshot.peers.clear(), Why::ChainUnknown)]
fn the_chain_takes_none(#[case] edit: fn(&mut Snapshot), #[case] why: Why) {
    let mut snapshot = at(60, 0);
    edit(&mut snapshot);
    let seen = seen(snapshot, pool(0, 2));
    assert_eq!((sent(&seen), plan(&seen).why), (vec![], why));
    assert_eq!(puzzle_for(&seen, unit(1, 0)), None);
}

#[rstest]
#[case::observing(Management::Observe, 2)]
#[case::read_only(Management::ReadOnly, 2)]
#[case::suspended(Management::Suspended, 5)]
#[case::managing(Management::Manage, 5)]
fn the_minimum_goes_in_every_mode(#[case] management: Management, #[case] count: usize) {
    let mut seen = seen(at(450, 0), pool(0, 9));
    seen.gate.management = management;
    assert_eq!(sent(&seen).len(), count);
}

#[test]
fn no_budget_holds_the_minimum_back() {
    let mut seen = seen(at(450, 0), pool(0, 9));
    seen.gate.gas.daily_budget = Some(U256::ZERO);
    assert_eq!(sent(&seen).len(), 2);
    seen.snapshot = Some(Arc::new(at(450, 2)));
    assert_eq!((sent(&seen), plan(&seen).why), (vec![], Why::Held(Hold::GasBudget)));
}

#[test]
fn without_its_signer_a_batch_is_shown_as_held() {
    let mut seen = seen(at(60, 0), pool(0, 2));
    seen.gate.peer_signer = Signer::Shared;
    assert_ne!(sent(&seen), vec![], "proofs go on whoever else uses the key");
    seen.gate.peer_signer = Signer::Unreachable;
    assert_eq!((sent(&seen), plan(&seen).why), (vec![], Why::Held(Hold::SignerUnavailable)));
}

#[test]
fn only_a_confirmed_stop_stops_proving() {
    let mut seen = seen(at(60, 0), pool(0, 2));
    seen.stop_confirmed = true;
    assert_eq!((sent(&seen), plan(&seen).why), (vec![], Why::StopConfirmed));
}

#[rstest]
#[case::gas(Limits { gas: 150_000 + 120_000 + 50_000, bytes: 1 << 20 }, 2)]
#[case::bytes(Limits { gas: 25_000_000, bytes: 452 + 3 * 96 }, 3)]
#[case::nothing_fits(Limits { gas: 1, bytes: 1 }, 0)]
fn a_batch_fits_its_transaction(#[case] limits: Limits, #[case] count: usize) {
    let mut seen = seen(at(450, 0), pool(0, 9));
    seen.limits = limits;
    assert_eq!(sent(&seen).len(), count);
}

#[test]
fn local_time_since_the_head_only_makes_us_refrain() {
    let mut seen = seen(at(450, 0), pool(0, 2));
    seen.seconds_since_head = 145;
    assert_eq!(plan(&seen).why, Why::EpochEnding);
    seen.seconds_since_head = u64::MAX;
    assert_eq!(plan(&seen).why, Why::EpochEnding);
}

#[test]
fn a_unit_that_just_came_back_may_prove_and_need_not() {
    let mut snapshot = at(450, 0);
    market::peer_mut(&mut snapshot, 1).units.get_mut(&unit(1, 0)).expect("unit").start_epoch =
        Epoch(21);
    let mut seen = seen(snapshot, pool(0, 5));
    assert_eq!(sent(&seen).len(), 5);
    seen.gate.management = Management::Observe;
    assert_eq!(sent(&seen).len(), 0, "nothing is lost by waiting");
}

#[rstest]
#[case::auto(Target::Auto, 5)]
#[case::minimum(Target::Minimum, 2)]
#[case::maximum(Target::Maximum, 5)]
fn a_prover_is_told_how_many_are_of_use(#[case] target: Target, #[case] useful: u32) {
    let mut seen = seen(at(450, 1), vec![]);
    seen.target = target;
    let puzzle = puzzle_for(&seen, unit(1, 0)).expect("a puzzle");
    assert_eq!((puzzle.epoch, puzzle.global_nonce), (Epoch(20), NONCE));
    assert_eq!(
        (puzzle.minimum, puzzle.useful, puzzle.on_chain, puzzle.remaining_seconds),
        (2, useful, 1, 150)
    );
}

/// Unit 1 brings wrong proofs; both have found two, and need two.
fn with_a_bad_unit(on_chain: u32) -> Seen {
    let mut seen = seen(at(60, on_chain), [pool(0, 2), pool(1, 2)].concat());
    seen.quarantined = BTreeSet::from([unit(1, 1)]);
    seen
}

#[test]
fn a_bad_unit_goes_apart_and_after_the_others() {
    let of = |proofs: Vec<Proof>| proofs.iter().map(|proof| proof.unit).collect::<BTreeSet<_>>();
    assert_eq!(of(sent(&with_a_bad_unit(0))), BTreeSet::from([unit(1, 0)]), "it harms no other");
    let rest = sent(&with_a_bad_unit(2));
    assert_eq!(
        of(rest.clone()),
        BTreeSet::from([unit(1, 1)]),
        "its good proofs count all the same"
    );
    assert_eq!(rest.len(), 2);
    let mut bad = with_a_bad_unit(0);
    bad.quarantined.insert(unit(1, 0));
    assert_eq!(of(sent(&bad)).len(), 1, "two bad ones are not put together");
}
