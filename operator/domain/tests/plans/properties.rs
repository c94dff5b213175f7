//! What holds for every market, however strange.

use std::collections::BTreeSet;

use coreward_domain::call::Call;
use coreward_domain::chain::CommitmentStatus;
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Management};
use coreward_domain::proof::Found;
use coreward_domain::unit::{Cordon, DeletionCause, Phase, Pod, PodRole};
use coreward_domain::{commitment, deal, offer, proof, unit};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::arbitrary;
use crate::market::{self, peer_id};
use crate::turn::Turn;

/// Whether a richer view of the market sends this call too; for proofs, each of them.
fn is_among(call: &Call, richer: &[Call]) -> bool {
    let Call::SubmitProofs { proofs, .. } = call else { return richer.contains(call) };
    let known: BTreeSet<_> = richer
        .iter()
        .filter_map(
            |other| if let Call::SubmitProofs { proofs, .. } = other { Some(proofs) } else { None },
        )
        .flatten()
        .collect();
    proofs.iter().all(|proof| known.contains(proof))
}

proptest! {
    #[test]
    fn less_knowledge_never_sends_more(
        snapshot in arbitrary::snapshot(),
        mask: u32,
        pool in vec(arbitrary::found(), 0..20),
        deletion in arbitrary::deletion(),
    ) {
        let mut richer = Turn::of(snapshot.clone());
        (richer.pool, richer.deletion) = (pool, deletion);
        let poorer = Turn { snapshot: Some(arbitrary::forget(&snapshot, mask)), ..richer.clone() };
        let sends = richer.sends();
        for call in poorer.sends() {
            prop_assert!(is_among(&call, &sends), "sent from the unknown: {:?}", call);
        }
    }

    #[test]
    fn without_a_snapshot_nothing_is_sent_or_deleted(
        pool in vec(arbitrary::found(), 0..20),
        pods in vec(arbitrary::pod(), 0..6),
    ) {
        let turn = Turn { snapshot: None, pool, pods, ..Turn::of(market::empty()) };
        prop_assert_eq!(turn.sends(), vec![]);
        prop_assert_eq!(unit::plan(&turn.unit()).steps, vec![]);
        prop_assert_eq!(deal::plan(&turn.deal()).steps, vec![]);
    }

    #[test]
    fn a_plan_repeated_while_its_calls_fly_is_empty(
        snapshot in arbitrary::snapshot(),
        pool in vec(arbitrary::found(), 0..20),
        deletion in arbitrary::deletion(),
    ) {
        let mut turn = Turn::of(snapshot);
        (turn.pool, turn.deletion) = (pool, deletion);
        turn.flights = turn.sends().into_iter().map(|call| Flight { call, included: None }).collect();
        prop_assert_eq!(turn.sends(), vec![]);
    }

    #[test]
    fn observing_sends_minimum_proofs_only(
        snapshot in arbitrary::snapshot(),
        pool in vec(arbitrary::found(), 0..20),
        management in prop::sample::select(vec![Management::Observe, Management::ReadOnly]),
        deletion in arbitrary::deletion(),
    ) {
        let mut turn = Turn::of(snapshot);
        (turn.pool, turn.deletion) = (pool, deletion);
        let free = turn.planned().len();
        turn.gate.management = management;
        let only_proofs = turn.sends().iter().all(|call| matches!(call, Call::SubmitProofs { .. }));
        prop_assert!(only_proofs);
        prop_assert_eq!(turn.planned().len(), free, "the plan shown is the plan executed");
    }

    #[test]
    fn never_more_proofs_than_the_contract_takes(
        snapshot in arbitrary::snapshot(),
        pool in vec(arbitrary::found(), 0..60),
    ) {
        let mut turn = Turn::of(snapshot.clone());
        turn.pool = pool.into_iter().map(|found| Found { epoch: snapshot.epoch, ..found }).collect();
        for step in proof::plan(&turn.proof()).steps {
            let proof::Step::Send(Call::SubmitProofs { peer, epoch, proofs }) = step else { continue };
            prop_assert_eq!((peer, epoch), (peer_id(1), snapshot.epoch));
            let on_chain = snapshot.peers[&peer].as_ref().expect("a known peer");
            let known = snapshot.commitments[&on_chain.commitment.expect("a commitment")].as_ref().expect("known");
            prop_assert_eq!(known.status, CommitmentStatus::Active);
            let mut counts = known.proofs.clone();
            let mut sent = BTreeSet::new();
            for proof in proofs {
                prop_assert!(on_chain.units[&proof.unit].seat.is_none());
                prop_assert!(sent.insert((proof.unit, proof.local_nonce)), "twice in one batch");
                let count = counts.get_mut(&proof.unit).expect("a known count");
                *count += 1;
                prop_assert!(*count <= snapshot.rules.max_proofs.max(snapshot.rules.min_proofs));
                let is_of_this_epoch = |found: &&Found| {
                    found.unit == proof.unit && found.local_nonce == proof.local_nonce
                        && found.global_nonce == snapshot.global_nonce
                };
                prop_assert!(turn.pool.iter().any(|found| is_of_this_epoch(&found)));
            }
        }
    }

    #[test]
    fn never_two_roles_for_one_unit(snapshot in arbitrary::snapshot(), pods in vec(arbitrary::pod(), 0..8)) {
        let mut turn = Turn::of(snapshot);
        turn.pods = pods;
        let plan = unit::plan(&turn.unit());
        for unit in arbitrary::all_units() {
            let makes = plan.steps.iter().filter(|step| step.units().contains(&unit)).count();
            let holders = turn.pods.iter().filter(|pod| {
                pod.role.holds(unit) && !matches!(pod.phase, Phase::Ended { .. } | Phase::Released)
            });
            prop_assert!(makes <= 1);
            prop_assert!(makes == 0 || holders.count() == 0, "the core is not free yet");
        }
    }

    #[test]
    fn a_pod_is_deleted_for_a_fact_only(snapshot in arbitrary::snapshot(), mask: u32, pods in vec(arbitrary::pod(), 0..8)) {
        let mut turn = Turn::of(snapshot.clone());
        turn.pods = pods;
        let with_all = unit::plan(&turn.unit()).steps;
        turn.snapshot = Some(arbitrary::forget(&snapshot, mask));
        for step in unit::plan(&turn.unit()).steps {
            if matches!(step, unit::Step::DeletePod { .. }) {
                prop_assert!(with_all.contains(&step), "deleted from the unknown: {:?}", step);
            }
        }
    }

    #[test]
    fn a_cordon_makes_nobody_delete_what_runs(
        snapshot in arbitrary::snapshot(),
        pods in vec(arbitrary::pod(), 0..8),
        drain_noted: bool,
    ) {
        let mut turn = Turn::of(snapshot);
        turn.pods = pods;
        let deletions = |cordon| {
            let seen = unit::Seen { cordon: Some(cordon), drain_noted, ..turn.unit() };
            let mut steps = unit::plan(&seen).steps;
            steps.retain(|step| matches!(step, unit::Step::DeletePod { .. }));
            steps
        };
        let open = deletions(Cordon::Open);
        for step in deletions(Cordon::Overdue) {
            let waits = |uid: &str| turn.pods.iter().any(|pod| pod.uid == uid && pod.phase == Phase::Pending);
            let is_unborn = matches!(&step, unit::Step::DeletePod { uid, cause: DeletionCause::NodeDrained, .. } if waits(uid));
            prop_assert!(open.contains(&step) || is_unborn, "{:?}", step);
        }
    }

    #[test]
    fn pods_settle(snapshot in arbitrary::snapshot(), pods in vec(arbitrary::pod(), 0..8)) {
        let mut turn = Turn::of(snapshot);
        let mut names = BTreeSet::new();
        turn.pods = pods.into_iter().filter(|pod| names.insert(pod.uid.clone())).collect();
        let mut made = 0;
        for _ in 0..8 {
            turn.pods.retain(|pod| pod.phase != Phase::Released);
            turn.pods.iter_mut().for_each(grow_older);
            for step in unit::plan(&turn.unit()).steps {
                made += 1;
                apply(&mut turn.pods, &step, made);
            }
        }
        prop_assert_eq!(unit::plan(&turn.unit()).steps, vec![], "a plan repeated on its own result is empty");
    }

    #[test]
    fn every_why_has_its_conditions(
        snapshot in arbitrary::snapshot(),
        known: bool,
        pods in vec(arbitrary::pod(), 0..6),
        flags in any::<[bool; 4]>(),
        exclusive_cores in proptest::option::of(any::<bool>()),
        deletion in arbitrary::deletion(),
    ) {
        let mut turn = Turn::of(snapshot);
        (turn.pods, turn.deletion) = (pods, deletion);
        let report = unit::UnitReport {
            unit: market::unit(1, 0),
            node: unit::NodeEvidence::Verified,
            exclusive_cores,
            building: flags[0],
            pod_message: String::new(),
            refused_proofs: 0,
            missed_last_epoch: flags[1],
            suspended: flags[2],
            deleting: flags[3],
        };
        if !known {
            turn.snapshot = None;
        }
        let pledges = vec![commitment::plan(&turn.commitment()).why];
        let plan = offer::plan(&turn.offer());
        let told = offer::conditions(&turn.offer(), &plan, &pledges);
        crate::conditions::check(&told);
        prop_assert_eq!(told.len(), 8);
        let told = deal::conditions(&turn.deal(), &deal::plan(&turn.deal()));
        crate::conditions::check(&told);
        prop_assert_eq!(told.len(), 9);
        let told = unit::conditions(&turn.unit(), &unit::plan(&turn.unit()), &report);
        crate::conditions::check(&told);
        prop_assert_eq!(told.len(), 8);
    }

    #[test]
    fn a_calendar_agrees_with_itself(init: u64, duration: u64, timestamp: u64) {
        let calendar = coreward_domain::epoch::Calendar { init_timestamp: init, epoch_duration: duration };
        prop_assume!(timestamp.saturating_sub(init) < u64::MAX);
        let (elapsed, remaining) = (calendar.elapsed(timestamp), calendar.remaining(timestamp));
        prop_assert_eq!(elapsed + remaining, duration.max(1));
        if let Some(next) = timestamp.checked_add(remaining).filter(|_| timestamp >= init) {
            prop_assert_eq!(calendar.epoch_at(next), Epoch(calendar.epoch_at(timestamp).0 + 1));
        }
    }
}

