//! When money is fetched, one row per rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::U256;
use coreward_domain::call::Call;
use coreward_domain::chain::{CommitmentStatus, DealStatus, Snapshot};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold, Management};
use coreward_domain::payout::{Policy, Seen, Source, Step, Why, due, plan, sources};
use rstest::rstest;

use crate::market::{self, DEAL, commitment_id, key, peer_id, worker_id};

pub(crate) fn seen(snapshot: Snapshot) -> Seen {
    Seen {
        peers: BTreeSet::from([peer_id(1)]),
        past_commitments: BTreeSet::new(),
        snapshot: Some(Arc::new(snapshot)),
        last: std::collections::BTreeMap::new(),
        policy: Policy {
            interval_seconds: 1000,
            minimum_pay: U256::from(50),
            minimum_reward: U256::from(50),
        },
        ending: false,
        flights: Vec::new(),
        gate: market::open_gate(),
    }
}

fn earned(unlocked: u64, total: u64) -> Snapshot {
    let mut snapshot = market::matched(2);
    let known = market::commitment_mut(&mut snapshot, 1);
    (known.unlocked_rewards, known.total_rewards) = (U256::from(unlocked), U256::from(total));
    snapshot
}

fn paid(reward: u64) -> Snapshot {
    let mut snapshot = earned(0, 0);
    let worker = market::deal_mut(&mut snapshot).workers.get_mut(&worker_id(1)).expect("worker");
    (worker.offchain, worker.reward) = (key(1), U256::from(reward));
    market::deal_mut(&mut snapshot).max_paid_epoch = Epoch(snapshot.epoch.0 + 1);
    snapshot
}

fn reward(unlocked: u64) -> Step {
    let unlocked = U256::from(unlocked);
    Step::Send(Call::WithdrawCommitmentRewards { commitment: commitment_id(1), unlocked })
}

fn pay(claimable: u64) -> Step {
    let claimable = U256::from(claimable);
    Step::Send(Call::WithdrawDealRewards { deal: DEAL, worker: worker_id(1), claimable })
}

fn observed(mut seen: Seen) -> Seen {
    seen.gate.management = Management::Observe;
    seen
}

fn flying(mut seen: Seen, included: Option<u64>) -> Seen {
    let Step::Send(call) = pay(80);
    seen.flights.push(Flight { call, included });
    seen
}

#[rstest]
#[case::enough_reward(earned(50, 90), vec![reward(50)])]
#[case::too_little_reward(earned(49, 90), vec![])]
#[case::too_little_while_the_commitment_lives(earned(49, 49), vec![])]
#[case::enough_pay(paid(50), vec![pay(50)])]
#[case::too_little_pay(paid(49), vec![])]
#[case::nothing(paid(0), vec![])]
fn it_is_fetched_from_its_minimum_on(#[case] snapshot: Snapshot, #[case] steps: Vec<Step>) {
    assert_eq!(plan(&seen(snapshot)).steps, steps);
}

#[rstest]
#[case::too_soon(999, vec![], Why::NothingDue)]
#[case::due(1000, vec![pay(80)], Why::Withdrawing)]
fn it_is_fetched_by_chain_time(#[case] ago: u64, #[case] steps: Vec<Step>, #[case] why: Why) {
    let snapshot = paid(80);
    let last = snapshot.head.timestamp - ago;
    let mut seen = seen(snapshot);
    seen.last.insert(Source::Worker(DEAL, worker_id(1)), last);
    assert_eq!((plan(&seen).steps, plan(&seen).why), (steps, why));
}

#[test]
fn it_is_fetched_once() {
    let mut seen = seen(paid(80));
    let Step::Send(call) = pay(70);
    seen.flights = vec![Flight { call, included: None }];
    assert_eq!((plan(&seen).steps, plan(&seen).why), (vec![], Why::WaitingForReceipt));
}

fn past(unlocked: u64, total: u64) -> Seen {
    let mut snapshot = earned(unlocked, total);
    market::peer_mut(&mut snapshot, 1).commitment = None;
    market::commitment_mut(&mut snapshot, 1).status = CommitmentStatus::Removed;
    let mut seen = seen(snapshot);
    seen.past_commitments.insert(commitment_id(1));
    seen
}

#[rstest]
#[case::the_last_of_it_however_little(past(3, 3), vec![reward(3)], false)]
#[case::more_is_to_come(past(3, 9), vec![], false)]
#[case::nothing_is_left(past(0, 0), vec![], true)]
fn past_commitments_are_drained_and_forgotten(
    #[case] seen: Seen,
    #[case] steps: Vec<Step>,
    #[case] retired: bool,
) {
    let plan = plan(&seen);
    assert_eq!((plan.steps, plan.retired.contains(&commitment_id(1))), (steps, retired));
}

