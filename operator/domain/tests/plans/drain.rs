//! What a cordon and a drain mean for the pods of a peer, one row per rule.

use std::sync::Arc;

use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::condition::{ConditionType, Truth};
use coreward_domain::unit::{
    Cordon, DeletionCause, Draining, Phase, Pod, Seen, Step, Why, draining, plan,
};
use rstest::rstest;

use crate::market::{self, unit};
use crate::unit::{active, delete, ended, make_prover, prover, seen, verdict, worker};

fn cordoned(snapshot: Snapshot, pods: Vec<Pod>) -> Seen {
    Seen { cordon: Some(Cordon::Cordoned), ..seen(snapshot, pods) }
}

fn set_hold(name: &str, held: bool) -> Step {
    let uid = format!("uid-{name}");
    Step::SetHold { uid, namespace: "ns".to_owned(), name: name.to_owned(), held }
}

fn with_proofs(proofs: u32) -> Snapshot {
    let mut snapshot = active(1);
    market::commitment_mut(&mut snapshot, 1).proofs.insert(unit(1, 0), proofs);
    snapshot
}

fn let_go(mut pod: Pod) -> Pod {
    pod.held = false;
    pod
}

fn activated() -> Snapshot {
    let mut snapshot = market::matched(1);
    let deal = market::deal_mut(&mut snapshot);
    deal.workers.values_mut().for_each(|worker| worker.offchain = market::key(1));
    snapshot
}

const READY: Phase = Phase::Ready;

#[rstest]
#[case::open(Cordon::Open, with_proofs(2), prover("p", 0, READY), None)]
#[case::open_again(Cordon::Open, with_proofs(2), let_go(prover("p", 0, READY)), Some(true))]
#[case::without_its_minimum(Cordon::Cordoned, with_proofs(1), prover("p", 0, READY), None)]
#[case::with_its_minimum(Cordon::Cordoned, with_proofs(2), prover("p", 0, READY), Some(false))]
#[case::only_once(Cordon::Cordoned, with_proofs(2), let_go(prover("p", 0, READY)), None)]
#[case::in_the_next_epoch(
    Cordon::Cordoned,
    with_proofs(0),
    let_go(prover("p", 0, READY)),
    Some(true)
)]
#[case::before_its_first(
    Cordon::Cordoned,
    market::committed(1, CommitmentStatus::WaitStart),
    prover("p", 0, READY),
    Some(false)
)]
#[case::a_time_ahead_changes_nothing(
    Cordon::Announced,
    with_proofs(1),
    prover("p", 0, READY),
    None
)]
#[case::losses_are_accepted(Cordon::Overdue, with_proofs(0), prover("p", 0, READY), Some(false))]
#[case::nobody_can_read_the_time(Cordon::Misdated, with_proofs(1), prover("p", 0, READY), None)]
#[case::a_worker_stays(Cordon::Cordoned, activated(), worker("w", &[0], READY), None)]
#[case::until_the_time_is_over(Cordon::Overdue, activated(), worker("w", &[0], READY), Some(false))]
fn a_pod_is_let_go(
    #[case] cordon: Cordon,
    #[case] snapshot: Snapshot,
    #[case] pod: Pod,
    #[case] held: Option<bool>,
) {
    let name = pod.name.clone();
    let seen = Seen { cordon: Some(cordon), ..seen(snapshot, vec![pod]) };
    let expected: Vec<_> = held.into_iter().map(|held| set_hold(&name, held)).collect();
    assert_eq!(plan(&seen).steps, expected);
}

#[test]
fn a_node_that_is_not_listed_changes_nothing() {
    let pods = vec![let_go(prover("p", 0, READY))];
    let seen = Seen { cordon: None, ..seen(with_proofs(2), pods) };
    assert_eq!(plan(&seen).steps, []);
    assert_eq!(verdict(&seen, ConditionType::Draining), (Truth::Unknown, "Unknown"));
}

