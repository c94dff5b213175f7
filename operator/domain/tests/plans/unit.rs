//! Which pods a peer gets, one row per rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::condition::{ConditionType, Truth};
use coreward_domain::gate::Management;
use coreward_domain::id::UnitId;
use coreward_domain::unit::{
    Cordon, DeletionCause, NodeEvidence, Phase, Pod, PodRole, Role, Seen, Step, UnitReport, Why,
    conditions, plan,
};
use rstest::rstest;

use crate::market::{self, peer_id, seat, unit};

const TEMPLATE: &str = "t1";

pub(crate) fn seen(snapshot: Snapshot, pods: Vec<Pod>) -> Seen {
    Seen {
        peer: peer_id(1),
        node: Some("n1".to_owned()),
        snapshot: Some(Arc::new(snapshot)),
        pods: Some(pods),
        prover_template: TEMPLATE.to_owned(),
        open_seats: BTreeSet::from([seat(1)]),
        refused_seats: BTreeSet::new(),
        management: Management::Manage,
        cordon: Some(Cordon::Open),
        drain_noted: false,
    }
}

pub(crate) fn pod(name: &str, role: PodRole, phase: Phase) -> Pod {
    Pod {
        uid: format!("uid-{name}"),
        namespace: "ns".to_owned(),
        name: name.to_owned(),
        role,
        phase,
        template: TEMPLATE.to_owned(),
        attempt: 0,
        held: true,
        evicted: false,
        elsewhere: None,
    }
}

pub(crate) fn prover(name: &str, index: u32, phase: Phase) -> Pod {
    pod(name, PodRole::Prover(unit(1, index)), phase)
}

pub(crate) fn worker(name: &str, indices: &[u32], phase: Phase) -> Pod {
    pod(name, PodRole::Worker { seat: seat(1), units: units(indices) }, phase)
}

fn units(indices: &[u32]) -> BTreeSet<UnitId> {
    indices.iter().map(|index| unit(1, *index)).collect()
}

pub(crate) fn ended(reason: &str, seconds_ago: u64) -> Phase {
    Phase::Ended { reason: reason.to_owned(), seconds_ago, ran_seconds: 3 }
}

pub(crate) fn make_prover(index: u32, attempt: u32) -> Step {
    Step::CreateProver { unit: unit(1, index), node: "n1".to_owned(), attempt }
}

fn make_worker(indices: &[u32]) -> Step {
    Step::CreateWorker { seat: seat(1), units: units(indices), node: "n1".to_owned(), attempt: 0 }
}

pub(crate) fn delete(name: &str, cause: DeletionCause) -> Step {
    Step::DeletePod {
        uid: format!("uid-{name}"),
        namespace: "ns".to_owned(),
        name: name.to_owned(),
        grace_seconds: 1,
        cause,
    }
}

pub(crate) fn active(units: u32) -> Snapshot {
    market::committed(units, CommitmentStatus::Active)
}

