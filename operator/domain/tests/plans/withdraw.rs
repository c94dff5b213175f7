//! How an offer leaves the chain, one row per rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::U256;
use coreward_domain::call::Call;
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::commitment;
use coreward_domain::condition::{ConditionType, Truth};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold, Management};
use coreward_domain::offer::{
    CLOSED_PRICE, Deletion, Seen, Step, UNREAD, Why, Withdrawal, conditions, plan, watchlist,
};
use proptest::prelude::*;
use rstest::rstest;

use crate::arbitrary;
use crate::market::{self, commitment_id, offer_id, peer_id, resource, unit};

/// Peer 1 had commitment 1, and the object's status names the offer.
fn leaving(mut snapshot: Snapshot) -> Seen {
    if let Some(Some(offer)) = snapshot.offers.get_mut(&offer_id(1)) {
        offer.prices.insert(resource(1), CLOSED_PRICE);
    }
    let mut seen = crate::offer::seen(snapshot);
    seen.wanted.deletion = Some(Deletion::Withdraw);
    seen.recorded = Some(offer_id(1));
    seen.identities.as_mut().expect("identities")[0].commitments = [commitment_id(1)].into();
    seen
}

fn edit(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("snapshot")));
}

fn functions(seen: &Seen) -> Vec<&'static str> {
    let sends = plan(seen).steps.into_iter().map(|step| match step {
        Step::Send(call) => call.function(),
        Step::Release => "release",
        Step::MakeIdentity { .. }
        | Step::AdoptIdentity { .. }
        | Step::MovePeer { .. }
        | Step::RetireIdentity { .. } => "identity",
    });
    sends.collect()
}

/// Commitment 1 is finished and holds so much.
fn finished(total: u64) -> Snapshot {
    let mut snapshot = market::committed(2, CommitmentStatus::Removed);
    market::peer_mut(&mut snapshot, 1).commitment = None;
    market::commitment_mut(&mut snapshot, 1).total_rewards = U256::from(total);
    snapshot
}

fn without_units() -> Snapshot {
    let mut snapshot = finished(0);
    market::peer_mut(&mut snapshot, 1).units.clear();
    snapshot
}

fn without_resources() -> Snapshot {
    let mut snapshot = without_units();
    market::peer_mut(&mut snapshot, 1).resources.clear();
    snapshot
}

fn without_peers(count: u64) -> Snapshot {
    let mut snapshot = without_resources();
    snapshot.peers.insert(peer_id(1), None);
    let offer = snapshot.offers.get_mut(&offer_id(1)).and_then(Option::as_mut);
    offer.expect("offer").peer_count = count;
    snapshot
}

fn without_offer() -> Snapshot {
    let mut snapshot = without_peers(0);
    snapshot.offers.insert(offer_id(1), None);
    snapshot
}

fn cooling() -> Snapshot {
    let mut snapshot = market::committed(2, CommitmentStatus::Failed);
    market::commitment_mut(&mut snapshot, 1).failed_epoch = Epoch(20);
    snapshot
}

const fn waits(stage: Withdrawal) -> Why {
    Why::Withdrawing(stage)
}

#[rstest]
#[case::in_a_deal(market::matched(2), &[], waits(Withdrawal::Deals))]
#[case::staked(
    market::committed(2, CommitmentStatus::Active), &[],
    waits(Withdrawal::Commitments { until: Epoch(110) })
)]
#[case::failed(cooling(), &[], waits(Withdrawal::Commitments { until: Epoch(22) }))]
#[case::over(market::committed(2, CommitmentStatus::Inactive), &[], waits(Withdrawal::Closing))]
#[case::not_funded(market::committed(2, CommitmentStatus::WaitDelegation), &[], waits(Withdrawal::Closing))]
#[case::rewards_vest(finished(1), &[], waits(Withdrawal::Rewards { until: Epoch(21) }))]
#[case::units_go(finished(0), &["removeComputeUnitV2", "removeComputeUnitV2"], Why::Sending)]
#[case::resources_go(
    without_units(),
    &["removePeerResource", "removePeerResource", "removePeerResource"],
    Why::Sending
)]
#[case::the_peer_goes(without_resources(), &["removeComputePeerV2"], Why::Sending)]
#[case::the_offer_goes(without_peers(0), &["removeOfferV2"], Why::Sending)]
#[case::strangers_in_it(without_peers(3), &[], waits(Withdrawal::StrangePeers { count: 3 }))]
#[case::nothing_is_left(without_offer(), &["release"], Why::Released)]
fn each_step_rests_on_the_one_before(
    #[case] snapshot: Snapshot,
    #[case] sends: &[&str],
    #[case] why: Why,
) {
    let seen = leaving(snapshot);
    assert_eq!((functions(&seen), plan(&seen).why), (sends.to_vec(), why));
}