#[test]
fn an_eviction_is_noted_and_nothing_is_made_until_the_node_is_open() {
    let evicted = Pod { evicted: true, ..let_go(prover("p", 0, Phase::Deleting)) };
    let mut seen = cordoned(with_proofs(2), vec![evicted]);
    assert_eq!(plan(&seen).steps, [Step::NoteDrain { drained: true }]);

    (seen.pods, seen.drain_noted) = (Some(vec![]), true);
    let gone = plan(&seen);
    assert_eq!((&gone.steps, &gone.why[&unit(1, 0)]), (&vec![], &Why::NodeDrained));
    assert_eq!(draining(&seen, &gone, unit(1, 0)), Some(Draining::Gone));

    seen.snapshot = Some(Arc::new(with_proofs(0)));
    assert_eq!(plan(&seen).steps, [], "nor in the next epoch");

    seen.cordon = Some(Cordon::Open);
    assert_eq!(plan(&seen).steps, [Step::NoteDrain { drained: false }, make_prover(0, 0)]);
}

#[test]
fn an_eviction_from_an_open_node_is_no_drain() {
    let evicted = Pod { evicted: true, ..prover("p", 0, Phase::Deleting) };
    assert_eq!(plan(&seen(active(1), vec![evicted])).steps, []);
}

#[test]
fn a_prover_that_waits_for_a_drained_node_is_removed() {
    let pods = vec![prover("p", 0, Phase::Pending), prover("q", 1, READY)];
    let seen = Seen { drain_noted: true, ..cordoned(active(2), pods) };
    assert_eq!(plan(&seen).steps, [delete("p", DeletionCause::NodeDrained)]);
}

#[test]
fn a_failed_prover_is_made_again_on_a_cordoned_node() {
    let last = prover("p", 0, ended("OutOfcpu", 9));
    let steps = plan(&cordoned(active(1), vec![last])).steps;
    assert_eq!(steps, [make_prover(0, 1), delete("p", DeletionCause::Ended)]);
}

#[rstest]
#[case::a_new_one_is_not_begun(market::matched(1), vec![], false)]
#[case::one_that_the_chain_knows_comes_back(activated(), vec![], true)]
#[case::one_that_failed_is_made_again(market::matched(1), vec![worker("w", &[0], ended("OutOfcpu", 9))], true)]
fn a_worker_on_a_cordoned_node(
    #[case] snapshot: Snapshot,
    #[case] pods: Vec<Pod>,
    #[case] made: bool,
) {
    let plan = plan(&cordoned(snapshot, pods));
    let makes = plan.steps.iter().any(|step| matches!(step, Step::CreateWorker { .. }));
    assert_eq!(makes, made);
    assert_eq!(plan.why[&unit(1, 0)] == Why::NodeCordoned, !made);
}

#[test]
fn an_old_template_is_no_reason_to_touch_a_cordoned_node() {
    let old = Pod { template: "t0".to_owned(), ..prover("p", 0, Phase::Pending) };
    assert_eq!(plan(&cordoned(with_proofs(2), vec![old])).steps, [set_hold("p", false)]);
}

#[rstest]
#[case::open(Cordon::Open, with_proofs(1), prover("p", 0, READY), None, (Truth::False, "Settled"))]
#[case::waits(Cordon::Cordoned, with_proofs(1), prover("p", 0, READY), Some(Draining::KeptForMinimum), (Truth::True, "NodeCordoned"))]
#[case::may_go(Cordon::Announced, with_proofs(2), prover("p", 0, READY), Some(Draining::MayGo), (Truth::True, "Requested"))]
#[case::serves(Cordon::Cordoned, activated(), worker("w", &[0], READY), Some(Draining::KeptForDeal), (Truth::True, "NodeCordoned"))]
fn draining_is_told(
    #[case] cordon: Cordon,
    #[case] snapshot: Snapshot,
    #[case] pod: Pod,
    #[case] state: Option<Draining>,
    #[case] told: (Truth, &str),
) {
    let seen = Seen { cordon: Some(cordon), ..seen(snapshot, vec![pod]) };
    assert_eq!(draining(&seen, &plan(&seen), unit(1, 0)), state);
    assert_eq!(verdict(&seen, ConditionType::Draining), told);
}