#[rstest]
#[case::an_idle_unit_gets_a_prover(active(1), vec![], vec![make_prover(0, 0)])]
#[case::before_its_first_epoch_too(market::committed(1, CommitmentStatus::WaitStart), vec![], vec![make_prover(0, 0)])]
#[case::a_running_prover_stays(active(1), vec![prover("p", 0, Phase::Ready)], vec![])]
#[case::a_starting_prover_is_given_time(active(1), vec![prover("p", 0, Phase::Pending)], vec![])]
#[case::no_prover_without_commitment(market::registered(1), vec![], vec![])]
#[case::no_prover_before_the_collateral(market::committed(1, CommitmentStatus::WaitDelegation), vec![], vec![])]
#[case::a_seat_stops_the_prover(market::matched(1), vec![prover("p", 0, Phase::Ready)], vec![delete("p", DeletionCause::UnitSeated)])]
#[case::the_worker_waits_for_the_core(market::matched(1), vec![prover("p", 0, Phase::Deleting)], vec![])]
#[case::a_prover_that_has_ended_gives_its_core(market::matched(1), vec![prover("p", 0, Phase::Released)], vec![make_worker(&[0])])]
#[case::then_the_worker_starts(market::matched(1), vec![], vec![make_worker(&[0])])]
#[case::the_worker_stays(market::matched(1), vec![worker("w", &[0], Phase::Running)], vec![])]
#[case::a_freed_unit_loses_its_worker(active(1), vec![worker("w", &[0], Phase::Ready)], vec![delete("w", DeletionCause::SeatGone)])]
#[case::it_waits_for_the_worker_to_end(active(1), vec![worker("w", &[0], Phase::Deleting)], vec![])]
#[case::then_it_proves_again(active(1), vec![worker("w", &[0], Phase::Released)], vec![make_prover(0, 0)])]
#[case::a_name_is_taken_until_its_pod_is_gone(active(1), vec![prover("p", 0, Phase::Released)], vec![])]
#[case::a_failed_commitment_stops_provers(market::committed(1, CommitmentStatus::Failed), vec![prover("p", 0, Phase::Ready)], vec![delete("p", DeletionCause::NotCommitted)])]
#[case::a_unit_that_left_the_peer(active(1), vec![prover("p", 0, Phase::Ready), prover("q", 7, Phase::Ready)], vec![delete("q", DeletionCause::UnitGone)])]
#[case::two_provers_of_one_unit(active(1), vec![prover("p", 0, Phase::Running), prover("q", 0, Phase::Ready)], vec![delete("p", DeletionCause::Duplicate)])]
fn the_chain_decides_what_runs(
    #[case] snapshot: Snapshot,
    #[case] pods: Vec<Pod>,
    #[case] expected: Vec<Step>,
) {
    assert_eq!(plan(&seen(snapshot, pods)).steps, expected);
}

#[test]
fn a_worker_of_two_units_is_one_pod_and_comes_before_provers() {
    let mut snapshot = active(3);
    market::sit(&mut snapshot, 0, 1);
    market::sit(&mut snapshot, 2, 1);
    assert_eq!(plan(&seen(snapshot, vec![])).steps, [make_worker(&[0, 2]), make_prover(1, 0)]);
}

#[test]
fn only_the_seated_units_prover_stops() {
    let pods = vec![prover("p", 0, Phase::Ready), prover("q", 1, Phase::Ready)];
    assert_eq!(
        plan(&seen(market::matched(2), pods)).steps,
        [delete("p", DeletionCause::UnitSeated)]
    );
}

#[test]
fn a_worker_waits_for_its_namespace_while_the_prover_stops() {
    let mut seen = seen(market::matched(1), vec![]);
    seen.open_seats.clear();
    let plan = plan(&seen);
    assert_eq!((plan.steps, plan.why[&unit(1, 0)].clone()), (vec![], Why::WaitingForNamespace));
}

#[test]
fn a_seat_that_is_given_back_keeps_its_prover_waiting() {
    let mut seen = seen(market::matched(1), vec![prover("p", 0, Phase::Ready)]);
    seen.open_seats.clear();
    seen.refused_seats.insert(seat(1));
    let plan = plan(&seen);
    assert_eq!((plan.steps, plan.why[&unit(1, 0)].clone()), (vec![], Why::SeatRefused));
    assert_eq!(plan.roles[&unit(1, 0)], Role::Worker(seat(1)));
}

#[rstest]
#[case::no_snapshot(|seen: &mut Seen| seen.snapshot = None)]
#[case::peer_not_read(|seen: &mut Seen| Arc::make_mut(seen.snapshot.as_mut().expect("snapshot")).peers.clear())]
#[case::commitment_not_read(|seen: &mut Seen| Arc::make_mut(seen.snapshot.as_mut().expect("snapshot")).commitments.clear())]
#[case::pods_not_listed(|seen: &mut Seen| seen.pods = None)]
fn nothing_follows_from_the_unknown(#[case] edit: fn(&mut Seen)) {
    let pods = vec![worker("w", &[0], Phase::Ready), prover("q", 7, Phase::Ready)];
    let mut seen = seen(active(2), pods);
    edit(&mut seen);
    assert_eq!(plan(&seen).steps, []);
    assert!(plan(&seen).blocked.is_some());
}

