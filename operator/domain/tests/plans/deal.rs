//! A deal's rules, one row each.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use coreward_domain::call::Call;
use coreward_domain::chain::{CommitmentStatus, Deal, DealStatus, Snapshot};
use coreward_domain::condition::{ConditionType, Truth};
use coreward_domain::deal::{
    ArtifactFault, Desired, Leaving, Local, Member, Namespace, Policy, Seen, Step, Why, WorkerPod,
    WorkerWhy, conditions, members, plan,
};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold, Management};
use rstest::rstest;

use crate::market::{self, DEAL, DEVELOPER, PROVIDER, key, peer_id, unit, worker_id};

pub(crate) fn seen(snapshot: Snapshot) -> Seen {
    let local = Local {
        key: Some(key(1)),
        fits: Some(true),
        pod: WorkerPod::Ready(key(1)),
        ..Local::default()
    };
    Seen {
        deal: DEAL,
        peers: Some(BTreeSet::from([peer_id(1)])),
        snapshot: Some(Arc::new(snapshot)),
        workers: [(worker_id(1), local)].into(),
        policy: Policy { unpaid_grace: 1, unready_grace: 1, ..Policy::default() },
        namespace: Namespace::Ready,
        pods: Some(1),
        gone_since: None,
        subnet: None,
        isolated: None,
        flights: Vec::new(),
        gate: market::open_gate(),
    }
}

fn edit(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("snapshot")));
}

pub(crate) fn local(seen: &mut Seen) -> &mut Local {
    seen.workers.get_mut(&worker_id(1)).expect("worker")
}

fn activate(number: u64) -> Step {
    Step::Send(Call::ActivateWorker { deal: DEAL, worker: worker_id(1), offchain: key(number) })
}

fn remove() -> Step {
    Step::Send(Call::RemoveWorker { deal: DEAL, worker: worker_id(1) })
}

/// One unit, matched and activated with key 1.
pub(crate) fn serving() -> Seen {
    let mut seen = seen(market::matched(2));
    edit(&mut seen, |snapshot| {
        market::deal_mut(snapshot).workers.get_mut(&worker_id(1)).expect("worker").offchain =
            key(1);
    });
    seen
}

pub(crate) fn verdict(seen: &Seen, kind: ConditionType) -> (Truth, &'static str) {
    let verdicts = conditions(seen, &plan(seen));
    let found =
        verdicts.iter().find(|verdict| verdict.kind == kind).expect("a verdict of every type");
    (found.status, found.reason)
}

fn why(seen: &Seen) -> WorkerWhy {
    plan(seen).workers[&worker_id(1)].why.clone()
}

#[test]
fn a_worker_that_answers_is_activated() {
    let plan = plan(&seen(market::matched(2)));
    assert_eq!(plan.steps, [activate(1)]);
    let worker = &plan.workers[&worker_id(1)];
    assert_eq!((worker.units.clone(), worker.served), (BTreeSet::from([unit(1, 0)]), true));
}

#[test]
fn its_namespace_comes_first() {
    let mut seen = seen(market::matched(2));
    seen.namespace = Namespace::Absent;
    local(&mut seen).pod = WorkerPod::Missing;
    assert_eq!(plan(&seen).steps, [Step::EnsureNamespace]);
}

#[rstest]
#[case::no_pod(WorkerPod::Missing, WorkerWhy::Starting)]
#[case::a_pod_on_its_way(WorkerPod::Starting(None), WorkerWhy::Starting)]
#[case::nothing_known(WorkerPod::Unknown, WorkerWhy::Unknown)]
#[case::an_artifact_that_does_not_run(WorkerPod::Failed { fault: ArtifactFault::TooLarge, message: String::new() }, WorkerWhy::Failed(ArtifactFault::TooLarge))]
#[case::a_pod_with_another_key(WorkerPod::Ready(key(2)), WorkerWhy::Starting)]
fn a_worker_that_does_not_answer_is_not_activated(
    #[case] pod: WorkerPod,
    #[case] expected: WorkerWhy,
) {
    let mut seen = seen(market::matched(2));
    local(&mut seen).pod = pod;
    assert_eq!((plan(&seen).steps, why(&seen)), (vec![], expected));
}

