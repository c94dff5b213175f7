//! Peers of another tool, taken over.

use std::sync::Arc;

use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::gate::Management;
use coreward_domain::offer::{Deletion, PendingReason, Seen, Step, Why, plan, watchlist};
use rstest::rstest;

use crate::market::{self, PROVIDER, offer_id, peer_id};
use crate::offer::{identity, node, seen};

/// Peer 1 with two units in offer 1, registered by another tool; the spec says that it lives on n1.
fn taking_over() -> Seen {
    let mut seen = seen(market::committed(2, CommitmentStatus::Active));
    seen.identities = Some(Vec::new());
    seen.wanted.adopt = Some(offer_id(1));
    seen.wanted.assignments.insert(peer_id(1), "n1".to_owned());
    seen
}

fn change(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("a snapshot")));
}

fn adopts(peer: u64, node: &str, ordinal: u32) -> Step {
    Step::AdoptIdentity { peer: peer_id(peer), node: node.to_owned(), ordinal }
}

#[rstest]
#[case::managed(Management::Manage)]
#[case::observed(Management::Observe)]
fn a_peer_is_taken_over_with_no_transaction(#[case] management: Management) {
    let mut seen = taking_over();
    seen.gate.management = management;
    assert_eq!(plan(&seen).steps, [adopts(1, "n1", 0)]);
    seen.identities = Some(vec![identity(1, "n1", 0)]);
    let plan = plan(&seen);
    assert_eq!((plan.steps, plan.planned, plan.why), (vec![], vec![], Why::InSync));
}

#[test]
fn nothing_is_taken_over_while_suspended() {
    let mut seen = taking_over();
    seen.gate.management = Management::Suspended;
    assert_eq!(plan(&seen).steps, []);
}

#[test]
fn the_chain_is_asked_about_the_peer_first() {
    let mut seen = taking_over();
    assert!(watchlist(&seen).peers.contains(&peer_id(1)));
    change(&mut seen, |snapshot| drop(snapshot.peers.remove(&peer_id(1))));
    assert_eq!((plan(&seen).steps, plan(&seen).why), (vec![], Why::ChainUnknown));
}

#[test]
fn an_identity_of_the_node_that_came_to_nothing_is_passed_over() {
    let mut seen = taking_over();
    seen.identities = Some(vec![identity(8, "n1", 0)]);
    change(&mut seen, |snapshot| drop(snapshot.peers.insert(peer_id(8), None)));
    assert_eq!(plan(&seen).steps, [adopts(1, "n1", 1)]);
    seen.identities = Some(vec![identity(8, "n1", 0), identity(1, "n1", 1)]);
    assert_eq!((plan(&seen).steps, plan(&seen).why), (vec![], Why::InSync));
}

#[rstest]
#[case::not_registered(|seen: &mut Seen| change(seen, |snapshot| drop(snapshot.peers.insert(peer_id(1), None))), "node n1 is not registered in offer")]
#[case::in_another_offer(|seen: &mut Seen| change(seen, |snapshot| market::peer_mut(snapshot, 1).offer = offer_id(9)), "node n1 is not registered in offer")]
#[case::a_node_that_is_taken(|seen: &mut Seen| {
    seen.identities = Some(vec![identity(2, "n1", 0)]);
    change(seen, |snapshot| drop(snapshot.peers.insert(peer_id(2), Some(market::peer(2, 1)))));
}, "node n1 has a peer already")]
fn a_wrong_assignment_is_named_and_nothing_is_done(
    #[case] edit: fn(&mut Seen),
    #[case] words: &str,
) {
    let mut seen = taking_over();
    edit(&mut seen);
    let plan = plan(&seen);
    assert_eq!(plan.steps, []);
    let Why::InvalidSpec { field, message } = plan.why else { panic!("{:?}", plan.why) };
    assert_eq!(field, "spec.peers.assignments");
    assert!(message.contains(words), "{message}");
}

#[test]
fn a_peer_without_a_node_is_told_and_left_alone() {
    let mut seen = taking_over();
    seen.identities = Some(vec![identity(1, "n1", 0)]);
    change(&mut seen, |snapshot| {
        let offer = snapshot.offers.get_mut(&offer_id(1)).and_then(Option::as_mut);
        offer.expect("offer").peer_count = 3;
        snapshot.providers.get_mut(&PROVIDER).expect("provider").unit_count = 6;
    });
    let plan = plan(&seen);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.why, Why::Pending(PendingReason::AwaitingApproval));
    assert!(plan.pending[0].subject.starts_with("2 peers of offer"), "{:?}", plan.pending);
}

#[test]
fn a_node_that_waits_for_its_peer_gets_no_new_one() {
    let mut seen = taking_over();
    seen.nodes = Some(vec![node("n1", 2), node("n2", 2)]);
    let steps = plan(&seen).steps;
    assert_eq!(steps, [adopts(1, "n1", 0), Step::MakeIdentity { node: "n2".into(), ordinal: 0 }]);
}

#[test]
fn peers_that_are_gone_hold_no_deletion() {
    let mut seen = taking_over();
    seen.wanted.deletion = Some(Deletion::Block);
    change(&mut seen, |snapshot| drop(snapshot.peers.insert(peer_id(1), None)));
    assert_eq!(plan(&seen).why, Why::Released);
}
