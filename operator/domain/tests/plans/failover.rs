//! Where peers live while nodes come and go.

use std::sync::Arc;
use std::time::Duration;

use coreward_domain::chain::CommitmentStatus;
use coreward_domain::offer::{Deletion, Life, Node, Seen, Step, plan};
use coreward_domain::unit::{self, DeletionCause, Elsewhere, Phase, Pod};
use rstest::rstest;

use crate::market::{self, peer_id};
use crate::offer::{identity, node, seen};
use crate::unit::prover;

const AFTER: Duration = Duration::from_mins(5);
const AWAY: Life = Life::NotReady(AFTER);

/// Peer 1 with two units on n1, which is away; n2 is kept free.
fn away() -> Seen {
    let mut seen = seen(market::committed(2, CommitmentStatus::Active));
    seen.wanted.spare_nodes = 1;
    let gone = Node { life: AWAY, ..node("n1", 2) };
    seen.nodes = Some(vec![gone, node("n2", 2)]);
    seen
}

fn first(seen: &mut Seen) -> &mut Node {
    &mut seen.nodes.as_mut().expect("nodes")[0]
}

fn spare(seen: &mut Seen) -> &mut Node {
    &mut seen.nodes.as_mut().expect("nodes")[1]
}

fn moves(seen: &Seen) -> Vec<Step> {
    let steps = plan(seen).steps.into_iter();
    steps.filter(|step| matches!(step, Step::MovePeer { .. })).collect()
}

fn to(node: &str) -> Vec<Step> {
    vec![Step::MovePeer { peer: peer_id(1), to: node.to_owned() }]
}

#[test]
fn a_peer_whose_node_is_away_moves_to_the_spare_one() {
    assert_eq!(moves(&away()), to("n2"));
}

#[rstest]
#[case::its_node_reports(|seen: &mut Seen| first(seen).life = Life::Ready)]
#[case::nothing_is_known_of_its_node(|seen: &mut Seen| first(seen).life = Life::Unknown)]
#[case::not_long_enough(|seen: &mut Seen| first(seen).life = Life::NotReady(Duration::from_secs(299)))]
#[case::no_spare_is_wanted(|seen: &mut Seen| seen.wanted.spare_nodes = 0)]
#[case::the_spare_is_away_too(|seen: &mut Seen| spare(seen).life = AWAY)]
#[case::the_spare_is_cordoned(|seen: &mut Seen| spare(seen).cordoned = true)]
#[case::the_spare_is_too_small(|seen: &mut Seen| spare(seen).units = 1)]
#[case::the_spare_is_taken(|seen: &mut Seen| take_spare(seen))]
#[case::no_node_is_known(|seen: &mut Seen| seen.nodes = None)]
#[case::the_chain_is_unknown(|seen: &mut Seen| seen.snapshot = None)]
#[case::it_has_moved_already(|seen: &mut Seen| seen.identities.as_mut().unwrap()[0].node = "n2".to_owned())]
fn a_peer_stays_where(#[case] edit: fn(&mut Seen)) {
    let mut seen = away();
    edit(&mut seen);
    assert_eq!(moves(&seen), []);
}

/// Another peer of the offer lives on n2.
fn take_spare(seen: &mut Seen) {
    seen.identities.as_mut().expect("identities").push(identity(2, "n2", 0));
    let snapshot = Arc::make_mut(seen.snapshot.as_mut().expect("a snapshot"));
    snapshot.peers.insert(peer_id(2), Some(market::peer(2, 2)));
}

#[test]
fn two_peers_never_share_a_spare() {
    let mut seen = away();
    seen.nodes.as_mut().unwrap().insert(1, Node { life: AWAY, ..node("n1b", 2) });
    seen.identities.as_mut().unwrap().push(identity(2, "n1b", 0));
    let snapshot = Arc::make_mut(seen.snapshot.as_mut().unwrap());
    snapshot.peers.insert(peer_id(2), Some(market::peer(2, 2)));
    assert_eq!(moves(&seen), to("n2"));
}

#[test]
fn what_is_staked_moves_while_its_offer_is_deleted() {
    let mut seen = away();
    seen.wanted.deletion = Some(Deletion::Block);
    assert_eq!(moves(&seen), to("n2"));
}

#[test]
fn a_node_that_comes_back_is_the_spare_one() {
    let mut seen = away();
    seen.identities.as_mut().unwrap()[0].node = "n2".to_owned();
    first(&mut seen).life = Life::Ready;
    assert_eq!(plan(&seen).steps, [], "no peer is made for it, and none moves back");
    seen.wanted.spare_nodes = 0;
    let made = Step::MakeIdentity { node: "n1".to_owned(), ordinal: 1 };
    assert_eq!(plan(&seen).steps, [made], "the name of the peer that left is not taken");
}

/// A peer of one unit that lives on n1 now, with a prover left behind.
fn left_behind(elsewhere: Elsewhere, more: Vec<Pod>) -> unit::Seen {
    let stray = Pod { elsewhere: Some(elsewhere), ..prover("p", 0, Phase::Ready) };
    let pods = [vec![stray], more].concat();
    crate::unit::seen(market::committed(1, CommitmentStatus::Active), pods)
}

fn deleted(seen: &unit::Seen) -> Vec<(String, DeletionCause)> {
    let steps = unit::plan(seen).steps.into_iter();
    let deletions = steps.filter_map(|step| match step {
        unit::Step::DeletePod { name, cause, .. } => Some((name, cause)),
        unit::Step::CreateProver { .. }
        | unit::Step::CreateWorker { .. }
        | unit::Step::SetHold { .. }
        | unit::Step::NoteDrain { .. } => None,
    });
    deletions.collect()
}

#[rstest]
#[case::unheard(Elsewhere::Unheard)]
#[case::heard(Elsewhere::Heard)]
fn a_prover_is_made_where_its_peer_lives_and_none_is_deleted(#[case] elsewhere: Elsewhere) {
    let seen = left_behind(elsewhere, vec![]);
    let steps = unit::plan(&seen).steps;
    let [unit::Step::CreateProver { attempt, .. }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(*attempt, 1, "the name of the one that was left behind is taken");
}

#[rstest]
#[case::its_node_may_come_back(Elsewhere::Unheard, Phase::Ready, &[])]
#[case::the_other_does_not_prove_yet(Elsewhere::Heard, Phase::Running, &[])]
#[case::the_other_proves(Elsewhere::Heard, Phase::Ready, &[("p", DeletionCause::Moved)])]
fn one_that_was_left_behind_goes_once_the_other_proves(
    #[case] elsewhere: Elsewhere,
    #[case] other: Phase,
    #[case] gone: &[(&str, DeletionCause)],
) {
    let seen = left_behind(elsewhere, vec![prover("q", 0, other)]);
    let gone: Vec<_> = gone.iter().map(|(name, cause)| ((*name).to_owned(), *cause)).collect();
    assert_eq!(deleted(&seen), gone);
}

#[test]
fn what_the_chain_orders_holds_for_those_left_behind() {
    let mut seen = left_behind(Elsewhere::Unheard, vec![]);
    seen.snapshot = Some(Arc::new(market::matched(1)));
    assert_eq!(deleted(&seen), [("p".to_owned(), DeletionCause::UnitSeated)]);
}