#[rstest]
#[case::no_money(DealStatus::Active, 49, WorkerWhy::Unfunded)]
#[case::just_enough(DealStatus::SmallBalance, 50, WorkerWhy::Activating)]
fn a_deal_must_be_able_to_pay_for_an_epoch(
    #[case] status: DealStatus,
    #[case] balance: u64,
    #[case] expected: WorkerWhy,
) {
    let mut seen = seen(market::matched(2));
    edit(&mut seen, |snapshot| {
        let deal = market::deal_mut(snapshot);
        (deal.status, deal.free_balance) = (status, U256::from(balance));
    });
    assert_eq!(why(&seen), expected);
}

#[test]
fn an_activation_is_sent_once() {
    let mut seen = seen(market::matched(2));
    let call = Call::ActivateWorker { deal: DEAL, worker: worker_id(1), offchain: key(1) };
    seen.flights = vec![Flight { call, included: None }];
    assert_eq!((plan(&seen).steps, why(&seen)), (vec![], WorkerWhy::Activating));
}

#[test]
fn a_worker_that_moved_throws_its_old_key_out() {
    let mut seen = serving();
    *local(&mut seen) = Local {
        key: Some(key(2)),
        older_keys: BTreeSet::from([key(1)]),
        fits: Some(true),
        pod: WorkerPod::Ready(key(2)),
    };
    assert_eq!(plan(&seen).steps, [activate(2)]);
    local(&mut seen).older_keys.clear();
    let plan = plan(&seen);
    assert_eq!(
        (plan.steps, plan.planned[0].hold),
        (vec![], Some(Hold::Conflict)),
        "a key that is none of ours"
    );
}

/// An offer that serves so many deals of one owner each, the first of them this one.
fn serving_many(count: u8) -> Seen {
    let mut seen = serving();
    edit(&mut seen, |snapshot| {
        let deal = snapshot.deals[&DEAL].clone();
        for number in 1..count {
            let owner = Address::repeat_byte(number);
            let other = Deal { owner, ..deal.clone() };
            snapshot.deals.insert(Address::with_last_byte(number), other);
        }
    });
    seen
}

#[rstest]
#[case::one_of_three(3, 0, 0, true)]
#[case::two_of_three(3, 1, 0, true)]
#[case::all_three(3, 2, 0, false)]
#[case::a_tenth_of_many(40, 3, 0, true)]
#[case::more_than_a_tenth(40, 4, 0, false)]
#[case::as_many_as_were_confirmed(40, 4, 5, true)]
#[case::more_than_were_confirmed(40, 4, 4, false)]
fn many_deals_are_left_only_after_a_word(
    #[case] served: u8,
    #[case] others: u8,
    #[case] confirmed: u64,
    #[case] left: bool,
    #[values(false, true)] denied: bool,
) {
    let mut seen = serving_many(served);
    seen.policy.confirmed_exits = confirmed;
    if denied {
        seen.policy.deny_owners = (1..=others).map(Address::repeat_byte).collect();
        seen.policy.deny_owners.insert(DEVELOPER);
    } else {
        seen.policy.exits = (1..=others).map(Address::with_last_byte).collect();
        seen.policy.exits.insert(DEAL);
        seen.policy.desired = Desired::Exit { leaves_at: 0 };
    }
    assert_eq!(plan(&seen).steps, if left { vec![remove()] } else { vec![] });
    let told = verdict(&seen, ConditionType::Stalled);
    assert_eq!(told.1 == "MassChangeBreaker", !left, "{told:?}");
    assert_eq!(verdict(&seen, ConditionType::Ready).0 == Truth::True, !left);
    // What the chain orders, and what was not begun, waits for nobody.
    edit(&mut seen, |snapshot| market::deal_mut(snapshot).status = DealStatus::Ended);
    assert_eq!(plan(&seen).steps, [remove()]);
    edit(&mut seen, |snapshot| {
        let deal = market::deal_mut(snapshot);
        deal.status = DealStatus::Active;
        for worker in deal.workers.values_mut() {
            worker.offchain = key(0);
        }
    });
    assert_eq!(plan(&seen).steps, [remove()]);
}