/// What time does to a pod: it becomes ready, and its end lies further back.
fn grow_older(pod: &mut Pod) {
    match &mut pod.phase {
        Phase::Pending | Phase::Stuck { .. } | Phase::Running => pod.phase = Phase::Ready,
        Phase::Ended { seconds_ago, .. } => *seconds_ago += 1000,
        Phase::Deleting => pod.phase = Phase::Released,
        Phase::Ready | Phase::Released => {}
    }
}

/// What the cluster does with a step.
fn apply(pods: &mut Vec<Pod>, step: &unit::Step, made: u32) {
    let (role, attempt) = match step {
        unit::Step::CreateProver { unit, attempt, .. } => (PodRole::Prover(*unit), *attempt),
        unit::Step::CreateWorker { seat, units, attempt, .. } => {
            (PodRole::Worker { seat: *seat, units: units.clone() }, *attempt)
        }
        unit::Step::DeletePod { uid, .. } => {
            for pod in pods.iter_mut().filter(|pod| pod.uid == *uid) {
                pod.phase = Phase::Deleting;
            }
            return;
        }
        unit::Step::SetHold { uid, held, .. } => {
            for pod in pods.iter_mut().filter(|pod| pod.uid == *uid) {
                pod.held = *held;
            }
            return;
        }
        unit::Step::NoteDrain { .. } => return,
    };
    pods.push(Pod {
        uid: format!("made-{made}"),
        namespace: "ns".to_owned(),
        name: format!("made-{made}"),
        role,
        phase: Phase::Ready,
        template: "t1".to_owned(),
        attempt,
        held: true,
        evicted: false,
        elsewhere: None,
    });
}