#[test]
fn an_offer_that_never_was_on_chain_goes_at_once() {
    let mut snapshot = market::empty();
    snapshot.peers.insert(peer_id(1), None);
    let mut seen = leaving(snapshot);
    seen.recorded = None;
    assert_eq!(plan(&seen).steps, [Step::Release]);
    let register = Call::AddPeers { offer: offer_id(1), peers: Vec::new() };
    seen.flights = vec![Flight { call: register, included: None }];
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::WaitingForReceipt));
}

#[test]
fn no_new_deal_is_taken() {
    let mut seen = leaving(market::matched(2));
    edit(&mut seen, |snapshot| {
        let offer = snapshot.offers.get_mut(&offer_id(1)).and_then(Option::as_mut);
        offer.expect("offer").prices.insert(resource(1), U256::from(10));
    });
    let close =
        Call::ChangePrice { offer: offer_id(1), resource: resource(1), price: CLOSED_PRICE };
    assert_eq!(plan(&seen).steps, [Step::Send(close)]);
}

#[rstest]
#[case::the_peer(|snapshot: &mut Snapshot| snapshot.peers.clear())]
#[case::its_offer(|snapshot: &mut Snapshot| snapshot.offers.clear())]
#[case::a_past_commitment(|snapshot: &mut Snapshot| snapshot.commitments.clear())]
fn nothing_follows_from_what_is_not_known(#[case] forget: fn(&mut Snapshot)) {
    for snapshot in [finished(0), without_units(), without_resources()] {
        let mut seen = leaving(snapshot);
        edit(&mut seen, forget);
        assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::ChainUnknown));
    }
}

#[rstest]
#[case::the_peer(|snapshot: &mut Snapshot| snapshot.peers.clear())]
#[case::the_offer(|snapshot: &mut Snapshot| snapshot.offers.clear())]
fn the_offer_and_the_object_need_the_chains_word(#[case] forget: fn(&mut Snapshot)) {
    for snapshot in [without_peers(0), without_offer()] {
        let mut seen = leaving(snapshot);
        edit(&mut seen, forget);
        assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::ChainUnknown));
    }
}

#[test]
fn a_past_commitment_keeps_its_peer_as_well() {
    let mut seen = leaving(finished(0));
    let owed = market::commitment(2, CommitmentStatus::Removed);
    edit(&mut seen, |snapshot| {
        let owed = coreward_domain::chain::Commitment { total_rewards: U256::ONE, ..owed };
        snapshot.commitments.insert(commitment_id(7), Some(owed));
    });
    seen.identities.as_mut().expect("identities")[0].commitments.insert(commitment_id(7));
    assert_eq!(plan(&seen).why, waits(Withdrawal::Rewards { until: Epoch(21) }));
    assert_eq!(plan(&seen).steps, []);
}

#[rstest]
#[case::never_read(None, 98, false)]
#[case::read_to_here(Some(98), 98, true)]
#[case::read_lately(Some(98), 98 + UNREAD, true)]
#[case::read_long_ago(Some(98), 99 + UNREAD, false)]
fn a_peer_stays_while_commitments_of_its_past_may_be_unknown(
    #[case] read_to: Option<u64>,
    #[case] finalized: u64,
    #[case] goes: bool,
) {
    for snapshot in [finished(0), without_units(), without_resources()] {
        let mut seen = leaving(snapshot);
        seen.identities.as_mut().expect("identities")[0].past_read_to = read_to;
        edit(&mut seen, |snapshot| snapshot.finalized = finalized);
        let why = if goes { Why::Sending } else { waits(Withdrawal::Past) };
        assert_eq!((plan(&seen).steps.is_empty(), plan(&seen).why), (!goes, why));
    }
}