#[test]
fn a_worker_that_is_being_activated_is_served_too() {
    let mut seen = serving_many(3);
    seen.policy.deny_owners = [DEVELOPER, Address::repeat_byte(1), Address::repeat_byte(2)].into();
    edit(&mut seen, |snapshot| {
        for deal in snapshot.deals.values_mut() {
            deal.workers.get_mut(&worker_id(1)).expect("worker").offchain = key(0);
        }
    });
    assert!(plan(&seen).steps.contains(&remove()), "nobody is being activated");
    let deals: Vec<_> = seen.snapshot.as_deref().expect("snapshot").deals.keys().copied().collect();
    let activation = |deal| Call::ActivateWorker { deal, worker: worker_id(1), offchain: key(1) };
    let flight = |deal| Flight { call: activation(deal), included: None };
    seen.flights = deals.into_iter().map(flight).collect();
    assert_eq!(plan(&seen).steps, []);
}

pub(crate) fn now(seen: &Seen) -> u64 {
    seen.snapshot.as_deref().map_or(0, |snapshot| snapshot.head.timestamp)
}

#[rstest]
#[case::the_deal_was_stopped(|seen: &mut Seen| edit(seen, |snapshot| market::deal_mut(snapshot).status = DealStatus::Ended), Leaving::Ended)]
#[case::its_owner_is_denied(|seen: &mut Seen| { seen.policy.deny_owners.insert(DEVELOPER); }, Leaving::Denied)]
#[case::a_human_asks(|seen: &mut Seen| seen.policy.desired = Desired::Exit { leaves_at: 0 }, Leaving::Requested)]
#[case::the_notice_is_over(|seen: &mut Seen| seen.policy.desired = Desired::Exit { leaves_at: now(seen) }, Leaving::Requested)]
#[case::the_commitment_failed(|seen: &mut Seen| edit(seen, |snapshot| market::commitment_mut(snapshot, 1).status = CommitmentStatus::Failed), Leaving::CommitmentOver)]
#[case::the_commitment_ended(|seen: &mut Seen| edit(seen, |snapshot| market::commitment_mut(snapshot, 1).status = CommitmentStatus::Inactive), Leaving::CommitmentOver)]
#[case::unpaid_beyond_grace(|seen: &mut Seen| edit(seen, |snapshot| { let deal = market::deal_mut(snapshot); (deal.status, deal.max_paid_epoch) = (DealStatus::InsufficientFunds, Epoch(18)); }), Leaving::Unpaid)]
fn a_worker_leaves(#[case] change: fn(&mut Seen), #[case] cause: Leaving) {
    for mut seen in [serving(), seen(market::matched(2))] {
        change(&mut seen);
        let plan = plan(&seen);
        assert_eq!((plan.steps, why(&seen)), (vec![remove()], WorkerWhy::Leaving(cause)));
        assert!(!plan.workers[&worker_id(1)].served);
    }
}

#[rstest]
#[case::the_notice_runs(|seen: &mut Seen| seen.policy.desired = Desired::Exit { leaves_at: now(seen) + 1 })]
#[case::unpaid_within_grace(|seen: &mut Seen| edit(seen, |snapshot| { let deal = market::deal_mut(snapshot); (deal.status, deal.max_paid_epoch) = (DealStatus::InsufficientFunds, Epoch(19)); }))]
#[case::unready_after_activation(|seen: &mut Seen| { edit(seen, |snapshot| market::move_to(snapshot, 30, 60)); local(seen).pod = WorkerPod::Missing; })]
#[case::a_commitment_that_was_not_read(|seen: &mut Seen| edit(seen, |snapshot| snapshot.commitments.clear()))]
fn a_worker_stays(#[case] change: fn(&mut Seen)) {
    let mut seen = serving();
    change(&mut seen);
    assert_eq!(plan(&seen).steps, []);
}

