//! The commitment's rules, one row each.

use std::sync::Arc;

use alloy_primitives::U256;
use coreward_domain::call::{Call, NewResource};
use coreward_domain::chain::{CommitmentStatus, Rules, Snapshot};
use coreward_domain::commitment::{Collateral, Mode, Policy, Renewal, Seen, Step, Why, plan};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold, Management};
use coreward_domain::offer::Deletion;
use rstest::rstest;

use crate::market::{self, PROVIDER, STRANGER, commitment_id, peer_id, resource, unit};

pub(crate) fn seen(snapshot: Snapshot) -> Seen {
    Seen {
        peer: peer_id(1),
        provider: PROVIDER,
        policy: Policy {
            mode: Mode::Auto,
            duration: 100,
            collateral: Collateral::Provider,
            renewal: Renewal::Auto,
            expiry_notice: 14,
        },
        wanted_units: Some(2),
        ready: true,
        ending: None,
        had_commitment: false,
        created_final: true,
        collateral_withdrawn: Some(false),
        snapshot: Some(Arc::new(snapshot)),
        flights: Vec::new(),
        gate: market::open_gate(),
    }
}

fn functions(seen: &Seen) -> Vec<&'static str> {
    plan(seen).steps.iter().map(|Step::Send(call)| call.function()).collect()
}

fn at(mut snapshot: Snapshot, epoch: u64) -> Snapshot {
    market::move_to(&mut snapshot, epoch, 60);
    snapshot
}

fn over(status: CommitmentStatus, exited: u32) -> Snapshot {
    let mut snapshot = market::committed(2, status);
    market::commitment_mut(&mut snapshot, 1).exited =
        (0..exited).map(|index| unit(1, index)).collect();
    snapshot
}

fn seated(mut snapshot: Snapshot) -> Snapshot {
    market::sit(&mut snapshot, 0, 1);
    snapshot
}

#[test]
fn it_is_made_with_the_provider_as_delegator_at_the_smallest_rate() {
    let call = Call::CreateCommitment {
        peer: peer_id(1),
        duration: 100,
        delegator: PROVIDER,
        delegation_rate: 1,
    };
    assert_eq!(plan(&seen(market::registered(2))).steps, [Step::Send(call)]);
}

#[rstest]
#[case::off(|seen: &mut Seen| seen.policy.mode = Mode::Off, Why::Off)]
#[case::left_to_a_human(|seen: &mut Seen| seen.policy.mode = Mode::Manual, Why::LeftToHuman)]
#[case::the_offer_goes(|seen: &mut Seen| seen.ending = Some(Deletion::Block), Why::Ending)]
#[case::the_node_is_not_confirmed(|seen: &mut Seen| seen.ready = false, Why::NotReady)]
#[case::units_are_missing(|seen: &mut Seen| seen.wanted_units = Some(3), Why::UnitsChanging)]
#[case::units_wanted_are_unknown(|seen: &mut Seen| seen.wanted_units = None, Why::UnitsChanging)]
#[case::too_short(|seen: &mut Seen| seen.policy.duration = 9, Why::DurationOutOfRange { minimum: 10, maximum: 1000 })]
#[case::too_long(|seen: &mut Seen| seen.policy.duration = 1001, Why::DurationOutOfRange { minimum: 10, maximum: 1000 })]
#[case::no_renewal(|seen: &mut Seen| { seen.had_commitment = true; seen.policy.renewal = Renewal::Manual; }, Why::LeftToHuman)]
fn none_is_made(#[case] edit: fn(&mut Seen), #[case] why: Why) {
    let mut seen = seen(market::registered(2));
    edit(&mut seen);
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), why));
}

#[rstest]
#[case::a_unit_in_a_deal(|snapshot: &mut Snapshot| market::sit(snapshot, 0, 1), Why::UnitInDeal)]
#[case::not_whitelisted(|snapshot: &mut Snapshot| snapshot.providers.get_mut(&PROVIDER).expect("provider").approved = false, Why::NotWhitelisted)]
#[case::unknown_provider(|snapshot: &mut Snapshot| snapshot.providers.clear(), Why::ChainUnknown)]
#[case::too_few_units(|snapshot: &mut Snapshot| snapshot.rules.min_units_per_commitment = 3, Why::UnitsOutOfRange { minimum: 3, maximum: 9000 })]
#[case::too_little_money(|snapshot: &mut Snapshot| { snapshot.wallets.insert(PROVIDER, U256::from(199)); }, Why::CollateralMissing)]
#[case::unknown_money(|snapshot: &mut Snapshot| snapshot.wallets.clear(), Why::CollateralMissing)]
fn the_chain_keeps_one_from_being_made(#[case] edit: fn(&mut Snapshot), #[case] why: Why) {
    let mut snapshot = market::registered(2);
    edit(&mut snapshot);
    let plan = plan(&seen(snapshot));
    assert_eq!((plan.steps, plan.why), (Vec::new(), why));
}