#[test]
fn without_its_node_nothing_is_made_and_what_is_over_still_ends() {
    let mut seen = seen(active(2), vec![worker("w", &[0], Phase::Ready)]);
    seen.node = None;
    assert_eq!(plan(&seen).steps, [delete("w", DeletionCause::SeatGone)]);
}

#[rstest]
#[case::waits_a_second(0, 0, None)]
#[case::then_tries_again(0, 1, Some(1))]
#[case::waits_longer_each_time(3, 7, None)]
#[case::and_tries_again(3, 8, Some(4))]
#[case::but_never_longer_than_five_minutes(40, 300, Some(41))]
fn an_ended_pod_is_the_memory_of_its_back_off(
    #[case] attempt: u32,
    #[case] ago: u64,
    #[case] next: Option<u32>,
) {
    let last = Pod { attempt, ..prover("p", 0, ended("SMTAlignmentError", ago)) };
    let plan = plan(&seen(active(1), vec![last]));
    let expected = next.map(|next| vec![make_prover(0, next), delete("p", DeletionCause::Ended)]);
    assert_eq!(plan.steps, expected.unwrap_or_default());
    if next.is_none() {
        assert!(
            matches!(&plan.why[&unit(1, 0)], Why::BackingOff { reason, .. } if reason == "SMTAlignmentError")
        );
    }
}

#[rstest]
#[case::is_given_time(299, false, "t1", None)]
#[case::is_made_again_in_the_end(300, false, "t1", Some(DeletionCause::Stuck))]
#[case::keeps_what_it_found_if_it_ran(9000, true, "t1", None)]
#[case::is_made_again_at_once_where_that_may_help(1, true, "t0", Some(DeletionCause::OldTemplate))]
fn a_prover_that_cannot_start(
    #[case] seconds: u64,
    #[case] has_run: bool,
    #[case] template: &str,
    #[case] cause: Option<DeletionCause>,
) {
    let phase = Phase::Stuck { reason: "ErrImagePull".to_owned(), seconds, has_run };
    let stuck = Pod { template: template.to_owned(), ..prover("p", 0, phase) };
    let plan = plan(&seen(active(2), vec![stuck, prover("q", 1, Phase::Ready)]));
    let expected: Vec<_> = cause.into_iter().map(|cause| delete("p", cause)).collect();
    assert_eq!((plan.steps, plan.why[&unit(1, 0)].clone()), (expected, Why::Starting));
}

#[test]
fn a_pod_that_ran_well_for_long_starts_again_at_once() {
    let phase =
        Phase::Ended { reason: "NodeShutdown".to_owned(), seconds_ago: 0, ran_seconds: 90_000 };
    let last = Pod { attempt: 9, ..prover("p", 0, phase) };
    assert_eq!(plan(&seen(active(1), vec![last])).steps[0], make_prover(0, 0));
}

#[test]
fn an_ended_pod_that_nobody_wants_is_cleared_away() {
    let pods = vec![worker("w", &[0], ended("Completed", 5)), prover("p", 0, Phase::Ready)];
    assert_eq!(plan(&seen(active(1), pods)).steps, [delete("w", DeletionCause::Ended)]);
}

#[test]
fn a_prover_that_works_is_no_matter_of_its_peer_alone() {
    let old = Pod { template: "t0".to_owned(), ..prover("p", 0, Phase::Ready) };
    assert_eq!(plan(&seen(active(1), vec![old])).steps, []);
}

#[rstest]
#[case::not_scheduled(Phase::Pending, true)]
#[case::without_its_image(Phase::Stuck { reason: "ErrImagePull".to_owned(), seconds: 1, has_run: false }, true)]
#[case::that_runs(Phase::Running, false)]
fn a_prover_of_an_old_template_that_does_not_run_is_made_again(
    #[case] phase: Phase,
    #[case] gone: bool,
) {
    let old = Pod { template: "t0".to_owned(), ..prover("p", 0, phase) };
    let expected = if gone { vec![delete("p", DeletionCause::OldTemplate)] } else { vec![] };
    assert_eq!(plan(&seen(active(1), vec![old])).steps, expected);
}