#[rstest]
#[case::never_read(None, 0, true)]
#[case::read_lately(Some(98), 98 + UNREAD / 2, false)]
#[case::before_it_would_count_as_unknown(Some(98), 99 + UNREAD / 2, true)]
fn logs_are_read_again_before_the_past_counts_as_unknown(
    #[case] read_to: Option<u64>,
    #[case] finalized: u64,
    #[case] due: bool,
) {
    let mut identity = crate::offer::identity(1, "n1", 0);
    identity.past_read_to = read_to;
    assert_eq!(identity.is_past_due(finalized), due);
}

#[rstest]
#[case::of_the_peer(commitment_id(1), false)]
#[case::of_nobody_known(commitment_id(9), false)]
#[case::of_another_peer(commitment_id(2), true)]
fn a_peer_waits_until_no_reorg_can_owe_it_anything(
    #[case] commitment: coreward_domain::id::CommitmentId,
    #[case] goes: bool,
) {
    let mut seen = leaving(finished(0));
    edit(&mut seen, |snapshot| {
        let other = coreward_domain::chain::Commitment {
            peer: peer_id(2),
            ..market::commitment(1, CommitmentStatus::Active)
        };
        snapshot.commitments.insert(commitment_id(2), Some(other));
    });
    seen.flights =
        vec![Flight { call: Call::FinishCommitment { commitment }, included: Some(100) }];
    assert_eq!(!plan(&seen).steps.is_empty(), goes);
    let why = if goes { Why::Sending } else { waits(Withdrawal::Finality) };
    assert_eq!(plan(&seen).why, why);
}

#[test]
fn the_offers_id_is_written_down_before_its_last_peer_goes() {
    let mut seen = leaving(without_resources());
    seen.recorded = None;
    assert_eq!((functions(&seen), plan(&seen).offer), (Vec::new(), Some(offer_id(1))));
    seen.recorded = plan(&seen).offer;
    assert_eq!(functions(&seen), ["removeComputePeerV2"]);
    assert!(watchlist(&seen).offers.contains(&offer_id(1)));
}

#[test]
fn an_adopted_offer_goes_too() {
    let mut seen = leaving(without_peers(0));
    (seen.recorded, seen.wanted.adopt) = (None, Some(offer_id(1)));
    assert_eq!(functions(&seen), ["removeOfferV2"]);
    edit(&mut seen, |snapshot| {
        snapshot.offers.insert(offer_id(1), None);
    });
    assert_eq!(functions(&seen), ["release"]);
}

#[test]
fn the_object_goes_once_its_last_transaction_is_final() {
    let mut seen = leaving(without_offer());
    let call = Call::RemoveOffer { offer: offer_id(1) };
    seen.flights = vec![Flight { call, included: Some(99) }];
    assert_eq!((functions(&seen), plan(&seen).why), (Vec::new(), waits(Withdrawal::Finality)));
}

#[test]
fn units_go_in_bites() {
    let mut snapshot = finished(0);
    let many = market::peer(1, 100);
    (market::peer_mut(&mut snapshot, 1).units, market::peer_mut(&mut snapshot, 1).resources) =
        (many.units, many.resources);
    let mut seen = leaving(snapshot);
    let first = plan(&seen);
    assert_eq!(first.steps.len(), 32);
    assert_eq!(first.planned.len(), 101, "every unit, and the offer");
    let flights = first.steps.into_iter().filter_map(|step| match step {
        Step::Send(call) => Some(Flight { call, included: None }),
        Step::MakeIdentity { .. }
        | Step::AdoptIdentity { .. }
        | Step::MovePeer { .. }
        | Step::RetireIdentity { .. }
        | Step::Release => None,
    });
    seen.flights = flights.skip(10).collect();
    assert_eq!(plan(&seen).steps.len(), 10);
}