#[test]
fn none_is_made_while_units_are_on_their_way() {
    let mut seen = seen(market::registered(2));
    let vcpu = NewResource { resource: resource(1), supply: 2, details: String::new() };
    let call = Call::AddUnits { peer: peer_id(1), units: vec![unit(1, 2)], vcpu };
    seen.flights = vec![Flight { call, included: None }];
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::UnitsChanging));
}

#[test]
fn one_that_is_made_is_not_made_twice() {
    let mut seen = seen(market::registered(2));
    let call = Call::CreateCommitment {
        peer: peer_id(1),
        duration: 100,
        delegator: PROVIDER,
        delegation_rate: 1,
    };
    seen.flights = vec![Flight { call, included: Some(101) }];
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::WaitingForReceipt));
}

#[test]
fn the_deposit_waits_for_finality_and_is_exact() {
    let mut seen = seen(market::committed(2, CommitmentStatus::WaitDelegation));
    seen.created_final = false;
    let held = plan(&seen);
    assert_eq!(
        (held.steps, held.why, held.planned[0].hold),
        (Vec::new(), Why::WaitingForFinality, Some(Hold::Finality))
    );
    seen.created_final = true;
    let call = Call::DepositCollateral { commitment: commitment_id(1), value: U256::from(200) };
    assert_eq!(plan(&seen).steps, [Step::Send(call)]);
}

#[rstest]
#[case::a_unit_in_a_deal(|seen: &mut Seen| seen.snapshot = Some(Arc::new(seated(market::committed(2, CommitmentStatus::WaitDelegation)))))]
#[case::another_delegator(|seen: &mut Seen| seen.policy.collateral = Collateral::Delegator { delegator: STRANGER, rate: 5 })]
#[case::the_offer_goes(|seen: &mut Seen| seen.ending = Some(Deletion::Block))]
#[case::switched_off(|seen: &mut Seen| seen.policy.mode = Mode::Off)]
fn an_unfunded_one_is_taken_back(#[case] edit: fn(&mut Seen)) {
    let mut seen = seen(market::committed(2, CommitmentStatus::WaitDelegation));
    edit(&mut seen);
    assert_eq!((functions(&seen), plan(&seen).why), (vec!["removeCommitment"], Why::Replacing));
}

#[test]
fn a_delegators_collateral_is_waited_for() {
    let mut seen = seen(market::committed(2, CommitmentStatus::WaitDelegation));
    seen.policy.collateral = Collateral::Delegator { delegator: PROVIDER, rate: 1 };
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::WaitDelegation));
}

#[rstest]
#[case::funded(market::committed(2, CommitmentStatus::WaitStart), Why::WaitStart)]
#[case::at_work(market::committed(2, CommitmentStatus::Active), Why::Active)]
#[case::near_its_end(at(market::committed(2, CommitmentStatus::Active), 96), Why::Expiring { end: Epoch(110) })]
#[case::contradiction(market::committed(2, CommitmentStatus::Removed), Why::ChainUnknown)]
fn it_is_watched(#[case] snapshot: Snapshot, #[case] why: Why) {
    let plan = plan(&seen(snapshot));
    assert_eq!((plan.steps, plan.planned, plan.why), (Vec::new(), Vec::new(), why));
}