#[test]
fn a_worker_keeps_its_old_template() {
    let old = Pod { template: "t0".to_owned(), ..worker("w", &[0], Phase::Ready) };
    assert_eq!(plan(&seen(market::matched(1), vec![old])).steps, []);
}

#[rstest]
#[case::observing(Management::Observe)]
#[case::suspended(Management::Suspended)]
#[case::read_only(Management::ReadOnly)]
fn staked_units_prove_in_every_mode(#[case] management: Management) {
    let mut seen = seen(active(1), vec![]);
    seen.management = management;
    assert_eq!(plan(&seen).steps, [make_prover(0, 0)]);
}

pub(crate) fn verdict(seen: &Seen, kind: ConditionType) -> (Truth, &'static str) {
    verdict_with(seen, kind, 0)
}

/// With so many refused proofs in this epoch.
fn verdict_with(seen: &Seen, kind: ConditionType, refused: u32) -> (Truth, &'static str) {
    let report = UnitReport {
        unit: unit(1, 0),
        node: NodeEvidence::Verified,
        exclusive_cores: Some(true),
        building: false,
        pod_message: String::new(),
        refused_proofs: refused,
        missed_last_epoch: false,
        suspended: false,
        deleting: false,
    };
    let verdicts = conditions(seen, &plan(seen), &report);
    let found =
        verdicts.iter().find(|verdict| verdict.kind == kind).expect("a verdict of every type");
    (found.status, found.reason)
}

#[rstest]
#[case::proving(active(1), vec![prover("p", 0, Phase::Ready)], (Truth::True, "Proving"))]
#[case::serving(market::matched(1), vec![worker("w", &[0], Phase::Ready)], (Truth::True, "Serving"))]
#[case::starting(active(1), vec![], (Truth::False, "Degraded"))]
#[case::idle(market::registered(1), vec![], (Truth::True, "Idle"))]
fn ready_means_that_it_works(
    #[case] snapshot: Snapshot,
    #[case] pods: Vec<Pod>,
    #[case] expected: (Truth, &str),
) {
    assert_eq!(verdict(&seen(snapshot, pods), ConditionType::Ready), expected);
}

#[rstest]
#[case::one_by_chance(1, (Truth::True, "OnTrack"))]
#[case::several(3, (Truth::False, "Behind"))]
fn a_prover_of_wrong_proofs_is_told(#[case] refused: u32, #[case] expected: (Truth, &str)) {
    let seen = seen(active(1), vec![prover("p", 0, Phase::Ready)]);
    assert_eq!(verdict_with(&seen, ConditionType::Proving, refused), expected);
}

#[test]
fn an_unread_chain_is_unknown_and_not_false() {
    let mut seen = seen(active(1), vec![prover("p", 0, Phase::Ready)]);
    seen.snapshot = None;
    assert_eq!(verdict(&seen, ConditionType::Ready), (Truth::Unknown, "ChainUnknown"));
}

#[rstest]
#[case::early(60, 0, (Truth::True, "OnTrack"), (Truth::False, "OnTrack"))]
#[case::half_time(300, 1, (Truth::False, "Behind"), (Truth::False, "OnTrack"))]
#[case::late(450, 1, (Truth::False, "Behind"), (Truth::True, "EpochWillBeMissed"))]
#[case::enough(450, 2, (Truth::True, "OnTrack"), (Truth::False, "OnTrack"))]
#[case::all(60, 5, (Truth::True, "TargetReached"), (Truth::False, "OnTrack"))]
fn proving_is_told(
    #[case] second: u64,
    #[case] proofs: u32,
    #[case] proving: (Truth, &str),
    #[case] at_risk: (Truth, &str),
) {
    let mut snapshot = active(1);
    market::move_to(&mut snapshot, 20, second);
    market::commitment_mut(&mut snapshot, 1).proofs.insert(unit(1, 0), proofs);
    let seen = seen(snapshot, vec![prover("p", 0, Phase::Ready)]);
    assert_eq!(verdict(&seen, ConditionType::Proving), proving);
    assert_eq!(verdict(&seen, ConditionType::AtRisk), at_risk);
}