#[rstest]
#[case::while_the_offer_stays(false, past(3, 3), vec![])]
#[case::while_the_offer_goes(true, past(3, 3), vec![reward(3)])]
#[case::more_is_to_come(true, past(60, 90), vec![])]
fn the_last_reward_of_an_offer_that_goes_waits_for_no_interval(
    #[case] ending: bool,
    #[case] mut seen: Seen,
    #[case] steps: Vec<Step>,
) {
    let now = seen.snapshot.as_deref().expect("snapshot").head.timestamp;
    seen.last.insert(Source::Commitment(commitment_id(1)), now - 1);
    seen.ending = ending;
    assert_eq!(plan(&seen).steps, steps);
}

#[test]
fn a_commitment_is_forgotten_once_its_last_withdrawal_is_final() {
    let mut seen = past(0, 0);
    let Step::Send(call) = reward(3);
    let block = seen.snapshot.as_deref().expect("snapshot").head.number;
    seen.flights = vec![Flight { call, included: Some(block) }];
    assert_eq!((plan(&seen).retired, plan(&seen).why), (BTreeSet::new(), Why::NothingDue));
}

#[test]
fn a_commitment_counts_as_past_only_when_every_peer_was_read() {
    let mut seen = past(3, 3);
    seen.peers.insert(peer_id(2));
    assert_eq!((plan(&seen).steps, plan(&seen).retired), (vec![], BTreeSet::new()));
}

#[rstest]
#[case::one_that_is_stopped(DealStatus::Ended, 9)]
#[case::one_that_is_unpaid(DealStatus::InsufficientFunds, -1)]
#[case::one_in_its_last_paid_epoch(DealStatus::SmallBalance, 0)]
fn leaving_a_deal_pays_by_itself(#[case] status: DealStatus, #[case] epochs_paid: i64) {
    let mut snapshot = paid(80);
    let last = Epoch(snapshot.epoch.0.saturating_add_signed(epochs_paid));
    let deal = market::deal_mut(&mut snapshot);
    (deal.status, deal.max_paid_epoch) = (status, last);
    assert_eq!(plan(&seen(snapshot)).steps, []);
}

#[test]
fn whatever_may_pay_is_a_source_though_nothing_is_due() {
    let mut seen = past(0, 3);
    let snapshot = Arc::make_mut(seen.snapshot.as_mut().expect("snapshot"));
    market::deal_mut(snapshot).status = DealStatus::Ended;
    assert_eq!(plan(&seen).steps, []);
    let all = [Source::Commitment(commitment_id(1)), Source::Worker(DEAL, worker_id(1))];
    assert_eq!(sources(&seen), BTreeSet::from(all));
    seen.peers.clear();
    assert_eq!(sources(&seen), BTreeSet::from([Source::Commitment(commitment_id(1))]));
    seen.snapshot = None;
    assert_eq!(sources(&seen), BTreeSet::new());
}

#[rstest]
#[case::it_is_planned(seen(paid(80)), true)]
#[case::it_is_held(observed(seen(paid(80))), true)]
#[case::it_is_on_its_way(flying(seen(paid(80)), None), true)]
#[case::a_block_shows_it(flying(seen(paid(0)), Some(1)), false)]
#[case::nothing_is_there(seen(paid(0)), false)]
fn a_withdrawal_is_due_until_a_block_shows_it(#[case] seen: Seen, #[case] is_due: bool) {
    let sources = is_due.then_some(Source::Worker(DEAL, worker_id(1)));
    assert_eq!(due(&seen, &plan(&seen)), Some(sources.into_iter().collect()));
}

#[test]
fn nothing_is_known_to_be_due_while_the_chain_is_unknown() {
    let seen = Seen { snapshot: None, ..seen(paid(80)) };
    assert_eq!(due(&seen, &plan(&seen)), None);
}

#[test]
fn a_commitment_that_was_taken_back_is_forgotten() {
    let mut seen = past(3, 3);
    Arc::make_mut(seen.snapshot.as_mut().expect("snapshot"))
        .commitments
        .insert(commitment_id(1), None);
    assert_eq!(
        (plan(&seen).steps, plan(&seen).retired),
        (vec![], BTreeSet::from([commitment_id(1)]))
    );
}

#[test]
fn observing_leaves_the_money_where_it_is() {
    let mut seen = seen(paid(80));
    seen.gate.management = Management::Observe;
    assert_eq!((plan(&seen).steps, plan(&seen).why), (vec![], Why::Held(Hold::Observe)));
}