#[rstest]
#[case::completed_units_leave(over(CommitmentStatus::Inactive, 0), vec!["removeCUFromCC"], Why::Closing)]
#[case::completed_and_left(over(CommitmentStatus::Inactive, 2), vec!["finishCommitment"], Why::Closing)]
#[case::completed_with_a_worker(seated(over(CommitmentStatus::Inactive, 0)), vec!["withdrawCollateral", "removeCUFromCC"], Why::WorkersLeaving)]
#[case::failed_and_hot(at(over(CommitmentStatus::Failed, 0), 20), vec!["removeCUFromCC"], Why::Failed { until: Epoch(21) })]
#[case::failed_hot_and_left(at(over(CommitmentStatus::Failed, 2), 20), vec![], Why::Failed { until: Epoch(21) })]
#[case::failed_and_cool(at(over(CommitmentStatus::Failed, 2), 21), vec!["withdrawCollateral", "finishCommitment"], Why::Failed { until: Epoch(21) })]
fn its_end_is_wound_up(#[case] snapshot: Snapshot, #[case] expected: Vec<&str>, #[case] why: Why) {
    let seen = seen(snapshot);
    assert_eq!((functions(&seen), plan(&seen).why), (expected, why));
}

#[test]
fn a_unit_in_a_deal_is_not_taken_out() {
    let plan = plan(&seen(seated(over(CommitmentStatus::Inactive, 0))));
    let call =
        Call::RemoveUnitsFromCommitment { commitment: commitment_id(1), units: vec![unit(1, 1)] };
    assert_eq!(plan.steps.last(), Some(&Step::Send(call)));
}

#[test]
fn the_cooldown_is_told_with_its_epoch() {
    let plan = plan(&seen(at(over(CommitmentStatus::Failed, 2), 20)));
    let finish = plan.planned.last().expect("the finish is planned");
    assert_eq!((finish.hold, finish.blocked_until), (Some(Hold::Epoch), Some(Epoch(21))));
}

#[test]
fn collateral_is_not_asked_for_twice() {
    let mut seen = seen(at(over(CommitmentStatus::Failed, 2), 21));
    seen.collateral_withdrawn = Some(true);
    assert_eq!(functions(&seen), ["finishCommitment"]);
    seen.collateral_withdrawn = None;
    assert_eq!(functions(&seen), ["finishCommitment"], "unknown is no reason to send");
}

#[rstest]
#[case::a_new_one_waits(market::registered(2), Management::Suspended, 0)]
#[case::an_end_goes_on_while_suspended(
    over(CommitmentStatus::Inactive, 2),
    Management::Suspended,
    1
)]
#[case::an_end_waits_while_observing(over(CommitmentStatus::Inactive, 2), Management::Observe, 0)]
fn the_gate_holds(
    #[case] snapshot: Snapshot,
    #[case] management: Management,
    #[case] steps: usize,
) {
    let mut seen = seen(snapshot);
    seen.gate.management = management;
    let plan = plan(&seen);
    assert_eq!((plan.steps.len(), plan.planned.len()), (steps, 1));
}

#[test]
fn no_budget_holds_an_exit_back() {
    let mut seen = seen(over(CommitmentStatus::Inactive, 2));
    seen.gate.gas.daily_budget = Some(U256::ZERO);
    seen.gate.gas.max_fee = Some(0);
    assert_eq!(functions(&seen), ["finishCommitment"]);
    seen.snapshot = Some(Arc::new(market::registered(2)));
    assert_eq!(plan(&seen).why, Why::Held(Hold::GasBudget));
}

#[rstest]
#[case::stays(None, vec![])]
#[case::goes_when_nothing_is_staked(Some(Deletion::Block), vec![])]
#[case::is_withdrawn(Some(Deletion::Withdraw), vec!["removeCommitment"])]
fn a_commitment_of_human_hands_is_taken_back_by_a_withdrawal_only(
    #[case] ending: Option<Deletion>,
    #[case] expected: Vec<&str>,
) {
    let mut seen = seen(market::committed(2, CommitmentStatus::WaitDelegation));
    (seen.policy.mode, seen.ending) = (Mode::Manual, ending);
    assert_eq!(functions(&seen), expected);
}

#[rstest]
#[case::nothing_missed(0, 1_000_000, 0)]
#[case::six_fails_at_a_tenth(6, 1_000_000, 60)]
#[case::a_hundredth_each(7, 100_000, 7)]
#[case::never_more_than_there_was(21, 1_000_000, 200)]
#[case::free_of_cost(5, 0, 0)]
fn missed_epochs_cost_their_share_of_the_collateral(
    #[case] fails: u64,
    #[case] rate: u64,
    #[case] wei: u64,
) {
    let mut lost = market::commitment(2, CommitmentStatus::Failed);
    lost.fail_count = fails;
    let rules = Rules { slashing_rate: rate, ..market::rules() };
    assert_eq!(lost.slashed(&rules), U256::from(wei));
}