#[rstest]
#[case::within_its_grace(21, WorkerPod::Starting(None), vec![])]
#[case::beyond_its_grace(22, WorkerPod::Starting(None), vec![remove()])]
#[case::with_a_bad_artifact(22, WorkerPod::Failed { fault: ArtifactFault::NotFound, message: String::new() }, vec![remove()])]
#[case::with_nothing_known(22, WorkerPod::Unknown, vec![])]
fn a_worker_that_never_answers_is_given_back(
    #[case] epoch: u64,
    #[case] pod: WorkerPod,
    #[case] steps: Vec<Step>,
) {
    let mut seen = seen(market::matched(2));
    edit(&mut seen, |snapshot| market::move_to(snapshot, epoch, 60));
    local(&mut seen).pod = pod;
    assert_eq!(plan(&seen).steps, steps);
}

#[test]
fn a_worker_that_does_not_fit_is_refused_at_once() {
    let mut seen = seen(market::matched(2));
    local(&mut seen).fits = Some(false);
    assert_eq!(plan(&seen).steps, [activate(1)], "what answers does fit");
    local(&mut seen).pod = WorkerPod::Starting(Some("Unschedulable".to_owned()));
    assert_eq!(plan(&seen).steps, [remove()]);
    assert_eq!(verdict(&seen, ConditionType::WorkersActivated), (Truth::False, "Refused"));
}

#[test]
fn observing_sends_nothing_and_suspending_serves_on() {
    let mut seen = seen(market::matched(2));
    seen.gate.management = Management::Observe;
    let plan_observed = plan(&seen);
    assert_eq!((plan_observed.steps, plan_observed.planned.len()), (vec![], 1));
    seen.gate.management = Management::Suspended;
    assert_eq!(plan(&seen).steps, [activate(1)]);
}

fn left() -> Seen {
    let mut snapshot = market::committed(2, CommitmentStatus::Active);
    snapshot.deals.insert(DEAL, market::deal());
    let mut seen = seen(snapshot);
    (seen.pods, seen.gone_since) = (Some(0), Some(98));
    seen.workers.clear();
    seen
}

#[rstest]
#[case::a_pod_is_left(|seen: &mut Seen| seen.pods = Some(1), vec![], Why::Clearing)]
#[case::pods_unknown(|seen: &mut Seen| seen.pods = None, vec![], Why::Clearing)]
#[case::not_final_yet(|seen: &mut Seen| seen.gone_since = Some(99), vec![], Why::Clearing)]
#[case::the_namespace_goes(|_: &mut Seen| (), vec![Step::DeleteNamespace], Why::Clearing)]
#[case::it_is_going(|seen: &mut Seen| seen.namespace = Namespace::Terminating, vec![], Why::Clearing)]
#[case::then_the_mirror(|seen: &mut Seen| seen.namespace = Namespace::Absent, vec![Step::ReleaseMirror], Why::Gone)]
#[case::a_peer_was_not_read(|seen: &mut Seen| edit(seen, |snapshot| snapshot.peers.clear()), vec![], Why::ChainUnknown)]
#[case::the_deal_was_not_read(|seen: &mut Seen| edit(seen, |snapshot| snapshot.deals.clear()), vec![], Why::ChainUnknown)]
fn what_is_left_is_cleared_away_once_final(
    #[case] change: fn(&mut Seen),
    #[case] steps: Vec<Step>,
    #[case] why: Why,
) {
    let mut seen = left();
    change(&mut seen);
    let plan = plan(&seen);
    assert_eq!((plan.steps, plan.why), (steps, why));
}

#[test]
fn members_are_the_activated_workers_as_a_set() {
    let mut snapshot = market::matched(3);
    market::sit(&mut snapshot, 1, 2);
    market::sit(&mut snapshot, 2, 3);
    for (worker, number) in [(1, 5), (2, 5), (3, 0)] {
        market::deal_mut(&mut snapshot)
            .workers
            .get_mut(&worker_id(worker))
            .expect("worker")
            .offchain = key(number);
    }
    let expected = BTreeSet::from([Member { worker: worker_id(1), offchain: key(5) }]);
    assert_eq!(members(&snapshot, DEAL), Some(expected));
    assert_eq!(members(&snapshot, PROVIDER), None);
}