#[test]
fn a_peer_without_its_cores_is_left_to_a_human() {
    let mut seen = leaving(finished(0));
    edit(&mut seen, |snapshot| {
        market::peer_mut(snapshot, 1).resources.remove(&resource(1));
    });
    assert_eq!((functions(&seen), plan(&seen).why), (Vec::new(), Why::Held(Hold::Conflict)));
}

#[rstest]
#[case::suspended(Management::Suspended, Hold::Suspended)]
#[case::read_only(Management::ReadOnly, Hold::ReadOnly)]
fn without_leave_nothing_is_taken_off(#[case] management: Management, #[case] hold: Hold) {
    let mut seen = leaving(finished(0));
    seen.gate.management = management;
    assert_eq!((functions(&seen), plan(&seen).why), (Vec::new(), Why::Held(hold)));
}

#[rstest]
#[case::in_a_deal(market::matched(2), "Progressing")]
#[case::staked(market::committed(2, CommitmentStatus::Active), "WaitingForEpoch")]
#[case::over(market::committed(2, CommitmentStatus::Inactive), "Progressing")]
#[case::rewards_vest(finished(1), "WaitingForEpoch")]
#[case::units_go(finished(0), "Progressing")]
fn the_object_says_what_its_end_waits_for(#[case] snapshot: Snapshot, #[case] reason: &str) {
    let seen = leaving(snapshot);
    let told = conditions(&seen, &plan(&seen), &[commitment::Why::Ending]);
    crate::conditions::check(&told);
    let find = |kind| told.iter().find(|verdict| verdict.kind == kind).expect("a verdict");
    let ready = find(ConditionType::Ready);
    assert_eq!((ready.status, ready.reason), (Truth::False, "Deleting"));
    let moving = find(ConditionType::Reconciling);
    assert_eq!((moving.status, moving.reason), (Truth::True, reason));
    if reason == "WaitingForEpoch" {
        assert!(moving.message.contains("epoch"), "{}", moving.message);
    }
}

#[test]
fn peers_of_others_stall_it() {
    let seen = leaving(without_peers(2));
    let told = conditions(&seen, &plan(&seen), &[]);
    let stalled = told.iter().find(|verdict| verdict.kind == ConditionType::Stalled);
    let stalled = stalled.expect("a verdict");
    assert_eq!((stalled.status, stalled.reason), (Truth::True, "Conflict"));
}

proptest! {
    /// The law of the removal: a peer, and what is its own, goes only with the chain's word that nothing is owed to it.
    #[test]
    fn nothing_is_taken_off_a_peer_that_may_be_owed(
        snapshot in arbitrary::snapshot(),
        mask: u32,
        past in prop::collection::btree_set(1_u64..4, 0..3),
    ) {
        let snapshot = arbitrary::forget(&snapshot, mask);
        let mut seen = leaving(snapshot.clone());
        let past: BTreeSet<_> = past.into_iter().map(commitment_id).collect();
        seen.identities.as_mut().expect("identities")[0].commitments.clone_from(&past);
        for step in plan(&seen).steps {
            let Step::Send(call) = step else {
                let is_gone = |id| snapshot.offers.get(&id).is_some_and(|offer| {
                    offer.as_ref().is_none_or(|offer| offer.provider != market::PROVIDER)
                });
                prop_assert!(is_gone(offer_id(1)), "released from the unknown");
                continue;
            };
            if let Call::RemoveUnit { unit: removed, .. } = call {
                prop_assert!((0..4).any(|index| unit(1, index) == removed));
            }
            let goes_on = matches!(call, Call::RemoveOffer { .. } | Call::ChangePrice { .. });
            let takes = matches!(
                call,
                Call::RemoveUnit { .. } | Call::RemovePeerResource { .. } | Call::RemovePeer { .. }
            );
            prop_assert!(goes_on || takes, "{}", call.function());
            if takes {
                let peer = snapshot.peers[&peer_id(1)].as_ref().expect("a known peer");
                prop_assert_eq!(peer.commitment, None);
                prop_assert!(peer.units.values().all(|unit| unit.seat.is_none()));
                for id in &past {
                    let known = &snapshot.commitments[id];
                    prop_assert!(known.as_ref().is_none_or(|known| known.total_rewards.is_zero()));
                }
            }
        }
    }
}
